"""Detections of one frame, and PoseTrack, the keypoints of every person in every frame: the currency of all pose code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

BODY = slice(
    0, 18
)  # OpenPose / COCO-18: 0 nose 1 neck 2-4 R arm 5-7 L arm 8-10 R leg 11-13 L leg 14 R eye 15 L eye 16 R ear 17 L ear
FEET = slice(18, 24)  # L big toe, L small toe, L heel, R big toe, R small toe, R heel
FACE = slice(24, 92)  # the 68 iBUG landmarks
LEFT_HAND = slice(92, 113)  # 21 each: wrist, then thumb to little finger, root to tip
RIGHT_HAND = slice(113, 134)
WHOLE_BODY = 134
SEEN = 0.3
"""A joint with a lower score counts as not seen."""

HAND_BONES = np.array([(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)])
"""The 20 bones of a hand, pairs of its joints, from wrist to finger tips."""

PARENTS = (1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15)
"""Parent of each of the 18 body joints; the neck (1) is the root."""


@dataclass(frozen=True)
class PoseTrack:
    """Keypoints of P people over F frames; index p is the same person in every frame.

    Attributes:
        keypoints: float32 (F, P, K, 2), x and y in pixels, (0, 0) at the top left corner of the top left pixel;
            K is 18 (body) or 134 (body, feet, face, hands; see the slices of this module).
        scores: float32 (F, P, K) in [0, 1]; 0 means "not seen", whatever the coordinates say.
        size: (height, width) of the frames in pixels.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        k, s = self.keypoints, self.scores
        if k.ndim != 4 or k.shape[-1] != 2 or s.shape != k.shape[:3] or k.shape[2] not in (18, WHOLE_BODY):
            raise ValueError(
                f"PoseTrack needs keypoints (F, P, 18 or {WHOLE_BODY}, 2) and scores (F, P, K); got {k.shape} and {s.shape}"
            )

    def __len__(self) -> int:
        return self.keypoints.shape[0]

    def __getitem__(self, frames: slice | Sequence[int]) -> "PoseTrack":
        return replace(self, keypoints=self.keypoints[frames], scores=self.scores[frames])

    @property
    def people(self) -> int:
        return self.keypoints.shape[1]

    def person(self, index: int) -> "PoseTrack":
        """The track of one person, P = 1."""
        return replace(self, keypoints=self.keypoints[:, index : index + 1], scores=self.scores[:, index : index + 1])

    def chosen(self, people: Sequence[int]) -> "PoseTrack":
        """The tracks of some people, in that order; of nobody P = 0."""
        numbers = list(people)
        return replace(self, keypoints=self.keypoints[:, numbers], scores=self.scores[:, numbers])

    def repeated(self, frames: int) -> "PoseTrack":
        """Poses of one frame, held for so many."""
        return replace(self, keypoints=self.keypoints.repeat(frames, 0), scores=self.scores.repeat(frames, 0))

    def frames(self) -> Iterator["PoseTrack"]:
        """One PoseTrack of length 1 per frame."""
        return (self[i : i + 1] for i in range(len(self)))

    def scaled(self, size: tuple[int, int]) -> "PoseTrack":
        """The same poses for frames resized to `size` (height, width)."""
        factor = np.array([size[1] / self.size[1], size[0] / self.size[0]], np.float32)
        return PoseTrack(self.keypoints * factor, self.scores, size)


def together(tracks: Sequence[PoseTrack]) -> PoseTrack:
    """The people of several tracks of the same frames as one track; who has a body alone has no face and hands in it where others do."""
    joints = max(track.keypoints.shape[2] for track in tracks)

    def filled(values: np.ndarray) -> np.ndarray:
        widths = [(0, 0)] * values.ndim
        widths[2] = (0, joints - values.shape[2])
        return np.pad(values, widths)

    keypoints, scores = (
        np.concatenate([filled(getattr(track, name)) for track in tracks], 1) for name in ("keypoints", "scores")
    )
    return PoseTrack(keypoints, scores, tracks[0].size)


@dataclass(frozen=True)
class Detections:
    """The people found in one frame, in no particular order; P may be 0.

    Attributes:
        keypoints: float32 (P, 134, 2), x and y in pixels, in the layout of this module's slices.
        scores: float32 (P, 134) in [0, 1]; 0 means "not seen".
    """

    keypoints: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        people = len(self.keypoints)
        if self.keypoints.shape != (people, WHOLE_BODY, 2) or self.scores.shape != (people, WHOLE_BODY):
            raise ValueError(
                f"Detections needs keypoints (P, {WHOLE_BODY}, 2) and scores (P, {WHOLE_BODY}); "
                f"got {self.keypoints.shape} and {self.scores.shape}"
            )

    def __len__(self) -> int:
        return len(self.keypoints)

    @classmethod
    def of(cls, people: list[tuple[np.ndarray, np.ndarray]]) -> "Detections":
        """Stack the (keypoints (134, 2), scores (134,)) of each person."""
        keypoints = np.zeros((len(people), WHOLE_BODY, 2), np.float32)
        scores = np.zeros((len(people), WHOLE_BODY), np.float32)
        for i, person in enumerate(people):
            keypoints[i], scores[i] = person
        return cls(keypoints, scores)
