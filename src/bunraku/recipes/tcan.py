"""TCAN (Kim et al., ECCV 2024, arXiv 2407.09012): which parts, which sizes, what each stage trains."""

from typing import Any

from bunraku.errors import BunrakuError
from bunraku.nets.animator import Animator
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes.animate_anyone import MINI, SD15
from bunraku.recipes.recipe import Recipe, Size, Stage

BEHAVIOUR: dict[str, Any] = {"window": 16, "overlap": 4, "merge": "uniform", "temperature": 3.0, "control_window": 16}


def build_sd15(motion: bool, literal_guider: bool = False) -> Animator:
    """The paper's size. The caller loads Stable Diffusion 1.5 (denoiser), Realistic Vision (appearance UNet) and the OpenPose
    ControlNet, which stay frozen or are trained as the stages say.

    The appearance UNet's tokens join the middle and up blocks, and it is told the denoiser's timestep. Cross-attention sees the
    empty prompt. Motion modules: all levels but the middle in the denoiser, the two lowest in ControlNet. Group norms are taken
    over all frames of a window, as in the paper's code.

    Args:
        motion: with motion modules (stage 2 and inference).
        literal_guider: TCAN has no pose guider.
    """
    _no_guider(literal_guider)
    levels = (2, 3) if motion else ()
    return Animator(
        Denoiser(**SD15, motion=motion, motion_mid=False, pooled_norms=True),
        ReferenceNet(**SD15, reference_blocks="midup"),
        ControlNet(**SD15, motion_levels=levels, pooled_norms=True),
        ConstantToken(),
        reference_timestep="every",
    )


def build_mini(motion: bool, literal_guider: bool = False) -> Animator:
    """About 11 M parameters for 128x128, of the classes of the paper's size; the options are those of mini Animate Anyone.

    There is no public base of this size: stage 0 makes one (denoiser and ControlNet, without reference, on the theatre's wide
    domain), which then stays frozen while stages 1 and 2 learn human puppets alone: only so can be tested whether frozen keeps general.
    ReferenceNet runs once, at timestep 0. The prompt is one token of zeros.
    """
    _no_guider(literal_guider)
    modules = {"motion_num_attention_heads": 4, "motion_norm_num_groups": 16}
    denoiser = Denoiser(**MINI, out_channels=32, motion=motion, motion_mid=False, **modules)
    reference_net = ReferenceNet(**MINI, reference_blocks="midup")
    control = ControlNet(
        **MINI, conditioning_embedding_out_channels=(48, 64), conditioning_unshuffle=4, conditioning_norm=True,
        motion_levels=(1,) if motion else (), **modules,
    )  # fmt: skip
    for net in (denoiser, reference_net, control):
        initialise_from_scratch(net)
    return Animator(denoiser, reference_net, control, ConstantToken(1, 64))


def _no_guider(literal: bool) -> None:
    if literal:
        raise BunrakuError("TCAN guides by a ControlNet and has no pose guider: leave literal_guider out")


_SMALL: dict[str, Any] = {
    "resolution": 128, "betas": (0.9, 0.99), "precision": "bf16", "skeleton_weight": 2.5, "timestep_power": 3.0,
    "permute_colours": True,
}  # fmt: skip

TCAN = Recipe(
    name="tcan",
    paper="TCAN, ECCV 2024, arXiv 2407.09012",
    sizes={
        "sd15": Size(
            build=build_sd15,
            scheduler={
                "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False, "steps_offset": 1,
            },
            inference=BEHAVIOUR
            | {"num_inference_steps": 25, "guidance_scale": 7.5, "noise_period": 16, "reference_timestep": "every"},
            skeleton={"hands": False},
            # METHODS (b): two processes; 100,000 steps of pairs at least 30 frames apart, then 90 epochs of 16-frame clips
            stages={
                1: Stage(
                    trains=("reference_net", "lora"),
                    settings={
                        "resolution": 512, "steps": 100_000, "batch": 2, "frames": 1, "learning_rate": 1e-5, "min_gap": 30,
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings={
                        "resolution": 512, "steps": 15_000, "batch": 1, "frames": 16, "learning_rate": 1e-5,
                        "drop_condition": 0.0,
                    },
                ),
            },
        ),
        "mini": Size(
            build=build_mini,
            scheduler={
                "beta_start": 0.05, "beta_end": 0.05, "beta_schedule": "linear", "clip_sample": False,
                "prediction_type": "sample", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
            },  # that of mini Animate Anyone
            inference=BEHAVIOUR | {"num_inference_steps": 8, "guidance_scale": 1.0, "noise_period": 1},
            skeleton={"hands": False},
            stages={
                # the base: learns to draw somebody in the pose; every batch is unconditional
                0: Stage(
                    trains=("denoiser", "pose_guider"),
                    settings=_SMALL
                    | {
                        "steps": 2_200, "batch": 4, "frames": 6, "learning_rate": 1.5e-3, "warmup": 300, "decay": 0.3,
                        "drop_condition": 1.0, "ema_decay": 0.999, "domain": "wide",
                    },
                ),
                1: Stage(
                    trains=("reference_net", "lora"),
                    settings=_SMALL
                    | {
                        "steps": 900, "batch": 4, "frames": 6, "learning_rate": 1.5e-3, "warmup": 300, "decay": 0.3,
                        "drop_condition": 0.05, "ema_decay": 0.999, "domain": "humans", "reference_from_denoiser": True,
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings=_SMALL
                    | {
                        "steps": 300, "batch": 2, "frames": 16, "learning_rate": 1e-3, "warmup": 30, "decay": 0.25,
                        "drop_condition": 0.0, "ema_decay": 0.98, "shared_noise": 1.0, "domain": "humans",
                    },
                ),
            },
        ),
    },
)  # fmt: skip
