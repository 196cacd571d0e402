"""Animate Anyone (Hu et al., CVPR 2024, arXiv 2311.17117): which parts, how they are wired, which sizes, what each stage trains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange
from torch import Tensor

from bunraku.cues.drawn import VIEWS_POSE
from bunraku.nets.attention import Tokens
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.pixels import clip_pixels
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import GuidanceEncoder, LiteralPoseGuider, PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes.animator import Animator, Encoded, Inputs, Reads
from bunraku.recipes.common import (
    MINI,
    MINI_CLIPS,
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


class AnimateAnyone(Animator):
    """Denoiser, ReferenceNet, pose guider and image encoder, wired as in the paper's figure 2."""

    @dataclass(frozen=True)
    class Options:
        """
        Attributes:
            reference_pose: also guide ReferenceNet, by the reference's own skeleton through the same pose guider.
            reference_timestep: what ReferenceNet is told: "zero", so that it runs once per clip, or "every": the denoiser's timestep.
            literal_guider: the pose guider as printed, added to the latents, instead of the one that public weights use.
        """

        reference_pose: bool = False
        reference_timestep: Literal["zero", "every"] = "zero"
        literal_guider: bool = False

    remembered: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor] | None = None
    """Keeps a frozen image encoder's tokens while others train (`training.remembered`); None: they are made when they are asked for."""

    # one image token makes the cross-attention a constant, whatever its queries and keys are
    idle: ClassVar[tuple[str, ...]] = tuple(
        f"*.attentions.*.{name}.*" for name in ("attn2.to_q", "attn2.to_k", "norm2")
    )

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseGuider | LiteralPoseGuider | GuidanceEncoder,
        image_encoder: Any,
        options: Options = Options(),
    ) -> None:
        super().__init__()
        self.denoiser, self.reference_net = denoiser, reference_net
        self.pose_guider, self.image_encoder = pose_guider, image_encoder
        self.options = options

    @property
    def reads(self) -> Reads:
        own = ("reference_pose",) if self.options.reference_pose else ()
        return Reads(stills=("reference", *own))

    def encode_stills(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        pictures = self.pictures_of(latents)
        encoded = {"token": self.image_token(inputs.stills["reference"]).to(pictures), "reference": pictures}
        if self.options.reference_pose:
            drawn = inputs.picture_pixels("reference_pose", VIEWS_POSE, pictures.shape[1], self.dtype)
            maps = self.pose_guider(rearrange(drawn, "b c r h w -> (b r) c 1 h w"))  # a guider may look along time
            encoded["reference_pose"] = rearrange(maps, "(b r) c 1 h w -> b r c h w", b=len(drawn))
        return encoded

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"pose": self.pose_guider(inputs.frame_pixels("pose", self.dtype))}

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        token = encoded.stills["token"]
        guided = {self._port: self.guidance(encoded, window)}
        if not shown:
            return Ports(torch.zeros_like(token), **guided)  # type: ignore[arg-type]
        told = timestep if self.options.reference_timestep == "every" else None
        reference = encoded.once("reference", lambda: self.reference(encoded, 0 if told is None else told), told)
        return Ports(token, **guided, reference=reference)  # type: ignore[arg-type]

    def weighted(self, ports: Ports, factors: Mapping[str, float]) -> Ports:
        return replace(super().weighted(ports, factors), token=ports.token * factors.get("reference", 1.0))

    def guidance(self, encoded: Encoded, window: Sequence[int]) -> Tensor:
        """What guides a window of frames, (B, C, f, h, w), in both halves of guidance."""
        return encoded.at("pose", window, encoded.stills["token"])

    @property
    def _port(self) -> str:
        return "noise" if self.pose_guider.onto == "noise" else "add"

    def image_token(self, images: Tensor) -> Tensor:
        """Pictures uint8 (B, H, W, 3) -> CLIP's projected embedding as one token (B, 1, D)."""
        return self.remembered(images, self._image_token) if self.remembered else self._image_token(images)

    def _image_token(self, images: Tensor) -> Tensor:
        pixels = clip_pixels(images.cpu().numpy(), self.image_encoder.config.image_size)
        # transformers opens what is stored in half precision in half precision, diffusers does not
        pixels = pixels.to(images.device, self.image_encoder.dtype)
        return self.image_encoder(pixels).image_embeds[:, None]

    def reference(self, encoded: Encoded, timestep: Tensor | int) -> dict[str, Tokens]:
        """Keys and values of the reference for the denoiser, ReferenceNet being told `timestep`."""
        pictures, add = encoded.stills["reference"], encoded.stills.get("reference_pose")
        if add is not None and self._port == "noise":
            pictures, add = pictures + add, None
        return self.reference_tokens(pictures, encoded.stills["token"], timestep, add)


def build_sd15(motion: bool, options: AnimateAnyone.Options) -> AnimateAnyone:
    """The paper's size; its weights start from Stable Diffusion 1.5 and CLIP ViT-L/14, which the caller loads.

    Args:
        motion: with motion modules (stage 2 and inference).
    """
    from transformers import CLIPVisionModelWithProjection

    guider = LiteralPoseGuider() if options.literal_guider else PoseGuider()
    return AnimateAnyone(
        Denoiser(**SD15, motion=motion), ReferenceNet(**SD15), guider, CLIPVisionModelWithProjection(vit_l()), options
    )  # fmt: skip


def build_mini(motion: bool, options: AnimateAnyone.Options) -> AnimateAnyone:
    """About 9 M parameters for 128x128, trained from nothing on the theatre. Differences from the paper's size are options
    of the same classes: spatial positions, start values, a guider on folded pixels, the reference's own skeleton."""
    from transformers import CLIPVisionModelWithProjection

    denoiser = Denoiser(**MINI, **MINI_MOTION, out_channels=MINI["in_channels"], motion=motion)
    reference_net = ReferenceNet(**MINI)
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    guider: LiteralPoseGuider | PoseGuider = LiteralPoseGuider(out_channels=MINI["in_channels"])
    if not options.literal_guider:
        guider = PoseGuider(out_channels=64, block_out_channels=(48, 64), unshuffle=4, norm=True)
    return AnimateAnyone(denoiser, reference_net, guider, CLIPVisionModelWithProjection(vit_mini()), options)


ANIMATE_ANYONE = Recipe(
    name="animate-anyone",
    paper="Animate Anyone, CVPR 2024, arXiv 2311.17117",
    animator=AnimateAnyone,
    sizes={
        "sd15": Size(
            build=build_sd15,
            options=AnimateAnyone.Options(),
            scheduler=SD15_SCHEDULER,
            # METHODS: overlapping windows, mean per frame
            sampling=Sampling(num_inference_steps=20, guidance_scale=3.5, window=24, overlap=4, merge="uniform"),
            styles={"pose": {"style": "dwpose", "face": False}},
            # the paper: 30,000 steps of 64 pictures, then 10,000 of four 24-frame clips, lr 1e-5, 768 x 768, on four GPUs
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider"),
                    settings={
                        "resolution": 768, "steps": 30_000, "global_batch": 64, "frames": 1, "learning_rate": 1e-5,
                        "min_gap": 30, "gradient_checkpointing": True, "precision": "auto",
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings={
                        "resolution": 768, "steps": 10_000, "global_batch": 4, "frames": 24, "learning_rate": 1e-5,
                        "gradient_checkpointing": True, "precision": "auto",
                    },
                ),
            },
        ),
        "mini": Size(
            build=build_mini,
            options=AnimateAnyone.Options(reference_pose=True),
            scheduler=MINI_SCHEDULER,
            sampling=MINI_SAMPLING,
            styles={"pose": {"hands": False}},
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider", "image_encoder"),
                    settings=MINI_FRAMES | {"steps": 4_300, "drop_condition": 0.05, "drop": {"reference_pose": 0.3}},
                ),
                2: Stage(trains=("motion",), settings=MINI_CLIPS | {"steps": 400, "drop": {"reference_pose": 0.3}}),
            },
        ),
    },
)  # fmt: skip
