"""The paper datasets as they lie on disks: which clips their test sets have, where they are looked for, who has them.

Protocol of all (DisCo's): the first frame of a clip is the source, all others are driven by the clip itself and scored.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bunraku.errors import BunrakuError, listed
from bunraku.json_text import parsed_json
from bunraku.media import CLIPS, FrameFolder, VideoReader, open_frames
from bunraku.media.frames import natural_order, pictures_in
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

PROTOCOL = {"task": "self-reenactment", "source": "first frame", "scored": "all other frames"}

MOVING = (*CLIPS, ".gif")

TIKTOK_TEST = (
    "00337", "00338", "201_002", "201_005", "201_021", "201_024", "202_006", "202_007", "202_025", "203_006",
)  # fmt: skip
"""The ten sequences that DisCo and everybody after it report on."""

TIKTOK_SPLITS = {
    "test": TIKTOK_TEST,
    "val": tuple(f"{number:05d}" for number in range(335, 340)),
    "train": tuple(f"{number:05d}" for number in range(1, 335)),
}
"""As in DisCo's loader; its authors give 335 to 340 as validation set."""

MULTI_CHARACTER = (20, 3917)
"""Clips and frames of the Multi-Character benchmark."""


@dataclass(frozen=True)
class Footage:
    """A clip, or a still, on disk.

    Attributes:
        name: by which generated and true clips find each other: a file's without its ending, a folder's.
        path: of a video, a folder of frames, or a picture.
        kind: which of these.
        pose: of a still, where the data set says it.
    """

    name: str
    path: Path
    kind: Literal["video", "frames", "still"]
    pose: PoseTrack | None = None

    def open(self) -> VideoReader | FrameFolder:
        """Its frames, streamed.

        Raises:
            BunrakuError: they cannot be read; or it is a still.
        """
        if self.kind == "still":
            raise BunrakuError(f"{self.path} is a still, no clip")
        return open_frames(self.path)


@dataclass(frozen=True)
class Layout:
    """How a data set lies on a disk.

    Attributes:
        name: for commands.
        title: for people.
        expected: which files, where.
        source: from whom they can be had.
        terms: what is known of the conditions of use.
        search: (root, split) -> what is there, and what is missing, each by a name or a count.
        splits: the default one first.
    """

    name: str
    title: str
    expected: str
    source: str
    terms: str
    search: Callable[[Path, str], tuple[list[Footage], list[str]]]
    splits: tuple[str, ...] = ("test",)


def find(layout: str, root: str | Path, split: str | None = None, *, partial: bool = False) -> list[Footage]:
    """The clips of a data set, in a fixed order.

    Args:
        layout: name out of `LAYOUTS`.
        root: folder of the data set.
        split: None takes the one that papers report.
        partial: take what is there, with a warning, instead of an error.

    Raises:
        BunrakuError: unknown layout or split; files are missing (says which, where they are expected and who has them).
    """
    if layout not in LAYOUTS:
        raise BunrakuError(f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    known, root = LAYOUTS[layout], Path(root)
    split = split or known.splits[0]
    if split not in known.splits:
        raise BunrakuError(f"{known.title} has no split {split!r}; it has {', '.join(known.splits)}")
    if not root.exists():
        raise BunrakuError(f"there is no folder {root}{_where(known)}")
    try:
        found, missing = known.search(root, split)
    except BunrakuError as error:
        raise BunrakuError(f"{error}{_where(known)}") from error
    if missing:
        lacking = f"{known.title}, {split}: {root} lacks {listed(missing, 12)}"
        if not found or not partial:
            raise BunrakuError(lacking + _where(known))
        logger.warning("%s; %d clips are scored, which is not the set that papers report", lacking, len(found))
    return found


def footage_in(path: str | Path) -> list[Footage]:
    """The clips of a folder: video files, and folders of frames (NAME/ or NAME/images/).

    A path that is itself a video, or a folder with nothing but frames, is one clip.

    Raises:
        BunrakuError: it does not exist, holds no clips, or two clips of one name.
    """
    path = Path(path)
    if path.is_file():
        return [Footage(path.stem, path, "video")]
    if not path.is_dir():
        raise BunrakuError(f"there is no folder {path}")
    found = [clip for entry in sorted(path.iterdir(), key=natural_order) if (clip := _footage(entry))]
    if not found and pictures_in(path):
        return [Footage(path.name, path, "frames")]
    if not found:
        raise BunrakuError(f"{path} has no clips: neither videos ({', '.join(MOVING)}) nor folders of frames")
    names = [clip.name for clip in found]
    if twice := [clip.path.name for clip in found if names.count(clip.name) > 1]:
        raise BunrakuError(f"{path} has several clips of one name: {listed(twice, 12)}; keep one of each")
    return found


def _footage(entry: Path) -> Footage | None:
    """What a file or folder holds, if it is a clip."""
    if entry.name.startswith("."):
        return None
    if entry.suffix.lower() in MOVING and entry.is_file():
        return Footage(entry.stem, entry, "video")
    for folder in (entry, entry / "images"):
        if pictures_in(folder):
            return Footage(entry.name, folder, "frames")
    return None


def _folder(root: Path, split: str) -> tuple[list[Footage], list[str]]:
    return footage_in(root), []


_TIKTOK_PLACES = ("TikTok_dataset", "TikTok_dataset/TikTok_dataset", "valid_video", "test", "train")


def _tiktok(root: Path, split: str) -> tuple[list[Footage], list[str]]:
    """Every sequence where one of the public copies has it."""
    found, missing = [], []
    for name in TIKTOK_SPLITS[split]:
        places = (
            place / (name + suffix)
            for place in (root, *(root / part for part in _TIKTOK_PLACES))
            for suffix in ("", "_1x1")  # as the copy with TCAN's code names the self-collected ones
        )
        clip = next(filter(None, (_tiktok_clip(place, name) for place in places)), None)
        missing += [] if clip else [name]
        found += [clip] if clip else []
    return found, missing


def _tiktok_clip(place: Path, name: str) -> Footage | None:
    for folder in (place / "images", place):
        if pictures_in(folder):
            return Footage(name, folder, "frames")
    for stem in (place / "images", place):
        for file in (stem.with_name(stem.name + suffix) for suffix in MOVING):
            if file.is_file():
                return Footage(name, file, "video")
    return None


def _split_folders(counts: dict[str, int]) -> Callable[[Path, str], tuple[list[Footage], list[str]]]:
    """Searches root/SPLIT for as many clips as the split has; where that is not known (0), for any."""

    def search(root: Path, split: str) -> tuple[list[Footage], list[str]]:
        folder = root / split
        if not folder.is_dir():
            return [], [f"the folder {split}/"]
        found = footage_in(folder)
        return found, _miscounted(len(found), counts[split])

    return search


def _multi_character(root: Path, split: str) -> tuple[list[Footage], list[str]]:
    found, (clips, frames) = footage_in(root), MULTI_CHARACTER
    if len(found) == clips and (counted := sum(len(clip.open()) for clip in found)) != frames:
        logger.warning("the Multi-Character benchmark has %d frames; %s has %d in its %d clips", frames, root, counted, clips)  # fmt: skip
    return found, _miscounted(len(found), clips)


def _bizarre_pose(root: Path, split: str) -> tuple[list[Footage], list[str]]:
    places = (root, root / "raw", root / "bizarre_pose_dataset" / "raw")
    folder = next((place for place in places if (place / "annotations.json").is_file()), None)
    if folder is None:
        return [], ["annotations.json"]
    try:
        annotations = parsed_json((folder / "annotations.json").read_text(encoding="utf-8"))
        poses = {name: illustrated_pose(annotation) for name, annotation in annotations.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BunrakuError(
            f"{folder / 'annotations.json'} is not Bizarre-Pose's ({error!r}); extract it again"
        ) from error
    pictures = {file.stem: file for file in pictures_in(folder / "images")}
    found = [Footage(name, pictures[name], "still", pose) for name, pose in poses.items() if name in pictures]
    return found, [f"images/{name}.png" for name in poses if name not in pictures]


_ILLUSTRATED = (
    "nose", "", "shoulder_right", "elbow_right", "wrist_right", "shoulder_left", "elbow_left", "wrist_left", "hip_right",
    "knee_right", "ankle_right", "hip_left", "knee_left", "ankle_left", "eye_right", "eye_left", "ear_right", "ear_left",
)  # fmt: skip
"""Bizarre-Pose's names of our 18 body joints; it has no neck."""


def illustrated_pose(annotation: dict[str, Any]) -> PoseTrack:
    """The pose of one Bizarre-Pose picture: keypoints (1, 1, 18, 2) in pixels, the neck between the shoulders.

    Args:
        annotation: {"size": [height, width], "keypoints": {name: [y, x]}}.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    height, width = (int(side) for side in annotation["size"])
    keypoints = np.zeros((18, 2), np.float32)
    scores = np.zeros(18, np.float32)
    for joint, name in enumerate(_ILLUSTRATED):
        if (at := annotation["keypoints"].get(name)) is not None:
            keypoints[joint], scores[joint] = (float(at[1]), float(at[0])), 1
    if scores[2] and scores[5]:
        keypoints[1], scores[1] = (keypoints[2] + keypoints[5]) / 2, 1
    return PoseTrack(keypoints[None, None], scores[None, None], (height, width))


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "tiktok", "TikTok dataset, DisCo split",
            "per sequence ROOT/NAME/images/*.png, ROOT/NAME/*.png, ROOT/NAME/images.mp4 or ROOT/NAME.mp4, ROOT also with "
            "TikTok_dataset/ or valid_video/ between, NAME also with _1x1; test: " + ", ".join(TIKTOK_TEST),
            "00001 to 00340 from the authors, https://www.yasamin.page/hdnet_tiktok; the eight 20x_... sequences were collected by "
            "DisCo's authors: inside the TSV files of https://github.com/Wangt-CN/DisCo (Data Preparation), and as videos in the "
            "copy that https://github.com/eccv2024tcan/TCAN points to (valid_video/)",
            "videos of TikTok users; see the authors' pages",
            _tiktok, tuple(TIKTOK_SPLITS),
        ),
        Layout(
            "ubc-fashion", "UBC Fashion, 500/100",
            "ROOT/test/*.mp4 (100 clips) and ROOT/train/*.mp4 (500), or folders of frames in their place",
            "https://vision.cs.ubc.ca/datasets/fashion/ (lists of links for training and test; DwNet, Zablotskaia et al. 2019)",
            "see that page",
            _split_folders({"test": 100, "train": 500}), ("test", "train"),
        ),
        Layout(
            "ted-talks", "TED-talks, MRAA split",
            "ROOT/test/ and ROOT/train/ with a .mp4, a .gif or a folder of .png frames per clip",
            "clips are cut from YouTube by https://github.com/AliaksandrSiarohin/video-preprocessing with the list of "
            "TED clips in data/ of https://github.com/snap-research/articulated-animation; what has left YouTube is "
            "missing from new copies, so compare runs over the same clips only",
            "TED's and YouTube's terms apply to the talks",
            _split_folders({"test": 0, "train": 0}), ("test", "train"),
        ),
        Layout(
            "multi-character", "Multi-Character benchmark",
            "ROOT/*.mp4 or ROOT/NAME/*.png: {} clips of several dancing people, {} frames in all".format(*MULTI_CHARACTER),
            "the authors of arXiv 2406.03035 (Follow-Your-Pose v2), whose table 6 lists the sources; no public release is known",
            "those of the listed videos",
            _multi_character,
        ),
        Layout(
            "bizarre-pose", "Bizarre-Pose stills",
            "ROOT/annotations.json and ROOT/images/*.png, ROOT also with raw/ or bizarre_pose_dataset/raw/ between",
            "bizarre_pose_dataset.zip, linked from https://github.com/ShuhongChen/bizarre-pose-estimator",
            "the pictures are their artists' (from Danbooru); the authors could not inspect all of them for offensive content",
            _bizarre_pose, ("all",),
        ),
        Layout(
            "folder", "Folder", "ROOT/*.mp4 or folders of frames ROOT/NAME/*.png", "yourself", "yours", _folder, ("all",)
        ),
    )
}  # fmt: skip
"""Known layouts by name."""


def _miscounted(found: int, wanted: int) -> list[str]:
    if not wanted or found == wanted:
        return []
    return [f"{wanted - found} of {wanted} clips" if found < wanted else f"order: {found} clips instead of {wanted}"]


def _where(layout: Layout) -> str:
    lines = {"expected": layout.expected, "from": layout.source, "terms": layout.terms}
    return "".join(f"\n  {what}: {text}" for what, text in lines.items())
