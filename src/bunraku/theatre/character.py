"""Character: who stands on the stage; the proportions of a body and what it wears."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from bunraku.theatre.shapes import Colour, hsv


@dataclass(frozen=True)
class Body:
    """Proportions as parts of the standing height (1 from the sole to the crown, without hat).

    `shoulder` and `hip` are half widths; `*_radius` half thicknesses; `ankle` is the height of the ankle above the sole.
    `waist` and `belly` scale the trunk's half width in the middle and add roundness there.
    """

    head: float
    head_width: float
    neck: float
    trunk: float
    shoulder: float
    hip: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    ankle: float
    arm_radius: float
    leg_radius: float
    hand_radius: float
    waist: float
    belly: float


@dataclass(frozen=True)
class Look:
    """Colours (RGB) and styles; a style is a word that `puppet.py` draws. Pairs are (person's right, person's left)."""

    skin: Colour
    hair: Colour
    top: Colour
    accent: Colour
    bottom: Colour
    eye: Colour
    outline: Colour
    outline_width: float  # parts of the standing height
    sleeves: tuple[Colour, Colour]
    hands: tuple[Colour, Colour]
    legs: tuple[Colour, Colour]
    shoes: tuple[Colour, Colour]
    sleeve_length: float  # 0 none, 1 to the elbow, 2 to the wrist
    leg_length: float  # 0 none, 1 to the knee, 2 to the ankle
    shoe_height: float  # part of the shin
    garment: str
    pattern: str
    hair_style: str
    hat: str
    ears: str
    eye_style: str
    mouth: str
    head_power: float  # exponent of the head's superellipse
    blush: bool
    brows: bool
    collar: bool


@dataclass(frozen=True)
class Character:
    """A body and its look; either can be exchanged on its own with `dataclasses.replace`."""

    body: Body
    look: Look


GARMENTS = ("shirt", "shirt", "dress", "skirt", "overall", "coat", "suit")
PATTERNS = ("plain", "plain", "stripes", "dots", "emblem", "sash", "halves", "buttons")
HAIR_STYLES = (
    "bald",
    "short",
    "bowl",
    "spiky",
    "long",
    "bob",
    "afro",
    "buns",
    "pigtails",
    "mohawk",
    "side",
    "ponytail",
)
HATS = ("none", "none", "none", "cap", "top hat", "beanie", "crown", "cone", "headband", "bow")
EARS = ("round", "round", "round", "cat", "bunny", "bear", "horns", "antennae")
EYES = ("dot", "oval", "big", "big", "round", "sleepy")
MOUTHS = ("smile", "open", "line", "cat", "o", "grin")

_SKINS = (
    (255, 224, 196),
    (247, 205, 170),
    (232, 180, 138),
    (204, 146, 104),
    (160, 106, 72),
    (112, 72, 50),
    (255, 236, 214),
)
_HAIRS = (
    (40, 32, 34),
    (84, 54, 36),
    (140, 88, 46),
    (206, 160, 84),
    (244, 214, 130),
    (190, 70, 40),
    (226, 226, 232),
    (96, 96, 110),
)


def sample_character(rng: np.random.Generator, folds: Sequence[int] = range(8)) -> Character:
    """A random character.

    Args:
        rng: source of randomness.
        folds: which eighths (0 to 7) of all outfits to draw from. An outfit is garment, pattern, hair and hat together; each
            belongs to one eighth, so that characters of different folds never wear the same.
    """
    while True:
        garment, pattern, hair, hat = (
            pool[int(rng.integers(len(pool)))] for pool in (GARMENTS, PATTERNS, HAIR_STYLES, HATS)
        )
        if sum(map(ord, garment + pattern + hair + hat)) % 8 in folds:
            return Character(_sample_body(rng), _sample_look(rng, garment, pattern, hair, hat))


def sample_human(rng: np.random.Generator, folds: Sequence[int] = range(8)) -> Character:
    """A random character of human proportions, 5.5 heads tall or more; arguments as of `sample_character`."""
    while True:
        character = sample_character(rng, folds)
        if character.body.head < 1 / 5.5:
            return character


ODDITIES: Mapping[str, Mapping[str, float]] = {
    "giant head": {"head": 6.0},
    "tiny head": {"head": 0.4},
    "short legs": {"thigh": 0.2, "shin": 0.2, "leg_radius": 1.2},
    "long legs": {"thigh": 2.2, "shin": 2.2, "trunk": 0.8},
    "long arms": {"upper_arm": 1.9, "forearm": 1.9},
    "short arms": {"upper_arm": 0.4, "forearm": 0.4},
    "broad": {"shoulder": 1.9, "hip": 2.2, "arm_radius": 1.6, "leg_radius": 1.6, "hand_radius": 1.6},
    "long neck": {"neck": 9.0},
}
"""Proportions that no sampled character has: factors on a human body, which is then scaled to stand one high again."""


def sample_odd_character(rng: np.random.Generator, oddity: str, folds: Sequence[int] = range(8)) -> Character:
    """A random character with one of ODDITIES."""
    human = sample_human(rng, folds)
    factors = {part: factor ** rng.uniform(0.9, 1.1) for part, factor in ODDITIES[oddity].items()}
    lengths = {f.name: getattr(human.body, f.name) * factors.get(f.name, 1) for f in fields(Body)}
    tall = sum(lengths[part] for part in ("head", "neck", "trunk", "thigh", "shin", "ankle"))
    ratios = {part: lengths[part] for part in ("head_width", "waist")}
    return replace(human, body=Body(**{part: length / tall for part, length in lengths.items()} | ratios))


def _sample_body(rng: np.random.Generator) -> Body:
    def mix(chibi: float, human: float, spread: float = 0.1) -> float:
        return (chibi + (human - chibi) * grown) * rng.uniform(1 - spread, 1 + spread)

    heads = 2.5 * (7 / 2.5) ** (rng.random() ** 1.4)
    grown = float((1 / 2.5 - 1 / heads) / (1 / 2.5 - 1 / 7))
    head, neck, ankle = 1 / heads, mix(0.008, 0.034), mix(0.045, 0.035)
    rest = 1 - head - neck - ankle
    trunk = rest * mix(0.47, 0.39, 0.07)
    thigh = (rest - trunk) * rng.uniform(0.48, 0.54)
    arm = mix(0.29, 0.36)
    upper_arm = arm * rng.uniform(0.47, 0.54)
    thick = float(np.exp(rng.normal(0, 0.2)))
    arm_radius = mix(0.034, 0.025) * thick
    return Body(
        head=head,
        head_width=rng.uniform(0.82, 1.12),
        neck=neck,
        trunk=trunk,
        shoulder=mix(0.098, 0.105, 0.15),
        hip=mix(0.062, 0.06, 0.15) * (0.7 + 0.3 * thick),
        upper_arm=upper_arm,
        forearm=arm - upper_arm,
        thigh=thigh,
        shin=rest - trunk - thigh,
        ankle=ankle,
        arm_radius=arm_radius,
        leg_radius=mix(0.046, 0.036) * thick,
        hand_radius=arm_radius * rng.uniform(1.05, 1.5),
        waist=rng.uniform(0.78, 1.1),
        belly=max(0.0, rng.normal(0, 0.02)) * thick,
    )


def _cloth(rng: np.random.Generator, hue: float) -> Colour:
    kind = rng.random()
    if kind < 0.12:
        return hsv(hue, 0.08, rng.uniform(0.85, 1.0))
    if kind < 0.24:
        return hsv(hue, rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.35))
    return hsv(hue, rng.uniform(0.5, 0.95), rng.uniform(0.55, 1.0))


def _sample_look(rng: np.random.Generator, garment: str, pattern: str, hair_style: str, hat: str) -> Look:
    def pick(pool: tuple[str, ...]) -> str:
        return pool[int(rng.integers(len(pool)))]

    def pair(colour: Colour, chance: float) -> tuple[Colour, Colour]:
        """Both sides alike, or the left in a colour of its own, so that left and right can be told apart."""
        return (colour, _cloth(rng, rng.random())) if rng.random() < chance else (colour, colour)

    hue = rng.random()
    human = rng.random() < 0.7
    skin = (
        _SKINS[int(rng.integers(len(_SKINS)))]
        if human
        else hsv(rng.random(), rng.uniform(0.25, 0.7), rng.uniform(0.7, 1.0))
    )
    natural = rng.random() < 0.55
    hair = (
        _HAIRS[int(rng.integers(len(_HAIRS)))]
        if natural
        else hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 1.0))
    )
    top = _cloth(rng, hue)
    accent = _cloth(rng, hue + rng.choice([0.33, 0.5, 0.67]))
    bottom = _cloth(rng, hue + rng.choice([0.1, 0.25, 0.5, 0.6, 0.8]))
    gloves = rng.random() < 0.3
    return Look(
        skin=skin,
        hair=hair,
        top=top,
        accent=accent,
        bottom=bottom,
        eye=hsv(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.15, 0.6)),
        outline=hsv(rng.random(), 0.5, rng.uniform(0.08, 0.22)),
        outline_width=float(rng.choice([0.0, 0.007, 0.009, 0.011])),
        sleeves=pair(top if rng.random() < 0.7 else accent, 0.3),
        hands=pair(_cloth(rng, hue + 0.5) if gloves else skin, 0.4 if gloves else 0.1),
        legs=pair(bottom, 0.15),
        shoes=pair(_cloth(rng, hue + rng.choice([0.0, 0.3, 0.5])), 0.2),
        sleeve_length=float(rng.choice([0.0, 0.6, 1.0, 1.5, 2.0, 2.0])),
        leg_length=float(rng.choice([0.0, 0.4, 0.9]))
        if garment in ("dress", "skirt")
        else float(rng.choice([0.5, 0.9, 1.6, 2.0, 2.0])),
        shoe_height=float(rng.choice([0.05, 0.1, 0.3, 0.6])),
        garment=garment,
        pattern=pattern,
        hair_style=hair_style,
        hat=hat,
        ears=pick(EARS),
        eye_style=pick(EYES),
        mouth=pick(MOUTHS),
        head_power=float(rng.choice([2.0, 2.0, 2.3, 2.8])),
        blush=bool(rng.random() < 0.4),
        brows=bool(rng.random() < 0.5),
        collar=bool(rng.random() < 0.4),
    )
