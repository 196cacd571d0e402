"""Draws the characters of the gallery: python examples/drawings [NAME ...]"""

import argparse
import importlib
from pathlib import Path

import numpy as np
from PIL import Image

from bunraku.cues.openpose_json import write_pose
from bunraku.perception.pose import PoseTrack

NAMES = ("heroine", "captain", "bear", "robot", "dancer")
SCALE = 0.84
"""All are drawn as large as the picture, and brought to this share of it about the floor under them, so that there is room to dance."""
GALLERY = Path(__file__).resolve().parents[2] / "src/bunraku/assets/gallery"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--output", type=Path, default=GALLERY)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        character = importlib.import_module(name)
        ground, page = character.draw()
        floor = np.array(character.FLOOR)
        page.reduced(SCALE, *floor)
        picture = page.on(ground)
        points = (floor + SCALE * (np.array(character.JOINTS, float) - floor)).astype(np.float32)[None, None]
        Image.fromarray(picture).save(options.output / f"{name}.webp", quality=92, method=6)
        Image.fromarray(page.matte).save(options.output / f"{name}.mask.png", optimize=True)
        write_pose(
            PoseTrack(points, np.ones((1, 1, 18), np.float32), picture.shape[:2]), options.output / f"{name}.pose.json"
        )


if __name__ == "__main__":
    main()
