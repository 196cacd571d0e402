"""Validation while training: held-out clips re-enacted, scored against the truth and drawn on a sheet."""

from typing import Any

import numpy as np
import torch

from bunraku.data.samples import Sample, collate
from bunraku.evaluation.metrics import score_clip
from bunraku.media import contact_sheet, write_image
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes.recipe import stored_options
from bunraku.training.config import TrainingConfig
from bunraku.training.trainer import Trainer

PICTURED = 5


@torch.no_grad()
def validate(trainer: Trainer, held_out: Any) -> dict[str, float]:
    """Mean scores of a training's model on samples of `held_out`, a data set.

    The loss, and where the model sees a reference at all: PSNR in dB of re-enacted clips, of the reference repeated ("copy"), of the
    frames that it trusts ("trusted"), and of the truth through the autoencoder ("codec"). Writes OUTPUT/validation/step-N.png.
    """
    config = trainer.config
    samples = [held_out[i] for i in range(config.validation_clips)]
    trainer.animator.eval()
    scores = {"loss": _held_out_loss(trainer, samples)}
    if config.drop_condition < 1:
        with trainer.accelerator.autocast():
            scores |= _re_enact(trainer, samples)
    trainer.animator.train()
    return scores


def _held_out_loss(trainer: Trainer, samples: list[Sample[np.ndarray]]) -> float:
    """With the same noise at every validation."""
    losses = [
        trainer.loss(collate([sample]), torch.Generator().manual_seed(number)).item() for number, sample in enumerate(samples)
    ]  # fmt: skip
    return float(np.mean(losses))


def _re_enact(trainer: Trainer, samples: list[Sample[np.ndarray]]) -> dict[str, float]:
    config = trainer.config
    pipeline = build_pipeline(trainer.animator, trainer.vae, config)
    pipeline.set_progress_bar_config(disable=True)
    painted = pipeline.sampling.but({"keep_scene": False})  # what is copied has not been learnt
    rows: dict[str, np.ndarray] = {}
    psnr: dict[str, list[float]] = {}
    for number, sample in enumerate(samples):
        generator = torch.Generator().manual_seed(0)
        made = {
            "model": pipeline(sample.stills, sample.driven, painted, generator=generator).frames,
            "copy": np.broadcast_to(sample.stills["reference"], sample.frames.shape),
            "codec": pipeline.decode(torch.stack([pipeline.encode(frame) for frame in sample.frames], 2)),
        }
        if (trusted := sample.driven.get(str(pipeline.trusted))) is not None:
            made["trusted"] = trusted[..., :3]
        for name, frames in made.items():
            psnr.setdefault(name, []).append(float(score_clip(frames, sample.frames, metrics=("psnr",))["psnr"].mean()))
        if number < PICTURED:
            rows |= {
                f"truth {number}": np.stack([sample.stills["reference"], *sample.frames]),
                f"model {number}": np.stack([next(iter(sample.driven.values()))[0], *made["model"]]),
            }
    folder = config.output / "validation"
    folder.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(rows, 1 + config.frames, height=128)
    write_image(folder / f"step-{trainer.step}.png", sheet)
    return {f"{name} psnr": float(np.mean(values)) for name, values in psnr.items()}


def build_pipeline(animator: Any, vae: Any, config: TrainingConfig) -> AnimationPipeline:
    """The pipeline of a model in training; it shares the networks."""
    from diffusers import DDIMScheduler

    size = config.chosen_size
    return AnimationPipeline(
        vae, DDIMScheduler(**size.scheduler), recipe=config.recipe, options=stored_options(animator.options),
        size=config.picture, defaults=size.sampling.stored(), styles={k: dict(v) for k, v in config.drawing.items()},
        **animator.parts(),
    )  # fmt: skip
