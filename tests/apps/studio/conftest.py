"""A studio with a tiny gallery, for its tests."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bunraku.apps.studio import gallery, items
from bunraku.apps.studio import session as session_module
from bunraku.apps.studio.session import Rules, Session, Sessions


@pytest.fixture(scope="session")
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "STILL_SIZE", (96, 80))
        patch.setattr(gallery, "MOTION_SIZE", (96, 80))
        patch.setattr(gallery, "MOTION_FRAMES", 6)
        patch.setattr(items, "create_segmenter", lambda: None)  # colours and pose are enough for puppets
        yield


@pytest.fixture
def sessions(tmp_path: Path, _tiny: None) -> Iterator[Sessions]:
    folder = tmp_path / "studio"
    folder.mkdir()
    opened = Sessions(folder, Rules())
    yield opened
    opened.close()
    assert not folder.exists()


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions.new()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Runs stop after their first frames until it is set."""
    opened, animate = threading.Event(), session_module.animate

    def gated(*inputs: Any) -> Any:
        *others, report, watch = inputs

        def told(what: str, done: int, total: int) -> None:
            report(what, done, total)
            while what == "write" and not opened.wait(0.02):
                report(what, done, total)

        return animate(*others, told, watch)

    monkeypatch.setattr(session_module, "animate", gated)
    yield opened
    opened.set()


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def laid(session: Session, *keys: str) -> Session:
    """The session with pieces of the gallery on the table."""
    for key in keys or ("crown", "dance"):
        wanted = gallery.piece(key)
        assert wanted is not None
        session.take(wanted)
    until(lambda: not session.busy)
    assert session.setup() is not None, {slot: work.error for slot, work in session.looks.items()}
    return session
