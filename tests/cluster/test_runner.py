"""Work over Ray on two machines: who is lost is replaced, who is full is left alone, what fails is named, and the rest is done."""

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from bunraku.cluster import ClusterOptions, cluster_runner
from bunraku.errors import BunrakuError
from bunraku.progress import Progress
from bunraku.sampling.share import ALONE, Share
from bunraku.work import Outcome, Task, Work

pytestmark = pytest.mark.usefixtures("ray_cluster")


class Trouble(Work):
    """Items are (what happens, marker): marker is a file that what happens once leaves behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, needs: str, report: Progress) -> str:
        self._note(f"prepare-{needs}")
        if needs == "bad":
            raise BunrakuError("bad needs")
        return needs * 2

    def do(self, item: str, prepared: Any, report: Progress, share: Share = ALONE) -> Any:
        import logging

        import ray

        kind, _, name = item.partition(" ")
        self._note(f"do-{item}")
        if kind == "poison" or (kind == "killed" and self._first(name)):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "wrong":
            raise BunrakuError(f"{name} cannot be used")
        if kind == "broken":
            raise ZeroDivisionError(name)
        node = ray.get_runtime_context().get_node_id()
        if kind == "full" or (kind == "fills" and self._is_the_full_one(node)):
            raise BunrakuError("the disk is full") from OSError(errno.ENOSPC, "No space left")
        if kind == "doubtful":
            logging.getLogger("bunraku.test").warning("look at %s", name)
        if kind == "together":
            return list(share.pieces(4, lambda i: (share.rank, i)))
        if kind == "partner" and share.rank == 1 and self._first(name):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind in ("partner", "refuses"):
            if kind == "refuses" and share.rank == 1:
                raise BunrakuError("a second thought")
            return list(share.pieces(4, lambda i: i))
        if kind == "slow":
            time.sleep(0.3)
        return node, prepared

    def _note(self, name: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(name + "\n")

    def _first(self, name: str) -> bool:
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _is_the_full_one(self, node: str) -> bool:
        """Whoever asks first is on the machine that is full."""
        if self._first("full"):
            (self.folder / "full").write_text(node)
        return (self.folder / "full").read_text() == node


def run(folder: Path, *tasks: Task, tries: int = 3) -> dict[str, Outcome]:
    outcomes = list(cluster_runner(ClusterOptions(tries=tries))(Trouble(folder), tasks, lambda *_: None))
    assert sorted(outcome.task.name for outcome in outcomes) == sorted(task.name for task in tasks)
    return {outcome.task.name: outcome for outcome in outcomes}


def tasks(*items: str, needs: str | None = None, workers: int = 1) -> list[Task]:
    return [Task(item, item, needs, workers) for item in items]


def noted(folder: Path, what: str) -> int:
    return (folder / "log").read_text().splitlines().count(what)


def test_who_is_lost_is_replaced_what_fails_is_named_and_the_rest_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = run(
        tmp_path,
        *tasks("slow 1", "slow 2", "slow 3", "slow 4", needs="ab"),
        *tasks("killed a", "poison b", "wrong c", "broken d", "doubtful e"),
        *tasks("fine 1", "fine 2", needs="bad"),
        # a third worker is asked for, and there are two
        *tasks("together f", "partner g", "refuses h", workers=3),
        tries=2,
    )
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    assert errors.pop("poison b").startswith("given up after 2 tries: its worker on ")  # type: ignore[union-attr]
    assert errors == {
        "wrong c": "c cannot be used", "broken d": "ZeroDivisionError: d", "refuses h": "a second thought",
        "fine 1": "bad needs", "fine 2": "bad needs",
    }  # fmt: skip
    assert {outcomes[f"slow {i}"].result[1] for i in range(1, 5)} == {"abab"}
    assert len({outcomes[f"slow {i}"].result[0] for i in range(1, 5)}) == 2
    assert outcomes["together f"].result == [(0, 0), (1, 1), (0, 2), (1, 3)]
    assert outcomes["partner g"].result == [0, 1, 2, 3]
    assert "doubtful e: look at e" in caplog.text
    counts = {
        "prepare-ab": 1,
        "prepare-bad": 1,
        "do-killed a": 2,
        "do-wrong c": 1,
        "do-partner g": 4,
        "do-refuses h": 2,
    }
    assert {what: noted(tmp_path, what) for what in counts} == counts


def test_nothing_more_is_given_to_a_machine_whose_disk_is_full(tmp_path: Path) -> None:
    outcomes = run(tmp_path, *tasks(*(f"fills {i}" for i in range(5))))
    full = (tmp_path / "full").read_text()
    assert all(outcome.error is None and outcome.result[0] != full for outcome in outcomes.values())
    assert sum(noted(tmp_path, f"do-fills {i}") for i in range(5)) == 6


def test_where_every_disk_is_full_everything_left_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcomes = run(tmp_path, *tasks(*(f"full {i}" for i in range(4))))
    assert {outcome.error for outcome in outcomes.values()} == {"not done: the disk of every machine is full"}
    assert sum(noted(tmp_path, f"do-full {i}") for i in range(4)) == 2
    assert "no worker is there" not in caplog.text
