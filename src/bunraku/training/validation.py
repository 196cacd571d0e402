"""Validation while training: held-out theatre clips re-enacted, scored against the truth and drawn on a sheet."""

from typing import Any

import numpy as np

from bunraku.cues.skeleton import draw_skeleton
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import score_clip
from bunraku.evaluation.systems import Codec, Copy, PipelineSystem
from bunraku.media import contact_sheet, write_image
from bunraku.pipeline import AnimationPipeline
from bunraku.theatre import render, sample_scene
from bunraku.training.config import TrainingConfig

METRICS = ("psnr", "psnr_character")


def held_out_clip(index: int, frames: int, size: tuple[int, int], split: str = "val", stride: int = 2) -> BenchmarkClip:
    """One clip of self-reenactment: the first frame of scene `index` is the reference, every `stride`-th after it is driven."""
    scene = sample_scene(index, split)
    shown = render(scene, range(0, (frames + 1) * stride, stride), size)
    return BenchmarkClip(
        f"{split}/{index}", scene.fps / stride, shown.frames[0], shown.pose[:1], shown.instances[0], shown.pose[1:], False,
        shown.frames[1:], shown.pose[1:], shown.instances[1:], None,
    )  # fmt: skip


def validate(
    animator: Any, vae: Any, size: Any, config: TrainingConfig, step: int, clips: int = 8, frames: int = 6
) -> dict[str, float]:
    """Re-enact held-out clips with 8 steps, write OUTPUT/validation/step-N.png, return the mean scores: {"SYSTEM METRIC": dB}."""
    pipeline = build_pipeline(animator, vae, size, config)
    pipeline.set_progress_bar_config(disable=True)
    systems = (PipelineSystem(pipeline, "model", settings={"num_inference_steps": 8}), Copy(), Codec(pipeline, "model"))
    animator.eval()
    scores: list[dict[str, float]] = []
    rows: dict[str, np.ndarray] = {}
    for index in range(clips):
        clip = held_out_clip(index, frames, config.resolution_hw)
        made = {system.name: system(clip) for system in systems}
        found = {name: score_clip(f, clip.truth, instances=clip.instances, metrics=METRICS) for name, f in made.items()}
        scores.append({f"{name} {key}": float(v.mean()) for name, by in found.items() for key, v in by.items()})
        if index < 5:
            drawn = draw_skeleton(clip.driving)
            rows |= {
                f"truth {index}": np.stack([clip.reference, *clip.truth]),
                f"model {index}": np.stack([drawn[0], *made["model"]]),
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
        defaults=dict(size.inference) | {"reference_timestep": animator.reference_timestep}, recipe=config.recipe, skeleton=dict(size.skeleton),
    )  # fmt: skip
