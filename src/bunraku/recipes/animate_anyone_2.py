"""Animate Anyone 2 (Hu et al., arXiv 2502.06145): the character in a scene, with what it handles and which limb is in front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.object_guider import ObjectGuider, blend_port
from bunraku.nets.ports import Ports
from bunraku.nets.pose_modulation import PoseModulation
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.animator import Encoded, Inputs, Reads
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

MASK = 1
"""Channels that the mask takes beside the environment's latents."""


class AnimateAnyone2(AnimateAnyone):
    """Animate Anyone, whose denoiser also sees the scene around the character, the objects in it, and depth along the skeleton.

    Every condition but the pose may be absent: the denoiser is then what it is without it. The unconditional half of guidance lacks the
    reference alone, so that guidance strengthens the character and not the scene (the paper does not say).
    """

    @dataclass(frozen=True)
    class Options(AnimateAnyone.Options):
        """
        Attributes, beside those of Animate Anyone:
            blend_bias: start of the spatial blendings; 0 is the paper's, see `SpatialBlend`.
            masked_blend: blend only where an object is shown (the paper blends everywhere).
            object_strides: see `ObjectGuider`.
        """

        blend_bias: float = -4.0
        masked_blend: bool = True
        object_strides: tuple[int, ...] | None = None

    added: ClassVar[tuple[str, ...]] = ("pose_guider", "object_guider")
    halo: ClassVar[int] = 1  # of the convolution over time

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseModulation,
        object_guider: ObjectGuider,
        image_encoder: Any,
        options: Options = Options(),
    ) -> None:
        if options.literal_guider:
            raise BunrakuError("Animate Anyone 2 has a pose guider of its own; leave the option literal_guider out")
        super().__init__(denoiser, reference_net, pose_guider, image_encoder, options)  # type: ignore[arg-type]
        self.object_guider = object_guider

    @property
    def reads(self) -> Reads:
        return Reads(
            stills=super().reads.stills,
            frames=("pose", "structured_depth", "environment", "mask", "object"),
            latents=("reference", "environment", "object"),
        )

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = {"pose": self._posed(inputs)}
        if "environment" in latents:
            maps["scene"] = self._scene(inputs, inputs.kept("environment", latents["environment"]))
        if "object" in latents:
            maps |= self._objects(inputs, inputs.kept("object", latents["object"]))
        return maps

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        ports = super().ports(encoded, window, noisy, timestep, shown)
        if "scene" in encoded.frames:
            ports = replace(ports, latents=encoded.at("scene", window, ports.token))
        levels = [name for name in encoded.frames if name.startswith("object")]
        features = [rearrange(encoded.at(name, window, ports.token), "b c f h w -> (b f) c h w") for name in levels]
        if features:
            ports = replace(ports, blend=blend_port(features, self.denoiser.reference_block_names("midup")))
        return ports

    def _posed(self, inputs: Inputs) -> Tensor:
        """The pose guider's maps; without motion modules no frame is another's neighbour."""
        names = [name for name in ("pose", "structured_depth") if name in inputs.frames]
        clips = [inputs.frame_pixels(name, self.dtype) for name in names]
        if self.denoiser.config.motion:  # type: ignore[union-attr, attr-defined]
            return self.pose_guider(*clips)
        alone = self.pose_guider(*(rearrange(clip, "b c f h w -> (b f) c 1 h w") for clip in clips))
        return rearrange(alone, "(b f) c 1 h w -> b c f h w", b=len(clips[0]))

    def _scene(self, inputs: Inputs, latents: Tensor) -> Tensor:
        """The environment's latents (B, C, F, h, w), and the mask as one channel more: its maximum over each of their cells."""
        hole = torch.zeros_like(latents[:, :1])
        if "mask" in inputs.frames:
            pixels = inputs.kept("environment", inputs.frame_pixels("mask", self.dtype))[:, :1]
            hole = F.adaptive_max_pool3d(pixels.float(), hole.shape[2:]).to(latents)
        return torch.cat([latents, hole], dim=1).to(self.dtype)

    def _objects(self, inputs: Inputs, latents: Tensor) -> dict[str, Tensor]:
        """Features of the objects for every level, (B, C, F, h, w)."""
        seen = None
        if self.options.masked_blend:
            seen = (inputs.frame_pixels("object", self.dtype).amax(1, keepdim=True) > 0).to(latents)
        features = self.object_guider(latents.to(self.dtype), seen)
        return {
            f"object {level}": rearrange(maps, "(b f) c h w -> b c f h w", b=len(latents))
            for level, maps in enumerate(features)
        }


def build_sd15(motion: bool, options: AnimateAnyone2.Options) -> AnimateAnyone2:
    """The paper's size. The caller loads Stable Diffusion 1.5 into denoiser and ReferenceNet, AnimateDiff into the motion modules and
    CLIP into the image encoder.

    Args:
        motion: with motion modules.
    """
    from transformers import CLIPVisionModelWithProjection

    return AnimateAnyone2(
        Denoiser(**SD15, motion=motion, joined_channels=4 + MASK, blend_bias=options.blend_bias),
        ReferenceNet(**SD15, reference_blocks="midup"),
        PoseModulation(),
        ObjectGuider(strides=options.object_strides),
        CLIPVisionModelWithProjection(vit_l()),
        options,
    )


def build_mini(motion: bool, options: AnimateAnyone2.Options) -> AnimateAnyone2:
    """About 10 M parameters for 128x128, of the classes of the paper's size; the options are those of mini Animate Anyone."""
    from transformers import CLIPVisionModelWithProjection

    channels, widths = MINI["in_channels"], MINI["block_out_channels"]
    denoiser = Denoiser(
        **MINI, **MINI_MOTION, out_channels=channels, motion=motion, joined_channels=channels + MASK, blend_bias=options.blend_bias
    )  # fmt: skip
    reference_net = ReferenceNet(**MINI, reference_blocks="midup")
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    return AnimateAnyone2(
        denoiser,
        reference_net,
        PoseModulation(out_channels=64, block_out_channels=(48, 64), unshuffle=4, norm=True, num_attention_heads=4),
        ObjectGuider(channels, widths, options.object_strides),
        CLIPVisionModelWithProjection(vit_mini()),
        options,
    )


PARTS_THAT_LEARN = ("denoiser", "reference_net", "pose_guider", "object_guider")
SELF_SUPERVISED: dict[str, Any] = {
    "domain": "stage", "drop": {"structured_depth": 0.1, "environment": 0.05, "object": 0.1},
}  # fmt: skip
"""So that each may be absent when the model is used; the shares are choices."""

ANIMATE_ANYONE_2 = Recipe(
    name="animate-anyone-2",
    paper="Animate Anyone 2, arXiv 2502.06145",
    animator=AnimateAnyone2,
    sizes={
        "sd15": Size(
            build=build_sd15,
            options=AnimateAnyone2.Options(),
            scheduler=SD15_SCHEDULER,
            sampling=Sampling(num_inference_steps=25, guidance_scale=3.5, window=16, overlap=4, merge="uniform"),
            styles={"pose": {"style": "dwpose", "face": False}},
            # METHODS (d): one run of 100,000 steps with 8 clips of 16 frames
            stages={
                1: Stage(
                    trains=(*PARTS_THAT_LEARN, "motion"),
                    settings=SELF_SUPERVISED
                    | {
                        "resolution": 512, "steps": 100_000, "global_batch": 8, "frames": 16, "learning_rate": 1e-5,
                        "gradient_checkpointing": True, "precision": "auto",
                    },
                ),
            },
        ),
        "mini": Size(
            build=build_mini,
            options=AnimateAnyone2.Options(reference_pose=True),
            scheduler=MINI_SCHEDULER,
            sampling=MINI_SAMPLING,
            styles={"pose": {"hands": False}, "structured_depth": {"hands": False}},
            # in two: motion modules that start together with everything else learn last
            stages={
                1: Stage(
                    trains=(*PARTS_THAT_LEARN, "image_encoder"),
                    settings=MINI_FRAMES | SELF_SUPERVISED | {"steps": 4_300, "drop_condition": 0.05},
                ),
                2: Stage(trains=("motion", "pose_guider"), settings=MINI_CLIPS | SELF_SUPERVISED | {"steps": 400}),
            },
        ),
    },
)  # fmt: skip
