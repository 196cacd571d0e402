"""Benchmarks: where the clips of an evaluation come from. The puppet theatre, footage on disk, pairs of folders."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from bunraku.cues.perceive import follow_all, perceive_frames
from bunraku.cues.tracking import lost_ranges
from bunraku.data.layouts import LAYOUTS, PROTOCOL, Footage, find, footage_in
from bunraku.data.pairs import OnMismatch, Pairing, SkipFirst, align, pair
from bunraku.errors import BunrakuError, listed
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.theatre_benchmark import SIZES, VERSION, TheatreBenchmark, theatre_names
from bunraku.media import Frames, fit, placement
from bunraku.perception.detector import DetectorName
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

PEOPLE = {"multi-character": 8}
"""Layouts whose clips show several people, and how many of them are followed at most; in all others it is one."""

LARGEST_CLIP = 8 << 30
"""Bytes that the frames of one clip may take."""


class Benchmark(Protocol):
    """Clips that can be opened one by one, from any thread."""

    @property
    def name(self) -> str:
        """With version, as in reports."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Of the clips."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the truth; None where clips differ."""
        ...

    @property
    def in_scene(self) -> bool:
        """Whether the character takes a driver's place in its scene."""
        ...

    @property
    def protocol(self) -> Mapping[str, Any]:
        """What must agree for scores to be comparable; JSON values."""
        ...

    def clip(self, index: int) -> BenchmarkClip:
        """Clip number `index`.

        Raises:
            BunrakuError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class FootageBenchmark:
    """Self-reenactment on footage: the first frame is the source, the poses of the others are detected and drive, the others are
    scored. Frames are cropped to the middle and resized.

    Args:
        layout: name out of `bunraku.data.layouts.LAYOUTS`.
        root: folder of the data set.
        size: (height, width) that is animated and scored.
        detector: of the driving poses.
        device: of the detector.
        clips: how many, from the first; None: all.
        partial: whether what is there of an incomplete data set is taken.
        people: how many are followed: of those whom the first frame shows, the largest.
    """

    layout: str
    root: Path
    size: tuple[int, int]
    detector: DetectorName = "auto"
    device: str | None = None
    clips: int | None = None
    partial: bool = False
    people: int = 1
    in_scene: ClassVar[bool] = False
    footage: list[Footage] = field(init=False)

    def __post_init__(self) -> None:
        found = find(self.layout, self.root, partial=self.partial)
        if stills := [clip.name for clip in found if clip.kind == "still"]:
            raise BunrakuError(
                f"{LAYOUTS[self.layout].title} has stills ({stills[0]} ...): nothing shows how they move in truth, so there is "
                "nothing to score; bring them to life with `bunraku animate`"
            )
        object.__setattr__(self, "footage", found[: self.clips])

    @property
    def name(self) -> str:
        return self.layout

    @property
    def names(self) -> list[str]:
        return [clip.name for clip in self.footage]

    @property
    def protocol(self) -> dict[str, Any]:
        people = {"people": self.people} if self.people > 1 else {}
        return PROTOCOL | {"frames": "cropped to the middle", "poses": self.detector} | people

    def clip(self, index: int) -> BenchmarkClip:
        source = self.footage[index]
        frames = source.open()
        if len(frames) < 2:
            raise BunrakuError(f"{source.path} has {len(frames)} frame; self-reenactment needs at least 2")
        shown = _loaded(_Fitted(frames, self.size), str(source.path))
        found = self._poses(frames, str(source.path))
        pose = PoseTrack(placement(frames.size, self.size, "crop").points(found.keypoints), found.scores, self.size)
        return BenchmarkClip(
            source.name, frames.fps, shown[0], pose[:1], None, pose[1:], False, shown[1:], pose[1:], None, None
        )

    def _poses(self, frames: Frames, name: str) -> PoseTrack:
        """Who drives the clip; poses are held where somebody is lost."""
        # one more than are followed, so that a passer-by who is larger for a while does not push anybody out
        cues = perceive_frames(frames, name, self.detector, max_people=self.people + 1, device=self.device)
        assert cues.pose is not None
        shown = [i for i in range(cues.pose.people) if not lost_ranges(cues.pose[:1], i)] or [0]
        return follow_all(cues, shown[: self.people]).pose  # type: ignore[return-value]


class PairBenchmark:
    """True clips, and beside them what some system made of them.

    Args:
        generated, truth: folders of videos or frame folders, matched by name; or one clip each.
        on_mismatch, skip_first: see `bunraku.data.pairs`.
        detector: finds the poses of the truth, for the pose metrics; None: they are not looked for.
        device: of the detector.
        clips: how many, from the first; None: all.

    Attributes:
        unpaired: name -> reason, of clips without a partner.
    """

    name = "folders"
    size = None
    in_scene = False

    def __init__(
        self,
        generated: Path,
        truth: Path,
        *,
        on_mismatch: OnMismatch = "error",
        skip_first: SkipFirst = "auto",
        detector: DetectorName | None = None,
        device: str | None = None,
        clips: int | None = None,
    ) -> None:
        self.pairing: Pairing = pair(footage_in(generated), footage_in(truth))
        self.pairs = self.pairing.pairs[:clips]
        self.names = [true.name for _, true in self.pairs]
        self.unpaired = {name: f"no clip of that name in {truth}" for name in self.pairing.only_generated}
        if clips is None:
            self.unpaired |= {name: f"no clip of that name in {generated}" for name in self.pairing.only_truth}
        self.protocol = PROTOCOL | {"on_mismatch": on_mismatch, "skip_first": skip_first}
        self._policy = on_mismatch, skip_first
        self._detector, self._device = detector, device
        self._made: dict[str, np.ndarray] = {}

    def clip(self, index: int) -> BenchmarkClip:
        generated, truth = self.pairs[index]
        whole = truth.open()
        aligned = align(generated.open(), whole, *self._policy)
        for note in aligned.notes:
            logger.warning("%s: %s", truth.name, note)
        frames = _loaded(aligned.truth, str(truth.path))
        self._made[truth.name] = _loaded(aligned.generated, str(generated.path))
        nobody = PoseTrack(
            np.zeros((len(frames), 0, 18, 2), np.float32), np.zeros((len(frames), 0, 18), np.float32), whole.size
        )
        pose = nobody
        if self._detector:
            pose = perceive_frames(aligned.truth, str(truth.path), self._detector, device=self._device).pose or nobody
        return BenchmarkClip(
            truth.name, whole.fps, next(iter(whole)), nobody[:1], None, nobody, False, frames, pose, None, None
        )

    def made(self, name: str) -> np.ndarray:
        """The generated frames of a clip that was opened, uint8 (F, H, W, 3); asked for once."""
        return self._made.pop(name)


class _Fitted:
    """Frames, each cropped to the middle and resized to `size`."""

    def __init__(self, frames: Frames, size: tuple[int, int]) -> None:
        self._frames, self.fps, self.size = frames, frames.fps, size

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Any:
        return (fit(frame, self.size, "crop")[0] for frame in self._frames)


def _loaded(frames: Frames, name: str) -> np.ndarray:
    if (needed := len(frames) * 3 * frames.size[0] * frames.size[1]) > LARGEST_CLIP:
        raise BunrakuError(
            f"{name} is too large to be scored in one piece: its {len(frames)} frames of {frames.size[1]}x{frames.size[0]} px "
            f"take {needed / 2**30:.0f} GiB, at most {LARGEST_CLIP / 2**30:.0f} are taken; cut it into clips"
        )
    return np.stack(list(frames))


def open_benchmark(
    name: str,
    *,
    data: Path | None = None,
    size: tuple[int, int],
    clips: int | None = None,
    partial: bool = False,
    detector: DetectorName = "auto",
    device: str | None = None,
) -> Benchmark:
    """A benchmark by the name that `bunraku evaluate --benchmark` takes: theatre/SPLIT, or a data set's layout.

    Args:
        data: the data set's folder.
        size: (height, width) in pixels; the theatre's are square.
        clips: how many, from the first; None: all.
        partial: take what is there of an incomplete data set.
        detector, device: for the poses of footage.

    Raises:
        BunrakuError: no such benchmark, size or data.
    """
    if clips is not None and clips < 1:
        raise BunrakuError(f"{clips} clips cannot be scored; give at least 1")
    kind, _, split = name.partition("/")
    if kind == "theatre" and split:
        if size[0] != size[1]:
            raise BunrakuError(f"{VERSION} has square frames of {listed(SIZES)} pixels; got {size}")
        return TheatreBenchmark(split, size[0], clips)
    if name not in LAYOUTS:
        raise BunrakuError(f"there is no benchmark {name!r}; there are {', '.join((*theatre_names(), *LAYOUTS))}")
    if data is None:
        known = LAYOUTS[name]
        raise BunrakuError(
            f"{known.title} is not part of bunraku: give its folder with --data. Expected: {known.expected}. It can be had "
            f"from {known.source}"
        )
    return FootageBenchmark(name, data, size, detector, device, clips, partial, PEOPLE.get(name, 1))
