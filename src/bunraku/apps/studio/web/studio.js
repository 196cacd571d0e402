// The panels of the studio: each is drawn from a value that Python gives it, and tells Python what people do with it.
// Text from people enters the page as text nodes alone.
const BunrakuStudio = (() => {
  const JOINTS = ["nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye", "right ear", "left ear"];
  const LIMBS = [[1, 2], [2, 3], [3, 4], [1, 5], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12], [12, 13], [1, 0],
    [0, 14], [14, 16], [0, 15], [15, 17]];
  const RIGHT = new Set([2, 3, 4, 8, 9, 10, 14, 16]);
  const COLOURS = ["#ff5a3c", "#2f9bff", "#ffc02e", "#35c46a", "#b26bff", "#ff6fae", "#19c3b2", "#9ac400"];
  const NOBODY = "#b5aca2";
  const SEEN = 30;
  const SVG = "http://www.w3.org/2000/svg";
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  function make(tag, attributes = {}, ...children) {
    const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "class" || tag.startsWith("svg:") || name.includes("-") || name === "for" || name === "role" || name === "list")
        node.setAttribute(name, value);
      else node[name] = value;
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  const svg = (tag, attributes, ...children) => make("svg:" + tag, attributes, ...children);
  const colour = (number) => (number === null || number === undefined ? NOBODY : COLOURS[number % COLOURS.length]);
  const button = (text, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, text);

  // One clock for the clip and the preview, so that both show the same moment.
  const clock = {
    time: 0, playing: !calm, duration: 0, video: null, last: performance.now(), watchers: new Set(),
    toggle() {
      this.playing = !this.playing;
      if (this.video) this.playing ? this.video.play().catch(() => {}) : this.video.pause();
      this.tell();
    },
    seek(time) {
      this.time = Math.max(0, Math.min(time, Math.max(0, this.duration - 1e-3)));
      if (this.video) this.video.currentTime = this.time;
      this.tell();
    },
    pause() { if (this.playing) this.toggle(); },
    // the moment of the frame that is on screen, where the browser says it; currentTime is ahead of it
    follow(video) {
      this.video = video;
      this.exact = !!(video && video.requestVideoFrameCallback);
      const shown = (_, frame) => {
        if (this.video !== video) return;
        this.time = frame.mediaTime;
        this.tell();
        video.requestVideoFrameCallback(shown);
      };
      if (this.exact) video.requestVideoFrameCallback(shown);
    },
    tell() { for (const watcher of this.watchers) watcher(this.time, this.playing); },
    step(now) {
      if (this.video && this.video.isConnected) {
        if (!this.exact) this.time = this.video.currentTime;
      } else if (this.playing && this.duration) {
        this.time = (this.time + (now - this.last) / 1000) % this.duration;
      }
      this.last = now;
      if (this.playing) this.tell();
      requestAnimationFrame((next) => this.step(next));
    },
  };
  requestAnimationFrame((now) => clock.step(now));

  async function fetched(url) {
    const answer = await fetch(url);
    return answer.ok ? answer.json() : { error: "The poses could not be loaded." };
  }

  // Skeletons over a picture; in edit mode their joints can be moved.
  class Skeletons {
    constructor(size, told = {}) {
      this.size = size;
      this.told = told;
      this.edit = false;
      this.frame = -1;
      this.poses = null;
      this.people = [];
      this.node = svg("svg", { viewBox: `0 0 ${size[1]} ${size[0]}`, class: "bk-skeletons", preserveAspectRatio: "none" });
      new ResizeObserver(() => this.draw()).observe(this.node);
    }
    show(poses, people) {
      this.poses = poses;
      this.people = people;
      this.frame = -1;
    }
    at(frame, person, joint) {
      const { people, values } = this.poses;
      const i = 3 * (18 * (people * frame + person) + joint);
      return [values[i], values[i + 1], values[i + 2]];
    }
    set(frame, person, joint, x, y, score) {
      const i = 3 * (18 * (this.poses.people * frame + person) + joint);
      [x, y, score].forEach((value, k) => { this.poses.values[i + k] = value; });
    }
    go(frame) {
      if (!this.poses || this.poses.error) return;
      const wanted = Math.max(0, Math.min(frame, this.poses.frames - 1));
      if (wanted !== this.frame) { this.frame = wanted; this.draw(); }
    }
    draw() {
      if (!this.poses || this.poses.error || this.frame < 0) { this.node.replaceChildren(); return; }
      const focus = document.activeElement && this.node.contains(document.activeElement) ? document.activeElement.dataset.joint : null;
      const box = this.node.getBoundingClientRect();
      const unit = box.width ? this.size[1] / box.width : 1;
      const parts = [];
      for (let person = 0; person < this.poses.people; person++) parts.push(this.figure(person, unit));
      this.node.replaceChildren(...parts);
      if (focus) this.node.querySelector(`[data-joint="${focus}"]`)?.focus();
    }
    figure(person, unit) {
      const told = this.people[person] || { colour: person };
      const tint = colour(told.colour);
      const group = svg("g", { class: "bk-figure" + (told.picked ? " picked" : ""), style: `--tint:${tint}` });
      const joints = JOINTS.map((_, joint) => this.at(this.frame, person, joint));
      const thick = (told.picked ? 5 : 3.5) * unit;
      for (const under of [true, false]) {
        for (const [a, b] of LIMBS) {
          if (joints[a][2] < SEEN || joints[b][2] < SEEN) continue;
          group.append(svg("line", {
            x1: joints[a][0], y1: joints[a][1], x2: joints[b][0], y2: joints[b][1],
            class: under ? "under" : RIGHT.has(a) || RIGHT.has(b) ? "right" : "left", "stroke-width": under ? thick + 2.5 * unit : thick,
          }));
        }
      }
      const shown = joints.filter((joint) => joint[2] >= SEEN);
      if (!shown.length) return group;
      if (this.edit) {
        joints.forEach((joint, number) => group.append(this.handle(person, number, joint, unit)));
      } else {
        shown.forEach(([x, y]) => group.append(svg("circle", { cx: x, cy: y, r: 2.6 * unit, class: "dot" })));
        if (this.told.select && this.poses.people + (this.others || 0) > 1) group.append(this.badge(person, shown, unit, told));
      }
      return group;
    }
    badge(person, shown, unit, told) {
      const top = shown.reduce((best, joint) => (joint[1] < best[1] ? joint : best));
      const y = Math.max(20 * unit, top[1] - 26 * unit);
      const pick = () => this.told.select(person);
      return svg("g", {
        class: "bk-badge", tabindex: 0, role: "button", "aria-label": `Person ${person + 1}`, "aria-pressed": String(!!told.picked),
        onclick: pick, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } },
      },
      svg("circle", { cx: top[0], cy: y, r: 22 * unit, class: "reach" }),
      svg("circle", { cx: top[0], cy: y, r: 13 * unit, class: "disc" }),
      svg("text", { x: top[0], y, "font-size": 15 * unit, "text-anchor": "middle", "dominant-baseline": "central" }, String(person + 1)));
    }
    handle(person, number, [x, y, score], unit) {
      const seen = score >= SEEN;
      if (!seen && !x && !y) [x, y] = [12 * unit + number * 10 * unit, this.size[0] - 12 * unit];
      const name = `${JOINTS[number]}${this.poses.people > 1 ? ` of person ${person + 1}` : ""}`;
      const node = svg("g", {
        class: "bk-joint" + (seen ? "" : " unseen"), tabindex: 0, role: "button", "data-joint": `${person}-${number}`,
        "aria-label": `${name}${seen ? "" : ", hidden"}; arrow keys move it, Delete hides it`,
      },
      svg("title", {}, seen ? name : `${name} (hidden: drag it to where it is)`),
      svg("circle", { cx: x, cy: y, r: 15 * unit, class: "reach" }),
      svg("circle", { cx: x, cy: y, r: 6 * unit, class: "knob" + (RIGHT.has(number) ? " right" : "") }));
      node.addEventListener("pointerdown", (event) => this.drag(event, person, number));
      node.addEventListener("keydown", (event) => this.key(event, person, number, unit));
      return node;
    }
    place(event) {
      const box = this.node.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.size[1];
      const y = ((event.clientY - box.top) / box.height) * this.size[0];
      return [Math.round(Math.max(0, Math.min(x, this.size[1]))), Math.round(Math.max(0, Math.min(y, this.size[0])))];
    }
    drag(event, person, joint) {
      event.preventDefault();
      const frame = this.frame;
      let moved = false;
      const move = (next) => {
        moved = true;
        this.set(frame, person, joint, ...this.place(next), 100);
        this.draw();
      };
      const up = (next) => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", up);
        if (moved) this.tell({ frame, person, joint, x: this.place(next)[0], y: this.place(next)[1] });
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", up);
      this.node.querySelector(`[data-joint="${person}-${joint}"]`)?.focus();
    }
    key(event, person, joint, unit) {
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const [x, y, score] = this.at(this.frame, person, joint);
      if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        this.set(this.frame, person, joint, x, y, score >= SEEN ? 0 : 100);
        this.tell({ frame: this.frame, person, joint, x: score >= SEEN ? null : x, y: score >= SEEN ? null : y });
        this.draw();
      } else if (ways[event.key]) {
        event.preventDefault();
        const pace = (event.shiftKey ? 12 : 3) * unit;
        const to = [x + ways[event.key][0] * pace, y + ways[event.key][1] * pace].map(Math.round);
        this.set(this.frame, person, joint, ...to, 100);
        this.draw();
        this.tell({ frame: this.frame, person, joint, x: to[0], y: to[1] }, 350);
      }
    }
    // A held key moves a joint many times and is told once. What waits is told before another joint's edit, and forgotten when its own comes.
    tell(edit, wait = 0) {
      clearTimeout(this.later);
      const before = this.waiting;
      this.waiting = null;
      if (before && ["frame", "person", "joint"].some((key) => before[key] !== edit[key])) this.told.edit(before);
      if (!wait) { this.told.edit(edit); return; }
      this.waiting = edit;
      this.later = setTimeout(() => { this.waiting = null; this.told.edit(edit); }, wait);
    }
  }

  function dropping(node, take) {
    node.addEventListener("dragover", (event) => { event.preventDefault(); node.classList.add("over"); });
    node.addEventListener("dragleave", () => node.classList.remove("over"));
    node.addEventListener("drop", (event) => {
      event.preventDefault();
      node.classList.remove("over");
      if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    });
  }

  function send(slot, file, on) {
    const request = new XMLHttpRequest();
    request.open("POST", `studio/upload/${slot}?name=${encodeURIComponent(file.name || "pasted")}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) on.share(event.loaded / event.total); };
    request.onload = () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* an answer that is none */ }
      if (request.status === 200) on.done();
      else on.failed(told.error || "The file did not arrive; reload the page and try again.");
    };
    request.onerror = () => on.failed("The file did not arrive; is the studio still running?");
    request.send(file);
  }

  function progress(busy) {
    const share = busy.share;
    return make("div", { class: "bk-busy", role: "status" },
      make("div", { class: "bk-bar" + (share === null || share === undefined ? " unknown" : "") },
        make("div", { style: `width:${Math.round(100 * (share ?? 0.3))}%` })),
      make("span", {}, busy.words + (busy.left ? ` · about ${busy.left} left` : " …")));
  }
  const notes = (lines) => (lines && lines.length
    ? make("details", { class: "bk-notes" }, make("summary", {}, lines.length === 1 ? "Something to look at" : `${lines.length} things to look at`),
      make("ul", {}, ...lines.map((line) => make("li", {}, line))))
    : null);
  const problem = (text) => (text ? make("p", { class: "bk-problem", role: "alert" }, text) : null);
  const ratio = (size) => `aspect-ratio:${size[1]}/${size[0]};--ratio:${size[1] / size[0]}`;

  const WORDS = {
    still: {
      title: "Character", ask: "Drop a picture here", accept: "image/*",
      hint: "A drawing, a photograph, a puppet: one figure or several, best seen whole.", or: "or take one of ours",
    },
    clip: {
      title: "Motion", ask: "Drop a clip here", accept: "video/*,image/gif,image/webp,.bvh,.json,.cues",
      hint: "Somebody moving, seen whole. BVH and OpenPose JSON work too.", or: "or take one of ours",
    },
  };

  // A still or a clip: what was found in it, over it.
  function stage(element, props, trigger, watch) {
    const root = element.firstElementChild;
    let local = { edit: false, bones: true, outline: false, keep: false, sending: null, failed: null };
    let skeletons = null, watcher = null, shownKey = null, posesUrl = null;

    function upload(file) {
      const slot = props.value.slot;
      local.failed = null;
      local.sending = { words: "Receiving", share: 0 };
      draw();
      send(slot, file, {
        share: (share) => { local.sending.share = share; refreshBusy(); },
        done: () => { local.sending = null; trigger("upload", {}); },
        failed: (text) => { local.sending = null; local.failed = text; draw(); },
      });
    }
    const chooser = make("input", { type: "file", class: "bk-file", tabIndex: -1, onchange: () => { if (chooser.files[0]) upload(chooser.files[0]); chooser.value = ""; } });
    dropping(root, upload);
    root.addEventListener("paste", (event) => { if (event.clipboardData.files[0]) upload(event.clipboardData.files[0]); });

    function refreshBusy() {
      const old = root.querySelector(".bk-busy");
      const busy = local.sending || (props.value && props.value.busy);
      if (old && busy) old.replaceWith(progress(busy)); else draw();
    }
    function empty(value, words) {
      return make("div", { class: "bk-empty" },
        button("", () => chooser.click(), { class: "bk-drop", "aria-label": words.ask }),
        make("div", { class: "bk-ask" }, make("span", { class: "bk-plus", "aria-hidden": "true" }), make("strong", {}, words.ask), make("span", {}, "or click to choose a file"),
          make("small", {}, words.hint)));
    }
    function pieces(value, words) {
      return make("div", { class: "bk-pieces" }, make("p", {}, value.key ? "Take another:" : words.or),
        make("div", { class: "bk-strip" }, ...value.pieces.map((piece) =>
          make("button", { type: "button", title: piece.name, "data-piece": piece.key, onclick: () => trigger("option_select", { key: piece.key }) },
            make("img", { src: piece.src, alt: "", loading: "lazy" }), make("span", {}, piece.name)))));
    }
    function media(value) {
      if (value.slot === "still") return make("img", { src: value.src, alt: `Your picture ${value.name}`, draggable: false });
      if (!value.src) return make("div", { class: "bk-blank" });
      const video = make("video", { src: value.src, muted: true, loop: true, playsInline: true, preload: "auto" });
      video.muted = true;
      if (clock.playing) video.play().catch(() => {});
      return video;
    }
    async function load(value) {
      if (typeof value.poses !== "string") return value.poses;
      return fetched(value.poses);
    }
    function frameOf(value, time) { return Math.floor(time * value.fps + 1e-3); }

    function table(value) {
      skeletons = new Skeletons(value.size, {
        select: (person) => trigger("select", { person }),
        edit: (told) => trigger("edit", told),
      });
      const picture = media(value);
      const node = make("div", { class: "bk-frame", style: ratio(value.size) }, picture,
        make("img", { class: "bk-outline", alt: "", hidden: true }), skeletons.node, make("div", { class: "bk-marks" }));
      if (value.slot === "clip") {
        clock.follow(value.src ? picture : null);
        clock.duration = value.frames / value.fps;
        clock.time = Math.min(clock.time, clock.duration);
        if (watcher) clock.watchers.delete(watcher);
        watcher = (time, playing) => {
          skeletons.go(frameOf(props.value, time));
          showThings();
          const slider = root.querySelector(".bk-time");
          if (slider && document.activeElement !== slider) slider.value = frameOf(props.value, time);
          const play = root.querySelector(".bk-play");
          if (play) { play.textContent = playing ? "❚❚" : "▶"; play.setAttribute("aria-label", playing ? "Pause" : "Play"); }
        };
        clock.watchers.add(watcher);
      }
      skeletons.node.addEventListener("click", (event) => {
        if (!local.keep) return;
        const [x, y] = skeletons.place(event);
        local.keep = false;
        trigger("apply", { what: "object", x, y, frame: skeletons.frame });
      });
      return node;
    }
    function showThings() {
      for (const mark of root.querySelectorAll(".bk-marks img")) mark.style.opacity = Number(mark.dataset.frame) === skeletons.frame ? 0.75 : 0;
    }
    function toolbar(value) {
      const bar = make("div", { class: "bk-tools" });
      if (value.slot === "clip") {
        bar.append(
          button(clock.playing ? "❚❚" : "▶", () => clock.toggle(), { class: "bk-play bk-icon", "aria-label": clock.playing ? "Pause" : "Play" }),
          make("input", {
            type: "range", class: "bk-time", min: 0, max: value.frames - 1, step: 1, value: 0, "aria-label": "Frame of the clip",
            oninput: (event) => { clock.pause(); clock.seek((Number(event.target.value) + 0.5) / value.fps); },
          }));
      }
      return bar;
    }
    function actions(value) {
      const row = make("div", { class: "bk-actions" });
      const toggle = (name, text, more = {}) => button(text, () => { local[name] = !local[name]; draw(); }, { "aria-pressed": String(local[name]), class: "bk-toggle", ...more });
      if (value.poses) row.append(toggle("bones", "Skeleton"));
      if (value.outline) row.append(toggle("outline", "Cut-out"));
      if (value.poses) {
        row.append(button(local.edit ? "Done" : "Fix joints", () => {
          local.edit = !local.edit;
          if (local.edit) { local.bones = true; clock.pause(); }
          else if (value.slot === "still" && value.pins) trigger("apply", { what: "outline" });
          draw();
        }, { "aria-pressed": String(local.edit), class: "bk-toggle bk-fix" }));
        if (value.pins) row.append(button("Undo", () => trigger("undo", {})), button("Undo all", () => trigger("undo", { everything: true })));
      }
      if (value.slot === "still" && !value.poses && !value.busy) {
        row.append(button("Place a figure by hand", () => { local.edit = true; local.bones = true; trigger("apply", { what: "draft" }); }, { class: "bk-strong" }));
      }
      if (value.slot === "clip" && value.poses) {
        const from = value.first ?? 0, to = value.last ?? value.frames;
        const here = () => Math.max(0, Math.min(value.frames - 1, frameOf(value, clock.time)));
        row.append(
          button("Start here", () => { const first = here(); trigger("apply", { what: "range", first, last: to > first ? value.last : null }); }, { title: "Leave out what comes before this moment" }),
          button("End here", () => { const last = here() + 1; trigger("apply", { what: "range", first: from < last ? value.first : null, last }); }, { title: "Leave out what comes after this moment" }));
        if (value.first !== null || value.last !== null) row.append(button("Whole clip", () => trigger("apply", { what: "range", first: null, last: null })));
        if (value.keeps) {
          row.append(button(local.keep ? "Click the thing …" : "Keep a thing in front", () => { local.keep = !local.keep; clock.pause(); draw(); }, { "aria-pressed": String(local.keep), class: "bk-toggle", title: "Click a ball, a hat, a chair that stays before your character" }));
          if (value.things.length) row.append(button(`Forget ${value.things.length === 1 ? "the thing" : "the things"}`, () => trigger("apply", { what: "no objects" })));
        }
      }
      return row;
    }
    function hint(value) {
      if (local.edit) return make("p", { class: "bk-hint" }, value.slot === "clip" ? "Drag a joint to where it is. The frames around follow. Arrow keys move it, Delete hides it." : "Drag a joint to where it is. Arrow keys move it, Delete hides it.");
      if (local.keep) return make("p", { class: "bk-hint" }, "Click the thing that shall stay in front of your character.");
      if (value.drafted && !value.pins) return make("p", { class: "bk-hint" }, "Nobody was recognised, so here is a figure: drag its joints onto yours.");
      if (value.slot === "clip" && (value.first !== null && value.first !== undefined || value.last !== null && value.last !== undefined))
        return make("p", { class: "bk-hint" }, `Frames ${value.first ?? 0} to ${(value.last ?? value.frames) - 1} of ${value.frames} are used.`);
      if (!value.busy && value.people && value.people.length > 1) return make("p", { class: "bk-hint" }, value.slot === "still" ? "Click a number, then the dancer who shall move this one." : "Click the number of the dancer.");
      return null;
    }
    async function draw() {
      const value = props.value;
      if (!value || !value.slot) return;
      const words = WORDS[value.slot];
      chooser.accept = words.accept;
      root.className = "bk-card bk-stage";
      root.dataset.slot = value.slot;
      if (value.key !== shownKey) local = { ...local, edit: local.edit && !!value.drafted, outline: false, keep: false };
      const kept = value.key && value.key === shownKey ? root.querySelector(".bk-frame") : null;
      const frame = value.key ? kept || table(value) : empty(value, words);
      const busy = local.sending || value.busy;
      const head = make("div", { class: "bk-headline" }, make("h2", {}, words.title), make("span", { class: "bk-name", title: value.name || "" }, value.name || ""),
        value.key && button("Replace", () => chooser.click()), value.key && button("✕", () => trigger("clear", {}), { class: "bk-icon", "aria-label": `Remove ${value.name}` }));
      const fresh = [head, chooser, frame, value.key && value.slot === "clip" ? toolbar(value) : null, busy ? progress(busy) : null, problem(local.failed || value.error),
        value.key ? actions(value) : null, hint(value), notes(value.notes), pieces(value, words)].filter(Boolean);
      if (kept) { for (const child of [...root.children]) if (child !== kept && !fresh.includes(child)) child.remove(); let after = null;
        for (const child of fresh) { if (child === kept) { after = kept; continue; } if (after) { after.after(child); after = child; } else kept.before(child); } }
      else root.replaceChildren(...fresh);
      if (value.key !== shownKey) { posesUrl = null; shownKey = value.key; }
      if (!value.key) {
        if (value.slot === "clip") { clock.follow(null); clock.duration = 0; if (watcher) clock.watchers.delete(watcher); }
        return;
      }
      const outline = frame.querySelector(".bk-outline");
      outline.hidden = !(local.outline && value.outline);
      if (value.outline) outline.src = value.outline;
      skeletons.edit = local.edit;
      skeletons.others = value.people && value.people.length > 1 ? 1 : 0;
      skeletons.people = value.people || [];
      skeletons.node.classList.toggle("editing", local.edit);
      skeletons.node.classList.toggle("keeping", local.keep);
      skeletons.node.style.display = local.bones || local.keep ? "" : "none";
      const marks = frame.querySelector(".bk-marks");
      marks.replaceChildren(...(value.things || []).map((thing) => make("img", { src: thing.src, alt: "A thing that stays in front", "data-frame": thing.frame })));
      showThings();
      const wanted = JSON.stringify(value.poses || null).slice(0, 20000) + value.pins;
      if (value.poses && wanted !== posesUrl) {
        posesUrl = wanted;
        const poses = await load(value);
        if (props.value.key !== value.key) return;
        skeletons.show(poses, props.value.people || []);
        skeletons.go(value.slot === "clip" ? frameOf(value, clock.time) : 0);
      } else if (!value.poses) skeletons.show(null, []);
      skeletons.draw();
    }
    let before = null;
    watch("value", () => {
      const now = props.value;
      const same = before && now && now.key === before.key && JSON.stringify({ ...now, busy: null }) === JSON.stringify({ ...before, busy: null }) && !!now.busy === !!before.busy;
      before = now;
      if (same && now.busy) refreshBusy(); else draw();
    });
    draw();
  }

  // The motion on the character before a run, the run, and what came of it.
  function result(element, props, trigger, watch) {
    const root = element.firstElementChild;
    root.className = "bk-card bk-stage";
    let skeletons = null, watcher = null, shown = null, early = null;

    function preview(told) {
      const picture = told.src ? make(told.video ? "video" : "img", { src: told.src, alt: "", muted: true, playsInline: true, preload: "auto" }) : make("div", { class: "bk-blank" });
      skeletons = new Skeletons(told.size);
      const failed = make("p", { class: "bk-problem", hidden: true });
      const frame = make("div", { class: "bk-frame bk-preview", style: ratio(told.size) }, picture, skeletons.node);
      const own = skeletons;
      fetched(told.poses).then((poses) => {
        if (poses.error) { failed.hidden = false; failed.textContent = poses.error; return; }
        own.size = poses.size;
        own.node.setAttribute("viewBox", `0 0 ${poses.size[1]} ${poses.size[0]}`);
        own.show(poses, told.colours.map((number) => ({ colour: number })));
        own.go(0);
      });
      if (watcher) clock.watchers.delete(watcher);
      watcher = (time) => {
        own.go(Math.floor(time * told.fps + 1e-3) - told.first);
        if (told.video && clock.video && Math.abs(picture.currentTime - time) > 0.15) picture.currentTime = time;
      };
      clock.watchers.add(watcher);
      return [frame, make("p", { class: "bk-hint" }, "This is the motion on your character. If a limb goes astray, fix its joints; then animate."), failed];
    }
    function loop(run) {
      // the first frames play while the others are made
      const picture = make("img", { alt: "The first frames", class: "bk-early" });
      const wait = make("img", { src: run.still, alt: "", class: "bk-waiting" });
      const frame = make("div", { class: "bk-frame", style: ratio(run.size) }, wait, picture);
      early = { picture, count: 0, version: -1, key: run.key, number: 0, fps: run.fps, images: [] };
      const own = early;
      const turn = () => {
        if (early !== own || !picture.isConnected) return;
        const ready = own.images.filter((image) => image && image.complete && image.naturalWidth);
        if (ready.length) { own.number = (own.number + 1) % ready.length; picture.src = ready[own.number].src; picture.classList.add("there"); }
        setTimeout(turn, 1000 / Math.min(25, own.fps || 12));
      };
      setTimeout(turn, 50);
      return frame;
    }
    function more(run) {
      if (!early || run.version === early.version || !run.early) return;
      early.version = run.version;
      early.fps = run.fps;
      for (let number = 0; number < run.early; number++) {
        if (number < early.images.length && !(run.early === 1)) continue;
        const image = new Image();
        image.src = `studio/early/${run.key}/${number}.jpg?v=${run.early === 1 ? run.version : 0}`;
        early.images[number] = image;
      }
    }
    function compare(run) {
      const after = make("video", { src: run.video, loop: true, playsInline: true, muted: true, autoplay: !calm, class: "bk-after" });
      after.muted = true;
      const video = run.compare === "clip" || false;
      const choices = [["still", "Picture"], ...(run.clip ? [["clip", "Clip"]] : [])];
      const under = make("div", { class: "bk-under" });
      const frame = make("div", { class: "bk-frame bk-compare" + (run.alpha ? " alpha" : ""), style: ratio(run.size) + ";--at:50%" }, after, under, make("div", { class: "bk-line", "aria-hidden": "true" }));
      const slider = make("input", { type: "range", class: "bk-slide", min: 0, max: 100, value: 50, "aria-label": "Before and after", oninput: () => frame.style.setProperty("--at", `${slider.value}%`) });
      frame.append(slider);
      const row = make("div", { class: "bk-actions" });
      let before = video ? "clip" : "still";
      const dress = () => {
        const node = before === "clip" ? make("video", { src: run.clip, loop: true, playsInline: true, muted: true }) : make("img", { src: run.still, alt: "Before" });
        under.replaceChildren(node);
        if (before === "clip") { node.muted = true; node.currentTime = after.currentTime + run.offset; if (!after.paused) node.play().catch(() => {}); }
        row.querySelectorAll("[data-before]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.before === before)));
      };
      after.addEventListener("timeupdate", () => {
        const other = under.querySelector("video");
        if (other && Math.abs(other.currentTime - run.offset - after.currentTime) > 0.12) other.currentTime = after.currentTime + run.offset;
        if (other && other.paused !== after.paused) after.paused ? other.pause() : other.play().catch(() => {});
      });
      const play = button(calm ? "▶" : "❚❚", () => { after.paused ? after.play() : after.pause(); }, { class: "bk-icon", "aria-label": "Play or pause" });
      after.addEventListener("play", () => { play.textContent = "❚❚"; });
      after.addEventListener("pause", () => { play.textContent = "▶"; });
      const sound = button("Sound", () => { after.muted = !after.muted; sound.setAttribute("aria-pressed", String(!after.muted)); }, { class: "bk-toggle", "aria-pressed": "false" });
      row.append(play, sound, make("span", { class: "bk-label" }, "Compare with"), ...choices.map(([key, text]) => button(text, () => { before = key; dress(); }, { class: "bk-toggle", "data-before": key, "aria-pressed": String(key === before) })),
        button("Result only", () => { slider.value = 0; frame.style.setProperty("--at", "0%"); }));
      dress();
      return [frame, row];
    }
    function downloads(run) {
      return make("div", { class: "bk-actions bk-downloads" }, ...run.files.map((file, number) =>
        make("a", { href: file.url, download: file.name, class: number ? "bk-link" : "bk-link bk-strong" }, `${number ? "" : "Download "}${number ? file.words : file.words.toLowerCase()}`)));
    }
    function draw() {
      const value = props.value || {};
      const run = value.run, told = value.preview;
      if (value.ready === undefined && value.problem) { root.replaceChildren(problem(value.problem)); shown = null; return; }
      const identity = run ? `${run.key} ${run.state}` : told ? JSON.stringify(told) : "nothing";
      if (run && identity === shown && run.state !== "done") {
        const old = root.querySelector(".bk-busy");
        if (old) old.replaceWith(progress(run.before ? { words: `${run.before === 1 ? "One video is" : `${run.before} videos are`} made before yours` } : run.busy));
        if (run.state === "running") more(run);
        return;
      }
      if (identity === shown && !run) { const old = root.querySelector(":scope > .bk-problem"); if (old) old.remove(); if (value.problem) root.append(problem(value.problem)); return; }
      shown = identity;
      early = null;
      if (watcher) { clock.watchers.delete(watcher); watcher = null; }
      const head = (text, ...more) => make("div", { class: "bk-headline" }, make("h2", {}, text), make("span", { class: "bk-name" }), ...more);
      const close = run && !["waiting", "running"].includes(run.state) ? button("Back to the preview", () => trigger("clear", {})) : null;
      let parts;
      if (run && (run.state === "waiting" || run.state === "running")) {
        parts = [head("In the making"), loop(run), progress(run.before ? { words: `${run.before === 1 ? "One video is" : `${run.before} videos are`} made before yours` } : run.busy),
          make("div", { class: "bk-actions" }, button("Cancel", () => trigger("stop", { key: run.key }), { class: "bk-strong bk-cancel" }), make("span", { class: "bk-label" }, "You may close this page; it goes on."))];
      } else if (run && run.state === "done") {
        parts = [head("Result", close), ...compare(run), downloads(run), make("p", { class: "bk-hint" }, run.made), notes(run.notes)];
      } else if (run) {
        parts = [head("No result", close), problem(run.error || "It was cancelled.")];
      } else if (told) {
        parts = [head("Preview"), ...preview(told)];
      } else {
        parts = [head("Result"), make("div", { class: "bk-empty bk-nothing" }, make("div", { class: "bk-ask" }, make("strong", {}, "Here your character will dance"), make("small", {}, "Choose a character and a motion first.")))];
      }
      root.replaceChildren(...parts.filter(Boolean));
      if (value.problem) root.append(problem(value.problem));
      if (run && run.state === "running") more(run);
      if (run && run.state === "done" && !element.dataset.first) element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    }
    watch("value", draw);
    draw();
  }

  function cast(element, props, trigger, watch) {
    const root = element.firstElementChild;
    root.className = "bk-card";
    function draw() {
      const { characters, dancers } = props.value || { characters: [], dancers: 0 };
      if (!characters.length) { root.replaceChildren(make("h3", {}, "Who moves as whom"), make("p", { class: "bk-hint" }, "Once people are found, you can pair them here.")); return; }
      root.replaceChildren(make("h3", {}, "Who moves as whom"), ...characters.map((dancer, one) => {
        const list = make("select", { "aria-label": `Who moves character ${one + 1}`, onchange: () => trigger("select", { character: one, dancer: list.value === "" ? null : Number(list.value) }) },
          ...Array.from({ length: dancers }, (_, number) => make("option", { value: String(number) }, dancers === 1 ? "moves as the dancer" : `moves as dancer ${number + 1}`)),
          make("option", { value: "" }, "stays still"));
        list.value = dancer === null ? "" : String(dancer);
        return make("label", { class: "bk-pair" }, make("span", { class: "bk-number", style: `--tint:${colour(dancer === null ? null : one)}` }, String(one + 1)),
          make("span", {}, characters.length === 1 ? "Your character" : `Character ${one + 1}`), list);
      }));
    }
    watch("value", draw);
    draw();
  }

  function scene(element, props, trigger, watch) {
    const root = element.firstElementChild;
    root.className = "bk-card";
    let local = { sending: null, failed: null };
    const chooser = make("input", { type: "file", class: "bk-file", tabIndex: -1, accept: "image/*,video/*", onchange: () => { if (chooser.files[0]) upload(chooser.files[0]); chooser.value = ""; } });
    function upload(file) {
      local = { sending: { words: "Receiving", share: 0 }, failed: null };
      draw();
      send("backdrop", file, { share: (share) => { local.sending.share = share; draw(); }, done: () => { local.sending = null; trigger("upload", {}); }, failed: (text) => { local = { sending: null, failed: text }; draw(); } });
    }
    dropping(root, upload);
    function draw() {
      const value = props.value;
      if (!value || !value.cards) return;
      const cards = value.cards.map((card) => {
        const chosen = card.key === value.chosen;
        return make("button", {
          type: "button", class: "bk-choice", role: "radio", "aria-checked": String(chosen), "data-scene": card.key,
          onclick: () => (card.key === "picture" && (!value.backdrop || chosen) ? chooser.click() : trigger("select", { key: card.key })),
        }, make("span", { class: `bk-glyph bk-${card.key}`, "aria-hidden": "true" }), make("strong", {}, card.name), make("small", {}, card.key === "picture" && value.backdrop ? value.backdrop : card.text));
      });
      const busy = local.sending || value.busy;
      root.replaceChildren(...[make("h3", {}, "Background"), make("div", { class: "bk-cards", role: "radiogroup", "aria-label": "Background" }, ...cards), chooser, busy ? progress(busy) : null, problem(local.failed || value.error)].filter(Boolean));
    }
    watch("value", draw);
    draw();
  }

  function history(element, props, trigger, watch) {
    const root = element.firstElementChild;
    const STATES = { waiting: "waiting", running: "in the making", failed: "did not work", cancelled: "cancelled" };
    function draw() {
      const runs = (props.value && props.value.runs) || [];
      root.className = runs.length ? "bk-card" : "bk-card bk-hidden";
      root.replaceChildren(make("h3", {}, "Your videos"), make("div", { class: "bk-runs" }, ...runs.map((run) => {
        const busy = run.state === "waiting" || run.state === "running";
        return make("article", { class: "bk-run" + (run.shown ? " shown" : "") },
          make("button", { type: "button", class: "bk-poster", "aria-label": `Show ${run.title}`, onclick: () => trigger("select", { key: run.key }) }, make("img", { src: run.poster, alt: "", loading: "lazy" }),
            run.state === "done" ? null : make("span", { class: "bk-state" }, STATES[run.state])),
          make("strong", { title: run.title }, run.title), make("small", {}, run.words),
          make("div", { class: "bk-actions" }, button("Same again with …", () => { trigger("retry", { key: run.key }); scrollTo({ top: 0, behavior: calm ? "auto" : "smooth" }); }, { title: "Put its picture, clip and choices back on the table, to change something" }),
            busy ? button("Cancel", () => trigger("stop", { key: run.key })) : button("Delete", () => trigger("delete", { key: run.key }))));
      })));
    }
    watch("value", draw);
    draw();
  }

  function head(element, props) {
    const root = element.firstElementChild;
    root.className = "bk-top";
    const dark = button("", () => {
      document.body.classList.toggle("dark");
      try { localStorage.setItem("bunraku-dark", String(document.body.classList.contains("dark"))); } catch { /* private windows */ }
      name();
    }, { class: "bk-dark" });
    const name = () => { dark.textContent = document.body.classList.contains("dark") ? "☀ Light" : "☾ Dark"; };
    try {
      const wanted = localStorage.getItem("bunraku-dark");
      if (wanted !== null) document.body.classList.toggle("dark", wanted === "true");
    } catch { /* private windows */ }
    root.replaceChildren(make("div", {}, make("h1", {}, make("span", { class: "bk-logo", "aria-hidden": "true" }), "bunraku studio"), make("p", {}, "Bring a still character to life with the motion of a clip.")), dark);
    name();
  }

  function foot(element, props) {
    const root = element.firstElementChild;
    root.className = "bk-foot";
    const { keep, limits } = props.value;
    root.replaceChildren(make("p", {}, `Your files stay on the machine that this studio runs on, nobody else sees them, and they are deleted ${keep} after your last click here, or when the studio is closed. ${limits}`));
  }

  function forget(element, props, trigger) {
    const root = element.firstElementChild;
    root.className = "bk-foot";
    const node = button("Delete all my files now", () => {
      if (node.dataset.sure) { delete node.dataset.sure; node.textContent = "Deleted."; trigger("delete", {}); setTimeout(() => { node.textContent = "Delete all my files now"; }, 2000); return; }
      node.dataset.sure = "1";
      node.textContent = "Really delete everything?";
      setTimeout(() => { if (node.dataset.sure) { delete node.dataset.sure; node.textContent = "Delete all my files now"; } }, 4000);
    });
    root.replaceChildren(node);
  }

  return { stage, result, cast, scene, history, head, foot, forget };
})();
window.BunrakuStudio = BunrakuStudio;
