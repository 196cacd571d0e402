"""Puppet: a character in a posture, as joints and as painted shapes.

Coordinates are standing body heights: x to image right from the middle of the stage, y down from the floor.
"""

from dataclasses import dataclass

import numpy as np

from bunraku.theatre.character import Character
from bunraku.theatre.motion import Posture
from bunraku.theatre.props import Prop
from bunraku.theatre.shapes import Colour, Drawing, Frame, capsule, darker, direction, ellipse, strip

GRIP = 0.6
"""How far beyond the wrist the middle of the hand lies, in radii of the hand."""

_LIGHT = np.array([-0.22, -0.16])  # where the lit side of a round part lies, in radii


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Where a character's joints are.

    Attributes:
        joints: (F, 18, 2) body joints in OpenPose order.
        visible: (F, 18) bool; a face seen from behind has no visible nose and eyes.
        head: the frame of the head; its unit is half the head's height, its origin the head's middle.
    """

    joints: np.ndarray
    visible: np.ndarray
    head: Frame


_SKIRTS = {"dress": (1.75, 0.09), "skirt": (1.5, 0.13), "coat": (1.45, 0.05)}  # level of the hem, flare
_EYE, _EYE_Y, _NOSE_Y = 0.38, 0.02, -0.22  # face, in half head heights
_FACE_SHIFT = np.array([0.3, 0.14])  # how far the face moves when the head turns or nods fully


def _face_shift(character: Character, posture: Posture) -> np.ndarray:
    return np.stack([posture.yaw * character.body.head_width, posture.nod], -1) * _FACE_SHIFT


def skeleton(character: Character, posture: Posture) -> Skeleton:
    """Put a character's bones into a posture, standing on the floor (forward kinematics).

    The lowest ankle decides where the floor is, so that any character stands, crouches and hops with the same motion.
    """
    b = character.body
    up = -direction(-posture.trunk)
    neck = up * (b.trunk * posture.trunk_stretch)[:, None]
    shoulder = _across(posture.shoulders) * (b.shoulder * posture.shoulder_width)[:, None]
    hip = _across(posture.hips) * (b.hip * posture.hip_width)[:, None]
    right, head_up = _across(posture.head), -direction(-posture.head)
    half = b.head / 2
    head = neck + up * b.neck * 0.5 + head_up * (half + b.neck * 0.5)
    lengths = np.array([b.upper_arm, b.forearm] * 2 + [b.thigh, b.shin] * 2)
    bones = direction(posture.limbs) * (lengths * posture.stretch)[..., None]  # (F, 8, 2)

    joints = np.empty((len(neck), 18, 2))
    joints[:, 1] = neck
    for index, root in enumerate((neck - shoulder, neck + shoulder, -hip, hip)):
        first = 2 + 3 * index
        joints[:, first] = root
        joints[:, first + 1] = root + bones[:, 2 * index]
        joints[:, first + 2] = joints[:, first + 1] + bones[:, 2 * index + 1]
    frame = Frame(head, right * half, head_up * half)
    shift = _face_shift(character, posture)
    width, behind = b.head_width, posture.shoulder_width < 0
    side = np.where(behind, -1.0, 1.0)
    for joint, x, y, follow in (
        (0, 0.0, _NOSE_Y, 1.0),
        (14, -_EYE, _EYE_Y, 1.0),
        (15, _EYE, _EYE_Y, 1.0),
        (16, -0.97, -0.05, -0.25),
        (17, 0.97, -0.05, -0.25),
    ):
        local = np.array([x * width, y]) * np.stack([side, np.ones_like(side)], -1) + shift * follow
        joints[:, joint] = frame(local[:, None])[:, 0]

    floor = joints[:, [10, 13], 1].max(1) + b.ankle
    move = np.stack([posture.x, -floor - posture.jump], -1)
    visible = np.ones((len(neck), 18), bool)
    visible[:, [0, 14, 15]] = ~behind[:, None]
    return Skeleton(joints + move[:, None], visible, Frame(head + move, frame.right, frame.up))


def _across(tilt: np.ndarray) -> np.ndarray:
    """Unit vectors (F, 2) pointing to image right when untilted."""
    return np.stack([np.cos(tilt), np.sin(tilt)], -1)


def draw(
    character: Character,
    posture: Posture,
    bones: Skeleton,
    behind: tuple[bool, bool] = (False, False),
    prop: Prop | None = None,
    labels: tuple[int, int] = (0, 0),
) -> Drawing:
    """Paint a character over its skeleton: back hair, arms behind, legs, trunk, head, arms in front.

    Args:
        behind: of the right and the left arm, whether it passes behind the trunk.
        prop: what it holds, painted just before the hand that grips it.
        labels: of the character and of its prop in the drawing.
    """
    drawing = Drawing(labels[0])
    puppet = _Puppet(character, posture, bones, drawing)

    def arm(side: int) -> None:
        if prop is not None and prop.side == side:
            drawing.label = labels[1]
            elbow, wrist = (bones.joints[:, 3 + 3 * side + k] for k in range(2))
            prop.draw(drawing, wrist, elbow, GRIP * character.body.hand_radius)
            drawing.label = labels[0]
        puppet.arm(side)

    puppet.back_hair()
    for side in range(2):
        if behind[side]:
            arm(side)
    for side in range(2):
        puppet.leg(side)
    puppet.trunk()
    puppet.head()
    for side in range(2):
        if not behind[side]:
            arm(side)
    return drawing


class _Puppet:
    """The painting hand: one method per body part, in body heights."""

    def __init__(self, character: Character, posture: Posture, bones: Skeleton, drawing: Drawing) -> None:
        self.body, self.look, self.posture, self.bones, self.drawing = (
            character.body,
            character.look,
            posture,
            bones,
            drawing,
        )
        self.shift = _face_shift(character, posture)
        self.shown = bones.visible[:, 0]

    # --- limbs -------------------------------------------------------------------------------------------------------------------

    def _parts(self, parts: list[tuple[np.ndarray, Colour]]) -> None:
        self.drawing.outlined(parts, self.look.outline, self.look.outline_width)

    def _round(
        self, start: np.ndarray, end: np.ndarray, r0: float, r1: float, colour: Colour
    ) -> list[tuple[np.ndarray, Colour]]:
        """A limb segment in two tones: shade below, light on the upper left."""
        light = _LIGHT * r1
        return [
            (capsule(start, end, r0, r1), darker(colour, 0.8)),
            (capsule(start + light, end + light, r0 * 0.74, r1 * 0.74), colour),
        ]

    def _limb(
        self,
        points: tuple[np.ndarray, np.ndarray, np.ndarray],
        radii: tuple[float, float, float],
        colour: Colour,
        cover: Colour,
        length: float,
        loose: float,
    ) -> list[tuple[np.ndarray, Colour]]:
        """Two bones in `colour`, covered from the root by cloth of `length` bones."""
        a, b, c = points
        ra, rb, rc = radii
        parts = []
        if length < 2:
            parts += self._round(b, c, rb, rc, colour)
        if length < 1:
            parts += self._round(a, b, ra, rb, colour)
        if length > 0:
            part = min(length, 1.0)
            parts_cloth = self._round(a, a + (b - a) * part, ra * loose, (ra + (rb - ra) * part) * loose, cover)
            if length > 1:
                part = length - 1
                parts += self._round(b, b + (c - b) * part, rb * loose, (rb + (rc - rb) * part) * loose * 1.05, cover)
            parts += parts_cloth
        return parts

    def arm(self, side: int) -> None:
        body, look = self.body, self.look
        shoulder, elbow, wrist = (self.bones.joints[:, 2 + 3 * side + k] for k in range(3))
        radius = body.arm_radius
        hand = (
            wrist
            + (wrist - elbow)
            / np.maximum(np.linalg.norm(wrist - elbow, axis=-1, keepdims=True), 1e-9)
            * body.hand_radius
            * GRIP
        )
        parts = self._round(wrist, hand, body.hand_radius * 0.9, body.hand_radius, look.hands[side])
        parts += self._limb(
            (shoulder, elbow, wrist),
            (radius * 1.08, radius, radius * 0.86),
            look.skin,
            look.sleeves[side],
            look.sleeve_length,
            1.15,
        )
        self._parts(parts)

    def leg(self, side: int) -> None:
        body, look = self.body, self.look
        hip, knee, ankle = (self.bones.joints[:, 8 + 3 * side + k] for k in range(3))
        radius = body.leg_radius
        out = -1.0 if side == 0 else 1.0
        shin = (ankle - knee) / np.maximum(np.linalg.norm(ankle - knee, axis=-1, keepdims=True), 1e-9)
        sole = ankle + shin * (body.ankle - radius * 0.62)
        toe = sole + np.stack([-shin[:, 1], shin[:, 0]], -1) * -out * radius * 1.0
        shoe = look.shoes[side]
        parts = self._limb(
            (hip, knee, ankle),
            (radius * 1.1, radius * 0.95, radius * 0.75),
            look.skin,
            look.legs[side],
            look.leg_length,
            1.1,
        )
        parts += self._round(ankle - (ankle - knee) * look.shoe_height, ankle, radius * 0.9, radius * 0.85, shoe)
        parts += self._round(sole, toe, radius * 0.78, radius * 0.62, shoe)
        self._parts(parts)

    # --- trunk -------------------------------------------------------------------------------------------------------------------

    def _loft(self, top: float, bottom: float, grow: float = 1.0, flare: float = 0.0, points: int = 7) -> np.ndarray:
        """The trunk's outline (F, 2 points, 2) between two levels: 0 the shoulder line, 1 the hip line, below 1 a skirt.

        A skirt hangs between the thighs: its middle follows them and it is wide enough for both.
        """
        body = self.body
        level = np.linspace(top, bottom, points)[None, :, None]
        inner, below = np.clip(level, 0, 1), np.maximum(level - 1, 0)
        neck, shoulder_r, shoulder_l, hip_r, knee_r, hip_l, knee_l = (
            self.bones.joints[:, None, j] for j in (1, 2, 5, 8, 9, 11, 12)
        )
        hips, knees = (hip_r + hip_l) / 2, (knee_r + knee_l) / 2
        hang = below * body.trunk / body.thigh  # in thighs
        centre = neck + (hips - neck) * inner + (knees - hips) * hang
        across = (shoulder_l - shoulder_r) * (1 - inner) + (hip_l - hip_r) * inner
        length = np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
        spread = np.linalg.norm(knee_l - knee_r, axis=-1, keepdims=True) / 2
        middle = np.sin(np.pi * inner)
        half = length / 2 * (1 + (body.waist - 1) * middle) + np.maximum(spread * 0.9 - length / 2, 0) * hang
        half = half + body.arm_radius * 0.75 * (1 - inner) + body.leg_radius * 0.95 * inner + body.belly * middle
        edge = across / length * (half * grow + flare * np.maximum(level - 0.6, 0))
        return np.concatenate([centre - edge, (centre + edge)[:, ::-1]], 1)

    def _chest(self) -> Frame:
        """The chest's frame: origin at the neck, unit of x half the shoulder width, y from the hips (-1) to the neck (0)."""
        joints = self.bones.joints
        up = joints[:, 1] - (joints[:, 8] + joints[:, 11]) / 2
        return Frame(joints[:, 1], (joints[:, 5] - joints[:, 2]) / 2, up)

    def trunk(self) -> None:
        look, body, joints = self.look, self.body, self.bones.joints
        self._parts([(capsule(joints[:, 1], self.bones.head.origin, body.arm_radius * 0.95), darker(look.skin, 0.82))])
        seat = {"shirt": look.legs[0], "overall": look.legs[0], "skirt": look.bottom}.get(look.garment, look.top)
        self._parts(
            [
                (capsule(joints[:, 8], joints[:, 11], body.leg_radius * 1.15), seat),
                (capsule(joints[:, 2], joints[:, 5], body.arm_radius * 1.2), look.top),
                (self._loft(0.0, 1.0), darker(look.top, 0.82)),
                (self._loft(0.0, 1.0, 0.86) + _LIGHT * body.arm_radius * 0.5, look.top),
            ]
        )
        self._pattern()
        self._garment(seat)
        if look.collar:
            chest = self._chest()
            self.drawing.fill(chest(np.array([[-0.45, 0.1], [0.45, 0.1], [0.0, -0.28]])), look.skin)
            for side in (-1, 1):
                lapel = np.array([[0.6, 0.1], [0.35, 0.12], [0.0, -0.26], [0.2, -0.34]]) * (side, 1)
                self.drawing.fill(chest(lapel), look.accent)

    def _garment(self, seat: Colour) -> None:
        """What is worn over the top: a belt, a bib with braces, or a skirt."""
        look, fill = self.look, self.drawing.fill
        if look.garment == "shirt":
            fill(self._loft(0.84, 0.94, 1.03), darker(look.accent, 0.75))
        elif look.garment == "overall":
            chest = self._chest()
            self._parts([(self._loft(0.58, 1.02, 1.03), seat)])
            fill(chest(np.array([[-0.55, -0.3], [0.55, -0.3], [0.62, -0.62], [-0.62, -0.62]])), seat)
            for x in (-0.5, 0.5):
                strap = np.array([[-0.12, 0.08], [0.12, 0.08], [0.12, -0.35], [-0.12, -0.35]])
                fill(chest(strap + (x, 0)), seat)
                fill(chest(ellipse(x, -0.36, 0.1, 0.045, points=10)), look.accent)
        elif look.garment in _SKIRTS:
            long, flare = _SKIRTS[look.garment]
            self._parts([(self._loft(0.66, long, 1.06, flare), darker(seat, 0.85))])
            fill(self._loft(0.67, long - 0.06, 0.86, flare), seat)
            fill(self._loft(long - 0.12, long, 1.05, flare), look.accent)
            fill(self._loft(0.64, 0.74, 1.07), darker(look.accent, 0.7))

    def _pattern(self) -> None:
        fill, frame, accent = self.drawing.fill, self._chest(), self.look.accent
        pattern = self.look.pattern
        if pattern == "stripes":
            for level in (0.08, 0.34, 0.6, 0.86):
                fill(self._loft(level, level + 0.13, points=3), accent)
        elif pattern == "dots":
            for x, y in ((-0.55, -0.15), (0.45, -0.1), (0.0, -0.35), (-0.5, -0.58), (0.5, -0.52), (0.02, -0.78)):
                fill(frame(ellipse(x, y, 0.19, 0.085, points=12)), accent)
        elif pattern == "emblem":
            turn = np.arange(10) * np.pi / 5
            star = np.stack([np.sin(turn), np.cos(turn)], -1) * np.where(np.arange(10) % 2, 0.45, 1)[:, None]
            fill(frame(star * (0.55, 0.25) + (0, -0.38)), accent)
        elif pattern == "sash":
            fill(frame(np.array([[-0.95, 0.06], [-0.5, 0.1], [0.85, -0.75], [0.6, -0.95]])), accent)
        elif pattern == "halves":
            half = self._loft(0.0, 1.0)
            middle = (half[:, :7] + half[:, :6:-1]) / 2
            fill(np.concatenate([middle, half[:, 7:]], 1), accent)
        elif pattern == "buttons":
            for y in (-0.18, -0.42, -0.66):
                fill(frame(ellipse(0, y, 0.13, 0.055, points=10)), accent)

    # --- head --------------------------------------------------------------------------------------------------------------------

    def _on_head(self, points: np.ndarray, follow: float = 0.0) -> np.ndarray:
        """Points in half head heights, x widened with the head; `follow` 1 turns with the face, 0 stays with the skull."""
        wide = points * (self.body.head_width, 1.0)
        return self.bones.head(wide[None] + self.shift[:, None] * follow)

    def _only(self, when: np.ndarray, polygon: np.ndarray, colour: Colour) -> None:
        """A part of the head that is there only in the frames `when` (F,)."""
        self.drawing.fill(np.where(when[:, None, None], polygon, np.nan), colour)

    def _face(self, points: np.ndarray, colour: Colour, follow: float = 1.0) -> None:
        """A part of the face, unseen from behind."""
        self._only(self.shown, self._on_head(points, follow), colour)

    def _arc(self, start: float, stop: float, radius: float, points: int = 13) -> np.ndarray:
        turn = np.deg2rad(np.linspace(start, stop, points))
        c, s = np.cos(turn), np.sin(turn)
        power = 2 / self.look.head_power
        return np.stack([np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power], -1) * radius

    def back_hair(self) -> None:
        look = self.look
        shapes: list[np.ndarray] = []
        if look.hair_style == "long":
            shapes = [
                np.array(
                    [
                        [-1.0, 0.5],
                        [-0.7, 0.95],
                        [0.0, 1.1],
                        [0.7, 0.95],
                        [1.0, 0.5],
                        [1.2, -0.6],
                        [1.15, -1.5],
                        [0.5, -1.75],
                        [-0.5, -1.75],
                        [-1.15, -1.5],
                        [-1.2, -0.6],
                    ]
                )
            ]
        elif look.hair_style == "bob":
            shapes = [ellipse(0, -0.08, 1.25, 1.12, 2.6)]
        elif look.hair_style == "afro":
            shapes = [ellipse(0, 0.3, 1.55, 1.3)]
        elif look.hair_style == "buns":
            shapes = [ellipse(-0.85, 0.85, 0.48), ellipse(0.85, 0.85, 0.48)]
        elif look.hair_style == "pigtails":
            shapes = [ellipse(-1.35, -0.25, 0.42, 0.8), ellipse(1.35, -0.25, 0.42, 0.8)]
        elif look.hair_style == "ponytail":
            shapes = [
                np.array([[0.2, 1.0], [0.9, 1.25], [1.6, 0.9], [1.75, 0.0], [1.45, -0.8], [1.3, 0.1], [1.0, 0.6]])
            ]
        elif look.hair_style == "mohawk":
            shapes = [np.array([[-0.35, 0.8], [-0.3, 1.45], [0.0, 1.62], [0.3, 1.45], [0.35, 0.8]])]
        elif look.hair_style == "spiky":
            turn = np.deg2rad(np.linspace(-10, 190, 17))
            radius = np.where(np.arange(17) % 2, 1.42, 1.05)[:, None]
            shapes = [np.stack([np.cos(turn), np.sin(turn)], -1) * radius]
        ears: list[tuple[np.ndarray, Colour]] = []
        if look.ears == "cat":
            ears = [(np.array([[0.2 * s, 0.8], [0.75 * s, 1.55], [0.98 * s, 0.4]]), look.hair) for s in (-1, 1)]
        elif look.ears == "bunny":
            ears = [(ellipse(0.5 * s, 1.5, 0.24, 0.85), look.skin) for s in (-1, 1)]
        elif look.ears == "bear":
            ears = [(ellipse(0.75 * s, 0.82, 0.38), look.hair) for s in (-1, 1)]
        elif look.ears == "horns":
            ears = [(np.array([[0.35 * s, 0.8], [0.95 * s, 1.5], [0.8 * s, 0.6]]), look.accent) for s in (-1, 1)]
        elif look.ears == "antennae":
            ears = [
                (np.array([[0.25 * s, 0.8], [0.62 * s, 1.45], [0.72 * s, 1.42], [0.4 * s, 0.75]]), look.outline)
                for s in (-1, 1)
            ]
            ears += [(ellipse(0.68 * s, 1.5, 0.17), look.accent) for s in (-1, 1)]
        parts = [(self._on_head(points, -0.3), darker(look.hair, 0.78)) for points in shapes]
        parts += [(self._on_head(points, -0.15), colour) for points, colour in ears]
        if parts:
            self._parts(parts)
        if look.ears == "bunny":
            for s in (-1, 1):
                self.drawing.fill(self._on_head(ellipse(0.5 * s, 1.5, 0.11, 0.6), -0.15), darker(look.accent, 1.1))

    def head(self) -> None:
        look = self.look
        parts: list[tuple[np.ndarray, Colour]] = []
        if look.ears in ("round", "horns", "antennae"):
            parts = [
                (self._on_head(ellipse(0.97 * s, -0.05, 0.17, 0.22, points=12), -0.25), darker(look.skin, 0.9))
                for s in (-1, 1)
            ]
        skull = ellipse(0, 0, 1, 1, look.head_power, points=28)
        parts.append((self._on_head(skull), darker(look.skin, 0.86)))
        self._parts(parts)
        self.drawing.fill(self._on_head(skull * 0.9 + (-0.05, 0.06)), look.skin)
        self._features()
        if look.hair_style not in ("bald", "mohawk"):
            self._only(~self.shown, self._on_head(skull * 0.97 + (0, 0.04)), look.hair)
        self._front_hair()
        self._hat()

    def _features(self) -> None:
        look = self.look
        dark, white = (34, 26, 34), (252, 252, 250)
        for s in (-1, 1):
            x = _EYE * s
            if look.blush:
                self._face(ellipse(0.58 * s, -0.3, 0.17, 0.1, points=12), _blend(look.skin, (250, 90, 100), 0.45))
            if look.eye_style == "dot":
                self._face(ellipse(x, _EYE_Y, 0.13, 0.18, points=12), dark)
            elif look.eye_style == "sleepy":
                self._face(ellipse(x, _EYE_Y, 0.23, 0.2, points=14), white)
                self._face(ellipse(x, _EYE_Y - 0.06, 0.12, 0.13, points=12), look.eye)
                self._face(
                    np.array([[x - 0.27, 0.04], [x - 0.2, 0.24], [x + 0.2, 0.24], [x + 0.27, 0.04]]),
                    darker(look.skin, 0.75),
                )
            else:
                rx, ry = {"oval": (0.17, 0.27), "big": (0.25, 0.32), "round": (0.24, 0.24)}[look.eye_style]
                self._face(ellipse(x, _EYE_Y, rx + 0.05, ry + 0.05, points=14), dark)
                self._face(ellipse(x, _EYE_Y - 0.02, rx, ry, points=14), white)
                self._face(ellipse(x, _EYE_Y - 0.04, rx * 0.72, ry * 0.78, points=12), look.eye, 1.15)
                self._face(ellipse(x - 0.06, _EYE_Y + 0.1, 0.07, 0.09, points=8), white, 1.15)
            if look.brows:
                arc = np.array([[x - 0.2, 0.42], [x, 0.5], [x + 0.2, 0.42]])
                self._face(strip(arc, 0.09), darker(look.hair, 0.7))
        self._face(ellipse(0, _NOSE_Y, 0.09, 0.07, points=10), darker(look.skin, 0.72), 1.2)
        bend = np.linspace(-1, 1, 7)
        smile = np.stack([bend * 0.3, -0.62 + 0.14 * bend**2], -1)
        if look.mouth == "smile":
            self._face(strip(smile, 0.1), dark)
        elif look.mouth == "line":
            self._face(strip(smile * (0.8, 0.3) + (0, -0.4), 0.09), dark)
        elif look.mouth == "cat":
            for s in (-1, 1):
                self._face(strip(smile * (0.5, 0.7) + (0.14 * s, -0.15), 0.08), dark)
        elif look.mouth == "o":
            self._face(ellipse(0, -0.58, 0.13, 0.16, points=12), (120, 30, 40))
        else:
            inside = (150, 36, 48) if look.mouth == "open" else white
            lips = np.concatenate(
                [np.array([[0.34, -0.46], [-0.34, -0.46]]), np.stack([bend * 0.34, -0.46 - 0.3 * (1 - bend**2)], -1)]
            )
            self._face(lips * (1.12, 1.0), dark)
            self._face((lips - (0, -0.56)) * 0.84 + (0, -0.56), inside)

    def _front_hair(self) -> None:
        look = self.look
        style = look.hair_style
        if style == "bald":
            return
        if style == "mohawk":
            fringe = np.array([[-0.3, 1.0], [-0.22, 0.55], [0.0, 0.4], [0.22, 0.55], [0.3, 1.0], [0.0, 1.2]])
            self._parts([(self._on_head(fringe, 0.3), look.hair)])
            return
        low = {"bob": -35.0, "long": -30.0, "bowl": -8.0, "afro": 2.0}.get(style, 8.0)
        outer = self._arc(low, 180 - low, 1.1)
        x0, y0 = outer[0] * 0.8
        edge = {
            "short": [[0.75, 0.5], [0.35, 0.58], [0.0, 0.46], [-0.4, 0.6], [-0.75, 0.48]],
            "spiky": [[0.72, 0.5], [0.5, 0.62], [0.3, 0.38], [0.05, 0.66], [-0.2, 0.36], [-0.45, 0.62], [-0.7, 0.42]],
            "side": [[0.78, 0.42], [0.72, 0.62], [0.2, 0.62], [-0.4, 0.48], [-0.82, 0.2]],
            "afro": [[0.7, 0.45], [0.35, 0.6], [0.0, 0.62], [-0.35, 0.6], [-0.7, 0.45]],
            "bowl": [[0.85, 0.3], [0.4, 0.4], [0.0, 0.42], [-0.4, 0.4], [-0.85, 0.3]],
            "ponytail": [[0.75, 0.45], [0.4, 0.7], [-0.1, 0.72], [-0.5, 0.55], [-0.78, 0.35]],
        }.get(style, [[0.78, 0.3], [0.5, 0.52], [0.15, 0.66], [0.0, 0.74], [-0.15, 0.66], [-0.5, 0.52], [-0.78, 0.3]])
        inner = np.array([[-x0, y0], *reversed(edge), [x0, y0]])
        cap = np.concatenate([outer, inner])
        self._parts([(self._on_head(cap, 0.25), look.hair)])
        shine = strip(self._arc(100, 145, 0.88, 6), 0.12)
        self.drawing.fill(self._on_head(shine, 0.25), _blend(look.hair, (255, 255, 255), 0.3))

    def _hat(self) -> None:
        look, hat = self.look, self.look.hat
        band = np.concatenate([self._arc(24, 156, 1.16), self._arc(156, 24, 0.86)])
        dome = self._arc(20, 160, 1.2)
        parts: list[np.ndarray] = []
        trim: list[np.ndarray] = []
        if hat == "cap":
            parts, trim = (
                [dome],
                [np.array([[-0.2, 0.36], [0.9, 0.36], [1.65, 0.3], [1.6, 0.5], [0.9, 0.62], [-0.2, 0.6]])],
            )
        elif hat == "top hat":
            parts = [
                np.array([[-1.25, 0.55], [1.25, 0.55], [1.25, 0.74], [-1.25, 0.74]]),
                np.array([[-0.75, 0.7], [0.75, 0.7], [0.82, 1.75], [-0.82, 1.75]]),
            ]
            trim = [np.array([[-0.76, 0.76], [0.76, 0.76], [0.77, 1.0], [-0.77, 1.0]])]
        elif hat == "beanie":
            parts, trim = (
                [dome, ellipse(0, 1.32, 0.26)],
                [np.concatenate([self._arc(14, 166, 1.24), self._arc(166, 30, 0.95)])],
            )
        elif hat == "crown":
            zigzag = np.array(
                [[-0.8, 0.6], [0.8, 0.6], [0.95, 1.45], [0.45, 1.05], [0.0, 1.55], [-0.45, 1.05], [-0.95, 1.45]]
            )
            parts, trim = [zigzag], [ellipse(0, 0.85, 0.16)]
        elif hat == "cone":
            parts = [np.array([[-0.9, 0.55], [0.9, 0.55], [0.15, 2.05]])]
            trim = [np.array([[-1.3, 0.5], [1.3, 0.5], [1.2, 0.72], [-1.2, 0.72]])]
        elif hat == "headband":
            trim = [band * (1.0, 0.55) + (0, 0.14)]
        elif hat == "bow":
            trim = [
                np.array([[0.45, 0.85], [1.15, 0.62], [1.15, 1.25]]),
                np.array([[0.45, 0.85], [-0.2, 0.75], [-0.15, 1.35]]),
                ellipse(0.45, 0.93, 0.16),
            ]
        if parts or trim:
            coloured = [(self._on_head(p, 0.15), look.bottom) for p in parts] + [
                (self._on_head(p, 0.15), look.accent) for p in trim
            ]
            self._parts(coloured)


def _blend(first: Colour, second: Colour, part: float) -> Colour:
    r, g, b = (round(a + (c - a) * part) for a, c in zip(first, second))
    return r, g, b
