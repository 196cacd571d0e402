"""BVH motion capture as a driving motion: parsing, forward kinematics, a front view, the 18 body joints."""

import logging
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bunraku.cues.cues import MOST_FPS
from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack

logger = logging.getLogger(__name__)

NAMES = {
    "shoulder": ("upperarm", "uparm", "arm", "shldr", "humerus", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm", "radius"),
    "wrist": ("wrist", "hand"),
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip", "hipjoint"),
    "knee": ("knee", "lowerleg", "lowleg", "leg", "shin", "calf", "tibia"),
    "ankle": ("ankle", "foot"),
}
"""What rigs call a joint, the surer name first: LeftShoulder is the collar bone where there is a LeftArm."""

ARMS_AND_LEGS = {
    f"{side} {joint}": first + i
    for side, joints, first in (
        ("right", ("shoulder", "elbow", "wrist"), 2),
        ("left", ("shoulder", "elbow", "wrist"), 5),
        ("right", ("hip", "knee", "ankle"), 8),
        ("left", ("hip", "knee", "ankle"), 11),
    )
    for i, joint in enumerate(joints)
}
HEAD_NAMES = ("head", "skull", "chead", "headc", "headm", "neck")  # c and m: centre and middle, beside l and r
TOP_OF_HEAD = re.compile("top|end|nub|tip|head|skull")
SHARED = 0.8
"""Words that so many of the joint names begin or end with belong to the rig, not to the joint: `Robot_` or `_JNT`."""

FACE = {0: (0, 0.32, 0.5), 14: (-0.17, 0.5, 0.4), 15: (0.17, 0.5, 0.4), 16: (-0.38, 0.42, 0), 17: (0.38, 0.42, 0)}
"""Where the face is on a head of height 1, from its base: left, up, forward."""

HEAD_PER_LEG = 0.235
"""Height of the head over its joint, of hip to ankle: 0.115 and 0.491 of a person's height (Winter, Biomechanics, 2009)."""

MARGIN = 0.08  # of the picture, on each side
LONGEST_FRAME = 60  # seconds


def read_bvh(
    path: str | Path, fps: Fraction | float | None = None, size: tuple[int, int] = (512, 512)
) -> tuple[PoseTrack, Fraction]:
    """Read a BVH file as the pose track of one person, seen from the front by an orthographic camera.

    Up is a world axis, taken from the file's rest pose, so that a handstand stays upside down (see `_up`). The camera faces
    the mean direction of the chest, and the picture holds the whole motion, centred. The neck is the middle of the
    shoulders, as in OpenPose. Face joints, which BVH does not have, sit on the head joint and turn with it: with h the
    distance from the head joint to the end of the head, the nose is 0.32 h up and 0.5 h forward, eyes 0.5 h up, 0.4 h
    forward and 0.17 h to the side, ears 0.42 h up and 0.38 h to the side. Nose and eyes are not seen (score 0) when the face
    points away from the camera, an ear when the head hides it.

    Frames with numbers that are not finite are interpolated from their neighbours. They, and a header whose number of frames
    is wrong, are warned of.

    Args:
        path: the file. Joint names of Mixamo, CMU, Rokoko, LAFAN1, SMPL, Biped, Poser, Genesis, VRM, Unreal and the like are
            known; a prefix or suffix that all joints share does not matter.
        fps: resample to this rate. Default: the file's own.
        size: (height, width) of the picture in pixels.

    Returns:
        The track (F, 1, 18) and its frame rate.

    Raises:
        BunrakuError: the file is missing, is no complete BVH, or has joints that cannot be mapped (they are listed).
    """
    path = Path(path)
    joints, motion, frame_time = _parse(path)
    own_fps = _rate(frame_time)
    mapped = _map_names([joint.name for joint in joints], path)
    known = _finite_frames(motion, path)
    positions, rotations = _forward_kinematics(joints, motion[known])  # F J 3, F J 3 3
    rest, _ = _forward_kinematics([_Joint(j.name, j.parent, j.offset) for j in joints], np.zeros((1, 0)))
    rest, body = _limbs(rest, mapped), _limbs(positions, mapped)  # 1 18 3, F 18 3
    if not np.ptp(body[:, 1:14], axis=1).any():
        raise BunrakuError(f"all joints of {path} lie in one point: its OFFSETs and positions are zero")
    upright = rest if _stands(rest) else body  # where the head looks ahead
    turns = rotations[:, mapped["head"]]
    head = _head_axes(joints, mapped["head"], upright, None if upright is rest else turns)
    head_turn = turns @ head  # left, up and forward of the head as columns, F 3 3, as long as the head is high
    for index, place in FACE.items():
        body[:, index] = positions[:, mapped["head"]] + head_turn @ np.array(place)
    up = _up(body, rest)
    across = _across(body, up)
    toward = np.cross(across, up)

    scores = np.ones((len(body), 18), np.float32)
    scores[:, [0, 14, 15]] = (head_turn[:, :, 2] @ toward > 0)[:, None]
    away = head_turn[:, :, 0] @ toward / np.linalg.norm(head_turn[:, :, 0], axis=-1)  # left ear's way to the camera
    scores[:, 16], scores[:, 17] = away < 0.5, away > -0.5

    picture = np.stack([body @ across, -(body @ up)], axis=-1)
    height, width = size
    low, high = picture.min((0, 1)), picture.max((0, 1))
    scale = (1 - 2 * MARGIN) * min(np.array([width, height]) / np.maximum(high - low, 1e-9))
    keypoints = (picture - (low + high) / 2) * scale + np.array([width, height]) / 2

    rate = own_fps if fps is None else Fraction(fps).limit_denominator(100_000)
    if rate <= 0:
        raise BunrakuError(f"the frame rate must be positive; got fps={fps}")
    times = np.arange(int((len(motion) - 1) * rate / own_fps) + 1) * float(own_fps / rate)
    before = np.maximum(np.searchsorted(known, times, side="right") - 1, 0)
    after = np.minimum(before + 1, len(known) - 1)
    weight = ((times - known[before]) / np.maximum(known[after] - known[before], 1)).clip(0, 1)[:, None, None]
    keypoints = keypoints[before] + weight * (keypoints[after] - keypoints[before])
    return PoseTrack(keypoints[:, None].astype(np.float32), scores[before][:, None], size), rate


@dataclass
class _Joint:
    name: str  # empty for an End Site
    parent: int  # index into the list of joints, -1 for a root
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: tuple[str, ...] = ()  # such as "xposition"


def _parse(path: Path) -> tuple[list[_Joint], np.ndarray, float]:
    """Joints (End Sites included), motion (F, channels) and seconds per frame."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff")
    except OSError as error:
        raise BunrakuError(f"cannot read {path}: {error.strerror}") from error
    hierarchy, *rest = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE | re.IGNORECASE)
    if not rest or not hierarchy.lstrip().upper().startswith("HIERARCHY"):
        raise BunrakuError(
            f"{path} is not a BVH file: it should start with HIERARCHY and have a MOTION section. "
            "Export the motion as BVH (Biovision) from your animation tool."
        )
    try:
        joints = _parse_hierarchy(hierarchy)
        header = re.search(r"Frames\s*:\s*(\d+)\s+Frame\s+Time\s*:\s*(\S+)", rest[0], re.IGNORECASE)
        if header is None:
            raise ValueError("MOTION has no 'Frames:' and 'Frame Time:' lines")
        frame_time = float(header[2])
        if not 1 / MOST_FPS <= frame_time <= LONGEST_FRAME:
            raise ValueError(f"the frame time is {header[2]} seconds, not from {1 / MOST_FPS} to {LONGEST_FRAME}")
        lines = [line.split() for line in rest[0][header.end() :].splitlines() if line.strip()]
        motion = _parse_motion(lines, int(header[1]), sum(len(joint.channels) for joint in joints), path)
    except (ValueError, IndexError) as error:
        raise BunrakuError(f"{path} is a broken BVH file: {error}. Export it again.") from error
    return joints, motion, frame_time


def _parse_hierarchy(text: str) -> list[_Joint]:
    joints: list[_Joint] = []
    open_joints: list[int] = []
    for line in re.sub(r"([{}])", r"\n\1\n", text).splitlines():
        keyword, *words = line.split() or [""]
        keyword = keyword.upper()
        if keyword in ("ROOT", "JOINT", "END", "ENDSITE"):
            parent = open_joints[-1] if open_joints else -1
            joints.append(_Joint("" if keyword.startswith("END") else " ".join(words), parent))
        elif keyword == "{":
            open_joints.append(len(joints) - 1)
        elif keyword == "}":
            open_joints.pop()
        elif keyword == "OFFSET":
            joints[-1].offset = tuple(float(word) for word in words[:3])
            if len(words) < 3 or not np.isfinite(joints[-1].offset).all():
                raise ValueError(f"cannot understand '{line.strip()}' of joint {joints[-1].name or 'End Site'}")
        elif keyword == "CHANNELS":
            joints[-1].channels = tuple(word.lower() for word in words[1:])
            unknown = [word for word in joints[-1].channels if not re.fullmatch("[xyz](position|rotation)", word)]
            if unknown or len(words) != int(words[0]) + 1:
                raise ValueError(f"cannot understand '{line.strip()}' of joint {joints[-1].name}")
    if not joints or open_joints:
        raise ValueError("the braces of HIERARCHY do not match")
    return joints


def _parse_motion(lines: list[list[str]], frames: int, channels: int, path: Path) -> np.ndarray:
    """The numbers of all whole frames, (F, channels), NaN where a number is not finite; `frames` is what the header says.

    A frame is a line. Files that wrap lines are read as well, if the numbers are exactly as many as the header says.
    """
    words = [word for line in lines for word in line]
    whole = [line for line in lines if len(line) == channels]
    a_line_each = channels > 0 and all(len(line) == channels for line in lines[:-1]) and whole
    if not a_line_each and (frames < 1 or len(words) != frames * channels):
        raise ValueError(
            f"{frames} frames with {channels} channels need {frames * channels} numbers, and {len(words)} are there"
        )
    if a_line_each:
        words = words[: len(whole) * channels]
        if len(whole) != frames or len(lines) > len(whole):
            cut = ", and an incomplete one, which is left out" if len(lines) > len(whole) else ""
            logger.warning("%s says that it has %d frames; there are %d%s", path, frames, len(whole), cut)
    try:
        values = np.array(words, np.float64)
    except ValueError:  # other spellings of what is not finite: -nan(ind), 1.#QNAN
        values = np.array([np.nan if re.search("nan|inf|#", w, re.IGNORECASE) else w for w in words], np.float64)
    return values.reshape(-1, channels)


def _finite_frames(motion: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of the frames that can be used."""
    finite = np.isfinite(motion).all(-1)
    known, broken = np.flatnonzero(finite), np.flatnonzero(~finite)
    if not len(known):
        raise BunrakuError(f"every frame of {path} has numbers that are not finite. Export it again.")
    if len(broken):
        numbers = ", ".join(map(str, broken[:10])) + (", ..." if len(broken) > 10 else "")
        logger.warning(
            "%d of %d frames of %s have numbers that are not finite (counted from 0: %s); they are interpolated",
            len(broken), len(motion), path, numbers,
        )  # fmt: skip
    return known


def _forward_kinematics(joints: list[_Joint], motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World positions (F, J, 3) and rotations (F, J, 3, 3); rotations of a joint multiply in the order of its channels."""
    positions = np.empty((len(motion), len(joints), 3))
    rotations = np.empty((len(motion), len(joints), 3, 3))
    column = 0
    for j, joint in enumerate(joints):
        values = motion[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        local = np.tile(joint.offset, (len(motion), 1))
        shifts = [i for i, channel in enumerate(joint.channels) if channel.endswith("position")]
        turns = [i for i, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        if values[:, shifts].any():  # instead of the offset, as in Blender and MotionBuilder; zero: not used
            local[:, ["xyz".index(joint.channels[i][0]) for i in shifts]] = values[:, shifts]
        turn: np.ndarray = np.eye(3)
        if turns:
            order = "".join(joint.channels[i][0].upper() for i in turns)
            turn = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix()
        if joint.parent < 0:
            positions[:, j], rotations[:, j] = local, turn
        else:
            parent = rotations[:, joint.parent]
            positions[:, j] = positions[:, joint.parent] + np.einsum("fij,fj->fi", parent, local)
            rotations[:, j] = parent @ turn
    return positions, rotations


def _map_names(names: list[str], path: Path) -> dict[str, int]:
    """The index of the head and of each joint of ARMS_AND_LEGS."""
    plain: dict[str, int] = {}
    for index, own in enumerate(_own_parts(names)):
        key = re.sub("[^a-z0-9]", "", own.split(":")[-1].lower())
        plain.setdefault(key.removesuffix("bend"), index)  # Genesis: lShldrBend, beside lShldrTwist
    wanted: dict[str, list[str]] = {"head": list(HEAD_NAMES)}
    for label in ARMS_AND_LEGS:
        side, joint = label.split()
        wanted[label] = [
            spelling for name in NAMES[joint] for spelling in (side + name, side[0] + name, name + side, name + side[0])
        ]
    mapped = {
        label: next((plain[spelling] for spelling in spellings if spelling in plain), -1)
        for label, spellings in wanted.items()
    }
    missing = [label for label, index in mapped.items() if index < 0]
    if missing:
        raise BunrakuError(
            f"{path} has no joint for: {', '.join(missing)}. Its joints are: {', '.join(filter(None, names))}. Rename them in "
            "the file to the usual names (Head, LeftArm, LeftForeArm, LeftHand, LeftUpLeg, LeftLeg, LeftFoot and the same with "
            "Right)."
        )
    return mapped


def _own_parts(names: list[str]) -> list[str]:
    """Names without the beginning and the ending that (nearly) all of them share.

    >>> _own_parts(["Robot_Hips_JNT", "Robot_Head_JNT", "Robot_LeftArm_JNT"])
    ['Hips', 'Head', 'LeftArm']
    """
    joints = [name for name in names if name]
    start = _most_shared([name[:at] for name in joints for at in _words(name)], len(joints))
    end = _most_shared([name[at:] for name in joints for at in _words(name)], len(joints))
    return [name.removeprefix(start).removesuffix(end) for name in names]


def _words(name: str) -> list[int]:
    """Where words of a name end or begin."""
    return [at for at in range(1, len(name)) if not name[at - 1 : at + 1].isalnum() or name[at].isupper()]


def _most_shared(parts: list[str], names: int) -> str:
    return max((part for part, count in Counter(parts).items() if count >= SHARED * names), key=len, default="")


def _limbs(positions: np.ndarray, mapped: dict[str, int]) -> np.ndarray:
    """The 18 body joints in the world, (F, 18, 3), without the face."""
    body = np.zeros((len(positions), 18, 3))
    for label, index in ARMS_AND_LEGS.items():
        body[:, index] = positions[:, mapped[label]]
    body[:, 1] = (body[:, 2] + body[:, 5]) / 2
    return body


def _hips(body: np.ndarray) -> np.ndarray:
    return (body[:, 8] + body[:, 11]) / 2


def _legs(body: np.ndarray) -> np.ndarray:
    """From the ankles to the hips, (F, 3)."""
    return _hips(body) - (body[:, 10] + body[:, 13]) / 2


def _stands(rest: np.ndarray) -> bool:
    """Whether a pose, (1, 18, 3), has the trunk above the legs; rest poses of some rigs have all bones in one direction."""
    return bool(_unit((rest[:, 1] - _hips(rest))[0]) @ _unit(_legs(rest)[0]) > 0.7)


def _up(body: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The world axis, (3,), that is up: the one along which the rest pose stands.

    Not so where the root turns the rest pose for good, as it does in files that were converted from another up axis: then
    it is the one along which the body is upright in the mean. Such a body keeps its feet on the floor and its hips at the
    height of the legs; one that lies has its hips near the floor along the rest pose's axis.
    """
    upright = _axis((body[:, 1] - _hips(body)).mean(0))
    if not _stands(rest):
        return upright
    up = _axis((rest[:, 1] - _hips(rest))[0])
    if np.any(np.abs(up) != np.abs(upright)):
        leg = np.linalg.norm(_legs(rest)[0])
        feet = np.median((body[:, [10, 13]] @ upright).min(-1)) / leg
        along_mean, along_rest = (np.median(_hips(body) @ axis) / leg for axis in (upright, up))
        if (abs(feet) < 0.25 and 0.6 < along_mean < 1.4) or not 0.03 < along_rest < 0.6:
            return upright
    return up


def _axis(direction: np.ndarray) -> np.ndarray:
    """The world axis nearest to a direction, (3,), with its sign."""
    nearest = np.abs(direction).argmax()
    return np.eye(3)[nearest] * (np.sign(direction[nearest]) or 1)


def _across(body: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The picture's right as a world direction, (3,): towards the body's own left, so that the chest faces the camera."""
    trunk = body[:, 1] - _hips(body)
    upright = trunk @ up / np.maximum(np.linalg.norm(trunk, axis=-1), 1e-9)
    left = body[:, 5] - body[:, 2] + body[:, 11] - body[:, 8]
    left = left - (left @ up)[:, None] * up
    upside_down = np.where(upright < 0, -1, 1)  # who stands on the hands and faces the camera has the left on our left
    across = (left * upside_down[:, None])[np.abs(upright) > 0.3]
    if not len(across):  # who lies all the time is seen from the side
        return _unit((trunk - (trunk @ up)[:, None] * up).mean(0))
    mean = across.mean(0)
    # whoever turns all the time has no mean direction: look from where they start
    return _unit(mean if np.linalg.norm(mean) > 0.3 * np.linalg.norm(across, axis=-1).mean() else across[0])


def _head_axes(joints: list[_Joint], head: int, body: np.ndarray, turns: np.ndarray | None) -> np.ndarray:
    """Left, up and forward of the head in the head's own frame as columns, (3, 3), each as long as the head is high.

    Up is towards the end of the head; where there is none (or not above the head), along the trunk, and the height follows
    from the legs.

    Args:
        body: (F, 18, 3), poses in which the head looks ahead in the mean.
        turns: the head's rotations in them, (F, 3, 3); None: none.
    """
    back = np.eye(3) if turns is None else turns.swapaxes(-1, -2)
    left = (back @ (body[:, 5] - body[:, 2])[..., None])[..., 0].mean(0)
    trunk = _unit((back @ (body[:, 1] - _hips(body))[..., None])[..., 0].mean(0))
    ends = [j for j in joints if j.parent == head and (not j.name or TOP_OF_HEAD.search(j.name.lower()))]
    top = max((np.array(j.offset) for j in ends), key=np.linalg.norm, default=np.zeros(3))
    leg = np.linalg.norm(body[:, [8, 9, 11, 12]] - body[:, [9, 10, 12, 13]], axis=-1).sum(-1).mean() / 2
    height = float(np.linalg.norm(top)) or HEAD_PER_LEG * leg or 1.0
    up = _unit(top) if _unit(top) @ trunk > 0.5 else trunk  # offsets of some rigs do not fit their rotations
    left = _unit(left - (left @ up) * up)
    return np.stack([left, up, np.cross(left, up)], axis=-1) * height


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else np.eye(3)[0]


def _rate(frame_time: float) -> Fraction:
    """The frame rate that a rounded frame time stands for: 0.0333 is 30, 0.033367 is 30000/1001."""
    rate = 1 / frame_time
    usual = [Fraction(max(1, round(rate))), Fraction(max(1, round(rate * 1.001)) * 1000, 1001)]
    nearest = min(usual, key=lambda candidate: abs(candidate / rate - 1))
    return nearest if abs(nearest / rate - 1) < 4e-4 else Fraction(rate).limit_denominator(1001)
