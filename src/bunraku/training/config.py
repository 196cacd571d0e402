"""Every number of a training run in one typed place."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bunraku.data.theatre import Domain
from bunraku.errors import BunrakuError
from bunraku.recipes import Stage, get_recipe


@dataclass
class TrainingConfig:
    """A training run; recipes give the values of their stages, the command line overrides them.

    Attributes:
        output: folder of the run: checkpoints, logs, validation sheets, and the trained model.
        data: "theatre" or a folder of clips prepared by `bunraku perceive`.
        domain: of the theatre: "puppets", "wide", "humans" or "photographs", see `data.theatre`.
        init: model folder to start from (stage 2 starts from stage 1's); None: from the recipe's start values.
        motion: where the motion modules that the stage trains start from: a model folder, or motion modules in any layout that
            `models convert` reads, such as the MotionAdapter that it writes from AnimateDiff's file. Each takes the weights of
            the module of its name: those of the denoiser the denoiser's, those of TCAN's ControlNet the ones of the same down
            blocks (the model's own ControlNet's where that has any). All of them must be there, in their widths (of AnimateDiff
            only v2 has Animate Anyone's middle); what is more, such as that middle in TCAN, is left out. None: as `init` has
            them, else as the identity.
        reference_from_denoiser: ReferenceNet starts with the weights of the start model's denoiser, as both came from Stable
            Diffusion in the papers.
        vae: folder of a frozen autoencoder; None: the one of `init`, or the shipped mini one.
        literal_guider: the pose guider as the paper prints it.
        trains: parts that learn instead of the stage's own, see `recipes.Stage`; for ablations.
        reference_timestep: what ReferenceNet is told, "zero" or "every", see `Animator`; None: as in the start
            model, or as the recipe builds it.
        lora_rank, lora_layers: of the adapters that TCAN's first stage trains, see `nets.lora`.
        keep_lora: write the adapters beside the model as well (OUTPUT/lora, peft's layout); in the model they are merged.
        batch: samples (references) per process and micro-batch; each has `frames` driven frames.
        min_gap: smallest distance of reference and driven frame in clips (frames).
        stride: distance of consecutive driven frames in clips (stage 2).
        drop_condition: share of the batches trained as the unconditional half (no reference, zero image token).
        drop_reference_pose: share of the samples whose reference skeleton is black.
        noise_offset, shared_noise, min_snr_gamma, timestep_power, skeleton_weight: see `training.objective`; 0 and 1 are off.
        decay: the last share of the steps in which the learning rate falls to zero.
        ema_decay: of the exponential moving average that is shipped; 0: none.
        precision: "no", "bf16" or "fp16".
        checkpoint_every, validate_every, log_every: in optimiser steps.
    """

    recipe: str
    size: str
    stage: int
    output: Path
    data: str = "theatre"
    domain: str = "puppets"
    init: str | None = None
    motion: str | None = None
    reference_from_denoiser: bool = False
    vae: str | None = None
    literal_guider: bool = False
    trains: tuple[str, ...] | None = None
    reference_timestep: Literal["zero", "every"] | None = None
    lora_rank: int = 16
    lora_layers: tuple[str, ...] = ("attn1", "attn2")
    keep_lora: bool = False
    resolution: int = 512
    frames: int = 1
    batch: int = 1
    steps: int = 1000
    accumulate: int = 1
    learning_rate: float = 1e-5
    warmup: int = 0
    decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    min_gap: int = 0
    stride: int = 1
    drop_condition: float = 0.1
    drop_reference_pose: float = 0.0
    noise_offset: float = 0.0
    shared_noise: float = 0.0
    min_snr_gamma: float = 0.0
    timestep_power: float = 1.0
    skeleton_weight: float = 1.0
    permute_colours: bool = False
    ema_decay: float = 0.0
    gradient_checkpointing: bool = False
    precision: str = "no"
    seed: int = 0
    workers: int = 1
    keep_checkpoints: int = 2
    checkpoint_every: int = 500
    validate_every: int = 500
    log_every: int = 20

    @property
    def chosen_stage(self) -> Stage:
        """The recipe's stage, with this run's own `trains`."""
        stage = get_recipe(self.recipe).size(self.size).stages[self.stage]
        return stage if self.trains is None else replace(stage, trains=self.trains)

    @property
    def resolution_hw(self) -> tuple[int, int]:
        return self.resolution, self.resolution

    def __post_init__(self) -> None:
        self.output = Path(self.output)
        if self.resolution % 8:
            raise BunrakuError(f"resolution {self.resolution} is not a multiple of 8")
        if self.domain not in get_args(Domain):
            raise BunrakuError(f"the theatre has the domains {', '.join(get_args(Domain))}, not {self.domain!r}")
        for name in ("steps", "batch", "frames", "accumulate", "checkpoint_every", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise BunrakuError(f"{name} must be at least 1, not {getattr(self, name)}")


def training_config(recipe: str, size: str, stage: int, output: Path, overrides: dict[str, Any]) -> TrainingConfig:
    """The recipe's settings for a stage, with `overrides` on top; an unknown name is an error that lists them."""
    stages = get_recipe(recipe).size(size).stages
    if stage not in stages:
        raise BunrakuError(f"recipe {recipe} {size} has stages {', '.join(map(str, stages))}, not {stage}")
    known = {f.name for f in fields(TrainingConfig)}
    unknown = set(overrides) - known
    if unknown:
        raise BunrakuError(
            f"unknown training setting {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    return TrainingConfig(
        recipe=recipe, size=size, stage=stage, output=output, **{**stages[stage].settings, **overrides}
    )
