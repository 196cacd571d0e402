"""Labels: which part of a body each pixel of a figure belongs to. Bones say who is near, colours who looks like it, and the picture's edges
where one ends."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from bunraku.perception.cutout import polygon, segment_distance, touching
from bunraku.perception.plate import dilated
from bunraku.perception.pose import HAND_BONES
from bunraku.puppet_warp.body import ARMS, EARS, FACE, HIPS, LEGS, LIMBS, NECK, TAPER, Body, leg_point, unit
from bunraku.puppet_warp.cells import Cells
from bunraku.puppet_warp.ribbon import Edges

TRUNK_LABEL, HEAD_LABEL = 4, 5
"""Labels of pixels; 0 to 3 are the limbs, -1 is outside."""

CORE, ALONE = 0.6, 0.8  # half thicknesses: inside a part, and outside all others, where its colours are learnt
COLOUR = 7.0  # half thicknesses that the clearest difference of colours is worth
BINS, RARE, CLEAR = 16, 1e-3, 0.1
"""Colours along an axis, the share that counts as none, and the difference of colours that counts."""
UNSEEN = 20.0  # pixels of a core that a colour may have and count as none
OFTENER = 3.0  # so much larger is a colour's share of the skirt than of the legs where a pixel with it is the skirt's
CORNERED = 0.1  # of a skirt's corner lies beside the leg
FAINT = 0.02  # the least coverage of the figure
ROUNDS = 4  # of cutting and learning colours anew, unless nothing changes
CELL, CUT = 0.4, 1.8
"""Half thicknesses of an arm: from cell to cell, and what a cut through one colour costs."""
FARTHEST = 4.0  # half thicknesses beyond which all is equally far
FRONT = 0.9  # radii round its bones in which an arm lies over everything else
HAND, FINGER = 0.5, 0.45
"""Length of a hand in forearms where its points are unknown; its half thickness in the forearm's where they are known."""
REACH = 0.75  # of a forearm: from the wrist to the fingertips
SIDES = 0.6  # how far the trunk goes beyond the shoulders, in half thicknesses of the arm
BRIDGE = 2.8  # half thicknesses of an arm: half the width of an arm or hand beneath which the body hangs together
THREAD = 0.7  # half thicknesses of an arm: half the width of what sticks out of the body beside an arm and belongs to the arm
CORNER = 0.45  # of that: how far a corner of the body reaches out of the widest disc in it
TREMBLE = 0.35  # sigma that takes the teeth off a cut, in half thicknesses of an arm
CHEEKS, BARE = 0.35, 0.75
"""Radii of the head round the middle of eyes and nose that show skin, and the share of an arm's core with such colours that says that it is bare."""
TONES, LEAST_TONE = 3.0, 3.0
"""Deviations within which a colour is the skin's, and the least deviation in CIELAB's a and b."""
LINE = 0.25  # half thicknesses of an arm: half the width of a drawn line, which is no clothes; twice as wide is a hem
SKIN, CLOTHES = 1, 2  # kinds of pixels at a bare arm
FOREIGN = 3.0  # half thicknesses that another colour than the skin's is worth at a bare arm

Bones = dict[tuple[int, int], np.ndarray]
"""Distance of every pixel (H, W) from each bone of an arm, in its half thicknesses, by limb and bone; the hand counts to the lower."""


def labelled(picture: np.ndarray, coverage: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray, Bones]:
    """Whose pixel is it.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W) in [0, 1], how much of each pixel the figure covers.
        body: its measures, in pixels of `picture`.

    Returns:
        labels int (H, W), see `TRUNK_LABEL`; float64 (6, H, W), the distance of every pixel from every part, in the part's half
        thicknesses; and from the bones of the arms.
    """
    arms, distances = _distances(picture, coverage, body)
    kinds = _kinds(picture, coverage > 0.5, body, arms)
    settled = _settled(picture, coverage, body, kinds, distances)
    settled = with_hem(settled, picture, body, distances[list(LEGS)].min(0) > 1)
    labels = smooth_cuts(settled, TREMBLE * body.arm)
    labels = with_fingers(labels, kinds == SKIN, body)
    labels = without_threads(labels, THREAD * body.arm, BRIDGE * body.arm)
    return joined(labels, BRIDGE * body.arm, distances[list(ARMS)] < 1, body.arm**2), distances, arms


def _distances(picture: np.ndarray, coverage: np.ndarray, body: Body) -> tuple[Bones, np.ndarray]:
    """Distance of every pixel from the bones of the arms, and from all parts, float64 (6, H, W)."""
    height, width = coverage.shape
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    distances = np.full((6, height, width), np.inf)
    edges, arms, upper = Edges(picture, coverage), Bones(), dict.fromkeys(ARMS, 0.0)

    def outside(corners: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.distanceTransform((~polygon(corners, coverage.shape)).astype(np.uint8), cv2.DIST_L2, 5))

    for (limb, bone), radius in body.radii.items():
        start, end = body.joints[list(LIMBS[limb][bone : bone + 2])]
        if limb in ARMS:
            start, end, radius = edges.ribbon(start, end, max(radius, bone * upper[limb] / TAPER))
            upper[limb] = radius
        hand = HAND * float(np.linalg.norm(end - start)) if limb in ARMS and limb not in body.hands else 0
        tip = end + bone * max(radius, hand) * unit(end - start, (0, 1))
        away = segment_distance(pixels, start, tip) / (radius + 0.5)
        distances[limb] = np.minimum(distances[limb], away)
        if limb in ARMS:
            # what clothes hide of an arm is as thick as was measured, though its ribbon ends at their edge
            arms[limb, bone] = away * (radius + 0.5) / (max(radius, body.radii[limb, bone]) + 0.5)
    for limb, points in body.hands.items():
        bones = np.zeros(coverage.shape, np.uint8)
        corners = np.rint((points[HAND_BONES] - 0.5) * 16).astype(np.int32)
        cv2.polylines(bones, corners, False, 1, 1, cv2.LINE_8, 4)  # type: ignore[call-overload]
        if bones.any():
            radius = FINGER * body.radii.get((limb, 1), body.arm) + 0.5
            away = np.asarray(cv2.distanceTransform(1 - bones, cv2.DIST_L2, 5) / radius, np.float64)
            distances[limb] = np.minimum(distances[limb], away)
            arms[limb, 1] = np.minimum(arms.get((limb, 1), np.inf), away)
    neck, hips = body.joints[NECK], body.joints[HIPS].mean(0)
    share = np.clip((pixels - neck) @ (hips - neck) / max(np.sum((hips - neck) ** 2), 1e-6), 0, 1)
    reach = SIDES * (1 - share) * body.arm + share * body.leg + 0.5
    distances[TRUNK_LABEL] = outside(body.joints[[2, 5, 11, 8]]) / reach
    if body.hem:
        right, left = (leg_point(body.joints, side, body.hem) for side in (0, 1))
        down = unit((right + left) / 2 - hips, (0, 1))
        below = (pixels - (right + left) / 2) @ down > 0.5
        skirt = outside(np.stack([body.joints[8], right, left, body.joints[11]])) / (2 * body.leg)
        distances[TRUNK_LABEL] = np.where(below, 100, np.minimum(distances[TRUNK_LABEL], skirt))
        distances[LEGS[0] : LEGS[1] + 1, ((pixels - hips) @ down > 0) & ~below] = 100
    core = 0.1  # of the head, at distance 0
    from_middle = np.linalg.norm(pixels - body.head, axis=-1) / body.head_radius
    distances[HEAD_LABEL] = np.maximum(from_middle - core, 0) / (1 - core)
    return arms, distances


def _settled(
    picture: np.ndarray, coverage: np.ndarray, body: Body, kinds: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Labels int (H, W). An arm is cut out of the figure where that costs least: its claims are the distance, less in front of everything else
    and more where the body's colours are likelier, or where it is bare and the colour is not the skin's. Joints are found beside
    their arms, so what the arms' colours are, those of both together, is learnt anew from every cut. What is left falls to the nearest part."""
    figure = coverage > 0.5
    near = np.minimum(distances, FARTHEST).astype(np.float32)
    near[list(ARMS)] = np.where(near[list(ARMS)] < FRONT, near[list(ARMS)] - FRONT, near[list(ARMS)])
    foreign = kinds == CLOTHES
    own = [near[arm] + FOREIGN * foreign for arm in ARMS]
    bins, from_body, rest = colour_bins(picture), distances[LEGS[0] :].min(0), near[LEGS[0] :].min(0)
    alone = distances[list(ARMS)].min(0) > ALONE
    cores = {
        arm: (
            (distances[arm] < CORE) & (np.minimum(from_body, distances[1 - arm]) > ALONE) & figure & ~foreign,
            (from_body < CORE) & alone & figure,
        )
        for arm in ARMS
    }
    cells = Cells(picture, coverage > FAINT, max(2, round(CELL * body.arm)), kinds)
    nearer = (distances[0] < distances[1], distances[1] < distances[0])
    labels = np.full(coverage.shape, -1)
    for _ in range(ROUNDS):
        before = labels
        both = np.logical_or(*(cores[arm][0] for arm in ARMS))
        as_arm, as_body = zip(*(COLOUR * unlikely(bins, (both, cores[arm][1])) for arm in ARMS))
        claims = [own[arm] + as_arm[arm] for arm in ARMS]
        body_claims = rest + np.where(nearer[0], as_body[0], 0) + np.where(nearer[1], as_body[1], 0)
        cut = [cells.cut(np.minimum(body_claims, claims[1 - arm]) - claims[arm], CUT * body.arm) for arm in ARMS]
        labels = distances[LEGS[0] :].argmin(0) + LEGS[0]
        for arm in ARMS:
            labels[cut[arm] & (~cut[1 - arm] | (claims[arm] <= claims[1 - arm]))] = arm
        if np.array_equal(labels, before):
            break
        cores = {
            arm: (around & (labels == arm) & ~foreign, around & (labels >= LEGS[0]))
            for arm in ARMS
            for around in [figure & (distances[arm] < FARTHEST)]
        }
    return np.where(coverage > FAINT, labels, -1)


def _kinds(picture: np.ndarray, figure: np.ndarray, body: Body, arms: Bones) -> np.ndarray:
    """int (H, W): `SKIN`, that of the face, round bare arms, `CLOTHES`, what lies at one or before it and has another colour, else 0."""
    eyes_and_nose = [joint for joint in FACE if joint not in EARS and body.seen[joint]]
    nothing = np.zeros(figure.shape, int)
    if not eyes_and_nose:
        return nothing
    face = _around(body.joints[eyes_and_nose].mean(0), CHEEKS * body.head_radius, figure.shape) & figure
    if not face.any():
        return nothing
    tones = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]
    usual = np.median(tones[face], 0)
    deviation = np.maximum(1.4826 * np.median(np.abs(tones[face] - usual), 0), LEAST_TONE)
    other = (((tones - usual) / deviation) ** 2).sum(-1) > TONES**2
    nearest = np.stack([*arms.values()]).argmin(0) if arms else nothing
    beside = nothing > 0
    for number, away in enumerate(arms.values()):
        core = (away < CORE) & figure
        if core.any() and other[core].mean() <= 1 - BARE:
            beside |= (nearest == number) & (away < FARTHEST)
    beside &= figure
    return np.where(beside & opened(other, LINE * body.arm), CLOTHES, np.where(beside & ~other, SKIN, 0))


def _around(point: np.ndarray, reach: float, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels, bool (H, W), whose middle is within `reach` pixels of a point (2,)."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((columns + 0.5 - point[0]) ** 2 + (rows + 0.5 - point[1]) ** 2 < reach**2)


def smooth_cuts(labels: np.ndarray, sigma: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, each pixel's the one that most around it have, by a Gaussian of `sigma` pixels: cuts without teeth and threads."""
    shares = np.stack([cv2.GaussianBlur((labels == label).astype(np.float32), (0, 0), sigma) for label in range(6)])
    return np.where(labels >= 0, shares.argmax(0), -1)


def with_hem(labels: np.ndarray, picture: np.ndarray, body: Body, beside: np.ndarray) -> np.ndarray:
    """Labels int (H, W), -1 outside, whose trunk has all of a skirt: where it reaches farther down on one leg than on the other, what hangs
    together with it, and reaches `beside` the leg, bool (H, W), and has its colours, and not those that the legs have farther down."""
    if not body.hem:
        return labels
    pixels = np.stack(np.meshgrid(np.arange(labels.shape[1]) + 0.5, np.arange(labels.shape[0]) + 0.5), -1)
    hips, ends = body.joints[HIPS].mean(0), body.joints[[leg[2] for leg in LIMBS[LEGS[0] :]]].mean(0)
    level = np.mean([leg_point(body.joints, side, body.hem) for side in (0, 1)], 0)
    down = unit(level - hips, (0, 1))
    trunk, legs = labels == TRUNK_LABEL, np.isin(labels, LEGS)
    depth, halfway = (pixels - hips) @ down, ((level + ends) / 2 - hips) @ down
    bins, cores = colour_bins(picture), (trunk & (depth > 0), legs & (depth > halfway))
    if not all(core.any() for core in cores):
        return labels
    as_skirt, as_leg = (_colours(bins, core)[bins] / np.count_nonzero(core) for core in cores)
    skirt = legs & (as_skirt > OFTENER * as_leg)
    for leg in LEGS:  # trousers have a skirt's colours too, and no corner beside the leg
        own = skirt & (labels == leg)
        if np.count_nonzero(own & beside) <= CORNERED * np.count_nonzero(own):
            skirt &= ~own
    skirt &= touching(trunk | skirt, trunk)
    return np.where(dilated(skirt, LINE * body.arm) & legs, TRUNK_LABEL, labels)  # with its outline


def with_fingers(labels: np.ndarray, skin: np.ndarray, body: Body) -> np.ndarray:
    """Labels int (H, W), -1 outside, whose arms have the fingers that lie before trunk and legs: narrow `skin`, bool (H, W), within reach of the
    wrist that hangs together with the arm. Cells and smoothing are coarser than a fingertip."""
    narrow = skin & ~opened(skin, THREAD * body.arm) & (labels >= LEGS[0]) & (labels != HEAD_LABEL)
    for arm in ARMS:
        if (arm, 1) in body.radii:
            (elbow, wrist), own = body.joints[list(LIMBS[arm][1:])], labels == arm
            fingers = narrow & _around(wrist, REACH * float(np.linalg.norm(wrist - elbow)), labels.shape)
            labels = np.where(touching(own | fingers, own), arm, labels)
    return labels


def without_threads(labels: np.ndarray, reach: float, bridge: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, of which the body has nothing narrower than twice `reach` pixels that hangs on it beside an arm, such as a finger."""
    arms, figure = np.isin(labels, ARMS), labels >= 0
    # what an arm may hide counts as body: an arm before it makes no part of the body narrow
    body, head = figure & ~arms, labels == HEAD_LABEL
    # but threads of hair on both sides of a raised arm have no head between them
    whole = body | (closed(body & ~(head & _narrow(head, reach)), bridge) & arms)
    narrow = _narrow(whole, reach) & body
    _, parts = cv2.connectedComponents(narrow.astype(np.uint8))
    near = cv2.dilate(arms.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    threads = narrow & np.isin(parts, np.unique(parts[near & narrow]))
    if not threads.any():
        return labels
    _, (y, x) = distance_transform_edt(~arms, return_indices=True)
    return np.where(threads, labels[y, x], labels)


def _narrow(mask: np.ndarray, reach: float) -> np.ndarray:
    """Where a mask, bool (H, W), is narrower than twice `reach` pixels, bool (H, W); true outside of it."""
    return np.asarray(
        cv2.dilate(opened(mask, reach).astype(np.uint8), _disc(CORNER * reach)) == 0
    )  # opening rounds corners


def colour_bins(picture: np.ndarray) -> np.ndarray:
    """int (H, W): which of BINS^3 colours each pixel of uint8 (H, W, 3) has, in CIELAB."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32) * BINS // 256
    return np.asarray((lab[..., 0] * BINS + lab[..., 1]) * BINS + lab[..., 2])


def unlikely(bins: np.ndarray, cores: Sequence[np.ndarray]) -> np.ndarray:
    """float32 (P, H, W) from 0 to 1: how much rarer each pixel's colour is in a part than in the part that has most of it, as counted in the
    parts' cores, bool (H, W); 0 where that is not clear, and for all if one has no core."""
    if not all(core.any() for core in cores):
        return np.zeros((len(cores), *bins.shape), np.float32)
    smooth = np.stack([_colours(bins, core) for core in cores])
    total = smooth.sum(1).max()
    logs = np.log(smooth / total + max(RARE, UNSEEN / total))
    return np.asarray(np.maximum((logs.max(0) - logs) / -np.log(RARE) - CLEAR, 0)[:, bins], np.float32)


def _colours(bins: np.ndarray, core: np.ndarray) -> np.ndarray:
    """float32 (BINS^3,): how many pixels of a core have each colour, or one near it."""
    counts = np.bincount(bins[core], minlength=BINS**3).reshape(BINS, BINS, BINS)
    return np.asarray(gaussian_filter(counts.astype(np.float32), 0.7, mode="constant").ravel())


def _disc(reach: float) -> np.ndarray:
    side = 2 * max(1, round(reach)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def opened(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask, bool (H, W), without what is narrower than twice `reach` pixels."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(reach)) > 0)


def large(mask: np.ndarray, least: float) -> np.ndarray:
    """The pieces of a mask, bool (H, W), that have `least` pixels."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return mask & (stats[parts, cv2.CC_STAT_AREA] >= least)


def closed(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask, bool (H, W), its gaps closed that are narrower than twice `reach` pixels. By distances: the time does not depend on the reach."""
    radius = max(1, round(reach))
    border = radius + 1
    grown = _distance(~np.pad(mask, border)) <= radius
    return np.asarray((_distance(grown) > radius)[border:-border, border:-border])


def _distance(mask: np.ndarray) -> np.ndarray:
    """float32 (H, W), how far each pixel of a mask, bool (H, W), is from the nearest that is none of it; large where all are."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def joined(labels: np.ndarray, reach: float, on_bones: np.ndarray, least: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, of which each is in one piece: what only hangs on another part, such as a hand far from its
    wrist, joins that part. Body on both sides of an arm that is narrower than twice `reach` pixels hangs together beneath it; pieces of an arm
    of `least` pixels stay where most of them lie on its bones, bool (2, H, W): clothes hide what is between them."""
    islands = np.zeros(labels.shape, bool)
    beneath = closed(labels >= LEGS[0], reach) & np.isin(labels, ARMS)
    for label in range(6):
        own = labels == label
        whole = own | beneath if label >= LEGS[0] else own
        count, parts = cv2.connectedComponents(whole.astype(np.uint8))
        sizes = np.bincount(parts[own], minlength=max(count, 2))
        sizes[0] = 0
        stays = np.arange(len(sizes)) == sizes.argmax()
        if label in ARMS:
            within = np.bincount(parts[own & on_bones[label]], minlength=len(sizes))
            stays |= (sizes >= least) & (within > sizes / 2)
        islands |= own & ~stays[parts]
    result = labels.copy()
    count, parts, stats, _ = cv2.connectedComponentsWithStats(islands.astype(np.uint8))
    for part in range(1, count):
        x, y, width, height = stats[part, :4]
        box = np.s_[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1]
        island = parts[box] == part
        rim = cv2.dilate(island.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        neighbours = labels[box][rim & ~islands[box] & (labels[box] >= 0)]
        if len(neighbours):
            result[box][island] = np.bincount(neighbours).argmax()
    return result
