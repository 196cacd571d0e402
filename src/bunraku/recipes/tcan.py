"""TCAN (Kim et al., ECCV 2024, arXiv 2407.09012): which parts, how they are wired, which sizes, what each stage trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor

from bunraku.errors import BunrakuError
from bunraku.nets.attention import Tokens
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.ports import Ports
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
)
from bunraku.recipes.recipe import Recipe, Size, Stage
from bunraku.sampling.control import CachedControl
from bunraku.sampling.sampling import Sampling

TEMPERATURE = 3.0
"""The paper's slope tau (section 3.3)."""


class TCAN(Animator):
    """Denoiser, appearance UNet (ReferenceNet), ControlNet and the empty prompt, wired as in the paper's figure 2. MagicAnimate, on
    whose parts the paper builds, is wired alike."""

    @dataclass(frozen=True)
    class Options:
        """
        Attributes:
            reference_timestep: what ReferenceNet is told: "every": the denoiser's timestep, or "zero", so that it runs once per clip.
            control_window: frames that ControlNet sees together; its windows do not overlap, and its maps of a frame serve both
                halves of guidance and every window of the denoiser with that frame.
        """

        reference_timestep: Literal["zero", "every"] = "every"
        control_window: int = 16

    def __init__(
        self,
        denoiser: Denoiser,
        reference_net: ReferenceNet,
        controlnet: ControlNet,
        prompt: ConstantToken,
        options: Options = Options(),
    ) -> None:
        super().__init__()
        _check_widths(controlnet, denoiser)
        self.denoiser, self.reference_net = denoiser, reference_net
        self.controlnet, self.prompt = controlnet, prompt
        self.options = options

    @property
    def reads(self) -> Reads:
        return Reads()

    def encode_stills(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        clean = latents["reference"]
        return {"token": self.prompt(clean).to(clean), "reference": self.pictures_of(latents)}

    def encode_frames(self, inputs: Inputs, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"pose": self.controlnet.embed(inputs.frame_pixels("pose", self.dtype))}

    def ports(self, encoded: Encoded, window: Sequence[int], noisy: Tensor, timestep: Tensor, shown: bool) -> Ports:
        token = encoded.stills["token"]

        def maps(frames: Sequence[int]) -> list[Tensor]:
            latents = noisy[:, :, list(frames)].to(token.dtype)
            return self.controlnet(latents, timestep_of(timestep, frames), token, encoded.at("pose", frames, token))

        def cached() -> CachedControl:
            return CachedControl(maps, noisy.shape[2], self.options.control_window)

        ports = Ports(token, residuals=encoded.once("control", cached, timestep)(window))
        if not shown:  # the empty prompt stays what it is
            return ports
        told = timestep if self.options.reference_timestep == "every" else None
        reference = encoded.once("reference", lambda: self.reference(encoded, 0 if told is None else told), told)
        return replace(ports, reference=reference)

    def reference(self, encoded: Encoded, timestep: Tensor | int) -> dict[str, Tokens]:
        """Keys and values of the reference for the denoiser, ReferenceNet being told `timestep`."""
        return self.reference_tokens(encoded.stills["reference"], encoded.stills["token"], timestep)


def timestep_of(timestep: Tensor, frames: Sequence[int]) -> Tensor:
    """The timesteps of some frames where each has its own (B, F), else the timestep."""
    return timestep[:, list(frames)] if timestep.ndim == 2 else timestep


def _check_widths(control: ControlNet, denoiser: Denoiser) -> None:
    """Raise BunrakuError where a ControlNet belongs to another base than the denoiser."""
    for key in ("cross_attention_dim", "block_out_channels", "in_channels"):
        theirs, ours = control.config[key], denoiser.config[key]  # type: ignore[index]
        if theirs != ours and list(np.atleast_1d(theirs)) != list(np.atleast_1d(ours)):
            raise BunrakuError(
                f"the ControlNet belongs to another base model than the denoiser: its {key} is {theirs}, the denoiser's is "
                f"{ours}; take one of the same base"
            )


def build_sd15(motion: bool, options: TCAN.Options) -> TCAN:
    """The paper's size. The caller loads Stable Diffusion 1.5 (denoiser), Realistic Vision (appearance UNet) and the OpenPose
    ControlNet, which stay frozen or are trained as the stages say.

    The appearance UNet's tokens join the middle and up blocks. Cross-attention sees the empty prompt. Motion modules: all levels but
    the middle in the denoiser, the two lowest in ControlNet. Group norms are taken over all frames of a window, as in the paper's code.

    Args:
        motion: with motion modules (stage 2 and inference).
    """
    levels = (2, 3) if motion else ()
    return TCAN(
        Denoiser(**SD15, motion=motion, motion_mid=False, pooled_norms=True),
        ReferenceNet(**SD15, reference_blocks="midup"),
        ControlNet(**SD15, motion_levels=levels, pooled_norms=True),
        ConstantToken(),
        options,
    )


def build_mini(motion: bool, options: TCAN.Options) -> TCAN:
    """About 11 M parameters for 128x128, of the classes of the paper's size; the options are those of mini Animate Anyone.

    There is no public base of this size: stage 0 makes one (denoiser and ControlNet, without reference, on the theatre's wide
    domain), which then stays frozen while stages 1 and 2 learn human puppets alone. So the paper's claim that a frozen ControlNet
    stays general can be tested. The prompt is one token of zeros.
    """
    denoiser = Denoiser(**MINI, **MINI_MOTION, out_channels=MINI["in_channels"], motion=motion, motion_mid=False)
    reference_net = ReferenceNet(**MINI, reference_blocks="midup")
    control = ControlNet(
        **MINI, **MINI_MOTION, conditioning_embedding_out_channels=(48, 64), conditioning_unshuffle=4, conditioning_norm=True,
        motion_levels=(1,) if motion else (),
    )  # fmt: skip
    for net in (denoiser, reference_net, control):
        initialise_from_scratch(net)
    return TCAN(denoiser, reference_net, control, ConstantToken(1, MINI["cross_attention_dim"]), options)


TCAN_RECIPE = Recipe(
    name="tcan",
    paper="TCAN, ECCV 2024, arXiv 2407.09012",
    animator=TCAN,
    sizes={
        "sd15": Size(
            build=build_sd15,
            options=TCAN.Options(),
            scheduler=SD15_SCHEDULER | {"beta_schedule": "linear"},
            sampling=Sampling(
                num_inference_steps=25, guidance_scale=7.5, window=16, overlap=4, merge="uniform", noise_period=16,
                temperature=TEMPERATURE,
            ),
            styles={"pose": {"hands": False}},
            # METHODS (b): two processes; 100,000 steps of pairs at least 30 frames apart, then 90 epochs of 16-frame clips
            stages={
                1: Stage(
                    trains=("reference_net", "lora"),
                    settings={
                        "resolution": 512, "steps": 100_000, "global_batch": 4, "frames": 1, "learning_rate": 1e-5,
                        "min_gap": 30, "drop_condition": 0.1, "gradient_checkpointing": True, "precision": "auto",
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings={
                        "resolution": 512, "steps": 15_000, "global_batch": 2, "frames": 16, "learning_rate": 1e-5,
                        "drop_condition": 0.0, "reference_frame": "first", "gradient_checkpointing": True, "precision": "auto",
                    },
                ),
            },
        ),
        "mini": Size(
            build=build_mini,
            options=TCAN.Options(reference_timestep="zero"),
            scheduler=MINI_SCHEDULER,
            sampling=replace(MINI_SAMPLING, merge="uniform", temperature=TEMPERATURE),
            styles={"pose": {"hands": False}},
            stages={
                # the base: learns to draw somebody in the pose; no sample shows a reference
                0: Stage(
                    trains=("denoiser", "controlnet"),
                    settings=MINI_FRAMES | {"steps": 2_200, "drop_condition": 1.0, "domain": "wide"},
                ),
                1: Stage(
                    trains=("reference_net", "lora"),
                    settings=MINI_FRAMES
                    | {"steps": 900, "drop_condition": 0.05, "domain": "humans", "reference_from_denoiser": True},
                ),
                2: Stage(
                    trains=("motion",),
                    settings=MINI_CLIPS | {"steps": 300, "domain": "humans", "reference_frame": "first"},
                ),
            },
        ),
    },
)  # fmt: skip
