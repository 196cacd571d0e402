"""kill -9 and a full disk, 50 times, at random moments of `animate` and `train`: what was there before is as it was, and a resumed run is exact.

python benchmarks/kills.py --json kills.json

Every command runs in a process of its own. A third of the kills come at a random time, a third at a random step of the work on files (a file that is
opened, renamed or removed: where checkpoints and videos are put in their places), and in the last third the disk is full after a random number of
bytes (a limit on the size of files, which the system reports as a full disk is). The last line counts; the exit code is 1 where there was a fault.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

COUNT = 50
WAYS = ("at a time", "at a file", "disk full")
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod"}
"""What Python tells of work on files, beside files that are opened."""


@dataclass
class Kill:
    """What one killed run left; `faults` is empty where all is well."""

    command: str
    way: str
    moment: float
    code: int
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code; negative: of a signal.
        said: on stderr.
        seconds: that it took.
        steps: of work on files that it began.
        largest: bytes of the largest file that it wrote.
    """

    code: int
    said: str
    seconds: float
    steps: int


def run(arguments: list[str], folder: Path, way: str | None = None, moment: float = 0) -> Ended:
    """A command in a process of its own, in `folder`.

    Args:
        way: one of `WAYS`, or None: it is left alone.
        moment: seconds, steps, or bytes.
    """
    said, count = folder.with_suffix(".stderr"), folder.with_suffix(".steps")
    started = time.monotonic()
    child = os.fork()
    if not child:
        _be(arguments, folder, way, moment, said, count)
    if way == "at a time":
        while time.monotonic() - started < moment and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return Ended(0, said.read_text(), time.monotonic() - started, 0)
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # it ended before its moment came
        status = 0
    steps = int(count.read_text() or 0) if count.exists() else 0
    return Ended(os.waitstatus_to_exitcode(status), said.read_text(), time.monotonic() - started, steps)


def _be(arguments: list[str], folder: Path, way: str | None, moment: float, said: Path, count: Path) -> None:
    """The child: becomes the command, and never returns."""
    code = 1
    try:
        os.chdir(folder)
        sys.stderr = said.open("w")
        os.dup2(sys.stderr.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from bunraku.cli import main, terminal

        terminal.err.file = sys.stderr
        steps, inside = 0, f"{folder}/"

        def watch(event: str, given: tuple[object, ...]) -> None:
            nonlocal steps
            written = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in WRITES or written) and os.path.abspath(os.fsdecode(given[0])).startswith(inside):  # type: ignore[arg-type]
                steps += 1
                if way == "at a file" and steps > moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        if way == "disk full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(moment), resource.RLIM_INFINITY))
        sys.argv = ["bunraku", *arguments]
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        if way is None:
            count.write_text(str(steps))
    finally:
        sys.stderr.flush()
        os._exit(code)


def contents(path: Path) -> dict[str, str]:
    """Every file of a folder that is not hidden, or one file: a hash of each."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    shown = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path.parent).parts)]
    return {str(file.relative_to(path.parent)): hashlib.sha256(file.read_bytes()).hexdigest() for file in shown}


def largest(path: Path) -> int:
    return max(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def moments(rng: random.Random, whole: Ended, size: int) -> Callable[[str], float]:
    """When to end a run that would go on as `whole` does, and writes `size` bytes into its largest file."""
    most = {"at a time": whole.seconds, "at a file": float(whole.steps), "disk full": float(size)}
    return lambda way: rng.uniform(0, most[way])


def faults_of_full(ended: Ended) -> Iterator[str]:
    """A full disk is no death: it is said, and what was begun is taken away."""
    if ended.code not in (0, 2):
        yield f"a full disk ended with code {ended.code}: {ended.said.strip().splitlines()[-1:]}"
    elif ended.code == 2 and "disk is full" not in ended.said:
        yield f"a full disk is called something else: {ended.said.strip().splitlines()[-1:]}"


# --- animate ---------------------------------------------------------------------------------------------------------------------


def kill_animate(folder: Path, count: int, rng: random.Random) -> Iterator[Kill]:
    """Kills of runs that would replace a video, and frames in a folder."""
    base = ["animate", "a.png", "a.cues", "--seed", "1", "--overwrite", "-o"]
    for number, output in enumerate(("out.mp4", "out.webm", "frames")):
        command = [*base, output, "--sheet", "sheet.png"]
        place, path = folder / f"{number}", folder / f"{number}" / output
        _scene(place)
        whole = run(command, place)
        assert not whole.code, whole.said
        new, size = contents(path), largest(path)
        earlier = [*base, output, "--stop", "5", "--size", "64x64", "--sheet", "sheet.png"]
        at = moments(rng, whole, size)
        for turn in range(number, count, 3):
            assert not run(["animate", *earlier[1:]], place).code
            old, way = contents(path), WAYS[turn // 3 % len(WAYS)]
            kill = Kill("animate", way, at(way), 0)
            ended = run(command, place, way, kill.moment)
            kill.code, found = ended.code, contents(path)
            # frames are put into an existing folder one by one: each is whole
            if found not in (old, new) and not (path.is_dir() and all(found[n] in (old.get(n), new.get(n)) for n in found)):  # fmt: skip
                kill.faults.append(f"{output} is neither what it was nor what it should become")
            if way == "disk full":
                kill.faults += faults_of_full(ended)
                if left := [p.name for p in place.rglob("*") if p.name.startswith(".")]:
                    kill.faults.append(f"a full disk leaves {left[0]}")
            for left in place.rglob(".*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            if path.is_dir():
                shutil.rmtree(path)
            if run(command, place).code or contents(path) != new:
                kill.faults.append("the same command gives something else afterwards")
            if path.is_dir():
                shutil.rmtree(path)
            yield kill


def _scene(folder: Path) -> None:
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import write_scene

    folder.mkdir(parents=True)
    write_scene(sample_scene(3, "test"), folder / "a.mp4", 12, (96, 64))


# --- train -----------------------------------------------------------------------------------------------------------------------


def kill_train(folder: Path, count: int, rng: random.Random, steps: int = 6, in_a_row: int = 6) -> Iterator[Kill]:
    """Kills of a training, several in a row; then it goes on to its end, where the model must be that of a run that was left alone."""
    command = ["train", "animate-anyone", "-o", "run"]
    settings = {
        "steps": steps, "resolution": 64, "frames": 2, "batch": 1, "workers": 0, "checkpoint_every": 2, "validate_every": 1000, "validation_clips": 1,
        "ema_decay": 0.9, "precision": "float32",
    }  # fmt: skip
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    (folder / "whole").mkdir(parents=True)
    whole = run(command, folder / "whole")
    assert not whole.code, whole.said
    model, size = contents(folder / "whole" / "run" / "model"), largest(folder / "whole" / "run" / "checkpoints")
    at = moments(rng, whole, size)
    for begun in range(0, count, in_a_row):
        place = folder / f"{begun}"
        place.mkdir()
        kills = []
        for turn in range(begun, min(count, begun + in_a_row)):
            way, before, earlier = WAYS[turn % len(WAYS)], checkpoints(place / "run"), half_written(place / "run")
            kill = Kill("train", way, at(way), 0)
            ended = run(command, place, way, kill.moment)
            kill.code = ended.code
            now = checkpoints(place / "run")
            if max(now, default=0) < max(before, default=0):
                kill.faults.append(f"checkpoint {max(before)} is gone")
            if changed := [step for step in now.keys() & before.keys() if now[step] != before[step]]:
                kill.faults.append(f"checkpoint {changed[0]} has changed")
            if way == "disk full":
                kill.faults += faults_of_full(ended)
                if left := half_written(place / "run") - earlier:  # kill -9 may leave such files
                    kill.faults.append(f"a full disk leaves {min(left)}")
            if (place / "run" / "model").exists() and contents(place / "run" / "model") != model:
                kill.faults.append("a model is there that is not the whole run's")
            kills.append(kill)
        ended = run(command, place)
        if ended.code:
            kills[-1].faults.append(f"the run does not go on: {ended.said.strip().splitlines()[-1:]}")
        elif contents(place / "run" / "model") != model:
            kills[-1].faults.append("the resumed run ends with another model")
        shutil.rmtree(place)
        yield from kills


def half_written(run: Path) -> set[str]:
    """Names of what a run has begun to write."""
    return {path.name for path in run.rglob("*") if "writing" in path.name or path.name.startswith(".")}


def checkpoints(run: Path) -> dict[int, dict[str, str]]:
    """Step -> contents of every whole checkpoint."""
    return {int(path.name[5:]): contents(path) for path in (run / "checkpoints").glob("step-*")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="kills, half of them of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # a process of several threads cannot be forked
    import bunraku.animate
    import bunraku.cli
    import bunraku.training.run  # noqa: F401  # what every child would import again

    rng, kills, started = random.Random(options.seed), list[Kill](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        halves = (
            kill_animate(Path(place) / "animate", options.count - options.count // 2, rng),
            kill_train(Path(place) / "train", options.count // 2, rng),
        )
        for kill in (kill for half in halves for kill in half):
            kills.append(kill)
            state = "; ".join(kill.faults) or "as it was"
            print(f"{kill.command:8} {kill.way:10} {kill.moment:12.2f}  code {kill.code:3}  {state}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(kill) for kill in kills], indent=1))
    faulty = sum(bool(kill.faults) for kill in kills)
    killed = sum(kill.code == -signal.SIGKILL for kill in kills)
    print(
        f"{len(kills)} runs ended at random: {killed} by kill -9, {sum(kill.code == 2 for kill in kills)} by a full disk, the others were done before; "
        f"{f'{faulty} FAULTS' if faulty else 'everything was as before, and every resumed run exact'}; {time.monotonic() - started:.0f} s"
    )
    sys.exit(bool(faulty))


if __name__ == "__main__":
    main()
