"""What the page is told: a session as plain values, the same values for the same session."""

import hashlib
from typing import Any

import numpy as np

from bunraku.animate.models import model_names
from bunraku.apps.studio.gallery import PIECES
from bunraku.apps.studio.items import Choices, Clip, Still, retargeted, thing_file
from bunraku.apps.studio.session import Run, Session, Slot
from bunraku.apps.studio.words import plain
from bunraku.apps.studio.work import Work
from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, PoseTrack
from bunraku.puppet_warp import PUPPET_WARP

View = dict[str, Any]

SCENES = {
    "reference": ("The picture's own", "The background of your picture stays."),
    "driving": ("The dancer's", "Your character takes the dancer's place in the clip."),
    "transparent": ("None", "A video with a transparent background, to be laid over others."),
    "picture": ("Another picture", "A picture or a video of yours."),
}

LOOKS = {
    PUPPET_WARP: "Paper cut-out: sharp, quick, moves several",
    "bunraku": "Cut-out, its edges and holes mended by a network: a little softer",
    "mini": "Painted, small: a demonstration at 128 px",
}


def page(session: Session) -> dict[str, View]:
    """Every panel of the page, by name."""
    return {
        "still": still(session),
        "clip": clip(session),
        "result": result(session),
        "cast": cast(session),
        "scene": scene(session),
        "history": {"runs": [_card(run, session) for run in session.runs]},
        "controls": controls(session),
    }


def empty(slot: Slot) -> View:
    """The panel of a character or a motion before there is any, with the pieces that may be taken."""
    pieces = [
        {"key": piece.key, "name": piece.name, "src": f"studio/gallery/{piece.key}.jpg"}
        for piece in PIECES if piece.slot == slot
    ]  # fmt: skip
    return {"slot": slot, "pieces": pieces}


def still(session: Session) -> View:
    """The panel of the character."""
    item = session.still
    view: View = empty("still") | _looking(session, "still")
    if item is None:
        return view
    people = item.people
    return view | {
        "key": item.key,
        "name": item.name,
        "src": _url(item.key, item.shown.name),
        "size": item.size,
        "outline": _url(item.key, item.outline.name) if item.outline else None,
        "poses": None if people is None else poses(people, 1),
        "people": _people(session, "still"),
        "notes": _notes(session, item),
        "pins": len(item.pins),
        "drafted": item.drafted,
    }


def clip(session: Session) -> View:
    """The panel of the motion."""
    item = session.clip
    view: View = empty("clip") | _looking(session, "clip")
    if item is None:
        return view
    frames, fps = item.driving.source, float(item.driving.source.fps)
    return view | {
        "key": item.key,
        "name": item.name,
        "src": _url(item.key, item.proxy.name) if item.proxy else None,
        "size": _size(item),
        "fps": fps,
        "frames": len(frames),
        "poses": None if item.people is None else f"studio/poses/clip/{mark(item)}",
        "people": _people(session, "clip"),
        "notes": _notes(session, item),
        "pins": len(item.pins),
        "first": session.choices.first,
        "last": session.choices.last,
        "things": [
            {"frame": click.frame, "src": _url(item.key, thing_file(item, click).name)}
            for click in session.choices.objects
        ],
        "keeps": session.choices.scene == "driving" and item.proxy is not None,
    }


def result(session: Session) -> View:
    """The panel of what comes of it: a run, or the preview."""
    setup, run = session.setup(), session.shown
    problem = session.problems.get("result")
    view: View = {"problem": problem and plain(problem, session.names()), "ready": setup is not None}
    if run is not None:
        return view | {"run": _run(run, session)}
    if setup is None or setup.clip.people is None:
        return view
    inside = session.choices.scene == "driving" and setup.clip.proxy is not None
    source = setup.clip.proxy if inside else setup.still.shown
    return view | {
        "preview": {
            "src": _url(setup.clip.key if inside else setup.still.key, source.name) if source else None,
            "video": inside,
            "size": _size(setup.clip) if inside else setup.still.size,
            "fps": float(setup.clip.driving.source.fps),
            "first": session.choices.first or 0,
            "poses": f"studio/poses/preview/{mark(setup.still, setup.clip, session.choices)}",
            "colours": [one for one, _ in setup.pairs()],
        }
    }


def preview(session: Session) -> View:
    """The motion as it is brought onto the characters, or why it cannot be."""
    if (setup := session.setup()) is None:
        return {"error": "nothing to show"}
    try:
        track, _ = retargeted(setup)
    except BunrakuError as error:
        return {"error": plain(str(error), session.names())}
    return poses(track, float(setup.clip.driving.source.fps))


def poses(track: PoseTrack, fps: float) -> View:
    """The bodies of a track, numbers in a row: x, y and score in percent, joint by joint, person by person, frame by frame."""
    points = np.nan_to_num(track.keypoints[:, :, BODY], posinf=0, neginf=0)
    values = np.concatenate([points, 100 * track.scores[:, :, BODY, None]], -1)
    values = np.clip(np.rint(values), -(10**6), 10**6).astype(int)
    return {
        "fps": fps,
        "people": track.people,
        "frames": len(track),
        "size": track.size,
        "values": values.ravel().tolist(),
    }


def cast(session: Session) -> View:
    """Who moves as whom."""
    setup = session.setup()
    people, dancers = (setup.still.people, setup.clip.people) if setup else (None, None)
    if setup is None or people is None or dancers is None:
        return {"characters": [], "dancers": 0}
    pairs = dict(setup.pairs())
    return {"characters": [pairs.get(one) for one in range(people.people)], "dancers": dancers.people}


def scenes() -> View:
    """What may be behind the character."""
    cards = [{"key": key, "name": name, "text": text} for key, (name, text) in SCENES.items()]
    return {"cards": cards, "chosen": Choices().scene, "backdrop": ""}


def scene(session: Session) -> View:
    """What is behind the character."""
    chosen = {"chosen": session.choices.scene, "backdrop": session.choices.backdrop_name}
    return scenes() | chosen | _looking(session, "backdrop")


def controls(session: Session) -> View:
    """Values of the page's ordinary controls."""
    choices, setup = session.choices, session.setup()
    busy = any(work.busy for work in session.looks.values())
    return {
        "proportions": choices.proportions or "auto", "model": choices.model, "calm": choices.calm, "sound": choices.sound,
        "seed": choices.seed, "ready": setup is not None and not busy, "busy": session.busy,
    }  # fmt: skip


def model_choices(own: str) -> list[tuple[str, str]]:
    """(words, name) of the models that can be chosen; `own` is the studio's."""
    names = [name for name in (own, *LOOKS) if name not in LOOKS or name in model_names()]
    return [(LOOKS.get(name, f"{name}"), name) for name in dict.fromkeys(names)]


def _looking(session: Session, slot: Slot) -> View:
    work, problem = session.looks.get(slot), session.problems.get(slot)
    if work is None or problem:
        return {"busy": None, "error": problem and plain(problem, session.names())}
    error = work.error and plain(work.error, session.names())
    return {
        "busy": _busy(work) if work.busy else None,
        "error": "Something went wrong in here." if work.crashed else error,
    }


def _busy(work: Work) -> View:
    return {"words": work.words, "share": work.share, "left": work.left}


def _notes(session: Session, item: Still | Clip) -> list[str]:
    return [plain(note, session.names()) for note in item.notes]


def _people(session: Session, slot: Slot) -> list[View]:
    """Whose colour everybody has: that of the character who moves, or None."""
    setup, item = session.setup(), session.still if slot == "still" else session.clip
    track = None if item is None else item.people
    pairs = [] if setup is None else list(setup.pairs())
    colours = {number: number for number in range(track.people if track else 0)}
    if setup is not None:
        colours = {one: one for one, _ in pairs} if slot == "still" else {other: one for one, other in reversed(pairs)}
    return [
        {"colour": colours.get(number), "picked": slot == "still" and session.picked == number}
        for number in range(track.people if track else 0)
    ]


def _run(run: Run, session: Session) -> View:
    before = session.before(run) if run.state == "waiting" else 0
    setup = run.setup
    inside = setup.choices.scene == "driving"
    view: View = {
        "key": run.key, "state": run.state, "busy": _busy(run), "before": before,
        "still": _url(setup.still.key, setup.still.shown.name), "size": setup.still.size,
        "clip": _url(setup.clip.key, setup.clip.proxy.name) if setup.clip.proxy else None,
        "offset": (setup.choices.first or 0) / float(setup.clip.driving.source.fps),
        "compare": "clip" if inside and setup.clip.proxy else "still",
    }  # fmt: skip
    if run.state == "running":
        view |= {"early": len(run.early), "version": run.version, "fps": float(setup.clip.driving.source.fps)}
    if run.state == "failed":
        view |= {"error": "Something went wrong in here." if run.crashed else plain(run.error or "", session.names())}
    if run.state == "done" and run.made is not None:
        view |= {
            "video": _url(run.key, run.made.output.name),
            "size": run.made.size,
            "made": f"{run.made.frames} frames of {run.made.size[1]} x {run.made.size[0]} px in {sum(run.made.seconds.values()):.0f} s",
            "files": [{"words": words, "url": _url(run.key, file.name), "name": _download(run, file.name)} for words, file in run.files.items()],
            "notes": [plain(note, session.names()) for note in run.notes],
            "alpha": setup.choices.scene == "transparent",
        }  # fmt: skip
    return view


def _card(run: Run, session: Session) -> View:
    choices = run.setup.choices
    words = [SCENES[choices.scene][0] + (" background" if choices.scene != "picture" else f": {choices.backdrop_name}")]
    words += [f"variation {choices.seed}"] * bool(choices.seed) + ["calmed"] * choices.calm
    if choices.model != PUPPET_WARP:
        words.append(LOOKS.get(choices.model, choices.model).split(":")[0])
    return {
        "key": run.key,
        "state": run.state,
        "shown": run is session.shown,
        "title": f"{run.setup.still.name} × {run.setup.clip.name}",
        "words": ", ".join(words),
        "poster": _url(run.key, run.poster.name) if run.state == "done" else _url(run.setup.still.key, run.setup.still.shown.name),
    }  # fmt: skip


def _download(run: Run, file: str) -> str:
    stem = run.setup.still.name.rsplit(".", 1)[0]
    kind = file.rsplit(".", 1)
    return f"{stem} {kind[0]}.{kind[1]}" if kind[0] != "video" else f"{stem}.{kind[1]}"


def _size(item: Clip) -> tuple[int, int]:
    source = item.driving.source
    return source.size[0], source.size[1]


def _url(key: str, name: str) -> str:
    return f"studio/files/{key}/{name}"


def mark(*things: object) -> str:
    """Another one for other things, the same for the same."""
    return hashlib.sha256("|".join(repr(thing) if not isinstance(thing, Still | Clip) else f"{thing.key}{thing.pins}" for thing in things).encode()).hexdigest()[:12]  # fmt: skip
