"""Mattes: how much of every pixel each person covers, soft at the edge, and the colours of the figure alone.

The matte of a still starts from one of three proposals. A network for salient objects knows hair, hands, shoes and robes, but may take a disc
behind the figure for a part of it, or leave an arm out; the cut-out by pose and colour (`cutout`) has no idea of either; and where the two
disagree, the edges of the picture can decide (`settled`). The one is taken whose outline lies best on edges of the picture, and which best
agrees with the pose; its edge is moved onto those edges by a guided filter. In clips a figure is grown by its colours (`grown_figure`).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from PIL import Image, ImageOps

from bunraku.errors import BunrakuError
from bunraku.media import read_image
from bunraku.media.images import UNREADABLE
from bunraku.perception.cutout import CORE, body_distances, cut_out, flooded, touching
from bunraku.perception.flow import carried, checked_flow
from bunraku.perception.plate import fill
from bunraku.perception.pose import BODY, SEEN, PoseTrack

SegmenterName = Literal["auto", "u2net", "none"]

SIDE = 1024  # longest side in pixels at which edges are found
ROUGH = 256  # longest side at which distances from bodies are measured
LEAST = 0.1  # of a network that is a part of its figure; parts that hang together with no body are somebody else
MIDDLE, HELD = 0.5, 0.7  # half thicknesses of the usual body, and the share of it that a network must have found
BEYOND, MOST_BEYOND, BODY_CORE = (
    1.5,
    3.0,
    0.8,
)  # half thicknesses of the usual body: what reaches farther is odd, what lies within is it
ODD, MISSING = (
    5.0,
    30.0,
)  # units of contrast that a half thickness beyond the body on average costs, and a figure that misses all of it
LAST_RESORT = 0.5  # units by which a settled figure must be better than those that it comes from
OFF, ALIKE = (
    0.5,
    10.0,
)  # half thicknesses from the usual body, and units of CIELAB from the ground's colours, for the ground to be told as such
GROWN = 320  # longest side in pixels at which a figure is grown
SURE, UNSURE, NEAR = (
    0.9,
    0.1,
    3.0,
)  # of a network: certainly the figure where a body is near, and certainly not outside of one
GROWTH = 3  # rounds of GrabCut
CLEAR = 40.0  # contrast of a clear edge in CIELAB, as Sobel's operator gives it
FAR = 6.0  # half thicknesses of the usual body beyond which nothing is a person of a clip
LEAST_JOINTS, ROOM = 3, 0.25  # of the body, to look for it; and beyond its joints, in sizes of the box
HALO = 0.02  # of the longest side: how far a person may reach beyond what the selfie segmenter sees
STEADY = 0.6  # weight of the frame before
EDGE = 0.01  # how far the edge of a proposal is moved, in longest sides
SHARPNESS = 2.0  # of an edge
FLAT = 1e-4  # variance of colours, of 1, below which the guided filter sees no edge
PURE = 4  # power of the coverage with which a pixel counts as one of the figure alone
BLURS = (0.06, 0.008)  # in longest sides: how far a figure's colours are looked for


class Segmenter(Protocol):
    """Finds figures in a picture, whatever their pose. `name` is the backend, for the user to see."""

    name: str

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """How sure each pixel of `image`, uint8 (H, W, 3) RGB, is part of a figure: float32 (H, W) in [0, 1]."""
        ...


def create_segmenter(name: SegmenterName = "auto") -> Segmenter | None:
    """The segmenter called `name`; "auto" is the best there is, None if there is none; "none" is None.

    Raises:
        BunrakuError: unknown name, or a backend that is not installed.
    """
    from bunraku.perception.u2net import U2NetSegmenter, u2net_weights

    if name == "none" or (name == "auto" and u2net_weights() is None):
        return None
    if name not in ("auto", "u2net"):
        raise BunrakuError(f"unknown segmenter {name!r}; there are auto, u2net, none")
    return U2NetSegmenter()


class Footage:
    """A segmenter for photographed people: what the first finds and the second does not see within `HALO` is scenery, such as a chair."""

    name = "footage"

    def __init__(self, first: Segmenter, second: Segmenter) -> None:
        self._first, self._second = first, second

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """As `Segmenter`."""
        reach = 2 * max(1, round(HALO * max(image.shape[:2]))) + 1
        near = cv2.dilate(self._second(image), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        return np.asarray(np.minimum(self._first(image), near))


def create_footage_segmenter() -> Segmenter | None:
    """The best segmenter for clips of photographed people: U2Net-P within MediaPipe's, or the one of them that is installed, or None."""
    first, second = create_segmenter("auto"), None
    with suppress(BunrakuError):
        from bunraku.perception.selfie import SelfieSegmenter

        second = SelfieSegmenter()
    return Footage(first, second) if first and second else first or second


def read_matte(path: Path, size: tuple[int, int], whole: str = "reference", option: str = "--mask") -> np.ndarray:
    """A matte from a picture file: its alpha channel where that says anything, else its brightness.

    Args:
        path: the file.
        size: (height, width) of the picture that it belongs to.
        whole, option: what messages call that picture, and the option by which the file was given.

    Returns:
        uint8 (H, W), 255 where the figure covers a pixel wholly.

    Raises:
        BunrakuError: no picture, another size, or nothing in it.
    """
    matte = alpha_channel(path)
    if matte is None:
        matte = read_image(path).max(-1)
        if matte.max() == 1:  # written as 0 and 1
            matte = matte * np.uint8(255)
    if matte.shape != size:
        raise BunrakuError(
            f"the mask {path} has {matte.shape[1]}x{matte.shape[0]} px, the {whole} {size[1]}x{size[0]}: it belongs to another "
            f"picture ({option})"
        )
    if matte.max() < 128:
        raise BunrakuError(
            f"the mask {path} is empty: the figure is white in it, or opaque, and the rest is not ({option})"
        )
    return matte


def alpha_channel(path: Path) -> np.ndarray | None:
    """uint8 (H, W): what a picture file itself says of its figure; None where it is opaque throughout, or no picture.

    >>> alpha_channel(Path("nowhere.png")) is None
    True
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if not upright.has_transparency_data:
                return None
            alpha = np.asarray(upright.convert("RGBA"))[..., 3]
    except UNREADABLE:
        return None  # whoever reads the picture says what is wrong
    return alpha.copy() if alpha.min() < 128 <= alpha.max() else None


def still_mattes(image: np.ndarray, pose: PoseTrack, segmenter: Segmenter | None = None) -> np.ndarray:
    """How much each person of a still covers of every pixel.

    Args:
        image: uint8 (H, W, 3).
        pose: (1, P, 18 or 134) in pixels of the image.
        segmenter: None: pose and colour alone decide.

    Returns:
        uint8 (P, H, W), 255 where a person covers a pixel wholly; over the people they sum up to at most 255.

    Raises:
        BunrakuError: as `cutout.cut_out`.
    """
    proposals, body = [((cut_out(image, pose) > 0).astype(np.float32), 0.0)], _bodies(pose, image.shape[:2]).min(0)
    if segmenter:
        found, middle = segmenter(image), body < MIDDLE
        if np.mean(found[middle] > 0.5) > HELD:
            network = np.where(touching(found > LEAST, middle), found, 0)
            ground = (found < UNSURE) & (body > OFF)
            proposals += [(network, 0.0), (settled(image, proposals[0][0], network, ground), LAST_RESORT)]
    mattes = [(refined(image, proposal), handicap) for proposal, handicap in proposals]
    alpha, _ = max(mattes, key=lambda pair: outlined(image, pair[0]) - _odd(pair[0], body) - pair[1])
    return shared(alpha, pose)


def _odd(matte: np.ndarray, body: np.ndarray) -> float:
    """How little a matte agrees with the usual body, whose distances (H, W) are in half thicknesses; in units of `outlined`."""
    inside = matte > 0.5
    beyond = float(np.clip(body - BEYOND, 0, MOST_BEYOND)[inside].mean()) if inside.any() else 0.0
    return ODD * beyond + MISSING * float((~inside[body < BODY_CORE]).mean() if (body < BODY_CORE).any() else 0.0)


def settled(image: np.ndarray, first: np.ndarray, second: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """What two proposals agree on, and of the rest what is reached from there before it is reached from outside (`cutout.flooded`).

    Args:
        image: uint8 (H, W, 3).
        first, second: float32 (H, W) in [0, 1].
        ground: bool (H, W), where it is background if it also looks as what both call background goes on.

    Returns:
        float32 (H, W), 0 or 1.

    """
    votes = (first > 0.5).astype(np.int32) + (second > 0.5)
    marks = np.choose(votes, (1, 0, 2)).astype(np.int32)
    marks[(votes == 1) & ground & _continues(image, votes == 0)] = 1
    if not (marks == 0).any():
        return (marks == 2).astype(np.float32)
    labels = flooded(image, marks, 1)
    figure = (labels == 2).astype(np.uint8)
    dams = (labels == -1) & (cv2.dilate(figure, np.ones((3, 3), np.uint8)) > 0)
    return np.asarray((figure > 0) | dams, np.float32)


def _continues(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (H, W): where a picture looks like what is known of it, bool (H, W), continued smoothly."""
    height, width = known.shape
    factor = min(1.0, ROUGH / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    there = cv2.resize(known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    continued = cv2.resize(fill(small, ~there), (width, height), interpolation=cv2.INTER_LINEAR)
    pictures = (cv2.cvtColor(one.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for one in (image, continued))
    return np.asarray(np.linalg.norm(np.subtract(*pictures), axis=-1) < ALIKE)


def grown_figure(image: np.ndarray, pose: PoseTrack, found: np.ndarray) -> np.ndarray:
    """A figure, float32 (H, W) in [0, 1], grown by its colours (GrabCut) from what a network is sure of and from the bones of a pose.

    Args:
        image: uint8 (H, W, 3).
        pose: (1, P, K) in its pixels.
        found: float32 (H, W) of a segmenter.
    """
    height, width = found.shape
    factor = min(1.0, GROWN / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    small, sure = (cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA) for values in (image, found))
    bones, body = (_bodies(pose, size, part).min(0) for part in (0, 1))
    state = np.where((sure > 0.5) | (body < 1), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[(sure < UNSURE) & (body > BEYOND) | (body > FAR)] = cv2.GC_BGD
    state[(sure > SURE) & (body < NEAR) | (bones < CORE)] = cv2.GC_FGD
    if (state % 2 == cv2.GC_BGD).any() and (state % 2 == cv2.GC_FGD).any():
        cv2.setRNGSeed(0)  # the colour models start from k-means
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(np.ascontiguousarray(small), state, None, *models, GROWTH, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    figure = touching(state % 2 == cv2.GC_FGD, bones < CORE).astype(np.float32)
    return np.asarray(cv2.resize(figure, (width, height), interpolation=cv2.INTER_LINEAR))


def shared(alpha: np.ndarray, pose: PoseTrack) -> np.ndarray:
    """Divide the matte of all, float (H, W) in [0, 1], among the people of a pose (1, P, K): uint8 (P, H, W); each pixel goes to the one
    whose body is nearest."""
    owner = _bodies(pose, alpha.shape).argmin(0)
    levels = np.rint(255 * alpha).astype(np.uint8)
    return np.stack([np.where(owner == i, levels, 0) for i in range(pose.people)])


def _bodies(pose: PoseTrack, size: tuple[int, ...], part: int = 1) -> np.ndarray:
    """float32 (P, H, W): distance of every pixel from each person's usual body, in half thicknesses; with `part` 0 from its bones."""
    factor = min(1.0, ROUGH / max(size))
    small = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    pose = pose.scaled(small)
    found = [body_distances(pose.person(i), small)[part].clip(0, 1e6).astype(np.float32) for i in range(pose.people)]
    return np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in found])


def outlined(image: np.ndarray, matte: np.ndarray) -> float:
    """How well the outline of a matte, float (H, W), lies on edges of the picture: mean contrast along it, CIELAB, each at most `CLEAR`."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    slopes = [cv2.Sobel(lab, cv2.CV_32F, *way) for way in ((1, 0), (0, 1))]
    contrast = cv2.dilate(np.sqrt(sum((slope**2).sum(-1) for slope in slopes)), np.ones((3, 3), np.uint8))
    outline = cv2.morphologyEx((matte > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return float(np.minimum(contrast[outline], CLEAR).mean()) if outline.any() else 0.0


def refined(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Move the edge of a coarse matte, float32 (H, W) in [0, 1], onto the edges of the picture that are at most `EDGE` away."""
    band = max(2, round(EDGE * max(matte.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    inside = (matte > 0.5).astype(np.uint8)
    soft = np.clip((guided_filter(image, matte, band) - 0.5) * SHARPNESS + 0.5, 0, 1)
    soft[cv2.erode(inside, disc) > 0] = 1
    soft[cv2.dilate(inside, disc) == 0] = 0
    return soft


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, flat: float = FLAT) -> np.ndarray:
    """Smooth values except across the edges of a picture: in every window they become an affine function of its colours.

    Args:
        guide: uint8 (H, W, 3).
        values: float32 (H, W).
        radius: half the window's side in pixels.
        flat: variance of the colours (of 1) below which a window counts as flat.

    Returns:
        float32 (H, W).

    Source: He, Sun and Tang, "Guided image filtering", 2013, eq. 14-16; above `SIDE` pixels the functions are found in a smaller
    copy (He and Sun, "Fast guided filter", 2015).
    """
    height, width = values.shape
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    full = guide.astype(np.float32) / 255
    colours, small = (x if factor == 1 else cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (full, values))
    side = 2 * max(1, round(radius * factor)) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, (side, side), borderType=cv2.BORDER_REFLECT)

    middle, level = mean(colours), mean(small)
    products = colours[..., [0, 0, 0, 1, 1, 2]] * colours[..., [0, 1, 2, 1, 2, 2]]
    spread = np.concatenate([mean(products[..., :3]), mean(products[..., 3:])], -1)
    spread -= middle[..., [0, 0, 0, 1, 1, 2]] * middle[..., [0, 1, 2, 1, 2, 2]]
    joint = mean(colours * small[..., None]) - middle * level[..., None]
    slope = _solved(spread + flat * np.array([1, 0, 0, 1, 0, 1], np.float32), joint)
    slope, offset = mean(slope), mean(level - (slope * middle).sum(-1))
    if factor < 1:
        slope, offset = (cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR) for x in (slope, offset))
    return np.asarray((slope * full).sum(-1) + offset)


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x of A x = b for many symmetric 3x3 matrices, given as (..., 6): 11 12 13 22 23 33, by Cramer's rule."""
    a, b, c, d, e, f = np.moveaxis(matrix, -1, 0)
    inverse = [[d * f - e * e, c * e - b * f, b * e - c * d], [c * e - b * f, a * f - c * c, b * c - a * e], [b * e - c * d, b * c - a * e, a * d - b * b]]  # fmt: skip
    determinant = a * inverse[0][0] + b * inverse[0][1] + c * inverse[0][2]
    rows = [row[0] * right[..., 0] + row[1] * right[..., 1] + row[2] * right[..., 2] for row in inverse]
    return np.stack(rows, -1) / np.maximum(determinant, 1e-20)[..., None]


def unmixed(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The figure's own colours, without what shines through at its edge.

    Args:
        image: uint8 (H, W, 3).
        alpha: float32 (H, W) in [0, 1], what the figure covers.

    Returns:
        uint8 (H, W, 3), the image where alpha is 1, and the nearest colours of the figure outside it.

    Source: Forte, "Approximate fast foreground colour estimation", ICIP 2021: F = F' + a (I - a F' - (1 - a) B'), where F' and B' are
    averages of figure and background weighted with their coverage; far first, then near.
    """
    picture, cover = image.astype(np.float32), alpha.astype(np.float32)[..., None]
    pure, empty = cover**PURE, (1 - cover) ** PURE  # mixed pixels say little of either
    front, behind = picture, picture
    for blur in BLURS:
        sigma = max(1.0, blur * max(alpha.shape))
        near_front, near_behind = _average(front, pure, sigma), _average(behind, empty, sigma)
        rest = picture - cover * near_front - (1 - cover) * near_behind
        front, behind = np.clip(near_front + cover * rest, 0, 255), np.clip(near_behind + (1 - cover) * rest, 0, 255)
    return np.rint(front).astype(np.uint8)


def _average(colours: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    side = 2 * round(1.5 * sigma) + 1
    total = cv2.boxFilter(colours * weight, -1, (side, side), borderType=cv2.BORDER_REFLECT)
    share = cv2.boxFilter(weight, -1, (side, side), borderType=cv2.BORDER_REFLECT)[..., None]
    return np.asarray(np.where(share > 1e-4, total / np.maximum(share, 1e-4), colours))


def clip_mattes(
    frames: Iterable[np.ndarray], track: PoseTrack, segmenter: Segmenter | None = None
) -> Iterator[np.ndarray]:
    """How much each person of a clip covers of every pixel, frame by frame and without flicker.

    A segmenter looks at the part of a frame in which the people are; what it finds far from every body is not theirs. Each frame's matte is
    averaged with the one before, moved by flow, where flow can be trusted; more so the less the two differ. Frames without a
    segmenter are cut out one by one, like stills.

    Args:
        frames: uint8 (H, W, 3), those of the track, of which one at a time is kept.
        track: (F, P, K) in pixels of the frames.
        segmenter: None: pose and colour alone decide.

    Yields:
        uint8 (P, H, W) per frame, 0 where a person is not seen.
    """
    before: tuple[np.ndarray, np.ndarray] | None = None
    for frame, pose in zip(frames, track.frames(), strict=True):
        seen = [i for i in range(pose.people) if (pose.scores[0, i, BODY] >= SEEN).sum() >= LEAST_JOINTS]
        mattes = np.zeros((pose.people, *frame.shape[:2]), np.uint8)
        if not seen:
            before = None
            yield mattes
            continue
        people = PoseTrack(pose.keypoints[:, seen], pose.scores[:, seen], frame.shape[:2])
        alpha = refined(frame, _coarse(frame, people, segmenter))
        if before is not None:
            flow, trusted = checked_flow(frame, before[0])
            past, _ = carried(before[1], flow)
            share = np.where(trusted, STEADY * (1 - np.abs(past - alpha)), 0)
            alpha = (1 - share) * alpha + share * past
        before = frame, alpha.astype(np.float32)
        mattes[seen] = shared(alpha, people)
        yield mattes


def _coarse(frame: np.ndarray, people: PoseTrack, segmenter: Segmenter | None) -> np.ndarray:
    """float32 (H, W): a segmenter's figure near the bodies of people (1, P, K), or the cut-out where it misses them."""
    body = _bodies(people, frame.shape[:2]).min(0)
    if segmenter:
        top, bottom, left, right = _around(people)
        found = np.zeros(frame.shape[:2], np.float32)
        found[top:bottom, left:right] = segmenter(np.ascontiguousarray(frame[top:bottom, left:right]))
        found *= np.clip(FAR - body, 0, 1)
        if np.mean(found[body < MIDDLE] > 0.5) > HELD:
            return grown_figure(frame, people, found)
    return (cut_out(frame, people) > 0).astype(np.float32)


def _around(people: PoseTrack) -> tuple[int, int, int, int]:
    """top, bottom, left, right of the box in which people (1, P, K) are, with room for hair, hands and clothes."""
    points = people.keypoints[people.scores >= SEEN]
    low, high = points.min(0), points.max(0)
    room = ROOM * float((high - low).max())
    height, width = people.size
    left, top = np.clip(np.floor(low - room), 0, (width - 8, height - 8)).astype(int)
    right, bottom = np.clip(np.ceil(high + room), (left + 8, top + 8), (width, height)).astype(int)
    return int(top), int(bottom), int(left), int(right)
