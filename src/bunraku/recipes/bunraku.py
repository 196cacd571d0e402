"""Bunraku: the reference cut out and moved like a paper puppet, and a diffusion model that mends what the scissors get wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.animator import Encoded, Inputs, Reads
from bunraku.recipes.common import MINI, MINI_FRAMES, MINI_MOTION, MINI_SAMPLING, MINI_SCHEDULER, vit_mini
from bunraku.recipes.recipe import Recipe, Size, Stage

CUTOUT = "cutout"
CELL = 8
"""Pixels of a latent's side."""
BESIDE = 2
"""Channels that are joined beside the cut-out's latents: the people's coverage, and 1 where there is a cut-out at all."""
SIZES = ((256, 256), (320, 256), (320, 192), (256, 320), (384, 256), (192, 192), (128, 128))
"""(height, width) of what it is trained on."""
TRUST = 4.0
"""Start of the gate before the sigmoid: 98 % of the cut-out. The network's own picture starts as nothing, so less is pale: 95 % costs
half a dB."""


class Bunraku(AnimateAnyone):
    """Animate Anyone's networks; the cut-out joins the noisy latents, and a gate decides where the prediction leaves it."""

    @dataclass(frozen=True)
    class Options(AnimateAnyone.Options):
        """
        Attributes:
            mending: what becomes of a cut-out c under the gate a, n being the network's own picture: "gate": a c + (1 - a) n, or
                "residual": a (c + r) + (1 - a) n, with a second output r of the network.
            latent_channels: of the autoencoder.
        """

        reference_pose: bool = True
        mending: Literal["gate", "residual"] = "residual"
        latent_channels: int = 32

    trusted: ClassVar[str | None] = CUTOUT
    people: ClassVar[int] = 8
    strengths: ClassVar[tuple[str, ...]] = ("pose", "reference", CUTOUT)

    @property
    def reads(self) -> Reads:
        return replace(super().reads, frames=("pose", CUTOUT), latents=("reference", CUTOUT))

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = super().encode_frames(inputs, latents)
        if CUTOUT in latents:
            cut = latents[CUTOUT]
            cover = functional.avg_pool3d(inputs.frame_pixels(CUTOUT, cut.dtype)[:, 3:], (1, CELL, CELL))
            maps[CUTOUT] = inputs.kept(CUTOUT, torch.cat([cut, cover, torch.ones_like(cover)], 1))
        return maps

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        ports = super().ports(encoded, window, noisy, timestep, shown)
        if not shown or CUTOUT not in encoded.frames:
            return ports
        return replace(ports, latents=encoded.at(CUTOUT, window, ports.token))

    def weighted(self, ports: Ports, factors: Mapping[str, float]) -> Ports:
        """As of `Animator`; "cutout" is the share of its trust that the cut-out keeps, at most 1."""
        ports, share = super().weighted(ports, factors), min(1.0, factors.get(CUTOUT, 1.0))
        if ports.latents is None or share == 1:
            return ports
        there = ports.latents[:, -1:] * share
        return replace(ports, latents=torch.cat([ports.latents[:, :-1], there], 1) if share else None)

    def predict(self, noisy: Tensor, timestep: Tensor, ports: Ports) -> Tensor:
        out, channels = self.denoiser(noisy, timestep, ports), noisy.shape[1]
        own, trust = out[:, :channels], out[:, -1:].float().sigmoid().to(out)
        if ports.latents is None:
            return torch.cat([own, torch.zeros_like(trust)], 1)
        trust = trust * ports.latents[:, -1:]
        kept = ports.latents[:, :channels]
        if self.options.mending == "residual":
            kept = kept + out[:, channels : 2 * channels]
        return torch.cat([trust * kept + (1 - trust) * own, trust], 1)


def build_small(motion: bool, options: Bunraku.Options) -> Bunraku:
    """About 9 M parameters of mini's widths, for any size: no positions on a grid. Trained from nothing on the theatre."""
    from transformers import CLIPVisionModelWithProjection

    channels = options.latent_channels
    base = MINI | {"spatial_positions": 0.0, "in_channels": channels}
    pictures = 2 if options.mending == "residual" else 1
    denoiser = Denoiser(
        **base, **MINI_MOTION, joined_channels=channels + BESIDE, out_channels=pictures * channels + 1, motion=motion
    )
    reference_net = ReferenceNet(**base)
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    start_as_cut_out(denoiser)
    guider = PoseGuider(out_channels=64, block_out_channels=(48, 64), unshuffle=4, norm=True)
    return Bunraku(denoiser, reference_net, guider, CLIPVisionModelWithProjection(vit_mini()), options)


def start_as_cut_out(denoiser: Denoiser) -> None:
    """Start values of what the cut-out adds, in place: it is not looked at, and trusted nearly everywhere."""
    channels: Any = denoiser.config.in_channels  # type: ignore[union-attr]
    nn.init.zeros_(denoiser.conv_in.weight[:, channels:])
    nn.init.zeros_(denoiser.conv_out.weight)
    nn.init.zeros_(denoiser.conv_out.bias)  # type: ignore[arg-type]
    nn.init.constant_(denoiser.conv_out.bias[-1:], TRUST)  # type: ignore[index]


BUNRAKU = Recipe(
    name="bunraku",
    paper="this project",
    animator=Bunraku,
    sizes={
        "small": Size(
            build=build_small,
            options=Bunraku.Options(),
            scheduler=MINI_SCHEDULER,
            # with the cut-out to start from, more steps make the picture no better
            sampling=replace(MINI_SAMPLING, num_inference_steps=1),
            styles={"pose": {"hands": False}},
            autoencoder="codec",
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider", "image_encoder"),
                    settings=MINI_FRAMES
                    | {
                        "steps": 40_000, "domain": "everything", "misled": 0.3,
                        "resolution": 256, "sizes": SIZES, "crop": 128, "frames": 8, "batch": 1, "global_batch": 3,
                        "drop_condition": 0.0, "timestep_power": 1.0, "picture_loss": 10.0,
                        "kernel_rate": 0.01, "learning_rate": 2e-3, "warmup": 50,
                        "drop": {"reference_pose": 0.3, CUTOUT: 0.05},
                    },
                ),
            },
        ),
    },
)  # fmt: skip
