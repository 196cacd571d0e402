"""Single pictures for the codec: theatre frames, dead leaves, procedural textures, and photographs from installed packages.

Picture i is a function of (seed, split, i) alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from bunraku.errors import BunrakuError
from bunraku.theatre import render, sample_scene
from bunraku.theatre.character import ODDITIES, sample_odd_character
from bunraku.theatre.photograph import photograph as take_photograph
from bunraku.theatre.photograph import sample_scene_photograph
from bunraku.theatre.scene import SPLITS
from bunraku.theatre.textures import dead_leaves, texture, to_bytes, wear

PHOTOGRAPHS: Mapping[str, str] = {
    "skimage/data/astronaut.png": "NASA, public domain",
    "skimage/data/coffee.png": "Rachel Michetti, CC0",
    "skimage/data/chelsea.png": "Stefan van der Walt, CC0",
    "skimage/data/rocket.jpg": "SpaceX, public domain",
    "skimage/data/camera.png": "Lav Varshney, CC0",
    "skimage/data/grass.png": "linolafett, CC0",
    "skimage/data/brick.png": "CC0Textures, CC0",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg": "James S. Davis for the US Navy, public domain",
}
"""Package and file of every photograph, and who gave it away."""

KINDS: Mapping[str, float] = {
    "theatre": 0.4,
    "stage photograph": 0.1,
    "photograph": 0.22,
    "leaves": 0.16,
    "texture": 0.12,
}
"""What a picture shows, and how often."""


@dataclass(frozen=True)
class PictureCrops(Dataset):
    """Endless pictures: item i is uint8 (crops, crop, crop, 3), places of one picture.

    Args:
        seed: of the whole data set.
        crop: side in pixels.
        crops: places cut from every picture; of two random ones the busier is taken, since plain ground is learnt soonest.
    """

    seed: int
    crop: int = 96
    crops: int = 4

    def __getitem__(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 7, index])
        picture = sample_picture(rng, self.crop)
        return np.stack([self._busier(picture, rng) for _ in range(self.crops)])

    def _busier(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        room = np.array(picture.shape[:2]) - self.crop + 1
        first, second = (
            picture[y : y + self.crop, x : x + self.crop] for y, x in (rng.integers(room), rng.integers(room))
        )
        return max(first, second, key=lambda crop: float(np.abs(np.diff(crop.astype(np.int16), axis=0)).sum()))


def sample_picture(rng: np.random.Generator, least: int = 96) -> np.ndarray:
    """A training picture, uint8 (H, W, 3), both sides of at least `least` pixels."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    makers: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] = {
        "stage photograph": _stage_photograph,
        "photograph": photograph,
        "leaves": dead_leaves,
        "texture": texture,
    }
    if kind == "theatre":
        picture, worn = theatre_frame(rng, "train"), 0.15
    else:
        picture, worn = makers[kind](rng, max(least, int(rng.integers(128, 257)))), 0.4
    picture = picture[..., rng.permutation(3)]
    return wear(rng, picture) if rng.random() < worn else np.ascontiguousarray(picture)


def theatre_frame(rng: np.random.Generator, split: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """A theatre frame uint8 (H, W, 3) of one to three people of any proportions; `size` None: 128 to 384 pixels on either side."""
    seed, people = int(rng.integers(2**31)), int(rng.choice([1, 1, 2, 3]))
    props, objects, moving, odd = (bool(chance) for chance in rng.random(4) < (0.4, 0.4, 0.3, 0.3))
    scene = sample_scene(seed, split, people=people, props=props, objects=objects, moving_camera=moving)
    if odd:
        oddity = list(ODDITIES)[int(rng.integers(len(ODDITIES)))]
        scene = scene.recast(character=sample_odd_character(rng, oddity, SPLITS[split]))
    if rng.random() < 0.4:  # a close-up
        actors = [
            replace(actor, placement=replace(actor.placement, height=actor.placement.height * 1.8))
            for actor in scene.actors
        ]
        scene = replace(scene, actors=tuple(actors))
    height, width = (int(side) for side in rng.integers(128, 385, 2)) if size is None else size
    return render(scene, [int(rng.integers(64))], (height, width)).frames[0]


def _stage_photograph(rng: np.random.Generator, side: int) -> np.ndarray:
    scene, style = sample_scene_photograph(int(rng.integers(2**31)), people=int(rng.choice([1, 1, 2, 3])))
    return take_photograph(scene, [int(rng.integers(64))], (side, side), style).frames[0]


# --- photographs -----------------------------------------------------------------------------------------------------------------


@cache
def _photograph(name: str) -> np.ndarray:
    package, file = name.split("/", 1)
    try:
        path = files(package) / file
    except ModuleNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise BunrakuError(f"training a codec needs the photograph {name}: pip install scikit-image matplotlib")
    with path.open("rb") as stream:
        return np.asarray(Image.open(stream).convert("RGB"))


def photograph(rng: np.random.Generator, side: int) -> np.ndarray:
    """A square of `side` pixels cut from a photograph at full size or shrunk, with other light and colours."""
    picture = _photograph(str(rng.choice(list(PHOTOGRAPHS))))
    shortest = min(picture.shape[:2])
    cut = int(np.exp(rng.uniform(np.log(min(side, shortest)), np.log(shortest))))
    y, x = (int(rng.integers(length - cut + 1)) for length in picture.shape[:2])
    picture = cv2.resize(picture[y : y + cut, x : x + cut], (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.3:
        picture = np.rot90(picture, int(rng.integers(1, 4)))
    light = (picture / 255.0) ** np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.1, 3))
    return to_bytes(light)
