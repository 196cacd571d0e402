"""Training samples from real clips: sample i is a function of (seed, i) and the files alone."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal, TypeVar
from zlib import crc32

import numpy as np
from torch.utils.data import Dataset

from bunraku.cues.cues import Cues
from bunraku.cues.depth_order import lasting_ranks
from bunraku.cues.shape_mask import bridge_mattes
from bunraku.data.samples import STAYING, ReferenceFrame, Sample, draw_sample
from bunraku.data.self_supervised import filled, held_things, on_ground, self_supervised, staying
from bunraku.errors import BunrakuError, listed
from bunraku.media import CLIPS, Slice, VideoReader, resize
from bunraku.perception.pose import BODY, PoseTrack
from bunraku.recipes import REFERENCE_AND_POSE, Reads
from bunraku.theatre import sample_background

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

JOINTS, SCORE = 3, 0.3
"""A frame shows the person if this many joints have this score (from which they are drawn); other frames are not used."""

OPENED = 32
"""Clips whose index and cues are kept in memory, per process, while these are below `MOST`."""

MOST = 2**30  # bytes of their maps

LOST = 0.5  # seconds for which a matte that is lost is bridged; who is lost for longer is not shown

ROOM = (1.1, 1.5)  # sides of a crop that holds the character, in sides of what it needs

AREAS = ("mattes", "objects", "depth")
"""Maps that are pictures of a frame."""

SKIPPED = 32
"""Longest run of unwanted frames that is decoded to reach a wanted one; a longer one is jumped over, to a key frame."""

HELD_OUT, FEW = 10, 4
"""One clip in so many is kept for validation, the last by name; of fewer than FEW clips none is: training needs them all."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A video, its cues, and what is known of them.

    Attributes:
        seen: numbers of the frames that show the first (largest) person.
        maps: names of the maps of the cues.
        matted: those of `seen` in which a matte of that person is known.
        box: where that person is in any of these, top, left, bottom, right as shares of the sides.
    """

    video: Path | Slice
    cues: Path | Slice
    seen: np.ndarray
    maps: frozenset[str]
    matted: np.ndarray
    box: tuple[float, float, float, float]

    def load_cues(self) -> Cues:
        """Read the cues."""
        if isinstance(self.cues, Path):
            return Cues.load(self.cues)
        with NamedTemporaryFile(suffix=".cues") as file:
            file.write(self.cues.read())
            file.flush()
            return Cues.load(file.name)


class ClipSamples(Dataset):
    """Endless samples of clips that `bunraku perceive` has prepared.

    A sample shows one clip; reference and driven frames are cropped alike. For models that are shown the scene (`environment`) the crop
    holds the character wherever it goes, the clip is shown without it (`self_supervised`), and the reference is cut out and lies on
    another ground; of those that are shown a cut-out as well, most stay in the reference's own scene instead (`STAYING`). A cut-out is made with the clip's
    mattes where it has them.

    Args:
        clips: what there is to choose from.
        seed: of the whole data set.
        frames: driven frames per sample.
        size: (height, width).
        consecutive: frames `stride` apart in a row (motion modules) instead of any frames of the clip.
        stride: distance of consecutive frames.
        min_gap: smallest distance in frames between the reference and any driven frame; halved until the clip allows it.
        reads: the conditions that samples have.
        styles: how they are drawn, see `recipes.Size`.
        reference_frame: see `ReferenceFrame`.
        people: how many are drawn, the largest first.
        references: pictures of each reference.
        crops: of every clip so many crops are shown, the same ones always; 0: another one in every sample.

    Raises:
        BunrakuError: clips with too few frames that show a person, or (when a sample is read) with cues that are not theirs.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        seed: int,
        frames: int = 1,
        size: tuple[int, int] = (512, 512),
        *,
        consecutive: bool = False,
        stride: int = 1,
        min_gap: int = 0,
        reads: Reads = REFERENCE_AND_POSE,
        styles: Mapping[str, Mapping[str, Any]] | None = None,
        reference_frame: ReferenceFrame = "random",
        people: int = 1,
        references: int = 1,
        crops: int = 0,
    ) -> None:
        self.references, self.crops = references, crops
        self.seed, self.frames, self.size = seed, frames, size
        self.consecutive, self.stride, self.min_gap, self.people = consecutive, stride, min_gap, people
        self.reads, self.styles, self.reference_frame = reads, styles or {}, reference_frame
        self.scene = "environment" in reads.frames
        self.clips = [replace(clip, seen=clip.matted) for clip in clips] if self.scene else list(clips)
        bare = [clip.video for clip in self.clips if "mattes" not in clip.maps]
        if self.scene and bare:
            raise BunrakuError(
                f"the scene is not known without its people, and there are no mattes of {listed(bare)}: bunraku perceive DIR --matte"
            )
        if self.scene and (flat := [clip.video for clip in self.clips if "depth" not in clip.maps]):
            logger.warning(
                "depth is not known in %s: it is left out there; bunraku perceive --depth finds it", listed(flat)
            )
        if "instances" in reads.frames and bare:
            raise BunrakuError(
                f"the setting binding needs to know who is where, and there are no mattes of {listed(bare)}: make the cues again with "
                "bunraku perceive --matte --again"
            )
        if "flow" in reads.frames and (still := [clip.video for clip in self.clips if "camera" not in clip.maps]):
            logger.warning(
                "the camera's motion is not known in %s: it is taken to be at rest there; bunraku perceive --matte finds it", listed(still)
            )  # fmt: skip
        least = (frames - 1) * stride + 1 if consecutive else frames + 1
        short = [c for c in self.clips if not len(self._starts(c.seen) if consecutive else c.seen[frames:])]
        if short:
            raise BunrakuError(
                f"{least} frames {'in a row ' if consecutive else ''}that show a person are needed; too few have "
                f"{listed([c.video for c in short])}: remove them, or train with fewer frames"
            )
        self._opened: OrderedDict[Path | Slice, tuple[VideoReader, Cues]] = OrderedDict()

    def __getitem__(self, index: int) -> Sample[np.ndarray]:
        rng = np.random.default_rng([self.seed, index])
        clip = self.clip(index, rng)
        reader, cues = self._open(clip)
        chosen = np.concatenate([self._choose(clip.seen, rng), rng.choice(clip.seen, self.references - 1)])
        (top, left), crop = self._crop(clip, reader.size, rng)
        images = resize(read_frames(reader, chosen)[:, top : top + crop[0], left : left + crop[1]], self.size)
        pose: PoseTrack = cues.pose  # type: ignore[assignment]
        moved = PoseTrack(pose.keypoints[chosen] - np.array([left, top], np.float32), pose.scores[chosen], crop).scaled(
            self.size
        )
        maps = {name: values[chosen] for name, values in cues.maps.items()}
        if "camera" in maps:
            maps["camera"] = _cropped(maps["camera"], (top, left), crop, self.size)
        maps |= {name: _part(maps[name], (top, left), crop, reader.size) for name in AREAS if name in maps}
        known = [
            Cues(
                Fraction(reader.fps), self.size, clip.video.name, pose=moved[part],
                maps={name: values[part] for name, values in maps.items()},
            )
            for part in (slice(1, 1 + self.frames), *(slice(i, i + 1) for i in (0, *range(1 + self.frames, len(chosen)))))
        ]  # fmt: skip
        driven, stills = images[1 : 1 + self.frames], [images[0], *images[1 + self.frames :]]
        mattes, behind = self._mattes(known[1]), None
        if self.scene and mattes is not None and rng.random() < STAYING:
            known[0] = staying(known[0], stills[0], known[1].pose, mattes)
        elif self.scene:
            law = self.styles.get("mask", {}).get("law", "clip")
            shown = replace(known[0], pixels=driven)
            emptied = cache(partial(filled, shown))
            behind = emptied() if mattes is not None else None
            known[0] = self_supervised(shown, emptied, held_things(shown), rng, law)
            grounds = [sample_background(rng).render(self.size)[0] for _ in stills]
            stills = [
                on_ground(still, own.maps["mattes"][0, 0], ground)
                for still, own, ground in zip(stills, known[1:], grounds)
            ]
        views = list(zip(stills[1:], known[2:]))
        return draw_sample(self.reads, driven, known[0], stills[0], known[1], self.styles, mattes, views, behind)

    def _mattes(self, reference: Cues) -> np.ndarray | None:
        """How much each person of a reference covers, uint8 (P, H, W), for models that are shown a cut-out; None where it is to be found."""
        if "cutout" not in self.reads.frames or "mattes" not in reference.maps:
            return None
        mattes = resize(reference.maps["mattes"][0][..., None], self.size)[..., 0]
        return mattes if (mattes >= 128).any((1, 2)).all() else None

    def _crop(
        self, clip: Clip, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        if self.crops:
            name = crc32(clip.video.name.encode())
            rng = np.random.default_rng([self.seed, name, int(rng.integers(self.crops))])
        if not self.scene:
            return random_crop(size, self.size, rng)
        return crop_with(np.array(clip.box) * np.array([*size, *size]), size, self.size, rng)

    def clip(self, index: int, rng: np.random.Generator) -> Clip:
        """The clip of sample `index`, of whose randomness `rng` is the source."""
        return self.clips[int(rng.integers(len(self.clips)))]

    def _open(self, clip: Clip) -> tuple[VideoReader, Cues]:
        """The clip's reader at the cues' frame rate, and the cues with the people who are drawn."""
        if clip.video not in self._opened:
            cues = clip.load_cues()
            reader = VideoReader(clip.video, fps=cues.fps)
            if cues.pose is None or len(cues) != reader.frames:
                raise BunrakuError(
                    f"{clip.cues} has {len(cues)} frames, {clip.video.name} has {reader.frames}; "
                    f"make it again: bunraku perceive {clip.video}"
                )
            pose = cues.pose.scaled(reader.size)
            drawn = PoseTrack(pose.keypoints[:, : self.people], pose.scores[:, : self.people], pose.size)
            maps = self._maps(cues, drawn, reader.size)
            self._opened[clip.video] = reader, Cues(cues.fps, reader.size, cues.source, pose=drawn, maps=maps)
            while len(self._opened) > OPENED or (len(self._opened) > 1 and self._bytes() > MOST):
                self._opened.popitem(last=False)
        self._opened.move_to_end(clip.video)
        return self._opened[clip.video]

    def _bytes(self) -> int:
        return sum(value.nbytes for _, cues in self._opened.values() for value in cues.maps.values())

    def _maps(self, cues: Cues, pose: PoseTrack, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """What the conditions need of a clip beside its poses, in pixels of `size`; the order of the people over the whole clip, because
        a few frames of it do not tell what lasts."""
        maps, reads = {}, self.reads.frames
        if "flow" in reads and (camera := cues.maps.get("camera")) is not None:
            maps["camera"] = _cropped(camera, (0, 0), cues.size, size)
        if "depth_order" in reads:
            known = cues.maps.get("nearness")
            maps["nearness"] = lasting_ranks(pose, None if known is None else known[:, : self.people]).astype(float)
        mattes = cues.maps.get("mattes")
        if mattes is not None and ("instances" in reads or "cutout" in reads or self.scene):
            maps["mattes"] = mattes[:, : self.people]
        if self.scene and mattes is not None:
            longest = round(LOST * cues.fps)
            maps["mattes"] = np.stack([bridge_mattes(one, longest) for one in maps["mattes"].swapaxes(0, 1)], 1)
            # what is not known of one clip is black there: all samples of a batch have the same conditions
            unknown = {"depth": (np.float32, np.nan), "objects": (np.uint8, 0)}
            for name, (dtype, value) in unknown.items():
                maps[name] = cues.maps.get(name, np.full((len(cues), 8, 8), value, dtype))
        return maps

    def _choose(self, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Frame numbers (1 + frames,): the reference, then the driven ones."""
        gaps = [self.min_gap >> halvings for halvings in range(self.min_gap.bit_length() + 1)]
        if self.consecutive and self.reference_frame == "first":
            start = int(rng.choice(self._starts(seen)))
            return np.array([seen[0], *range(start, start + (self.frames - 1) * self.stride + 1, self.stride)])
        return self._in_a_row(seen, gaps, rng) if self.consecutive else self._scattered(seen, gaps, rng)

    def _in_a_row(self, seen: np.ndarray, gaps: list[int], rng: np.random.Generator) -> np.ndarray:
        starts, span = self._starts(seen), (self.frames - 1) * self.stride

        def roomy(gap: int) -> np.ndarray:
            return starts[(seen[0] <= starts - gap) | (starts + span + gap <= seen[-1])]

        gap = next(gap for gap in gaps if len(roomy(gap)))
        start = int(rng.choice(roomy(gap)))
        references = seen[(seen <= start - gap) | (start + span + gap <= seen)]
        return np.array([rng.choice(references), *range(start, start + span + 1, self.stride)])

    def _scattered(self, seen: np.ndarray, gaps: list[int], rng: np.random.Generator) -> np.ndarray:
        def roomy(gap: int) -> np.ndarray:
            before, after = np.searchsorted(seen, seen - gap, "right"), np.searchsorted(seen, seen + gap)
            return seen[before + len(seen) - after >= self.frames]

        gap = next(gap for gap in (max(gap, 1) for gap in gaps) if len(roomy(gap)))
        reference = int(rng.choice(roomy(gap)))
        others = seen[np.abs(seen - reference) >= gap]
        return np.array([reference, *rng.choice(others, self.frames, replace=False)])

    def _starts(self, seen: np.ndarray) -> np.ndarray:
        """First frames of the windows of consecutive frames that show the person throughout."""
        return seen[np.isin(seen[:, None] + self.stride * np.arange(self.frames), seen).all(1)]


class ClipFolder(ClipSamples):
    """Samples of the clips in a folder (NAME.cues beside NAME.mp4); sample i is of any clip.

    Args:
        folder: with clips; nested folders are searched.
        split: see `split_clips`.
        others: as of `ClipSamples`.

    Raises:
        BunrakuError: no clips, or clips without cues; see also `ClipSamples`.
    """

    def __init__(self, folder: Path, *others: Any, split: Literal["train", "val"] = "train", **named: Any) -> None:
        super().__init__([read_clip(*files) for files in split_clips(find_clips(folder), split)], *others, **named)


def random_crop(
    size: tuple[int, int], target: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A random part of the middle of a frame: nearly the largest that has the target's aspect ratio.

    The share of the area is 0.9 to 1 and the aspect ratio 0.9 to 1 times the target's: the RandomResizedCrop with which
    Animate Anyone's public re-implementations train.

    Args:
        size, target: (height, width) of the frame and of what the part will be resized to.

    Returns:
        (top, left) and (height, width) in pixels.
    """
    scale, ratio = rng.uniform(0.9, 1, 2)
    aspect = target[1] / target[0]
    height = min(size[0], size[1] / aspect)
    whole = np.array([height, height * aspect])
    part = np.minimum(whole, whole * np.sqrt(scale) * np.array([ratio**-0.5, ratio**0.5]))
    corner = (size - whole) / 2 + rng.uniform(size=2) * (whole - part)
    crop = np.maximum(np.floor(part), 1)
    top, left = np.minimum(np.rint(corner), size - crop).astype(int)
    return (int(top), int(left)), (int(crop[0]), int(crop[1]))


def crop_with(
    box: np.ndarray, size: tuple[int, int], target: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A random part of a frame, of the target's aspect ratio, that holds a box and some room round it, as far as the frame has it.

    Args:
        box: top, left, bottom, right in pixels.
        size, target: (height, width) of the frame and of what the part will be resized to.

    Returns:
        (top, left) and (height, width) in pixels.
    """
    aspect = target[1] / target[0]
    needed, middle = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    height = min(max(needed[0], needed[1] / aspect) * rng.uniform(*ROOM), size[0], size[1] / aspect)
    crop = np.maximum(np.floor((height, height * aspect)), 1)
    spare = np.maximum(crop - needed, 0) / 2
    corner = middle - crop / 2 + rng.uniform(-1, 1, 2) * spare
    top, left = np.clip(np.rint(corner), 0, np.array(size) - crop).astype(int)
    return (int(top), int(left)), (int(crop[0]), int(crop[1]))


def _cropped(camera: np.ndarray, corner: tuple[int, int], crop: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A camera's motion (F, 3, 3) in pixels of `size` after a crop (height, width) at `corner` (top, left)."""
    scale = size[1] / crop[1], size[0] / crop[0]
    moved = np.array([(scale[0], 0, -corner[1] * scale[0]), (0, scale[1], -corner[0] * scale[1]), (0, 0, 1)])
    return np.asarray(moved @ camera @ np.linalg.inv(moved))


def _part(areas: np.ndarray, corner: tuple[int, int], crop: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The part (height, width) at `corner` (top, left), in pixels of frames of `size`, of maps (..., h, w) of such frames."""
    scale = areas.shape[-2] / size[0], areas.shape[-1] / size[1]
    rows, columns = (
        slice(round(start * s), max(round(start * s) + 1, round((start + side) * s)))
        for start, side, s in zip(corner, crop, scale)
    )
    return areas[..., rows, columns]


def read_frames(reader: VideoReader, numbers: np.ndarray) -> np.ndarray:
    """Those frames in that order, uint8 (N, H, W, 3); decodes little else (see SKIPPED)."""
    images = np.empty((len(numbers), *reader.size, 3), np.uint8)
    ascending = np.unique(numbers)
    for run in np.split(ascending, np.flatnonzero(np.diff(ascending) > SKIPPED) + 1):
        wanted = set(run.tolist())
        for number, image in enumerate(reader.part(int(run[0]), int(run[-1]) + 1), int(run[0])):
            if number in wanted:
                images[numbers == number] = image
    return images


def split_clips(clips: Sequence[Found], split: str) -> Sequence[Found]:
    """The clips to learn from ("train"), or those that are kept for validation ("val"; of very few clips: the same)."""
    held_out = -(-len(clips) // HELD_OUT)
    if len(clips) < FEW:
        return clips
    return clips[-held_out:] if split == "val" else clips[:-held_out]


def find_clips(folder: Path) -> list[tuple[Path, Path]]:
    """Videos and their cues, by name.

    Raises:
        BunrakuError: there are none, or some have no cues.
    """
    if not folder.is_dir():
        raise BunrakuError(f"there is no folder {folder}; give one with clips, or theatre")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in CLIPS)
    if not videos:
        raise BunrakuError(f"{folder} has no clips ({', '.join(CLIPS)})")
    bare = [video for video in videos if not video.with_suffix(".cues").is_file()]
    if bare:
        commands = "; ".join(f"bunraku perceive {parent}" for parent in sorted({video.parent for video in bare}))
        raise BunrakuError(f"no cues beside {listed(bare)}; first run: {commands}")
    return [(video, video.with_suffix(".cues")) for video in videos]


def read_clip(video: Path, cues: Path) -> Clip:
    """What has to be known of a clip before it is used.

    Raises:
        BunrakuError: its cues show nobody.
    """
    known = Cues.load(cues)
    pose = known.pose
    if pose is None or not pose.people:
        raise BunrakuError(f"{cues} has no keypoints of a person; remove the clip, or make it again: bunraku perceive")
    seen = np.flatnonzero((pose.scores[:, 0, BODY] >= SCORE).sum(-1) >= JOINTS)
    matted, box = seen[:0], (0.0, 0.0, 1.0, 1.0)
    if (mattes := known.maps.get("mattes")) is not None and len(seen):
        there = bridge_mattes(mattes[:, 0], round(LOST * known.fps))[seen] >= 128
        matted = seen[there.any((1, 2))]
        box = _box(np.asarray(there.any(0))) if len(matted) else box
    return Clip(video, cues, seen, frozenset(known.maps), matted, box)


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of a mask (h, w) that is not empty, as shares of its sides."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width
