"""How long scoring takes: 64 theatre clips of 32 frames, decoded from disk, with every metric that needs no weights.

python benchmarks/evaluation.py --clips 64 --frames 32 --size 128 --json evaluation.json
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from bunraku.evaluation.benchmarks import PairBenchmark
from bunraku.evaluation.metrics import CLIP_METRICS
from bunraku.evaluation.runner import evaluate
from bunraku.evaluation.scoring import Scorer
from bunraku.evaluation.systems import Copy, Recorded
from bunraku.evaluation.theatre_benchmark import TheatreBenchmark, benchmark_clip
from bunraku.media import VideoWriter


def write_clips(folder: Path, clips: int, frames: int, size: int) -> None:
    """Theatre clips as videos under truth/, and as videos moved by two pixels under generated/."""
    for index in track(range(clips), "render"):
        clip = benchmark_clip("solo", index, size)
        shown = np.resize(clip.truth, (frames + 1, *clip.truth.shape[1:]))
        for name, made in (("truth", shown), ("generated", np.roll(shown, 2, 2))):
            (folder / name).mkdir(exist_ok=True)
            with VideoWriter(folder / name / f"{index:03d}.mp4", fps=clip.fps, size=(size, size)) as video:
                for frame in made:
                    video.write(frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3, help="runs; the median counts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_clips(root, options.clips, options.frames, options.size)

        def decoded() -> None:
            pairs = PairBenchmark(root / "generated", root / "truth")
            evaluate([Recorded(pairs, "shifted")], pairs, Scorer(CLIP_METRICS[:7] + ("flicker",)))

        def rendered() -> None:
            evaluate([Copy()], TheatreBenchmark("solo", options.size, options.clips), Scorer(CLIP_METRICS))

        seconds = {}
        for name, run in (("decode and score", decoded), ("render and score, masks too", rendered)):
            times = []
            for _ in range(options.repeats):
                started = time.perf_counter()
                run()
                times.append(time.perf_counter() - started)
            seconds[name] = {"median": statistics.median(times), "all": times}
    for name, found in seconds.items():
        Console().print(f"{name}: {found['median']:.1f} s for {options.clips} clips at {options.size}")
    if options.json:
        options.json.write_text(json.dumps({"settings": vars(options), "seconds": seconds}, indent=1, default=str))


if __name__ == "__main__":
    main()
