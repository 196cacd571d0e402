"""A training run from its configuration to a model folder that `--model` opens."""

import json
import logging
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bunraku.data.theatre import TheatreSamples
from bunraku.errors import BunrakuError
from bunraku.nets.lora import add_lora, merge_lora
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import get_recipe
from bunraku.training.config import TrainingConfig
from bunraku.training.trainer import Trainer
from bunraku.training.validation import build_pipeline
from bunraku.weights.states import load_state
from bunraku.weights.survey import survey

logger = logging.getLogger(__name__)

PARTS = ("denoiser", "reference_net", "pose_guider", "image_encoder")
MOTION = ".motion_modules."


def train(config: TrainingConfig, until: int | None = None) -> Path:
    """Run (or continue) a training in `config.output`, then write the averaged weights as a pipeline, float16.

    Returns:
        `config.output / "model"`; a run that stops before its last step (`until`) leaves only checkpoints.

    Raises:
        BunrakuError: data, start weights or settings that cannot be used; before any training.
    """
    size = get_recipe(config.recipe).size(config.size)
    stage = config.chosen_stage
    if config.motion and not stage.motion:
        raise BunrakuError(f"stage {config.stage} trains no motion modules: leave the setting motion to stage 2")
    motion = read_motion(config.motion) if config.motion else {}
    torch.manual_seed(config.seed)
    animator = size.build(stage.motion, literal_guider=config.literal_guider)
    start = AnimationPipeline.from_pretrained(config.init) if config.init else None
    if told := config.reference_timestep or (start and start.config.defaults.get("reference_timestep")):
        animator.reference_timestep = told
    if start is not None:
        for part in PARTS:
            copy_weights(getattr(start, part), getattr(animator, part), part)
        if config.reference_from_denoiser:
            state, names = animator.denoiser.state_dict(), animator.reference_net.state_dict().keys()
            load_state(
                animator.reference_net, {name: state[name] for name in names & state.keys()}, name="ReferenceNet"
            )
    elif stage.motion or stage.adapts:
        what = "motion modules on top of" if stage.motion else "adapters of"
        raise BunrakuError(f"stage {config.stage} trains {what} a trained model: name it with --init DIR")
    for part, modules in motion.items():
        if {"motion", f"{part}.motion"} & set(stage.trains):
            copy_motion(modules, getattr(animator, part), part)
    vae: Any = start.vae.float() if start is not None and not config.vae else load_vae(config.vae)
    channels: int = animator.denoiser.config.in_channels  # type: ignore[union-attr, assignment]
    if vae.config.latent_channels != channels:
        raise BunrakuError(
            f"{config.recipe} {config.size} works on {channels} latent channels, the autoencoder has "
            f"{vae.config.latent_channels}: name a fitting one with --set vae=DIR, or a start model with --init DIR"
        )
    if stage.adapts:
        add_lora(animator.denoiser, config.lora_rank, config.lora_rank, config.lora_layers)
    trainer = Trainer(config, animator, vae, dataset(config))
    trainer.run(until)
    final = config.output / "model"
    if trainer.step >= config.steps and trainer.accelerator.is_main_process:
        with trainer.averaged():
            if stage.adapts:
                if config.keep_lora:
                    animator.denoiser.save_lora_adapter(config.output / "lora")  # type: ignore[operator]
                merge_lora(animator.denoiser)
            pipeline = build_pipeline(animator, trainer.vae, size, config)
            temporary = config.output / "model.writing"
            shutil.rmtree(temporary, ignore_errors=True)
            for part in pipeline.components.values():
                if isinstance(part, nn.Module):
                    nn.Module.to(part, torch.float16)  # diffusers' own cast warns of nothing
            pipeline.save_pretrained(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        logger.info("wrote %s", final)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    return final


def dataset(config: TrainingConfig) -> Any:
    """The training data that `config.data` names."""
    size = get_recipe(config.recipe).size(config.size)
    consecutive = config.chosen_stage.motion
    if config.data == "theatre":
        return TheatreSamples(
            config.seed, "train", config.frames, config.resolution_hw,
            consecutive=consecutive, permute_colours=config.permute_colours, domain=config.domain,  # type: ignore[arg-type]
        )  # fmt: skip
    from bunraku.data.clips import ClipFolder

    return ClipFolder(
        Path(config.data), config.seed, config.frames, config.resolution_hw,
        consecutive=consecutive, stride=config.stride, min_gap=config.min_gap, skeleton=dict(size.skeleton),
    )  # fmt: skip


def load_vae(folder: str | None) -> nn.Module:
    """The frozen autoencoder of that folder; None: the shipped mini one."""
    import diffusers

    from bunraku.nets.patch_codec import PatchCodec
    from bunraku.nets.picture_codec import PictureCodec

    path = Path(folder) if folder else Path(str(files("bunraku") / "assets" / "mini" / "vae"))
    if not (path / "config.json").is_file():
        raise BunrakuError(
            f"no autoencoder in {path}: give a folder with config.json (--set vae=DIR), or train one: bunraku train codec"
        )
    kinds = {kind.__name__: kind for kind in (diffusers.AutoencoderKL, PatchCodec, PictureCodec)}
    name = json.loads((path / "config.json").read_text()).get("_class_name")
    if name not in kinds:
        raise BunrakuError(
            f"{path} holds {name or 'a model without a class'}, which is no autoencoder: one of {', '.join(kinds)}"
        )
    return kinds[name].from_pretrained(path).float()


def copy_weights(source: nn.Module, target: nn.Module, name: str) -> None:
    """Parameters of `source` into `target`; only motion modules may be on one side alone (stage 1 has none).

    Raises:
        BunrakuError: any other parameter is on one side alone or has another shape.
    """
    state, motion = source.state_dict(), ["*.motion_modules.*"]
    if any(MOTION in key for key in state) and not any(MOTION in key for key in target.state_dict()):
        logger.warning(
            "the %s of this stage has no motion modules: those of the start model are left out; stage 2 can start from "
            "them (--set motion=DIR)", name,
        )  # fmt: skip
    load_state(target, state, allowed_missing=motion, allowed_unexpected=motion, name=f"{name} of this size")


def read_motion(source: str) -> dict[str, Mapping[str, Tensor]]:
    """The motion modules for each part of an Animator that may have some, see `TrainingConfig.motion`, by our names.

    Raises:
        BunrakuError: there are none, or they cannot be read.
    """
    roles = survey(source).roles
    if "motion" not in roles:
        raise BunrakuError(
            f"{source} has no motion modules: give a model that has some, or AnimateDiff's (`bunraku models pull animatediff-v2`)"
        )
    denoiser = roles["motion"].part.state
    control = roles["control_net"].part.state if "control_net" in roles else {}
    return {"denoiser": denoiser, "pose_guider": {k: v for k, v in control.items() if MOTION in k} or denoiser}


def copy_motion(state: Mapping[str, Tensor], target: nn.Module, name: str) -> None:
    """Motion modules into `target`, which takes those that it has a place for; nothing where it has none.

    Raises:
        BunrakuError: one of its places stays empty, or a module is of another make or width.
    """
    own = target.state_dict()
    places = {_place(key) for key in own if MOTION in key}
    if not places:
        return
    if left := {_place(key) for key in state} - places:
        blocks = ", ".join(sorted({place.split(MOTION)[0] for place in left}))
        logger.info("%d motion modules have no place in the %s and are left out: %s", len(left), name, blocks)
    still = {key: value for key, value in own.items() if MOTION not in key}
    modules = {key: value for key, value in state.items() if _place(key) in places}
    load_state(target, still | modules, name=f"{name}'s motion modules (setting motion)")


def _place(key: str) -> str:
    """The name of the motion module that a parameter is of."""
    block, _, rest = key.partition(MOTION)
    return f"{block}{MOTION}{rest.split('.')[0]}"
