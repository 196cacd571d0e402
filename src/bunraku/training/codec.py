"""Training of the shipped model's autoencoder on single pictures: components in closed form, then everything by gradient.

A run continues from its checkpoint exactly as if it had never stopped: pictures and noise are functions of the step.
"""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from bunraku.data.pictures import PictureCrops, sample_picture
from bunraku.data.samples import StepSampler
from bunraku.errors import BunrakuError
from bunraku.machine import pick_device
from bunraku.media import read_image, resize
from bunraku.nets.picture_codec import PictureCodec, fit_patches
from bunraku.theatre import render, sample_scene
from bunraku.training.alone import CHECKPOINT, Run, log, moving_average, rate
from bunraku.training.muon import Muon

logger = logging.getLogger(__name__)

_PATCH = PictureCodec.patch
FIT = 1_000_000_000
"""Pictures from this number on fit the components; training never gets there."""


@dataclass(frozen=True)
class CodecConfig:
    """Settings of a codec run.

    Attributes:
        output: folder of the run; the codec itself is in `output`/model.
        latent_channels: of the latents.
        crop, crops, pictures: a step sees `crops` squares of `crop` pixels from each of `pictures` pictures.
        steps: until the learning rates have fallen to nothing; they fall over the last `decay` of them, so a run at its full rate may
            be given more.
        kernel_rate, learning_rate: of Muon, for the networks' kernels, and of AdamW, for biases and the linear parts; both rise over
            `warm_up` steps.
        clip: largest norm of the gradient; in the middle of a run it is about 0.1, and no normalisation tames the networks.
        latent_noise: largest deviation of the noise on the decoder's input, so that it also serves latents a denoiser gets wrong.
        absolute, gradient: weights of the absolute error, and of that of the differences between neighbours, beside the squared error.
        power: weight of what holds the latents' mean square at 1.
        average: decay of the average of the weights, which is what is saved.
        init: folder of a codec to start from, instead of fitted components.
        stills: a folder of pictures that are scored and never trained on.
        seconds_per_checkpoint, seconds_per_line, seconds_per_score: how often the run is saved, says how it is, and scores stills.
    """

    output: Path
    latent_channels: int = 48
    crop: int = 80
    crops: int = 4
    pictures: int = 3
    steps: int = 30_000
    decay: float = 0.8
    kernel_rate: float = 0.01
    learning_rate: float = 5e-4
    warm_up: int = 100
    clip: float = 0.2
    latent_noise: float = 0.1
    absolute: float = 0.02
    gradient: float = 0.02
    power: float = 0.01
    average: float = 0.999
    fit_pictures: int = 600
    seed: int = 0
    init: Path | None = None
    stills: Path | None = None
    seconds_per_checkpoint: float = 180
    seconds_per_line: float = 60
    seconds_per_score: float = 600

    def __post_init__(self) -> None:
        if self.crop % _PATCH:
            raise BunrakuError(f"crop {self.crop} is not a multiple of {_PATCH}")
        for name, file in (("init", "config.json"), ("stills", ".")):
            folder = getattr(self, name)
            if folder is not None and not (Path(folder) / file).exists():
                raise BunrakuError(f"{name} {folder} is no {'codec' if name == 'init' else 'folder of pictures'}")


def train_codec(config: CodecConfig) -> PictureCodec:
    """Begin a run in `config.output`, or continue the one that is there; returns the averaged codec, saved in `output`/model.

    Raises:
        BunrakuError: the run that is there has other settings.
    """
    run = start(config)
    batches = DataLoader(
        PictureCrops(config.seed, config.crop, config.crops),
        batch_sampler=StepSampler(run.step, config.steps, config.pictures),
        collate_fn=np.concatenate,
    )
    scores, saved = Scores(config), time.monotonic()
    for batch in batches:
        losses = train_step(run, config, batch)
        scores.add(run, losses)
        if run.step == config.steps or time.monotonic() - saved >= config.seconds_per_checkpoint:
            run.save(config.output)
            saved = time.monotonic()
    return run.averaged


def start(config: CodecConfig) -> Run[PictureCodec]:
    """The run of the checkpoint in `config.output`, or a new one with fitted components."""
    torch.manual_seed(config.seed)
    codec = PictureCodec.from_pretrained(config.init) if config.init else PictureCodec(config.latent_channels)
    codec = codec.float().to(memory_format=torch.channels_last)
    if not (config.output / CHECKPOINT).exists() and not config.init:
        pictures = [fitting_picture(config, i) for i in track(range(config.fit_pictures), "fit components")]
        kept = fit_patches(codec, pixels(np.stack(pictures)))
        logger.info("%d components keep %.4f of the variance", config.latent_channels, kept)
    codec = codec.to(pick_device())
    average = AveragedModel(codec, multi_avg_fn=moving_average(config.average), use_buffers=True)
    run = Run("codec", codec, average, optimisers(codec, config))
    run.go_on(config)
    return run


def optimisers(codec: PictureCodec, config: CodecConfig) -> tuple[torch.optim.Optimizer, ...]:
    networks = [*codec.encoder.parameters(), *codec.decoder.parameters()]
    linear = [*codec.to_latents.parameters(), *codec.to_pixels.parameters()]
    kernels = [parameter for parameter in networks if parameter.ndim == 4]
    others = [parameter for parameter in networks if parameter.ndim < 4] + linear
    return (
        Muon(kernels, config.kernel_rate),
        torch.optim.AdamW(others, config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4),
    )


def fitting_picture(config: CodecConfig, index: int) -> np.ndarray:
    picture = sample_picture(np.random.default_rng([config.seed, 7, FIT + index]))
    return picture[:96, :96]


def pixels(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) -> float (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_step(run: Run[PictureCodec], config: CodecConfig, batch: np.ndarray) -> dict[str, float]:
    """One step on uint8 (N, H, W, 3)."""
    images = pixels(batch).to(run.net.device)
    generator = torch.Generator().manual_seed(config.seed * FIT + run.step)
    latents = run.net.to_mean(images)
    deviation = config.latent_noise * torch.rand(len(latents), 1, 1, 1, generator=generator)
    noise = deviation * torch.randn(latents.shape, generator=generator)  # from the CPU: the same on every machine
    decoded = run.net.to_images(latents + noise.to(latents))
    error = decoded - images
    squared, absolute = error.square().mean(), error.abs().mean()
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    power = latents.square().mean()
    loss = squared + config.absolute * absolute + config.gradient * edges + config.power * (power - 1).square()
    now = rate(config, run.step)
    run.learn(loss, config.clip, (config.kernel_rate * now, config.learning_rate * now))
    return {"psnr": 10 * math.log10(4 / squared.item()), "power": power.item()}


# --- scores ----------------------------------------------------------------------------------------------------------------------


class Scores:
    """Says how the run is: held-out theatre every minute, the stills every ten, to the log and to `output`/log.jsonl."""

    def __init__(self, config: CodecConfig) -> None:
        self.config = config
        self.theatre = [theatre_picture(i) for i in range(16)]
        self.stills = {
            f"{name}@{size}": still for size in (256, 512) for name, still in stills(config.stills, size).items()
        }
        self.line = self.score = time.monotonic()
        self.losses: list[dict[str, float]] = []

    def add(self, run: Run[PictureCodec], losses: dict[str, float]) -> None:
        self.losses.append(losses)
        now, last = time.monotonic(), run.step == self.config.steps
        if not last and now - self.line < self.config.seconds_per_line:
            return
        codec = run.averaged
        line: dict[str, object] = {"step": run.step}
        line |= {key: round(float(np.mean([entry[key] for entry in self.losses])), 3) for key in losses}
        line["theatre"] = round(float(np.mean([psnr(codec, picture) for picture in self.theatre])), 2)
        if self.stills and (last or now - self.score >= self.config.seconds_per_score):
            each = {name: psnr(codec, still) for name, still in self.stills.items()}
            for size in (256, 512):
                line[f"stills {size}"] = round(
                    float(np.mean([v for k, v in each.items() if k.endswith(f"@{size}")])), 2
                )
            line["each"] = {name: round(value, 2) for name, value in each.items()}
            self.score = now
        line["seconds"] = round(time.monotonic() - self.line, 1)
        log(self.config.output, line, quiet=("each",))
        self.losses, self.line = [], time.monotonic()


@torch.no_grad()
def reconstruct(codec: PictureCodec, picture: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """uint8 (H, W, 3) encoded and decoded, with Gaussian noise of that deviation on the latents between."""
    latents = codec.encode(pixels(picture[None]).to(codec.device)).latent_dist.mean
    if noise:
        drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        latents = latents + noise * drawn.to(latents)
    decoded = codec.decode(latents).sample[0].permute(1, 2, 0).cpu()
    return ((decoded + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def psnr(codec: PictureCodec, picture: np.ndarray, noise: float = 0.0) -> float:
    """PSNR in dB of the reconstruction of uint8 (H, W, 3), in 8 bits."""
    error = np.square(reconstruct(codec, picture, noise).astype(float) - picture).mean()
    return 10 * math.log10(255**2 / max(error, 1e-9))


def theatre_picture(index: int, split: str = "val", size: int | tuple[int, int] = 256) -> np.ndarray:
    """A held-out theatre frame uint8 (H, W, 3): one puppet, as the benchmark shows it."""
    rng = np.random.default_rng([1, 7, index])
    scene = sample_scene(int(rng.integers(2**31)), split)
    return np.ascontiguousarray(render(scene, [int(rng.integers(64))], size).frames[0][..., rng.permutation(3)])


def stills(folder: Path | None, size: int) -> dict[str, np.ndarray]:
    """Every picture below `folder`, shrunk to about `size` x `size` pixels of area with sides of multiples of 8; never enlarged."""
    if folder is None:
        return {}
    found = {}
    for path in sorted(Path(folder).rglob("*.png")):
        if path.name == "mask.png":
            continue
        picture = read_image(path)
        height, width = picture.shape[:2]
        factor = min(1.0, size / math.sqrt(height * width))
        sides = (int(height * factor) // 8 * 8, int(width * factor) // 8 * 8)
        name = path.stem if path.stem != "texture" else path.parent.name
        found[name] = resize(picture, sides)
    return found
