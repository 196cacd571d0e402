"""The pose of a still as a file: everybody who is detected, or a standing figure whose joints a person moves by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import people_of
from bunraku.cues.openpose_json import sidecar, write_pose
from bunraku.errors import BunrakuError
from bunraku.media import check_free, check_output, read_image, replacing
from bunraku.media.images import IMAGE_SUFFIXES, UNREADABLE
from bunraku.perception.matte import create_segmenter
from bunraku.perception.pose import PoseTrack

JOINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
"""Of OpenPose's 18, in its order. Right and left are the character's own."""

STANDING = np.array(
    [
        (0, 0.11), (0, 0.2), (-0.1, 0.2), (-0.14, 0.36), (-0.16, 0.5), (0.1, 0.2), (0.14, 0.36), (0.16, 0.5),
        (-0.06, 0.5), (-0.07, 0.73), (-0.07, 0.95), (0.06, 0.5), (0.07, 0.73), (0.07, 0.95),
        (-0.025, 0.09), (0.025, 0.09), (-0.05, 0.1), (0.05, 0.1),
    ]
)  # fmt: skip
"""A person who faces the viewer: x from the middle, y from the top of the head, in heights of the figure."""

LEAST_SEEN = 0.02  # of a picture that is a figure before something
FILLED = 0.9  # of the picture's height


def is_still(path: Path) -> bool:
    """Whether a file is one picture: by its name, and where that may be an animation, by its contents."""
    if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) == 1
    except UNREADABLE:
        return True  # whoever reads it says what is wrong


def perceive_still(
    path: Path,
    output: Path | None = None,
    options: MotionOptions = MotionOptions(),
    *,
    draft: bool = False,
    overwrite: bool = False,
) -> tuple[Path, PoseTrack]:
    """Write the pose of a picture as OpenPose JSON, which `animate` reads where it lies beside the picture.

    Args:
        path: the picture.
        output: file to write, which may exist; None: NAME.pose.json beside the picture, which may not.
        options: how people are looked for.
        draft: write a standing figure where the picture shows something instead of looking for people: a file to be edited, with one
            joint a line.
        overwrite: whether the file beside the picture may exist.

    Returns:
        The file, and what is in it, (1, P, K).

    Raises:
        BunrakuError: not a picture, nobody found, or a file in the way.
    """
    target = check_output(output or sidecar(path), (path,))
    if target.suffix.lower() != ".json":
        raise BunrakuError(f"cannot write {target} (--output): the pose of a still is a .json file")
    if output is None:
        check_free([target], overwrite)
    image = read_image(path)
    if draft:
        track = standing_in(image)
        _write_draft(track, target)
    else:
        track = people_of(image, path, options.detector, options.device, options.max_people)
        write_pose(track, target)
    return target, track


def standing_in(image: np.ndarray) -> PoseTrack:
    """A standing figure where a network sees something in a picture, uint8 (H, W, 3), as large as that; else in the middle: (1, 1, 18).

    Hands and feet are put to the outermost points of the outline. Nothing of it is sure.
    """
    plain, segmenter = standing(image.shape[:2]), create_segmenter()
    found = None if segmenter is None else segmenter(image) > 0.5
    if found is None or not LEAST_SEEN < found.mean() < 1 - LEAST_SEEN:
        return plain
    _, parts, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = stats[largest, :4]
    points = STANDING.copy()
    middle = left + width / 2
    points[:, 0] = middle + points[:, 0] * min(height, width / (2 * STANDING[7, 0]))
    points[:, 1] = top + points[:, 1] * height
    y, x = np.nonzero(parts == largest)
    arms = y < top + 0.75 * height
    for shoulder, elbow, wrist, hand in ((2, 3, 4, x[arms].argmin()), (5, 6, 7, x[arms].argmax())):
        points[wrist] = x[arms][hand], y[arms][hand]
        points[elbow] = (points[shoulder] + points[wrist]) / 2
    for hip, knee, ankle, side in ((8, 9, 10, x < middle), (11, 12, 13, x >= middle)):
        if side.any():
            foot = (y - 0.2 * np.abs(x - points[hip, 0]))[side].argmax()  # low, and below the hip
            points[ankle] = x[side][foot], y[side][foot] - 0.03 * height
            points[knee] = (points[hip] + points[ankle]) / 2
    return PoseTrack(points[None, None].astype(np.float32), plain.scores, plain.size)


def standing(size: tuple[int, int]) -> PoseTrack:
    """A standing figure in the middle of a picture of `size` (height, width); (1, 1, 18)."""
    height = FILLED * min(size[0], 2 * size[1])
    points = STANDING * height + (size[1] / 2, (size[0] - height) / 2)
    return PoseTrack(points[None, None].astype(np.float32), np.ones((1, 1, 18), np.float32), size)


def _write_draft(track: PoseTrack, path: Path) -> None:
    """One OpenPose JSON file with one joint a line, as far as JSON lets people read it: names stand beside in the same order."""
    joints = ",\n      ".join(f"{x:.0f}, {y:.0f}, 1" for x, y in track.keypoints[0, 0])
    text = (
        f'{{"version": 1.3, "canvas_height": {track.size[0]}, "canvas_width": {track.size[1]},\n'
        f'  "joints": {json.dumps(JOINTS)},\n'
        '  "people": [{"person_id": [0], "pose_keypoints_2d": [\n'
        f"      {joints}]}}]}}\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
