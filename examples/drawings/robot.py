"""Tick, a robot of tin and brass: metal that mirrors a room, rivets, lamps and a dial."""

import cv2
import numpy as np
from brush import FINE, Mask, Page, Patch, both, grown, mix, moved, noise, ramp, without

SIZE = (768, 1024)
FLOOR = (384, 968)
JOINTS = (
    (384, 232), (384, 336), (274, 366), (200, 468), (134, 566), (494, 366), (568, 468), (634, 566),
    (334, 606), (322, 750), (314, 894), (434, 606), (446, 750), (454, 894),
    (340, 196), (428, 196), (282, 206), (486, 206),
)  # fmt: skip

LINE = "#131a26"
STEEL = (
    (-1.0, "#f4fbff"),
    (-0.62, "#dbe9f2"),
    (-0.30, "#a9bfcf"),
    (-0.06, "#7d95a8"),
    (0.02, "#2f4256"),
    (0.16, "#455c70"),
    (0.45, "#6d8493"),
    (0.75, "#a48f7c"),
    (1.0, "#d8b48c"),
)
TEAL = (
    (-1.0, "#e8fffb"),
    (-0.62, "#9fe6da"),
    (-0.30, "#3fb8ab"),
    (-0.06, "#1c9288"),
    (0.02, "#07494c"),
    (0.16, "#0c6163"),
    (0.5, "#188078"),
    (0.78, "#5f9a7a"),
    (1.0, "#c9b98b"),
)
BRASS = (
    (-1.0, "#fffbe0"),
    (-0.62, "#ffe48f"),
    (-0.30, "#eab747"),
    (-0.06, "#c08a26"),
    (0.02, "#5e3b10"),
    (0.16, "#7d5216"),
    (0.5, "#ab7724"),
    (0.78, "#d79a4a"),
    (1.0, "#ffcf8c"),
)
RUBBER = ((-1.0, "#6a7480"), (-0.4, "#3a434e"), (0.0, "#1d232c"), (0.6, "#262d36"), (1.0, "#4f4a48"))
RED = (
    (-1.0, "#fff0e8"),
    (-0.62, "#ff9f86"),
    (-0.30, "#ef5a44"),
    (-0.06, "#c8372d"),
    (0.02, "#5c1116"),
    (0.16, "#7c1a1c"),
    (0.5, "#a62f27"),
    (1.0, "#e88a5a"),
)


def metal(stops: tuple, depth: float, seed: int, brushed: float = 2.2):
    """What a blown up shape of metal mirrors: a bright ceiling, a dark horizon, a warm floor; and a window's gleam."""

    def paint(patch: Patch) -> np.ndarray:
        x, y, z = patch.normals(depth, 2.4)
        tone = ramp(np.clip(y * 0.92 + x * 0.38, -1, 1), *stops)
        tone = mix(tone, ramp(np.full((), -0.34), *stops), np.clip(1.25 * (z - 0.72) / 0.28, 0, 0.82))
        gleam = np.clip((-0.46 * x - 0.56 * y + 0.69 * z - 0.955) / 0.035, 0, 1)
        rim = np.clip((0.78 * x + 0.25 * y - 0.62) / 0.3, 0, 1) * np.clip(patch.inside / 2, 0, 1)
        height = patch.at[1]
        low, high = float(height.min()), float(height.max())
        tone = tone * (1.05 - 0.16 * (height - low) / max(high - low, 1))[..., None]
        tone = mix(mix(tone, "#9fd8ff", 0.42 * rim), "#ffffff", 0.85 * gleam)
        streaks = cv2.GaussianBlur(patch.noise(1.2, seed), (0, 0), sigmaX=7 * FINE, sigmaY=0.8)
        return np.asarray(tone + brushed * 9 * streaks[..., None])

    return paint


def plate(page: Page, mask: Mask, stops: tuple, depth: float, seed: int, width: float = 3.2) -> None:
    """A part of metal: its own shadow, its surface, a bright bevel and its line."""
    page.paint(mask, metal(stops, depth, seed))
    bevel = without(grown(mask, -2.2), moved(grown(mask, -2.2), 1.6, 1.8))
    page.paint(bevel, "#ffffff", 0.42)
    page.outline(mask, width, LINE)


def rivet(page: Page, x: float, y: float, r: float = 4.6) -> None:
    """The round head of a rivet."""
    page.paint(page.ellipse(x + 1, y + 1.6, r + 1.2, r + 1.2), LINE, 0.55)
    page.paint(page.ellipse(x, y, r, r), metal(BRASS, r, 1, 0))
    page.paint(page.ellipse(x - 0.3 * r, y - 0.35 * r, 0.32 * r, 0.3 * r), "#ffffff", 0.9)


def bellows(page: Page, start: np.ndarray, end: np.ndarray, width: float, seed: int, rings: int) -> Mask:
    """A limb of rubber rings from joint to joint."""
    whole = page.tube([start, end], [width * 0.86, width * 0.86])
    page.paint(whole, metal(RUBBER, width / 2.2, seed, 0.5))
    page.outline(whole, 3, LINE)
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]])
    for share in np.linspace(0.06, 0.94, rings):
        middle = start + share * (end - start)
        reach = width * 0.46
        ring = page.tube(
            [middle - reach * across, middle + 2.5 * along, middle + reach * across],
            [width * 0.2, width * 0.24, width * 0.2],
        )
        page.paint(ring, metal(RUBBER, width * 0.11, seed, 0.5))
        page.outline(ring, 2.2, LINE)
    return whole


def ball(page: Page, centre: np.ndarray, radius: float, seed: int) -> None:
    """A joint."""
    plate(page, page.ellipse(*centre, radius, radius), BRASS, radius, seed, 3)
    page.paint(page.ellipse(*centre, radius * 0.34, radius * 0.34), metal(STEEL, radius * 0.3, seed), 1)
    page.outline(page.ellipse(*centre, radius * 0.34, radius * 0.34), 2, LINE)


def draw() -> tuple[np.ndarray, Page]:
    page = Page(*SIZE)
    joint = dict(enumerate(np.array(JOINTS, float)))

    # --- legs ---
    for hip, knee, ankle, out in ((8, 9, 10, -1), (11, 12, 13, 1)):
        h, k, a = joint[hip], joint[knee], joint[ankle]
        bellows(page, h + (0, -20), k, 58, 3 + hip, 7)
        shin = page.tube([k + (0, 14), k + (out * 1, 56), a + (0, -26), a + (0, 8)], [56, 80, 86, 70], flat=True)
        plate(page, shin, TEAL, 38, 5 + hip)
        stripe = both(shin, page.tube([k + (-60, 96), k + (60, 96)], [16, 16]))
        page.paint(stripe, metal(BRASS, 9, 6))
        page.outline(stripe, 2.2, LINE)
        for t in (-24, 0, 24):
            rivet(page, k[0] + t, k[1] + 96, 3.8)
        foot = page.blob(
            (a[0] - out * 46, 958),
            (a[0] - out * 46, 958),
            (a[0] - out * 42, 918),
            (a[0] - out * 24, 898),
            (a[0] + out * 26, 894),
            (a[0] + out * 62, 908),
            (a[0] + out * 84, 936),
            (a[0] + out * 86, 958),
            (a[0] + out * 86, 958),
        )
        plate(page, foot, STEEL, 36, 7 + hip)
        sole = page.blob(
            (a[0] - out * 52, 946),
            (a[0] - out * 52, 946),
            (a[0] + out * 92, 946),
            (a[0] + out * 92, 946),
            (a[0] + out * 92, 966),
            (a[0] + out * 92, 966),
            (a[0] - out * 52, 966),
            (a[0] - out * 52, 966),
        )
        plate(page, sole, RUBBER, 10, 8 + hip)
        for t in (-18, 8, 34, 58):
            rivet(page, a[0] + out * t, 936 if t < 50 else 938, 3.4)
        ball(page, k, 33, 9 + hip)

    # --- arms ---
    for s, e, w, out in ((2, 3, 4, -1), (5, 6, 7, 1)):
        a, b, c = joint[s], joint[e], joint[w]
        along = (c - b) / np.linalg.norm(c - b)
        across = np.array([along[1], -along[0]]) * -out
        bellows(page, a, b, 50, 13 + s, 6)
        # a hand of three fingers
        for side, reach, root in ((-27, 80, -17), (-2, 90, 0), (23, 80, 17)):
            finger = page.tube(
                [
                    c + 16 * along + root * across,
                    c + 50 * along + 1.15 * side * across,
                    c + reach * along + side * across,
                ],
                [23, 22, 18],
            )
            plate(page, finger, STEEL, 11, 15 + s, 2.6)
            bend = c + 50 * along + 1.15 * side * across
            page.paint(page.stroke([bend - 10 * across, bend + 10 * across], 2.6, (0.8, 0.8)), LINE)
        thumb = page.tube(
            [c + 6 * along + 20 * across * -1, c + 26 * along - 46 * across, c + 54 * along - 52 * across], [24, 22, 17]
        )
        plate(page, thumb, STEEL, 11, 16 + s, 2.6)
        palm = page.tube([c - 2 * along, c + 32 * along], [50, 56])
        plate(page, palm, BRASS, 24, 17 + s, 2.8)
        fore = page.tube([b + 16 * along, b + 50 * along, c - 18 * along, c + 4 * along], [48, 68, 74, 60], flat=True)
        plate(page, fore, TEAL, 32, 19 + s)
        band = both(fore, page.tube([c - 16 * along - 50 * across, c - 16 * along + 50 * across], [15, 15]))
        page.paint(band, metal(BRASS, 8, 20))
        page.outline(band, 2.2, LINE)
        for t in (-22, 0, 22):
            rivet(page, *(c - 16 * along + t * across), 3.6)
        ball(page, b, 29, 21 + s)

    # --- body ---
    hips = page.blob(
        (306, 570), (306, 570), (462, 570), (462, 570), (476, 612), (452, 642), (384, 650), (316, 642), (292, 612)
    )
    plate(page, hips, STEEL, 38, 31)
    chest = page.blob(
        (286, 332),
        (384, 320),
        (482, 332),
        (506, 362),
        (502, 452),
        (484, 548),
        (468, 584),
        (384, 594),
        (300, 584),
        (284, 548),
        (266, 452),
        (262, 362),
    )
    plate(page, chest, TEAL, 74, 33, 4)
    page.outline(grown(chest, -11), 1.6, "#06383b", opacity=0.7)
    for x, y in (
        (288, 356),
        (480, 356),
        (281, 412),
        (487, 412),
        (285, 470),
        (483, 470),
        (297, 534),
        (471, 534),
        (330, 573),
        (438, 573),
        (384, 578),
        (384, 340),
        (336, 343),
        (432, 343),
    ):
        rivet(page, x, y)
    # a panel with a dial, a heart lamp and keys
    panel = page.blob((318, 378), (318, 378), (450, 378), (450, 378), (446, 500), (446, 500), (322, 500), (322, 500))
    plate(page, panel, STEEL, 13, 35)
    dial = page.ellipse(356, 420, 29, 29)
    plate(page, page.ellipse(356, 420, 33, 33), BRASS, 7, 37, 2.6)
    page.paint(
        dial, lambda patch: ramp(np.hypot(patch.at[0] - 350, patch.at[1] - 412), (0, "#fffdf0"), (36, "#e6d7ac"))
    )
    page.outline(dial, 2, LINE)
    for angle in np.radians(np.linspace(-210, 30, 9)):
        c, s = np.cos(angle), np.sin(angle)
        page.paint(page.stroke([(356 + 19 * c, 420 + 19 * s), (356 + 25 * c, 420 + 25 * s)], 2.4, (1, 1)), LINE)
    page.paint(page.stroke([(350, 426), (374, 402)], 3.6, (1, 0.2)), "#d43c2f")
    page.paint(page.ellipse(356, 420, 4, 4), LINE)
    for row in range(3):
        slot = page.tube([(402, 398 + 15 * row), (436, 398 + 15 * row)], [7, 7])
        page.paint(slot, "#0d141d")
        page.outline(slot, 1.4, "#e9f4fa", opacity=0.5)
    for i, colour in enumerate(("#ff5a48", "#ffc84a", "#62e08b", "#58c8ff")):
        x = 338 + 31 * i
        page.paint(cv2.GaussianBlur(page.ellipse(x, 474, 15, 15), (0, 0), 12), colour, 0.55, within=panel)
        lamp = page.ellipse(x, 474, 9.5, 9.5)
        page.paint(
            lamp,
            lambda patch, x=x, colour=colour: mix(
                "#ffffff", colour, np.clip(np.hypot(patch.at[0] - x + 3, patch.at[1] - 471) / 9, 0, 1)
            ),
        )
        page.outline(lamp, 2.4, LINE)
    # shoulders
    for s in (2, 5):
        a = joint[s]
        plate(page, page.ellipse(*a, 33, 33), BRASS, 32, 39 + s, 3.4)
        page.outline(page.ellipse(*a, 20, 20), 2, LINE, opacity=0.55)
        rivet(page, *a, 6)

    # --- neck and head ---
    bellows(page, np.array([384.0, 330]), np.array([384.0, 282]), 74, 41, 3)
    for out in (-1, 1):
        ear = page.blob(
            (384 + out * 96, 178),
            (384 + out * 96, 178),
            (384 + out * 122, 186),
            (384 + out * 128, 212),
            (384 + out * 122, 238),
            (384 + out * 96, 246),
            (384 + out * 96, 246),
        )
        plate(page, ear, BRASS, 17, 43)
        bolt = page.tube([(384 + out * 124, 212), (384 + out * 140, 212)], [17, 17])
        plate(page, bolt, RED, 9, 44, 2.8)
    stalk = page.tube([(384, 108), (384, 60)], [10, 8])
    plate(page, stalk, STEEL, 5, 45, 2.6)
    page.paint(
        cv2.GaussianBlur(page.ellipse(384, 48, 26, 26), (0, 0), 22),
        "#ff6a4a",
        0.5,
        within=page.ellipse(384, 48, 23, 23),
    )
    plate(page, page.ellipse(384, 48, 17, 17), RED, 17, 46, 3)
    head = page.blob(
        (384, 98),
        (448, 104),
        (486, 136),
        (492, 212),
        (484, 268),
        (454, 294),
        (384, 300),
        (314, 294),
        (284, 268),
        (276, 212),
        (282, 136),
        (320, 104),
    )
    plate(page, head, TEAL, 62, 47, 4)
    crown = both(head, page.tube([(250, 132), (384, 122), (518, 132)], [18, 18, 18]))
    page.paint(crown, metal(BRASS, 9, 48))
    page.outline(crown, 2.4, LINE)
    for x, y in ((308, 129), (346, 125), (384, 123), (422, 125), (460, 129)):
        rivet(page, x, y, 3.8)
    visor = page.blob((300, 168), (300, 168), (384, 160), (468, 168), (468, 168), (470, 222), (384, 232), (298, 222))
    plate(page, visor, STEEL, 12, 49)
    glass = grown(visor, -8)
    page.paint(glass, lambda patch: ramp(patch.at[1], (166, "#152234"), (226, "#05080f")))
    page.outline(glass, 2, LINE)
    for out in (-1, 1):
        x = 384 + out * 44
        page.paint(cv2.GaussianBlur(page.ellipse(x, 196, 31, 27), (0, 0), 20), "#2fd3ff", 0.75, within=glass)
        page.paint(
            page.ellipse(x, 196, 21, 21),
            lambda patch, x=x: ramp(
                np.hypot(patch.at[0] - x, patch.at[1] - 196),
                (0, "#ffffff"),
                (9, "#c9f8ff"),
                (15, "#43dcff"),
                (21, "#0a8ed0"),
            ),
        )
        page.paint(page.ellipse(x - 6, 189, 5, 5), "#ffffff", 0.95)
    page.paint(both(glass, page.polygon([(330, 150), (352, 150), (322, 240), (300, 240)])), "#ffffff", 0.10)
    page.paint(both(glass, page.polygon([(360, 150), (368, 150), (338, 240), (330, 240)])), "#ffffff", 0.08)
    mouth = page.blob((332, 250), (332, 250), (384, 254), (436, 250), (436, 250), (430, 278), (384, 284), (338, 278))
    plate(page, mouth, STEEL, 9, 50, 2.8)
    for x in range(346, 430, 13):
        page.paint(page.stroke([(x, 258), (x + (384 - x) * 0.03, 276)], 4, (0.8, 0.8)), "#0d141d")
    return ground(page), page


def ground(page: Page) -> np.ndarray:
    """A workshop's wall at night, a lamp behind, a floor that mirrors."""
    h, w = page.size
    y, x = (np.indices((h, w), np.float32) + 0.5) / FINE
    wall = ramp(
        np.hypot((x - 384) * 1.05, (y - 400) * 0.85),
        (0, "#f2c98a"),
        (170, "#d99a63"),
        (340, "#9a5f52"),
        (560, "#4c3245"),
        (800, "#2a2138"),
    )
    floor = ramp(y, (840, "#4a3342"), (930, "#6b4a4a"), (1024, "#2d2235"))
    floor = mix(floor, "#f0b878", 0.5 * np.exp(-(((x - 384) / 260) ** 2 + ((y - 930) / 60) ** 2)))
    edge = np.clip((y - 820) / 110, 0, 1) ** 1.5
    picture = mix(wall, floor, edge)
    shadow = cv2.GaussianBlur(page.ellipse(384, 964, 200, 15), (0, 0), 22).astype(np.float32) / 255
    picture = mix(picture, "#1a1322", 0.8 * shadow)
    return np.asarray(picture + 2.0 * noise((h, w), 2, 3)[..., None])
