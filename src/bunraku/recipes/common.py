"""What several recipes share: Stable Diffusion's size, the mini size, and their noise schedules, each number once."""

from typing import Any

from bunraku.sampling.sampling import Sampling

SD15: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "num_attention_heads": 8,
    "cross_attention_dim": 768,
}
"""UNets of Stable Diffusion 1.5."""

SD15_SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1,
}  # fmt: skip

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
"""UNets for 128x128 that are trained from nothing."""

MINI_MOTION: dict[str, Any] = {"motion_num_attention_heads": 4, "motion_norm_num_groups": 16}

MINI_SCHEDULER: dict[str, Any] = {
    "beta_start": 0.05, "beta_end": 0.05, "beta_schedule": "linear", "clip_sample": False, "prediction_type": "sample",
    "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
}  # fmt: skip
"""Far more noise than Stable Diffusion's schedule: at this size reference and pose determine nearly everything, and a model
trained for an hour makes incoherent detail out of low noise (held-out PSNR of 12 steps after 2,000 training steps: 22.6 dB down to
timestep 40 of that schedule, 23.6 dB down to 600)."""

MINI_SAMPLING = Sampling(num_inference_steps=8, guidance_scale=1.0, window=16, overlap=4, noise_period=1)

MINI_TRAINING: dict[str, Any] = {
    "resolution": 128, "betas": (0.9, 0.99), "precision": "auto", "skeleton_weight": 2.5, "timestep_power": 3.0,
    "permute_colours": True,
}  # fmt: skip

MINI_FRAMES = MINI_TRAINING | {
    "batch": 4, "frames": 6, "learning_rate": 1.5e-3, "warmup": 300, "decay": 0.3, "ema_decay": 0.999,
}  # fmt: skip
"""A stage on single frames."""

MINI_CLIPS = MINI_TRAINING | {
    "batch": 2, "frames": 16, "learning_rate": 1e-3, "warmup": 30, "decay": 0.25, "drop_condition": 0.0, "ema_decay": 0.98,
    "shared_noise": 1.0,
}  # fmt: skip
"""A stage on clips."""


def vit_l() -> Any:
    """The configuration of CLIP ViT-L/14's image encoder."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14,
        projection_dim=768,
    )  # fmt: skip


def vit_mini() -> Any:
    """The configuration of an image encoder of the mini size."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16,
        projection_dim=64,
    )  # fmt: skip
