"""Animate Anyone (Hu et al., CVPR 2024, arXiv 2311.17117): which parts, which sizes, what each stage trains."""

from typing import Any

from bunraku.nets.animator import Animator
from bunraku.nets.denoiser import Denoiser, initialise_from_scratch
from bunraku.nets.pose_guider import LiteralPoseGuider, PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.recipes.recipe import Recipe, Size, Stage

SD15: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "num_attention_heads": 8,
    "cross_attention_dim": 768,
}

MINI: dict[str, Any] = {
    "in_channels": 32,
    "block_out_channels": (64, 112),
    "layers_per_block": 1,
    "attention_levels": (True, True),
    "num_attention_heads": (2, 4),
    "cross_attention_dim": 64,
    "norm_num_groups": 16,
    "spatial_positions": 3.0,
}


def build_sd15(motion: bool, literal_guider: bool = False) -> Animator:
    """The paper's size; its weights start from Stable Diffusion 1.5 and CLIP ViT-L/14, which the caller loads.

    Args:
        motion: with motion modules (stage 2 and inference).
        literal_guider: the pose guider as printed, added to the latents, instead of the one that public weights use.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    vit_l = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        projection_dim=768,
    )
    guider = LiteralPoseGuider() if literal_guider else PoseGuider()
    return Animator(Denoiser(**SD15, motion=motion), ReferenceNet(**SD15), guider, CLIPVisionModelWithProjection(vit_l))


def build_mini(motion: bool, literal_guider: bool = False) -> Animator:
    """About 9 M parameters for 128x128, trained from nothing on the theatre. Differences from the paper's size are options
    of the same classes: spatial positions, start values, a guider on folded pixels, the reference's own skeleton."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    vit = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        projection_dim=64,
    )
    denoiser = Denoiser(**MINI, out_channels=32, motion=motion, motion_num_attention_heads=4, motion_norm_num_groups=16)
    reference_net = ReferenceNet(**MINI)
    for net in (denoiser, reference_net):
        initialise_from_scratch(net)
    guider: LiteralPoseGuider | PoseGuider = LiteralPoseGuider(out_channels=MINI["in_channels"])
    if not literal_guider:
        guider = PoseGuider(out_channels=64, block_out_channels=(48, 64), unshuffle=4, norm=True)
    return Animator(denoiser, reference_net, guider, CLIPVisionModelWithProjection(vit), reference_pose=True)


ANIMATE_ANYONE = Recipe(
    name="animate-anyone",
    paper="Animate Anyone, CVPR 2024, arXiv 2311.17117",
    sizes={
        "sd15": Size(
            build=build_sd15,
            scheduler={
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "clip_sample": False,
                "steps_offset": 1,
            },
            inference={"num_inference_steps": 20, "guidance_scale": 3.5, "window": 24, "overlap": 4},
            skeleton={"style": "dwpose", "face": False},
            # METHODS: 30,000 steps of batch 64, then 10,000 of 24-frame clips, batch 4, lr 1e-5, 768 x 768
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider"),
                    settings={
                        "resolution": 768,
                        "steps": 30_000,
                        "batch": 64,
                        "frames": 1,
                        "learning_rate": 1e-5,
                        "min_gap": 30,
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings={"resolution": 768, "steps": 10_000, "batch": 4, "frames": 24, "learning_rate": 1e-5},
                ),
            },
        ),
        "mini": Size(
            build=build_mini,
            # Far more noise than Stable Diffusion's schedule: at this size reference and pose determine nearly everything, and
            # a model trained for an hour makes incoherent detail out of low noise (held-out PSNR of 12 steps after 2,000
            # training steps: 22.6 dB down to timestep 40 of that schedule, 23.6 dB down to 600).
            scheduler={
                "beta_start": 0.05,
                "beta_end": 0.05,
                "beta_schedule": "linear",
                "clip_sample": False,
                "prediction_type": "sample",
                "rescale_betas_zero_snr": True,
                "timestep_spacing": "trailing",
            },
            inference={"num_inference_steps": 8, "guidance_scale": 1.0, "window": 16, "overlap": 4, "noise_period": 1},
            skeleton={"hands": False},
            stages={
                1: Stage(
                    trains=("denoiser", "reference_net", "pose_guider", "image_encoder"),
                    settings={
                        "resolution": 128,
                        "steps": 4_300,
                        "batch": 4,
                        "frames": 6,
                        "learning_rate": 1.5e-3,
                        "warmup": 300,
                        "decay": 0.3,
                        "betas": (0.9, 0.99),
                        "weight_decay": 0.01,
                        "precision": "bf16",
                        "drop_condition": 0.05,
                        "drop_reference_pose": 0.3,
                        "skeleton_weight": 2.5,
                        "timestep_power": 3.0,
                        "ema_decay": 0.999,
                        "permute_colours": True,
                    },
                ),
                2: Stage(
                    trains=("motion",),
                    settings={
                        "resolution": 128,
                        "steps": 400,
                        "batch": 2,
                        "frames": 16,
                        "learning_rate": 1e-3,
                        "warmup": 30,
                        "decay": 0.25,
                        "betas": (0.9, 0.99),
                        "precision": "bf16",
                        "drop_condition": 0.0,
                        "drop_reference_pose": 0.3,
                        "skeleton_weight": 2.5,
                        "timestep_power": 3.0,
                        "ema_decay": 0.98,
                        "shared_noise": 1.0,
                        "permute_colours": True,
                    },
                ),
            },
        ),
    },
)
