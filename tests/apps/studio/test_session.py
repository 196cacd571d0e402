"""A visitor's table: what is put there, chosen, mended, made, and deleted."""

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bunraku.animate.gallery import CHARACTERS
from bunraku.animate.reference import open_reference
from bunraku.apps.studio import session as module
from bunraku.apps.studio import views
from bunraku.apps.studio.session import MOST_RUNS, MOST_WAITING, Rules, Session, Sessions
from bunraku.apps.uploads import Limits
from bunraku.cues.corrections import Pin
from bunraku.cues.cues import Cues
from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, read_image, write_image
from tests.apps.studio.conftest import laid, until


def put(session: Session, slot: Any, file: Path, name: str | None = None) -> None:
    with session.receiving() as path:
        shutil.copy(file, path)
        session.put(slot, path, name or file.name)
    until(lambda: not session.busy)


def test_the_whole_way_with_the_gallery(session: Session) -> None:
    laid(session)
    session.start()
    until(lambda: not session.busy)
    (run,) = session.runs
    assert run.state == "done", run.error
    assert set(run.files) == {"Video", "Sheet", "Motion", "Pose"}
    assert len(VideoReader(run.files["Video"])) == 6
    cues = Cues.load(run.files["Motion"])
    assert len(cues) == 6
    assert cues.media is None
    assert read_image(run.poster).shape[2] == 3
    assert not run.early
    shown = views.page(session)["result"]["run"]
    assert shown["state"] == "done"
    assert [file["name"] for file in shown["files"]] == ["Pink crown.mp4", "Pink crown sheet.png", "Pink crown motion.cues", "Pink crown pose.json"]  # fmt: skip


def test_an_uploaded_picture_in_which_nobody_is_found_gets_a_figure_by_hand(session: Session, tmp_path: Path) -> None:
    write_image(tmp_path / "wall.png", np.full((120, 90, 3), 90, np.uint8))
    put(session, "still", tmp_path / "wall.png", "../../my wall\x00.png")
    assert session.still is not None
    assert session.still.name == "my wall.png"
    assert session.still.people is None
    assert "my wall.png" in views.page(session)["still"]["notes"][0]
    session.draft()
    assert session.still.drafted
    session.pin("still", Pin(0, 0, 4, (12.0, 34.0)))
    assert session.still.people is not None
    assert session.still.people.keypoints[0, 0, 4].tolist() == [12, 34]
    session.unpin("still")
    assert session.still.people.keypoints[0, 0, 4].tolist() != [12, 34]


def test_a_drawing_of_the_gallery_keeps_its_mask(session: Session) -> None:
    drawn = CHARACTERS[0]
    laid(session, drawn.key, "dance")
    assert session.still is not None
    assert session.still.outline is not None
    session.pin("still", Pin(0, 0, 4, (1.0, 2.0)))
    reference, shipped = session.still.reference(), open_reference(drawn.file)
    assert reference.matte is not None
    assert (reference.matte == shipped.matte).all()
    assert reference.known_people is session.still.people


def test_uploaded_motion_drives(session: Session, puppets: Path) -> None:
    laid(session, "crown", "walk")
    put(session, "clip", puppets / "b.cues")
    assert session.clip is not None
    assert session.clip.people is not None
    session.choose(first=2, last=7)
    session.start()
    until(lambda: not session.busy)
    assert session.runs[0].state == "done", session.runs[0].error
    assert len(VideoReader(session.runs[0].files["Video"])) == 5


@pytest.mark.parametrize(("slot", "name", "words"), [("still", "b.mp4", "is no picture"), ("clip", "a.png", "is a picture"), ("backdrop", "b.cues", "neither a picture nor a video"), ("still", "b.cues", "is no picture")])  # fmt: skip
def test_files_in_the_wrong_place_are_refused_in_words(
    slot: str, name: str, words: str, session: Session, puppets: Path
) -> None:
    put(session, slot, puppets / name)
    assert words in views.page(session)["scene" if slot == "backdrop" else slot]["error"]
    assert not session.busy


def test_click_a_character_then_a_dancer(session: Session) -> None:
    laid(session, "friends", "duet")
    setup = session.setup()
    assert setup is not None
    automatic = setup.pairs()
    assert len(automatic) == 2
    session.pick("clip", 1)  # nobody waits for a dancer
    assert session.choices.pairs is None
    first, second = (driver for _, driver in automatic)
    session.pick("still", 0)
    assert session.picked == 0
    session.pick("clip", second)
    assert session.picked is None
    assert session.choices.pairs == ((0, second), (1, second))
    session.pair(1, None)
    assert session.choices.pairs == ((0, second),)
    session.pair(0, None)
    assert session.problems
    assert session.choices.pairs == ((0, second),)
    assert [row["colour"] for row in views.page(session)["clip"]["people"]] == [
        0 if i == second else None for i in (0, 1)
    ]
    session.start()
    until(lambda: not session.busy)
    assert session.runs[0].state == "done", session.runs[0].error
    assert first != second


def test_a_joint_of_the_clip_that_was_put_right_is_what_drives(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven: list[Any] = []
    animate = module.animate
    monkeypatch.setattr(module, "animate", lambda *inputs: driven.append(inputs[1]) or animate(*inputs))
    laid(session)
    session.pin("clip", Pin(3, 0, 7, (40.0, 20.0)))
    session.choose(first=2)
    session.start()
    until(lambda: not session.busy)
    assert session.runs[0].state == "done", session.runs[0].error
    assert driven[0].cues(module.Choices().options()).pose.keypoints[1, 0, 7].tolist() == [40, 20]


def test_pins_from_elsewhere_are_not_taken(session: Session) -> None:
    laid(session)
    for pin in (Pin(99, 0, 0, (1, 1)), Pin(0, 5, 0, (1, 1)), Pin(0, 0, 40, (1, 1)), Pin(-1, 0, 0, (1, 1))):
        session.pin("clip", pin)
    assert session.clip is not None
    assert not session.clip.pins


def test_cancel_leaves_nothing(session: Session, gate: threading.Event) -> None:
    laid(session)
    session.start()
    (run,) = session.runs
    until(lambda: run.early)
    assert run.folder.exists()
    page = views.page(session)
    assert page["result"]["run"]["early"] > 0
    assert page["controls"]["busy"]
    session.cancel(run.key)
    until(lambda: run.state == "cancelled")
    assert not run.folder.exists()
    assert not session.runs
    assert not run.early
    assert views.page(session)["result"].get("preview")


def test_more_than_a_few_may_not_wait(session: Session, gate: threading.Event) -> None:
    laid(session)
    for _ in range(MOST_WAITING + 2):
        session.start()
    assert len(session.runs) == MOST_WAITING
    assert session.problems
    assert [session.before(run) for run in reversed(session.runs)] == [0, 1, 2]


def test_same_again_puts_everything_back(session: Session) -> None:
    laid(session)
    session.choose(calm=True, seed=7)
    session.start()
    until(lambda: not session.busy)
    made = session.runs[0].setup
    laid(session, "hat", "walk")
    session.choose(calm=False)
    session.again(session.runs[0].key)
    assert (session.still, session.clip) == (made.still, made.clip)
    assert (session.choices.calm, session.choices.seed) == (True, 7)
    session.choose(scene="transparent")
    session.start()
    until(lambda: not session.busy)
    assert session.runs[0].files["Video"].suffix == ".webm"
    assert session.runs[1].setup is made


def test_the_scene_of_the_dancer_and_a_picture(session: Session, puppets: Path) -> None:
    laid(session)
    put(session, "backdrop", puppets / "a.png", "stage.png")
    assert session.choices.scene == "picture"
    for scene in ("picture", "driving"):
        session.choose(scene=scene)
        poses = views.preview(session)
        assert "error" not in poses, poses
        session.start()
        until(lambda: not session.busy)
        assert session.runs[0].state == "done", session.runs[0].error


def test_what_nothing_refers_to_is_deleted(session: Session) -> None:
    laid(session)
    session.start()
    until(lambda: not session.busy)
    kept = {session.runs[0].key, session.runs[0].setup.still.key, session.runs[0].setup.clip.key}
    laid(session, "hat", "walk")
    laid(session, "winter", "dance")
    session.sweep()
    assert session.still is not None
    assert session.clip is not None
    assert {path.name for path in session.folder.iterdir()} == kept | {session.still.key, session.clip.key}
    session.forget(session.runs[0].key)
    session.sweep()
    assert {path.name for path in session.folder.iterdir()} == {session.still.key, session.clip.key}


def test_the_oldest_runs_go(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 1)
    laid(session)
    for _ in range(2):
        session.start()
        until(lambda: not session.busy)
    assert len(session.runs) == 1 < MOST_RUNS
    assert sum(path.joinpath("video.mp4").exists() for path in session.folder.iterdir()) == 1


def test_unused_sessions_are_deleted_and_busy_ones_are_not(
    sessions: Sessions, session: Session, gate: threading.Event
) -> None:
    other = sessions.new()
    laid(session)
    session.start()
    until(lambda: session.runs[0].early)
    sessions.rules = replace(sessions.rules, keep=0)
    time.sleep(0.01)
    sessions.expire()
    assert sessions.of(other.token) is None
    assert not other.folder.exists()
    assert sessions.of(session.token) is session
    gate.set()
    until(lambda: not session.busy)
    time.sleep(0.01)
    sessions.expire()
    assert not session.folder.exists()


def test_delete_everything(session: Session, gate: threading.Event) -> None:
    laid(session)
    session.start()
    (run,) = session.runs
    until(lambda: run.early)
    session.close()
    until(lambda: run.state == "cancelled")
    assert not list(session.folder.iterdir())
    laid(session)  # and one can begin anew


def test_room_is_limited(sessions: Sessions, puppets: Path) -> None:
    small = replace(Rules(), quota=10)
    session = Session("x", sessions.folder / "small", small, sessions._looks, sessions._runs)
    (session.folder / "taken").write_bytes(b"0" * 100)
    with pytest.raises(BunrakuError, match="too much room"), session.receiving():
        pass


def test_limits_are_those_of_the_rules(sessions: Sessions, puppets: Path) -> None:
    rules = replace(Rules(), limits=Limits(seconds=0.5))
    session = Session("x", sessions.folder / "short", rules, sessions._looks, sessions._runs)
    put(session, "clip", puppets / "b.mp4", "long.mp4")
    assert "long.mp4 cannot be used: it is 1.0 s long; at most 0.5 s" in views.page(session)["clip"]["error"]


def test_a_crash_is_no_riddle_of_ours_for_the_visitor(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> Any:
        raise RuntimeError("/secret/path broke")

    laid(session)
    monkeypatch.setattr(module, "animate", crash)
    session.start()
    until(lambda: not session.busy)
    shown = views.page(session)["result"]["run"]
    assert shown["state"] == "failed"
    assert "secret" not in str(shown)
    assert not session.runs[0].folder.exists()


def test_the_page_is_told_the_same_of_the_same_session(session: Session) -> None:
    laid(session, "friends", "duet")
    assert views.page(session) == views.page(session)
    before = views.page(session)
    session.pair(0, 0)
    after = views.page(session)
    assert before["still"] != after["still"] or before["clip"] != after["clip"] or before["cast"] != after["cast"]
    assert before["scene"] == after["scene"]
