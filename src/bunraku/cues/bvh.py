"""BVH motion capture as a driving motion: parsing, forward kinematics, a front view, the 18 body joints."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack

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
HEAD_NAMES = ("head", "skull")

# where the face is on a head of height 1, from its base: left, up, forward
FACE = {0: (0, 0.32, 0.5), 14: (-0.17, 0.5, 0.4), 15: (0.17, 0.5, 0.4), 16: (-0.38, 0.42, 0), 17: (0.38, 0.42, 0)}

MARGIN = 0.08  # of the picture, on each side


def read_bvh(
    path: str | Path, fps: Fraction | float | None = None, size: tuple[int, int] = (512, 512)
) -> tuple[PoseTrack, Fraction]:
    """Read a BVH file as the pose track of one person, seen from the front by an orthographic camera.

    Up is the world axis along which the head lies above the hips; the camera faces the body's mean direction, and the
    picture holds the whole motion, centred. The neck is the middle of the shoulders, as in OpenPose. Face joints, which
    BVH does not have, sit on the head joint and turn with it: with h the distance from the head joint to the end of the
    head, the nose is 0.32 h up and 0.5 h forward, eyes 0.5 h up, 0.4 h forward and 0.17 h to the side, ears 0.42 h up
    and 0.38 h to the side. Nose and eyes are not seen (score 0) when the face points away from the camera, an ear when
    the head hides it.

    Args:
        path: the file. Joint names of Mixamo, CMU, Rokoko, LAFAN1, SMPL, Biped, Poser and the like are known.
        fps: resample to this rate. Default: the file's own.
        size: (height, width) of the picture in pixels.

    Returns:
        The track (F, 1, 18) and its frame rate.

    Raises:
        BunrakuError: the file is missing, is no complete BVH, or has joints that cannot be mapped (they are listed).
    """
    joints, motion, frame_time = _parse(Path(path))
    own_fps = _rate(frame_time)
    positions, rotations = _forward_kinematics(joints, motion)  # F J 3, F J 3 3
    body, head_turn = _body(joints, positions, rotations, Path(path))  # F 18 3, F 3 3
    across, up = _view(body)
    toward = np.cross(across, up)

    scores = np.ones((len(body), 18), np.float32)
    scores[:, [0, 14, 15]] = (head_turn[:, :, 2] @ toward > 0)[:, None]
    away = head_turn[:, :, 0] @ toward  # how far the left ear points to the camera
    scores[:, 16], scores[:, 17] = away < 0.5, away > -0.5

    picture = np.stack([body @ across, -(body @ up)], axis=-1)
    height, width = size
    low, high = picture.min((0, 1)), picture.max((0, 1))
    scale = (1 - 2 * MARGIN) * min(np.array([width, height]) / np.maximum(high - low, 1e-9))
    keypoints = (picture - (low + high) / 2) * scale + np.array([width, height]) / 2

    if fps is not None:
        rate = Fraction(fps).limit_denominator(100_000)
        if rate <= 0:
            raise BunrakuError(f"The frame rate must be positive; got fps={fps}.")
        times = np.arange(int((len(body) - 1) * rate / own_fps) + 1) * float(own_fps / rate)
        before = times.astype(int)
        after, weight = np.minimum(before + 1, len(body) - 1), (times - before)[:, None, None]
        keypoints = keypoints[before] + weight * (keypoints[after] - keypoints[before])
        scores, own_fps = scores[before], rate
    return PoseTrack(keypoints[:, None].astype(np.float32), scores[:, None], size), own_fps


@dataclass
class _Joint:
    name: str
    parent: int  # index into the list of joints, -1 for a root
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: tuple[str, ...] = ()


def _parse(path: Path) -> tuple[list[_Joint], np.ndarray, float]:
    """Joints (End Sites included, named after their parent), motion (F, channels) and seconds per frame."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BunrakuError(f"Cannot read {path}: {error.strerror}.") from error
    hierarchy, keyword, rest = text.lstrip("\ufeff").partition("MOTION")
    if not hierarchy.split()[:1] == ["HIERARCHY"] or not keyword:
        raise BunrakuError(
            f"{path} is not a BVH file: it should start with HIERARCHY and have a MOTION section. "
            "Export the motion as BVH (Biovision) from your animation tool."
        )
    try:
        joints = _parse_hierarchy(hierarchy)
        header = re.search(r"Frames:\s*(\d+)\s+Frame Time:\s*(\S+)", rest)
        if header is None:
            raise ValueError("MOTION has no 'Frames:' and 'Frame Time:' lines")
        frames, frame_time = int(header[1]), float(header[2])
        values = np.array(rest[header.end() :].split(), dtype=np.float64)
        channels = sum(len(joint.channels) for joint in joints)
        if frames < 1 or frame_time <= 0 or values.size != frames * channels:
            raise ValueError(
                f"{frames} frames of {frame_time} s with {channels} channels need {frames * channels} numbers, "
                f"and {values.size} are there"
            )
    except (ValueError, IndexError) as error:
        raise BunrakuError(f"{path} is a broken BVH file: {error}. Export it again.") from error
    return joints, values.reshape(frames, channels), frame_time


def _parse_hierarchy(text: str) -> list[_Joint]:
    joints: list[_Joint] = []
    open_joints: list[int] = []
    for line in re.sub(r"([{}])", r"\n\1\n", text).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        words = rest.split()
        if keyword in ("ROOT", "JOINT", "End"):
            parent = open_joints[-1] if open_joints else -1
            joints.append(_Joint(f"{joints[parent].name} end" if keyword == "End" else rest.strip(), parent))
        elif keyword == "{":
            open_joints.append(len(joints) - 1)
        elif keyword == "}":
            open_joints.pop()
        elif keyword == "OFFSET":
            joints[-1].offset = tuple(float(word) for word in words[:3])
        elif keyword == "CHANNELS":
            joints[-1].channels = tuple(words[1:])
            unknown = [word for word in words[1:] if not re.fullmatch("[XYZ](position|rotation)", word)]
            if unknown or len(words) != int(words[0]) + 1:
                raise ValueError(f"cannot understand '{line.strip()}' of joint {joints[-1].name}")
    if not joints or open_joints:
        raise ValueError("the braces of HIERARCHY do not match")
    return joints


def _forward_kinematics(joints: list[_Joint], motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World positions (F, J, 3) and rotations (F, J, 3, 3); rotations of a joint multiply in the order of its channels."""
    positions = np.empty((len(motion), len(joints), 3))
    rotations = np.empty((len(motion), len(joints), 3, 3))
    column = 0
    for j, joint in enumerate(joints):
        values = motion[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        local = np.tile(joint.offset, (len(motion), 1))
        turns = [i for i, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        for i, channel in enumerate(joint.channels):
            if channel.endswith("position"):  # stands in for the offset, as in Blender and MotionBuilder
                local[:, "XYZ".index(channel[0])] = values[:, i]
        turn: np.ndarray = np.eye(3)
        if turns:
            order = "".join(joint.channels[i][0] for i in turns)
            turn = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix()
        if joint.parent < 0:
            positions[:, j], rotations[:, j] = local, turn
        else:
            parent = rotations[:, joint.parent]
            positions[:, j] = positions[:, joint.parent] + np.einsum("fij,fj->fi", parent, local)
            rotations[:, j] = parent @ turn
    return positions, rotations


def _body(
    joints: list[_Joint], positions: np.ndarray, rotations: np.ndarray, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """The 18 body joints in the world, (F, 18, 3), and the head's left, up and forward as columns, (F, 3, 3)."""
    mapped = _map_names([joint.name for joint in joints], path)
    body = np.empty((len(positions), 18, 3))
    for label, index in ARMS_AND_LEGS.items():
        body[:, index] = positions[:, mapped[label]]
    body[:, 1] = (body[:, 2] + body[:, 5]) / 2

    rest, _ = _forward_kinematics([_Joint(j.name, j.parent, j.offset) for j in joints], np.zeros((1, 0)))
    head = mapped["head"]
    ends = [j for j, joint in enumerate(joints) if joint.parent == head]
    top = max((rest[0, j] - rest[0, head] for j in ends), key=np.linalg.norm, default=np.zeros(3))
    if not np.any(top):  # no end of the head: as long as the neck, straight on
        top = rest[0, head] - (rest[0, mapped["left shoulder"]] + rest[0, mapped["right shoulder"]]) / 2
    head_height = float(np.linalg.norm(top)) or 1.0
    up = top / head_height
    left = rest[0, mapped["left shoulder"]] - rest[0, mapped["right shoulder"]]
    left = _unit(left - (left @ up) * up)
    turn = rotations[:, head] @ np.stack([left, up, np.cross(left, up)], axis=-1)
    for index, place in FACE.items():
        body[:, index] = positions[:, head] + turn @ np.array(place) * head_height
    return body, turn


def _map_names(names: list[str], path: Path) -> dict[str, int]:
    plain: dict[str, int] = {}
    for index, name in enumerate(names):
        key = re.sub("[^a-z0-9]", "", name.split(":")[-1].lower())
        plain.setdefault(re.sub(r"^(mixamorig\d*|bip\d+|character\d*)(?=.)", "", key), index)
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
            f"{path} has no joint for: {', '.join(missing)}. Its joints are: "
            f"{', '.join(name for name in names if not name.endswith(' end'))}. Rename them in the file to the usual "
            "names (Head, LeftArm, LeftForeArm, LeftHand, LeftUpLeg, LeftLeg, LeftFoot and the same with Right)."
        )
    return mapped


def _view(body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right and up of the picture as world directions: up an axis, right towards the body's own left."""
    upward = (body[:, 1] - (body[:, 8] + body[:, 11]) / 2).mean(0)
    axis = np.abs(upward).argmax()
    up = np.eye(3)[axis] * np.sign(upward[axis])
    across = body[:, 5] - body[:, 2] + body[:, 11] - body[:, 8]
    across = across - (across @ up)[:, None] * up
    mean = across.mean(0)
    # whoever turns all the time has no mean direction: look from where they start
    return _unit(mean if np.linalg.norm(mean) > 0.3 * np.linalg.norm(across, axis=-1).mean() else across[0]), up


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else np.eye(3)[0]


def _rate(frame_time: float) -> Fraction:
    """The frame rate a rounded frame time stands for: 0.0333 is 30, 0.033367 is 30000/1001."""
    rate = 1 / frame_time
    usual = [Fraction(max(1, round(rate))), Fraction(max(1, round(rate * 1.001)) * 1000, 1001)]
    nearest = min(usual, key=lambda candidate: abs(candidate / rate - 1))
    return nearest if abs(nearest / rate - 1) < 4e-4 else Fraction(rate).limit_denominator(1001)
