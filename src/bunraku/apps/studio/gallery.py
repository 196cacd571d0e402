"""The gallery: drawings that ship, and puppets and motions of the theatre, drawn when somebody takes them."""

import io
import shutil
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from bunraku.animate.gallery import CHARACTERS
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import sidecar, write_pose
from bunraku.media import VideoWriter, fit, read_image, write_image
from bunraku.theatre import render, sample_scene
from bunraku.theatre.camera import Placement
from bunraku.theatre.scene import Scene
from bunraku.theatre.walk import Walk

STILL_SIZE, MOTION_SIZE, THUMBNAIL = (768, 640), (600, 500), (192, 160)
MOTION_FRAMES = 48
SPLIT = "test"


class Piece(Protocol):
    """A still or a motion; `key` and `name` are for the page, and for people."""

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def slot(self) -> Literal["still", "clip"]: ...

    def write(self, folder: Path) -> Path:
        """Write it into a folder, and beside it what is known of it: its pose and mask, or its cues."""
        ...

    def picture(self, size: tuple[int, int]) -> np.ndarray:
        """A picture of it, uint8 (height, width, 3)."""
        ...


@dataclass(frozen=True)
class Drawing:
    """A drawn character that ships with bunraku."""

    key: str
    name: str
    file: Path
    slot: Literal["still"] = "still"

    def write(self, folder: Path) -> Path:
        """As of `Piece`."""
        for suffix in (".pose.json", ".mask.png"):
            shutil.copyfile(self.file.with_suffix(suffix), folder / f"still{suffix}")
        return Path(shutil.copyfile(self.file, folder / f"still{self.file.suffix}"))

    def picture(self, size: tuple[int, int]) -> np.ndarray:
        """As of `Piece`."""
        return fit(read_image(self.file), size, "crop")[0]


@dataclass(frozen=True)
class Puppet:
    """A still or a motion of the theatre.

    Attributes:
        scene: that it is of.
        frame: of the still; of a motion's thumbnail.
    """

    key: str
    name: str
    slot: Literal["still", "clip"]
    scene: Scene
    frame: int = 8

    def write(self, folder: Path) -> Path:
        """As of `Piece`."""
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

    def picture(self, size: tuple[int, int]) -> np.ndarray:
        """As of `Piece`."""
        return render(self.scene, [self.frame], size).frames[0]


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


PIECES: tuple[Piece, ...] = (
    *(Drawing(drawn.key, drawn.name, drawn.file) for drawn in CHARACTERS),
    Puppet("star", "Star", "still", sample_scene(3, SPLIT)),
    Puppet("hat", "Top hat", "still", sample_scene(18, SPLIT)),
    Puppet("winter", "Winter", "still", sample_scene(28, SPLIT)),
    Puppet("crown", "Pink crown", "still", sample_scene(7, SPLIT)),
    Puppet("cub", "Little bear", "still", sample_scene(13, SPLIT)),
    Puppet("friends", "Two friends", "still", _side_by_side((9, 15))),
    Puppet("dance", "Dance", "clip", sample_scene(27, SPLIT), 16),
    Puppet("walk", "Walk", "clip", _walk(5), 16),
    Puppet("duet", "Two dancers", "clip", _side_by_side((24, 26)), 16),
)


def piece(key: str) -> Piece | None:
    """The piece of that key."""
    return next((piece for piece in PIECES if piece.key == key), None)


@cache
def thumbnail(key: str) -> bytes:
    """A small picture of a piece, a JPEG file."""
    wanted = piece(key)
    assert wanted is not None
    picture = wanted.picture((2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", quality=88)
    return written.getvalue()
