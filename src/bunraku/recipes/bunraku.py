"""Bunraku: the reference cut out and moved like a paper puppet, and a diffusion model that mends what the scissors get wrong.

It may be shown what the four papers show theirs as well, any part of it: the background's motion, who is before whom, depth along the
skeletons, the scene and the things in hand, several pictures of the character.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bunraku.cues.pose_refiner import PoseRefiner
from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.perception.pose import PoseTrack
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.animate_anyone_2 import MASK, scene_maps
from bunraku.recipes.animator import Encoded, Inputs, Reads
from bunraku.recipes.common import (
    MINI,
    MINI_FRAMES,
    MINI_MOTION,
    MINI_SAMPLING,
    MINI_SCHEDULER,
    SD15,
    SD15_SCHEDULER,
    vit_l,
    vit_mini,
)
from bunraku.recipes.recipe import Recipe, Size, Stage
from bunraku.sampling.sampling import Sampling

CUTOUT = "cutout"
CELL = 8
"""Pixels of a latent's side."""
BESIDE = 2
"""Channels that are joined beside the cut-out's latents: the people's coverage, and 1 where there is a cut-out at all."""
GUIDED = ("flow", "depth_order", "structured_depth")
"""Drawn conditions with a guider of their own, whose maps are added to the pose's."""
GUIDERS = tuple(f"{name}_guider" for name in GUIDED)
SCENE = ("environment", "object")
"""Conditions whose latents join the noisy ones, behind the cut-out's."""
SIZES = ((256, 256), (320, 256), (256, 256), (256, 320), (256, 192), (384, 256), (256, 256), (192, 192))
"""(height, width) of what it is trained on."""
WIDTHS = (96, 160)
"""Of the small size's two levels."""
REACH = 1.15
"""The gate is min(1, REACH sigmoid(x)): where it is sure, the cut-out comes through untouched, which a sigmoid alone never says."""
TRUST = 1.75
"""Start of x: 98 % of the cut-out, and still learning."""
PAINTS = -4.0
"""Start of x where the denoiser paints whole pictures already: of the cut-out they keep 2 %."""
MOST_TRUST = 2.0
"""Strength of the cut-out at which its figure stays as it is."""
GATES = 2
"""Output channels behind the picture's: how much of the cut-out the own picture keeps, and how far the cut-out is trusted."""


class Bunraku(AnimateAnyone):
    """Animate Anyone's networks; the cut-out joins the noisy latents, and a gate decides where the prediction leaves it.

    The network says what it paints p and two gates, k and a. Its own picture is n = k c + p with the cut-out c, and of both becomes
    a c + (1 - a) n: k keeps what it need not paint, and only where a trusts the cut-out its finer detail shows as well.
    Every condition but the pose may be absent; what is absent is zeros, which is how each starts before it is trained. The unconditional
    half of guidance lacks the reference and the cut-out.
    """

    @dataclass(frozen=True)
    class Options(AnimateAnyone.Options):
        """
        Attributes:
            latent_channels: of the autoencoder.
            conditions: what else it may be shown, out of `GUIDED` and `SCENE`; the mask comes with the environment.
            figure_trust: how far the cut-out is trusted at least where it is the figure: 1, wholly, so that nothing of the figure is taken away, and
                edges, holes and ground alone are mended; 0: as far as the gate says.
            refines: whether a PoseRefiner mends the poses that it follows.
            predicts: what the denoiser says of the picture that it paints: the picture, or the noise that hides it, as networks that start
                from Stable Diffusion do, on its schedule.
        """

        reference_pose: bool = True
        latent_channels: int = 32
        conditions: tuple[str, ...] = ()
        figure_trust: float = 0.0
        refines: bool = False
        predicts: Literal["sample", "epsilon"] = "sample"

    added: ClassVar[tuple[str, ...]] = (*GUIDERS, "pose_refiner")
    trusted: ClassVar[str | None] = CUTOUT
    people: ClassVar[int] = 8
    strengths: ClassVar[tuple[str, ...]] = ("pose", "reference", CUTOUT)

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseGuider,
        image_encoder: Any,
        flow_guider: PoseGuider | None = None,
        depth_order_guider: PoseGuider | None = None,
        structured_depth_guider: PoseGuider | None = None,
        pose_refiner: PoseRefiner | None = None,
        options: Options = Options(),
    ) -> None:
        if unknown := sorted(set(options.conditions) - {*GUIDED, *SCENE}):
            raise BunrakuError(
                f"bunraku has no condition {', '.join(unknown)}; it may have {', '.join((*GUIDED, *SCENE))}"
            )
        super().__init__(denoiser, reference_net, pose_guider, image_encoder, options)
        self.flow_guider, self.depth_order_guider = flow_guider, depth_order_guider
        self.structured_depth_guider = structured_depth_guider
        self.pose_refiner = pose_refiner
        if not 0 <= options.figure_trust <= 1:
            raise BunrakuError(f"figure_trust must be from 0 to 1, not {options.figure_trust}")
        if options.refines and pose_refiner is None:
            raise BunrakuError("the model has no pose_refiner, and its options say that it refines poses")
        if lost := [name for name in GUIDED if name in options.conditions and getattr(self, f"{name}_guider") is None]:
            raise BunrakuError(f"the model has no {lost[0]}_guider, and its options have the condition {lost[0]}")

    @property
    def reads(self) -> Reads:
        conditions = self.options.conditions
        mask = ("mask",) if "environment" in conditions else ()
        scene = tuple(name for name in SCENE if name in conditions)
        return replace(
            super().reads,
            frames=("pose", CUTOUT, *conditions, *mask),
            latents=("reference", CUTOUT, *scene),
        )

    def refine(self, driving: PoseTrack, reference: PoseTrack) -> PoseTrack:
        return driving if self.pose_refiner is None else self.pose_refiner.refine(driving, reference)

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        pose = super().encode_frames(inputs, latents)["pose"]
        for name in GUIDED:
            if name in self.options.conditions and name in inputs.frames:
                pose = pose + inputs.kept(name, getattr(self, f"{name}_guider")(inputs.frame_pixels(name, self.dtype)))
        joined = self._joined(inputs, latents)
        return {"pose": pose} if joined is None else {"pose": pose, CUTOUT: joined}

    def _joined(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> Tensor | None:
        """What joins the noisy latents, (B, C', F, h, w): of the cut-out its latents, its coverage and where it is, then the scene; zeros
        for what is not given, None if that is all."""
        given = {name: inputs.kept(name, latents[name]) for name in (CUTOUT, *SCENE) if name in latents}
        if not given:
            return None
        like = next(iter(given.values()))
        cut = like.new_zeros(len(like), like.shape[1] + BESIDE, *like.shape[2:])
        if CUTOUT in given:
            cover = functional.avg_pool3d(inputs.frame_pixels(CUTOUT, like.dtype)[:, 3:], (1, CELL, CELL))
            cut = inputs.kept(CUTOUT, torch.cat([given.pop(CUTOUT), cover, torch.ones_like(cover)], 1))
        if not any(name in self.options.conditions for name in SCENE):
            return cut
        things = "object" in self.options.conditions
        scene = scene_maps(inputs, given or {"environment": torch.zeros_like(like)}, things)
        return torch.cat([cut, scene], 1)

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        ports = super().ports(encoded, window, noisy, timestep, shown)
        if CUTOUT not in encoded.frames:
            return ports
        joined = encoded.at(CUTOUT, window, ports.token)
        if not shown:
            joined = torch.cat([torch.zeros_like(joined[:, : self._cut]), joined[:, self._cut :]], 1)
        return replace(ports, latents=joined)

    @property
    def _cut(self) -> int:
        """Joined channels of the cut-out; the last of them says where it is."""
        return self.options.latent_channels + BESIDE

    def weighted(self, ports: Ports, factors: Mapping[str, float]) -> Ports:
        """As of `Animator`; "cutout" is the share of its trust that the cut-out keeps. Above 1 it is trusted at least by what is beyond 1 where it
        is the figure: at 2 the network mends edges, holes and ground alone, and takes nothing of the figure away."""
        ports, share = super().weighted(ports, factors), min(MOST_TRUST, factors.get(CUTOUT, 1.0))
        if ports.latents is None or share == 1:
            return ports
        before, there, scene = ports.latents.split([self._cut - 1, 1, ports.latents.shape[1] - self._cut], 1)
        before = before if share else torch.zeros_like(before)
        return replace(ports, latents=torch.cat([before, there * share, scene], 1))

    def figure_kept(self, factors: Mapping[str, float]) -> float:
        share = min(MOST_TRUST, factors.get(CUTOUT, 1.0))
        return max(share - 1, self.options.figure_trust) * min(share, 1.0)

    def predict(self, noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        return self.answers(noisy, timestep, ports)[:, : noisy.shape[1] + 1]

    def answers(self, noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        """Behind the prediction and its trust the network's own picture: where it is hidden by the cut-out, the prediction teaches it nothing."""
        channels, joined = noisy.shape[1], ports.latents
        if joined is not None:
            cut, cover, there, scene = joined.split([channels, 1, 1, joined.shape[1] - self._cut], 1)
            shown = there.clamp(max=1)
            ports = replace(ports, latents=torch.cat([cut, cover, shown, scene], 1))
        out = self.denoiser(noisy, timestep, ports)
        painted, kept, trust = out[:, :channels], *_gate(out[:, channels:]).to(out).chunk(GATES, 1)
        if self.options.predicts == "epsilon":
            painted = _without_noise(noisy, painted, timestep)
        if joined is None:
            return torch.cat([painted, torch.zeros_like(trust), painted], 1)
        least = (there - 1).clamp(min=self.options.figure_trust)
        own, trust = kept * cut + painted, torch.maximum(trust, least * cover) * shown
        return torch.cat([trust * cut + (1 - trust) * own, trust, own], 1)


def _without_noise(noisy: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """x_0 = (x_t - sqrt(1 - a_t) noise) / sqrt(a_t) on Stable Diffusion's schedule, for latents (B, C, F, h, w) and timesteps (B,) or (B, F)."""
    alpha = _alphas_of_stable_diffusion()[timestep.cpu().expand(len(noisy), *timestep.shape[1:])]
    alpha = alpha.view(len(noisy), 1, -1, 1, 1).to(noisy)
    return (noisy - (1 - alpha).sqrt() * noise) / alpha.sqrt()


@cache
def _alphas_of_stable_diffusion() -> Tensor:
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SD15_SCHEDULER).alphas_cumprod


def _gate(out: Tensor) -> Tensor:
    """min(1, REACH sigmoid), float32; where that is 1 it has the gradient it would have without the limit, or it would never learn again."""
    wide = REACH * out.float().sigmoid()
    return wide + (wide.clamp(max=1) - wide).detach()


def build_small(motion: bool, options: Bunraku.Options) -> Bunraku:
    """About 18 M parameters, for any size: no positions on a grid. Trained from nothing on the theatre."""
    from transformers import CLIPVisionModelWithProjection

    channels = options.latent_channels
    base = MINI | {"spatial_positions": 0.0, "in_channels": channels, "block_out_channels": WIDTHS}
    joined = _joined_channels(options)
    denoiser = Denoiser(**base, **MINI_MOTION, joined_channels=joined, out_channels=channels + GATES, motion=motion)
    reference_net = ReferenceNet(**base)
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    start_as_cut_out(denoiser)
    guider: dict[str, Any] = {"out_channels": WIDTHS[0], "block_out_channels": (48, 64), "unshuffle": 4, "norm": True}
    added = {f"{name}_guider": PoseGuider(**guider) for name in GUIDED if name in options.conditions}
    if options.refines:
        added["pose_refiner"] = PoseRefiner()
    image_encoder = CLIPVisionModelWithProjection(vit_mini())
    return Bunraku(denoiser, reference_net, PoseGuider(**guider), image_encoder, **added, options=options)


def build_sd15(motion: bool, options: Bunraku.Options) -> Bunraku:
    """Stable Diffusion's size; weights start from a model of that size (`--init`), and every condition from zero."""
    from transformers import CLIPVisionModelWithProjection

    parts: dict[str, Any] = {f"{name}_guider": PoseGuider() for name in GUIDED if name in options.conditions}
    if options.refines:
        parts["pose_refiner"] = PoseRefiner()
    denoiser = Denoiser(
        **SD15, joined_channels=_joined_channels(options), out_channels=options.latent_channels + GATES, motion=motion
    )
    start_as_cut_out(denoiser, keeps=PAINTS)
    image_encoder = CLIPVisionModelWithProjection(vit_l())
    return Bunraku(denoiser, ReferenceNet(**SD15), PoseGuider(), image_encoder, **parts, options=options)


def _joined_channels(options: Bunraku.Options) -> int:
    """Of what joins the noisy latents: the cut-out's, then the scene's."""
    channels, scene = options.latent_channels, [name for name in SCENE if name in options.conditions]
    return channels + BESIDE + bool(scene) * (channels + MASK) + ("object" in scene) * channels


def start_as_cut_out(denoiser: Denoiser, keeps: float = TRUST) -> None:
    """Start values of what the cut-out adds, in place: it is not looked at, and trusted nearly everywhere.

    Args:
        keeps: the start of how much of it the own picture keeps, before the gate.
    """
    channels: Any = denoiser.config.in_channels  # type: ignore[union-attr]
    nn.init.zeros_(denoiser.conv_in.weight[:, channels:])
    nn.init.zeros_(denoiser.conv_out.weight)
    nn.init.zeros_(denoiser.conv_out.bias)  # type: ignore[arg-type]
    nn.init.constant_(denoiser.conv_out.bias[-GATES], keeps)  # type: ignore[index]
    nn.init.constant_(denoiser.conv_out.bias[-1], TRUST)  # type: ignore[index]


DROPPED = {"reference_pose": 0.3, CUTOUT: 0.05} | dict.fromkeys((*GUIDED, *SCENE), 0.5)
"""Share of the samples that go without a condition."""

TUNING: dict[str, Any] = {
    "steps": 100, "sizes": (), "frames": 4, "batch": 2, "global_batch": 2, "pictured": 8, "huber": 0.05, "kernel_rate": 0.002, "learning_rate": 3e-4,
    "warmup": 5, "decay": 0.6, "ema_decay": 0.95, "checkpoint_every": 50, "validate_every": 100,
}  # fmt: skip
"""Of the small size with clips of one's own: about ten minutes of one core, at errors that count by their size, as in the shipped model's last run."""

SD15_TRAINING: dict[str, Any] = {
    "resolution": 768, "learning_rate": 1e-5, "gradient_checkpointing": True, "precision": "auto", "relative": 0.01, "drop_condition": 0.0,
    "drop": DROPPED,
}  # fmt: skip

BUNRAKU = Recipe(
    name="bunraku",
    paper="this project",
    animator=Bunraku,
    sizes={
        "small": Size(
            build=build_small,
            options=Bunraku.Options(conditions=(*GUIDED, *SCENE), refines=True),
            scheduler=MINI_SCHEDULER,
            # with the cut-out to start from, more steps make the picture no better
            sampling=replace(MINI_SAMPLING, num_inference_steps=1, window=8, overlap=2),
            styles={"pose": {"hands": False}},
            autoencoder="bunraku/vae",
            stages={
                1: Stage(
                    trains=("denoiser", "motion", "reference_net", "pose_guider", *GUIDERS, "image_encoder"),
                    settings=MINI_FRAMES
                    | {
                        "steps": 40_000, "domain": "everything", "misled": 0.2, "led": 0.35,
                        "resolution": 256, "sizes": SIZES, "crop": 128, "frames": 8, "batch": 1, "global_batch": 3,
                        "drop_condition": 0.0, "timestep_power": 1.0, "skeleton_weight": 1.0, "shared_noise": 1.0,
                        "picture_loss": 60.0, "huber": 0.3, "relative": 0.01,
                        "kernel_rate": 0.01, "learning_rate": 2e-3, "warmup": 50,
                        "drop": DROPPED,
                    },
                    tuning=TUNING,
                ),
            },
        ),
        "sd15": Size(
            build=build_sd15,
            options=Bunraku.Options(latent_channels=4, conditions=(*GUIDED, *SCENE), refines=True, predicts="epsilon"),
            scheduler=SD15_SCHEDULER | {"prediction_type": "sample"},
            sampling=Sampling(num_inference_steps=20, guidance_scale=1.0, window=24, overlap=4, merge="uniform"),
            styles={"pose": {"style": "dwpose", "face": False}},
            # Animate Anyone's two stages; the first knows all conditions at once, as each may be absent
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider", *GUIDERS),
                    settings=SD15_TRAINING | {
                        "steps": 30_000, "global_batch": 64, "frames": 1, "min_gap": 30, "picture_loss": 1.0, "huber": 0.05, "pictured": 1,
                    },
                ),
                2: Stage(trains=("motion",), settings=SD15_TRAINING | {"steps": 10_000, "global_batch": 4, "frames": 24}),
            },
        ),
    },
)  # fmt: skip
