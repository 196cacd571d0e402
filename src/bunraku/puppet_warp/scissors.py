"""Scissors: cuts a figure into overlapping pieces, each with its map to any pose."""

from collections.abc import Callable, Iterator
from itertools import product

import cv2
import numpy as np

from bunraku.perception.cutout import polygon, segment_distance, touching
from bunraku.perception.plate import dilated, fill
from bunraku.puppet_warp.bends import Bends
from bunraku.puppet_warp.body import (
    ARMS,
    HIPS,
    LEGS,
    LIMBS,
    NECK,
    TRUNK,
    Body,
    from_edge,
    rigid,
    turned,
    unit,
)  # fmt: skip
from bunraku.puppet_warp.hidden import bridged, continued, shadow
from bunraku.puppet_warp.ink import Outline, outline
from bunraku.puppet_warp.labels import CORE, HAND, HEAD_LABEL, TRUNK_LABEL, closed, labelled, large, opened
from bunraku.puppet_warp.piece import Piece, Place, grid
from bunraku.puppet_warp.places import RUNGS, head_at, rungs, smoothstep

COVERED_BY = {0: (1,), 1: (), 2: (0, 1, 3, 4, 5), 3: (0, 1, 4, 5), 4: (0, 1, 5), 5: (0, 1)}
"""Labels that are painted later, over each label."""

SHOULDER = 0.15  # of the upper arm: so much of it is the trunk's where the trunk covers it
NEXT = 2  # pixels within which parts touch each other, and the least that one goes on under another
BLEND, STEPS = 0.7, 1.4  # sigmas in pixels as soft as which cuts are, and with which they are smoothed
HULL = 0.95  # share of the trunk's width that is trunk where an arm covers it
NAPE = 0.3  # of the way from the neck's joint to the head, and of the head's half height to either side: what slopes from there is trunk
HEALED = 5.0  # how deep what an arm hides of the body is closed, in half thicknesses of the arm
SMOOTH = (2.5, 0.5)
"""Sigmas in half thicknesses of an arm, along and across the trunk, that smooth the outline of what an arm hides."""
HAIR = 1.25  # radii of the head from its middle beyond which hair stands apart
FILLET = 0.8  # half thicknesses of an arm: rounds the step between what is seen of the body and what is guessed
FACE, NECK_HALF = 0.68, 0.4
"""Radii of the head: that of the face, and half the width of the neck. An arm hides no more of either than that, below the head's middle."""
UNDER_TRUNK = 0.45  # half thicknesses: how far legs go on under the trunk
SEAT = 1.0  # half thicknesses of a leg: how far from where the legs touch the seat reaches across them, and half so far below the trunk
OUTLINE = 0.3  # half thicknesses of an arm beside a cut along it in which there may be drawn outlines and shadows
ROOT = 2.5  # half thicknesses of an arm from the shoulder within which an arm hides the body in every pose
LEAST_LOST = 0.7  # half thicknesses of an arm: half the width of what an arm hides for its shadow to count
SLIVER = 0.4  # half thicknesses of an arm: half the width of what is too narrow to show beside what an arm hides
OUTLINES = 2.0  # so many times as far as drawn outlines what is darker beside an arm goes with it, whatever its hue
SHADOW = 3.5  # so many times as far as drawn outlines an arm's shadow reaches
DEPTH = 1.5  # half thicknesses of an arm: how much of what is seen beside it says what is under it
DEEP, LINES = 0.7, 1.5
"""Half thicknesses of an arm from the figure's edge that no outline reaches, and how many widths of its outline there are at least beside a cut."""
LIKE_INK, INKED = (
    45.0,
    1.5,
)  # levels of a channel within which a colour is the outline's, and widths of it beside a line that need no other
MIXED = 0.15  # half thicknesses of an arm beside a cut along it in which colours are mixed
SPIKE, SPIKY = (
    0.25,
    3.0,
)  # half thicknesses: half the width of a spike beside an elbow, and how far from it there may be one
BAND = 0.35  # overlap of the two bones of a limb beside the joint's disc, in half thicknesses
LEVELS, NEARBY = (
    12,
    0.5,
)  # along a bone, at which the reach of an arm's edges is measured, and of a bone, how far that says anything
STRAIGHT, WEDGE, NEAR_JOINT = 0.96, 0.4, 3.0
"""Cosine of the angle by which a straight limb is bent at most, how the overlap of its bones grows with the distance from the joint, and how far out
in half thicknesses there is any."""
ROUND = 0.3  # pixels that the disc is larger than the limb
LOST, UNKNOWN, LIES_BEHIND = 0.7, 0.5, 0.3
"""A hand of which so much less is seen than of the other (than of one whose points are not known either), and so much of whose place is body or
beyond the picture, is hidden there."""
LEAST_HAND = 2.0  # square half thicknesses of a forearm: less is no hand
LEAVES = 0.25  # of a hand's length, within which a hidden one is still hidden
CUFF = 0.3  # half thicknesses of a forearm before the wrist that a hand keeps
CHEEK, CHIN = 0.35, 0.68
"""Of the way from the head's middle to the neck's joint: between these what hangs on the head begins to go with the trunk, where it touches that."""
FACE_REACH, HALFWAY = 0.85, 0.5  # radii of the head within which nothing does, and of the way from there to the trunk
FEATURES = 0.5  # radii of the head: half the side of a square most of which an eye or a mouth does not fill
HEAD_GRID = 25  # vertices of a head each way
GUARD = 3  # pixels round a piece's coverage

Mesh = tuple[np.ndarray, np.ndarray, Place]
"""Vertices (N, 2) in pixels of the picture, triangles (M, 3), and the vertices' place."""


class Scissors:
    """Cuts one figure.

    Args:
        picture: uint8 (H, W, 3).
        coverage: float32 (H, W) in [0, 1], how much of each pixel the figure covers; `picture` shows its colours alone.
        body: its measures, in pixels of `picture`.
        still: bool (H, W), what the still shows of it; the rest of the figure is a guess. None: all.
    """

    def __init__(self, picture: np.ndarray, coverage: np.ndarray, body: Body, still: np.ndarray | None = None) -> None:
        self.picture, self.coverage, self.mask, self.body = picture, coverage, coverage > 0.5, body
        height, width = coverage.shape
        self.pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        self.labels, distances, self._arm_bones = labelled(picture, coverage, body)
        self._bends = Bends(self.labels, body)
        self._joints = self._bends.centred(body.joints, 1)
        self._lower = {limb: self._nearer_to_lower(limb) for limb in (*ARMS, *LEGS)}
        self._seat = (distances[TRUNK_LABEL] < 1) & np.isin(self.labels, LEGS)
        self._under = self._healed(distances)
        self._from_cuts = self._away_from_cuts()
        self._from_edge = from_edge(self.mask)
        self._ink = outline(picture, self._from_edge, DEEP * body.arm)
        self._outline = max(OUTLINE, LINES * self._ink.width / body.arm) if self._ink and self._ink.alone else OUTLINE
        shoulders = body.joints[[LIMBS[arm][0] for arm in ARMS]]
        from_shoulders = np.linalg.norm(self.pixels[..., None, :] - shoulders, axis=-1).min(-1)
        forearms = np.logical_or(*((self.labels == arm) & self._lower[arm] for arm in ARMS))
        self._roots = (from_shoulders <= ROOT * body.arm) & ~forearms
        self._lost = self._lost_hands(np.full(coverage.shape, True) if still is None else still)
        self._clothed = {arm: self._hidden_bones(arm) for arm in ARMS}
        self._folded = {arm: self._under_forearm(arm) for arm in ARMS}

    def pieces(self) -> Iterator[Piece]:
        """From back to front."""
        yield from self._crotch()
        for leg in LEGS:
            yield from self._limb(leg)
        for arm in ARMS:
            yield from self._behind(arm)
        for arm in self._lost:
            yield from self._mirrored(arm, before=False)
        yield from self._trunk()
        yield from self._head()
        for arm in ARMS:
            yield from self._limb(arm)
            if arm in self._lost:
                yield from self._mirrored(arm, before=True)

    def _healed(self, distances: np.ndarray) -> np.ndarray:
        """int (H, W): the part that lies under an arm's pixels, where the trunk's hull or closing the rest of the figure says that one does; else -1.
        What is guessed of the outline is smooth."""
        from_head = np.linalg.norm(self.pixels - self.body.head, axis=-1)
        apart = (self.labels == HEAD_LABEL) & (from_head > HAIR * self.body.head_radius)
        # between a ponytail and the shoulder there is no body
        body, hull = (self.labels >= LEGS[0]) & self.mask & ~apart, self._hull()
        whole = closed(body, HEALED * self.body.arm) | hull
        down = np.abs(unit(self.body.joints[HIPS].mean(0) - self.body.joints[NECK], (0, 1)))
        sigma = np.hypot(SMOOTH[0] * down, SMOOTH[1] * down[::-1]) * self.body.arm
        smooth = cv2.GaussianBlur(whole.astype(np.float32), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1]) > 0.5
        smooth |= closed(body | smooth & self.mask, FILLET * self.body.arm)
        part = distances[LEGS[0] :].argmin(0) + LEGS[0]
        smooth &= (part != HEAD_LABEL) | hull | self._head_and_neck()
        return np.where(smooth & self.mask & np.isin(self.labels, ARMS), part, -1)

    def _head_and_neck(self) -> np.ndarray:
        """bool (H, W): where there may be head or neck; anywhere above the head's middle, as hair may be."""
        body = self.body
        neck = body.joints[NECK] - body.head
        above = (self.pixels - body.head) @ neck < 0
        face = np.linalg.norm(self.pixels - body.head, axis=-1) < FACE * body.head_radius
        beside = segment_distance(self.pixels, body.head, body.joints[NECK] + neck)
        return np.asarray(above | face | (beside < NECK_HALF * body.head_radius))

    def _nearer_to_lower(self, limb: int) -> np.ndarray:
        """bool (H, W): what is nearer to a limb's lower bone than to its upper one, or as near and past the joint between them."""
        body = self.body
        if not {(limb, 0), (limb, 1)} <= body.radii.keys():
            return np.full(self.mask.shape, (limb, 1) in body.radii)
        start, joint, end = self._joints[list(LIMBS[limb])]
        tip = end + 3 * body.radii[limb, 1] * unit(end - joint, (0, 1))
        nearer = segment_distance(self.pixels, start, joint) - segment_distance(self.pixels, joint, tip)
        thin = min(body.radii[limb, 0], body.radii[limb, 1])
        return np.asarray(np.where(np.abs(nearer) > 0.7 * thin, nearer > 0, self._past_joint(limb) > 0))

    def _past_joint(self, limb: int) -> np.ndarray:
        """How far pixels lie past a limb's elbow or knee, (H, W), in the direction between its two bones'."""
        start, joint, end = self._joints[list(LIMBS[limb])]
        upper = unit(joint - start, (0, 1))
        return np.asarray((self.pixels - joint) @ unit(upper + unit(end - joint, (0, 1)), upper))

    def _away_from_cuts(self) -> np.ndarray:
        """float32 (H, W): distance in pixels of the body from the arms, and of the arms from the body."""
        arms, body = np.isin(self.labels, ARMS), self.labels >= LEGS[0]
        from_arms, from_body = (
            cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5)
            if part.any()
            else np.full(part.shape, np.inf)
            for part in (arms, body)
        )
        return np.asarray(np.where(arms, from_body, from_arms))

    def _past_wrist(self, arm: int, cuff: float = 0) -> np.ndarray:
        """bool (H, W): what lies past an arm's wrist, and `cuff` half thicknesses of the forearm before it."""
        elbow, wrist = self.body.joints[list(LIMBS[arm][1:])]
        return np.asarray((self.pixels - wrist) @ unit(wrist - elbow, (0, 1)) > -cuff * self.body.radii[arm, 1])

    def _hand_seen(self, arm: int) -> bool:
        """Whether an arm goes on past its wrist for as much as a hand."""
        if (arm, 1) not in self.body.radii:
            return False
        past = (self.labels == arm) & self._past_wrist(arm)
        return bool(np.count_nonzero(past) > LEAST_HAND * self.body.radii[arm, 1] ** 2)

    def _lost_hands(self, still: np.ndarray) -> list[int]:
        """Arms whose hand lies behind the body or beyond the `still`, while the other's is seen."""
        if any((arm, 1) not in self.body.radii for arm in ARMS):
            return []
        past = [self._past_wrist(arm) for arm in ARMS]
        size = [np.count_nonzero((self.labels == arm) & past[arm] & still) for arm in ARMS]
        places = [(self._arm_bones[arm, 1] < 1) & past[arm] for arm in ARMS]
        covered = ((self.labels >= LEGS[0]) & self.mask) | ~still
        return [
            arm
            for arm, other in (ARMS, ARMS[::-1])
            if arm not in self.body.hands
            and size[arm] < (LOST if other in self.body.hands else UNKNOWN) * size[other]
            and size[other] > LEAST_HAND * self.body.radii[other, 1] ** 2
            and np.count_nonzero(places[arm] & covered) > LIES_BEHIND * np.count_nonzero(places[arm])
        ]

    def _covered(self, label: int) -> np.ndarray:
        """bool (H, W): figure that is painted over a part."""
        return np.isin(self.labels, COVERED_BY[label]) & self.mask

    def _overlapping(self, label: int, hull: np.ndarray | bool = False) -> np.ndarray:
        """A part's own pixels, and some more under what is painted over it: legs go on under the trunk, trunk and head under the arms, also in
        a `hull`, bool (H, W). What is guessed of trunk and head under an arm does not grow further, and all hangs together with the part: an
        arm that stands apart from it hides nothing of it."""
        if label in ARMS:
            return np.asarray(self.labels == label)
        whole = np.where(self._under < 0, self.labels, self._under)
        if label >= TRUNK_LABEL:
            # no more than that: where an arm that only touches the side leaves, it would be a ledge
            further = dilated(self.labels == label, 1) & self._covered(label)
        else:
            # under a skirt only their bones go on: what lies beside them would show below a hem that rises
            depth = 0 if self.body.hem else UNDER_TRUNK * self.body.leg
            further = dilated(whole == label, max(NEXT, depth)) & (whole == TRUNK_LABEL) & self.mask
        return touching((whole == label) | further | hull, self.labels == label)

    # --- pieces ------------------------------------------------------------------------------------------------------------------

    def _piece(
        self,
        own: np.ndarray,
        shown: np.ndarray,
        mesh: Callable[[np.ndarray], Mesh],
        along: np.ndarray | tuple[float, float] = (0, 0),
        outlined: bool = False,
    ) -> Iterator[Piece]:
        """The piece that shows the pixels `shown`, coloured from the `own` ones and continued elsewhere, across the direction `along` (2,) sooner
        than along it; none if nothing is its own.

        `mesh` makes a mesh that encloses given points (N, 2). `outlined`: a figure with an outline has one as well where the piece ends at an
        arm.
        """
        if not (own & self.mask).any():
            return
        y, x = np.nonzero(shown)
        vertices, triangles, place = mesh(np.stack([x, y], -1) + 0.5)
        top, left = max(0, y.min() - GUARD), max(0, x.min() - GUARD)
        box = np.s_[top : y.max() + 1 + GUARD, left : x.max() + 1 + GUARD]
        own, picture, from_cuts = (own & self.mask)[box], self.picture[box], self._from_cuts[box]
        if not own.any():
            return
        share, whole = (cv2.GaussianBlur(of[box].astype(np.float32), (0, 0), STEPS) for of in (shown, self.labels >= 0))
        # soft between parts alone, without the steps of pixels: the figure's own edge is as soft as its coverage
        soft = 0.5 + STEPS / BLEND * (share / np.maximum(whole, 1e-6) - 0.5)
        coverage = np.minimum(soft.clip(0, 1), self.coverage[box])[..., None]
        # at a cut, both parts' colours are mixed; what nobody has seen looks like what is farther from it than a drawn outline
        colours = continued(picture, self._apart(own, from_cuts, MIXED), along)
        hidden = self._hidden(picture, own, self.mask[box], from_cuts, self._outline, along)
        labels, root = self.labels[box], self._roots[box]
        arms = np.isin(labels, ARMS)
        # next to a cut through the body both sides are seen, and under a head that turns is its neck
        beside = (dilated(own, NEXT) | (labels == HEAD_LABEL)) & ~own & (labels >= LEGS[0])
        of_arm = bool((arms & own).any())
        if of_arm:
            beside = np.zeros_like(beside)
        lost = arms & shown[box] & ~root
        if of_arm and self._ink is None:  # what clothes hide of it; a drawn one ends in lines of its own there
            lost = np.logical_or(*self._clothed[ARMS[0] if (labels[own] == ARMS[0]).any() else ARMS[1]])[box]
        if of_arm or not np.any(along):  # of trunk and legs alone: a face has darker things than shadows
            arms = np.zeros_like(arms)
            lost = lost & of_arm & (self._ink is None)
        if lost.any():
            deep = self._hidden(picture, own, self.mask[box], from_cuts, SHADOW * self._outline, along)
            hidden = np.where(shadow(hidden, deep)[..., None], deep, hidden)
            shaded = self._shaded(own, lost, from_cuts, colours, hidden)[..., None]
            colours = shaded * hidden + (1 - shaded) * colours
        colours = np.where(own[..., None], colours, hidden)
        # the shoulder of a raised arm goes over into what it has left: clothes and skin there are the arm's
        colours = np.where((arms & root | beside)[..., None], picture, colours)
        if outlined and self._ink is not None:
            colours = self._outlined(colours, shown[box], np.isin(labels, ARMS) & self.mask[box], self._ink)
        texture = np.concatenate([colours * coverage, 255 * coverage], -1)
        bordered = np.pad(texture.astype(np.float32), ((GUARD, GUARD), (GUARD, GUARD), (0, 0)))
        yield Piece(bordered, vertices - (left - GUARD, top - GUARD), triangles, place)

    def _outlined(self, colours: np.ndarray, shown: np.ndarray, arms: np.ndarray, ink: Outline) -> np.ndarray:
        """A piece's colours, (H, W, 3), with the figure's outline where what is `shown` of it ends at `arms`, bool (H, W), and no line is drawn yet;
        between the lines of a line drawing in any case."""
        ends = arms & ~shown
        if not ends.any():
            return colours
        away = cv2.distanceTransform((~ends).astype(np.uint8), cv2.DIST_L2, 5)
        share = (ink.width + 0.5 - away).clip(0, 1)
        if not ink.alone:
            drawn = dilated(np.abs(colours - ink.colour).max(-1) < LIKE_INK, INKED * ink.width)
            share *= cv2.GaussianBlur((~drawn).astype(np.float32), (0, 0), BLEND)
        return np.asarray((1 - share[..., None]) * colours + share[..., None] * ink.colour)

    def _hidden(
        self,
        picture: np.ndarray,
        own: np.ndarray,
        figure: np.ndarray,
        from_cuts: np.ndarray,
        least: float,
        along: np.ndarray | tuple[float, float],
    ) -> np.ndarray:
        """What is hidden of a part, uint8 (H, W, 3): as what it has, bool (H, W), `least` half thicknesses of an arm `from_cuts`, float (H, W)."""
        far = self._apart(own, from_cuts, least)
        # a sliver between an arm and the figure's edge says little of what is under the arm
        broad = opened(far, MIXED * self.body.arm)
        sources = broad if broad.any() else far
        if not np.any(along):
            return fill(self._plain(picture, own), ~sources)  # a face goes on as skin, not as the eye beside it
        hidden = continued(picture, sources, along)
        across = bridged(picture, sources, np.asarray(along), DEPTH * self.body.arm, hidden)
        return np.where((figure & ~sources)[..., None], across, hidden)

    def _plain(self, picture: np.ndarray, own: np.ndarray) -> np.ndarray:
        """A part's picture, uint8 (H, W, 3), without its eyes and mouth: the median around each pixel, of what is its `own`, bool (H, W)."""
        side = 2 * round(FEATURES * self.body.head_radius) + 1
        only = continued(picture, own)
        return np.asarray(cv2.medianBlur(only, max(3, side)))

    def _shaded(
        self, own: np.ndarray, lost: np.ndarray, from_cuts: np.ndarray, colours: np.ndarray, hidden: np.ndarray
    ) -> np.ndarray:
        """float32 (H, W) in [0, 1]: how much of a part's `own` `colours` goes with an arm that hides what is `lost` of it, bool (H, W): beside
        that, outlines and shadows on what is `hidden` there, and lighter slivers of the part between the arm and the figure's edge."""
        reach = self._outline * self.body.arm
        beside = own & dilated(opened(lost, LEAST_LOST * self.body.arm), SHADOW * reach + NEXT)
        lighter = colours.sum(-1, dtype=int) - hidden.sum(-1, dtype=int)
        sliver = ~opened(own, SLIVER * self.body.arm) & (lighter > 0)
        far = np.where(shadow(colours, hidden), SHADOW, np.where(lighter < 0, OUTLINES, 0))
        ramp = np.clip(far - from_cuts / reach, 0, 1)
        share = np.where(own, beside * np.maximum(ramp, sliver), lost).astype(np.float32)
        return np.asarray(np.where(own, cv2.GaussianBlur(share, (0, 0), BLEND), 0))

    def _apart(self, own: np.ndarray, away: np.ndarray, share: float) -> np.ndarray:
        """The pixels of `own`, bool (H, W), that are farther `away`, (H, W) in pixels, than `share` of an arm's half thickness; all, if none is."""
        apart = own & (away > share * self.body.arm)
        return apart if apart.any() else own

    def _limb(self, limb: int) -> Iterator[Piece]:
        """Upper and lower bone; the forearm over the upper arm, but the thigh over the shin."""
        body, pixels, region = self.body, self.pixels, self._overlapping(limb)
        if limb in self._lost:
            region &= ~self._past_wrist(limb)
        bones = [bone for bone in (0, 1) if (limb, bone) in body.radii]
        start, joint, end = self._joints[list(LIMBS[limb])]
        parts, disc = dict.fromkeys(bones, region), np.zeros_like(region)
        if len(bones) == 2:
            thin = min(body.radii[limb, 0], body.radii[limb, 1])
            thin = max(thin, self._bends.half.get(limb, 0))
            from_joint = np.linalg.norm(pixels - joint, axis=-1)
            if limb in ARMS:  # what the body leaves of an elbow ends in no spikes
                region &= opened(region, SPIKE * thin) | (from_joint > SPIKY * thin)
            past = self._past_joint(limb)
            parts = {0: region & ~self._lower[limb], 1: region & self._lower[limb]}
            straight = unit(joint - start, (0, 1)) @ unit(end - joint, (0, 1)) > STRAIGHT
            beside = (np.abs(past) < BAND * thin) & (from_joint < 2 * thin)
            if straight:  # a wedge on either side that the limb opens when it bends
                beside |= (np.abs(past) < WEDGE * (from_joint - 0.5 * thin)) & (from_joint < NEAR_JOINT * thin)
            beside &= self.labels == limb
            # what hides an elbow stays before it
            disc = (from_joint < thin + ROUND) & (self.mask if limb in LEGS else region) | beside & region
        for bone in bones if limb in ARMS else reversed(bones):
            yield from self._bone(limb, bone, parts[bone], disc)

    def _bone(self, limb: int, bone: int, region: np.ndarray, disc: np.ndarray) -> Iterator[Piece]:
        a, b = LIMBS[limb][bone : bone + 2]
        start, end, radius = self._joints[a], self._joints[b], self.body.radii[limb, bone]
        length, along = float(np.linalg.norm(end - start)), unit(end - start, (0, 1))
        tip = end + 0.6 * bone * radius * along
        hidden = (segment_distance(self.pixels, start, tip) < radius) & self._covered(limb)
        if limb in LEGS and not self.body.hem:  # without a skirt only the hip is under the trunk
            hidden &= (self.labels != TRUNK_LABEL) | ((self.pixels - start) @ along < length / 2)
        if limb in ARMS and bone == 0:
            hidden |= self._folded[limb]

        whole = region | disc
        if limb in ARMS:  # nor is anything left beside it
            whole = large(whole, radius**2)
        yield from self._piece(whole & (self.labels == limb), whole | hidden, self._strip(limb, bone), along)

    def _behind(self, arm: int) -> Iterator[Piece]:
        """What the body's clothes hide of an arm: its bones go on behind them, in the colours that the arm has near them."""
        own = self.labels == arm
        inside = self._apart(own, self._from_edge, OUTLINE)
        for bone, hidden in enumerate(self._clothed[arm]):
            if hidden.any():
                start, end = self.body.joints[list(LIMBS[arm][bone : bone + 2])]
                away = self._arm_bones[arm, bone]
                core = inside & (away < CORE)
                shown = own & (away < 1) & self._from_shoulder(arm, bone) & (self._lower[arm] == bone)
                shown |= hidden | (self._folded[arm] if bone == 0 else False)
                yield from self._piece(
                    core if core.any() else inside, shown, self._strip(arm, bone), unit(end - start, (0, 1))
                )

    def _hidden_bones(self, arm: int) -> list[np.ndarray]:
        """Of the upper and the lower bone of an arm what the body's clothes hide, bool (H, W)."""
        body, hidden = (self.labels >= LEGS[0]) & self.mask, []
        for bone in (0, 1):
            within = body & (self._arm_bones.get((arm, bone), np.inf) < 1) & self._from_shoulder(arm, bone)
            if arm in self._lost or self._hand_seen(arm):  # no second hand behind one that is seen
                within &= ~self._past_wrist(arm)
            hidden.append(self._between_edges(arm, bone, within, body))
        return hidden

    def _under_forearm(self, arm: int) -> np.ndarray:
        """What an arm's own forearm hides of its upper arm, bool (H, W)."""
        if (arm, 0) not in self.body.radii:
            return np.zeros_like(self.mask)
        forearm, (along, beside) = (self.labels == arm) & self._lower[arm], self._beside_bone(arm, 0)
        within = (along > SHOULDER) & (along < 1) & (np.abs(beside) < self.body.radii[arm, 0])
        return self._between_edges(arm, 0, within & forearm, forearm | (self.labels >= LEGS[0]) & self.mask)

    def _from_shoulder(self, arm: int, bone: int) -> np.ndarray:
        """bool (H, W): what lies past the shoulder, along an arm's bone."""
        return np.asarray(self._beside_bone(arm, bone)[0] > (1 - bone) * SHOULDER)

    def _between_edges(self, arm: int, bone: int, within: np.ndarray, before: np.ndarray) -> np.ndarray:
        """What is `within` a bone, bool (H, W), and no farther beside it than the arm's edges on that side, near where they are seen: where they
        do not touch what lies `before` it, bool (H, W)."""
        if not within.any():
            return within
        touched = dilated(before, NEXT)
        t, n = self._beside_bone(arm, bone, within)
        radius, inside = self.body.radii[arm, bone], np.full(t.shape, True)
        away = {k: self._arm_bones[arm, k] for k in (0, 1) if (arm, k) in self._arm_bones}
        for k, from_bone in away.items():
            own = (self.labels == arm) & self.mask & (from_bone <= away.get(1 - k, np.inf))
            own_t, own_n = self._beside_bone(arm, k, own)
            for at, side in product(np.arange(0.5, LEVELS) / LEVELS, (-1, 1)):
                level = np.abs(own_t - at) < 0.5 / LEVELS
                reach = side * own_n[level]
                far = float(reach.max(initial=0))
                if 0 < far < radius and not (touched[own][level] & (reach > far - NEXT)).any():
                    share = 1 - np.abs(bone + t.clip(0, 1) - k - at) / NEARBY
                    inside &= side * n < radius - (radius - far) * share.clip(0)
        result = np.zeros_like(within)
        result[within] = inside
        return result

    def _beside_bone(self, arm: int, bone: int, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Of pixels how far they are along a bone, as a share of it, and beside it, in pixels: (H, W) each, or (N,) of a mask's."""
        start, end = self.body.joints[list(LIMBS[arm][bone : bone + 2])]
        along, ways = unit(end - start, (0, 1)), (self.pixels if mask is None else self.pixels[mask]) - start
        return ways @ along / max(float(np.linalg.norm(end - start)), 1e-6), ways @ turned(along)

    def _mirrored(self, arm: int, before: bool) -> Iterator[Piece]:
        """For a hand that is hidden the other's mirror image, once it leaves its place: first behind the body, and by the length of a hand away
        also `before` it."""
        body, other = self.body, 1 - arm
        elbow, wrist = body.joints[list(LIMBS[other][1:])]
        hand = (self.labels == other) & self._past_wrist(other, CUFF)
        hand = touching(hand, hand & (np.linalg.norm(self.pixels - wrist, axis=-1) < body.radii[other, 1]))
        along, length = unit(wrist - elbow, (0, 1)), HAND * float(np.linalg.norm(wrist - elbow))
        away = length if before else LEAVES * length

        def mesh(points: np.ndarray) -> Mesh:
            sides = np.stack([(points - wrist) @ along, (points - wrist) @ turned(along)], -1)
            (low, left), (high, right) = sides.min(0) - 2, sides.max(0) + 2
            corners = np.array([(low, left), (low, right), (high, left), (high, right)])

            def place(joints: np.ndarray, seen: np.ndarray, scale: float) -> np.ndarray:
                start, end = joints[list(LIMBS[arm][1:])]
                rest = rigid(body.joints[TRUNK], joints[TRUNK], np.ones(len(TRUNK)), scale)
                if np.linalg.norm(rest(body.joints[[LIMBS[arm][2]]])[0] - end) < away * scale:
                    return np.repeat(end[None], 4, 0)
                way = unit(end - start, (0, 1))
                return np.asarray(end + scale * (corners[:, :1] * way - corners[:, 1:] * turned(way)))

            return wrist + corners[:, :1] * along + corners[:, 1:] * turned(along), grid(2, 2), place

        yield from self._piece(hand, hand, mesh)

    def _strip(self, limb: int, bone: int) -> Callable[[np.ndarray], Mesh]:
        """The mesh of a bone."""
        a, b = LIMBS[limb][bone : bone + 2]
        start, end = self._joints[a], self._joints[b]
        length, along = float(np.linalg.norm(end - start)), unit(end - start, (0, 1))

        def mesh(points: np.ndarray) -> Mesh:
            t, n = (points - start) @ along, (points - start) @ turned(along)
            before, after = min(t.min() - 2, -1), max(t.max() + 2 - length, 1)
            sides = np.array([n.min() - 2, n.max() + 2])

            def strip(start: np.ndarray, end: np.ndarray, scale: float) -> np.ndarray:
                reach, along = np.linalg.norm(end - start), unit(end - start, (0, 1))
                levels = np.array([before * scale, 0, reach, reach + after * scale])
                rungs = start + levels[:, None, None] * along + scale * sides[None, :, None] * turned(along)
                return np.asarray(rungs.reshape(-1, 2))

            def place(joints: np.ndarray, seen: np.ndarray, scale: float) -> np.ndarray:
                centred = self._bends.centred(joints, scale)
                return strip(centred[a], centred[b], scale)

            return strip(start, end, 1), grid(4, 2), place

        return mesh

    def _crotch(self) -> Iterator[Piece]:
        """What closes the gap between legs that touch each other and are spread: the figure there, on the trunk and behind all else."""
        trunk, legs = self.labels == TRUNK_LABEL, np.isin(self.labels, LEGS)
        joint, reach = (self.labels == LEGS[0]) & dilated(self.labels == LEGS[1], NEXT), SEAT * self.body.leg
        seat = dilated(joint, max(NEXT, reach)) & dilated(trunk, max(NEXT, reach / 2)) & (trunk | legs)
        yield from self._piece(seat, seat, self._ladder)

    def _hull(self) -> np.ndarray:
        """bool (H, W): where there is trunk, as far as joints can say it, whatever lies before it."""
        body = self.body
        centres, across, halves = rungs(body, body.joints, 1)
        widths = halves.copy()
        widths[:RUNGS] -= np.linspace(1, 0, RUNGS) * body.arm  # beyond the shoulders' joints there are arms
        edge = HULL * across * widths[:, None]
        nape = body.joints[NECK] + NAPE * (body.head - body.joints[NECK])
        sides = NAPE * body.head_radius * across[0]
        outline = np.concatenate([centres - edge, (centres + edge)[::-1], [nape + sides, nape - sides]])
        return polygon(outline, self.mask.shape) & (self.labels >= 0)

    def _trunk(self) -> Iterator[Piece]:
        body = self.body
        hull = self._hull() & ~np.isin(self.labels, ARMS)
        own = (self.labels == TRUNK_LABEL) | self._seat
        down = unit(body.joints[HIPS].mean(0) - body.joints[NECK], (0, 1))
        yield from self._piece(own, own | self._overlapping(TRUNK_LABEL, hull), self._ladder, down, outlined=True)

    def _ladder(self, points: np.ndarray) -> Mesh:
        """The mesh of what moves with the trunk."""
        body = self.body
        centres, across, halves = rungs(body, body.joints, 1)
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

    def _head(self) -> Iterator[Piece]:
        body = self.body
        hull = (np.linalg.norm(self.pixels - body.head, axis=-1) < body.head_radius) & self._covered(HEAD_LABEL)

        def mesh(points: np.ndarray) -> Mesh:
            x, y = (np.linspace(low - 2, high + 2, HEAD_GRID) for low, high in zip(points.min(0), points.max(0)))
            vertices = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
            share = self._on_trunk(vertices)
            return (
                vertices,
                grid(HEAD_GRID, HEAD_GRID),
                lambda joints, seen, scale: head_at(vertices, share, body, joints, seen, scale),
            )

        yield from self._piece(self.labels == HEAD_LABEL, self._overlapping(HEAD_LABEL, hull), mesh, outlined=True)

    def _on_trunk(self, points: np.ndarray) -> np.ndarray:
        """How much points (N, 2) of the head and what hangs on it go with the trunk, (N,): below the face from nothing at the head to all of it where
        the trunk begins."""
        body, (height, width) = self.body, self.mask.shape
        trunk = self.labels == TRUNK_LABEL
        if not trunk.any():
            return np.zeros(len(points))
        away = cv2.distanceTransform((~trunk).astype(np.uint8), cv2.DIST_L2, 5)
        x, y = np.clip(points.astype(int), 0, (width - 1, height - 1)).T
        from_head = np.maximum(np.linalg.norm(points - body.head, axis=-1) - FACE_REACH * body.head_radius, 0)
        neck = body.joints[NECK] - body.head
        down = (points - body.head) @ neck / max(float(neck @ neck), 1e-6)
        way = from_head / np.maximum(from_head + away[y, x], 1e-6)
        return smoothstep((way - HALFWAY) / (1 - HALFWAY)) * smoothstep((down - CHEEK) / (CHIN - CHEEK))
