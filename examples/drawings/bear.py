"""Bruno, a bear in his best clothes, in watercolour: pigment that gathers at the edges, paper that shows, a wood in the mist."""

import cv2
import numpy as np
from brush import FINE, Mask, Page, Patch, both, curve, joined, mix, noise, ramp

SIZE = (768, 960)
FLOOR = (384, 940)
JOINTS = (
    (384, 282), (384, 420), (302, 440), (214, 524), (134, 600), (466, 440), (554, 524), (634, 600),
    (334, 682), (322, 782), (314, 872), (434, 682), (446, 782), (454, 872),
    (338, 238), (430, 238), (262, 250), (506, 250),
)  # fmt: skip

PENCIL = "#4a2c1f"
FUR, MUZZLE, COAT, SCARF, TROUSERS, BOOTS = "#b9773f", "#efd6ae", "#3f7d74", "#d9503f", "#5a6a9c", "#7b4a32"
SUN = (-0.52, -0.62, 0.58)


def wash(colour: str, shade: str, depth: float, seed: int, strength: float = 1.0):
    """Watercolour: lighter to the light, shade away from it, pigment at the edge, blooms and grains."""

    def paint(patch: Patch) -> np.ndarray:
        light = patch.light(depth, SUN, 5)
        blooms, grain = patch.noise(46, seed), patch.noise(1.3, seed + 1)
        value = np.clip(0.52 - 0.62 * light + 0.10 * blooms, 0, 1) * strength
        tone = mix(mix(colour, "#fff4dc", np.clip(0.34 * (light - 0.45) / 0.55, 0, 1)), shade, value)
        edge = np.exp(-np.maximum(patch.inside, 0) / 3.2) * (0.30 + 0.10 * blooms)
        tone = mix(tone, mix(shade, PENCIL, 0.25), np.clip(edge, 0, 0.6))
        return np.asarray(tone + 5.0 * grain[..., None])

    return paint


def furred(
    page: Page,
    mask: Mask,
    seed: int,
    middle: tuple[float, float],
    colour: str = PENCIL,
    count: int = 220,
    length: float = 13,
) -> None:
    """Little strokes of the brush, away from a middle."""
    rng = np.random.default_rng(seed)
    y, x = np.nonzero(mask[::FINE, ::FINE] > 127)
    strokes = np.zeros_like(mask)
    for i in rng.integers(0, len(x), count):
        turn = np.arctan2(y[i] - middle[1], x[i] - middle[0]) + 0.25 * rng.standard_normal()
        step = 0.5 * length * rng.uniform(0.6, 1.2) * np.array([np.cos(turn), np.sin(turn)])
        droop = np.array([0, 0.25 * length])
        at = np.array([x[i], y[i]]) + np.array([-step, 0 * step, step + droop])
        points = np.rint(curve(at) * FINE * 16).astype(np.int32)
        cv2.polylines(strokes, [points], False, int(rng.integers(90, 230)), 4, cv2.LINE_AA, 4)  # type: ignore[call-overload]
    page.paint(strokes, colour, 0.34, within=mask)


def drawn(page: Page, mask: Mask, colour: str, shade: str, depth: float, seed: int, width: float = 2.6) -> None:
    """A wash within a pencil line."""
    page.paint(mask, wash(colour, shade, depth, seed))
    page.outline(mask, width, PENCIL, lively=0.5, seed=seed, opacity=0.85)


def draw() -> tuple[np.ndarray, Page]:
    page = Page(*SIZE)
    joint = dict(enumerate(np.array(JOINTS, float)))

    # --- legs and boots ---
    for hip, knee, ankle, out in ((8, 9, 10, -1), (11, 12, 13, 1)):
        h, k, a = joint[hip], joint[knee], joint[ankle]
        leg = page.tube(
            [h + (out * -2, -6), (h + k) / 2 + (out * 4, 0), k + (out * 2, 0), (k + a) / 2, a], [118, 112, 102, 96, 90]
        )
        drawn(page, leg, TROUSERS, "#2f3a66", 46, 11 + hip)
        for t in (-24, 4, 30):
            page.paint(
                both(leg, page.stroke([(k[0] + t, 690), (k[0] + t + out * 2, 770), (k[0] + t, 850)], 2.4)),
                "#e7e3da",
                0.35,
            )
        boot = joined(
            page.tube([a + (0, -26), a + (0, 40)], [98, 96], flat=True),
            page.blob(
                (a[0] - out * 48, 880),
                (a[0] + out * 40, 874),
                (a[0] + out * 84, 900),
                (a[0] + out * 92, 930),
                (a[0] + out * 84, 940),
                (a[0] + out * 84, 940),
                (a[0] - out * 50, 940),
                (a[0] - out * 50, 940),
            ),
        )
        drawn(page, boot, BOOTS, "#3f2119", 34, 31 + hip)
        sole = both(boot, page.polygon([(0, 927), (768, 927), (768, 960), (0, 960)]))
        page.paint(sole, "#2c1712", 0.75)
        for row in (872, 888, 904):
            page.paint(page.stroke([(a[0] + out * 8, row), (a[0] + out * 34, row + 4)], 3.4), "#efd6ae", 0.9)
        cuff = page.tube([a + (-46, -27), a + (0, -20), a + (46, -27)], [24, 26, 24])
        drawn(page, cuff, MUZZLE, "#b58a58", 12, 41 + hip)

    # --- coat ---
    trunk = page.blob(
        (300, 408),
        (384, 396),
        (462, 408),
        (488, 450),
        (496, 540),
        (510, 640),
        (524, 716),
        (528, 716),
        (456, 736),
        (384, 742),
        (312, 736),
        (244, 716),
        (244, 716),
        (258, 640),
        (272, 540),
        (280, 450),
    )
    sleeves = {}
    for s, e, w in ((2, 3, 4), (5, 6, 7)):
        a, b, c = joint[s], joint[e], joint[w]
        sleeves[s] = page.tube([a + (0, 8), (a + b) / 2, b, (b + c) / 2, c], [90, 90, 84, 80, 76], flat=True)
        sleeves[e] = page.ellipse(*(a + (0, 8)), 45, 45)
    # paws
    for e, w, out in ((3, 4, -1), (6, 7, 1)):
        c, along = joint[w], (joint[w] - joint[e]) / np.linalg.norm(joint[w] - joint[e])
        across = np.array([along[1], -along[0]]) * out * -1
        paw = joined(
            page.ellipse(*(c + 34 * along), 42, 46, np.degrees(np.arctan2(along[1], along[0])) - 90),
            page.tube(
                [c + 16 * along - 26 * across, c + 34 * along - 50 * across, c + 52 * along - 54 * across], [36, 34, 26]
            ),
            *(
                page.ellipse(*(c + reach * along + side * across), 16, 19)
                for side, reach in ((-25, 66), (-2, 74), (21, 68))
            ),
        )
        drawn(page, paw, FUR, "#5f3318", 32, 51 + e)
        furred(page, paw, 61 + e, tuple(c), count=70, length=9)
        for side in (-13, 10):
            page.paint(
                page.stroke([c + 58 * along + side * across, c + 74 * along + side * 1.1 * across], 2.8), PENCIL, 0.8
            )
    coat = joined(trunk, *sleeves.values())
    page.paint(coat, wash(COAT, "#173f46", 62, 71))
    # tweed
    y, x = (np.indices(page.size, np.float32) + 0.5) / FINE
    weave = (np.sin(2 * np.pi * (x + y) / 15) * np.sin(2 * np.pi * (x - y) / 15) > 0.55).astype(np.uint8) * 255
    page.paint(both(coat, cv2.GaussianBlur(weave, (0, 0), 2)), "#a9cdb9", 0.30)
    page.outline(coat, 2.8, PENCIL, lively=0.5, seed=72, opacity=0.85)
    for out in (-1, 1):
        page.paint(
            page.stroke([(384 + out * 94, 560), (384 + out * 98, 534), (384 + out * 106, 516)], 3, (0.2, 0.1)),
            PENCIL,
            0.4,
        )
    for e, w in ((3, 4), (6, 7)):
        b, c = joint[e], joint[w]
        cuff = page.tube([b + 0.86 * (c - b), c + 0.03 * (c - b)], [86, 86], flat=True)
        drawn(page, cuff, SCARF, "#7a1f24", 24, 81 + e)
        fold = np.array([-(c - b)[1], (c - b)[0]]) / np.linalg.norm(c - b)
        page.paint(page.stroke([b - 26 * fold + (4, -6), b + (0, 4), b + 8 * fold + (4, 2)], 2.6), PENCIL, 0.5)
    # opening, buttons, pockets
    page.paint(page.stroke([(384, 470), (386, 600), (384, 738)], 3.0, (0.6, 0.6)), PENCIL, 0.75)
    for row in (520, 584, 648):
        button = page.ellipse(404, row, 13, 13)
        drawn(page, button, "#e8b54c", "#93601f", 8, row)
        page.paint(joined(page.ellipse(400, row, 2, 2), page.ellipse(408, row, 2, 2)), PENCIL, 0.8)
    for out in (-1, 1):
        x0 = 384 + out * 76
        pocket = page.blob(
            (x0 - 36, 622), (x0 - 36, 622), (x0 + 36, 622), (x0 + 36, 622), (x0 + 34, 678), (x0, 690), (x0 - 34, 678)
        )
        drawn(page, pocket, "#4a8b80", "#1f5153", 26, 91 + out, 2.2)
        flap = page.blob(
            (x0 - 40, 614), (x0 - 40, 614), (x0 + 40, 614), (x0 + 40, 614), (x0 + 36, 634), (x0, 642), (x0 - 36, 634)
        )
        drawn(page, flap, COAT, "#1f5153", 12, 95 + out, 2.2)

    # --- head ---
    for out in (-1, 1):
        ear = page.ellipse(384 + out * 104, 136, 50, 52, out * 20)
        drawn(page, ear, FUR, "#5f3318", 30, 101 + out)
        page.paint(page.ellipse(384 + out * 104, 144, 29, 31, out * 20), wash("#e3a98d", "#9a5440", 20, 105 + out), 0.9)
    head = page.blob(
        (384, 96), (446, 106), (496, 150), (518, 214), (528, 270), (548, 322), (548, 322), (526, 330), (528, 356), (528, 356), (502, 364), (490, 392), (490, 392), (440, 414), (384, 420),
        (328, 414), (278, 392), (278, 392), (266, 364), (240, 356), (240, 356), (242, 330), (220, 322), (220, 322), (240, 270), (250, 214), (272, 150), (322, 106),
    )  # fmt: skip
    page.paint(head, wash(FUR, "#6a3a1b", 92, 111))
    furred(page, head, 112, (384, 290), count=560, length=14)
    furred(page, both(head, page.ellipse(310, 180, 110, 90)), 113, (384, 290), "#ffedc9", 150, 13)
    page.outline(head, 2.8, PENCIL, lively=0.5, seed=114, opacity=0.85)
    for out in (-1, 1):
        page.paint(cv2.GaussianBlur(page.ellipse(384 + out * 84, 304, 30, 20), (0, 0), 14), "#e0674a", 0.5)
    muzzle = page.blob((384, 252), (430, 266), (456, 306), (444, 352), (384, 374), (324, 352), (312, 306), (338, 266))
    page.paint(muzzle, wash(MUZZLE, "#b98d5d", 44, 121))
    page.outline(muzzle, 1.8, "#8a5a38", lively=0.5, seed=122, opacity=0.6)
    nose = page.blob((384, 262), (414, 268), (420, 284), (402, 302), (384, 308), (366, 302), (348, 284), (354, 268))
    page.paint(nose, wash("#4a2a22", "#1d0f10", 18, 131))
    page.paint(cv2.GaussianBlur(page.ellipse(374, 274, 14, 5, -8), (0, 0), 4), "#ffe9d2", 0.75)
    page.paint(page.stroke([(384, 308), (384, 328)], 3.6, (0.8, 0.8)), PENCIL, 0.9)
    page.paint(page.stroke([(342, 316), (358, 337), (384, 328), (410, 337), (428, 314)], 4, (0.3, 0.3)), PENCIL, 0.9)
    for out in (-1, 1):
        x0 = 384 + out * 46
        page.paint(page.ellipse(x0, 238, 14, 17), "#20100d")
        page.paint(both(page.ellipse(x0, 238, 14, 17), page.ellipse(x0 + 2, 248, 9, 6)), "#7a4526", 0.8)
        page.paint(page.ellipse(x0 - 5, 231, 4.6, 5), "#ffffff")
        page.paint(
            page.stroke([(x0 - out * 16, 200), (x0 + out * 2, 195), (x0 + out * 22, 206)], 6, (0.2, 0.2)),
            "#5f3318",
            0.85,
        )

    # --- scarf ---
    wrap = page.blob(
        (268, 384),
        (320, 402),
        (384, 410),
        (448, 402),
        (500, 384),
        (500, 384),
        (512, 416),
        (494, 442),
        (440, 458),
        (384, 462),
        (328, 458),
        (274, 442),
        (256, 416),
        (268, 384),
    )
    end = page.tube([(330, 440), (318, 500), (322, 566)], [52, 58, 64], flat=True)
    for part, seed in ((end, 141), (wrap, 145)):
        page.paint(part, wash(SCARF, "#7a1f24", 26, seed))
        if part is end:
            for row in (500, 538):
                page.paint(both(end, page.tube([(270, row), (380, row + 3)], [11, 11])), "#f6e4c3", 0.85)
            for t in range(292, 356, 9):
                page.paint(page.stroke([(t, 562), (t - 1, 584)], 5, (0.8, 0.3)), SCARF, 0.95)
        else:
            for t in (290, 346, 412, 468):
                page.paint(
                    both(
                        wrap,
                        page.tube([(t + (t - 384) * 0.06, 376), (t, 420), (t - (t - 384) * 0.1, 470)], [11, 12, 11]),
                    ),
                    "#f6e4c3",
                    0.85,
                )
        page.outline(part, 2.6, PENCIL, lively=0.5, seed=seed, opacity=0.85)
    page.paint(page.stroke([(286, 432), (352, 446), (420, 440)], 2.6), "#7a1f24", 0.6)
    return ground(page), page


def ground(page: Page) -> np.ndarray:
    """A wood in the morning mist."""
    h, w = page.size
    y, x = (np.indices((h, w), np.float32) + 0.5) / FINE
    sky = ramp(y, (0, "#cfe3da"), (300, "#f3ecd2"), (620, "#f6e3bd"), (960, "#e9d3a0"))
    sky = mix(sky, "#fff6df", 0.75 * np.exp(-(((x - 250) / 230) ** 2 + ((y - 210) / 200) ** 2)))
    stage = Page(*SIZE)
    rng = np.random.default_rng(5)
    for depth, (colour, count, foot) in enumerate((("#bcd0bf", 9, 690), ("#93b3a2", 7, 740), ("#6d9383", 5, 790))):
        trees = np.zeros(page.size, np.uint8)
        for i in range(count):
            at = (i + 0.5 + rng.uniform(-0.3, 0.3)) * 768 / count
            if depth and abs(at - 384) < 200 + 30 * depth:
                at += np.sign(at - 384 + 1) * 190
            tall, wide = rng.uniform(330, 520) * (0.8 + 0.2 * depth), rng.uniform(54, 92)
            trees = joined(trees, page.tube([(at, foot - 60), (at, foot + 20)], [14, 18], flat=True))
            step = tall / 7.5
            for level in range(7):
                top, reach = foot - tall + level * step - 6, wide * (0.22 + 0.78 * (level + 1) / 7)
                low = top + 1.75 * step
                skirt = [
                    (at, top),
                    (at, top),
                    (at + 0.36 * reach, low - 0.55 * step),
                    (at + reach, low),
                    (at + reach, low),
                    (at + 0.4 * reach, low - 0.12 * step),
                    (at, low),
                ]
                trees = joined(trees, page.blob(*skirt, *[(2 * at - px, py) for px, py in skirt[-2:0:-1]]))
        trees = both(trees, page.polygon([(0, 0), (768, 0), (768, foot + 20), (0, foot + 20)]))

        def misty(patch: Patch, colour: str = colour, foot: float = foot, depth: int = depth) -> np.ndarray:
            blooms = patch.noise(40, 7 + depth)
            return mix(
                mix(colour, "#f6ead0", np.clip((patch.at[1] - foot + 240) / 330, 0, 0.85)),
                "#4f7c72",
                np.clip(0.10 * blooms + 0.05, 0, 0.3),
            )

        stage.paint(trees, misty, 0.9)
    meadow = stage.blob(
        (-40, 742), (140, 722), (384, 736), (620, 718), (820, 744), (820, 1000), (820, 1000), (-40, 1000), (-40, 1000)
    )
    stage.paint(
        meadow,
        lambda patch: mix(
            ramp(patch.at[1], (720, "#cfd59b"), (960, "#8fae66")),
            "#5f8a4d",
            np.clip(0.16 * patch.noise(34, 3) + 0.08 * patch.noise(3, 4), 0, 0.6),
        ),
    )
    path = stage.blob(
        (300, 742), (384, 736), (470, 742), (560, 840), (660, 1000), (660, 1000), (110, 1000), (110, 1000), (210, 840)
    )
    stage.paint(path, lambda patch: mix("#ecd7a6", "#c9a56e", np.clip(0.25 + 0.22 * patch.noise(26, 8), 0, 1)), 0.75)
    for _ in range(260):
        gx, gy = rng.uniform(0, 768), rng.uniform(760, 950)
        if abs(gx - 384) < 120 + 0.8 * (gy - 740):
            continue
        lean, tall = rng.uniform(-8, 8), rng.uniform(10, 26)
        stage.paint(
            stage.stroke([(gx, gy), (gx + lean * 0.3, gy - tall * 0.6), (gx + lean, gy - tall)], 3, (0.9, 0.1)),
            rng.choice(["#6f9450", "#547d46", "#a8bd6c"]),
            0.7,
        )
        if rng.random() < 0.1:
            stage.paint(
                stage.ellipse(gx + lean, gy - tall, 4.5, 4.5), rng.choice(["#e2604c", "#f4c95a", "#fdf6e6"]), 0.95
            )
    shadow = cv2.GaussianBlur(stage.ellipse(390, 938, 200, 16), (0, 0), 16)
    stage.paint(shadow, "#5a5334", 0.6)
    picture = sky * (1 - stage.alpha[..., None]) + stage.colour
    return np.asarray(picture + 3.2 * noise((h, w), 1.4, 21)[..., None] + 2.4 * noise((h, w), 60, 22)[..., None])
