"""Layers of a clip beside its poses: mattes, camera and the plate behind the people, perceived in a second pass."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

import cv2
import numpy as np

from bunraku.cues.cues import Cues
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.media import Frames, contact_sheet
from bunraku.perception.camera import camera_motion
from bunraku.perception.matte import Segmenter, clip_mattes
from bunraku.perception.objects import Click, follow_object, object_at
from bunraku.perception.plate import grown, median_plate

SIDE = 512  # longest side of mattes and objects as they are kept
SAMPLES = 24  # frames that the plate is the median of
COVERED = 16  # of 255: more of a person's matte hides the background
COLOURS = ((255, 60, 60), (60, 120, 255), (60, 220, 90), (255, 200, 40))
RIM = 0.01  # of the longest side: what is left out round people


def perceive_layers(
    cues: Cues,
    frames: Frames,
    segmenter: Segmenter | None = None,
    *,
    clicks: Sequence[Click] = (),
    on_frame: Callable[[int, int], None] | None = None,
) -> Cues:
    """The cues with `mattes`, `camera`, `plate` and, where somebody clicked, `objects`.

    The frames are streamed at no more than `SIDE` pixels; of the plate's 24 samples alone more are kept.

    Args:
        cues: of these frames, with poses.
        frames: of the clip.
        segmenter: for the mattes; None: pose and colour alone.
        clicks: things to follow from the frame they are clicked in to the end; their places are in pixels of the clip.
        on_frame: called with the number of frames done and the number of all frames.

    Raises:
        BunrakuError: cues without poses or of other frames, or a click that names nothing.
    """
    if cues.pose is None or len(cues) != len(frames):
        raise BunrakuError(f"layers need the poses of these {len(frames)} frames; {cues.source} has {len(cues)} frames")
    if late := [click for click in clicks if click.frame >= len(cues)]:
        raise BunrakuError(f"there is no frame {late[0].frame} in {len(cues)} frames (--object)")
    factor = min(1.0, SIDE / max(cues.size))
    size = max(1, round(cues.size[1] * factor)), max(1, round(cues.size[0] * factor))
    mattes = np.zeros((len(cues), cues.pose.people, size[1], size[0]), np.uint8)
    samples = set(np.linspace(0, len(cues) - 1, SAMPLES).round().astype(int).tolist())
    motions: list[np.ndarray | None] = []
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    shown, looked_at = _tee_last(cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames)
    for i, matte in enumerate(clip_mattes(shown, cues.pose.scaled(size[::-1]), segmenter)):
        mattes[i], frame = matte, looked_at[0]
        people = grown(matte.max(0, initial=0) > COVERED, RIM)
        if before is not None:
            motions.append(camera_motion(before[0], frame, before[1] | people))
        before = frame, people
        if i in samples:
            kept.append((i, frame, people))
        if on_frame:
            on_frame(i + 1, len(cues))
    ways = from_first(motions)
    placed = [(frame, people, way) for i, frame, people in kept if (way := ways[i]) is not None]
    plate, _ = median_plate(*map(list, zip(*placed)))
    maps = cues.maps | {"mattes": mattes, "camera": _in_pixels_of_the_clip(motions, size, cues.size[::-1])}
    if clicks:
        maps["objects"] = np.maximum.reduce([_followed(frames, click, size, factor) for click in clicks])
    return replace(cues, maps=maps, plate=plate)


def _tee_last(frames: Iterable[np.ndarray]) -> tuple[Iterator[np.ndarray], list[np.ndarray]]:
    """The same frames, and a list that holds the one that was taken last."""
    last: list[np.ndarray] = []

    def passed() -> Iterator[np.ndarray]:
        for frame in frames:
            last[:] = [frame]
            yield frame

    return passed(), last


def from_first(motions: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """Maps (3, 3) from the first frame to each; None from where a motion is not known."""
    ways: list[np.ndarray | None] = [np.eye(3)]
    for motion in motions:
        ways.append(None if motion is None or ways[-1] is None else motion @ ways[-1])
    return ways


def _in_pixels_of_the_clip(
    motions: Sequence[np.ndarray | None], small: tuple[int, int], full: tuple[int, int]
) -> np.ndarray:
    """float64 (F, 3, 3), the last frame's as that of the frame before; sizes are (width, height)."""
    scale = np.diag([full[0] / small[0], full[1] / small[1], 1])
    known = [np.full((3, 3), np.nan) if motion is None else scale @ motion @ np.linalg.inv(scale) for motion in motions]
    return np.stack([*known, known[-1] if known else np.eye(3)])


def _followed(frames: Frames, click: Click, size: tuple[int, int], factor: float) -> np.ndarray:
    """uint8 (F, h, w): what was clicked, in every frame from then on."""
    result = np.zeros((len(frames), size[1], size[0]), np.uint8)
    small = (cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in islice(frames, click.frame, None))
    first = next(small)
    thing = object_at(first, Click(tuple(value * factor for value in click.place), click.frame))
    for i, mask in enumerate(follow_object(chain([first], small), thing), click.frame):
        result[i][mask] = 255
    return result


def layer_sheet(cues: Cues, frames: Frames, moments: int = 8) -> np.ndarray:
    """Every layer of the cues in a few frames of the clip, one below the other: uint8 (H, W, 3).

    People have their number's colour, objects are red, and the camera's way is a grid that moves with the background.
    """
    assert cues.pose is not None
    chosen = np.unique(np.linspace(0, len(cues) - 1, moments).round().astype(int)).tolist()
    mattes = cues.maps["mattes"]
    height, width = mattes.shape[2:]
    shown = {
        i: cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for i, f in enumerate(frames) if i in chosen
    }
    drawn: dict[str, list[np.ndarray]] = {"frame": [], "pose": [], "mattes": [], "camera": []}
    skeletons = draw_skeleton(cues.pose[chosen].scaled((height, width)), (height, width))
    for skeleton, i in zip(skeletons, chosen):
        drawn["frame"].append(shown[i])
        drawn["pose"].append(np.maximum(shown[i] // 3, skeleton))
        drawn["mattes"].append(_coloured(shown[i], mattes[i]))
        drawn["camera"].append(_arrows(shown[i], cues.maps["camera"][i], cues.size))
        if "objects" in cues.maps:
            drawn.setdefault("objects", []).append(_coloured(shown[i], cues.maps["objects"][i : i + 1]))
    if cues.plate is not None:
        drawn["plate"] = [cv2.resize(cues.plate, (width, height))] * len(chosen)
    return contact_sheet({name: np.stack(pictures) for name, pictures in drawn.items()}, len(chosen))


def _coloured(frame: np.ndarray, mattes: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): what mattes (P, H, W) cover in their colours, the rest dark."""
    cover = mattes.astype(np.float32)[..., None] / 255
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
