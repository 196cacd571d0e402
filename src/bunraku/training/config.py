"""Every number of a training run in one typed place."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bunraku.data.samples import ReferenceFrame
from bunraku.data.theatre import Domain
from bunraku.errors import BunrakuError
from bunraku.recipes import MOST_PICTURES, Size, Stage, get_recipe

Precision = Literal["auto", "float32", "bf16", "fp16"]
Optimizer = Literal["adamw", "adafactor"]

LARGEST = 4096
"""Side of a picture."""

LIMITS = {
    "seed": (0, 2**63 - 1), "workers": (0, 1024), "learning_rate": (0, 1), "kernel_rate": (0, 1), "rates": (0, 1e3), "betas": (0, 1 - 1e-9), "weight_decay": (0, 1),
    "clip_norm": (0, 1e9), "ema_decay": (0, 1), "drop_condition": (0, 1), "drop": (0, 1), "decay": (0, 1), "warmup": (0, 2**31), "misled": (0, 1), "led": (0, 1),
    "global_batch": (0, 2**31), "kept": (1, 2**31), "repeats": (1, 2**31), "crops": (0, 2**31), "min_gap": (0, 2**31), "stride": (1, 2**31), "keep_checkpoints": (0, 2**31),
    "validation_clips": (1, 2**31), "lora_rank": (1, 2**16), "pictured": (1, 2**31), "crop": (0, LARGEST), "noise_offset": (0, 100), "shared_noise": (0, 1),
    "min_snr_gamma": (0, 1e6), "timestep_power": (1e-3, 1e3), "skeleton_weight": (0, 1e6), "picture_loss": (0, 1e6), "huber": (0, 2), "relative": (0, 1e6), "binding": (0, 1e6),
}  # fmt: skip
"""Smallest and largest value of settings."""

MAY_CHANGE = (
    "output", "keep", "kept", "repeats", "keep_latents", "steps", "workers", "keep_checkpoints", "checkpoint_every", "validate_every", "validation_clips", "log_every",
)  # fmt: skip
"""Settings that a run may be continued with other values of."""


@dataclass
class TrainingConfig:
    """A training run; recipes give the values of their stages, the command line overrides them.

    Attributes:
        output: folder of the run: checkpoints, logs, validation sheets, and the trained model.
        data: "theatre" or a folder of clips prepared by `bunraku perceive`.
        domain: of the theatre: "puppets", "wide", "humans", "photographs", "crowds", "stage", "mixed" or "everything", see `data.theatre`.
        misled: of the theatre: share of the samples whose poses a failing detector has found.
        led: of the theatre: share of the samples of one puppet that another body's poses lead, retargeted.
        keep: folder that keeps the theatre's samples, so that each is drawn once; None: every sample is new.
        kept: how many samples it keeps.
        repeats: how often each comes while others are still being drawn, see `KeptSamples`; 1: all are drawn first.
        crops: of every clip so many crops are learnt from; 0: another one for every sample.
        keep_latents: folder that keeps what the frozen autoencoder and a frozen image encoder make of every picture, so that each goes
            through them once: 64 KiB for a frame of 512x512 pixels in four latent channels. For clips of which `crops` are fixed.
            None: they are computed every time.
        options: of the recipe, by name, where they are to differ from the size's own or the start model's (`Animator.Options`).
        init: model to start from, a folder or a name (stage 2 starts from stage 1's); None: from the recipe's start values.
        motion: where the motion modules that the stage trains start from: a model folder, or a file or folder in any layout that
            `models convert` reads (AnimateDiff's, or the MotionAdapter made from it). A module takes the weights of the module of the
            same name. A ControlNet's take those of the model's own ControlNet, or else those of the denoiser's down blocks. Every
            module must find its weights, in its width; weights without a module are left out. Animate Anyone's middle is in AnimateDiff
            v2 alone. None: as `init` has them, or else as the identity.
        reference_from_denoiser: ReferenceNet starts with the weights of the start model's denoiser, as both came from Stable
            Diffusion in the papers.
        vae: folder of a frozen autoencoder; None: the one of `init`, or the shipped one of the size.
        pose_refiner: folder of what mends the poses that recipe bunraku follows (`bunraku train poses`); None: the one of `init`, or the shipped one.
        styles: how conditions are drawn where that is to differ from the size's way: arguments of `cues.drawn.DRAWN` by the condition's
            name, such as {"mask": {"law": "exact"}, "environment": {"law": "exact"}}.
        trains: parts that learn instead of the stage's own, see `recipes.Stage`; for ablations.
        lora_rank, lora_layers: of the adapters that TCAN's first stage trains, see `nets.lora`.
        keep_lora: write the adapters beside the model as well (OUTPUT/lora, peft's layout); in the model they are merged.
        resolution: side of a square picture, or (height, width).
        sizes: of the theatre's samples, (height, width) to choose from for each, instead of `resolution`, which is then the size that the
            model is validated at and made for. A batch is of one size.
        crop: side of the squares of the driven frames that are learnt from, see `CroppedSamples`; 0: whole frames.
        batch: samples (references) per process that are computed at once; each has `frames` driven frames.
        global_batch: samples per optimiser step over all processes: gradients are accumulated until there are so many; 0: `accumulate`
            says how often.
        min_gap: smallest distance of reference and driven frame in clips (frames).
        people: in clips: how many are drawn, the largest first.
        stride: distance of consecutive driven frames in clips (stage 2).
        reference_frame: "random", or "first": the clip's first frame.
        references: pictures of each reference, up to five; of each batch so many that chance says, so that the model knows one and several.
        drop_condition: share of the samples trained as the unconditional half of guidance.
        drop: share of the samples that go without a condition, by its name.
        noise_offset, shared_noise, min_snr_gamma, timestep_power, skeleton_weight: see `training.objective`; 0 and 1 are off.
        picture_loss: weight of the absolute error of the frames as they are shown, in [-1, 1], for models that predict samples; 0: none.
        huber: errors there that are smaller count squared (Huber 1964): what is doubtful by less becomes a mean, by more the likelier.
        pictured: how many frames of a micro-batch it looks at.
        relative: each sample's loss is divided by this plus the mean squared error, in [-1, 1], of the frames that the model trusts (its
            picture loss likewise), so that what is nearly right beforehand counts as much as what is
            badly wrong; 0: not divided.
        binding: weight of the identity binding loss (`training.binding`; its paper has 0.05), for clips with masks of the people; 0: none.
        optimizer: of the parameters: "adamw", or "adafactor", which keeps rows and columns where AdamW keeps two numbers for each parameter
            (Shazeer and Stern 2018), for GPUs of 24 GiB (docs/training.md).
        kernel_rate: learning rate of Muon for the kernels inside the networks (`training.muon`); 0: AdamW trains them as well.
        rates: how many times faster a part learns than the others, by its name, such as {"flow_guider": 10}; at 0 it stays as it is.
        decay: the last share of the steps in which the learning rate falls to zero.
        ema_decay: of the exponential moving average that is shipped; 0: none.
        precision: what the networks compute in: "float32", "bf16", "fp16", or "auto": what this machine is fast at.
        validation_clips: held-out clips that are re-enacted at each validation.
        checkpoint_every, validate_every, log_every: in optimiser steps.

    Raises:
        BunrakuError: a value out of its range, or an unknown name.
    """

    recipe: str
    size: str
    stage: int
    output: Path
    data: str = "theatre"
    domain: str = "puppets"
    misled: float = 0.0
    led: float = 0.0
    keep: str | None = None
    kept: int = 20_000
    repeats: int = 1
    crops: int = 0
    keep_latents: str | None = None
    init: str | None = None
    motion: str | None = None
    reference_from_denoiser: bool = False
    vae: str | None = None
    pose_refiner: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    styles: dict[str, dict[str, Any]] | None = None
    trains: tuple[str, ...] | None = None
    lora_rank: int = 16
    lora_layers: tuple[str, ...] = ("attn1", "attn2")
    keep_lora: bool = False
    resolution: int | tuple[int, int] = 512
    sizes: tuple[tuple[int, int], ...] = ()
    crop: int = 0
    frames: int = 1
    batch: int = 1
    global_batch: int = 0
    steps: int = 1000
    accumulate: int = 1
    learning_rate: float = 1e-5
    rates: dict[str, float] = field(default_factory=dict)
    optimizer: Optimizer = "adamw"
    kernel_rate: float = 0.0
    warmup: int = 0
    decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    min_gap: int = 0
    stride: int = 1
    people: int = 1
    references: int = 1
    reference_frame: ReferenceFrame = "random"
    drop_condition: float = 0.1
    drop: dict[str, float] = field(default_factory=dict)
    noise_offset: float = 0.0
    shared_noise: float = 0.0
    min_snr_gamma: float = 0.0
    timestep_power: float = 1.0
    skeleton_weight: float = 1.0
    permute_colours: bool = False
    picture_loss: float = 0.0
    huber: float = 0.0
    pictured: int = 8
    relative: float = 0.0
    binding: float = 0.0
    ema_decay: float = 0.0
    gradient_checkpointing: bool = False
    precision: Precision = "float32"
    seed: int = 0
    workers: int = 1
    keep_checkpoints: int = 2
    validation_clips: int = 8
    checkpoint_every: int = 500
    validate_every: int = 500
    log_every: int = 20

    @property
    def chosen_size(self) -> Size:
        """The recipe's size."""
        return get_recipe(self.recipe).size(self.size)

    @property
    def drawing(self) -> dict[str, dict[str, Any]]:
        """How conditions are drawn: the size's styles with this run's own."""
        own, given = self.chosen_size.styles, self.styles or {}
        return {name: {**own.get(name, {}), **given.get(name, {})} for name in dict.fromkeys([*own, *given])}

    @property
    def chosen_stage(self) -> Stage:
        """The recipe's stage, with this run's own `trains`."""
        stage = self.chosen_size.stages[self.stage]
        return stage if self.trains is None else replace(stage, trains=self.trains)

    @property
    def picture(self) -> tuple[int, int]:
        """(height, width) of what is trained on."""
        if isinstance(self.resolution, int):
            return self.resolution, self.resolution
        return self.resolution[0], self.resolution[1]

    def __post_init__(self) -> None:
        self.output = Path(self.output)
        sides = (self.resolution,) if isinstance(self.resolution, int) else self.resolution
        if len(sides) not in (1, 2) or any(side < 8 or side % 8 or side > LARGEST for side in sides):
            raise BunrakuError(f"resolution {'x'.join(map(str, sides))} is not a multiple of 8, up to {LARGEST}")
        for name, choices in (
            ("domain", Domain),
            ("optimizer", Optimizer),
            ("precision", Precision),
            ("reference_frame", ReferenceFrame),
        ):
            if getattr(self, name) not in get_args(choices):
                raise BunrakuError(f"{name} is one of {', '.join(get_args(choices))}, not {getattr(self, name)!r}")
        for name in (
            "steps",
            "batch",
            "frames",
            "people",
            "accumulate",
            "checkpoint_every",
            "validate_every",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise BunrakuError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            for number in (
                value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            ):
                if not least <= number <= most:
                    raise BunrakuError(f"{name} is from {least} to {most}, not {number}")
        if not 1 <= self.references <= MOST_PICTURES:
            raise BunrakuError(f"references is 1 to {MOST_PICTURES} pictures, not {self.references}")
        self.sizes = tuple((int(height), int(width)) for height, width in self.sizes)
        for side in {side for size in self.sizes or (self.picture,) for side in size}:
            if side % 8 or side < self.crop or self.crop % 8:
                raise BunrakuError(
                    f"sizes and crop must be multiples of 8, and no side smaller than the crop: {side}, {self.crop}"
                )
        if self.keep_latents is not None and self.data == "theatre":
            raise BunrakuError(
                "keep_latents is for clips (--data CLIPS): the theatre draws other pictures every time, which keep=DIR keeps"
            )
        if self.keep_latents is not None and not self.crops:
            raise BunrakuError(
                "keep_latents needs pictures that come again: set crops as well, such as crops=4, else every sample is cropped anew"
            )
        known = {f.name for f in fields(self.chosen_size.options)}
        if unknown := sorted(set(self.options) - known):
            raise BunrakuError(
                f"recipe {self.recipe} has no option {', '.join(unknown)}; it has {', '.join(sorted(known)) or 'none'}"
            )


def completed(before: Mapping[str, Any], now: Mapping[str, Any], config: type = TrainingConfig) -> dict[str, Any]:
    """Settings that an earlier version wrote down, as JSON, with those of today's that there were not: they had their defaults.

    Args:
        now: today's. A name may have others before it ("base.steps"), and a value may be such a mapping itself.
        config: the dataclass of the settings.
    """
    defaults = {
        f.name: json.loads(json.dumps(f.default, default=str)) for f in fields(config) if f.default is not MISSING
    } | {f.name: f.default_factory() for f in fields(config) if f.default_factory is not MISSING}
    new = {key: defaults[name] for key in now if key not in before and (name := key.rpartition(".")[2]) in defaults}
    within = {
        key: completed(value, now[key], config)
        for key, value in before.items()
        if isinstance(value, Mapping) and isinstance(now.get(key), Mapping)
    }
    return {**before, **new, **within}


def training_config(recipe: str, size: str, stage: int, output: Path, overrides: dict[str, Any]) -> TrainingConfig:
    """The recipe's settings for a stage, those for clips of one's own where a model (`init`) goes on with some (`data`), with `overrides` on top.

    Raises:
        BunrakuError: an unknown name (lists those that there are), or a value out of its range.
    """
    stages = get_recipe(recipe).size(size).stages
    if stage not in stages:
        raise BunrakuError(f"recipe {recipe} {size} has stages {', '.join(map(str, stages))}, not {stage}")
    known = {f.name for f in fields(TrainingConfig)}
    if unknown := sorted(set(overrides) - known):
        raise BunrakuError(f"unknown training setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    own = overrides.get("init") is not None and overrides.get("data", "theatre") != "theatre"
    settings = {**stages[stage].settings, **(stages[stage].tuning if own else {}), **overrides}
    return TrainingConfig(recipe=recipe, size=size, stage=stage, output=output, **settings)
