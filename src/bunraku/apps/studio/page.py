"""The page: where everything is, and what happens when somebody touches it."""

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from bunraku import __version__
from bunraku.apps.studio import views
from bunraku.apps.studio.gallery import piece
from bunraku.apps.studio.session import COOKIE, Session, Sessions, Slot
from bunraku.apps.studio.words import duration
from bunraku.cues.corrections import Pin
from bunraku.perception.objects import Click

BUSY_PAUSE, PAUSE = 0.6, 3.0  # seconds between two looks at what has changed

PROPORTIONS = [
    ("Let the studio decide", "auto"),
    ("The character's own", "grounded"),
    ("The dancer's", "fit"),
    ("Exactly as filmed", "off"),
]

Touch = Callable[[Session, dict[str, Any]], None]


def style() -> dict[str, Any]:
    """Theme, style sheet and script."""
    sans = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
    theme = gr.themes.Base(
        primary_hue="red",
        secondary_hue="amber",
        neutral_hue="stone",
        font=sans,
        font_mono=("ui-monospace", "monospace"),
        radius_size="lg",
    )
    links = '<link rel="stylesheet" href="studio/web/studio.css"><script src="studio/web/studio.js"></script>'
    return {"theme": theme, "head": f'{links}<meta name="color-scheme" content="light dark">'}


def build(sessions: Sessions) -> gr.Blocks:
    """The page over the sessions of its visitors."""
    with gr.Blocks(title="bunraku studio", analytics_enabled=False, fill_width=True) as blocks:
        # kept by the page itself, with the rest of what it shows: answers may overtake each other
        known = gr.Textbox("{}", visible=False)
        _panel("head", {"version": __version__})
        with gr.Row(elem_classes="bk-tables", equal_height=False):
            with gr.Column(min_width=300):
                still = _panel("stage", views.empty("still"))
            with gr.Column(min_width=300):
                clip = _panel("stage", views.empty("clip"))
            with gr.Column(min_width=300):
                result = _panel("result")
                with gr.Row(elem_classes="bk-go"):
                    go = gr.Button("Animate", variant="primary", size="lg", interactive=False, elem_id="go")
        with gr.Row(elem_classes="bk-choices", equal_height=False):
            with gr.Column(min_width=280):
                cast = _panel("cast")
            with gr.Column(min_width=280, scale=2):
                scene = _panel("scene", views.scenes())
        with gr.Accordion("Fine-tuning", open=False, elem_classes="bk-fine"), gr.Row():
            with gr.Column(min_width=260):
                model = gr.Radio(
                    views.model_choices(sessions.rules.model), value=sessions.rules.model, label="How it is made"
                )
                seed = gr.Number(
                    0,
                    label="Variation",
                    info="Another number, another painting; the cut-out has only one.",
                    precision=0,
                    minimum=0,
                    maximum=2**31,
                )
            with gr.Column(min_width=260):
                proportions = gr.Radio(PROPORTIONS, value="auto", label="Proportions of the body")
            with gr.Column(min_width=260):
                calm = gr.Checkbox(False, label="Calm shaky motion")
                sound = gr.Checkbox(True, label="Keep the sound of the clip")
        history = _panel("history")
        _panel("foot", {"keep": duration(sessions.rules.keep), "limits": _limits(sessions)})
        forget = _panel("forget")
        timer = gr.Timer(PAUSE)

        panels = {"still": still, "clip": clip, "result": result, "cast": cast, "scene": scene, "history": history}
        controls = {"proportions": proportions, "model": model, "calm": calm, "sound": sound, "seed": seed}
        outputs = [known, *panels.values(), *controls.values(), go, timer]

        def shown(session: Session | None, before: str) -> list[Any]:
            """What has changed since the page was told last."""
            if session is None:
                gone = {"result": {"problem": "Everything of yours was deleted. Reload the page to begin anew."}}
                return [before, *(gone.get(name, gr.skip()) for name in panels), *[gr.skip()] * (len(controls) + 2)]
            page, last = views.page(session), json.loads(before)
            now = {name: views.mark(view) for name, view in page.items()}
            told, fresh = page["controls"], now["controls"] != last.get("controls")
            return [
                json.dumps(now),
                *(page[name] if now[name] != last.get(name) else gr.skip() for name in panels),
                *(gr.update(value=told[name]) if fresh else gr.skip() for name in controls),
                gr.update(interactive=told["ready"]) if fresh else gr.skip(),
                gr.update(value=BUSY_PAUSE if told["busy"] else PAUSE) if fresh else gr.skip(),
            ]

        def on(event: Callable[..., Any], touch: Touch | None, *inputs: gr.components.Component) -> None:
            """Let an event change the visitor's session, and show what came of it; without `touch` it is a look at it."""

            def handle(request: gr.Request, event: gr.EventData, before: str, *values: Any) -> list[Any]:
                session = sessions.of(request.cookies.get(COOKIE), sign=touch is not None)
                if session is not None and touch is not None:
                    touch(session, {"values": values} | (event._data if isinstance(event._data, dict) else {}))
                return shown(session, before)

            event(
                handle, [known, *inputs], outputs, show_progress="hidden", queue=False, api_visibility="private",
                trigger_mode="multiple",
            )  # fmt: skip

        def load(request: gr.Request) -> list[Any]:
            return shown(sessions.of(request.cookies.get(COOKIE), sign=True), "{}")

        blocks.load(load, None, outputs, show_progress="hidden", queue=False, api_visibility="private")
        on(timer.tick, None)
        for slot, stage in (("still", still), ("clip", clip)):
            _connect(on, slot, stage)  # type: ignore[arg-type]
        on(cast.select, lambda session, told: session.pair(_number(told, "character"), _number(told, "dancer", None)))
        on(scene.select, lambda session, told: _scene(session, str(told.get("key"))))
        on(scene.upload, lambda session, told: None)
        on(result.stop, lambda session, told: session.cancel(str(told.get("key"))))
        on(result.clear, lambda session, told: _show(session, None))
        on(history.select, lambda session, told: _show(session, str(told.get("key"))))
        on(history.retry, lambda session, told: session.again(str(told.get("key"))))
        on(history.delete, lambda session, told: session.forget(str(told.get("key"))))
        on(history.stop, lambda session, told: session.cancel(str(told.get("key"))))
        on(forget.delete, lambda session, told: session.close())
        on(go.click, lambda session, told: session.start())
        for name, control in controls.items():
            on(control.input, _chooser(name), control)  # type: ignore[attr-defined]
    blocks.queue(default_concurrency_limit=None)
    return blocks


def _connect(on: Callable[..., None], slot: Slot, stage: gr.HTML) -> None:
    """What a stage can do."""

    def pin(session: Session, told: dict[str, Any]) -> None:
        place = None if told.get("x") is None else (float(told["x"]), float(told["y"]))
        session.pin(slot, Pin(_number(told, "frame"), _number(told, "person"), _number(told, "joint"), place))

    def apply(session: Session, told: dict[str, Any]) -> None:
        if told.get("what") == "draft":
            session.draft()
        elif told.get("what") == "outline":
            session.outline()
        elif told.get("what") == "range":
            session.choose(first=told.get("first"), last=told.get("last"))
        elif told.get("what") == "object":
            session.keep(Click((float(told["x"]), float(told["y"])), _number(told, "frame")))
        elif told.get("what") == "no objects":
            session.choose(objects=())

    def take(session: Session, told: dict[str, Any]) -> None:
        if (chosen := piece(str(told.get("key")))) is not None and chosen.slot == slot:
            session.take(chosen)

    on(stage.upload, lambda session, told: None)
    on(stage.option_select, take)
    on(stage.select, lambda session, told: session.pick(slot, _number(told, "person")))
    on(stage.edit, pin)
    on(stage.apply, apply)
    on(stage.undo, lambda session, told: session.unpin(slot, everything=bool(told.get("everything"))))
    on(stage.clear, lambda session, told: session.remove(slot))


def _panel(kind: str, value: dict[str, Any] | None = None) -> gr.HTML:
    """A part of the page that web/studio.js draws from a value."""
    return gr.HTML(
        value, html_template="<div></div>", js_on_load=f"BunrakuStudio.{kind}(element, props, trigger, watch)",
        apply_default_css=False, elem_classes=f"bk-{kind}",
    )  # type: ignore[arg-type]  # fmt: skip


def _chooser(name: str) -> Touch:
    def choose(session: Session, told: dict[str, Any]) -> None:
        value = told["values"][0]
        if name == "seed":
            value = max(0, int(value or 0))
        session.choose(**{name: None if value == "auto" else value})

    return choose


def _scene(session: Session, key: str) -> None:
    if key in views.SCENES and (key != "picture" or session.choices.backdrop is not None):
        session.choose(scene=key)


def _show(session: Session, key: str | None) -> None:
    session.shown = None if key is None else session.run(key)


def _number(told: dict[str, Any], name: str, default: int | None = 0) -> Any:
    value = told.get(name)
    return default if value is None else int(value)


def _limits(sessions: Sessions) -> str:
    limits = sessions.rules.limits
    return f"Files of up to {limits.bytes / 2**20:.0f} MB, clips of up to {limits.seconds:g} seconds."
