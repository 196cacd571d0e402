"""Work in line: one after the other, told of, ended."""

import threading
import time

from bunraku.apps.studio.work import Line, Work
from bunraku.errors import BunrakuError
from tests.apps.studio.conftest import until


def test_one_at_a_time_in_the_order_of_arrival() -> None:
    line, at_once, most, order = Line(), threading.Semaphore(1), [0], list[int]()

    def job(number: int) -> Work:
        def do(work: Work) -> None:
            assert at_once.acquire(blocking=False)
            order.append(number)
            most[0] = max(most[0], sum(other.state == "running" for other in works))
            time.sleep(0.01)
            at_once.release()

        return Work(do)

    works = [job(number) for number in range(8)]
    for work in works:
        line.join(work)
    until(lambda: all(work.state == "done" for work in works))
    assert order == list(range(8))
    assert most == [1]
    assert len(line) == 0
    line.close()


def test_who_waits_knows_how_many_are_before_and_may_leave() -> None:
    line, gate = Line(), threading.Event()
    works = [Work(lambda _: gate.wait()) for _ in range(4)]  # type: ignore[arg-type, func-returns-value]
    for work in works:
        line.join(work)
    until(lambda: works[0].state == "running")
    assert [line.before(work) for work in works] == [0, 1, 2, 3]
    works[1].cancel()
    assert [line.before(works[2]), line.before(works[3])] == [1, 2]
    gate.set()
    until(lambda: works[3].state == "done")
    assert works[1].state == "cancelled"
    line.close()


def test_cancel_ends_running_work_at_its_next_report() -> None:
    line, passed = Line(), threading.Event()

    def do(work: Work) -> None:
        while True:
            passed.set()
            work.report("write", 1, 10)

    work = Work(do)
    line.join(work)
    assert passed.wait(10)
    work.cancel()
    until(lambda: work.state == "cancelled")
    line.close()


def test_what_goes_wrong_is_told_and_the_line_goes_on() -> None:
    def user(work: Work) -> None:
        raise BunrakuError("the picture is too small")

    def ours(work: Work) -> None:
        raise RuntimeError("no")

    line, works = Line(), [Work(user), Work(ours), Work(lambda _: None)]
    for work in works:
        line.join(work)
    until(lambda: works[2].state == "done")
    assert [work.state for work in works] == ["failed", "failed", "done"]
    assert (works[0].error, works[0].crashed) == ("the picture is too small", False)
    assert works[1].crashed
    line.close()


def test_words_share_and_time_left() -> None:
    work = Work(lambda _: None)
    assert (work.words, work.share, work.left) == ("Starting", None, None)
    work.report("write", 0, 40)
    work._since -= 20
    work.report("write", 10, 40)
    assert (work.words, work.share, work.left) == ("Writing frames, 10 of 40", 0.25, "60 seconds")
    work.report("people", 0, 1)
    assert (work.words, work.share, work.left) == ("Looking for people", None, None)
