"""Many pieces of work in one process: what is shared is made once, what fails is named, a full disk ends it."""

import errno
from typing import Any

import pytest

from bunraku.errors import BunrakuError
from bunraku.progress import Progress
from bunraku.work import Outcome, Task, Work, in_order, run_here


class Halves(Work):
    """Halves even numbers; needs that begin with "bad" cannot be prepared."""

    def __init__(self) -> None:
        self.prepared: list[str] = []

    def prepare(self, needs: str, report: Progress) -> str:
        self.prepared.append(needs)
        if needs.startswith("bad"):
            raise BunrakuError(f"{needs} is damaged")
        return needs.upper()

    def do(self, item: int, prepared: Any, report: Progress) -> tuple[int, Any]:
        if item % 2:
            raise BunrakuError(f"{item} is odd")
        if item > 100:
            raise BunrakuError("cannot write") from OSError(errno.ENOSPC, "No space left on device")
        if not item:
            raise ZeroDivisionError("nothing to halve")
        return item // 2, prepared


def tasks(*items: int, needs: str | None = None) -> list[Task]:
    return [Task(str(item), item, needs) for item in items]


def test_what_fails_is_named_and_the_rest_is_done():
    outcomes = list(run_here(Halves(), tasks(4, 3, 0, 8)))
    assert [outcome.result for outcome in outcomes] == [(2, None), None, None, (4, None)]
    assert [outcome.error for outcome in outcomes] == [None, "3 is odd", "ZeroDivisionError: nothing to halve", None]


def test_what_tasks_share_is_prepared_once_even_if_it_fails():
    work = Halves()
    asked = [*tasks(2, 4, needs="good"), *tasks(6, 8, needs="bad"), *tasks(10)]
    outcomes = list(run_here(work, asked))
    assert work.prepared == ["good", "bad"]
    assert [outcome.result for outcome in outcomes] == [(1, "GOOD"), (2, "GOOD"), None, None, (5, None)]
    assert {outcome.error for outcome in outcomes[2:4]} == {"bad is damaged"}


def test_a_full_disk_ends_it_and_names_what_was_not_begun():
    outcomes = list(run_here(Halves(), tasks(2, 102, 4, 6)))
    assert [outcome.error for outcome in outcomes] == [
        None, "cannot write", *["not begun: the disk was full before it (102)"] * 2
    ]  # fmt: skip


def test_ctrl_c_is_no_failure_of_a_task(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Halves, "do", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_here(Halves(), tasks(2)))


def test_progress_counts_the_tasks():
    seen: list[tuple[str, int, int]] = []
    list(run_here(Halves(), tasks(2, 3), lambda *step: seen.append(step)))
    assert seen == [("clips", 0, 2), ("clips", 1, 2), ("clips", 2, 2)]


def test_outcomes_in_the_order_of_their_tasks():
    asked = tasks(1, 2, 3, 4)
    ended = (Outcome(asked[i]) for i in (2, 0, 1, 3))
    assert [outcome.task for outcome in in_order(asked, ended)] == asked
