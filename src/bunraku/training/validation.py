"""Validation while training: held-out theatre clips re-enacted, scored against the truth and drawn on a sheet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bunraku.cues.skeleton import draw_skeleton
from bunraku.evaluation.metrics import psnr
from bunraku.media import contact_sheet, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import AnimationPipeline
from bunraku.theatre import render, sample_scene
from bunraku.training.config import TrainingConfig


@dataclass(frozen=True)
class HeldOutClip:
    """One clip of self-reenactment: the first frame is the reference, the others are driven and scored.

    Attributes:
        reference: uint8 (H, W, 3); reference_pose: its keypoints.
        truth: uint8 (F, H, W, 3); pose: its keypoints.
        figure: bool (F, H, W), where the truth shows the character.
    """

    reference: np.ndarray
    reference_pose: PoseTrack
    truth: np.ndarray
    pose: PoseTrack
    figure: np.ndarray


def held_out_clip(index: int, frames: int, size: tuple[int, int], split: str = "val", stride: int = 2) -> HeldOutClip:
    """Clip `index` of a split of the theatre, every `stride`-th frame."""
    shown = render(sample_scene(index, split), range(0, (frames + 1) * stride, stride), size)
    return HeldOutClip(shown.frames[0], shown.pose[:1], shown.frames[1:], shown.pose[1:], shown.character_mask[1:])


def score(predictions: Mapping[str, np.ndarray], clip: HeldOutClip) -> dict[str, float]:
    """Full-frame and figure PSNR of several predictions of one clip: {"NAME": dB, "NAME figure": dB}."""
    scores = {}
    for name, frames in predictions.items():
        scores[name] = float(psnr(frames, clip.truth).mean())
        scores[f"{name} figure"] = float(np.nanmean(psnr(frames, clip.truth, clip.figure)))
    return scores


def reenact(pipeline: AnimationPipeline, clip: HeldOutClip, seed: int = 0, **settings: Any) -> dict[str, np.ndarray]:
    """The model's frames, and what they are held against: the reference copied, the truth through the autoencoder."""
    generator = torch.Generator().manual_seed(seed)
    generated = pipeline(
        clip.reference, clip.pose, clip.reference_pose, size=clip.truth.shape[1:3], generator=generator, **settings
    ).frames
    with torch.no_grad():
        codec = np.concatenate([pipeline.decode(pipeline.encode(frame)[:, :, None]) for frame in clip.truth])
    return {"model": generated, "copy": np.broadcast_to(clip.reference, clip.truth.shape), "codec": codec}


def validate(
    animator: Any, vae: Any, size: Any, config: TrainingConfig, step: int, clips: int = 8, frames: int = 6
) -> dict[str, float]:
    """Re-enact held-out clips with 8 steps, write OUTPUT/validation/step-N.png, return the mean scores (dB)."""
    pipeline = build_pipeline(animator, vae, size, config)
    pipeline.set_progress_bar_config(disable=True)
    animator.eval()
    scores: list[dict[str, float]] = []
    rows: dict[str, np.ndarray] = {}
    for index in range(clips):
        clip = held_out_clip(index, frames, config.resolution_hw)
        predictions = reenact(pipeline, clip, num_inference_steps=8)
        scores.append(score(predictions, clip))
        if index < 5:
            drawn = draw_skeleton(clip.pose)
            rows |= {
                f"truth {index}": np.stack([clip.reference, *clip.truth]),
                f"model {index}": np.stack([drawn[0], *predictions["model"]]),
            }
    animator.train()
    (config.output / "validation").mkdir(parents=True, exist_ok=True)
    write_image(config.output / "validation" / f"step-{step}.png", contact_sheet(rows, frames + 1, height=128))
    return {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}


def build_pipeline(animator: Any, vae: Any, size: Any, config: TrainingConfig) -> AnimationPipeline:
    """The pipeline of a model in training; it shares the networks."""
    from diffusers import DDIMScheduler

    return AnimationPipeline(
        vae, animator.denoiser, animator.reference_net, animator.pose_guider, animator.image_encoder,
        DDIMScheduler(**size.scheduler), reference_pose=animator.reference_pose, size=config.resolution_hw,
        defaults=dict(size.inference), recipe=config.recipe, skeleton=dict(size.skeleton),
    )  # fmt: skip
