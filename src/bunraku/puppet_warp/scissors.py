"""Scissors: cuts a figure into overlapping pieces, each with its map to any pose."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from bunraku.perception.cutout import flooded, polygon, segment_distance
from bunraku.perception.matte import guided_filter
from bunraku.perception.pose import HAND_BONES
from bunraku.puppet_warp.body import (
    ARMS,
    EARS,
    FACE,
    HIPS,
    LEGS,
    LIMBS,
    NECK,
    TRUNK,
    Body,
    leg_point,
    rigid,
    turned,
    unit,
)  # fmt: skip
from bunraku.puppet_warp.piece import Piece, Place, grid
from bunraku.puppet_warp.ribbon import Edges

TRUNK_LABEL, HEAD_LABEL = 4, 5
"""Labels of pixels; 0 to 3 are the limbs, -1 is outside."""
COVERED_BY = {0: (1,), 1: (), 2: (0, 1, 3, 4, 5), 3: (0, 1, 4, 5), 4: (0, 1, 5), 5: (0, 1)}
"""Labels that are painted later, over each label."""

CORE, ALONE = 0.6, 0.8  # half thicknesses: inside a part, and outside all others, where its colours are learnt
COLOUR, SMOOTH = 7.0, 0.3  # weight of the colours, and reach of the smoothing in half thicknesses of an arm
BINS, RARE, CLEAR = 16, 1e-3, 0.1
"""Colours along an axis, the share that counts as none, and the difference of colours that counts."""
SURE, FAINT = 0.15, 0.02  # difference of two claims that is clear, and the least coverage of the figure
ROUNDS = 4  # of cutting and learning colours anew
UNSEEN = 20.0  # pixels of a core that a colour may have and count as none
SEAM = 2.0  # sigma in pixels that smooths what is continued under another part
FLAT, FARTHEST = 1e-3, 4.0  # variance of a flat picture, and half thicknesses beyond which all is equally far
BLEND = 0.7  # sigma in pixels that softens the cuts
FRONT = 0.9  # radii round its bones in which an arm lies over everything else
HAND, FINGER = 0.5, 0.45
"""Length of a hand in forearms where its points are unknown; its half thickness in the forearm's where they are known."""
SIDES = 0.6  # how far the trunk goes beyond the shoulders, in half thicknesses of the arm
HULL = 0.85  # share of the trunk's width that is trunk where an arm covers it
HEALED = 1.8  # how deep an arm's shadow on the body is closed, in half thicknesses of the arm
UNDER_TRUNK, UNDER_ARM = 0.3, 0.15  # how far legs go on under the trunk, and anything under an arm, in half thicknesses
BRIDGE = 2.8  # half thicknesses of an arm: half the width of an arm or hand beneath which the body hangs together
THREAD = 0.7  # half thicknesses of an arm: half the width of what sticks out of the body beside an arm and belongs to the arm
TREMBLE = 0.35  # sigma that takes the teeth off a cut, in half thicknesses of an arm
OUTLINE = 0.3  # half thicknesses of an arm beside a cut along it in which there may be drawn outlines and shadows
MIXED = 0.15  # half thicknesses of an arm beside a cut along it in which colours are mixed
BAND = 0.25  # overlap of the two bones of a limb beside the joint's disc, in half thicknesses
ROUND = 0.3  # pixels that the disc is larger than the limb
FACE_WEIGHT, NECK_WEIGHT = 0.1, 0.3  # beside the ears' 1
FEATURE, TURN = 0.45, 0.4  # reach of a face point, and how far it may move inside the head, in radii of the head
CHIN = 0.68  # of the way from the head's middle to the neck's joint: from here on the neck stretches
SHOULDERS = [2, NECK, 5]
HEAD_GRID = 13  # vertices of a head each way
RUNGS, SKIRT_RUNGS = 9, 5
GUARD = 3  # pixels round a piece's coverage

Mesh = tuple[np.ndarray, np.ndarray, Place]
"""Vertices (N, 2) in pixels of the picture, triangles (M, 3), and the vertices' place."""


class Scissors:
    """Cuts one figure.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W) in [0, 1], how much of each pixel the figure covers; `picture` shows its colours alone.
        body: its measures, in pixels of `picture`.
    """

    def __init__(self, picture: np.ndarray, coverage: np.ndarray, body: Body) -> None:
        self.picture, self.coverage, self.mask, self.body = picture, coverage, coverage > 0.5, body
        height, width = coverage.shape
        self.pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        distances = self._distances()
        labels = settled(self._claims(distances), self.picture, self.coverage > FAINT)
        labels = without_threads(smooth_cuts(labels, TREMBLE * body.arm), THREAD * body.arm)
        self.labels = joined(labels, BRIDGE * body.arm)
        self._seat = (distances[TRUNK_LABEL] < 1) & np.isin(self.labels, LEGS)
        self._under = self._healed(distances)
        self._within = self._from_cuts()

    def pieces(self) -> Iterator[Piece]:
        """From back to front."""
        for leg in LEGS:
            yield from self._limb(leg)
        yield from self._trunk()
        yield from self._head()
        for arm in ARMS:
            yield from self._limb(arm)

    # --- whose pixel is it -------------------------------------------------------------------------------------------------------

    def _distances(self) -> np.ndarray:
        """float64 (6, H, W): distance of every pixel from every part, in the part's half thicknesses."""
        body, pixels = self.body, self.pixels
        distances = np.full((6, *self.mask.shape), np.inf)
        edges = Edges(self.picture, self.coverage)
        for (limb, bone), radius in body.radii.items():
            start, end = body.joints[list(LIMBS[limb][bone : bone + 2])]
            if limb in ARMS:
                start, end, radius = edges.ribbon(start, end, radius)
            hand = HAND * float(np.linalg.norm(end - start)) if limb in ARMS and limb not in body.hands else 0
            tip = end + bone * max(radius, hand) * unit(end - start, (0, 1))
            distances[limb] = np.minimum(distances[limb], segment_distance(pixels, start, tip) / (radius + 0.5))
        for limb, hand_points in body.hands.items():
            bones = np.zeros(self.mask.shape, np.uint8)
            corners = np.rint((hand_points[HAND_BONES] - 0.5) * 16).astype(np.int32)
            cv2.polylines(bones, corners, False, 1, 1, cv2.LINE_8, 4)  # type: ignore[call-overload]
            if bones.any():
                radius = FINGER * body.radii.get((limb, 1), body.arm) + 0.5
                away = cv2.distanceTransform(1 - bones, cv2.DIST_L2, 5)
                distances[limb] = np.minimum(distances[limb], away / radius)
        neck, hips = body.joints[NECK], body.joints[HIPS].mean(0)
        share = np.clip((pixels - neck) @ (hips - neck) / max(np.sum((hips - neck) ** 2), 1e-6), 0, 1)
        reach = SIDES * (1 - share) * body.arm + share * body.leg + 0.5
        distances[TRUNK_LABEL] = self._outside(body.joints[[2, 5, 11, 8]]) / reach
        if body.hem:
            right, left = (leg_point(body.joints, side, body.hem) for side in (0, 1))
            down = unit((right + left) / 2 - hips, (0, 1))
            below = (pixels - (right + left) / 2) @ down > 0.5
            skirt = self._outside(np.stack([body.joints[8], right, left, body.joints[11]])) / (2 * body.leg)
            distances[TRUNK_LABEL] = np.where(below, 100, np.minimum(distances[TRUNK_LABEL], skirt))
            distances[LEGS[0] : LEGS[1] + 1, ((pixels - hips) @ down > 0) & ~below] = 100
        core = 0.1  # of the head, at distance 0
        from_middle = np.linalg.norm(pixels - body.head, axis=-1) / body.head_radius
        distances[HEAD_LABEL] = np.maximum(from_middle - core, 0) / (1 - core)
        return distances

    def _claims(self, distances: np.ndarray) -> np.ndarray:
        """float32 (6, H, W), least for the part a pixel belongs to: the distance, arms in front; more for an arm
        or for the body where the other's colours are likelier; smoothed except across the picture's edges (Rhemann et al. 2011,
        "Fast cost-volume filtering"). Joints are found beside their arms, so what the arms' colours are, those of both together, is learnt
        anew from every cut."""
        near = np.minimum(distances, FARTHEST).astype(np.float32)
        arms = near[list(ARMS)]
        near[list(ARMS)] = np.where(arms < FRONT, arms - FRONT, arms)
        bins, body = colour_bins(self.picture), distances[LEGS[0] :].min(0)
        radius = max(2, round(SMOOTH * self.body.arm))
        alone = distances[list(ARMS)].min(0) > ALONE
        cores = {
            arm: (
                (distances[arm] < CORE) & (np.minimum(body, distances[1 - arm]) > ALONE) & self.mask,
                (body < CORE) & alone & self.mask,
            )
            for arm in ARMS
        }
        for _ in range(ROUNDS):
            claims = near.copy()
            both = np.logical_or(*(cores[arm][0] for arm in ARMS))
            for arm in ARMS:
                as_arm, as_body = COLOUR * unlikely(bins, (both, cores[arm][1]))
                claims[arm] += as_arm
                rest = claims[LEGS[0] :]
                claims[LEGS[0] :] = np.where(distances[arm] < distances[1 - arm], rest + as_body, rest)
            claims = np.stack([guided_filter(self.picture, claim, radius, FLAT) for claim in claims])
            labels = claims.argmin(0)
            cores = {
                arm: (around & (labels == arm), around & (labels >= LEGS[0]))
                for arm in ARMS
                for around in [self.mask & (distances[arm] < FARTHEST)]
            }
        return claims

    def _outside(self, corners: np.ndarray) -> np.ndarray:
        """Distance from a polygon in pixels, (H, W)."""
        return np.asarray(cv2.distanceTransform((~polygon(corners, self.mask.shape)).astype(np.uint8), cv2.DIST_L2, 5))

    def _healed(self, distances: np.ndarray) -> np.ndarray:
        """int (H, W): the part that lies under an arm's pixels, where closing the rest of the figure says that one does; else -1."""
        beneath = closed((self.labels >= LEGS[0]) & self.mask, HEALED * self.body.arm) & self.mask
        return np.where(beneath & np.isin(self.labels, ARMS), distances[LEGS[0] :].argmin(0) + LEGS[0], -1)

    def _from_cuts(self) -> np.ndarray:
        """float32 (H, W): distance in pixels of the body from the arms, and of the arms from the body."""
        arms, body = np.isin(self.labels, ARMS), self.labels >= LEGS[0]
        from_arms, from_body = (
            cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5)
            if part.any()
            else np.full(part.shape, np.inf)
            for part in (arms, body)
        )
        return np.asarray(np.where(arms, from_body, from_arms))

    def _covered(self, label: int) -> np.ndarray:
        """bool (H, W): figure that is painted over a part."""
        return np.isin(self.labels, COVERED_BY[label]) & self.mask

    def _overlapping(self, label: int) -> np.ndarray:
        """A part's own pixels, and some more under what is painted over it: legs go on under the trunk, trunk and head under the arms."""
        own = self.labels == label
        if label < TRUNK_LABEL:
            over, depth = (self.labels == TRUNK_LABEL) & self.mask & (label in LEGS), UNDER_TRUNK * self.body.leg
        else:
            over, depth = self._covered(label), UNDER_ARM * self.body.arm
        reach = 2 * max(2, round(depth)) + 1
        near = cv2.dilate(own.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        return own | (self._under == label) | (near & over)

    # --- pieces ------------------------------------------------------------------------------------------------------------------

    def _piece(self, own: np.ndarray, shown: np.ndarray, mesh: Callable[[np.ndarray], Mesh]) -> Iterator[Piece]:
        """The piece that shows the pixels `shown`, coloured from the `own` ones and continued elsewhere; none if nothing is its own.

        `mesh` makes a mesh that encloses given points (N, 2).
        """
        own = own & self.mask
        if not own.any():
            return
        y, x = np.nonzero(shown)
        vertices, triangles, place = mesh(np.stack([x, y], -1) + 0.5)
        top, left = max(0, y.min() - GUARD), max(0, x.min() - GUARD)
        box = np.s_[top : y.max() + 1 + GUARD, left : x.max() + 1 + GUARD]
        share, whole = (cv2.GaussianBlur(of[box].astype(np.float32), (0, 0), BLEND) for of in (shown, self.labels >= 0))
        cut = share / np.maximum(
            whole, 1e-6
        )  # soft between parts alone: the figure's own edge is as soft as its coverage
        coverage = np.minimum(cut, self.coverage[box])[..., None]
        # at a cut, both parts' colours are mixed; what nobody has seen looks like what is farther from it than a drawn outline
        seen, hidden = (continued(self.picture[box], self._apart(own, share)[box]) for share in (MIXED, OUTLINE))
        texture = np.concatenate([np.where(own[box][..., None], seen, hidden) * coverage, 255 * coverage], -1)
        bordered = np.pad(np.rint(texture).astype(np.uint8), ((GUARD, GUARD), (GUARD, GUARD), (0, 0)))
        yield Piece(bordered, vertices - (left - GUARD, top - GUARD), triangles, place)

    def _apart(self, own: np.ndarray, share: float) -> np.ndarray:
        """The pixels of a part, bool (H, W), that are farther from a cut along an arm than `share` of its half thickness; all, if none is."""
        apart = own & (self._within > share * self.body.arm)
        return apart if apart.any() else own

    def _limb(self, limb: int) -> Iterator[Piece]:
        """Upper and lower bone; the forearm over the upper arm, but the thigh over the shin."""
        body, pixels, region = self.body, self.pixels, self._overlapping(limb)
        bones = [bone for bone in (0, 1) if (limb, bone) in body.radii]
        start, joint, end = body.joints[list(LIMBS[limb])]
        parts, disc = dict.fromkeys(bones, region), np.zeros_like(region)
        if len(bones) == 2:
            thin = min(body.radii[limb, 0], body.radii[limb, 1])
            from_joint = np.linalg.norm(pixels - joint, axis=-1)
            onwards = unit(unit(joint - start, (0, 1)) + unit(end - joint, (0, 1)), unit(joint - start, (0, 1)))
            past = (pixels - joint) @ onwards
            tip = end + 3 * body.radii[limb, 1] * unit(end - joint, (0, 1))
            nearer = segment_distance(pixels, start, joint) - segment_distance(pixels, joint, tip)
            lower = np.where(np.abs(nearer) > 0.7 * thin, nearer > 0, past > 0)
            parts = {0: region & ~lower, 1: region & lower}
            beside = (np.abs(past) < BAND * thin) & (from_joint < 2 * thin) & (self.labels == limb)
            disc = ((from_joint < thin + ROUND) & (self.mask | (self.labels == limb))) | beside
        for bone in bones if limb in ARMS else reversed(bones):
            yield from self._bone(limb, bone, parts[bone], disc)

    def _bone(self, limb: int, bone: int, region: np.ndarray, disc: np.ndarray) -> Iterator[Piece]:
        a, b = LIMBS[limb][bone : bone + 2]
        start, end, radius = self.body.joints[a], self.body.joints[b], self.body.radii[limb, bone]
        length, along = float(np.linalg.norm(end - start)), unit(end - start, (0, 1))
        tip = end + 0.6 * bone * radius * along
        hidden = (segment_distance(self.pixels, start, tip) < radius) & self._covered(limb)
        if limb in LEGS and not self.body.hem:  # without a skirt only the hip is under the trunk
            hidden &= (self.labels != TRUNK_LABEL) | ((self.pixels - start) @ along < length / 2)

        def mesh(points: np.ndarray) -> Mesh:
            t, n = (points - start) @ along, (points - start) @ turned(along)
            before, after = min(t.min() - 2, -1), max(t.max() + 2 - length, 1)
            sides = np.array([n.min() - 2, n.max() + 2])

            def strip(start: np.ndarray, end: np.ndarray, scale: float) -> np.ndarray:
                reach, along = np.linalg.norm(end - start), unit(end - start, (0, 1))
                levels = np.array([before * scale, 0, reach, reach + after * scale])
                rungs = start + levels[:, None, None] * along + scale * sides[None, :, None] * turned(along)
                return np.asarray(rungs.reshape(-1, 2))

            return strip(start, end, 1), grid(4, 2), lambda joints, seen, scale: strip(joints[a], joints[b], scale)

        yield from self._piece((region | disc) & (self.labels == limb), region | hidden | disc, mesh)

    def _trunk(self) -> Iterator[Piece]:
        body = self.body
        centres, across, halves = rungs(body, body.joints, 1)
        widths = halves.copy()
        widths[:RUNGS] -= np.linspace(1, 0, RUNGS) * body.arm  # beyond the shoulders' joints there are arms
        edge = HULL * across * widths[:, None]
        hull = polygon(np.concatenate([centres - edge, (centres + edge)[::-1]]), self.mask.shape) & (self.labels >= 0)

        def mesh(points: np.ndarray) -> Mesh:
            nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
            share = ((points - centres[nearest]) * across[nearest]).sum(-1) / halves[nearest]
            shares = np.array([min(share.min(), -1) - 0.3, -1, 0, 1, max(share.max(), 1) + 0.3])
            above = max(2.0, 2 - ((points - centres[0]) @ unit(centres[1] - centres[0], (0, 1))).min())
            below = max(2.0, 2 + ((points - centres[-1]) @ unit(centres[-1] - centres[-2], (0, 1))).max())

            def ladder(joints: np.ndarray, scale: float) -> np.ndarray:
                c, a, h = rungs(body, joints, scale)
                first, last = unit(c[1] - c[0], (0, 1)), unit(c[-1] - c[-2], (0, 1))
                c = np.concatenate([c[:1] - above * scale * first, c, c[-1:] + below * scale * last])
                sides = np.pad(a * h[:, None], ((1, 1), (0, 0)), mode="edge")
                return np.asarray((c[:, None] + sides[:, None] * shares[:, None]).reshape(-1, 2))

            triangles = grid(len(centres) + 2, len(shares))
            return ladder(body.joints, 1), triangles, lambda joints, seen, scale: ladder(joints, scale)

        own = (self.labels == TRUNK_LABEL) | self._seat
        yield from self._piece(own, own | hull | self._overlapping(TRUNK_LABEL), mesh)

    def _head(self) -> Iterator[Piece]:
        body = self.body
        hull = (np.linalg.norm(self.pixels - body.head, axis=-1) < body.head_radius) & self._covered(HEAD_LABEL)

        def mesh(points: np.ndarray) -> Mesh:
            x, y = (np.linspace(low - 2, high + 2, HEAD_GRID) for low, high in zip(points.min(0), points.max(0)))
            vertices = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
            return (
                vertices,
                grid(HEAD_GRID, HEAD_GRID),
                lambda joints, seen, scale: head_at(vertices, body, joints, seen, scale),
            )

        yield from self._piece(self.labels == HEAD_LABEL, hull | self._overlapping(HEAD_LABEL), mesh)


def settled(claims: np.ndarray, picture: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """int (H, W): the label of the least claim (L, H, W), -1 outside the figure, bool (H, W). Where two claims are nearly equal, a pixel goes to
    whom it is reached from over the picture's weakest edges."""
    labels = claims.argmin(0)
    least, second = np.partition(claims, 1, axis=0)[:2]
    sure = np.where(figure, np.where(second - least > SURE, labels + 2, 0), 1).astype(np.int32)
    reached = flooded(picture, sure, BLEND)
    return np.where(figure, np.where(reached > 1, reached - 2, labels), -1)


def smooth_cuts(labels: np.ndarray, sigma: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, each pixel's the one that most around it have, by a Gaussian of `sigma` pixels: cuts without teeth and threads."""
    shares = np.stack([cv2.GaussianBlur((labels == label).astype(np.float32), (0, 0), sigma) for label in range(6)])
    return np.where(labels >= 0, shares.argmax(0), -1)


def without_threads(labels: np.ndarray, reach: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, of which the body has nothing narrower than twice `reach` pixels that hangs on it beside an arm, such as a finger."""
    arms, figure = np.isin(labels, ARMS), labels >= 0
    side = 2 * max(1, round(reach)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # what an arm may hide counts as body: an arm before it makes no part of the body narrow
    body = figure & ~arms
    whole = body | (closed(body, 2 * reach) & arms)
    narrow = (cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, disc) == 0) & body
    _, parts = cv2.connectedComponents(narrow.astype(np.uint8))
    near = cv2.dilate(arms.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    threads = narrow & np.isin(parts, np.unique(parts[near & narrow]))
    if not threads.any():
        return labels
    _, (y, x) = distance_transform_edt(~arms, return_indices=True)
    return np.where(threads, labels[y, x], labels)


def colour_bins(picture: np.ndarray) -> np.ndarray:
    """int (H, W): which of BINS^3 colours each pixel of uint8 (H, W, 3) has, in CIELAB."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32) * BINS // 256
    return np.asarray((lab[..., 0] * BINS + lab[..., 1]) * BINS + lab[..., 2])


def unlikely(bins: np.ndarray, cores: Sequence[np.ndarray]) -> np.ndarray:
    """float32 (P, H, W) from 0 to 1: how much less likely each pixel's colour is in a part than in the part it is likeliest in,
    as learnt from the parts' cores, bool (H, W); 0 where that is not clear, and for all if one has no core."""
    if not all(core.any() for core in cores):
        return np.zeros((len(cores), *bins.shape), np.float32)
    counts = [np.bincount(bins[core], minlength=BINS**3).reshape(BINS, BINS, BINS) for core in cores]
    smooth = np.stack([gaussian_filter(count.astype(np.float32), 0.7, mode="constant").ravel() for count in counts])
    total = smooth.sum(1, keepdims=True)
    logs = np.log(smooth / total + np.maximum(RARE, UNSEEN / total))
    return np.asarray(np.maximum((logs.max(0) - logs) / -np.log(RARE) - CLEAR, 0)[:, bins], np.float32)


def continued(picture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W, 3), whose pixels beside `sources`, bool (H, W), take the nearest source's colour, a little smoothed:
    so seams and hems go on as they are."""
    _, nearest = distance_transform_edt(~sources, return_indices=True)
    whole = picture[tuple(nearest)]
    return np.where(sources[..., None], picture, cv2.GaussianBlur(whole, (0, 0), SEAM))


def closed(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask, bool (H, W), its gaps closed that are narrower than twice `reach` pixels."""
    side = 2 * round(reach) + 1
    bordered = np.pad(mask.astype(np.uint8), side)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(bordered, cv2.MORPH_CLOSE, disc)[side:-side, side:-side] > 0)


def joined(labels: np.ndarray, reach: float) -> np.ndarray:
    """Labels int (H, W), -1 outside, of which each is in one piece: what only hangs on another part, such as a hand far from its
    wrist, joins that part. Body on both sides of an arm that is narrower than twice `reach` pixels hangs together beneath it."""
    islands = np.zeros(labels.shape, bool)
    beneath = closed(labels >= LEGS[0], reach) & np.isin(labels, ARMS)
    for label in range(6):
        own = labels == label
        whole = own | beneath if label >= LEGS[0] else own
        _, parts = cv2.connectedComponents(whole.astype(np.uint8))
        sizes = np.bincount(parts[own], minlength=2)
        sizes[0] = 0
        islands |= own & (parts != sizes.argmax())
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


def rungs(body: Body, joints: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The trunk's ladder from the shoulders to the hips, or on to the hem: centres (R, 2), unit directions across (R, 2), half widths (R,)."""
    neck, hips = joints[NECK], joints[HIPS].mean(0)
    share = np.linspace(0, 1, RUNGS)[:, None]
    lines = (1 - share) * (joints[5] - joints[2]) + share * (joints[11] - joints[8])
    level = -turned(unit(hips - neck, (0, 1)))
    across = np.stack([unit(line, level) for line in lines])
    halves = np.linalg.norm(lines, axis=-1) / 2 + scale * ((1 - share) * body.arm + share * body.leg)[:, 0]
    centres = neck + share * (hips - neck)
    if not body.hem:
        return centres, across, halves
    levels = np.linspace(0, body.hem, SKIRT_RUNGS + 1)[1:]
    right, left = (np.stack([leg_point(joints, side, level) for level in levels]) for side in (0, 1))
    middle = (right + left) / 2
    level = -turned(unit(middle[-1] - hips, hips - neck))
    level = unit(across[-1] + (level if level @ across[-1] >= 0 else -level), across[-1])
    spread = np.linalg.norm(left - right, axis=-1) / 2 - np.linalg.norm(lines[-1]) / 2
    return (
        np.concatenate([centres, middle]),
        np.concatenate([across, np.repeat(level[None], SKIRT_RUNGS, 0)]),
        np.concatenate([halves, halves[-1] + np.maximum(spread, 0)]),
    )


def head_at(vertices: np.ndarray, body: Body, joints: np.ndarray, seen: np.ndarray, scale: float) -> np.ndarray:
    """Where points (N, 2) of the head go; see the module `puppet_warp.warp`."""
    face = [joint for joint in FACE if seen[joint]] or [joint for joint in FACE if body.seen[joint]]
    ears = [joint for joint in EARS if seen[joint]]
    used = [*face, NECK] if face else TRUNK
    weights = np.array([FACE_WEIGHT if ears and joint not in ears else 1.0 for joint in used])
    weights[-1] = NECK_WEIGHT if face else 1
    moves = [rigid(body.joints[used], joints[used], weights, scale, mirrored) for mirrored in (False, True)]
    errors = [float(weights @ np.sum((move(body.joints[used]) - joints[used]) ** 2, -1)) for move in moves]
    # seen from behind, the ears change sides
    move = moves[1] if len(ears) == 2 and errors[1] < 0.25 * errors[0] else moves[0]
    shift = joints[face] - move(body.joints[face])
    most = TURN * body.head_radius * scale
    shift *= np.minimum(1, most / np.maximum(np.linalg.norm(shift, axis=-1, keepdims=True), 1e-9))
    distance = np.linalg.norm(vertices[:, None] - body.joints[face], axis=-1) / (FEATURE * body.head_radius)
    near = np.exp(-(distance**2))
    turned_head = move(vertices) + near @ shift / np.maximum(near.sum(1, keepdims=True), 1)
    # below the chin the neck is stretched from the head to the shoulders, which it stays on
    on_trunk = rigid(body.joints[SHOULDERS], joints[SHOULDERS], np.array([1.0, 2.0, 1.0]), scale)
    neck = body.joints[NECK] - body.head
    down = (vertices - body.head) @ neck / max(float(neck @ neck), 1e-6)
    share = np.clip((down - CHIN) / (1 - CHIN), 0, 1)[:, None]
    share = share * share * (3 - 2 * share)
    return np.asarray(turned_head + share * (on_trunk(vertices) - turned_head))
