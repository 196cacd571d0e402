"""A pipeline of a few thousand parameters, every component as in the mini size."""

import pytest
import torch
from diffusers import DDIMScheduler
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from bunraku.nets.denoiser import Denoiser
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.pipeline import AnimationPipeline

UNET = {
    "in_channels": 4, "block_out_channels": (8, 16), "layers_per_block": 1, "attention_levels": (True, True),
    "num_attention_heads": 2, "cross_attention_dim": 8, "norm_num_groups": 4, "spatial_positions": 3.0,
}  # fmt: skip


def make_pipeline(motion=True, seed=0):
    torch.manual_seed(seed)
    vit = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=8
    )  # fmt: skip
    parts = {
        "vae": PatchCodec(4, decoder_channels=(8, 8, 8), decoder_layers=(1, 1, 1), scaling_factor=0.7),
        "denoiser": Denoiser(**UNET, motion=motion, motion_num_attention_heads=2, motion_norm_num_groups=4),
        "reference_net": ReferenceNet(**UNET),
        "pose_guider": PoseGuider(out_channels=8, block_out_channels=(8, 8), unshuffle=4, norm=True),
        "image_encoder": CLIPVisionModelWithProjection(vit),
    }
    for part in parts.values():
        for value in part.state_dict().values():
            value.normal_(std=0.2)
    parts["vae"].deviations.abs_().add_(0.5)
    scheduler = DDIMScheduler(prediction_type="sample", timestep_spacing="trailing", rescale_betas_zero_snr=True)
    pipeline = AnimationPipeline(
        **parts, scheduler=scheduler, options={"reference_pose": True}, size=(32, 40), defaults={"num_inference_steps": 2, "guidance_scale": 1.5}
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def pipeline():
    return make_pipeline()
