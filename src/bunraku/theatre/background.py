"""Background: the empty stage, smooth at every resolution."""

from dataclasses import dataclass

import cv2
import numpy as np

from bunraku.theatre.shapes import Colour, Drawing, Painter, View, ellipse, hsv, pixel_centres

_SAMPLES = 4  # supersampling of the shapes' edges along either axis


@dataclass(frozen=True, eq=False)
class Background:
    """A stage: a gradient, soft waves over it, then flat shapes.

    Attributes:
        first, second: the gradient's end colours.
        angle: the gradient's direction in radians, 0 from top to bottom.
        waves: (K, 7) sines in the plane: cycles per frame in x and y, phase (radians), amplitude of R, G, B (0-255), bend.
        shapes: polygons (N, 2) with x from -0.5 to 0.5 of the frame's height around its middle (wider frames show more), y from 0
            at the top to 1 at the bottom; and their colours.
    """

    first: Colour
    second: Colour
    angle: float
    waves: np.ndarray
    shapes: tuple[tuple[np.ndarray, Colour], ...]

    def render(self, size: tuple[int, int], view: View | None = None) -> np.ndarray:
        """The stage as uint8 (F, H, W, 3) for `size` (height, width): one frame, or those of `view`.

        Under a view every pixel is computed where it looks; no finished picture is resampled.
        """
        height, width = size
        x, y = (np.arange(width) + 0.5)[None], (np.arange(height) + 0.5)[:, None]
        if view is None:
            papers = [self._paper(x, y, size)]
        else:
            looked = view.inverse()(pixel_centres(size))
            papers = [self._paper(p[:, 0].reshape(size), p[:, 1].reshape(size), size) for p in looked]
        if not self.shapes:
            return np.stack(papers)
        drawing = Drawing()
        for polygon, colour in self.shapes:
            drawing.fill(polygon[None], colour)
        painter = Painter(drawing.placed(height, (width / 2, 0), view), _SAMPLES)
        pictures = []
        for frame, paper in enumerate(papers):
            canvas = cv2.resize(paper, (width * _SAMPLES, height * _SAMPLES), interpolation=cv2.INTER_LINEAR)
            painter(canvas, frame, [colour for _, colour in self.shapes])
            pictures.append(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA))
        return np.stack(pictures)

    def _paper(self, x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Gradient and waves, uint8 (H, W, 3), at the places `x`, `y` (pixels) of a picture of `size`."""
        height, width = size
        x, y = x / height - width / height / 2, y / height
        along = np.clip(0.5 + (y - 0.5) * np.cos(self.angle) + x * np.sin(self.angle), 0, 1)[..., None]
        picture = np.array(self.first) * (1 - along) + np.array(self.second) * along
        for fx, fy, phase, *amplitude, bend in self.waves:
            picture = (
                picture
                + np.sin(2 * np.pi * (fx * x + fy * y) + phase + bend * np.sin(2 * np.pi * fy * x))[..., None]
                * amplitude
            )
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def sample_background(rng: np.random.Generator) -> Background:
    """A random stage: flat, gradient, soft noise, or shapes (hills, floor, windows, circles, stripes, curtains, sun) over these."""
    hue, dark = rng.random(), rng.random() < 0.3
    saturation = rng.uniform(0.05, 0.55)
    value = rng.uniform(0.2, 0.5) if dark else rng.uniform(0.7, 1.0)

    def tone(shift: float = 0.05) -> Colour:
        h, s, v = hue + rng.normal(0, shift), saturation + rng.normal(0, 0.08), value + rng.normal(0, 0.09)
        return hsv(h, float(np.clip(s, 0, 0.75)), float(np.clip(v, 0.12, 1)))

    first = tone()
    second = first if rng.random() < 0.3 else tone(0.1)
    waves = np.zeros((0, 7))
    if rng.random() < 0.4:
        count = int(rng.integers(2, 5))
        direction, cycles = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.4, 2.0, count)
        amplitude = rng.normal(0, 9, (count, 3)) + rng.normal(0, 5, (count, 1))
        waves = np.column_stack(
            [
                np.cos(direction) * cycles,
                np.sin(direction) * cycles,
                rng.uniform(0, 2 * np.pi, count),
                amplitude,
                rng.uniform(0, 1.2, count),
            ]
        )
    shapes: list[tuple[np.ndarray, Colour]] = []
    for kind in rng.choice(list(_SHAPES), int(rng.choice([0, 1, 1, 2, 2])), replace=False):
        shapes += [(polygon, tone(0.08)) for polygon in _SHAPES[str(kind)](rng)]
    if rng.random() < 0.5:
        horizon = rng.uniform(0.68, 0.86)
        shapes.append((_box(-4, 4, horizon, 1.1), tone(0.15)))
    return Background(first, second, float(rng.uniform(-0.8, 0.8)), waves, tuple(shapes))


def sample_studio(rng: np.random.Generator) -> Background:
    """A stage as pictures of people and drawings often have it: white or light grey, seldom dark or of one colour, with a soft gradient."""
    hue, kind = rng.random(), rng.choice(["white", "dark", "colour"], p=[0.65, 0.1, 0.25])
    saturation = rng.uniform(0.3, 0.85) if kind == "colour" else rng.uniform(0, 0.06)
    value = (
        rng.uniform(0.05, 0.35)
        if kind == "dark"
        else rng.uniform(0.35, 0.95)
        if kind == "colour"
        else rng.uniform(0.85, 1)
    )
    ends = [hsv(hue, float(saturation), float(np.clip(value * shade, 0, 1))) for shade in (1, rng.uniform(0.7, 1.05))]
    return Background(ends[0], ends[1], float(rng.uniform(-np.pi, np.pi)), np.zeros((0, 7)), ())


def _box(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _hills(rng: np.random.Generator) -> list[np.ndarray]:
    x = np.linspace(-4, 4, 161)
    hills = []
    for level in np.sort(rng.uniform(0.45, 0.8, int(rng.integers(1, 3)))):
        y = level + sum(
            rng.uniform(0.02, 0.09) * np.sin(2 * np.pi * x * rng.uniform(0.5, 1.4) + rng.uniform(0, 6.28))
            for _ in range(2)
        )
        hills.append(np.concatenate([np.stack([x, y], -1), [[4, 1.1], [-4, 1.1]]]))
    return hills


def _circles(rng: np.random.Generator) -> list[np.ndarray]:
    return [
        ellipse(rng.uniform(-0.6, 0.6), rng.uniform(0.05, 0.9), rng.uniform(0.08, 0.3), points=48)
        for _ in range(rng.integers(2, 6))
    ]


def _sun(rng: np.random.Generator) -> list[np.ndarray]:
    x, y, radius = rng.uniform(-0.35, 0.35), rng.uniform(0.12, 0.5), rng.uniform(0.1, 0.34)
    return [ellipse(x, y, radius * 1.35, points=56), ellipse(x, y, radius, points=48)]


def _stripes(rng: np.random.Generator) -> list[np.ndarray]:
    width, lean = rng.uniform(0.09, 0.2), rng.uniform(-0.5, 0.5)
    starts = np.arange(-4, 4, 2 * width) + rng.uniform(0, width)
    return [
        np.array([[x, -0.1], [x + width, -0.1], [x + width + lean, 1.1], [x + lean, 1.1]])
        for x in starts
        if abs(x) < 1.6
    ]


def _windows(rng: np.random.Generator) -> list[np.ndarray]:
    width, height, y = rng.uniform(0.16, 0.28), rng.uniform(0.2, 0.34), rng.uniform(0.08, 0.2)
    gap = rng.uniform(0.36, 0.5)
    return [_box(x - width / 2, x + width / 2, y, y + height) for x in (-gap, 0.0, gap)][:: int(rng.integers(1, 3))]


def _curtains(rng: np.random.Generator) -> list[np.ndarray]:
    y, inner = np.linspace(-0.1, 1.1, 24), rng.uniform(0.3, 0.42)
    edge = inner + 0.05 * np.sin(y * rng.uniform(3, 8) + rng.uniform(0, 6.28))
    right = np.concatenate([np.stack([edge, y], -1), [[4, 1.1], [4, -0.1]]])
    return [right, right * (-1, 1)]


def _spotlight(rng: np.random.Generator) -> list[np.ndarray]:
    x, top = rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.4)
    return [
        np.array([[top - 0.04, -0.1], [top + 0.04, -0.1], [x + 0.4, 0.95], [x - 0.4, 0.95]]),
        ellipse(x, 0.93, 0.4, 0.07, points=48),
    ]


_SHAPES = {
    "hills": _hills,
    "circles": _circles,
    "sun": _sun,
    "stripes": _stripes,
    "windows": _windows,
    "curtains": _curtains,
    "spotlight": _spotlight,
}
