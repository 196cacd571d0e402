"""OpenPose JSON: pose tracks in the files that OpenPose, DWPose and the pose editors write and read."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bunraku.cues.tracking import link
from bunraku.errors import BunrakuError
from bunraku.media import filling, plain_write_errors, replacing
from bunraku.media.frames import natural_order
from bunraku.perception.pose import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND, WHOLE_BODY, PoseTrack

MID_HIP = 8  # the joint that BODY_25 has between left arm and right leg, and the 18 have not
FROM_BODY_25 = np.delete(np.arange(25), MID_HIP)  # then in our order: 18 body joints, 6 of the feet
PARTS = (
    ("face_keypoints_2d", FACE, (68, 70)),  # the last two of 70 are the pupils
    ("hand_left_keypoints_2d", LEFT_HAND, (21,)),
    ("hand_right_keypoints_2d", RIGHT_HAND, (21,)),
)


def read_openpose_json(path: str | Path, size: tuple[int, int] | None = None) -> PoseTrack:
    """Read poses from a folder with one JSON file per frame (in the order of the numbers in their names), or one file.

    A file holds a frame, {"people": [...]}, or a list of frames. The body has 18 joints or 25 (BODY_25), each x, y,
    score; hands and face are optional. Coordinates that all lie in [0, 1] are taken as fractions of the picture.

    Args:
        path: the folder or file.
        size: (height, width) of the picture in pixels. Default: the files' canvas_height and canvas_width.

    Returns:
        (F, P, 18), or (F, P, 134) if hands, face or feet are there. People keep their `person_id` where every one of
        them has one (not negative, once per frame); else they are linked from frame to frame.

    Raises:
        BunrakuError: there is nothing to read, a file is not OpenPose JSON, or the size is not known.
    """
    path = Path(path)
    files = sorted(path.glob("*.json"), key=natural_order) if path.is_dir() else [path]
    if not files:
        raise BunrakuError(f"{path} holds no .json files; give a folder with one OpenPose JSON file per frame.")
    frames = [(file, frame) for file in files for frame in _frames(file)]
    people = [[_person(file, person) for person in frame["people"]] for file, frame in frames]

    canvas = {(frame["canvas_height"], frame["canvas_width"]) for _, frame in frames if frame.get("canvas_height")}
    if size is None and len(canvas) != 1:
        raise BunrakuError(
            f"{path} does not say how large the picture is"
            + (f", or says different sizes: {sorted(canvas)}" if canvas else " (canvas_height, canvas_width)")
            + ". Give its size as (height, width)."
        )
    height, width = size or canvas.pop()

    joints = WHOLE_BODY if any(person[BODY.stop :, 2].any() for frame in people for person in frame) else BODY.stop
    values = [np.array(frame, np.float32).reshape(-1, WHOLE_BODY, 3)[:, :joints] for frame in people]
    if all((frame[..., :2] <= 1).all() for frame in values):
        values = [frame * np.array([width, height, 1], np.float32) for frame in values]

    ids = [[_person_id(person) for person in frame["people"]] for _, frame in frames]
    if any(i < 0 for frame in ids for i in frame) or any(len(set(frame)) < len(frame) for frame in ids):
        return link([(frame[..., :2], frame[..., 2]) for frame in values], (height, width), min_frames=1)
    names = sorted({i for frame in ids for i in frame})
    track = np.zeros((len(frames), len(names), joints, 3), np.float32)
    for f, (frame, of) in enumerate(zip(values, ids)):
        track[f, [names.index(i) for i in of]] = frame
    return PoseTrack(track[..., :2].copy(), track[..., 2].copy(), (height, width))


def write_openpose_json(track: PoseTrack, folder: str | Path) -> None:
    """Write one JSON file per frame, 000000000000_keypoints.json and so on, with canvas size and person_id; all or none.

    The body is written as BODY_25 where the track shows feet, else as the 18 joints. Nobody with score 0 throughout is
    written. Every number is written in full, so reading gives the track back to the bit.

    Raises:
        BunrakuError: the folder has .json files already; they would be read together with the new ones.
    """
    folder = Path(folder)
    if any(folder.glob("*.json")):
        raise BunrakuError(f"{folder} has .json files already; choose an empty or new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with plain_write_errors(folder), filling(folder) as temporary:
        for number, content in enumerate(_contents(track)):
            (temporary / f"{number:012d}_keypoints.json").write_text(content)


def sidecar(image: Path) -> Path:
    """Where the pose of a picture is kept: NAME.pose.json beside it."""
    return image.with_suffix(".pose.json")


def write_pose(track: PoseTrack, path: Path) -> None:
    """Write the pose of a picture, (1, P, K), as one OpenPose JSON file, whole or not at all."""
    (content,) = _contents(track)
    with plain_write_errors(path), replacing(path) as temporary:
        temporary.write_text(content)


def _contents(track: PoseTrack) -> Iterator[str]:
    """The JSON text of each frame."""
    values = np.concatenate([track.keypoints, track.scores[..., None]], axis=-1).astype(np.float64)
    values = np.where(np.isfinite(values).all(-1, keepdims=True), values, 0)
    whole = values.shape[2] == WHOLE_BODY
    feet = whole and track.scores[:, :, FEET].any()
    for frame in values:
        people = []
        for index, person in enumerate(frame):
            if person[:, 2].any():
                body = _body_25(person[: FEET.stop]) if feet else person[BODY]
                parts = {name: person[part].ravel().tolist() if whole else [] for name, part, _ in PARTS}
                people.append({"person_id": [index], "pose_keypoints_2d": body.ravel().tolist(), **parts})
        content = {"version": 1.3, "canvas_height": track.size[0], "canvas_width": track.size[1], "people": people}
        yield json.dumps(content)


def _frames(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise BunrakuError(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError as error:
        raise BunrakuError(f"{file} is not JSON: {error}.") from error
    frames = content if isinstance(content, list) else [content]
    if not frames or not all(isinstance(frame, dict) and isinstance(frame.get("people"), list) for frame in frames):
        raise BunrakuError(f"{file} is not OpenPose JSON: a frame is an object with a list 'people'.")
    return frames


def _person(file: Path, person: dict[str, Any]) -> np.ndarray:
    """x, y, score of the 134 keypoints; (134, 3), zero where the file has none."""
    result = np.zeros((WHOLE_BODY, 3), np.float32)
    body = _values(file, person, "pose_keypoints_2d", (18, 25))
    if len(body) == 25:
        body = body[FROM_BODY_25]
    result[: len(body)] = body
    for name, part, counts in PARTS:
        points = _values(file, person, name, counts)
        result[part][: len(points)] = points[: part.stop - part.start]
    return result


def _values(file: Path, person: dict[str, Any], name: str, counts: tuple[int, ...]) -> np.ndarray:
    try:
        points = np.array(person.get(name) or [], np.float32).reshape(-1, 3)
    except (AttributeError, TypeError, ValueError) as error:
        raise BunrakuError(f"{file}: {name} is not a list of numbers x, y, score, x, y, score, ...") from error
    if len(points) not in (0, *counts):
        expected = " or ".join(map(str, counts))
        raise BunrakuError(f"{file}: {name} has {len(points)} keypoints; expected {expected} of 3 numbers each.")
    points[~np.isfinite(points).all(-1)] = 0
    return np.column_stack([points[:, :2], points[:, 2].clip(0, 1)])


def _person_id(person: dict[str, Any]) -> int:
    value = person.get("person_id", -1)
    value = value[0] if isinstance(value, list) and value else value
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else -1


def _body_25(person: np.ndarray) -> np.ndarray:
    mid_hip = (person[8] + person[11]) / 2 if person[8, 2] and person[11, 2] else np.zeros(3)
    return np.insert(person, MID_HIP, mid_hip, axis=0)
