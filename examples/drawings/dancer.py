"""Mila, a dancer in a long embroidered skirt, in gouache: flat, matt colour, a dry brush, no lines."""

import cv2
import numpy as np
from brush import (
    FINE,
    Mask,
    Page,
    Patch,
    curve,
    grown,
    hand,
    mirrored,
    mix,
    noise,
    ramp,
    rgb,
)

SIZE = (768, 1024)
FLOOR = (384, 964)
JOINTS = (
    (384, 204), (384, 300), (326, 312), (256, 402), (192, 486), (442, 312), (512, 402), (576, 486),
    (352, 520), (304, 708), (280, 900), (416, 520), (464, 708), (488, 900),
    (358, 184), (410, 184), (324, 192), (444, 192),
)  # fmt: skip

SKIN, HAIR, BLOUSE, VELVET, SKIRT, GOLD, LEAF, ROSE = (
    "#e9b48c",
    "#4a2a26",
    "#f7efe0",
    "#2c2447",
    "#b3273b",
    "#f2b544",
    "#4f8f6a",
    "#f06a5e",
)


def gouache(colour: str, seed: int, shade: str | None = None, depth: float = 40):
    """Matt paint: a tone for the side away from the light, with the dry edge of a brush; streaks and grains."""
    deep = mix(colour, "#1b1436", 0.34) if shade is None else rgb(shade)

    def paint(patch: Patch) -> np.ndarray:
        light = patch.light(depth, (-0.6, -0.45, 0.66), 4)
        dry = patch.noise(2.2, seed + 1)
        streaks = cv2.GaussianBlur(patch.noise(1.1, seed + 2), (0, 0), sigmaX=3, sigmaY=9 * FINE)
        edge = np.clip((0.42 - light + 0.10 * dry + 0.25 * streaks) / 0.10, 0, 1)
        tone = mix(np.broadcast_to(rgb(colour), (*patch.size, 3)), deep, 0.75 * edge)
        high = np.clip((light - 0.9 + 0.06 * dry) / 0.06, 0, 1)
        return np.asarray(mix(tone, "#fff6e2", 0.16 * high) + (3.4 * patch.noise(1.2, seed) + 9 * streaks)[..., None])

    return paint


def rough(page: Page, mask: Mask, seed: int, by: float = 0.45) -> Mask:
    """A shape with the uneven edge of a brush."""
    patch = Patch(mask, margin=6 * FINE)
    result = np.zeros_like(mask)
    result[patch.box] = 255 * np.clip(
        0.5 + FINE * (patch.inside + by * patch.noise(5, seed) + 0.3 * patch.noise(1.4, seed)), 0, 1
    )
    return result


def flower(
    page: Page,
    x: float,
    y: float,
    r: float,
    colour: str,
    heart: str = GOLD,
    petals: int = 6,
    turn: float = 0.0,
    within: Mask | None = None,
) -> None:
    """A folk flower."""
    for i in range(petals):
        angle = turn + 2 * np.pi * i / petals
        page.paint(
            page.ellipse(
                x + 0.58 * r * np.cos(angle), y + 0.58 * r * np.sin(angle), 0.46 * r, 0.32 * r, np.degrees(angle)
            ),
            colour,
            within=within,
        )
    page.paint(page.ellipse(x, y, 0.3 * r, 0.3 * r), heart, within=within)


def leaf(
    page: Page, x: float, y: float, length: float, angle: float, colour: str = LEAF, within: Mask | None = None
) -> None:
    """A leaf, from its stalk."""
    c, s = np.cos(angle), np.sin(angle)

    def at(t: float, n: float) -> tuple[float, float]:
        return x + length * (t * c - n * s), y + length * (t * s + n * c)

    page.paint(
        page.blob(at(0, 0), at(0, 0), at(0.45, -0.24), at(1, 0), at(1, 0), at(0.45, 0.24)), colour, within=within
    )


def draw() -> tuple[np.ndarray, Page]:
    page = Page(*SIZE)
    joint = dict(enumerate(np.array(JOINTS, float)))

    # --- shoes and stockings ---
    for ankle, out in ((10, -1), (13, 1)):
        a = joint[ankle]
        page.paint(page.tube([a + (0, -60), a + (0, 36)], [44, 38]), gouache(BLOUSE, 3, depth=20))
        shoe = page.blob(
            (a[0] - out * 24, 924),
            (a[0] - out * 24, 924),
            (a[0] + out * 16, 922),
            (a[0] + out * 50, 940),
            (a[0] + out * 66, 956),
            (a[0] + out * 62, 964),
            (a[0] + out * 62, 964),
            (a[0] - out * 26, 964),
            (a[0] - out * 26, 964),
        )
        page.paint(rough(page, shoe, 5), gouache(ROSE, 6, "#a8324a", 18))
        page.paint(page.stroke([(a[0] - out * 20, 930), (a[0] + out * 16, 930)], 5, (0.8, 0.8)), GOLD)

    # --- skirt ---
    right = [(350, 462), (336, 520), (300, 640), (262, 780), (232, 890), (226, 910)]
    skirt = page.polygon(
        np.concatenate(
            [
                curve(right),
                curve([(226, 910), (300, 928), (384, 934), (468, 928), (542, 910)]),
                curve(mirrored(right, 384))[::-1],
            ]
        )
    )
    skirt = rough(page, skirt, 11)
    page.paint(skirt, gouache(SKIRT, 12, "#6f1330", 110))
    for i, t in enumerate((-0.82, -0.52, -0.2, 0.14, 0.46, 0.78)):
        fold = page.tube([(384 + 30 * t, 490), (384 + 80 * t, 680), (384 + 152 * t, 930)], [2, 9, 17 + 4 * (i % 2)])
        page.paint(rough(page, fold, 20 + i), "#7d1733", 0.5, within=skirt)

    def row(level: float, share: float) -> tuple[float, float]:
        half = float(np.interp(level, [462, 520, 640, 780, 890, 910], [34, 48, 84, 122, 152, 158]))
        return 384 + share * half, level + 22 * (level - 440) / 500 * (1 - share * share)

    def band(level: float, width: float, colour: str, opacity: float = 1.0) -> None:
        line = [row(level, share) for share in np.linspace(-1.06, 1.06, 15)]
        page.paint(rough(page, page.tube(line, [width], steps=4), int(level)), colour, opacity, within=skirt)

    band(903, 22, GOLD), band(903, 12, VELVET), band(800, 9, GOLD), band(786, 4, "#f7d9a0"), band(646, 7, GOLD)
    for share in np.linspace(-0.95, 0.95, 25):
        x, y = row(903, share)
        page.paint(page.polygon([(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)]), GOLD, within=skirt)
    for i, share in enumerate(np.linspace(-0.86, 0.86, 7)):
        x, y = row(852, share)
        for side in (-1, 1):
            leaf(page, x, y + 6, 34, np.pi / 2 + side * 1.15, within=skirt)
            leaf(page, x, y - 4, 25, -np.pi / 2 + side * 0.9, "#76b183", within=skirt)
        flower(page, x, y, 25, ROSE if i % 2 else BLOUSE, GOLD, 7, 0.3 * i, skirt)
        page.paint(page.ellipse(x, y, 3.4, 3.4), SKIRT, within=skirt)
    for i, share in enumerate(np.linspace(-0.9, 0.9, 11)):
        x, y = row(724, share)
        flower(page, x, y + 6 * (-1) ** i, 13, (GOLD, BLOUSE, ROSE)[i % 3], VELVET, 5, 0.5 * i, skirt)
        leaf(page, x + 6, y + 16, 17, 0.9, within=skirt)
    for share in np.linspace(-0.8, 0.8, 8):
        x, y = row(590, share)
        page.paint(page.ellipse(x, y, 4.4, 4.4), GOLD, within=skirt)
        page.paint(page.ellipse(*row(560, share + 0.1), 3, 3), BLOUSE, within=skirt)

    # --- apron ---
    apron = page.polygon(
        np.concatenate(
            [
                curve([(362, 472), (352, 560), (338, 700), (334, 812)]),
                curve([(334, 812), (384, 826), (434, 812)]),
                curve([(434, 812), (430, 700), (416, 560), (406, 472)]),
            ]
        )
    )
    apron = rough(page, apron, 31)
    page.paint(apron, gouache(BLOUSE, 32, "#d9c7b6", 30))
    for level, colour in ((790, SKIRT), (774, GOLD), (640, GOLD)):
        page.paint(page.tube([(320, level), (384, level + 12), (448, level)], [8, 8]), colour, within=apron)
    for x, y, r, colour in ((384, 722, 25, SKIRT), (358, 752, 13, GOLD), (410, 752, 13, GOLD), (384, 672, 12, ROSE)):
        for side in (-1, 1):
            leaf(page, x, y, r * 1.7, np.pi / 2 + side * 1.0, within=apron)
        flower(page, x, y, r, colour, GOLD if colour != GOLD else SKIRT, 7, 0.2, apron)
    page.paint(page.stroke([(384, 690), (384, 660), (384, 612)], 4, (0.8, 0.3)), LEAF, within=apron)
    for y in (612, 590, 568):
        page.paint(page.ellipse(384, y, 4, 5), ROSE)

    # --- hands and sleeves ---
    for e, w, thumb in ((3, 4, -1), (6, 7, 1)):
        shape, lines = hand(page, tuple(joint[w]), tuple(joint[e]), 78, thumb, 0.9)
        page.paint(rough(page, shape, 41, 0.4), gouache(SKIN, 42, "#c5815f", 13))
        for line in lines:
            page.paint(page.stroke(line, 2.6, (0.5, 0.8)), "#a9644a", 0.9)
    for s, e, w in ((2, 3, 4), (5, 6, 7)):
        a, b, c = joint[s], joint[e], joint[w]
        sleeve = page.tube([a + (0, 6), (a + b) / 2, b, (b + c) / 2 + (0, 2), c], [56, 72, 66, 58, 30])
        page.paint(rough(page, sleeve, 43 + s), gouache(BLOUSE, 44, "#cdb9b4", 30))
        along = (c - b) / np.linalg.norm(c - b)
        across = np.array([-along[1], along[0]])
        for t in (-0.5, 0.05, 0.5):
            page.paint(
                page.stroke([c - 40 * along + 24 * t * across, c - 14 * along + 16 * t * across], 3, (0.1, 0.8)),
                "#bfa6a4",
                0.9,
            )
        cuff = page.tube([c - 9 * along, c + 3 * along], [34, 34], flat=True)
        page.paint(rough(page, cuff, 47, 0.4), gouache(SKIRT, 48, depth=10))
        page.paint(page.stroke([c - 3 * along - 14 * across, c - 3 * along + 14 * across], 3.4, (0.8, 0.8)), GOLD)
        for t in (-0.32, 0.0, 0.32):
            flower(
                page,
                *(
                    a
                    + (0.46 + 0.16 * t) * (b - a)
                    + 44 * t * np.array([-(b - a)[1], (b - a)[0]]) / np.linalg.norm(b - a)
                ),
                9 - abs(4 * t),
                SKIRT,
                GOLD,
                6,
            )

    # --- neck, blouse, bodice ---
    page.paint(page.tube([(384, 250), (384, 322)], [44, 52]), gouache(SKIN, 51, "#c5815f", 20))
    page.paint(page.ellipse(386, 262, 26, 16), "#bd7a59", 0.75)
    blouse = page.blob(
        (328, 292),
        (356, 312),
        (384, 326),
        (412, 312),
        (440, 292),
        (464, 310),
        (452, 380),
        (384, 420),
        (316, 380),
        (304, 310),
    )
    page.paint(rough(page, blouse, 53), gouache(BLOUSE, 54, "#cdb9b4", 34))
    bodice = page.blob(
        (324, 334),
        (324, 334),
        (352, 352),
        (384, 366),
        (416, 352),
        (444, 334),
        (444, 334),
        (446, 380),
        (424, 440),
        (420, 478),
        (420, 478),
        (384, 496),
        (384, 496),
        (348, 478),
        (348, 478),
        (344, 440),
        (322, 380),
    )
    page.paint(rough(page, bodice, 55), gouache(VELVET, 56, "#171030", 34))
    page.outline(grown(bodice, -6), 3, GOLD, opacity=0.95)
    for i in range(5):
        y = 384 + 20 * i
        for side in (-1, 1):
            page.paint(page.stroke([(384 - side * 13, y), (384 + side * 13, y + 14)], 3.2, (0.8, 0.8)), ROSE)
    for out in (-1, 1):
        flower(page, 384 + out * 38, 382, 12, ROSE, GOLD, 6)
        leaf(page, 384 + out * 38, 394, 16, np.pi / 2 + out * 0.2)
        flower(page, 384 + out * 28, 432, 8, BLOUSE, GOLD, 6)
    sash = page.blob((344, 468), (384, 484), (424, 468), (424, 468), (426, 486), (384, 504), (342, 486), (342, 486))
    page.paint(rough(page, sash, 57), gouache(GOLD, 58, depth=12))
    for i, colour in enumerate((ROSE, GOLD, ROSE, BLOUSE, ROSE, GOLD, ROSE)):
        x = 384 + (i - 3) * 13.0
        page.paint(page.ellipse(x, 318 + 10 * (1 - ((x - 384) / 44) ** 2), 6.4, 6.4), colour)

    # --- head ---
    back = page.blob(
        (384, 98),
        (440, 112),
        (462, 160),
        (458, 214),
        (432, 250),
        (384, 260),
        (336, 250),
        (310, 214),
        (306, 160),
        (328, 112),
    )
    page.paint(rough(page, back, 61), gouache(HAIR, 62, "#2c1618", 40))
    for out in (-1, 1):
        braid = [(384 + out * 66, 226), (384 + out * 76, 262), (384 + out * 70, 300), (384 + out * 62, 340)]
        for i in range(7):
            t = i / 6
            x, y = (np.interp(t, [0, 0.33, 0.66, 1], [p[k] for p in braid]) for k in (0, 1))
            page.paint(
                rough(page, page.ellipse(x, y, 14 - 4 * t, 12, 28 * (-1) ** i), 63 + i, 0.4),
                gouache(HAIR if i % 2 else "#5d3630", 64 + i, "#2c1618", 9),
            )
        page.paint(page.ellipse(384 + out * 61, 346, 9, 6), SKIRT)
        page.paint(page.tube([(384 + out * 61, 350), (384 + out * 60, 372)], [9, 15]), gouache(HAIR, 71, "#2c1618", 6))
    face = page.blob(
        (384, 122),
        (430, 132),
        (446, 176),
        (440, 218),
        (414, 252),
        (384, 264),
        (354, 252),
        (328, 218),
        (322, 176),
        (338, 132),
    )
    page.paint(rough(page, face, 73, 0.4), gouache(SKIN, 74, "#cf8f69", 40))
    for out in (-1, 1):
        page.paint(cv2.GaussianBlur(page.ellipse(384 + out * 36, 222, 16, 12), (0, 0), 9), "#e0584e", 0.6, within=face)
        x = 384 + out * 26
        page.paint(page.stroke([(x - 14, 190), (x, 182), (x + 14, 190)], 6, (0.3, 0.3)), "#2c1618")
        page.paint(page.ellipse(x, 191, 7.4, 8.6), "#2c1618")
        page.paint(page.ellipse(x - 2.6, 188, 2.4, 2.6), "#fff6e2")
        page.paint(page.stroke([(x + out * 9, 188), (x + out * 19, 180)], 3, (0.9, 0.1)), "#2c1618")
        page.paint(page.stroke([(x - out * 13, 168), (x, 163), (x + out * 15, 168)], 5, (0.3, 0.2)), HAIR)
        hoop = page.ellipse(384 + out * 64, 226, 8, 9)
        page.outline(hoop, 3.4, GOLD)
    page.paint(page.stroke([(382, 206), (389, 214), (380, 217)], 3, (0.3, 0.4)), "#b8694c")
    page.paint(
        page.blob((366, 232), (366, 232), (378, 228), (384, 231), (390, 228), (402, 232), (402, 232), (384, 243)),
        "#c23b42",
    )
    page.paint(page.stroke([(366, 232), (384, 235), (402, 232)], 2.2), "#8b2233")
    fringe = page.blob(
        (384, 106),
        (434, 118),
        (456, 164),
        (454, 208),
        (454, 208),
        (440, 176),
        (412, 148),
        (384, 136),
        (384, 136),
        (356, 148),
        (328, 176),
        (314, 208),
        (314, 208),
        (312, 164),
        (334, 118),
    )
    page.paint(rough(page, fringe, 75), gouache(HAIR, 76, "#2c1618", 26))
    page.paint(page.stroke([(384, 110), (384, 136)], 3, (0.6, 0.2)), "#2c1618", 0.7)
    # --- wreath ---
    wreath = [(314 + 140 * t, 150 - 46 * np.sin(np.pi * t)) for t in np.linspace(0, 1, 12)]
    for i, (x, y) in enumerate(wreath):
        for side in (-1, 1):
            leaf(page, x, y, 26, -np.pi / 2 + (i - 5.5) * 0.24 + side * 0.8, LEAF if side > 0 else "#76b183")
    for i, (x, y) in enumerate(wreath):
        flower(
            page, x, y - 2, (16, 21, 14)[i % 3], (ROSE, BLOUSE, GOLD)[i % 3], GOLD if i % 3 < 2 else SKIRT, 6, 0.4 * i
        )
    return ground(page), page


def ground(page: Page) -> np.ndarray:
    """A summer night with a moon, hills, and flowers to both sides."""
    h, w = page.size
    y, x = (np.indices((h, w), np.float32) + 0.5) / FINE
    dry = noise((h, w), 3, 1)
    sky = ramp(
        y + 10 * noise((h, w), 60, 2) + 2 * dry, (0, "#27305f"), (380, "#4a5a8c"), (700, "#8f8fae"), (800, "#c9a5a0")
    )
    moon = np.hypot(x - 384, y - 412)
    sky = mix(sky, "#f4e3b6", 0.92 * np.clip((332 - moon + 1.2 * dry) / 2, 0, 1))
    sky = mix(sky, "#fff3d2", 0.16 * np.clip((276 - moon + 2 * dry) / 2, 0, 1))
    stage = Page(*SIZE)
    rng = np.random.default_rng(2)
    for _ in range(46):
        sx, sy = rng.uniform(0, 768), rng.uniform(0, 600)
        if np.hypot(sx - 384, sy - 412) > 350:
            r = rng.uniform(1.2, 3.4)
            stage.paint(
                stage.polygon(
                    [
                        (sx, sy - 2 * r),
                        (sx + 0.5 * r, sy - 0.5 * r),
                        (sx + 2 * r, sy),
                        (sx + 0.5 * r, sy + 0.5 * r),
                        (sx, sy + 2 * r),
                        (sx - 0.5 * r, sy + 0.5 * r),
                        (sx - 2 * r, sy),
                        (sx - 0.5 * r, sy - 0.5 * r),
                    ]
                ),
                "#fff3d2",
                0.9,
            )
    for level, colour, seed in ((740, "#6a7796", 3), (810, "#566c88", 4), (890, "#435a76", 5)):
        hill = rough(
            stage,
            stage.blob(
                (-40, level),
                (150, level - 30),
                (384, level + 14),
                (610, level - 26),
                (810, level + 6),
                (810, 1100),
                (810, 1100),
                (-40, 1100),
                (-40, 1100),
            ),
            seed,
            1.2,
        )
        stage.paint(
            hill,
            lambda patch, colour=colour, seed=seed, level=level: mix(
                np.broadcast_to(rgb(colour), (*patch.size, 3)),
                "#1c2c40",
                np.clip(0.1 * patch.noise(8, seed) + (patch.at[1] - level) / 500, 0, 0.6),
            ),
        )
    for side in (-1, 1):
        for i in range(6):
            base, tall = 384 + side * (250 + 26 * i), rng.uniform(90, 250)
            top = base + side * rng.uniform(-8, 16)
            stage.paint(
                stage.stroke(
                    [(base, 1030), ((base + top) / 2 + 6, 1030 - tall / 2), (top, 1030 - tall)], 5, (0.9, 0.4)
                ),
                LEAF,
                0.9,
            )
            for t in (0.3, 0.5, 0.7):
                for lean in (-1, 1):
                    leaf(stage, base + (top - base) * t, 1030 - tall * t, 30, -np.pi / 2 + lean * 0.9, "#3f7a62")
            flower(
                stage,
                top,
                1030 - tall,
                rng.uniform(17, 27),
                (ROSE, BLOUSE, GOLD, "#8aa3d8")[(i + (side > 0)) % 4],
                GOLD if i % 4 != 2 else SKIRT,
                7,
                i,
            )
    shadow = cv2.GaussianBlur(stage.ellipse(386, 956, 190, 15), (0, 0), 10)
    stage.paint(shadow, "#141d2e", 0.75)
    return np.asarray(sky * (1 - stage.alpha[..., None]) + stage.colour + (2.2 * dry)[..., None])
