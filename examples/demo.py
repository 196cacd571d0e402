"""The demo: two puppets that no model ever saw dance beside the truth, and a drawing of the gallery dances.

python examples/demo.py --output out/demo
"""

import argparse
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from bunraku.animate import AnimateOptions
from bunraku.animate.driving import Driving, open_driving
from bunraku.animate.gallery import CHARACTERS, MOTIONS
from bunraku.animate.reference import Reference, open_reference
from bunraku.animate.run import prepare
from bunraku.cues.cues import Cues
from bunraku.cues.skeleton import draw_skeleton
from bunraku.media import VideoWriter, contact_sheet, fit, side_by_side, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render, sample_scene

SIDE, FPS = 512, 12
MULTIPLE = 8  # of pixels, which every model paints
CELL, WIDE = 192, 1152  # of the sheet
WHITE = (255, 255, 255)

Panels = dict[str, np.ndarray]
"""Frames uint8 (F, H, W, 3) under their names."""


def animated(character: Reference, clip: Driving, options: AnimateOptions) -> Panels:
    """The reference, the poses that it follows, and what the model makes of them."""
    prepared = prepare(character, clip, options)
    assert isinstance(prepared.poses, PoseTrack)
    result = np.concatenate(list(prepared.frames()))
    reference = np.broadcast_to(prepared.canvas.cut(prepared.picture), result.shape)
    return {"reference": reference, "pose": prepared.canvas.cut(draw_skeleton(prepared.poses)), "result": result}


def puppet(number: int, frames: int, options: AnimateOptions) -> Panels:
    """A held-out scene of the theatre: frame 0 is the still, the motion comes from elsewhere in the dance, the truth is known."""
    scene = sample_scene(number, "test")
    shown = render(scene, [0, *range(8, 8 + frames)], SIDE)
    matte = shown.character_mask[0].astype(np.uint8) * 255
    character = Reference(Path(f"puppet {number}"), shown.frames[0], shown.pose[:1], matte=matte)
    cues = Cues(scene.fps, shown.pose.size, f"scene {number}", shown.pose[1:])
    return animated(character, Driving(Path(f"scene {number}"), "cues", cues), options) | {"truth": shown.frames[1:]}


def drawing(name: str, motion: str, options: AnimateOptions) -> Panels:
    """A character and a motion of the gallery."""
    character = open_reference(f"gallery:{name}", options)
    factor = SIDE / min(character.size) / MULTIPLE
    size = MULTIPLE * round(factor * character.size[0]), MULTIPLE * round(factor * character.size[1])
    return animated(character, open_driving(f"gallery:{motion}", options), replace(options, size=size))


def sheet(acts: dict[str, Panels]) -> np.ndarray:
    """A few moments of every act, one below the other."""
    parts = []
    for panels in acts.values():
        height, width = panels["result"].shape[1:3]
        rows = panels | {"reference": panels["reference"][0]}
        parts.append(contact_sheet(rows, max(1, WIDE * height // (width * CELL)), height=CELL))
    widest = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, widest - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for demo.mp4 and sheet.png")
    parser.add_argument("--model", default="puppet-warp", help="as of `bunraku animate`")
    parser.add_argument("--scenes", type=int, nargs="+", default=[3, 27], help="numbers of held-out theatre scenes")
    parser.add_argument("--frames", type=int, default=24, help="of each scene")
    parser.add_argument("--drawing", default="robot", choices=[piece.key for piece in CHARACTERS])
    parser.add_argument("--motion", default="dance", choices=[piece.key for piece in MOTIONS])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)

    started = time.perf_counter()
    options = AnimateOptions(model=given.model, seed=given.seed, fps=Fraction(FPS))
    acts = {f"puppet {number}": puppet(number, given.frames, options) for number in given.scenes}
    acts[given.drawing] = drawing(given.drawing, given.motion, options)
    strips = [side_by_side(panels, height=SIDE) for panels in acts.values()]
    size = strips[0].shape[1:3]
    with VideoWriter(given.output / "demo.mp4", fps=FPS, size=size) as video:
        for strip in strips:
            for frame in fit(strip, size, "letterbox", WHITE)[0]:
                video.write(frame)
    write_image(given.output / "sheet.png", sheet(acts))
    print(f"{sum(map(len, strips))} frames in {time.perf_counter() - started:.1f} s with {given.model}")
    print(f"video: {given.output / 'demo.mp4'}\nsheet: {given.output / 'sheet.png'}")


if __name__ == "__main__":
    main()
