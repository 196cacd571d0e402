"""Nova, a heroine as flat vectors with clean outlines."""

import numpy as np
from brush import FINE, Mask, Page, both, grown, hand, joined, mix, moved, ramp, without

SIZE = (768, 1024)
FLOOR = (384, 962)
MIDDLE = 384.0
JOINTS = (
    (384, 186), (384, 286), (326, 296), (242, 388), (160, 474), (442, 296), (526, 388), (608, 474),
    (351, 540), (334, 712), (318, 884), (417, 540), (436, 712), (452, 884),
    (357, 166), (411, 166), (322, 172), (446, 172),
)  # fmt: skip

INK, SKIN, BLUSH = "#2b1b3d", "#f6c39c", "#ee9478"
HAIR, SUIT, LIMBS, GOLD, CREAM, BOOTS = "#17887f", "#ee5a48", "#ee5a48", "#ffc145", "#fff3dc", "#3a2f6b"
LINE = 4.6


def shaded(page: Page, mask: Mask, colour: str, dark: str, shift=(-7.0, -5.0), width: float = LINE) -> None:
    """A flat shape with one flat shadow, away from the light, and its outline."""
    page.paint(mask, colour)
    page.paint(without(mask, moved(mask, *shift)), dark)
    page.outline(mask, width, INK)


def draw() -> tuple[np.ndarray, Page]:
    page = Page(*SIZE)
    joint = dict(enumerate(JOINTS))

    # --- hair behind ---
    tail = page.blob(
        (452, 96),
        (508, 84),
        (560, 112),
        (578, 170),
        (566, 228),
        (536, 262),
        (536, 262),
        (540, 226),
        (516, 190),
        (482, 158),
        (450, 136),
    )
    shaded(page, tail, HAIR, "#0f655f")
    page.paint(page.stroke([(484, 112), (530, 138), (548, 196)], 4), "#0f655f")
    page.paint(page.stroke([(476, 128), (512, 158), (532, 196)], 4), "#0f655f")
    back = page.blob(
        (384, 62),
        (452, 84),
        (470, 150),
        (462, 220),
        (430, 248),
        (384, 252),
        (338, 248),
        (306, 220),
        (298, 150),
        (316, 84),
    )
    page.paint(back, "#0f655f")
    page.outline(back, LINE, INK)

    # --- legs ---
    for hip, knee, ankle, out in ((8, 9, 10, -1), (11, 12, 13, 1)):
        h, k, a = joint[hip], joint[knee], joint[ankle]
        leg = page.tube(
            [(h[0] - out * 2, h[1] - 12), ((h[0] + k[0]) / 2 + out * 5, 630), k, ((k[0] + a[0]) / 2 + out * 5, 790), a],
            [86, 83, 62, 64, 44],
        )
        shaded(page, leg, "#4b3f8f", "#382d72")
        page.paint(page.stroke([(k[0] - 15, k[1] + 4), (k[0] + 2, k[1] + 10), (k[0] + 18, k[1] + 2)], 4), INK)
        shaft = page.tube(
            [(k[0] + out * 1.5, 768), ((k[0] + a[0]) / 2 + out * 4, 805), (a[0], 868), (a[0], 930)],
            [76, 72, 57, 60],
            flat=True,
        )
        foot = page.blob(
            (a[0] - out * 29, 880),
            (a[0] - out * 29, 880),
            (a[0] + out * 26, 880),
            (a[0] + out * 42, 914),
            (a[0] + out * 66, 938),
            (a[0] + out * 60, 958),
            (a[0] + out * 60, 958),
            (a[0] - out * 30, 958),
            (a[0] - out * 30, 958),
        )
        boot = joined(shaft, foot)
        shaded(page, boot, SUIT, "#c23f3d")
        sole = both(page.polygon([(0, 946), (768, 946), (768, 970), (0, 970)]), boot)
        page.paint(sole, GOLD)
        page.outline(sole, 3.2, INK)
        page.outline(boot, LINE, INK)
        cuff = page.blob(
            (k[0] - 42, 756),
            (k[0] - 42, 756),
            (k[0], 768),
            (k[0] + 44, 756),
            (k[0] + 44, 756),
            (k[0] + 40, 784),
            (k[0] + 40, 784),
            (k[0], 797),
            (k[0] - 38, 784),
            (k[0] - 38, 784),
        )
        shaded(page, cuff, GOLD, "#e79a2d")

    # --- neck ---
    neck = page.tube([(384, 230), (384, 300)], [48, 54])
    page.paint(neck, SKIN)
    page.paint(both(neck, page.ellipse(384, 228, 60, 40)), "#dc9a78")
    page.outline(neck, LINE, INK)

    # --- torso and sleeves, one piece ---
    torso = page.blob(
        (346, 272),
        (384, 282),
        (422, 272),
        (446, 280),
        (452, 304),
        (450, 350),
        (442, 400),
        (434, 440),
        (440, 480),
        (460, 530),
        (462, 566),
        (462, 566),
        (424, 584),
        (390, 596),
        (384, 600),
        (378, 596),
        (344, 584),
        (306, 566),
        (306, 566),
        (308, 530),
        (328, 480),
        (334, 440),
        (326, 400),
        (318, 350),
        (316, 304),
        (322, 280),
    )
    arms = {}
    for s, e, w in ((2, 3, 4), (5, 6, 7)):
        a, b, c = (np.array(joint[i], float) for i in (s, e, w))
        arms[s] = page.tube([a + (0, 4), (a + b) / 2, b, (b + c) / 2, c], [56, 55, 50, 48, 38])
    body = joined(torso, *arms.values())
    page.paint(body, SUIT)
    page.paint(without(body, moved(body, -7, -5)), "#c23f3d")
    shorts = both(torso, page.polygon([(280, 486), (488, 486), (488, 640), (280, 640)]))
    page.paint(shorts, BOOTS)
    page.paint(without(shorts, moved(torso, -8, -6)), "#2a2153")
    # cream chest
    chest = both(
        torso, page.blob((350, 262), (418, 262), (418, 262), (424, 334), (384, 404), (384, 404), (344, 334), (350, 262))
    )
    page.paint(chest, CREAM)
    page.paint(without(chest, moved(chest, -7, -5)), "#e9d3b1")
    page.outline(chest, 3.4, INK)
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2, 13.5, 31)
    star = page.polygon(np.stack([384 + reach * np.cos(angle), 336 + reach * np.sin(angle)], -1))
    page.paint(star, GOLD)
    page.outline(star, 3.2, INK)
    page.outline(body, LINE, INK)
    for out in (-1, 1):  # little ink where an arm leaves the body: it would stay there when the arm goes up
        page.paint(both(body, page.ellipse(384 + out * 66, 358, 17, 17)), SUIT)
    for out in (-1, 1):
        page.paint(
            page.stroke([(384 + out * 30, 452), (384 + out * 40, 442), (384 + out * 49, 438)], 3.4, (0.1, 0.8)),
            "#a92f33",
        )
    belt = both(
        torso,
        page.blob(
            (300, 474), (384, 490), (468, 474), (468, 474), (476, 504), (476, 504), (384, 522), (292, 504), (292, 504)
        ),
    )
    page.paint(belt, GOLD)
    page.paint(both(belt, page.polygon([(400, 460), (480, 460), (480, 530), (412, 530)])), "#e79a2d")
    page.outline(belt, LINE - 0.6, INK)
    buckle = page.ellipse(384, 505, 21, 18)
    shaded(page, buckle, CREAM, "#e9d3b1", (-4, -3))
    # collar
    collar = page.blob(
        (352, 260),
        (384, 290),
        (416, 260),
        (416, 260),
        (424, 278),
        (384, 318),
        (384, 318),
        (344, 278),
        (352, 260),
        (352, 260),
    )
    shaded(page, collar, GOLD, "#e79a2d", (-5, -4))

    # --- gloves ---
    for e, w, thumb in ((3, 4, -1), (6, 7, 1)):
        b, c = np.array(joint[e], float), np.array(joint[w], float)
        shape, lines = hand(page, joint[w], joint[e], 92, thumb)
        shaded(page, shape, GOLD, "#e79a2d", (-5, -4))
        for line in lines:
            page.paint(page.stroke(line, 3.8, (0.9, 0.4)), INK)
        cuff = page.tube([b + 0.62 * (c - b), b + 0.84 * (c - b), c], [62, 54, 42], flat=True)
        shaded(page, cuff, GOLD, "#e79a2d", (-6, -4))

    # --- head ---
    for out in (-1, 1):
        ear = page.ellipse(384 + out * 72, 178, 13, 19, out * -8)
        shaded(page, ear, SKIN, "#dc9a78", (-3, -3))
    face = page.blob(
        (384, 84),
        (436, 98),
        (456, 146),
        (452, 190),
        (432, 226),
        (404, 250),
        (384, 255),
        (364, 250),
        (336, 226),
        (316, 190),
        (312, 146),
        (332, 98),
    )
    page.paint(face, SKIN)
    page.paint(without(face, moved(face, -8, -4)), "#e9a984")
    page.outline(face, LINE, INK)
    for out in (-1, 1):
        page.paint(page.ellipse(384 + out * 43, 205, 15, 9), BLUSH, 0.55)
    # domino mask
    mask = both(
        grown(face, 1),
        page.blob(
            (384, 156),
            (404, 140),
            (440, 140),
            (462, 158),
            (462, 158),
            (456, 186),
            (424, 196),
            (400, 184),
            (384, 176),
            (368, 184),
            (344, 196),
            (312, 186),
            (306, 158),
            (306, 158),
            (328, 140),
            (364, 140),
        ),
    )
    page.paint(mask, BOOTS)
    page.outline(mask, 3.0, INK)
    for out in (-1, 1):
        x = 384 + out * 29
        white = page.blob(
            (x - out * 20, 170),
            (x - out * 10, 153),
            (x + out * 10, 151),
            (x + out * 21, 164),
            (x + out * 16, 180),
            (x - out * 8, 184),
        )
        page.paint(white, "#ffffff")
        eye = both(white, page.ellipse(x + 1, 168, 12.5, 15))
        page.paint(eye, HAIR)
        page.paint(both(white, page.ellipse(x + 1, 168, 7, 9)), INK)
        page.paint(page.ellipse(x - 4, 161, 4.2, 4.6), "#ffffff")
        page.outline(white, 2.4, INK)
        page.paint(
            page.stroke(
                [(x - out * 20, 168), (x - out * 8, 152), (x + out * 11, 149), (x + out * 26, 160)], 6, (0.4, 0.5)
            ),
            INK,
        )
    page.paint(page.stroke([(380, 200), (388, 206), (380, 209)], 3.4, (0.4, 0.3)), "#c27a5d")
    smile = page.blob((362, 222), (362, 222), (384, 227), (408, 219), (408, 219), (398, 238), (382, 241), (368, 234))
    page.paint(smile, "#8d2335")
    page.paint(both(smile, page.ellipse(384, 221, 22, 6)), "#ffffff")
    page.paint(both(smile, page.ellipse(386, 242, 13, 6)), "#ef6f6c")
    page.outline(smile, 3.2, INK)
    # --- hair in front ---
    fringe = page.blob(
        (384, 54),
        (444, 66),
        (474, 112),
        (474, 168),
        (462, 212),
        (462, 212),
        (450, 170),
        (440, 128),
        (440, 128),
        (410, 142),
        (362, 138),
        (340, 118),
        (340, 118),
        (328, 150),
        (318, 178),
        (308, 212),
        (308, 212),
        (292, 168),
        (294, 112),
        (324, 66),
    )
    page.paint(fringe, HAIR)
    page.paint(without(fringe, moved(fringe, -10, -7)), "#0f655f")
    shine = both(fringe, page.tube([(318, 112), (356, 84), (410, 82), (452, 108)], [3, 11, 11, 3]))
    page.paint(shine, "#5cc3b4")
    page.outline(fringe, LINE, INK)
    page.paint(page.stroke([(346, 112), (366, 92), (396, 78)], 3.6, (0.1, 0.2)), "#0f655f")
    band = page.ellipse(458, 112, 15, 24, 24)
    shaded(page, band, GOLD, "#e79a2d", (-4, -3))
    return ground(page), page


def ground(page: Page) -> np.ndarray:
    """A morning: clouds and far towers to both sides, and nothing behind the heroine that a hole could miss."""
    h, w = page.size
    y, x = (np.indices((h, w), np.float32) + 0.5) / FINE
    sky = ramp(y, (0, "#7fcbe6"), (420, "#cdeeee"), (700, "#fdf3d6"), (860, "#ffe3a6"), (1024, "#ffd184"))
    sky = mix(sky, "#fffbe6", 0.85 * np.exp(-(((x - 384) / 300) ** 2 + ((y - 560) / 380) ** 2)))
    stage = Page(*SIZE)
    for cx, cy, s in ((122, 130, 1.0), (660, 96, 0.8), (70, 330, 0.6), (716, 300, 0.62)):
        puffs = joined(
            *(
                stage.ellipse(cx + dx * s, cy + dy * s, r * s, r * s * 0.62)
                for dx, dy, r in ((-46, 8, 44), (0, -8, 60), (52, 8, 46))
            )
        )
        stage.paint(
            both(puffs, stage.polygon([(0, 0), (768, 0), (768, cy + 18 * s), (0, cy + 18 * s)])), "#ffffff", 0.95
        )
    for colour, towers in (
        ("#b9d8dc", ((0, 70, 600), (70, 44, 660), (640, 60, 640), (700, 68, 570))),
        ("#8fbcc8", ((-6, 46, 700), (42, 50, 740), (90, 34, 800), (642, 34, 810), (676, 52, 730), (728, 48, 680))),
    ):
        for left, wide, top in towers:
            tower = stage.polygon(
                [(left, top), (left + wide / 2, top - 18), (left + wide, top), (left + wide, 930), (left, 930)]
            )
            stage.paint(tower, lambda patch, colour=colour: ramp(patch.at[1], (560, colour), (940, "#ffe0a4")))
            for row in range(top + 18, 850, 30):
                for column in range(2):
                    at = left + wide * (0.24 + 0.34 * column)
                    stage.paint(
                        stage.polygon(
                            [(at, row), (at + wide * 0.18, row), (at + wide * 0.18, row + 13), (at, row + 13)]
                        ),
                        "#fff6d8",
                        0.55,
                    )
    stage.paint(stage.ellipse(384, 963, 165, 13), "#d99a4e", 0.55)
    return sky * (1 - stage.alpha[..., None]) + stage.colour
