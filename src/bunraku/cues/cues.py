"""Cues: what is known of a driving clip, in one file, so that perception is paid once."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media.files import replacing
from bunraku.media.frames import Pictures
from bunraku.perception.pose import PoseTrack

VERSION = 1
KEY = "bunraku.cues"
MOST_FPS, LARGEST_SIDE = 1000, 100_000
"""Of a clip: frames per second, and pixels on a side."""


class Layer(NamedTuple):
    """The type of a map: dtype, shape after the frames (letters are free, P the people of the pose), and what it says."""

    dtype: str
    shape: tuple[str | int, ...]
    meaning: str

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(map(str, ('F', *self.shape)))})"

    def fits(self, value: np.ndarray, pose: PoseTrack | None) -> bool:
        """Whether an array is of this type, for the people of a pose."""
        known = {"P": pose.people} if pose is not None else {}
        wanted = [known.get(side) if isinstance(side, str) else side for side in self.shape]
        sizes = value.shape[1:]
        return (
            value.dtype == self.dtype
            and len(sizes) == len(wanted)
            and all(w in (None, s) for w, s in zip(wanted, sizes))
        )


LAYERS = {
    "mattes": Layer("uint8", ("P", "h", "w"), "how much each person covers, 255 wholly"),
    "camera": Layer(
        "float64", (3, 3), "map of the background to the next frame, in pixels of the clip; NaN where it is not known"
    ),
    "from_plate": Layer(
        "float64",
        (3, 3),
        "map of the plate to this frame, in pixels of the clip; a guess where the camera is not known, NaN behind a cut",
    ),
    "flow": Layer(
        "float16",
        ("h", "w", 2),
        "where each pixel goes until the next frame, x first, in pixels of the clip; NaN where it is not known",
    ),
    "nearness": Layer("float64", ("P",), "how near each person is, in any unit; NaN where it is not known"),
    "objects": Layer("uint8", ("h", "w"), "the things in hand, 255 inside"),
    "depth": Layer("float32", ("h", "w"), "distance from the camera in any unit; NaN where it is not known"),
    "hole": Layer(
        "uint8", ("h", "w"), "what is cut out of the scene for the character, 255 inside; else it is made of the mattes"
    ),
}
"""Maps with a known meaning; h and w may be smaller than the clip's, with its aspect ratio."""


@dataclass(frozen=True, eq=False)
class Puppet:
    """The characters whom a clip drives, as a still shows them.

    Attributes:
        picture: uint8 (H, W, 3) RGB.
        pose: (1, P, K) in its pixels.
        mattes: uint8 (P, H, W), how much of every pixel each covers, 255 wholly. None: to be found.
        behind: what is behind them, uint8 (H, W, 3) or a picture per driven frame. None: the picture, they painted out.
    """

    picture: np.ndarray
    pose: PoseTrack
    mattes: np.ndarray | None = None
    behind: Pictures | None = None


@dataclass(frozen=True)
class Cues:
    """Everything known about a driving clip of F frames; independent of the resolution it will be used at.

    Attributes:
        fps: frames per second of the clip.
        size: (height, width) of the clip in pixels.
        source: where the cues come from, for people to read: a file name, a detector.
        pose: the people's keypoints, or None.
        skeleton: uint8 (F, H, W, 3) RGB, an already drawn skeleton video, or None. There is either pose or skeleton.
        media: the video that shows these frames, for its sound and its pictures; by reference, so it may be gone by now. None: there is none.
        media_start: seconds of that video that lie before the first frame.
        maps: what else was perceived, frame by frame, arrays (F, ...) by name. Those of `LAYERS` have the types that it says; others
            are kept as they are.
        plate: uint8 (H', W', 3) RGB, the first frame without its people, or None.
        pixels: the frames themselves, uint8 (F, H', W', 3) RGB with the clip's aspect ratio; by reference, never saved. None: they are
            not at hand.
        puppet: whom the clip is to drive, the people of its pose in this order, or None; never stored.

    Raises:
        ValueError: both or none of pose and skeleton, or lengths and sizes that do not agree.
    """

    fps: Fraction
    size: tuple[int, int]
    source: str
    pose: PoseTrack | None = None
    skeleton: np.ndarray | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    media: Path | None = None
    media_start: Fraction = Fraction(0)
    plate: np.ndarray | None = None
    pixels: Pictures | None = field(default=None, compare=False, repr=False)
    puppet: Puppet | None = None

    def __post_init__(self) -> None:
        if (self.pose is None) == (self.skeleton is None):
            raise ValueError("Cues need either pose or skeleton, and not both")
        if not 0 < self.fps <= MOST_FPS:
            raise ValueError(f"fps must be above 0, up to {MOST_FPS}; got {self.fps}")
        if not all(1 <= side <= LARGEST_SIDE for side in self.size):
            raise ValueError(f"a clip's sides are 1 to {LARGEST_SIDE} pixels; got {self.size}")
        if self.pose is not None and self.pose.size != self.size:
            raise ValueError(
                f"pose is for frames of {self.pose.size}, the clip's are {self.size}; use pose.scaled(size)"
            )
        if self.skeleton is not None and (
            self.skeleton.dtype != np.uint8 or self.skeleton.shape[1:] != (*self.size, 3)
        ):
            raise ValueError(
                f"skeleton must be uint8 (F, {self.size[0]}, {self.size[1]}, 3); "
                f"got {self.skeleton.dtype} {self.skeleton.shape}"
            )
        wrong = {name: value.shape for name, value in self.maps.items() if value.shape[:1] != (len(self),)}
        if wrong:
            raise ValueError(f"maps need one entry for each of the {len(self)} frames; got {wrong}")

        for name, layer in LAYERS.items():
            if (value := self.maps.get(name)) is not None and not layer.fits(value, self.pose):
                raise ValueError(f"{name} must be {layer}; got {value.dtype} {value.shape}")
        if self.plate is not None and (self.plate.dtype != np.uint8 or self.plate.shape[2:] != (3,)):
            raise ValueError(f"the plate must be uint8 (H, W, 3); got {self.plate.dtype} {self.plate.shape}")

        if self.pixels is not None and len(self.pixels) != len(self):
            raise ValueError(f"pixels of {len(self.pixels)} frames for a clip of {len(self)}")

    def __len__(self) -> int:
        return len(self.pose) if self.pose is not None else len(self.skeleton)  # type: ignore[arg-type]

    def with_people(self, people: Sequence[int], pose: PoseTrack) -> "Cues":
        """The cues of some people, by number, with the `pose` (F, len(people), K) of these."""
        own = {
            name: values[:, list(people)]
            for name, values in self.maps.items()
            if name in LAYERS and LAYERS[name].shape[0] == "P"
        }
        return replace(self, pose=pose, maps=self.maps | own)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all; its metadata is a JSON header.

        Raises:
            BunrakuError: the path cannot be written.
        """
        path = Path(path)
        tensors = {f"maps.{name}": value for name, value in self.maps.items()}
        if self.pose is not None:
            tensors |= {"pose.keypoints": self.pose.keypoints, "pose.scores": self.pose.scores}
        if self.skeleton is not None:
            tensors["skeleton"] = self.skeleton
        if self.plate is not None:
            tensors["plate"] = self.plate
        header = {"version": VERSION, "fps": str(self.fps), "size": list(self.size), "source": self.source}
        if self.media is not None:
            media, folder = self.media.absolute(), path.absolute().parent
            header["media"] = {
                "path": str(media), "beside": os.path.relpath(media, folder), "start": str(self.media_start)
            }  # fmt: skip
        contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        try:
            with replacing(path) as temporary:
                save_file(contiguous, temporary, metadata={KEY: json.dumps(header)})
        except (OSError, SafetensorError) as error:
            raise BunrakuError(f"Cannot write {path}: {error}. Check that the folder exists and has room.") from error

    @classmethod
    def load(cls, path: str | Path) -> "Cues":
        """Read what `save` wrote.

        Raises:
            BunrakuError: no such file, not a cues file, damaged, or written by a newer version.
        """
        path = Path(path)
        again = "Make it again with `bunraku perceive`."
        if not path.is_file():
            raise BunrakuError(f"There is no cues file {path}.")
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if KEY not in metadata:
                    raise BunrakuError(
                        f"{path} is a safetensors file, but holds no cues (perhaps a model?). "
                        "Give a file made by `bunraku perceive`."
                    )
                header = parsed_json(metadata[KEY])
                if header["version"] > VERSION:
                    raise BunrakuError(
                        f"{path} was written by a newer version of this program (format {header['version']}; this one "
                        f"reads up to {VERSION}). Update the program, or make the file again."
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except BunrakuError:
            raise
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BunrakuError(f"{path} is not a cues file, or is damaged ({error}). {again}") from error
        try:
            size = (int(header["size"][0]), int(header["size"][1]))
            pose = None
            if "pose.keypoints" in tensors:
                pose = PoseTrack(tensors["pose.keypoints"], tensors["pose.scores"], size)
                if not pose.keypoints.size:
                    raise ValueError(f"poses of {pose.people} people in {len(pose)} frames")
            maps = {name.removeprefix("maps."): v for name, v in tensors.items() if name.startswith("maps.")}
            media, media_start = _media(header.get("media"), path)
            return cls(
                Fraction(header["fps"]), size, str(header["source"]), pose, tensors.get("skeleton"), maps, media, media_start, tensors.get("plate")
            )  # fmt: skip
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise BunrakuError(f"{path} has broken contents ({error}). {again}") from error


def maps_in(path: Path) -> frozenset[str]:
    """Names of the maps in a cues file, which is not read.

    Raises:
        BunrakuError: no such file, or not a cues file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            if KEY not in (file.metadata() or {}):
                raise BunrakuError(f"{path} holds no cues")
            return frozenset(name.removeprefix("maps.") for name in file.keys() if name.startswith("maps."))  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BunrakuError(f"{path} is not a cues file, or is damaged ({error})") from error


def _media(recorded: dict[str, str] | None, cues: Path) -> tuple[Path | None, Fraction]:
    """The video that cues name and where in it they start: from the cues file on, as when both were moved, or else as it was."""
    if recorded is None:
        return None, Fraction(0)
    beside = Path(os.path.normpath(cues.absolute().parent / recorded["beside"]))
    return beside if beside.is_file() else Path(recorded["path"]), Fraction(recorded["start"])
