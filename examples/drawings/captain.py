"""Captain Holm, in ink on paper: lines that swell in the shadow, and hatching where no light falls."""

from functools import partial

import cv2
import numpy as np
from brush import FINE, Mask, Page, Patch, both, grown, hand, joined, mix, moved, noise, rgb, without

SIZE = (768, 1024)
FLOOR = (384, 966)
JOINTS = (
    (384, 208), (384, 318), (306, 336), (222, 426), (142, 512), (462, 336), (546, 426), (626, 512),
    (338, 600), (328, 752), (318, 900), (430, 600), (440, 752), (450, 900),
    (354, 184), (414, 184), (310, 200), (458, 200),
)  # fmt: skip

INK, PAPER = "#1d1a22", "#f7efdc"
LINE = 3.4


def hatched(angle: float, seed: int, depth: float = 40, dark: float = 0.0, spacing: float = 6.2):
    """Paper with strokes of the pen along `angle` (degrees): closer to black the less light falls, crossed in the deepest shadow."""

    def paint(patch: Patch) -> np.ndarray:
        x, y = patch.at
        light = patch.light(depth, (-0.56, -0.5, 0.66), 4)
        dusk = np.clip(0.52 - 0.8 * light + dark + 0.05 * patch.noise(30, seed), 0, 1)
        wobble = 0.35 * patch.noise(38, seed + 1)
        cover = np.zeros(patch.size, np.float32)
        for turn, least, gain in ((angle, 0.06, 0.62), (angle + 62, 0.46, 0.66), (angle + 118, 0.82, 0.7)):
            c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            across, along = (c * x + s * y) / spacing + wobble, (c * y - s * x) / 34
            number = np.floor(across)
            breaks = 0.16 * np.sin(2 * np.pi * (along + 0.37 * number + 0.11 * number**2))
            width = np.clip(gain * (dusk - least + breaks * 0.6), 0, 0.62)
            middle = np.abs(across - number - 0.5)
            cover = np.maximum(cover, np.clip(0.5 + (0.5 * width - middle) * spacing * FINE, 0, 1) * (width > 0.02))
        return mix(PAPER, INK, 0.94 * cover)

    return paint


def inked(
    page: Page, mask: Mask, angle: float, seed: int, depth: float = 40, dark: float = 0.0, width: float = LINE
) -> None:
    """A hatched shape within its line."""
    page.paint(mask, hatched(angle, seed, depth, dark))
    page.outline(mask, width, INK, lively=0.7, seed=seed)


def black(page: Page, mask: Mask, gleam: tuple[float, float], seed: int, width: float = LINE) -> None:
    """A shape in solid black with the gleams that the pen left out."""
    page.paint(mask, INK)
    rim = without(grown(mask, -5), moved(grown(mask, -5), *gleam))

    def lit(patch: Patch) -> np.ndarray:
        return mix(INK, PAPER, np.clip(0.8 + 0.9 * patch.noise(7, seed), 0, 1))

    page.paint(rim, lit)
    page.outline(mask, width, INK, lively=0.5, seed=seed)


def pen(page: Page, *points: tuple[float, float], width: float = 2.6, ends: tuple[float, float] = (0.2, 0.2)) -> None:
    """A line."""
    page.paint(page.stroke(points, width, ends), INK)


def draw() -> tuple[np.ndarray, Page]:
    page = Page(*SIZE)
    joint = dict(enumerate(np.array(JOINTS, float)))

    # --- legs and sea boots ---
    for hip, knee, ankle, out in ((8, 9, 10, -1), (11, 12, 13, 1)):
        h, k, a = joint[hip], joint[knee], joint[ankle]
        leg = page.tube([h + (0, -20), (h + k) / 2 + (out * 4, 0), k, (k + a) / 2], [104, 98, 84, 80])
        inked(page, leg, 18 * out, 3 + hip, 44, 0.06)
        for dy, dx in ((-16, 26), (-4, 30), (10, 22)):
            pen(
                page,
                (k[0] - out * 40, k[1] + dy),
                (k[0] - out * 22, k[1] + dy + 6),
                (k[0] - out * (40 - dx), k[1] + dy + 2),
                width=2.4,
            )
        boot = joined(
            page.tube(
                [k + (out * 1, 34), (k + a) / 2 + (out * 3, 10), a + (0, -10), a + (0, 40)], [92, 88, 68, 74], flat=True
            ),
            page.blob(
                (a[0] - out * 36, 900),
                (a[0] - out * 36, 900),
                (a[0] + out * 34, 890),
                (a[0] + out * 64, 920),
                (a[0] + out * 84, 944),
                (a[0] + out * 80, 964),
                (a[0] + out * 80, 964),
                (a[0] - out * 38, 964),
                (a[0] - out * 38, 964),
            ),
        )
        black(page, boot, (-5, -3), 13 + hip)
        turnover = page.blob(
            (k[0] - 52, 778),
            (k[0] - 52, 778),
            (k[0], 788),
            (k[0] + 52, 778),
            (k[0] + 52, 778),
            (k[0] + 49, 818),
            (k[0] + 49, 818),
            (k[0], 830),
            (k[0] - 49, 818),
            (k[0] - 49, 818),
        )
        inked(page, turnover, 80, 15 + hip, 22, -0.02)
        sole = both(boot, page.polygon([(0, 950), (768, 950), (768, 980), (0, 980)]))
        page.paint(sole, PAPER)
        page.outline(sole, 2.4, INK)
        for row in (872, 884, 896):
            page.paint(page.stroke([(a[0] - 20, row), (a[0], row + 7), (a[0] + 18, row + 1)], 2.4), PAPER, 0.9)

    # --- hands ---
    for e, w, thumb in ((3, 4, -1), (6, 7, 1)):
        shape, lines = hand(page, tuple(joint[w]), tuple(joint[e]), 92, thumb, 0.8)
        inked(page, shape, 40 * thumb, 21 + e, 15, -0.08, 3.0)
        for line in lines:
            pen(page, *line, ends=(0.5, 0.8))

    # --- coat ---
    trunk = page.blob(
        (316, 308),
        (384, 300),
        (448, 308),
        (474, 340),
        (478, 420),
        (480, 520),
        (494, 590),
        (506, 640),
        (506, 640),
        (450, 653),
        (384, 658),
        (318, 653),
        (262, 640),
        (262, 640),
        (274, 590),
        (288, 520),
        (290, 420),
        (294, 340),
    )
    sleeves = []
    for s, e, w in ((2, 3, 4), (5, 6, 7)):
        a, b, c = joint[s], joint[e], joint[w]
        sleeves += [
            page.tube([a + (0, 4), (a + b) / 2, b, (b + c) / 2, c + 0.02 * (c - b)], [84, 82, 72, 68, 66], flat=True),
            page.ellipse(a[0], a[1] + 2, 42, 42),
        ]
    coat = joined(trunk, *sleeves)
    inked(page, coat, 34, 31, 52, 0.20, 4.0)
    for e, w, out in ((3, 4, -1), (6, 7, 1)):
        b, c = joint[e], joint[w]
        along = (c - b) / np.linalg.norm(c - b)
        across = np.array([-along[1], along[0]])
        cuff = page.tube([b + 0.74 * (c - b), c + 0.03 * (c - b)], [78, 76], flat=True)
        inked(page, cuff, 34, 33 + e, 24, 0.02)
        for t in (-1, 1):
            button = page.ellipse(*(c - 16 * along + (13 * t + out * -8) * across), 5, 5)
            page.paint(button, PAPER)
            page.outline(button, 2, INK)
        for t in (-14, 0, 14):
            pen(
                page,
                tuple(b + out * 33 * across + t * along),
                tuple(b + out * 14 * across + (t + 5) * along),
                width=2.8,
                ends=(0.9, 0.1),
            )
    # the front: overlap, buttons, pockets
    pen(page, (402, 404), (412, 520), (418, 655), width=3.6, ends=(0.7, 0.7))
    pen(page, (408, 408), (418, 520), (423, 653), width=1.8, ends=(0.7, 0.7))
    for row in (432, 488, 544, 600):
        for x in (346, 442):
            button = page.ellipse(x, row, 12, 12)
            page.paint(page.ellipse(x + 2.5, row + 3, 13, 13), INK, 0.85)
            page.paint(button, PAPER)
            page.outline(button, 2.6, INK)
            pen(page, (x, row - 6), (x, row + 6), width=1.8)
            pen(page, (x - 5, row + 2), (x, row - 5), (x + 5, row + 2), width=1.6)
    for out in (-1, 1):
        slit = page.tube([(384 + out * 86, 536), (384 + out * 92, 592)], [15, 15], flat=True)
        inked(page, slit, 80, 41 + out, 9, 0.0, 2.6)

    # --- jersey and collar ---
    throat = page.blob((340, 296), (428, 296), (428, 296), (412, 360), (384, 404), (384, 404), (356, 360), (340, 296))
    page.paint(throat, PAPER)
    for row in range(306, 410, 15):
        page.paint(both(throat, page.tube([(330, row), (384, row + 8), (438, row)], [7.5, 7.5])), INK)
    page.outline(throat, 2.8, INK)
    for out in (-1, 1):
        lapel = page.blob(
            (384 + out * 26, 288),
            (384 + out * 26, 288),
            (384 + out * 60, 298),
            (384 + out * 80, 332),
            (384 + out * 80, 332),
            (384 + out * 74, 374),
            (384 + out * 74, 374),
            (384 + out * 62, 366),
            (384 + out * 62, 366),
            (384 + out * 48, 404),
            (384 + out * 6, 430),
            (384 + out * 6, 430),
            (384 + out * 28, 360),
        )
        inked(page, lapel, 34 + 50 * out, 43 + out, 26, 0.02)
        pen(page, (384 + out * 62, 366), (384 + out * 44, 350), width=2.6)

    # --- head ---
    for out in (-1, 1):
        ear = page.ellipse(384 + out * 74, 206, 15, 24, -8 * out)
        inked(page, ear, 30, 51, 10, 0, 3)
        pen(page, (384 + out * 78, 194), (384 + out * 82, 204), (384 + out * 75, 214), width=2)
    face = page.blob(
        (384, 110),
        (440, 124),
        (458, 176),
        (456, 230),
        (436, 276),
        (384, 296),
        (332, 276),
        (312, 230),
        (310, 176),
        (328, 124),
    )
    inked(page, face, 52, 53, 34, -0.14)
    for out in (-1, 1):
        x = 384 + out * 30
        white = page.blob((x - 15, 186), (x, 177), (x + 15, 186), (x, 193))
        page.paint(white, PAPER)
        page.outline(white, 2, INK)
        page.paint(page.ellipse(x + 1, 185, 6.4, 7.4), INK)
        page.paint(page.ellipse(x - 1.6, 182, 2, 2.2), PAPER)
        pen(page, (x - 17, 185), (x, 175), (x + 17, 184), width=3.4)
        pen(page, (x - 12, 200), (x + 2, 203), (x + 13, 199), width=1.8)
        for t in range(-3, 5):
            bx = x + out * t * 5.4
            pen(
                page,
                (bx - out * 5, 170 - t * 0.6 + 3),
                (bx + out * 2, 162 - abs(t) * 0.5),
                (bx + out * 10, 161 + t * 1.4),
                width=4.2,
                ends=(0.6, 0.1),
            )
        for t in range(3):
            pen(page, (384 + out * (54 + 1 * t), 182 + 5 * t), (384 + out * (64 + t), 178 + 7 * t), width=1.6)
        pen(page, (384 + out * 20, 214), (384 + out * 34, 228), (384 + out * 42, 238), width=2.2)
    nose = page.blob((376, 176), (392, 176), (400, 206), (404, 220), (392, 230), (376, 230), (364, 220), (368, 206))
    page.paint(nose, hatched(60, 55, 12, -0.14))
    pen(page, (374, 192), (366, 212), (364, 222), (372, 229), width=2.8)
    pen(page, (394, 190), (402, 210), (405, 221), (396, 230), (384, 231), (374, 229), width=3.2)
    # beard: a white shape, strand by strand
    beard = page.blob(
        (310, 196),
        (310, 196),
        (322, 232),
        (346, 244),
        (384, 240),
        (422, 244),
        (446, 232),
        (458, 196),
        (458, 196),
        (470, 240),
        (464, 276),
        (464, 276),
        (458, 272),
        (452, 304),
        (452, 304),
        (438, 298),
        (428, 328),
        (428, 328),
        (412, 320),
        (400, 346),
        (400, 346),
        (388, 332),
        (376, 346),
        (376, 346),
        (360, 322),
        (342, 328),
        (342, 328),
        (332, 298),
        (316, 304),
        (316, 304),
        (312, 272),
        (304, 276),
        (304, 276),
        (298, 240),
    )
    page.paint(beard, PAPER)
    page.paint(both(beard, moved(beard, 22, 16)), hatched(84, 57, 46, -0.02, 5.2), 0.8)
    rng = np.random.default_rng(3)
    for t in np.linspace(-1, 1, 44):
        x0, y0 = 384 + 74 * t, 256 - 44 * max(0, abs(t) - 0.6) / 0.4
        tall = (96 - 40 * t * t) * rng.uniform(0.62, 1.0)
        bend = 10 * np.sin(9 * t) + 6 * rng.standard_normal()
        line = page.stroke(
            [
                (x0, y0 + rng.uniform(0, 24)),
                (x0 + bend, y0 + 0.55 * tall),
                (384 + (74 - 16 * abs(t)) * t + bend * 0.3, y0 + tall),
            ],
            2.3,
            (0.2, 0.1),
        )
        page.paint(line, INK, 0.95, within=beard)
    page.outline(beard, 3.2, INK, lively=0.5, seed=58)
    mouth = page.blob((362, 258), (384, 266), (406, 258), (398, 272), (384, 276), (370, 272))
    page.paint(mouth, INK)
    for out in (-1, 1):
        half = page.blob(
            (384, 236),
            (384, 236),
            (384 + out * 26, 236),
            (384 + out * 54, 250),
            (384 + out * 72, 240),
            (384 + out * 72, 240),
            (384 + out * 62, 266),
            (384 + out * 34, 270),
            (384 + out * 10, 260),
            (384, 262),
            (384, 262),
        )
        page.paint(half, PAPER)
        for t in range(7):
            pen(
                page,
                (384 + out * (5 + 7 * t), 242 + t),
                (384 + out * (18 + 7 * t), 252 + 0.8 * t),
                (384 + out * (34 + 6 * t), 257 - 0.6 * t),
                width=1.9,
            )
        page.outline(half, 2.8, INK, lively=0.5, seed=59)
    # --- cap ---
    crown = page.blob(
        (306, 132),
        (306, 132),
        (284, 96),
        (312, 66),
        (384, 54),
        (456, 66),
        (484, 96),
        (462, 132),
        (462, 132),
        (384, 122),
    )
    inked(page, crown, 20, 61, 36, -0.02, 3.8)
    for t in (-0.5, 0.5):
        pen(page, (384 + t * 40, 118), (384 + t * 70, 92), (384 + t * 84, 66), width=2.2)
    band = page.blob(
        (306, 128),
        (306, 128),
        (384, 116),
        (462, 128),
        (462, 128),
        (464, 158),
        (464, 158),
        (384, 148),
        (304, 158),
        (304, 158),
    )
    black(page, band, (-3, -3), 63)
    peak = page.blob(
        (312, 152),
        (312, 152),
        (384, 142),
        (456, 152),
        (456, 152),
        (470, 168),
        (470, 168),
        (430, 172),
        (384, 166),
        (338, 172),
        (298, 168),
        (298, 168),
    )
    black(page, peak, (-3, -4), 65)
    badge = page.ellipse(384, 128, 19, 17)
    page.paint(badge, PAPER)
    page.outline(badge, 2.6, INK)
    pen(page, (384, 117), (384, 139), width=3, ends=(0.8, 0.8))
    pen(page, (374, 131), (378, 138), (384, 140), (390, 138), (394, 131), width=2.6, ends=(0.6, 0.6))
    pen(page, (378, 121), (390, 121), width=2.4, ends=(0.8, 0.8))
    return ground(page), page


def ground(page: Page) -> np.ndarray:
    """Old paper, a harbour in the distance in a thin pen."""
    h, w = page.size
    y, x = (np.indices((h, w), np.float32) + 0.5) / FINE
    paper = mix(rgb("#f4ead2"), "#d9c29a", np.clip(0.55 * (np.hypot((x - 384) / 470, (y - 512) / 620) - 0.55), 0, 0.75))
    fibres = cv2.GaussianBlur(noise((h, w), 0.8, 1), (0, 0), sigmaX=6, sigmaY=1)
    paper = paper + (7 * fibres + 2.5 * noise((h, w), 50, 2) + 1.6 * noise((h, w), 0.7, 3))[..., None]
    stage, pale = Page(*SIZE), "#6d5f58"
    rng = np.random.default_rng(4)

    def thin(*points: tuple[float, float], width: float = 1.7, shade: float = 0.75, x: float = 0) -> None:
        stage.paint(stage.stroke([(px + x, py) for px, py in points], width, (0.5, 0.4)), pale, shade)

    thin((20, 720), (230, 716), width=1.8)
    thin((540, 716), (748, 720), width=1.8)
    for row in range(13):
        level = 730 + row * (7 + 1.3 * row)
        for _ in range(7):
            x0 = rng.choice([rng.uniform(24, 220), rng.uniform(548, 700)])
            long = rng.uniform(16, 60)
            thin((x0, level), (x0 + long / 2, level - 2.5), (x0 + long, level), width=1.5, shade=0.55)
    # a lighthouse and a boat, where no hand hides them
    light, boat = partial(thin, x=-68), partial(thin, x=50)
    light((104, 716), (114, 560), (114, 560))
    light((156, 716), (146, 560), (146, 560))
    light((106, 560), (154, 560))
    light((112, 548), (112, 526), (148, 526), (148, 548))
    light((108, 526), (130, 506), (152, 526))
    for t in range(6):
        light((150 - t * 0.6, 700 - 23 * t), (134 - t * 0.3, 706 - 23 * t), width=1.5)
        light((149 - t * 0.6, 690 - 23 * t), (138 - t * 0.3, 694 - 23 * t), width=1.5)
    boat((600, 706), (622, 722), (690, 722), (712, 702), (712, 702), (600, 706))
    boat((654, 704), (654, 596))
    boat((650, 602), (612, 690), (650, 694), (650, 694))
    boat((659, 610), (702, 690), (659, 694), (659, 694))
    for bx, by in ((560, 130), (612, 104), (642, 150), (150, 170), (188, 140)):
        thin((bx - 17, by - 4), (bx - 8, by - 9), (bx, by)), thin((bx, by), (bx + 9, by - 9), (bx + 18, by - 3))
    for i in range(26):
        x0 = 384 + (i - 13) * 15
        thin((x0, 958 + 5 * np.sin(i * 1.7)), (x0 + 22, 962 + 5 * np.sin(i * 1.7)), width=2.2, shade=0.7)
        if 3 < i < 22:
            thin((x0, 968), (x0 + 26, 970), width=2.2, shade=0.7)
    return np.asarray(paper * (1 - stage.alpha[..., None]) + stage.colour)
