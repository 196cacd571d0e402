"""MediaPipe as a pose detector: offline, on the CPU, body with hands and face where it finds them.

Uses the Holistic solution of mediapipe 0.10.21, the last release with bundled models (complexity 1; 0 and 2 would be
downloaded). Holistic is Pose, then Hands on a crop around each wrist and Face Mesh on an enlarged crop of the head,
so a hand belongs to the arm it hangs on and a small face is still found.

From MediaPipe's landmarks to the 134 of `bunraku.perception.pose`:

    body      nose, shoulders, elbows, wrists, hips, knees, ankles, ears: the landmark of that name;
              eyes: its eye centres; neck: midpoint of the shoulders, score the smaller of the two
    feet      heel: heel; big toe: foot index; small toe: not given, score 0
    hands     the same 21 in the same order
    face      68 iBUG landmarks picked from the 468 of the mesh (`IBUG_FROM_MESH`)

Scores are MediaPipe's visibility as it is; the caller thresholds. A hand takes the score of its wrist and a face that
of the nose, because MediaPipe gives them none. What lies clearly outside the frame is a guess: score 0.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import cv2
import numpy as np

from bunraku.errors import BunrakuError
from bunraku.perception.pose import FACE, LEFT_HAND, RIGHT_HAND, WHOLE_BODY, Detections

logger = logging.getLogger(__name__)

# fmt: off
BODY_FROM_POSE = (0, 12, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""MediaPipe Pose landmark of each body joint; the neck (1) is overwritten by the shoulders' midpoint."""

FEET_FROM_POSE = {18: 31, 20: 29, 21: 32, 23: 30}
"""Keypoint -> MediaPipe Pose landmark: big toes and heels."""

IBUG_FROM_MESH = (
    127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356,  # jaw, from the person's right ear
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # right brow, left brow
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # bridge and tip of the nose, nostrils
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # right eye, left eye
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
)
"""Face Mesh vertex of each of the 68 iBUG landmarks, after the conversion tables to dlib's layout in common use, with one
vertex per landmark and the jaw evenly spaced."""
# fmt: on

OUTSIDE = 0.05  # of the longer side: beyond the frame by more than this is a guess
NOTHING = np.zeros((64, 64, 3), np.uint8)


class MediaPipePose:
    """Pose detector on MediaPipe Holistic, one graph per person.

    A graph finds one person; the others are found by painting that person out and looking again.

    Args:
        max_people: at most so many people per frame.
        video: consecutive frames: people are tracked and their landmarks smoothed, which on dancers took off a third
            to three quarters of the jitter and a third of the time; False looks at every frame afresh.

    Raises:
        BunrakuError: mediapipe is not installed, or is a release without the bundled models.
    """

    name = "mediapipe"
    provider = "mediapipe (CPU)"

    def __init__(self, max_people: int = 1, video: bool = True) -> None:
        with _stderr_to_log():
            holistic = _holistic()
            self._graphs = [
                holistic(static_image_mode=not video, model_complexity=1, enable_segmentation=max_people > 1)
                for _ in range(max_people)
            ]
            for graph in self._graphs:  # the models load, and complain, with the first frame
                graph.process(NOTHING)
        self._shape: tuple[int, ...] | None = None
        self._video = video

    def __call__(self, frame: np.ndarray) -> Detections:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        new_shape = frame.shape != self._shape
        self._shape = frame.shape
        if new_shape or not self._video:
            for graph in self._graphs:
                graph.process(NOTHING)  # drops the tracks; hands and face are tracked even in static image mode
        with _stderr_to_log() if new_shape else nullcontext():  # the first person found brings out one more complaint
            return self._detect(frame)

    def close(self) -> None:
        for graph in self._graphs:
            graph.close()

    def _detect(self, frame: np.ndarray) -> Detections:
        remaining = np.ascontiguousarray(frame)
        painted = np.zeros(frame.shape[:2], bool)
        people: list[tuple[np.ndarray, np.ndarray]] = []
        for i, graph in enumerate(self._graphs):
            result = graph.process(remaining)
            if result.pose_landmarks is None:
                break
            person = to_whole_body(result, frame.shape[:2])
            if _is_remnant(*person, painted):
                graph.process(NOTHING)
                break
            people.append(person)
            if i + 1 < len(self._graphs):
                remaining, silhouette = _paint_out(remaining, result.segmentation_mask)
                painted |= silhouette
        return Detections.of(people)


def to_whole_body(result: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints float32 (134, 2) in pixels and scores (134,) from a Holistic result of a (height, width) frame."""
    height, width = size
    keypoints = np.zeros((WHOLE_BODY, 2), np.float32)
    scores = np.zeros(WHOLE_BODY, np.float32)

    def pixels(landmarks: Any) -> np.ndarray:
        return np.array([(point.x * width, point.y * height) for point in landmarks.landmark], np.float32)

    pose = pixels(result.pose_landmarks)
    visibility = np.array([point.visibility for point in result.pose_landmarks.landmark], np.float32)
    body = list(BODY_FROM_POSE)
    keypoints[:18], scores[:18] = pose[body], visibility[body]
    keypoints[1], scores[1] = keypoints[[2, 5]].mean(axis=0), scores[[2, 5]].min()
    feet = list(FEET_FROM_POSE)
    keypoints[feet], scores[feet] = pose[list(FEET_FROM_POSE.values())], visibility[list(FEET_FROM_POSE.values())]

    if result.face_landmarks is not None:
        keypoints[FACE], scores[FACE] = pixels(result.face_landmarks)[list(IBUG_FROM_MESH)], scores[0]
    torso = float(np.linalg.norm(keypoints[1] - keypoints[[8, 11]].mean(axis=0)))
    for part, landmarks, wrist in (
        (RIGHT_HAND, result.right_hand_landmarks, 4),
        (LEFT_HAND, result.left_hand_landmarks, 7),
    ):
        if landmarks is not None:
            hand = pixels(landmarks)
            # the hand model may slip to another hand in its crop
            if np.linalg.norm(hand[0] - keypoints[wrist]) < 0.35 * torso:
                keypoints[part], scores[part] = hand, scores[wrist]
    _keep_one_of_two_equal_hands(keypoints, scores)

    margin = OUTSIDE * max(size)
    outside = ((keypoints < -margin) | (keypoints > np.array([width, height]) + margin)).any(axis=1)
    scores[outside] = 0
    return keypoints, scores.clip(0, 1)


def _keep_one_of_two_equal_hands(keypoints: np.ndarray, scores: np.ndarray) -> None:
    """Where both hands are found on the same pixels, only that of the nearer wrist stays; changes `scores`."""
    if not (scores[LEFT_HAND].any() and scores[RIGHT_HAND].any()):
        return
    left, right = keypoints[LEFT_HAND], keypoints[RIGHT_HAND]
    extent = min(np.ptp(left, axis=0).max(), np.ptp(right, axis=0).max())
    if np.linalg.norm(left - right, axis=1).mean() < 0.25 * extent:
        left_is_nearer = np.linalg.norm(left[0] - keypoints[7]) < np.linalg.norm(right[0] - keypoints[4])
        scores[RIGHT_HAND if left_is_nearer else LEFT_HAND] = 0


def _paint_out(frame: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`frame` without the person of the segmentation `mask` (H, W), and the painted pixels, bool (H, W).

    The hole is filled from its surroundings: a flat silhouette would be found again as a person.
    """
    height, width = frame.shape[:2]
    reach = max(3, round(0.03 * max(height, width)))
    silhouette = cv2.dilate((mask > 0.3).astype(np.uint8), np.ones((reach, reach), np.uint8))
    scale = 128 / max(height, width)
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(frame, small_size, interpolation=cv2.INTER_AREA)
    hole = cv2.resize(silhouette, small_size, interpolation=cv2.INTER_NEAREST)
    filling = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), (width, height))
    painted = silhouette.astype(bool)
    return np.where(painted[..., None], filling, frame), painted


def _is_remnant(keypoints: np.ndarray, scores: np.ndarray, painted: np.ndarray) -> bool:
    """Whether most of the seen joints lie on painted-out people: what is left of them, not somebody else."""
    height, width = painted.shape
    x, y = keypoints[:18].T.astype(int)
    seen = (scores[:18] > 0.3) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return bool(seen.sum() < 4 or painted[y[seen], x[seen]].mean() > 0.5) if painted.any() else False


def _holistic() -> Any:
    try:
        import mediapipe
    except ImportError as error:
        raise BunrakuError(
            f"The mediapipe pose detector needs MediaPipe ({error}); `pip install '.[mediapipe]'`."
        ) from error
    with suppress(AttributeError):
        return mediapipe.solutions.holistic.Holistic
    raise BunrakuError(
        f"mediapipe {mediapipe.__version__} comes without the bundled models this detector needs; "
        "`pip install mediapipe==0.10.21`."
    )


@contextmanager
def _stderr_to_log() -> Iterator[None]:
    """Sends what C++ code writes to file descriptor 2 to the log (DEBUG): MediaPipe offers no switch for its chatter."""
    with tempfile.TemporaryFile() as chatter:
        saved = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            chatter.seek(0)
            for line in chatter.read().decode(errors="replace").splitlines():
                logger.debug("mediapipe: %s", line)
