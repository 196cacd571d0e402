"""The gallery: puppets and motions of the theatre for whoever has nothing at hand, drawn when somebody takes them."""

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image

from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import sidecar, write_pose
from bunraku.media import VideoWriter, write_image
from bunraku.theatre import render, sample_scene
from bunraku.theatre.camera import Placement
from bunraku.theatre.scene import Scene
from bunraku.theatre.walk import Walk

STILL_SIZE, MOTION_SIZE, THUMBNAIL = (768, 640), (600, 500), (192, 160)
MOTION_FRAMES = 48
SPLIT = "test"


@dataclass(frozen=True)
class Piece:
    """A still or a motion of the theatre.

    Attributes:
        key, name: for the page, and for people.
        scene: that it is of.
        frame: of the still; of a motion's thumbnail.
    """

    key: str
    name: str
    slot: Literal["still", "clip"]
    scene: Scene
    frame: int = 8

    def write(self, folder: Path) -> Path:
        """Draw it into a folder, and beside it what is known of it: its pose or its cues."""
        if self.slot == "still":
            shown = render(self.scene, [self.frame], STILL_SIZE)
            file = write_image(folder / "still.png", shown.frames[0])
            write_pose(shown.pose, sidecar(file))
            return file
        shown = render(self.scene, MOTION_FRAMES, MOTION_SIZE)
        file = folder / "clip.mp4"
        Cues(self.scene.fps, shown.pose.size, f"{self.name}, theatre", shown.pose).save(file.with_suffix(".cues"))
        with VideoWriter(file, fps=self.scene.fps, size=MOTION_SIZE) as video:
            for picture in shown.frames:
                video.write(picture)
        return file


def _walk(seed: int) -> Scene:
    scene = sample_scene(seed, SPLIT)
    return scene.recast(motion=Walk(-0.3, 0.3, MOTION_FRAMES / 24), placement=replace(scene.actors[0].placement, x=0.0))


def _side_by_side(seeds: tuple[int, int]) -> Scene:
    first, second = (sample_scene(seed, SPLIT) for seed in seeds)
    actors = [
        replace(scene.actors[0], placement=Placement(x, 0.93, height), prop=None)
        for scene, x, height in ((first, -0.24, 0.58), (second, 0.24, 0.62))
    ]
    return replace(first, actors=tuple(actors))


PIECES = (
    Piece("star", "Star", "still", sample_scene(3, SPLIT)),
    Piece("hat", "Top hat", "still", sample_scene(18, SPLIT)),
    Piece("winter", "Winter", "still", sample_scene(28, SPLIT)),
    Piece("crown", "Pink crown", "still", sample_scene(7, SPLIT)),
    Piece("bear", "Little bear", "still", sample_scene(13, SPLIT)),
    Piece("friends", "Two friends", "still", _side_by_side((9, 15))),
    Piece("dance", "Dance", "clip", sample_scene(27, SPLIT), 16),
    Piece("walk", "Walk", "clip", _walk(5), 16),
    Piece("duet", "Two dancers", "clip", _side_by_side((24, 26)), 16),
)


def piece(key: str) -> Piece | None:
    """The piece of that key."""
    return next((piece for piece in PIECES if piece.key == key), None)


@cache
def thumbnail(key: str) -> bytes:
    """A small picture of a piece, a JPEG file."""
    wanted = piece(key)
    assert wanted is not None
    picture = render(wanted.scene, [wanted.frame], (2 * THUMBNAIL[0], 2 * THUMBNAIL[1])).frames[0]
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", quality=88)
    return written.getvalue()
