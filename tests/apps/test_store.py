"""What the store says after each way to die, without a server."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bunraku.apps.serve.settings import digest, read_tokens
from bunraku.apps.serve.store import Busy, Job, Store
from bunraku.apps.uploads import Media
from bunraku.errors import BunrakuError

REQUEST: dict[str, Any] = {"task": "animate", "files": {}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "work", keep=100)


def asked(store: Store, owner: str = "ann", key: str | None = None) -> Job:
    return store.add_job(owner, REQUEST, lambda folder: (folder / "a.png").touch(), key, most=3, most_each=2)


def again(store: Store) -> Store:
    """The store as the next server finds it."""
    store.close()
    new = Store(store.work, keep=100)
    new.sweep()
    new.recover()
    return new


def test_jobs_are_done_in_their_order_and_a_running_one_begins_anew_in_an_empty_folder(store: Store) -> None:
    first, second = asked(store), asked(store)
    assert (store.ahead(first), store.ahead(second)) == (0, 1)
    running = store.claim()
    assert running is not None
    assert (running.id, running.attempts) == (first.id, 1)
    (store.attempt(running) / ".result-0.partial.mp4").touch()
    store = again(store)
    assert store.counts() == {"queued": 2}
    running = store.claim()
    assert running is not None
    assert (running.id, running.attempts) == (first.id, 2)
    assert list(store.attempt(running).iterdir()) == []
    (store.attempt(running) / "result.mp4").touch()
    assert store.end(running, "done", result={"files": ["result.mp4"]})
    store = again(store)
    kept = store.job(first.id, "ann")
    assert kept is not None
    assert kept.state == "done"
    assert [str(p.relative_to(store.folder(kept))) for p in store.folder(kept).rglob("*")] == ["2", "2/result.mp4"]
    assert store.claim() == store.job(second.id)
    assert store.claim() is None


def test_what_the_database_does_not_speak_of_is_removed(store: Store) -> None:
    job = asked(store)
    (store.work / "jobs" / "nobody").mkdir()
    (store.work / "jobs" / "nobody" / "half.mp4").touch()
    (store.work / "files" / "half.part").touch()
    store = again(store)
    assert [path.name for path in (store.work / "jobs").iterdir()] == [job.id]
    assert list((store.work / "files").iterdir()) == []


def test_an_end_is_said_once(store: Store) -> None:
    job = asked(store)
    assert store.end(job, "cancelled")
    assert not store.end(job, "done", result={})
    assert store.job(job.id).state == "cancelled"  # type: ignore[union-attr]
    store.tidy(job)
    assert list((store.work / "jobs").iterdir()) == []


def test_as_many_wait_as_may(store: Store) -> None:
    asked(store), asked(store)
    with pytest.raises(Busy, match="2 of your jobs"):
        asked(store)
    asked(store, "ben")
    with pytest.raises(Busy, match="3 jobs wait"):
        asked(store, "cat")
    store.claim()
    assert asked(store, "cat").state == "queued"
    assert len(list((store.work / "jobs").iterdir())) == 4


def test_a_key_is_one_job_of_one_owner(store: Store) -> None:
    one = asked(store, key="k")
    assert asked(store, key="k") == one
    assert asked(store, "ben", key="k").id != one.id
    with pytest.raises(BunrakuError, match="another request"):
        store.add_job("ann", REQUEST | {"task": "preview"}, lambda folder: None, "k", most=9, most_each=9)


def test_a_job_that_cannot_get_its_files_is_none(store: Store) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.add_job("ann", REQUEST, full, most=9, most_each=9)
    assert store.counts() == {}
    assert list((store.work / "jobs").iterdir()) == []


def test_files_and_ended_jobs_expire_and_others_do_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (arrived := store.work / "files" / "x.part").write_bytes(b"1234")
    file = store.add_file("ann", "a.png", arrived, Media("picture", ".png", (40, 50)))
    assert store.file(file.id, "ann") == file
    assert store.file(file.id, "ben") is None
    assert store.stored("ann") == store.stored() == 4
    ended, waiting = asked(store), asked(store)
    store.end(ended, "failed", error="why")
    store.expire()
    assert len(store.jobs("ann")) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 101)
    store.expire()
    assert store.files("ann") == []
    assert store.jobs("ann") == [waiting]
    assert [path.name for path in store.work.rglob("*") if path.is_file() and path.suffix == ".png"] == ["a.png"]


def test_two_servers_do_not_share_a_folder(store: Store) -> None:
    with pytest.raises(BunrakuError, match="another server works in"):
        Store(store.work, keep=100)


def test_tokens(tmp_path: Path) -> None:
    made = read_tokens(tmp_path / "tokens")
    name, token = (tmp_path / "tokens").read_text().split()
    assert made == {digest(token): name} == read_tokens(tmp_path / "tokens")
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    for text, what in (
        ("", "no token"), ("ann short", "line 1"), ("a b c", "line 1"), (f"# c\nann {token}\nben {token}", "line 3"),
    ):  # fmt: skip
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(BunrakuError, match=what):
            read_tokens(tmp_path / "wrong")
    assert token not in json.dumps(made)
