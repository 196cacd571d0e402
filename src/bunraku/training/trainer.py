"""The one training loop: every recipe, both stages, the theatre or real clips."""

import json
import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration
from diffusers import DDIMScheduler
from diffusers.training_utils import EMAModel
from einops import rearrange
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from bunraku.data.samples import Batch, StepSampler, loader
from bunraku.errors import BunrakuError
from bunraku.nets.animator import Animator, clip_pixels, unit_pixels
from bunraku.nets.unet import UNet
from bunraku.progress import ProgressLines
from bunraku.recipes import get_recipe
from bunraku.training.config import TrainingConfig
from bunraku.training.objective import (
    diffuse,
    min_snr_weights,
    sample_noise,
    sample_timesteps,
    skeleton_weights,
    target,
)

logger = logging.getLogger(__name__)


class Trainer:
    """A training run in a folder: `Trainer(config).run()` starts it, or continues it from its newest checkpoint.

    Everything random at step s is drawn from (seed, s, rank), and sample indices follow from s, so a run that was killed and
    resumed passes through exactly the same states as one that was not.
    """

    def __init__(self, config: TrainingConfig, animator: Animator, vae: Any, dataset: Any) -> None:
        # probabilities far from a sharp attention's peak are denormal numbers, which cost CPUs three times the arithmetic
        torch.set_flush_denormal(True)
        self.config = config
        recipe = get_recipe(config.recipe)
        self.size = recipe.size(config.size)
        self.stage = config.chosen_stage
        self.scheduler = DDIMScheduler(**self.size.scheduler)
        self.accelerator = Accelerator(
            gradient_accumulation_steps=config.accumulate,
            mixed_precision=config.precision,
            # an unconditional batch leaves ReferenceNet and image encoder without gradients
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=config.drop_condition > 0)],
            log_with="tensorboard",
            project_config=ProjectConfiguration(str(config.output), logging_dir=str(config.output / "logs")),
        )
        self.dataset = dataset
        animator.requires_grad_(False)
        self.trained = self.stage.parameters(animator)
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        if config.gradient_checkpointing:
            for net in (animator.denoiser, animator.reference_net, animator.pose_guider):
                if isinstance(net, UNet):  # a ControlNet is one, other guiders are a few convolutions
                    net.enable_gradient_checkpointing()  # type: ignore[operator]
        optimiser = torch.optim.AdamW(
            self.trained.values(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.learning_rate_factor)
        self.ema = EMAModel(self.trained.values(), decay=config.ema_decay) if config.ema_decay else None
        self.animator = animator
        self.vae = vae.to(self.accelerator.device).requires_grad_(False).eval()
        self.model, self.optimiser = self.accelerator.prepare(animator, optimiser)
        self.schedule = schedule
        self.accelerator.register_for_checkpointing(schedule)
        if self.ema:
            self.ema.to(self.accelerator.device)
            self.accelerator.register_for_checkpointing(self.ema)
        self.step = 0

    @property
    def learns_without_reference(self) -> bool:
        """Whether a batch without reference teaches anything: not where ReferenceNet learns alone."""
        return any(name.split(".")[0] not in ("reference_net", "image_encoder") for name in self.trained)

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up, constant, and a cosine to zero over the last `decay` share of the steps."""
        c = self.config
        warm = min(1.0, (step + 1) / max(1, c.warmup))
        fall = max(0.0, (step - c.steps * (1 - c.decay)) / max(1.0, c.steps * c.decay))
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))

    def run(self, until: int | None = None) -> None:
        """Train up to step `until` (all steps if None); a checkpoint is written there."""
        config, accelerator = self.config, self.accelerator
        until = min(until or config.steps, config.steps)
        self.resume()
        if accelerator.is_main_process:
            config.output.mkdir(parents=True, exist_ok=True)
            (config.output / "config.json").write_text(json.dumps(asdict(config), default=str, indent=2))
        accelerator.init_trackers("bunraku")
        sampler = StepSampler(
            self.step * config.accumulate,
            until * config.accumulate,
            config.batch,
            accelerator.process_index,
            accelerator.num_processes,
        )
        losses: list[float] = []
        with self.progress(until) as advance:
            for micro, batch in enumerate(loader(self.dataset, sampler, config.workers)):
                with accelerator.accumulate(self.model):
                    loss = self.loss(batch, self.generator(micro % config.accumulate))
                    if not torch.isfinite(loss):
                        raise BunrakuError(
                            f"the loss is {loss.item()} at step {self.step}; lower the learning rate or use precision no"
                        )
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(self.trained.values(), config.clip_norm)
                    self.optimiser.step()
                    self.optimiser.zero_grad(set_to_none=True)
                losses.append(loss.item())
                if not accelerator.sync_gradients:
                    continue
                self.schedule.step()
                if self.ema:
                    self.ema.step(self.trained.values())
                self.step += 1
                advance(loss.item())
                if self.step % config.log_every == 0:
                    mean = sum(losses) / len(losses)
                    if accelerator.is_main_process:
                        logger.info("step %d loss %.5f", self.step, mean)
                    accelerator.log({"loss": mean, "learning_rate": self.schedule.get_last_lr()[0]}, step=self.step)
                    losses.clear()
                if self.step % config.checkpoint_every == 0 or self.step == until:
                    self.save()
                if self.step % config.validate_every == 0 or self.step == until:
                    self.validate()

    def generator(self, micro: int) -> torch.Generator:
        """The source of everything random in one micro-batch."""
        seed = hash((self.config.seed, self.step, micro, self.accelerator.process_index))
        return torch.Generator().manual_seed(seed % 2**63)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The diffusion loss of one micro-batch."""
        c, device = self.config, self.accelerator.device
        poses = rearrange(unit_pixels(batch.poses), "b f c h w -> b c f h w").contiguous().to(device)
        clean = self.encode(batch.frames)
        reference = self.encode(batch.reference[:, None])[:, :, 0]
        reference_pose = unit_pixels(batch.reference_pose).to(device)
        shown = torch.rand(len(clean), 1, 1, 1, generator=generator) >= c.drop_reference_pose
        reference_pose = reference_pose * shown.to(device)
        pixels = clip_pixels(batch.reference.numpy(), self.animator.image_encoder.config.image_size).to(device)

        # frames are independent without motion modules: each may have its own noise level, unless the reference is told one
        together = self.stage.motion or self.animator.reference_timestep == "every"
        shape = clean.shape[:1] if together else (clean.shape[0], clean.shape[2])
        count = self.scheduler.config.num_train_timesteps
        timesteps = sample_timesteps(shape, count, c.timestep_power, generator).to(device)
        noise = sample_noise(clean, c.noise_offset, c.shared_noise, generator)
        alphas, kind = self.scheduler.alphas_cumprod, self.scheduler.config.prediction_type
        unconditional = bool(torch.rand((), generator=generator) < c.drop_condition) and self.learns_without_reference
        prediction = self.model(
            diffuse(clean, noise, alphas, timesteps),
            timesteps,
            poses,
            reference,
            pixels,
            reference_pose,
            unconditional=unconditional,
        )
        error = (prediction.float() - target(clean, noise, alphas, timesteps, kind)).square()
        if c.skeleton_weight != 1:
            error = error * skeleton_weights(poses, (clean.shape[-2], clean.shape[-1]), c.skeleton_weight)
        if c.min_snr_gamma:
            weights = min_snr_weights(alphas, timesteps, c.min_snr_gamma, kind)
            error = error * (
                weights[:, None, :, None, None] if weights.ndim == 2 else weights[:, None, None, None, None]
            )
        return error.mean()

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 (B, F, H, W, 3) -> scaled latents (B, C, F, h, w): posterior means, as at inference."""
        pixels = unit_pixels(images).to(self.accelerator.device) * 2 - 1
        latents = self.vae.encode(pixels.flatten(0, 1)).latent_dist.mode() * self.vae.config.scaling_factor
        return rearrange(latents, "(b f) c h w -> b c f h w", b=len(images))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the trained parameters are their moving averages."""
        if self.ema:
            self.ema.store(self.trained.values())
            self.ema.copy_to(self.trained.values())
        try:
            yield
        finally:
            if self.ema:
                self.ema.restore(self.trained.values())

    def checkpoints(self) -> list[Path]:
        found = (self.config.output / "checkpoints").glob("step-*")
        return sorted((p for p in found if p.name[5:].isdigit()), key=lambda p: int(p.name[5:]))

    def save(self) -> None:
        """Write a checkpoint under a temporary name, rename it, drop the oldest ones."""
        folder = self.config.output / "checkpoints"
        final = folder / f"step-{self.step}"
        temporary = folder / f"writing-{self.step}"
        self.accelerator.save_state(str(temporary), safe_serialization=True)
        if self.accelerator.is_main_process:
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in self.checkpoints()[: -self.config.keep_checkpoints]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Load the newest checkpoint, if there is one."""
        if checkpoints := self.checkpoints():
            self.accelerator.load_state(str(checkpoints[-1]))
            self.step = int(checkpoints[-1].name[5:])
            logger.info("continuing from step %d", self.step)

    def validate(self) -> None:
        """Hand the averaged model to the validation of `training.validation`, on the main process."""
        if self.accelerator.is_main_process:
            from bunraku.training.validation import validate

            with self.averaged():
                scores = validate(self.animator, self.vae, self.size, self.config, self.step)
            logger.info("step %d %s", self.step, " ".join(f"{k} {v:.3f}" for k, v in scores.items()))
            self.accelerator.log({f"validation/{k}": v for k, v in scores.items()}, step=self.step)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def progress(self, until: int) -> Iterator[Any]:
        """A function to be called with the loss of each step: moves a bar, or writes lines where the output is piped."""
        console = Console(stderr=True)
        if not console.is_terminal:
            lines = ProgressLines(logger.info if self.accelerator.is_main_process else lambda line: None)
            yield lambda loss: lines("train", self.step, until, f"loss {loss:.4f}")
            return
        columns = (
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not self.accelerator.is_main_process) as bar:
            task = bar.add_task("train", total=until, completed=self.step, loss=math.nan)
            yield lambda loss: bar.update(task, advance=1, loss=loss)
