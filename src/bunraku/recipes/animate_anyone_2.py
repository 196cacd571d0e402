"""Animate Anyone 2 (Hu et al., arXiv 2502.06145): the character in a scene, with what it handles and which limb is in front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.object_guider import ObjectGuider, blend_port
from bunraku.nets.ports import Ports
from bunraku.nets.pose_guider import PoseGuider
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
            objects: how they enter: "blend": spatial blending; "noise": their latents are joined to the noisy ones, which the paper
                compares with; "none": they are not shown.
            scene_start: how the weights start that read the environment from a model without: "zero": it changes nothing yet; "latents": like
                those that read the noisy latents, which learns sooner to hand the scene on (mini after 500 steps: 19.9 dB instead of 19.6).
            modulation: whether depth modulates the pose; without, the pose guider is Animate Anyone's.
        """

        blend_bias: float = -4.0
        masked_blend: bool = True
        object_strides: tuple[int, ...] | None = None
        objects: Literal["blend", "noise", "none"] = "blend"
        scene_start: Literal["zero", "latents"] = "zero"
        modulation: bool = True

    added: ClassVar[tuple[str, ...]] = ("pose_guider", "object_guider")
    halo: ClassVar[int] = 1  # of the convolution over time

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        pose_guider: PoseModulation | PoseGuider,
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
        depth = ("structured_depth",) if self.options.modulation else ()
        things = ("object",) if self.options.objects != "none" else ()
        return Reads(
            stills=super().reads.stills,
            frames=("pose", *depth, "environment", "mask", *things),
            latents=("reference", "environment", *things),
        )

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = {"pose": self._posed(inputs)}
        given: dict[str, Tensor] = {
            name: inputs.kept(name, latents[name])
            for name in ("environment", "object")
            if name in latents and name in self.reads.frames
        }
        if "object" in given and self.options.objects == "blend":
            maps |= self._objects(inputs, given.pop("object"))
        if given:
            things = self.options.objects == "noise"
            maps["scene"] = scene_maps(inputs, given, things).to(self.dtype)
        return maps

    def inherit(self, name: str, source: nn.Module) -> bool:
        """Depth-wise modulation starts from the pose guider of Animate Anyone, and is it exactly before training."""
        if not isinstance(self.pose_guider, PoseModulation) or type(source) is not type(self.pose_guider.skeleton):
            return super().inherit(name, source)
        self.pose_guider.start_as(source)
        return True

    def begin(self) -> None:
        """See `Options.scene_start`; a start model that was shown the scene already goes on from what it knows."""
        if self.options.scene_start == "zero":
            return
        own = self.denoiser.conv_in.in_channels - self.denoiser.joined_channels
        weight = self.denoiser.conv_in.weight.data
        if not weight[:, own:].any():
            weight[:, own : 2 * own] = weight[:, :own]

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
        names = [name for name in ("pose", "structured_depth") if name in inputs.frames and name in self.reads.frames]
        clips = [inputs.frame_pixels(name, self.dtype) for name in names]
        if self.denoiser.config.motion:  # type: ignore[union-attr, attr-defined]
            return self.pose_guider(*clips)
        alone = self.pose_guider(*(rearrange(clip, "b c f h w -> (b f) c 1 h w") for clip in clips))
        return rearrange(alone, "(b f) c 1 h w -> b c f h w", b=len(clips[0]))

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


def scene_maps(inputs: Inputs, latents: Mapping[str, Tensor], things: bool) -> Tensor:
    """What is joined to the noisy latents of a scene: the environment's latents (B, C, F, h, w), the mask as one channel more, its maximum
    over each of their cells, and, if they enter here, the latents of the things in hand; zeros for what is not given.

    Args:
        latents: "environment", "object" or both, as far as the samples have them.
    """
    nothing = torch.zeros_like(next(iter(latents.values())))
    hole = nothing[:, :1]
    if "mask" in inputs.frames:
        pixels = inputs.kept("environment", inputs.frame_pixels("mask", nothing.dtype))[:, :1]
        hole = F.adaptive_max_pool3d(pixels.float(), hole.shape[2:]).to(hole)
    return torch.cat([latents.get("environment", nothing), hole, *([latents.get("object", nothing)] * things)], dim=1)


def _entrances(channels: int, options: AnimateAnyone2.Options) -> dict[str, Any]:
    """Where scene and objects enter the denoiser of latents of so many channels."""
    things = channels if options.objects == "noise" else 0
    return {
        "joined_channels": channels + MASK + things,
        "blend_bias": options.blend_bias if options.objects == "blend" else None,
    }


def build_sd15(motion: bool, options: AnimateAnyone2.Options) -> AnimateAnyone2:
    """The paper's size. The caller loads Stable Diffusion 1.5 into denoiser and ReferenceNet, AnimateDiff into the motion modules and
    CLIP into the image encoder.

    Args:
        motion: with motion modules.
    """
    from transformers import CLIPVisionModelWithProjection

    return AnimateAnyone2(
        Denoiser(**SD15, motion=motion, **_entrances(4, options)),
        ReferenceNet(**SD15, reference_blocks="midup"),
        PoseModulation() if options.modulation else PoseGuider(),
        ObjectGuider(strides=options.object_strides),
        CLIPVisionModelWithProjection(vit_l()),
        options,
    )


def build_mini(motion: bool, options: AnimateAnyone2.Options) -> AnimateAnyone2:
    """About 10 M parameters for 128x128, of the classes of the paper's size; the options are those of mini Animate Anyone."""
    from transformers import CLIPVisionModelWithProjection

    channels, widths = MINI["in_channels"], MINI["block_out_channels"]
    denoiser = Denoiser(**MINI, **MINI_MOTION, out_channels=channels, motion=motion, **_entrances(channels, options))
    guider: dict[str, Any] = {"out_channels": 64, "block_out_channels": (48, 64), "unshuffle": 4, "norm": True}
    reference_net = ReferenceNet(**MINI, reference_blocks="midup")
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    return AnimateAnyone2(
        denoiser,
        reference_net,
        PoseModulation(**guider, num_attention_heads=4) if options.modulation else PoseGuider(**guider),
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
