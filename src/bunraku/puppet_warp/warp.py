"""PuppetWarp: the reference cut out and moved limb by limb, a classical baseline that needs no weights.

The figure is cut along its skeleton into paper pieces: head, trunk, upper and lower arms and legs; hands and feet go with
their bone. Each piece has a map from the reference's pose to the driving pose, drawn as textured triangles:

    limbs    between its joints a piece is stretched along the bone to the new distance; beyond them (round caps, hands, feet)
             and across the bone it keeps its size, because foreshortening makes a limb shorter but not thinner
    trunk    a ladder whose rungs go from the shoulder line to the hip line, each as wide as the line and two limb radii;
             a skirt is more rungs: their middle follows both legs, and they are wide enough for both
    head     turned and moved as one by the ears (with little weight the other face points and the neck); what the face
             points move beyond that, in a turn or a nod, moves the face inside the head

Where the arms end and the body begins is told by distance from their bones, which are first brought to where the picture has an arm's
two edges (`ribbon`), and by the colours of both, learnt anew from every cut. Elbows and knees that were found beside their limbs are first
brought to the limb's middle (`bends`), there and in every pose.

Pieces overlap: a joint belongs to both of its pieces as a disc, and what lies under another piece is continued from what is
seen, so that nothing tears. They are painted from back to front: legs, trunk, head, arms. A joint that the driver does not
show keeps its angle of the reference; a bone that the reference does not show has no piece of its own.

Two other ways were measured on held-out theatre clips before this one was taken: one mesh of the whole figure, deformed as
rigidly as possible (Sorkine and Alexa 2007), had 4 dB less on the figure; limbs bent smoothly (linear blend skinning) 0.1 to
0.2 dB less than stiff ones with discs at the joints.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from bunraku.errors import BunrakuError
from bunraku.media import fit
from bunraku.media.frames import Pictures
from bunraku.perception.matte import SegmenterName, create_segmenter, still_mattes, unmixed
from bunraku.perception.plate import fill, grown
from bunraku.perception.pose import BODY, SEEN, PoseTrack
from bunraku.perception.texture import textured
from bunraku.puppet_warp.body import LIMBS, Body, Movement, seen_joints
from bunraku.puppet_warp.labels import closed
from bunraku.puppet_warp.scissors import Scissors

HALO, ROUGH_HALO = 0.006, 0.012  # what is painted out round a given and a found figure, in longest sides
TRACE = 32  # coverage of 255 that has to be painted out
EDGE = 0.4  # sigma in pixels that softens a hard mask
ORDER_SMOOTHING = 4.0  # frames, sigma
MARGIN = 4  # pixels kept round a figure
RESTS = 0.01  # pixels: who moves less stays where he is
BENEATH = 0.04  # of the longest side: half the width of what may hide a part of somebody who stays
HAND, FOOT = 0.6, 0.4  # of the bone before it: how far a hand and a foot reach
LARGE = 1.8  # so many times as far drawn ones may
BEYOND, LONG = (
    0.25,
    2,
)  # of the longest side, and times as long as wide: how far a figure goes on beyond the borders that cut it

NO_ENDS = np.zeros((0, 3))

TRANSPARENT: np.ndarray = np.zeros((0, 0, 4), np.uint8)
"""No background."""


class PuppetWarp:
    """The classical puppet warp, called as `AnimationPipeline`; it has no weights of its own and nothing random.

    Args:
        segmenter: what finds the figure where no mask is given, see `perception.matte.create_segmenter`.
    """

    def __init__(self, segmenter: SegmenterName = "auto") -> None:
        self.segmenter = segmenter

    def stream(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | np.ndarray | None,
        *,
        size: tuple[int, int] | None = None,
        mask: np.ndarray | None = None,
        background: Pictures | None = None,
        chunk: int = 8,
    ) -> Iterator[np.ndarray]:
        """Yield the frames in chunks, uint8 (<= `chunk`, H, W, 3), or (<= `chunk`, H, W, 4) before a transparent background.

        Where people overlap, the one whose lowest joint is lower in the picture is in front.

        Args:
            reference: uint8 (H, W, 3) RGB; cropped to the aspect ratio of `size` about its centre.
            poses: keypoints of P people, already retargeted to the reference.
            reference_pose: (1, P, K), the same people in the reference, in its pixels.
            size: (height, width) of the output; None: the reference's.
            mask: where the people are in the reference: uint8 (H, W), p + 1 for person p, or bool for one person; or uint8
                (P, H, W), how much of every pixel each covers, 255 wholly. None: found with `segmenter`
                (`perception.matte.still_mattes`).
            background: what is behind them, uint8 (H, W, 3), or a picture per frame, (F, H, W, 3) or read when asked for; brought to
                `size` as the reference is. `TRANSPARENT`: nothing; the frames then say how opaque they are in a fourth channel. None:
                the reference, the people painted out.
            chunk: frames yielded together.

        Raises:
            BunrakuError: drawn skeletons instead of keypoints, nobody or no neck in the reference's pose, nobody in the
                driving poses or the mask, or arrays that do not fit each other.
        """
        cut = CutOut(reference, poses, reference_pose, size, mask, background, self.segmenter)
        for start in range(0, len(cut), chunk):
            frames = cut[range(start, min(start + chunk, len(cut)))]
            yield _straight(frames) if background is TRANSPARENT else frames[..., :3]


class CutOut:
    """The people of a still cut into pieces, before the still without them; what is set up once for a clip.

    Arguments and errors as of `PuppetWarp.stream`.
    """

    def __init__(
        self,
        reference: np.ndarray,
        poses: PoseTrack | np.ndarray,
        reference_pose: PoseTrack | np.ndarray | None,
        size: tuple[int, int] | None = None,
        mask: np.ndarray | None = None,
        background: Pictures | None = None,
        segmenter: SegmenterName = "auto",
    ) -> None:
        tracks, rest = _checked(reference, poses, reference_pose)
        size = size or (reference.shape[0], reference.shape[1])
        picture, transform = fit(reference, size, "crop")
        tracks, rest = tracks.scaled(size), PoseTrack(transform.points(rest.keypoints), rest.scores, size)
        if mask is None:
            coverage, halo = still_mattes(picture, rest, create_segmenter(segmenter)), ROUGH_HALO
        else:
            coverage, halo = _coverage(mask, reference.shape[:2], rest.people, size), HALO
        if background is None:
            background = textured(picture, grown(coverage.max(0) > TRACE, halo))
        self._stages = _stages(background, len(tracks), size)
        covers = coverage.astype(np.float32) / 255
        stay = [_stays(tracks.person(i), rest.person(i)) for i in range(rest.people)]
        moved = covers[~np.array(stay)].max(0, initial=0)
        self._people: list[_Moved | _Resting] = [
            _Resting(picture, cover, moved, tracks.person(i)) if still else _Moved(picture, cover, rest, tracks, i)
            for i, (cover, still) in enumerate(zip(covers, stay))
        ]
        self._order = _back_to_front(self._people)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, frames: Sequence[int]) -> np.ndarray:
        """Some frames, uint8 (f, H, W, 4): RGB, and how much of every pixel the people cover."""
        return np.stack([self._painted(time, stage) for time, stage in zip(frames, self._stages(frames))])

    def _painted(self, time: int, stage: np.ndarray) -> np.ndarray:
        canvas = np.dstack([stage, np.zeros_like(stage[..., :1])]).astype(np.float32)
        for i in self._order[time]:
            self._people[i].paint(canvas, time)
        return np.rint(canvas).clip(0, 255).astype(np.uint8)


class _Resting:
    """A person of the reference who stays where he is: what the still shows of him, and continues it beneath those who were before him.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W) in [0, 1] of this person, and `moved` of those who move away.
        track: its poses (F, 1, K).
    """

    def __init__(self, picture: np.ndarray, coverage: np.ndarray, moved: np.ndarray, track: PoseTrack) -> None:
        seen = track.scores[:, 0, BODY] >= SEEN
        self.floor = np.where(seen, track.keypoints[:, 0, BODY, 1], -np.inf).max(1)
        beneath = (moved > 0.5) & closed(coverage > 0.5, BENEATH * max(coverage.shape))
        colours = fill(unmixed(picture, coverage), (coverage < 0.5) & beneath)
        share = np.maximum(coverage, beneath)[..., None]
        self._layer = np.concatenate([colours, np.full_like(colours[..., :1], 255)], -1) * share
        self._rest = 1 - share

    def paint(self, canvas: np.ndarray, time: int) -> None:
        """As of `_Moved`."""
        canvas *= self._rest
        canvas += self._layer[..., : canvas.shape[2]]


class _Moved:
    """Person `index` of the reference as pieces, and how it moves."""

    def __init__(
        self, picture: np.ndarray, coverage: np.ndarray, rest: PoseTrack, tracks: PoseTrack, index: int
    ) -> None:
        if not (coverage > 0.5).any():
            raise BunrakuError(f"person {index} covers no pixel of the reference")
        there = coverage.shape
        picture, coverage, beyond = _continued(picture, coverage, _ends(rest, index))
        still = np.zeros(coverage.shape, bool)
        still[beyond[0] : beyond[0] + there[0], beyond[1] : beyond[1] + there[1]] = True
        seen = still & (coverage > 0.5)  # what goes on beyond a border says nothing of how thick an arm is
        y, x = np.nonzero(coverage)
        top, left = max(0, y.min() - MARGIN), max(0, x.min() - MARGIN)
        box = np.s_[top : y.max() + 1 + MARGIN, left : x.max() + 1 + MARGIN]
        body = Body.of(rest.person(index), seen[box], (left - beyond[1], top - beyond[0]), index)
        self._movement = Movement.of(tracks.person(index), body, index)
        scissors = Scissors(unmixed(picture[box], coverage[box]), coverage[box], body, still[box])
        self._pieces = list(scissors.pieces())

    @property
    def floor(self) -> np.ndarray:
        """float (F,): how far down the figure reaches."""
        return np.asarray(self._movement.joints[:, self._movement.known, 1].max(1))

    def paint(self, canvas: np.ndarray, time: int) -> None:
        """Paint the frame `time` onto float32 (H, W, 4), in place."""
        for piece in self._pieces:
            piece.paint(canvas, piece.place(*self._movement.at(time)))


def _continued(
    picture: np.ndarray, coverage: np.ndarray, ends: np.ndarray = NO_ENDS
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A figure that the picture's borders cut goes on beyond them, as wide as it is there, so that it does not end when it moves away.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W).
        ends: (N, 3), wrists and ankles in the picture, x and y, and how far from there a hand or foot reaches at most.

    Returns:
        both, larger, and how many pixels were added at the top and at the left.
    """
    most = round(BEYOND * max(coverage.shape))
    before = [0, 0]
    for turns in range(4):  # left, top, right, bottom: each once on the left
        turned, covered = np.rot90(picture, turns), np.rot90(coverage, turns)
        if (covered[:, 0] > 0.5).sum() <= 1:
            continue
        ended = _ended(ends + (before[1], before[0], 0), turns, (picture.shape[0], picture.shape[1]))
        further, shown = _beyond(turned, covered[:, 0], most, ended)
        picture = np.rot90(np.concatenate([further, turned], 1), -turns)
        coverage = np.rot90(np.concatenate([shown, covered], 1), -turns)
        if turns < 2:
            before[1 - turns] = most
    return np.ascontiguousarray(picture), np.ascontiguousarray(coverage), (before[0], before[1])


def _ends(rest: PoseTrack, index: int) -> np.ndarray:
    """Wrists and ankles that person `index` shows, as of `_continued`."""
    points, seen = seen_joints(rest.person(index))
    shares = zip(LIMBS, (HAND, HAND, FOOT, FOOT))
    known = [(middle, end, share) for (_, middle, end), share in shares if seen[0, [middle, end]].all()]
    ends = [
        (*points[0, end], share * np.linalg.norm(points[0, end] - points[0, middle])) for middle, end, share in known
    ]
    return np.array(ends, float).reshape(-1, 3)


def _ended(ends: np.ndarray, turns: int, size: tuple[int, int]) -> np.ndarray:
    """How far a hand or foot may reach beyond the left border of a picture of `size` that was turned left so often, float (H,): less than 0
    where it ends before, minus infinity in rows that none is near. `ends`: as of `_continued`, before it was turned."""
    (x, y, far), (height, width) = ends.T, size
    across, down = [(x, y), (y, width - x), (width - x, height - y), (height - y, x)][turns]
    away = np.hypot(across, down - np.arange(size[turns % 2])[:, None] - 0.5)
    return np.asarray(np.where(away < LARGE * far, far - away, -np.inf).max(1, initial=-np.inf))


def _beyond(picture: np.ndarray, border: np.ndarray, most: int, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What goes on left of a picture (H, W, 3), uint8 (H, most, 3), and its coverage, where the figure's is (H,) at the border.

    It is a strip of the picture to and fro, so that the weave of cloth is kept, and half as wide as the figure is high at the border: a thin arm goes
    on as an arm, and not as what is beside it farther in. It ends after `LONG` times that height, as behind a wrist there is a hand, no second
    arm, and where the wrist is seen, by the farthest that its hand reaches in these rows (`_ended`).
    """
    _, runs, stats, _ = cv2.connectedComponentsWithStats((border > 0.5).astype(np.uint8)[:, None])
    high = np.where(border > 0.5, stats[runs[:, 0], cv2.CC_STAT_AREA], 0)
    high = cv2.dilate(high.astype(np.float32)[:, None], np.ones((3, 1))).astype(int)  # the soft edge goes along
    strip, away = np.clip(high // 2, 1, picture.shape[1]), np.arange(most)[::-1]
    columns = np.minimum(away % (2 * strip), 2 * strip - 1 - away % (2 * strip))
    farthest = np.array([ended[runs[:, 0] == run].max(initial=-np.inf) for run in range(len(stats))])[runs[:, 0]]
    long = np.minimum(LONG * high, np.where(np.isfinite(farthest) & (border > 0.5), farthest, np.inf)[:, None])
    return picture[np.arange(len(picture))[:, None], columns], np.where(away < long, border[:, None], 0)


def _checked(
    reference: np.ndarray, poses: PoseTrack | np.ndarray, reference_pose: PoseTrack | np.ndarray | None
) -> tuple[PoseTrack, PoseTrack]:
    if reference.dtype != np.uint8 or reference.ndim != 3 or reference.shape[2] != 3:
        raise BunrakuError(f"reference must be uint8 (H, W, 3), got {reference.dtype} {reference.shape}")
    if not isinstance(poses, PoseTrack) or not isinstance(reference_pose, PoseTrack):
        raise BunrakuError(
            "the puppet warp moves keypoints, of the driver and of the reference, and drawn skeletons have none; drive it "
            "with footage, OpenPose JSON, BVH or cues, or choose a model that takes drawn skeletons"
        )
    if not len(poses) or not poses.people:
        raise BunrakuError(f"there is nothing to animate: {len(poses)} frames of {poses.people} people")
    if len(reference_pose) != 1 or reference_pose.people != poses.people:
        raise BunrakuError(
            f"the driving poses show {poses.people} people; the reference's pose must be one frame of as many, got "
            f"{len(reference_pose)} of {reference_pose.people}"
        )
    return poses, reference_pose


def _coverage(mask: np.ndarray, shape: tuple[int, ...], people: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (P, H, W) of `size` from a mask of the reference's `shape`."""
    if mask.shape[-2:] != shape or mask.dtype not in (np.uint8, np.bool_) or mask.shape[:-2] not in ((), (people,)):
        raise BunrakuError(
            f"mask must be bool or uint8 {shape} as the reference, or uint8 {(people, *shape)}; got {mask.dtype} {mask.shape}"
        )
    if mask.dtype == np.bool_ and people > 1:
        raise BunrakuError(f"a mask of {people} people must tell them apart: uint8, p + 1 where person p is")
    if mask.ndim == 3:
        return np.stack([fit(np.repeat(one[..., None], 3, -1), size, "crop", (0, 0, 0))[0][..., 0] for one in mask])
    values = np.unique(mask)
    if set(range(1, people + 1)) - set(values.tolist()):
        raise BunrakuError(
            f"the mask does not show everybody: it has the values {', '.join(map(str, values))}, and person p is where it is p + 1"
        )
    layers = np.stack([(mask == p + 1).astype(np.uint8) * 255 for p in range(people)])
    whole = (
        np.stack([fit(np.repeat(one[..., None], 3, -1), size, "crop", (0, 0, 0))[0][..., 0] for one in layers]) > 127
    )
    return np.stack([np.rint(cv2.GaussianBlur(255.0 * one, (0, 0), EDGE)).astype(np.uint8) for one in whole])


def _stages(
    background: Pictures, frames: int, size: tuple[int, int]
) -> Callable[[Sequence[int]], Iterable[np.ndarray]]:
    """Gives what is behind the people at some times, uint8 of `size`."""
    if background is TRANSPARENT:
        return lambda times: [np.zeros((*size, 3), np.uint8) for _ in times]
    if isinstance(background, np.ndarray):
        if background.dtype != np.uint8 or background.ndim not in (3, 4) or background.shape[-1] != 3:
            raise BunrakuError(
                f"background must be uint8 (H, W, 3) or (F, H, W, 3), got {background.dtype} {background.shape}"
            )
        if background.ndim == 3:
            still = fit(background, size, "crop")[0]
            return lambda times: [still for _ in times]
    if len(background) != frames:
        raise BunrakuError(f"the background has {len(background)} frames, the driving poses have {frames}")
    return lambda times: fit(np.asarray(background[list(times)]), size, "crop")[0]


def _stays(track: PoseTrack, rest: PoseTrack) -> bool:
    """Whether the poses of one person, (F, 1, K), are those of the reference, (1, 1, K), in every frame."""
    (points, seen), (own, there) = ((t.keypoints[..., BODY, :], t.scores[..., BODY] >= SEEN) for t in (track, rest))
    return bool((seen == there).all() and (np.abs(points - own).max(-1) < RESTS)[seen].all())


def _straight(frames: np.ndarray) -> np.ndarray:
    """Colours that were painted on nothing, uint8 (f, H, W, 4), as they are where they cover wholly."""
    colours = frames[..., :3] * (255 / np.maximum(frames[..., 3:], np.float32(1)))
    return np.concatenate([np.rint(colours).clip(0, 255).astype(np.uint8), frames[..., 3:]], -1)


def _back_to_front(people: Sequence[_Moved | _Resting]) -> np.ndarray:
    """int (F, P): whom to paint first, smoothed over time so that nobody flickers through another."""
    floors = np.stack([person.floor for person in people], -1)
    return np.argsort(gaussian_filter1d(floors, ORDER_SMOOTHING, axis=0, mode="nearest"), axis=1, kind="stable")
