"""Textures: procedural pictures with the statistics of photographs, and what cameras and files do to them."""

import cv2
import numpy as np


def to_bytes(light: np.ndarray) -> np.ndarray:
    """0 to 1 -> uint8, clipped."""
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)


def noise_field(rng: np.random.Generator, side: int, slope: float) -> np.ndarray:
    """Gaussian noise float (side, side) with amplitudes that fall with frequency ** -`slope`; unit deviation, mean 0."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    radius = np.sqrt(fy**2 + fx**2)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) * radius**-slope
    field = np.fft.irfft2(spectrum, (side, side))
    return (field / max(field.std(), 1e-9)).astype(np.float32)


def palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` colours float (count, 3) that share a tint, with natural contrast: much brightness, less hue."""
    tint = rng.uniform(0.25, 0.75, 3) * 0.3 + 0.35 + rng.normal(0, 0.05, 3)
    brightness = rng.normal(0, rng.uniform(0.1, 0.3), (count, 1))
    return np.clip(tint + brightness + rng.normal(0, rng.uniform(0.02, 0.15), (count, 3)), 0, 1)


def dead_leaves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Textured shapes of all sizes that cover each other: edges and spectrum as in photographs (Lee, Mumford and Huang 2001)."""
    samples = 2
    size = side * samples
    count = int(rng.integers(120, 700))
    smallest, largest = rng.uniform(0.006, 0.03), rng.uniform(0.15, 0.5)
    # Radii with density r^-3 between the two.
    radii = size / np.sqrt(rng.uniform(largest**-2, smallest**-2, count))
    order = np.zeros((size, size, 3), np.uint8)
    for number, radius in enumerate(radii, 1):
        code = (number % 256, number // 256, 0)
        cv2.fillPoly(order, [_leaf(rng, radius, size)], code)
    leaves = order[..., 0].astype(np.int32) + 256 * order[..., 1].astype(np.int32)
    colours = palette(rng, count + 1).astype(np.float32)
    picture = colours[leaves]
    roughness = (rng.exponential(0.04, count + 1) * (rng.random(count + 1) < 0.7)).astype(np.float32)
    fields = np.stack([noise_field(rng, size, slope) for slope in (rng.uniform(0.3, 1.0), rng.uniform(1.0, 2.0))])
    which = rng.integers(2, size=count + 1)
    grain = np.where(which[leaves] == 0, fields[0], fields[1]) * roughness[leaves]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    slope_y, slope_x = (rng.normal(0, 0.15, count + 1).astype(np.float32) for _ in range(2))
    shade = slope_y[leaves] * y + slope_x[leaves] * x
    picture = picture * (1 + shade + grain)[..., None]
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return to_bytes(picture * _lighting(rng, side))


def _leaf(rng: np.random.Generator, radius: float, size: int) -> np.ndarray:
    """One shape as int32 (N, 2): an ellipse, a polygon, a bar, or a bent blade."""
    middle, turn, flat = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1)
    kind = rng.integers(4)
    if kind == 0:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        points = np.stack([np.cos(angle), flat * np.sin(angle)], -1)
    elif kind == 1:
        angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        points = np.stack([np.cos(angle), np.sin(angle)], -1)
    elif kind == 2:
        long = rng.uniform(1, 4)
        points = np.array([[-long, -flat / 2], [long, -flat / 2], [long, flat / 2], [-long, flat / 2]])
    else:
        along = np.linspace(-2, 2, 9)
        spine = np.stack([along, rng.normal(0, 0.3) * along**2], -1)
        width = 0.25 * flat * np.cos(along * np.pi / 4)[:, None] * (0, 1)
        points = np.concatenate([spine - width, (spine + width)[::-1]])
    cos, sin = np.cos(turn), np.sin(turn)
    return np.rint(points @ np.array([[cos, sin], [-sin, cos]]) * radius + middle).astype(np.int32)


def _lighting(rng: np.random.Generator, side: int) -> np.ndarray:
    """A soft field of light (side, side, 1) round 1."""
    coarse = 1 + rng.normal(0, rng.uniform(0, 0.15), (4, 4)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]


def texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """A plain of noise, stripes, checks, cloth, hair or writing."""
    makers = (_noise, _stripes, _cloth, _hair, _writing)
    picture = makers[int(rng.integers(len(makers)))](rng, side)
    return to_bytes(picture * _lighting(rng, side))


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    colours, field = palette(rng, 3), noise_field(rng, side, rng.uniform(0.7, 1.8))
    other = noise_field(rng, side, rng.uniform(0.7, 1.8))
    picture = colours[0] + 0.35 * (field[..., None] * (colours[1] - 0.5) + other[..., None] * (colours[2] - 0.5))
    return picture.astype(np.float32)


def _waves(rng: np.random.Generator, side: int, sharp: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two fields 0 to 1 of crossed waves, bent a little, of periods from 3 to 60 pixels."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    turn, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(60)))
    bend = 8 * rng.random() * noise_field(rng, side, 2.0)
    along, across = x * np.cos(turn) + y * np.sin(turn) + bend, -x * np.sin(turn) + y * np.cos(turn) + bend
    waves = [
        np.sin(2 * np.pi * way / (period * factor)) for way, factor in ((along, 1), (across, rng.uniform(0.7, 1.4)))
    ]
    if sharp:
        waves = [np.clip(wave * period / 4, -1, 1) for wave in waves]  # an edge of about a pixel
    return 0.5 + 0.5 * waves[0], 0.5 + 0.5 * waves[1]


def _stripes(rng: np.random.Generator, side: int) -> np.ndarray:
    first, second = _waves(rng, side, sharp=True)
    colours = palette(rng, 3)
    picture = colours[0] * (1 - first[..., None]) + colours[1] * first[..., None]
    if rng.random() < 0.5:
        mix = 0.5 * second[..., None]
        picture = picture * (1 - mix) + colours[2] * mix
    return picture.astype(np.float32)


def _cloth(rng: np.random.Generator, side: int) -> np.ndarray:
    first, second = _waves(rng, side, sharp=False)
    folds = 0.15 * noise_field(rng, side, 2.2) + 0.05 * noise_field(rng, side, 0.5)
    weave = rng.uniform(0.05, 0.3) * (first * second - 0.25)
    return (palette(rng, 1)[0] * (1 + folds + weave)[..., None]).astype(np.float32)


def _hair(rng: np.random.Generator, side: int) -> np.ndarray:
    canvas = np.full((2 * side, 2 * side, 3), palette(rng, 1)[0] * 0.5, np.float32)
    colours, turn = palette(rng, 64), rng.uniform(0, 2 * np.pi)
    along = np.linspace(-1, 1, 12)
    for number in range(int(rng.integers(150, 500))):
        start, angle, bend = rng.uniform(0, 2 * side, 2), turn + rng.normal(0, 0.2), rng.normal(0, 0.15)
        local = np.stack([along, bend * along**2], -1) * rng.uniform(0.2, 0.8) * side
        cos, sin = np.cos(angle), np.sin(angle)
        points = np.rint(local @ np.array([[cos, sin], [-sin, cos]]) + start).astype(np.int32)
        colour = tuple(float(c) for c in colours[number % 64])
        cv2.polylines(canvas, [points], False, colour, int(rng.integers(1, 4)))
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def _writing(rng: np.random.Generator, side: int) -> np.ndarray:
    colours = to_bytes(palette(rng, 5)).tolist()
    canvas = np.full((2 * side, 2 * side, 3), colours[0], np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&?!"
    for _ in range(int(rng.integers(8, 40))):
        word = "".join(letters[int(i)] for i in rng.integers(len(letters), size=int(rng.integers(1, 9))))
        place = tuple(int(v) for v in rng.integers(-side // 4, 2 * side, 2))
        colour = colours[int(rng.integers(1, 5))]
        scale = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
        cv2.putText(canvas, word, place, int(rng.integers(8)), scale, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)


def wear(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """What cameras and files do to a picture, uint8 (H, W, 3): blur or sharpening, sensor noise, JPEG."""
    soft, noisy, packed = rng.random(3) < (0.3, 0.6, 0.6)
    if soft:
        blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.2)))
        amount = float(rng.uniform(-0.6, 1.0))  # below 0: sharpened
        picture = cv2.addWeighted(blurred, amount, picture, 1 - amount, 0)
    if noisy:
        deviation = rng.exponential(2.5) * (0.4 + picture / 255.0)
        grain = (rng.normal(size=picture.shape) * deviation).astype(np.float32)
        if rng.random() < 0.5:
            grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.7), np.float32) * np.float32(1.6)
        picture = to_bytes((picture + grain) / 255)
    if packed:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 98))]
        code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), quality)[1]
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(picture)
