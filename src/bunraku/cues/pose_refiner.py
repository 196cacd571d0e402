"""PoseRefiner: the poses that a character follows, freed of what detectors and retargeting got wrong."""

from copy import deepcopy
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from scipy.ndimage import maximum_filter1d
from torch import Tensor, nn
from torch.nn import functional

from bunraku.cues.retarget import ANKLES, HIPS, MIRROR, NECK, OUTWARDS, PROPORTIONS, TREE, bone_lengths
from bunraku.perception.pose import BODY, SEEN, PoseTrack, together

JOINTS = BODY.stop
BONES = np.array([joint for joint in range(JOINTS) if joint != NECK])
"""By the joint at their end."""
SURE = 0.5
"""Probability from which a joint that was not found counts as seen."""
START = 2.0
"""Start of what decides how much of a correction is made: 0.96 of it."""
ALIKE = 0.3
"""Logarithm of how much larger the still shows the character than it is to be; beyond, it comes into another scene, which says nothing of its bones."""
AROUND = 8
"""Frames before and after one whose joints say where those of that frame are."""
CUT = 0.25
"""Of a person's height: a way of half of the joints from one frame to the next that nobody goes."""
SOURCES = 2 * (2 * AROUND + 1)
REACH = (1.2, 0.1)
"""A correction is made clamp(REACH[0] sigmoid(x) - REACH[1]) of the way: not at all, or wholly, where the network is sure."""


class Motion(NamedTuple):
    """Poses of one person as the network sees them; lengths in the body's unit, which is about a person's height.

    Attributes:
        points: float32 (F, 18, 2) about `origin`; what is not seen lies between the frames where it is.
        seen: bool (F, 18); known: bool (18,), joints that are seen in any frame.
        body: float32 (`BODY_FEATURES`,), what is known of the character.
        origin: (2,) in pixels; unit: pixels.
    """

    points: np.ndarray
    seen: np.ndarray
    known: np.ndarray
    body: np.ndarray
    origin: np.ndarray
    unit: float


BODY_FEATURES = 3 * JOINTS + 2 * len(BONES) + 1


class PoseRefiner(ModelMixin, ConfigMixin):
    """A transformer over the frames of one person's poses.

    It sees the driving poses on the character (retargeted), where they were found, and the pose and bones of the still. Of the clip it says by how
    much each bone is longer than retargeting took it to be, as a still shows bones foreshortened; feet stay on their ground then. Of every joint in
    every frame it says how far it lies beside its place, and whether it can be seen. Nothing is moved where it is sure that nothing is wrong.
    It knows no frame numbers, only the distance between frames; a clip of any length is seen in windows of `window` frames.

    Config:
        channels, layers, heads: of the transformer.
        window: frames that are seen together.
    """

    precise: ClassVar[bool] = True
    """Places are said to a thousandth of a height, which takes float32."""

    @register_to_config
    def __init__(self, channels: int = 144, layers: int = 5, heads: int = 4, window: int = 48) -> None:
        super().__init__()
        self.embed = nn.Conv1d(3 * JOINTS, channels, 5, padding=2)
        self.embed_body = nn.Sequential(nn.Linear(BODY_FEATURES, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.blocks = nn.ModuleList(Block(channels, heads, window) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, (2 + SOURCES + 2) * JOINTS + 2)
        self.bones = nn.Sequential(
            nn.Linear(2 * channels + BODY_FEATURES, channels), nn.SiLU(), last := nn.Linear(channels, 2 * JOINTS)
        )
        for layer, moved in ((self.out, (2 + SOURCES) * JOINTS + 2), (last, JOINTS)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            nn.init.constant_(layer.bias[moved : moved + JOINTS], START)

    def forward(self, points: Tensor, seen: Tensor, body: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where joints should be (B, F, 18, 2), the logit of whether they can be seen (B, F, 18), and where they would be if all that is said were
        done (B, F, 18, 2): training judges that by itself, as what is not done learns nothing.

        Args:
            points, seen, body: of `Motion`, float32 (B, F, 18, 2), (B, F, 18), (B, `BODY_FEATURES`).
        """
        frames = torch.cat([points.flatten(2), 2 * seen.to(points) - 1], -1)
        character = self.embed_body(body)
        hidden = self.embed(frames.mT).mT + character[:, None]
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        longer, certain = self.bones(torch.cat([hidden.mean(1), character, body], -1)).chunk(2, -1)
        known = seen.to(torch.bool).any(1)
        move, weights, all_of_it, share, visible = self.out(hidden).split(
            [2 * JOINTS, SOURCES * JOINTS, 2, JOINTS, JOINTS], -1
        )
        moved = move.unflatten(-1, (JOINTS, 2)) + all_of_it[:, :, None]
        moved = moved + torch.einsum("bfjs,bfsjx->bfjx", weights.unflatten(-1, (JOINTS, SOURCES)), around(points))
        whole = stretched(points, torch.exp(longer), known) + moved
        # what is corrected is learnt from the whole of it, and here only how much of it is to be made
        ratios = torch.exp(_share(certain) * longer.detach())
        return stretched(points, ratios, known) + _share(share)[..., None] * moved.detach(), visible, whole

    @torch.no_grad()
    def refine(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        """Driving poses on the character, mended; feet, face and hands go with the joint that they hang on.

        Args:
            driving: (F, P, K) on the characters, retargeted, in the picture of the reference.
            reference: (1, P, K') their poses in the still.

        Returns:
            (F, P, K). Who does not move stays as he is, shots are mended one by one, and what is not seen for more than `AROUND` frames before and after
            stays unseen.
        """
        if self.dtype != torch.float32:
            return deepcopy(self).float().refine(driving, reference)
        return together([self._refined(driving.person(i), reference.person(i)) for i in range(driving.people)])

    def _refined(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        parts = [self._shot(driving[shot], reference) for shot in shots(driving)]
        keypoints, scores = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("keypoints", "scores")
        )
        return PoseTrack(keypoints, scores, driving.size)

    def _shot(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        motion = motion_of(driving, reference)
        if motion is None or not np.ptp(motion.points, axis=0).any():  # who stays where he is has nothing to be mended
            return driving
        points, visible = self._seen_whole(motion)
        before = driving.keypoints[:, 0].astype(np.float64)
        keypoints, scores = before.copy(), driving.scores[:, 0].copy()
        keypoints[:, BODY] = np.where(motion.known[:, None], motion.origin + motion.unit * points, before[:, BODY])
        found = ~motion.seen & dilated_in_time(motion.seen, AROUND) & (visible > SURE)
        scores[:, BODY] = np.where(found, visible, scores[:, BODY])
        for joint in range(JOINTS, keypoints.shape[1]):
            root = int(TREE[joint])
            keypoints[:, joint] += np.where(motion.seen[:, root, None], keypoints[:, root] - before[:, root], 0)
        return PoseTrack(keypoints[:, None].astype(np.float32), scores[:, None].astype(np.float32), driving.size)

    def _seen_whole(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Points (F, 18, 2) about the origin, and the probability that they can be seen (F, 18): windows that fade into each other."""
        length, like = len(motion.points), self.out.weight
        points, visible, weight = np.zeros((length, JOINTS, 2)), np.zeros((length, JOINTS)), np.zeros(length)
        for part in windows(length, int(self.config["window"])):
            given = motion.points[part]
            middle = np.median(given[:, NECK], 0)
            inputs = given - middle, motion.seen[part].astype(np.float32), motion.body
            moved, logits, _ = self(*(torch.from_numpy(array)[None].to(like) for array in inputs))
            fade = np.minimum(np.arange(1, len(given) + 1), np.arange(len(given), 0, -1)).astype(float)
            points[part] += fade[:, None, None] * (moved[0].cpu().numpy() + middle)
            visible[part] += fade[:, None] * logits[0].sigmoid().cpu().numpy()
            weight[part] += fade
        return points / weight[:, None, None], visible / weight[:, None]


def _share(logits: Tensor) -> Tensor:
    """How much of a correction is made, in [0, 1]; where that is limited it has the gradient it would have without."""
    wide = REACH[0] * logits.sigmoid() - REACH[1]
    return wide + (wide.clamp(0, 1) - wide).detach()


def around(points: Tensor) -> Tensor:
    """From every joint in every frame the ways to where it, and its mirror image, are in the frames around: (B, F, `SOURCES`, 18, 2)."""
    padded = functional.pad(points.flatten(2).mT, (AROUND, AROUND), "replicate").mT.unflatten(-1, (JOINTS, 2))
    near = padded.unfold(1, 2 * AROUND + 1, 1).movedim(-1, 2)  # B F 2R+1 18 2
    return torch.cat([near, near[..., torch.as_tensor(MIRROR, device=points.device), :]], 2) - points[:, :, None]


def stretched(points: Tensor, ratios: Tensor, known: Tensor) -> Tensor:
    """Poses (B, F, 18, 2) whose bones are longer by the ratios (B, 18) of the joints at their end, with the lowest ankle as high as it was, and the
    middle of the hips where it was sideways; bones between joints that are not known (B, 18) stay."""
    parents = torch.as_tensor(TREE[:JOINTS], device=points.device).clamp(min=0)
    ratios = torch.where(known & known[:, parents], ratios, 1)
    made = {NECK: points[:, :, NECK]}
    for joint in OUTWARDS:
        parent = int(TREE[joint])
        made[joint] = made[parent] + ratios[:, None, joint, None] * (points[:, :, joint] - points[:, :, parent])
    longer = torch.stack([made[joint] for joint in range(JOINTS)], 2)

    def ground(of: Tensor) -> Tensor:
        aside = of[:, :, HIPS, 0].mean(2) * known[:, HIPS].all(1, keepdim=True)
        lowest = torch.where(known[:, None, ANKLES], of[:, :, ANKLES, 1], -torch.inf).amax(2)
        return torch.stack([aside, torch.where(lowest.isfinite(), lowest, 0)], -1)

    return longer + (ground(points) - ground(longer))[:, :, None]


class Block(nn.Module):
    """Attention over the frames, whose distance counts, and a network of each frame."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.project = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.distance = nn.Parameter(torch.zeros(heads, 2 * window - 1))
        self.wide, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, channels = hidden.shape
        q, k, v = self.qkv(self.norm1(hidden)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        at = torch.arange(length, device=hidden.device)
        bias = self.distance[:, at[:, None] - at + self.window - 1]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q))
        hidden = hidden + self.project(mixed.transpose(1, 2).reshape(batch, length, channels))
        return hidden + self.narrow(functional.gelu(self.wide(self.norm2(hidden))))


def motion_of(driving: PoseTrack, reference: PoseTrack) -> Motion | None:
    """What the network sees of one person, (F, 1, K) and (1, 1, K'); None where neck and bones are nowhere seen."""
    points, seen = _body(driving)
    own, own_seen = _body(reference)
    lengths, own_lengths = bone_lengths(points, seen), bone_lengths(own, own_seen)
    unit, own_unit = _unit(lengths), _unit(own_lengths)
    if unit is None or not seen[:, NECK].any():
        return None
    known = np.asarray(seen.any(0))
    frames = np.arange(len(points))
    for joint in np.flatnonzero(known & ~seen.all(0)):
        at = np.flatnonzero(seen[:, joint])
        for axis in (0, 1):
            points[:, joint, axis] = np.interp(frames, at, points[at, joint, axis])
    origin = np.median(points[:, NECK], 0)
    points = np.where(known[:, None], (points - origin) / unit, 0)
    own_unit = own_unit or unit
    about = own[0] - (own[0, NECK] if own_seen[0, NECK] else own[0][own_seen[0]].mean(0) if own_seen.any() else 0)
    body = [
        np.where(own_seen[0, :, None], about / own_unit, 0).ravel(), own_seen[0],
        np.nan_to_num(lengths[BONES] / unit), np.nan_to_num(own_lengths[BONES] / own_unit), [larger if abs(larger := np.log(own_unit / unit)) < ALIKE else 0],
    ]  # fmt: skip
    return Motion(points.astype(np.float32), seen, known, np.concatenate(body).astype(np.float32), origin, unit)


def shots(track: PoseTrack) -> list[slice]:
    """The stretches of one person's track, (F, 1, K), between two frames of which the whole body jumps: there the film was cut."""
    points, seen = _body(track)
    unit = _unit(bone_lengths(points, seen))
    both = seen[1:] & seen[:-1]
    ways = np.where(both, np.linalg.norm(np.diff(points, axis=0), axis=-1), np.nan)
    there = both.any(1)
    jumps = np.zeros(len(both), bool)
    if unit is not None and there.any():
        jumps[there] = np.nanmedian(ways[there], 1) > CUT * unit
    ends = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(track)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def dilated_in_time(seen: np.ndarray, reach: int) -> np.ndarray:
    """bool (F, N): seen in a frame at most `reach` frames away."""
    return np.asarray(maximum_filter1d(seen.astype(np.uint8), 2 * reach + 1, axis=0, mode="constant") > 0)


def windows(length: int, window: int) -> list[slice]:
    """Windows over a clip that overlap by half, the last one as far back as it must."""
    if length <= window:
        return [slice(0, length)]
    starts = [*range(0, length - window, window // 2), length - window]
    return [slice(start, start + window) for start in starts]


def _body(track: PoseTrack) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 (F, 18, 2), finite, and which are seen (F, 18)."""
    points, scores = track.keypoints[:, 0, BODY].astype(np.float64), track.scores[:, 0, BODY]
    finite = np.asarray(np.isfinite(points).all(-1))
    return np.where(finite[..., None], points, 0), (scores >= SEEN) & finite


def _unit(lengths: np.ndarray) -> float | None:
    """The height of a person whose bones are as long together, in pixels."""
    known = np.isfinite(lengths) & np.isfinite(PROPORTIONS)
    total = lengths[known].sum()
    return float(total / PROPORTIONS[known].sum()) if total > 0 else None
