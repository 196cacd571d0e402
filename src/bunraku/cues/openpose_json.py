"""OpenPose JSON: pose tracks in the files that OpenPose, DWPose and the pose editors write and read."""

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bunraku.cues.tracking import join, largest_first, link
from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media import filling, replacing
from bunraku.media.frames import natural_order
from bunraku.perception.pose import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND, SEEN, WHOLE_BODY, PoseTrack

logger = logging.getLogger(__name__)

MID_HIP = 8  # the joint that BODY_25 has between left arm and right leg, and the 18 have not
FROM_BODY_25 = np.delete(np.arange(25), MID_HIP)  # then in our order: 18 body joints, 6 of the feet
POSE = "pose_keypoints_2d"
PARTS = (
    ("face_keypoints_2d", FACE, (68, 70)),  # the last two of 70 are the pupils
    ("hand_left_keypoints_2d", LEFT_HAND, (21,)),
    ("hand_right_keypoints_2d", RIGHT_HAND, (21,)),
)
PAIRS = {2 * count for count in (18, 25, 68, 70, 21)}  # numbers of a part without confidences; none is 3 times a count

CANVAS = (("canvas_height", "canvas_width"), ("height", "width"))
"""What files call the size of the picture: those of OpenPose's kind, those of pose editors."""

LARGEST_SIDE = 100_000
"""Of a picture, in pixels."""

FRACTIONS = 1.5  # coordinates of a part that nearly all lie within this are no pixels
NEGATIVE = 0.1  # share of negative coordinates above which fractions are of [-1, 1] and not of [0, 1]


def read_openpose_json(path: str | Path, size: tuple[int, int] | None = None) -> PoseTrack:
    """Read poses from a folder with one JSON file per frame (in the order of the numbers in their names), or one file.

    A file holds a frame, {"people": [...]}, or a list of frames. The body has 18 joints or 25 (BODY_25), each x, y,
    confidence, or x, y alone; hands and face are optional, and left out with a warning where they have another number of
    points. The keys of OpenPose before 1.2 (`pose_keypoints`) are read as well.

    Coordinates are pixels, fractions of the picture in [0, 1], or those of OpenPose's scale [-1, 1]. Body, face and each hand
    are judged by themselves over all frames.

    People keep their `person_id` where every one of them has one (not negative, once per frame), else they are linked from
    frame to frame. Somebody who appears in the very frame in which somebody else has gone, or soon after in the same place,
    counts as the same person: trackers change identities, and shots cut.

    Where numbers are missing in the names, frames without people are put in, with a warning.

    Args:
        path: the folder or file.
        size: (height, width) of the picture in pixels, for files that do not say it themselves (canvas_height and
            canvas_width, or height and width).

    Returns:
        (F, P, 18), or (F, P, 134) if hands, face or feet are there; the largest person first.

    Raises:
        BunrakuError: there is nothing to read, a file is not OpenPose JSON, nobody has a confidence that counts as seen, or
            the size is not known.
    """
    path = Path(path)
    files = sorted(json_files(path), key=natural_order) if path.is_dir() else [path]
    if not files:
        raise BunrakuError(f"{path} holds no .json files; give a folder with one OpenPose JSON file per frame")
    contents = [_content(file) for file in files]
    track = openpose_track(
        [frame for content in contents for frame in content],
        str(path),
        size,
        [str(file) for file, content in zip(files, contents) for _ in content],
    )
    return _with_missing_frames(track, path, files) if len(track) == len(files) else track


def openpose_track(
    frames: Sequence[Any], name: str, size: tuple[int, int] | None = None, names: Sequence[str] | None = None
) -> PoseTrack:
    """As `read_openpose_json`, of frames that were read already.

    Args:
        frames: {"people": [...]} each.
        name: what messages call them.
        size: as there.
        names: what messages call each of them; None: all as the whole.
    """
    names = names or [name] * len(frames)
    for frame, of in zip(frames, names):
        if not isinstance(frame, dict) or not isinstance(frame.get("people"), list):
            raise BunrakuError(f"{of} is not OpenPose JSON: a frame is an object with a list 'people'")
    left_out: Counter[str] = Counter()
    people = [[_person(of, person, left_out) for person in frame["people"]] for frame, of in zip(frames, names)]
    for what, count in left_out.items():
        logger.warning("%s: %s; left out (%d times)", name, what, count)
    height, width = _canvas(name, frames, size)
    _check_confidences(name, [person[:, 2] for frame in people for person in frame])
    joints = WHOLE_BODY if any(person[BODY.stop :, 2].any() for frame in people for person in frame) else BODY.stop
    values = [np.array(frame, np.float32).reshape(-1, WHOLE_BODY, 3) for frame in people]
    values = [frame[:, :joints] for frame in _in_pixels(name, values, height, width)]

    track = _identified(
        values, [[_person_id(person) for person in frame["people"]] for frame in frames], (height, width)
    )
    return largest_first(join(track))


def write_openpose_json(track: PoseTrack, folder: str | Path) -> None:
    """Write one JSON file per frame, 000000000000_keypoints.json and so on, with canvas size and person_id; all or none.

    The body is written as BODY_25 where the track shows feet, else as the 18 joints. Nobody with score 0 throughout is
    written. Every number is written in full, so reading gives the track back to the bit.

    Raises:
        BunrakuError: the folder has .json files already; they would be read together with the new ones.
    """
    folder = Path(folder)
    if json_files(folder):
        raise BunrakuError(f"{folder} has .json files already; choose an empty or new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filling(folder) as temporary:
        for number, content in enumerate(_contents(track)):
            (temporary / f"{number:012d}_keypoints.json").write_text(content)


def sidecar(image: Path) -> Path:
    """Where the pose of a picture is kept: NAME.pose.json beside it."""
    return image.with_suffix(".pose.json")


def write_pose(track: PoseTrack, path: Path) -> None:
    """Write the pose of a picture, (1, P, K), as one OpenPose JSON file, whole or not at all."""
    (content,) = _contents(track)
    with replacing(path) as temporary:
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


def json_files(folder: Path) -> list[Path]:
    """Those that are not hidden: macOS puts ._NAME.json beside NAME.json on other systems' disks."""
    return [file for file in folder.glob("*.json") if not file.name.startswith(".")]


def _content(file: Path) -> list[Any]:
    """The frames of a file, unchecked."""
    try:
        content = parsed_json(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BunrakuError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise BunrakuError(f"{file} is not JSON: {error}") from error
    if content == []:
        raise BunrakuError(f"{file} is not OpenPose JSON: a frame is an object with a list 'people'")
    return content if isinstance(content, list) else [content]


def _canvas(path: str, frames: Sequence[dict[str, Any]], given: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of the picture: what the files say, else what is given."""
    said: set[tuple[Any, Any]] = {
        (_side(frame.get(h)), _side(frame.get(w)))
        for frame in frames
        for h, w in CANVAS
        if frame.get(h) or frame.get(w)
    }
    whole = {(h, w) for h, w in said if not any(isinstance(side, str) for side in (h, w))}
    if len(said) == len(whole) == 1:
        height, width = whole.pop()
        return round(height), round(width)
    if given is not None:
        return given
    said_once = {name for pair in CANVAS for name in pair if any(frame.get(name) for frame in frames)}
    other_half = [name for pair in CANVAS for name in pair if name not in said_once and said_once & set(pair)]
    if len(whole) > 1:
        reason = f"says different sizes of the picture, (height, width) {', '.join(map(str, sorted(whole)[:5]))}"
    else:
        reason = f"does not say how large the picture is (no {' or '.join(other_half or CANVAS[0])})"
    raise BunrakuError(f"{path} {reason}; give its size, such as --canvas 768x512 (height x width)")


def _side(value: Any) -> float | str:
    """Of a picture, in pixels; text where it is no such number."""
    usable = isinstance(value, int | float) and 1 <= value <= LARGEST_SIDE
    return value if usable else str(value)


def _person(file: str, person: dict[str, Any], left_out: Counter[str]) -> np.ndarray:
    """x, y, confidence of the 134 keypoints; (134, 3), zero where the file has none. Counts parts that are left out."""
    if not isinstance(person, dict):
        raise BunrakuError(f"{file}: a person is not an object with a list {POSE}")
    known = {name for part in (POSE, *(name for name, _, _ in PARTS)) for name in (part, _old_key(part))}
    if not known & person.keys() and any("keypoints" in key for key in person):
        raise BunrakuError(f"{file}: a person has {', '.join(person)}, but no {POSE}")
    body = _values(file, person, POSE)
    if len(body) not in (0, 18, 25):
        raise BunrakuError(f"{file}: {POSE} has {len(body)} keypoints; expected 18 or 25 of 3 numbers each (or 2)")
    result = np.zeros((WHOLE_BODY, 3), np.float32)
    body = body[FROM_BODY_25] if len(body) == 25 else body
    result[: len(body)] = body
    for name, part, counts in PARTS:
        points = _values(file, person, name)
        if len(points) in (0, *counts):
            result[part][: len(points)] = points[: part.stop - part.start]
        else:
            left_out[f"{name} has {len(points)} points instead of {' or '.join(map(str, counts))}"] += 1
    return result


def _old_key(name: str) -> str:
    """As OpenPose called it before version 1.2."""
    return name.removesuffix("_2d")


def _values(file: str, person: dict[str, Any], name: str) -> np.ndarray:
    """x, y, confidence of a part, (K, 3). Pairs without confidence are told from triples by how many they are."""
    try:
        numbers = np.array(person.get(name) or person.get(_old_key(name)) or [], np.float32)
        pairs = len(numbers) in {
            2 * count for count in (18, 25, *(count for _, _, counts in PARTS for count in counts))
        }
        points = numbers.reshape(-1, 2 if pairs and len(numbers) not in (54, 75) else 3)
    except (TypeError, ValueError) as error:
        raise BunrakuError(
            f"{file}: {name} is not a list of numbers x, y, confidence, x, y, confidence, ..."
        ) from error
    if points.shape[1] == 2:
        points = np.column_stack([points, points.any(-1)])
    points[~np.isfinite(points).all(-1)] = 0
    return np.column_stack([points[:, :2], points[:, 2].clip(0, 1)])


def _check_confidences(path: str, confidences: list[np.ndarray]) -> None:
    highest = max((float(person.max()) for person in confidences), default=0.0)
    if 0 < highest < SEEN:
        raise BunrakuError(
            f"all confidences in {path} are below {SEEN} (the highest is {highest:.2g}), and such keypoints count as missing; "
            "raise the confidences in the files if the poses are right"
        )


def _in_pixels(path: str, values: list[np.ndarray], height: int, width: int) -> list[np.ndarray]:
    """Frames (P, 134, 3) with coordinates in pixels, whatever the units of each part are."""
    everybody = np.concatenate(values) if values else np.zeros((0, WHOLE_BODY, 3), np.float32)
    parts = [slice(BODY.start, FEET.stop), FACE, LEFT_HAND, RIGHT_HAND]
    seen = {i: everybody[:, part, :2][everybody[:, part, 2] > 0] for i, part in enumerate(parts)}
    fractions = [i for i, points in seen.items() if len(points) and np.quantile(np.abs(points), 0.95) <= FRACTIONS]
    if not fractions:
        return values
    # one scale for all of them: a hand may happen to lie in the quarter that has no negative coordinates
    signed = (np.concatenate([seen[i] for i in fractions]) < 0).mean() > NEGATIVE
    if signed:
        logger.warning("the coordinates in %s are read as OpenPose's scale [-1, 1]: many are negative", path)
    factor, shift = (0.5, 0.5) if signed else (1.0, 0.0)
    result = [frame.copy() for frame in values]
    for frame in result:
        for i in fractions:
            frame[:, parts[i], :2] = (frame[:, parts[i], :2] * factor + shift) * np.array([width, height], np.float32)
    return result


def _person_id(person: dict[str, Any]) -> int:
    value = person.get("person_id", -1)
    value = value[0] if isinstance(value, list) and value else value
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else -1


def _identified(values: list[np.ndarray], ids: list[list[int]], size: tuple[int, int]) -> PoseTrack:
    """People by their own identities, or else linked from frame to frame."""
    if any(i < 0 for frame in ids for i in frame) or any(len(set(frame)) < len(frame) for frame in ids):
        return link([(frame[..., :2], frame[..., 2]) for frame in values], size, min_frames=1)
    names = sorted({i for frame in ids for i in frame})
    track = np.zeros((len(values), len(names), values[0].shape[1], 3), np.float32)
    for f, (frame, of) in enumerate(zip(values, ids)):
        track[f, [names.index(i) for i in of]] = frame
    return PoseTrack(track[..., :2].copy(), track[..., 2].copy(), size)


def _with_missing_frames(track: PoseTrack, path: Path, files: list[Path]) -> PoseTrack:
    """The frames at their places where numbers are missing in the names, with nobody between."""
    places = _places([file.stem for file in files])
    missing = places[-1] + 1 - len(files)
    if not missing:
        return track
    before = ", ".join(files[i].name for i in np.flatnonzero(np.diff(places) > 1)[:5])
    if missing > len(files):
        logger.warning(
            "%d numbers are missing in %s (after %s); the frames follow one another there", missing, path, before
        )
        return track
    logger.warning("%d numbers are missing in %s (after %s); the motion is bridged there", missing, path, before)
    keypoints = np.zeros((places[-1] + 1, *track.keypoints.shape[1:]), np.float32)
    scores = np.zeros(keypoints.shape[:3], np.float32)
    keypoints[places], scores[places] = track.keypoints, track.scores
    return PoseTrack(keypoints, scores, track.size)


def _places(names: list[str]) -> list[int]:
    """Numbers of the frames, from 0, by the one number in their names that changes; every second number is no gap.

    >>> _places(["clip1_08", "clip1_10", "clip1_14"]), _places(["a", "b"])
    ([0, 1, 3], [0, 1])
    """
    counted = list(range(len(names)))
    found = [re.findall(r"\d+", name) for name in names]
    if len(names) < 3 or len({len(numbers) for numbers in found}) > 1:
        return counted
    changing = [column for column in zip(*found) if len(set(column)) > 1]
    if len(changing) != 1:
        return counted
    numbers = np.array([int(number) for number in changing[0]])
    steps = np.diff(numbers)
    step = int(steps.min())
    if step < 1 or (steps % step).any():
        return counted
    return ((numbers - numbers[0]) // step).tolist()


def _body_25(person: np.ndarray) -> np.ndarray:
    mid_hip = (person[8] + person[11]) / 2 if person[8, 2] and person[11, 2] else np.zeros(3)
    return np.insert(person, MID_HIP, mid_hip, axis=0)
