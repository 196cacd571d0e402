"""The studio in a real browser, over a real server."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bunraku.apps.studio.session import Sessions
from bunraku.media import write_image
from tests.apps.studio.conftest import until

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 120_000  # ms; machines are shared

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
if not CHROMIUM.exists():
    pytest.skip("Chromium is absent", allow_module_level=True)


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def chromium(started: Any) -> Iterator[Any]:
    yield started
    for context in started.contexts:  # or its pages would visit the next test's studio
        context.close()


@pytest.fixture
def url(sessions: Sessions, chromium: Any) -> Iterator[str]:
    import uvicorn

    from bunraku.apps.studio.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(sessions), log_level="error", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:  # other processes of the tests look for ports meanwhile
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join(20)


def visit(chromium: Any, url: str, width: int = 1280, height: int = 900, **more: Any) -> Any:
    """A page of a visitor of its own; what goes wrong on it is in `page.problems`."""
    page = chromium.new_context(viewport={"width": width, "height": height}, **more).new_page()
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("response", lambda answer: page.problems.append(answer.url) if answer.status >= 400 else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else page.problems.append(asked.url),
    )
    page.goto(url)
    page.wait_for_selector("[data-slot=clip] .bk-pieces button")
    return page


def lay(page: Any, *pieces: str) -> None:
    for piece in pieces or ("crown", "dance"):
        page.click(f"[data-piece={piece}]")
    page.wait_for_selector("#go:not([disabled])")
    page.wait_for_selector(".bk-preview")


def test_the_whole_way(chromium: Any, url: str, tmp_path: Path) -> None:
    page = visit(chromium, url)
    lay(page)
    for slot in ("still", "clip"):
        page.wait_for_selector(f"[data-slot={slot}] .bk-skeletons .dot")
    page.click("[data-slot=still] >> text=Cut-out")
    page.wait_for_function("document.querySelector('[data-slot=still] .bk-outline').naturalWidth > 0")
    page.wait_for_selector(".bk-preview .bk-skeletons .dot")
    first = page.inner_html(".bk-preview .bk-skeletons")
    page.wait_for_function(
        "before => document.querySelector('.bk-preview .bk-skeletons').innerHTML !== before", arg=first
    )
    page.click("[data-scene=driving]")
    page.wait_for_selector(".bk-preview video")
    page.wait_for_selector(".bk-preview .bk-skeletons .dot")
    page.click("[data-scene=reference]")
    page.wait_for_selector(".bk-preview img")
    page.click("#go")
    page.wait_for_selector(".bk-compare")
    page.wait_for_function("document.querySelector('.bk-after').videoWidth > 0")
    page.locator(".bk-slide").fill("20")
    assert page.locator(".bk-compare").evaluate("node => node.style.getPropertyValue('--at')") == "20%"
    for name in ("Download video", "Sheet", "Motion", "Pose"):
        with page.expect_download() as download:
            page.click(f".bk-downloads >> text={name}")
        download.value.save_as(tmp_path / download.value.suggested_filename)
    assert {path.suffix for path in tmp_path.glob("Pink*")} == {".mp4", ".png", ".cues", ".json"}
    page.click("[data-scene=transparent]")
    page.click("#go")
    page.wait_for_selector(".bk-compare.alpha")
    assert page.locator(".bk-run").count() == 2
    page.locator(".bk-run >> text=Same again with").last.click()
    page.wait_for_selector("[data-scene=reference][aria-checked=true]")
    page.locator(".bk-run >> text=Delete").first.click()
    page.wait_for_function("document.querySelectorAll('.bk-run').length === 1")
    assert page.problems == []


def test_cancel_leaves_nothing(chromium: Any, url: str, sessions: Sessions, gate: threading.Event) -> None:
    page = visit(chromium, url)
    lay(page)
    page.click("#go")
    page.wait_for_selector(".bk-early.there")
    (session,) = sessions._sessions.values()
    (run,) = session.runs
    page.click(".bk-cancel")
    page.wait_for_selector(".bk-preview")
    until(lambda: run.state == "cancelled")
    assert not run.folder.exists()
    assert page.locator(".bk-run").count() == 0
    assert page.problems == []


def test_reload_during_a_run(chromium: Any, url: str, gate: threading.Event) -> None:
    page = visit(chromium, url)
    lay(page)
    page.click("#go")
    page.wait_for_selector(".bk-early.there")
    page.reload()
    page.wait_for_selector(".bk-cancel")
    page.wait_for_selector(".bk-early.there")
    assert page.text_content("[data-slot=still] .bk-name") == "Pink crown"
    gate.set()
    page.wait_for_selector(".bk-compare")
    assert page.problems == []


def test_two_users_at_once(chromium: Any, url: str, gate: threading.Event) -> None:
    one, other = visit(chromium, url), visit(chromium, url)
    lay(one, "crown", "dance")
    lay(other, "hat", "walk")
    one.click("#go")
    one.wait_for_selector(".bk-early.there")
    other.click("#go")
    other.wait_for_selector("text=One video is made before yours")
    assert other.text_content("[data-slot=still] .bk-name") == "Top hat"
    assert other.locator(".bk-run").count() == 1
    picture = one.get_attribute("[data-slot=still] .bk-frame > img", "src")
    assert one.request.get(url + picture).status == 200
    assert other.request.get(url + picture).status == 404
    gate.set()
    for page in (one, other):
        page.wait_for_selector(".bk-compare")
        assert page.problems == []


def test_a_phone(chromium: Any, url: str) -> None:
    page = visit(chromium, url, 390, 844, has_touch=True, is_mobile=True, device_scale_factor=2)
    lay(page, "friends", "duet")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap("[data-slot=still] .bk-badge >> nth=0")
    page.wait_for_selector("[data-slot=still] .picked")
    page.tap("[data-slot=clip] .bk-badge >> nth=1")
    page.wait_for_function("document.querySelector('.bk-pair select').value === '1'")
    small = page.evaluate(
        "[...document.querySelectorAll('.bk-card button, .bk-card a, .bk-card select')].map(node => node.getBoundingClientRect())"
        ".filter(box => box.width && box.height < 36).length"
    )
    assert small == 0, "controls that fingers miss"
    page.tap("#go")
    page.wait_for_selector(".bk-compare")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.problems == []


def test_by_keyboard_alone(chromium: Any, url: str, sessions: Sessions) -> None:
    page = visit(chromium, url)
    lay(page)
    page.focus("[data-slot=still] .bk-fix")
    page.keyboard.press("Enter")
    joint = page.locator("[data-slot=still] [data-joint='0-4']")
    joint.focus()
    (session,) = sessions._sessions.values()
    before = session.still.people.keypoints[0, 0, 4].copy()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    until(lambda: session.still.pins)
    assert session.still.people.keypoints[0, 0, 4, 0] > before[0]
    page.keyboard.press("Delete")
    until(lambda: session.still.people.scores[0, 0, 4] == 0)
    page.wait_for_selector("[data-slot=still] >> text=Undo all")
    page.focus("[data-slot=still] >> text=Undo all")
    page.keyboard.press("Enter")
    until(lambda: not session.still.pins)
    assert np.allclose(session.still.people.keypoints[0, 0, 4], before)
    for number in (4, 7):  # on to another joint before the first was told
        page.locator(f"[data-slot=still] [data-joint='0-{number}']").focus()
        page.keyboard.press("ArrowUp")
    until(lambda: {pin.joint for pin in session.still.pins} == {4, 7})
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Delete")  # what waited for the same joint must not bring it back
    until(lambda: session.still.people.scores[0, 0, 7] == 0)
    time.sleep(1)
    assert session.still.people.scores[0, 0, 7] == 0
    page.focus("#go")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bk-compare")
    assert page.problems == []


def test_drag_a_joint(chromium: Any, url: str, sessions: Sessions) -> None:
    page = visit(chromium, url)
    lay(page)
    (session,) = sessions._sessions.values()
    for slot in ("still", "clip"):
        page.click(f"[data-slot={slot}] .bk-fix")
        frame = page.locator(f"[data-slot={slot}] .bk-frame").bounding_box()
        joint = page.locator(f"[data-slot={slot}] [data-joint='0-7'] .knob").bounding_box()
        page.mouse.move(joint["x"] + joint["width"] / 2, joint["y"] + joint["height"] / 2)
        page.mouse.down()
        page.mouse.move(frame["x"] + frame["width"] / 4, frame["y"] + frame["height"] / 5, steps=4)
        page.mouse.up()
        item = getattr(session, slot)
        until(lambda slot=slot: getattr(session, slot).pins)
        item = getattr(session, slot)
        (pin,) = item.pins
        height, width = item.people.size
        assert (pin.person, pin.joint) == (0, 7)
        assert np.allclose(pin.place, (width / 4, height / 5), atol=1.5)
        page.click(f"[data-slot={slot}] .bk-fix")
    assert page.problems == []


def test_files_of_ones_own(chromium: Any, url: str, puppets: Path, tmp_path: Path) -> None:
    page = visit(chromium, url)
    write_image(tmp_path / "<b>wall.png", np.full((120, 90, 3), 90, np.uint8))
    page.set_input_files("[data-slot=still] input[type=file]", tmp_path / "<b>wall.png")
    page.wait_for_selector("text=Place a figure by hand")
    assert page.text_content("[data-slot=still] .bk-name") == "<b>wall.png"
    page.click("text=Place a figure by hand")
    page.wait_for_selector("[data-slot=still] [data-joint='0-0']")
    page.set_input_files("[data-slot=clip] input[type=file]", tmp_path / "<b>wall.png")
    page.wait_for_selector("[data-slot=clip] .bk-problem")
    assert "is a picture" in page.text_content("[data-slot=clip] .bk-problem")
    page.set_input_files("[data-slot=clip] input[type=file]", puppets / "b.cues")
    page.wait_for_selector("#go:not([disabled])")
    page.wait_for_selector(".bk-preview .bk-skeletons .dot")
    assert page.problems == []


def test_dark_and_light(chromium: Any, url: str) -> None:
    page = visit(chromium, url, color_scheme="dark")
    colour = "getComputedStyle(document.querySelector('.bk-card')).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.evaluate(colour)[:3]) < 80
    page.click(".bk-dark")
    assert min(page.evaluate(colour)[:3]) > 200
    page.reload()
    page.wait_for_selector("[data-slot=clip] .bk-pieces button")
    time.sleep(0.5)
    assert min(page.evaluate(colour)[:3]) > 200


def test_delete_everything(chromium: Any, url: str, sessions: Sessions) -> None:
    page = visit(chromium, url)
    lay(page)
    (session,) = sessions._sessions.values()
    page.click("text=Delete all my files now")
    page.click("text=Really delete everything?")
    page.wait_for_function("document.querySelectorAll('.bk-drop').length === 2")
    assert not list(session.folder.iterdir())
    assert page.problems == []
