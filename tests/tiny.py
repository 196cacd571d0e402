"""Tiny random models for every room's tests; nothing is left at its zero start, so that every path matters."""

from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from bunraku.cues.drawn import draw_conditions
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.patch_codec import PatchCodec, fit_components
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes.multi_character import MultiCharacter

TINY: dict[str, Any] = {
    "in_channels": 4,
    "block_out_channels": (16, 16),
    "layers_per_block": 1,
    "attention_levels": (True, True),
    "num_attention_heads": 2,
    "cross_attention_dim": 16,
    "norm_num_groups": 4,
}


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Move every parameter off its start value a little, zeros included; in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


def build_tiny_pipeline(**config: Any) -> AnimationPipeline:
    """A pipeline of 64x64 output and two steps; `config` goes to its constructor, parts included."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=16
    )  # fmt: skip
    codec = PatchCodec(latent_channels=4, decoder_channels=(16, 8, 8), decoder_layers=(1, 1, 1))
    fit_components(codec, np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8))
    parts = {
        "denoiser": Denoiser(**TINY, motion_num_attention_heads=2, motion_norm_num_groups=4),
        "reference_net": ReferenceNet(**TINY),
        "pose_guider": PoseGuider(out_channels=16, block_out_channels=(8, 16), unshuffle=4, norm=True),
        "image_encoder": CLIPVisionModelWithProjection(vision),
    }
    for part in parts.values():
        randomise(part).eval()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, prediction_type="sample",
        rescale_betas_zero_snr=True, timestep_spacing="trailing",
    )  # fmt: skip
    settings = {
        "options": {"reference_pose": True},
        "size": (64, 64),
        "defaults": {"num_inference_steps": 2, "guidance_scale": 1.0, "window": 8, "overlap": 2},
    }
    pipeline = AnimationPipeline(**({"vae": codec.eval(), "scheduler": scheduler} | parts | settings | config))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def animated(
    pipeline: AnimationPipeline,
    picture: np.ndarray,
    poses: PoseTrack | np.ndarray,
    own: PoseTrack | np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    generator: torch.Generator | None = None,
    **settings: Any,
) -> np.ndarray:
    """The frames of a clip, its conditions drawn as the model knows them; `settings`: fields of `Sampling`."""
    stills, frames = draw_conditions(pipeline, picture, poses, own, size)
    return pipeline(stills, frames, pipeline.sampling.but(settings), generator=generator).frames


def tiny_controlnet(**config: Any) -> ControlNet:
    """One for the tiny denoiser, with motion modules in its lowest level."""
    tiny = {key: value for key, value in TINY.items() if key != "in_channels"}
    net = ControlNet(
        **tiny | config, conditioning_embedding_out_channels=(8, 16), conditioning_unshuffle=4, motion_levels=(1,),
        motion_num_attention_heads=2, motion_norm_num_groups=4,
    )  # fmt: skip
    return randomise(net).eval()  # type: ignore[return-value]


def tiny_tcan(**config: Any) -> AnimationPipeline:
    """A tiny pipeline of the recipe tcan; `config` as of `build_tiny_pipeline`."""
    parts = {"controlnet": tiny_controlnet(), "prompt": randomise(ConstantToken(length=5, width=16))}
    absent = {"pose_guider": None, "image_encoder": None}
    return build_tiny_pipeline(
        **{"recipe": "tcan", "options": {"reference_timestep": "zero"}} | absent | parts | config
    )


def walking_track(frames: int, size: tuple[int, int] = (64, 64)) -> PoseTrack:
    """One person whose joints wander inside the frame."""
    rng = np.random.default_rng(2)
    start = rng.uniform(0.2, 0.8, (1, 1, 18, 2))
    step = 0.1 * np.sin(np.arange(frames) / 3)[:, None, None, None]
    keypoints = ((start + step) * (size[1], size[0])).astype(np.float32)
    return PoseTrack(keypoints, np.ones((frames, 1, 18), np.float32), size)


def crowd(frames: int, people: int, size: tuple[int, int], rng: np.random.Generator, joints: int = 18) -> PoseTrack:
    """People with joints anywhere in and around the frame, a third of them not seen."""
    keypoints = rng.uniform(-0.2, 1.2, (frames, people, joints, 2)) * (size[1], size[0])
    scores = rng.choice([0, 0.9, 1], (frames, people, joints))
    return PoseTrack(keypoints.astype(np.float32), scores.astype(np.float32), size)


def tiny_multi_character(**config: Any) -> AnimationPipeline:
    """A tiny pipeline of the recipe multi-character; `config` as of `build_tiny_pipeline`."""
    guiders = {
        name: randomise(PoseGuider(out_channels=16, block_out_channels=(8, 16), unshuffle=4, norm=True), i).eval()
        for i, name in enumerate(MultiCharacter.added)
    }
    return build_tiny_pipeline(**{"recipe": "multi-character", "options": {}} | guiders | config)
