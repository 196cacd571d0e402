"""Layers of a clip beside its poses: mattes, flow, camera, depth, things, and the plate behind the people, perceived in a second pass."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

import cv2
import numpy as np

from bunraku.cues.background_flow import unexplained
from bunraku.cues.character_region import body_masks
from bunraku.cues.cues import Cues
from bunraku.cues.depth_order import nearness
from bunraku.cues.identity import people_shown, read_identities
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media import Frames, contact_sheet
from bunraku.perception.camera import camera_motion
from bunraku.perception.depth import DepthEstimator
from bunraku.perception.flow import CheckedFlow, checked_flow
from bunraku.perception.matte import Segmenter, clip_mattes, shared
from bunraku.perception.objects import Thing, follow_object
from bunraku.perception.plate import grown, median_plate
from bunraku.perception.pose import PoseTrack
from bunraku.perception.texture import textured

logger = logging.getLogger(__name__)

SIDE = 512  # longest side at which the clip is looked at
KEPT = {"mattes": 512, "objects": 512, "flow": 128, "depth": 256}  # longest side of layers as they are kept
MOST = 2**28  # bytes of a layer; longer clips keep smaller ones
SAMPLES = 24  # frames that the plate is the median of
COVERED = 16  # of 255: more of a person's matte hides the background
COLOURS = ((255, 60, 60), (60, 120, 255), (60, 220, 90), (255, 200, 40))
RIM = 0.01  # of the longest side: what is left out round people


def perceive_layers(
    cues: Cues,
    frames: Frames,
    segmenter: Segmenter | None = None,
    *,
    things: Sequence[Thing] = (),
    depth: DepthEstimator | None = None,
    masks: Frames | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Cues:
    """The cues with `mattes`, `flow`, `camera`, `plate` and, where they are asked for, `objects` and `depth` with `nearness`.

    The frames are streamed at no more than `SIDE` pixels; of the plate's 24 samples alone more are kept. A layer takes at most 256 MB.

    Args:
        cues: of these frames, with poses.
        frames: of the clip.
        segmenter: for the mattes; None: pose and colour alone.
        things: to be followed from their frame to the end; places are in pixels of the clip.
        depth: what finds it; None: it is not looked for.
        masks: where the people are, a picture per frame: white, or everybody in the colour of `identity`; None: it is found.
        on_frame: called with the number of frames done and the number of all frames.

    Raises:
        BunrakuError: cues without poses or of other frames, or a thing that is not there.
    """
    if cues.pose is None or len(cues) != len(frames):
        raise BunrakuError(f"layers need the poses of these {len(frames)} frames; {cues.source} has {len(cues)} frames")
    check_things(things, cues.size, len(cues))
    check_masks(masks, cues.size, len(cues))
    size = _within(cues.size, SIDE)
    people = cues.pose.people
    mattes = _layer("mattes", cues, np.uint8, people)
    flows = _layer("flow", cues, np.float16, 2, last=True)
    depths = None if depth is None else _layer("depth", cues, np.float32)
    samples = set(np.linspace(0, len(cues) - 1, SAMPLES).round().astype(int).tolist())
    motions: list[np.ndarray | None] = []
    cuts: list[int] = []
    ways = [np.eye(3)]  # from the first frame, which is the plate's
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    first: tuple[np.ndarray, np.ndarray] | None = None
    shown, looked_at = _tee_last(_reduced(frames, size))
    pose = cues.pose.scaled(size)
    found = clip_mattes(shown, pose, segmenter) if masks is None else _given(shown, _reduced(masks, size), pose)
    for i, matte in enumerate(found):
        frame = looked_at[0]
        for person in range(people):
            mattes[i, person] = _resized(matte[person], mattes.shape[2:])
        # limbs that a matte has lost are no background either
        bodies = body_masks(pose[[i]], size)[0]
        hidden = grown((matte.max(0, initial=0) > COVERED) | bodies.any(0), RIM)
        if before is not None:
            motions.append(camera_motion(before[0], frame, before[1] | hidden))
            flow = checked_flow(before[0], frame)
            flows[i - 1] = _kept_flow(flow, flows.shape[1:3], cues.size)
            if unexplained(np.stack([before[0], frame]), flow.flow[None]):
                cuts.append(i)
                flows[i - 1], motions[-1] = np.nan, None
            # behind a cut there is another background
            ways.append(np.full((3, 3), np.nan) if cuts else _way(ways[-1], motions[-1], first, (frame, hidden)))
        if depths is not None and depth is not None:
            depths[i] = -_resized(depth(frame), depths.shape[1:])
        before = frame, hidden
        first = before if i == 0 else first
        if i in samples:
            kept.append((i, frame, hidden))
        if on_frame:
            on_frame(i + 1, len(cues))
    if cuts:
        logger.warning(
            "no flow leads to frame%s %s of %s: the picture is cut there, and the background counts as at rest", "s" * (len(cuts) > 1),
            ", ".join(map(str, cuts)), cues.source,
        )  # fmt: skip
    if len(flows) > 1:
        flows[-1] = flows[-2]
    exact = from_first(motions)
    plate = _plate([(frame, hidden, exact[i]) for i, frame, hidden in kept])
    maps = cues.maps | {
        "mattes": mattes, "flow": flows, "camera": _in_pixels_of_the_clip(motions, size, cues.size),
        "from_plate": _in_pixels_of_the_clip(ways, size, cues.size)[:-1],
    }  # fmt: skip
    if depths is not None:
        maps |= {"depth": depths, "nearness": nearness(cues.pose, depths)}
    if things:
        maps["objects"] = np.maximum.reduce([_followed(frames, thing, cues, size) for thing in things])
    return replace(cues, maps=maps, plate=plate)


def _plate(samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> np.ndarray:
    """uint8 (h, w, 3): the first sample without its people, from (frame, people, way from the first); a way that is not known is looked for."""
    first, people, _ = samples[0]
    ways = [camera_motion(first, frame, people | hidden) if way is None else way for frame, hidden, way in samples]
    placed = [(frame, hidden, way) for (frame, hidden, _), way in zip(samples, ways) if way is not None]
    plate, known = median_plate(*map(list, zip(*placed)))
    return textured(plate, ~known)


def check_things(things: Sequence[Thing], size: tuple[int, int], frames: int) -> None:
    """Before anything slow: whether things can be in a clip of `frames` frames of `size` (height, width).

    Raises:
        BunrakuError: a frame or place that it does not have, a mask of another picture, or a name that no detector here knows.
    """
    for thing in things:
        if thing.frame >= frames:
            raise BunrakuError(f"there is no frame {thing.frame} in {frames} frames (--object)")
        thing.check(size)


def check_masks(masks: Frames | None, size: tuple[int, int], frames: int) -> None:
    """Before anything slow: whether masks go with a clip of `frames` frames of `size` (height, width).

    Raises:
        BunrakuError: another number, or another shape.
    """
    if masks is None:
        return
    if len(masks) != frames:
        raise BunrakuError(f"there are {len(masks)} masks for {frames} frames; give one for each (--mask)")
    if abs(masks.size[0] * size[1] - masks.size[1] * size[0]) > 0.02 * masks.size[0] * size[1]:
        raise BunrakuError(
            f"the masks have {masks.size[1]}x{masks.size[0]} px, the clip {size[1]}x{size[0]}: they belong to another one (--mask)"
        )


def _given(shown: Iterable[np.ndarray], masks: Iterable[np.ndarray], pose: PoseTrack) -> Iterator[np.ndarray]:
    """Mattes uint8 (P, h, w) from pictures of them, frame by frame; who is where is told by colours, else by poses."""
    for _, mask, people in zip(shown, masks, pose.frames(), strict=True):
        if people_shown(mask):
            yield read_identities(mask[None], pose.people)[0]
        else:
            yield shared(mask.max(-1).astype(np.float32) / 255, people)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) with the longest side at most `side`."""
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _layer(name: str, cues: Cues, dtype: type, values: int = 1, *, last: bool = False) -> np.ndarray:
    """Room for a layer of the clip of as many values a pixel, (F[, values], h, w) or (F, h, w, values), of at most `MOST` bytes."""
    height, width = _within(cues.size, KEPT[name])
    needed = len(cues) * height * width * values * np.dtype(dtype).itemsize
    height, width = _within((height, width), max(1, int(max(height, width) * min(1.0, (MOST / max(needed, 1)) ** 0.5))))
    shape = (height, width, values) if last else (values, height, width) if name == "mattes" else (height, width)
    return np.zeros((len(cues), *shape), dtype)


def _resized(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    if values.shape[:2] == tuple(size):
        return values
    return np.asarray(cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_AREA))


def _reduced(frames: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    return (_resized(frame, size) for frame in frames)


def _kept_flow(found: CheckedFlow, size: tuple[int, ...], clip: tuple[int, int]) -> np.ndarray:
    """Flow averaged to `size`, float32 (h, w, 2) in pixels of the clip; NaN where most of it is not trusted."""
    weight = found.trusted.astype(np.float32)
    share = _resized(weight, size)[..., None]
    flow = _resized(found.flow * weight[..., None], size) / np.maximum(share, 1e-6)
    flow = flow * np.array([clip[1] / weight.shape[1], clip[0] / weight.shape[0]], np.float32)
    return np.where(share > 0.5, flow, np.nan)


def _tee_last(frames: Iterable[np.ndarray]) -> tuple[Iterator[np.ndarray], list[np.ndarray]]:
    """The same frames, and a list that holds the one that was taken last."""
    last: list[np.ndarray] = []

    def passed() -> Iterator[np.ndarray]:
        for frame in frames:
            last[:] = [frame]
            yield frame

    return passed(), last


def _way(
    before: np.ndarray,
    motion: np.ndarray | None,
    first: tuple[np.ndarray, np.ndarray] | None,
    now: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """The map (3, 3) from the first frame to one, given that to the one before: by the camera's motion between the two, or else the one
    that is found between the first and this, or else as before. Frames are given with what hides their background."""
    if motion is not None:
        return np.asarray(motion @ before)
    found = None if first is None else camera_motion(first[0], now[0], first[1] | now[1])
    return before if found is None else found


def from_first(motions: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """Maps (3, 3) from the first frame to each; None from where a motion is not known."""
    ways: list[np.ndarray | None] = [np.eye(3)]
    for motion in motions:
        ways.append(None if motion is None or ways[-1] is None else motion @ ways[-1])
    return ways


def _in_pixels_of_the_clip(
    motions: Sequence[np.ndarray | None], small: tuple[int, int], full: tuple[int, int]
) -> np.ndarray:
    """float64 (F, 3, 3), the last frame's as that of the frame before; sizes are (height, width)."""
    scale = np.diag([full[1] / small[1], full[0] / small[0], 1])
    known = [np.full((3, 3), np.nan) if motion is None else scale @ motion @ np.linalg.inv(scale) for motion in motions]
    return np.stack([*known, known[-1] if known else np.eye(3)])


def _followed(frames: Frames, thing: Thing, cues: Cues, size: tuple[int, int]) -> np.ndarray:
    """uint8 (F, h, w): a thing in every frame from the first on, at or after its own, in which it is found."""
    result = _layer("objects", cues, np.uint8)
    rest = _reduced(islice(frames, thing.frame, None), size)
    for number, image in enumerate(rest, thing.frame):
        first = thing.find(image, cues.size)
        if first is not None:
            for i, mask in enumerate(follow_object(chain([image], rest), first), number):
                result[i] = _resized(np.uint8(255) * mask, result.shape[1:])
            return result
    raise BunrakuError(
        f"no {thing} is found in any frame from {thing.frame} on; say where it is by a pixel X,Y@FRAME (--object)"
    )


def layer_sheet(cues: Cues, frames: Frames, moments: int = 8) -> np.ndarray:
    """Every layer of the cues in a few frames of the clip, one below the other: uint8 (H, W, 3).

    People have their number's colour, objects are red, the camera's way is a grid that moves with the background; flow is a colour for
    the direction, bright where it is fast and grey where it is not known; what is near is bright.
    """
    assert cues.pose is not None
    chosen = np.unique(np.linspace(0, len(cues) - 1, moments).round().astype(int)).tolist()
    size = _within(cues.size, SIDE)
    shown = [_resized(frame, size) for i, frame in enumerate(frames) if i in chosen]
    skeletons = draw_skeleton(cues.pose[chosen].scaled(size), size)
    drawn: dict[str, list[np.ndarray]] = {
        "frame": shown,
        "pose": [np.maximum(frame // 3, skeleton) for frame, skeleton in zip(shown, skeletons)],
    }
    maps = {name: values[chosen] for name, values in cues.maps.items()}
    if "mattes" in maps:
        drawn["mattes"] = [_coloured(frame, mattes) for frame, mattes in zip(shown, maps["mattes"])]
    if "objects" in maps:
        drawn["objects"] = [_coloured(frame, objects[None]) for frame, objects in zip(shown, maps["objects"])]
    if "camera" in maps:
        drawn["camera"] = [_arrows(frame, motion, cues.size) for frame, motion in zip(shown, maps["camera"])]
    if "flow" in maps:
        drawn["flow"] = [_wheel(flow.astype(np.float32) / max(cues.size), size) for flow in maps["flow"]]
    if "depth" in maps:
        span = np.nanmin(maps["depth"]), np.nanmax(maps["depth"])
        drawn["depth"] = [_brightness(depth, span, size) for depth in maps["depth"]]
    if cues.plate is not None:
        drawn["plate"] = [cv2.resize(cues.plate, size[::-1])] * len(chosen)
    return contact_sheet({name: np.stack(pictures) for name, pictures in drawn.items()}, len(chosen))


def _wheel(flow: np.ndarray, size: tuple[int, int], full: float = 0.02) -> np.ndarray:
    """uint8 (H, W, 3): the hue is the direction of flow (h, w, 2), white is fast: `full` of the longest side; dark grey is not known."""
    known = np.isfinite(flow).all(-1)
    x, y = np.moveaxis(np.where(known[..., None], flow, 0), -1, 0)
    hue = np.degrees(np.arctan2(y, x)) % 360
    value = np.clip(np.hypot(x, y) / full, 0, 1) ** 0.5
    colours = cv2.cvtColor(np.dstack([hue, np.ones_like(hue), value]).astype(np.float32), cv2.COLOR_HSV2RGB)
    colours = np.where(known[..., None], 255 * colours, 60).astype(np.uint8)
    return np.asarray(cv2.resize(colours, size[::-1], interpolation=cv2.INTER_NEAREST))


def _brightness(depth: np.ndarray, span: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): what is near is bright; unknown is black."""
    share = (span[1] - depth) / max(span[1] - span[0], 1e-9)
    grey = np.rint(255 * np.nan_to_num(share)).astype(np.uint8)
    return np.repeat(cv2.resize(grey, size[::-1], interpolation=cv2.INTER_LINEAR)[..., None], 3, -1)


def _coloured(frame: np.ndarray, mattes: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): what mattes (P, H, W) cover in their colours, the rest dark."""
    cover = np.stack([cv2.resize(one, frame.shape[1::-1]) for one in mattes]).astype(np.float32)[..., None] / 255
    tints = np.array([COLOURS[i % len(COLOURS)] for i in range(len(mattes))], np.float32)[:, None, None]
    figure = (cover * (0.6 * frame + 0.4 * tints)).sum(0)
    return np.rint(figure + (1 - cover.sum(0)).clip(0, 1) * frame * 0.2).clip(0, 255).astype(np.uint8)


def _arrows(frame: np.ndarray, motion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): where the camera takes a grid of points until the next frame, ten times as far; grey where it is not known."""
    if np.isnan(motion).any():
        return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] // 2, 3, axis=-1)
    drawn, factor = frame // 2, frame.shape[0] / size[0]
    step = max(16, min(frame.shape[:2]) // 8)
    for y in range(step // 2, frame.shape[0], step):
        for x in range(step // 2, frame.shape[1], step):
            to = motion @ np.array([x / factor, y / factor, 1])
            end = np.array([x, y]) + 10 * (to[:2] / to[2] * factor - (x, y))
            cv2.arrowedLine(drawn, (x, y), tuple(np.rint(end).astype(int).tolist()), (255, 220, 60), 1, cv2.LINE_AA)
    return drawn
