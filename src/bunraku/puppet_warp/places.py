"""Where trunk and head go when a figure is posed."""

import numpy as np

from bunraku.puppet_warp.body import EARS, FACE, HIPS, NECK, TRUNK, Body, leg_point, rigid, turned, unit

FACE_WEIGHT, NECK_WEIGHT = 0.17, 0.3  # beside the ears' 1
FEATURE, TURN = 0.6, 0.4
"""Reach of a face point, within which all moves with it, and how far it may move inside the head, in radii of the head."""
ASLANT = 0.2  # how far from parallel shoulders and trunk must be to say two directions
RUNGS, SKIRT_RUNGS = 9, 5


def rungs(body: Body, joints: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The trunk's ladder from the shoulders to the hips, or on to the hem: centres (R, 2), unit directions across (R, 2), half widths (R,)."""
    neck, hips = joints[NECK], joints[HIPS].mean(0)
    share = np.linspace(0, 1, RUNGS)[:, None]
    lines = (1 - share) * (joints[5] - joints[2]) + share * (joints[11] - joints[8])
    level = -turned(unit(hips - neck, (0, 1)))
    across = np.stack([unit(line, level) for line in lines])
    halves = np.linalg.norm(lines, axis=-1) / 2 + scale * ((1 - share) * body.arm + share * body.leg)[:, 0]
    centres = neck + share * (hips - neck)
    if not body.hem:
        return centres, across, halves
    levels = np.linspace(0, body.hem, SKIRT_RUNGS + 1)[1:]
    right, left = (np.stack([leg_point(joints, side, level) for level in levels]) for side in (0, 1))
    middle = (right + left) / 2
    level = -turned(unit(middle[-1] - hips, hips - neck))
    level = unit(across[-1] + (level if level @ across[-1] >= 0 else -level), across[-1])
    spread = np.linalg.norm(left - right, axis=-1) / 2 - np.linalg.norm(lines[-1]) / 2
    return (
        np.concatenate([centres, middle]),
        np.concatenate([across, np.repeat(level[None], SKIRT_RUNGS, 0)]),
        np.concatenate([halves, halves[-1] + np.maximum(spread, 0)]),
    )


def head_at(
    vertices: np.ndarray, trunk_share: np.ndarray, body: Body, joints: np.ndarray, seen: np.ndarray, scale: float
) -> np.ndarray:
    """Where points (N, 2) of the head go, that go with the trunk by shares (N,); see the module `puppet_warp.warp`."""
    face = [joint for joint in FACE if seen[joint]] or [joint for joint in FACE if body.seen[joint]]
    ears = [joint for joint in EARS if seen[joint]]
    used = [*face, NECK] if face else TRUNK
    weights = np.array([FACE_WEIGHT if ears and joint not in ears else 1.0 for joint in used])
    weights[-1] = NECK_WEIGHT if face else 1
    moves = [rigid(body.joints[used], joints[used], weights, scale, mirrored) for mirrored in (False, True)]
    errors = [float(weights @ np.sum((move(body.joints[used]) - joints[used]) ** 2, -1)) for move in moves]
    # seen from behind, the ears change sides
    move = moves[1] if len(ears) == 2 and errors[1] < 0.25 * errors[0] else moves[0]
    shift = joints[face] - move(body.joints[face])
    most = TURN * body.head_radius * scale
    shift *= np.minimum(1, most / np.maximum(np.linalg.norm(shift, axis=-1, keepdims=True), 1e-9))
    distance = np.linalg.norm(vertices[:, None] - body.joints[face], axis=-1) / (FEATURE * body.head_radius)
    near = np.exp(-(distance**4))
    turned_head = move(vertices) + near @ shift / np.maximum(near.sum(1, keepdims=True), 1)
    # the neck is stretched from the head to the shoulders, which it stays on: they are the trunk's first rung
    (c, a, h), (to, across, halves) = rungs(body, body.joints, 1), rungs(body, joints, scale)
    own, there = (np.stack([unit(centres[1] - centres[0], (0, 1)), way[0]]) for centres, way in ((c, a), (to, across)))
    lengths = np.array([[scale], [halves[0] / h[0]]])
    on_trunk = to[0] + (vertices - c[0]) @ np.linalg.pinv(own, rcond=ASLANT) @ (lengths * there)
    return np.asarray(turned_head + trunk_share[:, None] * (on_trunk - turned_head))


def smoothstep(share: np.ndarray) -> np.ndarray:
    """0 up to 0, 1 from 1 on, and a smooth way between."""
    inside = np.clip(share, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))
