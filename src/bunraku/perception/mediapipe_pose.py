"""MediaPipe's networks as a pose detector: offline, on the CPU, several people, body with hands and face where it finds them.

MediaPipe's own graphs follow one person. Here its networks are run one by one, with the numbers of its graphs:

    people    an anchor detector looks at the whole frame and at square parts of it, and gives each person's region
    body      33 landmarks in each region; two of them say where the region is in the next frame
    hands     a first look round wrist and knuckles of the body, the hand's own region in it, 21 landmarks
    face      a face detector in the region of the head, then the 468 points of the mesh

so a hand belongs to the arm it hangs on, and a small face is still found. New people are looked for every few frames, and
at once when somebody is lost; somebody who is lost is looked for where they were for a while, which carries people through an embrace.

The networks are those of mediapipe 0.10.21, the last release with them (complexity 1).
From MediaPipe's landmarks to the 134 of `bunraku.perception.pose`:

    body      nose, shoulders, elbows, wrists, hips, knees, ankles, ears: the landmark of that name;
              eyes: its eye centres; neck: midpoint of the shoulders, score the smaller of the two
    feet      heel: heel; big toe: foot index; small toe: not given, score 0
    hands     the same 21 in the same order
    face      68 iBUG landmarks picked from the 468 of the mesh (`IBUG_FROM_MESH`)

Scores are MediaPipe's visibility; the caller thresholds. A hand takes the score of its wrist and a face that
of the nose, because MediaPipe gives them none. What lies clearly outside the frame is a guess: score 0.

Sources: Bazarevsky et al., "BlazePose" (2020); Zhang et al., "MediaPipe Hands" (2020); Kartynnik et al., "Real-time Facial
Surface Geometry" (2019); the graph `holistic_landmark_cpu` of mediapipe 0.10.21.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from bunraku.perception.crowd import MoreThanFollowed
from bunraku.perception.litert import Network
from bunraku.perception.pose import BODY, FACE, LEFT_HAND, RIGHT_HAND, WHOLE_BODY, Detections
from bunraku.perception.regions import (
    Picture,
    Region,
    anchor_centres,
    decode_anchors,
    pixel_matrix,
    weighted_suppression,
)

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
PRESENT = 0.5  # least probability that a region shows a body, a hand, a face
LOOK_EVERY = 6  # frames between two looks for new people
PATIENCE = 30  # frames for which somebody lost is looked for where they were
SAME = 0.08  # two bodies whose joints are nearer than this on average, in sides of their region, are one
CLOSE = 0.2  # two bodies nearer than this are in each other's way
COVERED = 0.7  # of the pixels of a newly found body: with more of them on known people it is one of those again
SMALLEST = 0.08  # least side of a region, as a share of the frame's shorter side
FITS = 1.5  # times a square's side: a region that is larger is of somebody whom the square cuts off, and so a guess
WIDE = 1.3  # frames whose sides have a greater ratio are also looked at in squares


class MediaPipePose:
    """Pose detector on MediaPipe's networks.

    Args:
        max_people: at most so many people per frame, the largest where there are more.
        video: consecutive frames: people are followed and their landmarks smoothed; False looks at every frame afresh.

    Raises:
        BunrakuError: mediapipe or ai-edge-litert is not installed, or mediapipe is a release without its networks.
    """

    name = "mediapipe"
    provider = "LiteRT (CPU)"

    def __init__(self, max_people: int = 1, video: bool = True) -> None:
        self._people = _PersonDetector(crowd=max_people > 2)
        self._body, self._hands, self._face = _Body(), _Hands(), _Face()
        self._max_people, self._video, self._more = max_people, video, MoreThanFollowed(max_people)
        self._tracks: list[_Track] = []
        self._shape: tuple[int, ...] | None = None
        self._age = 0

    def __call__(self, frame: np.ndarray) -> Detections:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        if frame.shape != self._shape or not self._video:
            self.restart()
        self._shape = frame.shape
        picture = Picture(np.ascontiguousarray(frame))
        found = self._follow(picture)
        if self._age % LOOK_EVERY == 0 or any(track.missed == 1 for track in self._tracks):
            found += self._look(picture, found)
        self._age += 1
        self._more(len(found))
        found = sorted(found, key=lambda track: -track.region.side)[: self._max_people]
        self._tracks = found + [track for track in self._tracks if 0 < track.missed <= PATIENCE][: self._max_people]
        return Detections.of([self._whole(picture, track) for track in found])

    def restart(self) -> None:
        """Forget the people followed so far, as after a cut."""
        self._tracks, self._age = [], 0

    def close(self) -> None:
        del self._people, self._body, self._hands, self._face

    def _follow(self, picture: Picture) -> list["_Track"]:
        """Those of the people known so far who are found again, each where it was expected."""
        seen = [(track, self._again(picture, track)) for track in self._tracks]
        # where two end up on one body, the one who was on it before stays
        seen.sort(key=lambda pair: (pair[1] is None, pair[0].missed, pair[1] is not None and pair[0].jump(pair[1])))
        found: list[_Track] = []
        for track, pose in seen:
            if pose is None or any(other.is_same(pose) for other in found):
                track.missed += 1
            else:
                track.add(pose, smooth=self._video)
                found.append(track)
        return found

    def _again(self, picture: Picture, track: "_Track") -> "_Pose | None":
        """The pose of a known person, looked for without the pixels of those who stood in the way in the last frame."""
        near = [other for other in self._tracks if other is not track and other.distance(track.points) < CLOSE]
        return self._body(picture, track.region, [other.mask for other in near], track.mask)

    def _look(self, picture: Picture, known: list["_Track"]) -> list["_Track"]:
        """People in the frame beside those known; one who was lost is not recognised here."""
        new: list[_Track] = []
        for region in self._people(picture):
            pose = self._body(picture, region)
            # the detector's region is rough for small people: the landmarks' own is better
            pose = pose and self._body(picture, pose.region)
            others = known + new
            if pose and not any(other.is_same(pose) for other in others) and not _on_others(pose, others):
                new.append(_Track(pose))
        return new

    def _whole(self, picture: Picture, track: "_Track") -> tuple[np.ndarray, np.ndarray]:
        points, visibility = track.points, track.visibility
        left, right = (self._hands(picture, points, visibility, side) for side in ("left", "right"))
        return to_whole_body(points, visibility, self._face(picture, points), left, right, picture.size)


class _Pose:
    """33 + 2 landmarks (35, 2) in pixels of the frame, their visibility (33,), the body's pixels, and where to look next."""

    def __init__(self, points: np.ndarray, visibility: np.ndarray, mask: "_Mask") -> None:
        self.points, self.visibility, self.mask = points, visibility, mask
        self.circle = Region.along(points[33], points[34], 90)

    @property
    def region(self) -> Region:
        return self.circle.scaled(1.25)


class _Mask:
    """Where a body is within its region, float32 (side, side) in [0, 1]."""

    def __init__(self, values: np.ndarray, region: Region) -> None:
        self.values, self.region = values.astype(np.float32), region

    def seen_in(self, region: Region, side: int) -> np.ndarray:
        """The same as seen in another region, (side, side); 0 outside its own."""
        corners = self.region.from_picture(region.to_picture(np.array([[0, 0], [1, 0], [0, 1]]))) * len(self.values)
        matrix = pixel_matrix(corners, side)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.values, matrix, (side, side), flags=flags)

    def at(self, points: np.ndarray) -> np.ndarray:
        """The values at points (N, 2) of the picture, 0 outside the region."""
        side = len(self.values)
        x, y = (self.region.from_picture(points) * side).astype(int).T
        inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        return np.where(inside, self.values[y.clip(0, side - 1), x.clip(0, side - 1)], 0)


class _Track:
    """One person followed from frame to frame by the detector."""

    def __init__(self, pose: _Pose) -> None:
        self.missed = 0
        self.region, self.mask = pose.region, pose.mask
        self.points, self.visibility = pose.points[:33], pose.visibility
        self._raw, self._filtered, self._speed = pose.points, pose.points, np.zeros_like(pose.points)

    def distance(self, points: np.ndarray) -> float:
        """How far landmarks (33, 2) are from the last ones, on average, in sides of the region."""
        return float(np.linalg.norm(self.points - points, axis=1).mean() / max(self.region.side, 1e-6))

    def jump(self, pose: _Pose) -> float:
        return self.distance(pose.points[:33])

    def is_same(self, pose: _Pose) -> bool:
        return self.jump(pose) < SAME

    def add(self, pose: _Pose, smooth: bool) -> None:
        """MediaPipe's filter: One-Euro at 30 Hz on the landmarks, in units of the region, slower for where to look next."""
        if smooth and not self.missed:
            rate, scale = 30.0, max(pose.circle.side, 1e-6)
            self._speed += _alpha(1.0, rate) * ((pose.points - self._raw) / scale * rate - self._speed)
            least, beta = np.full((35, 1), 0.05), np.full((35, 1), 80.0)
            least[33:], beta[33:] = 0.01, 10.0
            alpha = _alpha(least + beta * np.abs(self._speed), rate)
            self._filtered = self._filtered + alpha * (pose.points - self._filtered)
        else:
            self._filtered, self._speed = pose.points, np.zeros_like(pose.points)
        self._raw, self.mask = pose.points, pose.mask
        share = 0.1 if smooth and not self.missed else 1.0
        self.visibility = self.visibility + share * (pose.visibility - self.visibility)
        self.missed, self.points = 0, self._filtered[:33]
        self.region = Region.along(self._filtered[33], self._filtered[34], 90).scaled(1.25)


def _on_others(pose: _Pose, others: Sequence[_Track]) -> bool:
    """Whether most of a pose's pixels belong to known people: a second reading of these."""
    cells = (np.arange(64) + 0.5) / 64
    points = pose.mask.region.to_picture(np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2))
    body = points[pose.mask.at(points) > 0.5]
    if not others or not len(body):
        return not len(body)
    return bool((np.max([other.mask.at(body) for other in others], axis=0) > 0.5).mean() > COVERED)


def _alpha(cutoff: float | np.ndarray, rate: float) -> float | np.ndarray:
    return 1 / (1 + rate / (2 * np.pi * cutoff))


class _PersonDetector:
    """Regions of the people in a frame, the largest first."""

    def __init__(self, crowd: bool) -> None:
        self._crowd = crowd
        self._network = Network("pose_detection/pose_detection")
        self._anchors = anchor_centres(self._network.side, (8, 16, 32, 32, 32))

    def __call__(self, picture: Picture) -> list[Region]:
        found: list[tuple[float, Region]] = []
        least, views = SMALLEST * min(picture.size), _views(picture.size, self._crowd)
        for view in views:
            image = picture.cut(view, self._network.side, cv2.BORDER_CONSTANT) / np.float32(127.5) - 1
            values, logits = self._network(image)
            boxes, points, scores = decode_anchors(values, logits, self._anchors, self._network.side)
            _, points, scores = weighted_suppression(boxes, points, scores)
            most = np.inf if view is views[0] else FITS * view.side
            for (start, end, *_), score in zip(view.to_picture(points), scores):
                region = Region.along(start, end, 90).scaled(1.25)
                if least <= region.side <= most:
                    found.append((score, region))
        # the views see the same people differently well: the surest counts, not the average
        kept: list[Region] = []
        for _, region in sorted(found, key=lambda pair: -pair[0]):
            if all(_apart(region, other) for other in kept):
                kept.append(region)
        return sorted(kept, key=lambda region: -region.side)


def _apart(one: Region, other: Region) -> bool:
    """Whether two regions may be of two people; people side by side or in each other's arms are."""
    return bool(np.hypot(one.x - other.x, one.y - other.y) > 0.05 * min(one.side, other.side))


def _views(size: tuple[int, int], crowd: bool) -> list[Region]:
    """The whole frame; overlapping squares along it where it is long; and, for a crowd, squares half as large all over it.

    The detector sees 224 pixels, so small people are found in the small squares only.
    """
    short, long = min(size), max(size)
    views = [Region.whole(size)]
    if long > WIDE * short:
        views += _squares(size, short)
    if crowd:
        views += _squares(size, short / 2)
    return views


def _squares(size: tuple[int, int], side: float) -> list[Region]:
    """Squares that cover a picture of `size` and overlap by at least a third."""
    rows, columns = (
        np.linspace(side / 2, length - side / 2, int(np.ceil(1.5 * (length / side - 1))) + 1) for length in size
    )
    return [Region(float(x), float(y), side) for y in rows for x in columns]


class _Body:
    """The landmarks of the body in a region, or None where the network sees none."""

    def __init__(self) -> None:
        self._network = Network("pose_landmark/pose_landmark_full")

    def __call__(
        self, picture: Picture, region: Region, without: Sequence["_Mask"] = (), own: "_Mask | None" = None
    ) -> _Pose | None:
        side = self._network.side
        if not 1 < region.side < 20 * max(picture.size):
            return None
        image = picture.cut(region, side)
        if without:
            others = np.max([mask.seen_in(region, side) for mask in without], axis=0)
            hidden = others > (0.5 if own is None else np.maximum(0.5, own.seen_in(region, side)))
            image = np.where(hidden[..., None], image[~hidden].mean(0) if not hidden.all() else 0, image)
        outputs = {array.size: array for array in self._network(image / np.float32(255))}
        if outputs[1].item() < PRESENT:
            return None
        landmarks = outputs[39 * 5].reshape(39, 5).astype(np.float64)
        points = _refined(landmarks[:, :2] / side, outputs[64 * 64 * 39])
        visibility = 1 / (1 + np.exp(-landmarks[:33, 3].clip(-50, 50)))
        probability = 1 / (1 + np.exp(-outputs[side * side][..., 0].clip(-50, 50)))
        return _Pose(region.to_picture(points[:35]), visibility, _Mask(probability, region))


def _refined(points: np.ndarray, heatmap: np.ndarray, kernel: int = 7) -> np.ndarray:
    """Landmarks (N, 2) moved to the centre of mass of their heat map, logits (h, w, N), round them, where it is clear."""
    height, width = heatmap.shape[:2]
    reach, result = kernel // 2, points.copy()
    for i, (x, y) in enumerate((points * (width, height)).astype(int).tolist()):
        left, top = max(0, x - reach), max(0, y - reach)
        heat = heatmap[top : max(0, y + reach + 1), left : max(0, x + reach + 1), i]
        if not heat.size or heat.max() < 0:  # less than one half at best
            continue
        weights = 1 / (1 + np.exp(-heat.astype(np.float64)))
        result[i, 0] = (weights.sum(0) @ np.arange(left, left + heat.shape[1])) / weights.sum() / width
        result[i, 1] = (weights.sum(1) @ np.arange(top, top + heat.shape[0])) / weights.sum() / height
    return result


class _Hands:
    """The 21 points of a hand (21, 2) at the end of an arm, or None."""

    def __init__(self) -> None:
        self._recrop = Network("holistic_landmark/hand_recrop")
        self._network = Network("hand_landmark/hand_landmark_full")

    def __call__(self, picture: Picture, body: np.ndarray, visibility: np.ndarray, side: str) -> np.ndarray | None:
        wrist, little, fore = (15, 17, 19) if side == "left" else (16, 18, 20)
        if visibility[wrist] < 0.1:
            return None
        middle = (2 * body[fore] + body[little]) / 3
        about = Region.along(middle, 2 * middle - body[wrist], 90).scaled(2.7, -0.1)
        if about.side < 2:
            return None
        (ends,) = self._recrop(picture.cut(about, self._recrop.side) / np.float32(255))
        start, end = about.to_picture(ends.reshape(2, 2) / self._recrop.side)
        region = Region.along(start, end, -90).scaled(1, -0.1)
        if region.side < 2:
            return None
        outputs = self._network(picture.cut(region, self._network.side) / np.float32(255))
        points, presence = outputs[0], outputs[1]
        if presence.item() < PRESENT:
            return None
        return region.to_picture(points.reshape(21, 3)[:, :2].astype(np.float64) / self._network.side)


class _Face:
    """The 468 points of the mesh (468, 2) on the face of a body, or None where there is no face to be seen."""

    def __init__(self) -> None:
        self._detector = Network("face_detection/face_detection_short_range")
        self._anchors = anchor_centres(self._detector.side, (8, 16, 16, 16))
        self._network = Network("face_landmark/face_landmark")

    def __call__(self, picture: Picture, body: np.ndarray) -> np.ndarray | None:
        head = _enclosing(body[:11], body[5], body[2]).scaled(3)
        if head.side < 2:
            return None
        image = picture.cut(head, self._detector.side, cv2.BORDER_CONSTANT) / np.float32(127.5) - 1
        values, logits = self._detector(image)
        boxes, points, scores = decode_anchors(values, logits, self._anchors, self._detector.side)
        _, points, _ = weighted_suppression(boxes, points, scores)
        if not len(points):
            return None
        face = head.to_picture(points[0])
        region = _enclosing(face, face[0], face[1]).scaled(2, -0.1)
        outputs = {
            array.size: array for array in self._network(picture.cut(region, self._network.side) / np.float32(255))
        }
        if 1 / (1 + np.exp(-outputs[1].item())) < PRESENT:
            return None
        mesh = outputs[468 * 3].reshape(468, 3)[:, :2].astype(np.float64)
        return region.to_picture(mesh / self._network.side)


def _enclosing(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> Region:
    """The square round the bounding box of points, turned so that `end` lies to the right of `start`."""
    low, high = points.min(0), points.max(0)
    x, y = (low + high) / 2
    return Region(float(x), float(y), float((high - low).max()), Region.along(start, end, 0).angle)


def to_whole_body(
    pose: np.ndarray,
    visibility: np.ndarray,
    face: np.ndarray | None,
    left_hand: np.ndarray | None,
    right_hand: np.ndarray | None,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints float32 (134, 2) in pixels and scores (134,) from MediaPipe's landmarks in pixels of a frame of `size`."""
    keypoints = np.zeros((WHOLE_BODY, 2), np.float32)
    scores = np.zeros(WHOLE_BODY, np.float32)
    body, feet = list(BODY_FROM_POSE), list(FEET_FROM_POSE)
    keypoints[BODY], scores[BODY] = pose[body], visibility[body]
    keypoints[1], scores[1] = keypoints[[2, 5]].mean(axis=0), scores[[2, 5]].min()
    keypoints[feet], scores[feet] = pose[list(FEET_FROM_POSE.values())], visibility[list(FEET_FROM_POSE.values())]
    if face is not None:
        keypoints[FACE], scores[FACE] = face[list(IBUG_FROM_MESH)], scores[0]
    torso = float(np.linalg.norm(keypoints[1] - keypoints[[8, 11]].mean(axis=0)))
    for part, hand, wrist in ((RIGHT_HAND, right_hand, 4), (LEFT_HAND, left_hand, 7)):
        # the hand network may slip to another hand in its region
        if hand is not None and np.linalg.norm(hand[0] - keypoints[wrist]) < 0.35 * torso:
            keypoints[part], scores[part] = hand, scores[wrist]
    _keep_one_of_two_equal_hands(keypoints, scores)

    margin = OUTSIDE * max(size)
    outside = ((keypoints < -margin) | (keypoints > np.array(size[::-1]) + margin)).any(axis=1)
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
