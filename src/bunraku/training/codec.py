"""Training of the mini size's autoencoder on theatre frames: components in closed form, then the decoder."""

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from bunraku.nets.patch_codec import PatchCodec, fit_components
from bunraku.theatre import render, sample_scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CodecConfig:
    """`crop` pixels a side are trained on; `latent_noise` is the largest deviation of noise added to the decoder's input, so
    that it also serves latents that a denoiser gets slightly wrong."""

    output: Path
    latent_channels: int = 32
    size: int = 128
    crop: int = 64
    batch: int = 16
    steps: int = 2500
    learning_rate: float = 2e-3
    latent_noise: float = 0.1
    fit_frames: int = 3000
    seed: int = 0
    workers: int = 1
    save_every: int = 250
    init: Path | None = None


@dataclass(frozen=True)
class TheatreFrames(Dataset):
    """Single theatre frames (H, W, 3) uint8 with permuted colours; frame i is a function of (seed, split, i)."""

    seed: int
    split: str
    size: int
    crop: int | None = None

    def __getitem__(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 7, index])
        frame = render(sample_scene(int(rng.integers(2**31)), self.split), [int(rng.integers(64))], self.size).frames[0]
        frame = frame[..., rng.permutation(3)]
        if self.crop:
            y, x = rng.integers(self.size - self.crop + 1, size=2)
            frame = frame[y : y + self.crop, x : x + self.crop]
        return np.ascontiguousarray(frame)


def train_codec(config: CodecConfig) -> PatchCodec:
    """Fit, train and save a PatchCodec under `config.output`; logs the held-out PSNR."""
    torch.manual_seed(config.seed)
    if config.init:
        codec = PatchCodec.from_pretrained(config.init).float()
    else:
        codec = PatchCodec(config.latent_channels)
        frames = TheatreFrames(config.seed, "train", config.size)
        kept = fit_components(codec, np.stack([frames[i] for i in track(range(config.fit_frames), "fit components")]))
        logger.info("%d components keep %.4f of the variance", config.latent_channels, kept)
    codec.save_pretrained(config.output)
    optimiser = torch.optim.AdamW(
        codec.decoder.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: (
            min(1, (s + 1) / min(100, config.steps / 4))
            * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, s / config.steps))))
        ),
    )
    batches = DataLoader(
        TheatreFrames(config.seed, "train", config.size, config.crop),
        batch_size=config.batch,
        sampler=range(config.fit_frames, config.fit_frames + config.steps * config.batch),
        num_workers=config.workers,
    )
    generator = torch.Generator().manual_seed(config.seed)
    for step, batch in enumerate(track(batches, "train decoder", total=config.steps)):
        images = batch.permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = codec.encode(images).latent_dist.mean
        deviation = config.latent_noise * torch.rand(len(latents), 1, 1, 1, generator=generator) ** 2
        latents = latents + deviation * torch.randn(latents.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            correction = codec.decoder(latents)
        error = codec.project(latents) + correction.float() - images
        loss = F.mse_loss(error, torch.zeros_like(error)) + 0.05 * error.abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.decoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            temporary = config.output.with_name(config.output.name + ".tmp")
            codec.save_pretrained(temporary)
            for file in temporary.iterdir():
                os.replace(file, config.output / file.name)
            temporary.rmdir()
            logger.info("step %d: held-out PSNR %.2f dB", step + 1, codec_psnr(codec, config.size))
    return codec


@torch.no_grad()
def codec_psnr(codec: PatchCodec, size: int, frames: int = 64, split: str = "val") -> float:
    """Mean PSNR (dB, 8-bit frames) of encoding and decoding `frames` held-out theatre frames."""
    data = TheatreFrames(1, split, size)
    scores = []
    for i in range(frames):
        image = torch.from_numpy(data[i])[None].permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = codec.decode(codec.encode(image).latent_dist.mean).sample.clamp(-1, 1)
        error = ((decoded + 1) * 127.5).round() - (image + 1) * 127.5
        scores.append(10 * math.log10(255**2 / error.square().mean().clamp_min(1e-9)))
    return float(np.mean(scores))
