"""The demo: a character that the model never saw performs a dance that it never saw, next to the truth.

python examples/demo.py --output out/demo
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from bunraku.cues.drawn import draw_conditions
from bunraku.cues.skeleton import draw_skeleton
from bunraku.media import VideoWriter, contact_sheet, side_by_side, write_image
from bunraku.theatre import render, sample_scene
from bunraku.weights import load_pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for demo.mp4 and sheet.png")
    parser.add_argument("--scenes", type=int, nargs="+", default=[3, 5], help="numbers of held-out theatre scenes")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    pipeline = load_pipeline("mini")
    size = tuple(pipeline.config.size)
    rows: dict[str, np.ndarray] = {}
    started = time.perf_counter()
    strips = []
    for number in options.scenes:
        # frame 0 is the still; the driven frames come from elsewhere in the dance
        shown = render(sample_scene(number, "test"), [0, *range(8, 8 + options.frames)], size)
        stills, driven = draw_conditions(pipeline, shown.frames[0], shown.pose[1:], shown.pose[:1])
        result = pipeline(stills, driven, generator=torch.Generator().manual_seed(options.seed)).frames
        panels = {
            "reference": np.broadcast_to(shown.frames[0], result.shape),
            "pose": draw_skeleton(shown.pose[1:]),
            "result": result,
            "truth": shown.frames[1:],
        }
        strips.append(side_by_side(panels, height=256))
        rows |= {f"{name} {number}": frames for name, frames in (panels | {"reference": shown.frames[0]}).items()}
    movie = np.concatenate(strips)
    with VideoWriter(options.output / "demo.mp4", fps=sample_scene(0).fps, size=movie.shape[1:3]) as video:
        for frame in movie:
            video.write(frame)
    write_image(options.output / "sheet.png", contact_sheet(rows, 8, height=128))
    print(f"{len(options.scenes)} scenes of {options.frames} frames in {time.perf_counter() - started:.1f} s")
    print(f"video: {options.output / 'demo.mp4'}\nsheet: {options.output / 'sheet.png'}")


if __name__ == "__main__":
    main()
