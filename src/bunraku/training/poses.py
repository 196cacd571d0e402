"""Training of `PoseRefiner` on the theatre's motions. A run continues from its checkpoint exactly as if it had never stopped."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from bunraku.cues.pose_refiner import PoseRefiner
from bunraku.data.poses import PoseSamples
from bunraku.data.samples import StepSampler
from bunraku.errors import BunrakuError
from bunraku.machine import pick_device
from bunraku.training.alone import Run, log, moving_average, rate
from bunraku.training.muon import Muon

logger = logging.getLogger(__name__)

SHORTEST = 12
"""Frames of a step's samples, at least; at most those of the network's window."""
FLOOR = 0.2
"""Error of a sample, in hundredths of a person's height, from which errors count less."""
CLIP = 1.0
"""Largest norm of the gradient."""
HELD_OUT = 64
"""Samples of each kind, and as many mirror images, that scores are measured on."""


@dataclass(frozen=True)
class PoseConfig:
    """Settings of a run.

    Attributes:
        output: folder of the run; the network itself is in `output`/model.
        channels, layers, heads, window: of the network.
        batch: samples of a step, half of them mirror images of the others.
        steps: until the learning rates have fallen to nothing, over the last `decay` of them.
        kernel_rate, learning_rate: of Muon, for the blocks' matrices, and of AdamW, for all else; both rise over `warm_up` steps.
        motion: weight of the error of joints' velocities beside that of their places.
        visible: weight of the cross entropy of whether a joint can be seen.
        average: decay of the average of the weights, which is what is saved.
        workers: processes that draw samples.
        init: folder of a network to start from.
        only: the part of the network that learns, such as "bones"; None: all of it.
        seconds_per_checkpoint, seconds_per_score: how often the run is saved, and scored.
    """

    output: Path
    channels: int = 144
    layers: int = 5
    heads: int = 4
    window: int = 48
    batch: int = 64
    steps: int = 6000
    decay: float = 0.6
    kernel_rate: float = 0.03
    learning_rate: float = 2e-3
    warm_up: int = 100
    motion: float = 0.3
    visible: float = 0.05
    average: float = 0.998
    workers: int = 1
    seed: int = 0
    init: Path | None = None
    only: str | None = None
    seconds_per_checkpoint: float = 180
    seconds_per_score: float = 120


def train_poses(config: PoseConfig) -> PoseRefiner:
    """Begin a run in `config.output`, or continue the one that is there; returns the averaged network, saved in `output`/model.

    Raises:
        BunrakuError: the run that is there has other settings.
    """
    run = start(config)
    batches = DataLoader(
        PoseSamples(config.seed, config.window),
        batch_sampler=StepSampler(run.step, config.steps, config.batch // 2),
        collate_fn=_joined,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
    )
    held_out = {kind: _held_out(kind, config.window) for kind in ("clean", "spoiled", "led")}
    losses, scored, saved = [], time.monotonic(), time.monotonic()
    for batch in batches:
        losses.append(train_step(run, config, batch))
        now, last = time.monotonic(), run.step == config.steps
        if last or now - scored >= config.seconds_per_score:
            _tell(run, config, losses, held_out, now - scored)
            losses, scored = [], time.monotonic()
        if last or now - saved >= config.seconds_per_checkpoint:
            run.save(config.output)
            saved = time.monotonic()
    return run.averaged


def start(config: PoseConfig) -> Run[PoseRefiner]:
    """The run of the checkpoint in `config.output`, or a new one."""
    torch.manual_seed(config.seed)
    shape = {name: getattr(config, name) for name in ("channels", "layers", "heads", "window")}
    net = PoseRefiner.from_pretrained(config.init) if config.init else PoseRefiner(**shape)
    net = net.float().to(pick_device()).train()
    average = AveragedModel(net, multi_avg_fn=moving_average(config.average))
    run = Run("net", net, average, optimisers(net, config))
    run.go_on(config)
    return run


def optimisers(net: PoseRefiner, config: PoseConfig) -> tuple[torch.optim.Optimizer, ...]:
    learning = {name: p for name, p in net.named_parameters() if name.startswith(config.only or "")}
    if not learning:
        raise BunrakuError(f"a PoseRefiner has no part {config.only}")
    kernels = [p for name, p in learning.items() if "blocks." in name and p.ndim == 2 and "distance" not in name]
    ours = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in learning.values() if id(parameter) not in ours]
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in learning)
    return (
        Muon([{"params": kernels}], config.kernel_rate),
        torch.optim.AdamW(others, config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4),
    )


def train_step(run: Run[PoseRefiner], config: PoseConfig, batch: list[Tensor]) -> dict[str, float]:
    """One step; of its samples the first frames, as many as its number says."""
    rng = np.random.default_rng([config.seed, 1, run.step])
    length = int(rng.integers(SHORTEST, config.window + 1))
    loss, said = _loss(run.net, [part.to(run.net.device) for part in batch], length, config)
    now = rate(config, run.step)
    run.learn(loss, CLIP, (config.kernel_rate * now, config.learning_rate * now))
    return said


def _loss(net: PoseRefiner, batch: list[Tensor], length: int, config: PoseConfig) -> tuple[Tensor, dict[str, float]]:
    """Absolute errors of places and velocities, in hundredths of a person's height; each sample's count by the root of what was wrong
    with it: between a mean of errors, which the worst samples rule, and one of decibels."""
    points, seen, body, truth, visible = batch
    points, seen, truth, visible = (part[:, :length] for part in (points, seen, truth, visible))
    middle = points[:, :, 1].median(1).values[:, None, None]
    moved, logits, whole = net(points - middle, seen, body)
    asked = truth.isfinite()
    both = asked[:, 1:] & asked[:, :-1]
    (place, velocity), (whole_place, whole_velocity) = (
        (_mean(error, asked), _mean(error.diff(dim=1), both))
        for error in (torch.where(asked, made + middle - truth, 0) for made in (moved, whole))
    )
    known = asked.all(-1)
    seeing = functional.binary_cross_entropy_with_logits(logits[known], visible[known])
    before = _mean(torch.where(asked, points - truth, 0), asked)
    errors = place + whole_place + config.motion * (velocity + whole_velocity)
    loss = (errors / (before + FLOOR).sqrt()).mean() + config.visible * seeing
    said = {"before": before, "place": place, "velocity": velocity, "seeing": seeing}
    return loss, {name: value.mean().item() for name, value in said.items()}


def _mean(errors: Tensor, asked: Tensor) -> Tensor:
    """Of each sample (B,), in hundredths."""
    return 100 * (errors.abs() * asked).flatten(1).sum(1) / asked.flatten(1).sum(1)


def _held_out(kind: str, frames: int) -> list[Tensor]:
    return _joined([PoseSamples(1, frames, "val", kind)[i] for i in range(HELD_OUT)])  # type: ignore[arg-type]


def _joined(samples: list[list[np.ndarray]]) -> list[Tensor]:
    """Pairs (2, ...) of arrays as one batch of each."""
    return [torch.from_numpy(np.concatenate(part)) for part in zip(*samples, strict=True)]


@torch.no_grad()
def _tell(
    run: Run[PoseRefiner],
    config: PoseConfig,
    losses: list[dict[str, float]],
    held_out: Mapping[str, list[Tensor]],
    seconds: float,
) -> None:
    """Say how the run is, to the log and to `output`/log.jsonl: losses, and errors of held-out samples before and after."""
    line: dict[str, object] = {"step": run.step}
    line |= {name: round(float(np.mean([each[name] for each in losses])), 4) for name in losses[0]}
    for kind, batch in held_out.items():
        said = _loss(run.averaged, [part.to(run.net.device) for part in batch], config.window, config)[1]
        line[kind] = [round(said[name], 3) for name in ("before", "place", "velocity")]
    line["seconds"] = round(seconds, 1)
    log(config.output, line)
