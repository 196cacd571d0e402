"""The one training loop: every recipe, every stage, the theatre or real clips."""

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration
from diffusers import DDIMScheduler
from diffusers.training_utils import EMAModel
from einops import rearrange
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from bunraku.cues.drawn import VIEWS
from bunraku.data.samples import Sample, StepSampler, inputs_of, loader, with_pictures
from bunraku.errors import BunrakuError
from bunraku.media.files import ordinary_permissions
from bunraku.nets.attention import Look
from bunraku.nets.pixels import unit_clips, unit_pixels
from bunraku.nets.products import fast_products
from bunraku.progress import ProgressLines
from bunraku.recipes import Animator
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.training.binding import INSTANCES, REFERENCE_INSTANCES, VIEWS_INSTANCES, binding_loss
from bunraku.training.checkpoints import check_same_run, checkpoints, record
from bunraku.training.config import TrainingConfig
from bunraku.training.muon import Muon
from bunraku.training.objective import (
    diffuse,
    min_snr_weights,
    sample_noise,
    sample_timesteps,
    skeleton_weights,
    target,
)
from bunraku.training.picture_loss import PictureLoss
from bunraku.training.precision import mixed_precision
from bunraku.training.remembered import Remembered

logger = logging.getLogger(__name__)

ENCODED = 8
"""Pictures that go through the autoencoder together on a CPU."""

ENCODED_PIXELS = 128 * 128 * 128
"""So many pixels go through it together on a GPU: 8 pictures of 512x512."""

OUTER = ("conv_in", "conv_out", "embed")
"""In the names of kernels that meet pixels, latents, times or positions: no matrices by nature, see `Muon`."""

UNFINISHED = "writing-"
"""What the name of a checkpoint begins with until it is complete."""

ALONE = ("reference_net", "image_encoder")
"""Parts that learn nothing from a sample without conditions."""


class Trainer:
    """A training run in a folder: `Trainer(config, ...).run()` starts it, or continues it from its newest checkpoint.

    Everything random at step s is drawn from (seed, s, rank), and sample indices follow from s, so a run that was killed and
    resumed passes through exactly the same states as one that was not.

    Args:
        vae: the frozen autoencoder.
        dataset: samples to learn from.
        validate: mean scores of the model as it is, see `training.validation`; None: there is no validation.

    Raises:
        BunrakuError: processes that do not see each other, a batch that they cannot share, or a folder with a run of other settings.
    """

    def __init__(
        self,
        config: TrainingConfig,
        animator: Animator,
        vae: Any,
        dataset: Any,
        validate: Callable[["Trainer"], dict[str, float]] | None = None,
    ) -> None:
        self.config, self.size, self.stage = config, config.chosen_size, config.chosen_stage
        self.scheduler = DDIMScheduler(**self.size.scheduler)
        self.step = 0
        check_same_run(config)
        animator.requires_grad_(False)
        self.trained = self.stage.parameters(animator)
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        # samples without conditions leave some parts without gradients
        unused = config.drop_condition > 0 or any(config.drop.values())
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),  # else accelerate leaves several processes on a CPU to themselves
            mixed_precision=mixed_precision(config.precision),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused)],
            log_with="tensorboard",
            project_config=ProjectConfiguration(str(config.output), logging_dir=str(config.output / "logs")),
        )
        if int(os.environ.get("WORLD_SIZE", 1)) != self.accelerator.num_processes:
            raise BunrakuError(
                f"{os.environ['WORLD_SIZE']} processes were started, but they do not see each other; start them with torchrun"
            )
        self.accumulate = accumulation(config, self.accelerator.num_processes)
        self.accelerator.gradient_accumulation_steps = self.accumulate
        if config.gradient_checkpointing:
            for part in animator.parts().values():
                if getattr(part, "_supports_gradient_checkpointing", False):  # the others are a few convolutions
                    part.enable_gradient_checkpointing()  # type: ignore[operator]
        optimisers = build_optimisers(config, self.trained)
        self.schedules = [torch.optim.lr_scheduler.LambdaLR(each, self.learning_rate_factor) for each in optimisers]
        self.ema = EMAModel(self.trained.values(), decay=config.ema_decay, foreach=True) if config.ema_decay else None
        self.animator, self.dataset, self._scores = animator, dataset, validate
        self.vae = vae.to(self.accelerator.device).requires_grad_(False).eval()
        self.pictures = PictureLoss(config, self.vae, animator.trusted, self.accelerator.autocast)
        self._latents: Remembered | None = None
        if config.keep_latents is not None:
            self._remember(Path(config.keep_latents), str(self.accelerator.mixed_precision))
        self.model, *self.optimisers = self.accelerator.prepare(animator, *optimisers)
        self.accelerator.register_for_checkpointing(*self.schedules)
        if self.ema:
            self.ema.to(self.accelerator.device)
            self.accelerator.register_for_checkpointing(self.ema)

    def _remember(self, folder: Path, precision: str) -> None:
        """Keep what the frozen networks make of pictures in a folder."""
        self._latents = Remembered(folder, self.vae, precision)
        frozen = not any(name.startswith("image_encoder.") for name in self.trained)
        if frozen and isinstance(self.animator, AnimateAnyone) and "environment" not in self.animator.reads.frames:
            self.animator.remembered = Remembered(folder, self.animator.image_encoder, precision)

    @property
    def learns_without_conditions(self) -> bool:
        """Whether a sample without conditions teaches anything: not where ReferenceNet learns alone."""
        return any(name.split(".")[0] not in ALONE for name in self.trained)

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
            record(config)
        accelerator.init_trackers("bunraku")
        sampler = StepSampler(
            self.step * self.accumulate,
            until * self.accumulate,
            config.batch,
            accelerator.process_index,
            accelerator.num_processes,
            kinds=max(1, len(config.sizes)),
        )
        losses: list[Tensor] = []
        with fast_arithmetic(), fast_products(), self.progress(until) as advance:
            for micro, batch in enumerate(loader(self.dataset, sampler, config.workers)):
                with accelerator.accumulate(self.model):
                    loss = self.loss(batch, self.generator(micro % self.accumulate))
                    accelerator.backward(loss)
                    losses.append(loss.detach())
                    if accelerator.sync_gradients:
                        self.check_finite(losses)
                        accelerator.clip_grad_norm_(self.trained.values(), config.clip_norm)
                    for optimiser in self.optimisers:
                        optimiser.step()
                        optimiser.zero_grad(set_to_none=True)
                if not accelerator.sync_gradients:
                    continue
                for schedule in self.schedules:
                    schedule.step()
                if self.ema:
                    self.ema.step(self.trained.values())
                self.step += 1
                advance(losses[-1].item())
                if self.step % config.log_every == 0:
                    mean = torch.stack(losses).mean().item()
                    if accelerator.is_main_process:
                        logger.info("step %d loss %.5f", self.step, mean)
                    accelerator.log(
                        {"loss": mean, "learning_rate": self.schedules[-1].get_last_lr()[0]}, step=self.step
                    )
                    losses.clear()
                if self.step % config.checkpoint_every == 0 or self.step == until:
                    self.save()
                if self.step % config.validate_every == 0 or self.step == until:
                    self.validate()

    def check_finite(self, losses: list[Tensor]) -> None:
        """Raise BunrakuError where the newest losses of a step are no numbers."""
        newest = torch.stack(losses[-self.accumulate :])
        if not torch.isfinite(newest).all():
            raise BunrakuError(
                f"the loss is {newest.sum().item()} at step {self.step}; lower the learning rate (--set learning_rate=...) or use "
                "--set precision=float32"
            )

    def generator(self, micro: int) -> torch.Generator:
        """The source of everything random in one micro-batch; the same on every machine."""
        words = np.random.SeedSequence(
            [self.config.seed, self.step, micro, self.accelerator.process_index]
        ).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)

    def loss(self, batch: Sample[Tensor], generator: torch.Generator) -> Tensor:
        """The diffusion loss of one micro-batch.

        Args:
            batch: frames uint8 (B, F, H, W, 3) and their conditions.
        """
        c, device = self.config, self.accelerator.device
        count = len(batch.frames)
        if c.references > 1:
            batch = with_pictures(batch, int(torch.randint(1, c.references + 1, (), generator=generator)))
        dropped = {name: torch.rand(count, generator=generator) < share for name, share in c.drop.items()}
        batch = batch.to(device)
        inputs = inputs_of(batch, dropped).to(device)
        clean = self.encode(batch.frames, self._latents)
        noise = sample_noise(clean, c.noise_offset, c.shared_noise, generator)
        timesteps = self.timesteps(clean, generator)
        shown = torch.rand(count, generator=generator) >= c.drop_condition
        if not self.learns_without_conditions:
            shown[:] = True
        alphas, kind = self.scheduler.alphas_cumprod, self.scheduler.config.prediction_type
        given = (diffuse(clean, noise, alphas, timesteps), timesteps, inputs, self.latents(batch), shown.to(device))
        output, looks = self.model(*given, watched=True) if c.binding else (self.model(*given), None)
        channels = clean.shape[1]
        told = channels + (self.animator.trusted is not None)
        wanted = target(clean, noise, alphas, timesteps, kind)
        error = (output[:, :channels].float() - wanted).square()
        for first in range(told, output.shape[1], channels):
            error = error + (output[:, first : first + channels].float() - wanted).square()
        if c.skeleton_weight != 1:
            poses = unit_clips(batch.driven["pose"])
            error = error * skeleton_weights(poses, (clean.shape[-2], clean.shape[-1]), c.skeleton_weight)
        if c.min_snr_gamma:
            weights = min_snr_weights(alphas, timesteps, c.min_snr_gamma, kind)
            error = error * weights.view(count, 1, -1, 1, 1)
        loss = (error.mean((1, 2, 3, 4)) * self.pictures.shares(batch, inputs.dropped, torch.square)).mean()
        if looks is not None:
            loss = loss + c.binding * self._binding(looks, batch, timesteps, shown)
        if c.picture_loss:
            share = self.pictures.shares(batch, inputs.dropped, self.pictures.error)
            loss = loss + c.picture_loss * self.pictures(output[:, :told], batch, share, generator)
        return loss

    def _binding(self, looks: Mapping[str, Look], batch: Sample[Tensor], timesteps: Tensor, shown: Tensor) -> Tensor:
        """The identity binding loss of the samples that see the reference."""
        pictures = [batch.stills[REFERENCE_INSTANCES][:, None], batch.stills.get(VIEWS_INSTANCES)]
        known = torch.cat([part for part in pictures if part is not None], 1)[shown]
        who = batch.driven[INSTANCES][shown]
        times = timesteps[shown.to(timesteps.device)]
        targets, references = (instances.to(times.device)[..., 0] for instances in (who, known))
        return binding_loss(looks, targets, references, times, self.scheduler.config.num_train_timesteps)

    def timesteps(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Noise levels of a micro-batch, (B,) or one per frame (B, F)."""
        # frames are independent without motion modules: each may have its own level, unless ReferenceNet is told one
        together = self.stage.motion or getattr(self.animator.options, "reference_timestep", "zero") == "every"
        shape = clean.shape[:1] if together else (clean.shape[0], clean.shape[2])
        steps = self.scheduler.config.num_train_timesteps
        return sample_timesteps(shape, steps, self.config.timestep_power, generator).to(clean.device)

    def latents(self, batch: Sample[Tensor]) -> dict[str, Tensor]:
        """Latents of the stills (B, C, h, w), further views (B, V, C, h, w) and frames (B, C, F, h, w) that the animator wants through the
        autoencoder."""
        reads = self.animator.reads
        wanted = reads.latents
        known = None if "environment" in reads.frames else self._latents  # in scenes stills lie on new grounds
        stills = {n: self.encode(batch.stills[n][:, None], known)[:, :, 0] for n in wanted if n in batch.stills}
        if VIEWS in batch.stills:
            stills[VIEWS] = self.encode(batch.stills[VIEWS], known).transpose(1, 2)
        return stills | {name: self.encode(batch.driven[name]) for name in wanted if name in batch.driven}

    @torch.no_grad()
    def encode(self, images: Tensor, known: Remembered | None = None) -> Tensor:
        """uint8 (B, F, H, W, 3 or more) -> scaled latents (B, C, F, h, w): posterior means of RGB, as at inference, those that are not
        `known` a few pictures at a time."""
        pictures = images[..., :3].flatten(0, 1)
        latents = known(pictures, self._encode) if known else self._encode(pictures)
        latents = latents.to(self.accelerator.device) * self.vae.config.scaling_factor
        return rearrange(latents, "(b f) c h w -> b c f h w", b=len(images))

    def _encode(self, pictures: Tensor) -> Tensor:
        pieces = []
        together = ENCODED
        if self.accelerator.device.type != "cpu":
            together = max(1, ENCODED_PIXELS // (pictures.shape[1] * pictures.shape[2]))
        for part in pictures.split(together):
            with self.accelerator.autocast():
                pixels = unit_pixels(part.to(self.accelerator.device)) * 2 - 1
                pieces.append(self.vae.encode(pixels).latent_dist.mode().float())
        return torch.cat(pieces)

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

    def save(self) -> None:
        """Write a checkpoint under a temporary name, rename it, drop the oldest ones."""
        folder = self.config.output / "checkpoints"
        final = folder / f"step-{self.step}"
        temporary = folder / f"{UNFINISHED}{self.step}"
        try:
            self.accelerator.save_state(str(temporary), safe_serialization=True)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            ordinary_permissions(temporary)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in checkpoints(self.config.output)[: -self.config.keep_checkpoints]:
                shutil.rmtree(old.rename(temporary))  # never half of one under its name
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Load the newest checkpoint, if there is one, and take away what a killed run had begun to write.

        Raises:
            BunrakuError: it is damaged.
        """
        if self.accelerator.is_main_process:
            for unfinished in (self.config.output / "checkpoints").glob(f"{UNFINISHED}*"):
                shutil.rmtree(unfinished)
        self.accelerator.wait_for_everyone()
        if found := checkpoints(self.config.output):
            newest = found[-1]
            try:
                self.accelerator.load_state(str(newest))
            except Exception as error:  # of safetensors, torch, pickle, zip files and the system
                raise BunrakuError(
                    f"the checkpoint {newest} is damaged ({error}); remove it, and the run goes on from the one before"
                ) from error
            if self.ema:
                self.ema.to(self.accelerator.device)  # accelerate puts what it loads for others into main memory
            self.step = int(newest.name[5:])
            logger.info("continuing from step %d", self.step)

    def validate(self) -> None:
        """Score the averaged model, on the main process."""
        if self.accelerator.is_main_process and self._scores is not None:
            with self.averaged():
                scores = self._scores(self)
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


def build_optimisers(config: TrainingConfig, trained: Mapping[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
    """The run's `optimizer` for all parameters, or, with a `kernel_rate`, Muon for the kernels inside the networks and that for the rest.

    Args:
        trained: by name, that of their part first.

    Raises:
        BunrakuError: `rates` of a part that does not learn.
    """
    parts = {name.split(".")[0] for name in trained}
    if strange := sorted(set(config.rates) - parts):
        raise BunrakuError(f"rates are for parts that learn: {', '.join(sorted(parts))}; not for {', '.join(strange)}")

    def groups(names: Iterable[str], rate: float) -> list[dict[str, Any]]:
        factors: dict[float, list[nn.Parameter]] = {}
        for name in names:
            factors.setdefault(config.rates.get(name.split(".")[0], 1.0), []).append(trained[name])
        return [{"params": parameters, "lr": factor * rate} for factor, parameters in factors.items()]

    inner = (
        {n for n, p in trained.items() if p.ndim > 1 and not any(part in n for part in OUTER)}
        if config.kernel_rate
        else set()
    )
    rest = groups((name for name in trained if name not in inner), config.learning_rate)
    outer: torch.optim.Optimizer = (
        torch.optim.Adafactor(rest, weight_decay=config.weight_decay)
        if config.optimizer == "adafactor"
        else torch.optim.AdamW(rest, betas=config.betas, weight_decay=config.weight_decay)
    )
    return [Muon(groups(sorted(inner), config.kernel_rate)), outer] if inner else [outer]


def accumulation(config: TrainingConfig, processes: int) -> int:
    """Micro-batches per optimiser step and process.

    Raises:
        BunrakuError: `global_batch` is no multiple of what the processes compute at once.
    """
    if not config.global_batch:
        return config.accumulate
    at_once = config.batch * processes
    if config.global_batch % at_once:
        raise BunrakuError(
            f"a batch of {config.global_batch} cannot be shared by {processes} processes with {config.batch} samples each; choose "
            "batch (--set batch=...) so that it can, or another global_batch"
        )
    return config.global_batch // at_once


@contextmanager
def fast_arithmetic() -> Iterator[None]:
    """Probabilities far from a sharp attention's peak are denormal numbers, which cost CPUs three times the arithmetic; GPUs multiply what is
    float32 as TF32."""
    products, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    torch.set_flush_denormal(True)
    products.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        products.allow_tf32 = before
