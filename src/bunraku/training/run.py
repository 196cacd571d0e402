"""A training run from its configuration to a model folder that `--model` opens."""

import logging
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bunraku.data.cropped import CroppedSamples
from bunraku.data.kept import KeptSamples
from bunraku.data.theatre import TheatreSamples, TheatreViews
from bunraku.errors import BunrakuError
from bunraku.media.files import plain_write_errors, replacing
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.lora import add_lora, merge_lora
from bunraku.recipes import Animator, Reads
from bunraku.recipes.parts import AUTOENCODERS, PARTS
from bunraku.recipes.recipe import with_options
from bunraku.training.binding import bound
from bunraku.training.config import TrainingConfig
from bunraku.training.trainer import Trainer
from bunraku.training.validation import build_pipeline, validate
from bunraku.weights.loading import load_pipeline
from bunraku.weights.states import load_state, read_json
from bunraku.weights.survey import survey

logger = logging.getLogger(__name__)

MOTION = ".motion_modules."
BLENDS = ".blends."


def train(config: TrainingConfig, until: int | None = None) -> Path:
    """Run (or continue) a training in `config.output`, then write the averaged weights as a pipeline, float16.

    Returns:
        `config.output / "model"`; a run that stops before its last step (`until`) leaves only checkpoints.

    Raises:
        BunrakuError: data, start weights or settings that cannot be used; before any training. A full disk: the newest checkpoint
            stays, and the same run goes on from there.
    """
    stage = config.chosen_stage
    if config.motion and not stage.motion:
        raise BunrakuError(f"stage {config.stage} trains no motion modules: leave the setting motion to stage 2")
    motion = read_motion(config.motion) if config.motion else {}
    if not config.init and (stage.lora or (stage.motion and "denoiser" not in stage.trains)):
        what = "motion modules on top of" if stage.motion else "adapters of"
        raise BunrakuError(f"stage {config.stage} trains {what} a trained model: name it with --init DIR")
    torch.manual_seed(config.seed)
    animator, vae = start_networks(config, motion)
    if stage.lora:
        add_lora(animator.denoiser, config.lora_rank, config.lora_rank, config.lora_layers)
    reads = bound(animator.reads) if config.binding else animator.reads
    held_out = dataset(config, reads, "val")
    trainer = Trainer(config, animator, vae, dataset(config, reads), lambda running: validate(running, held_out))
    with plain_write_errors(config.output):
        trainer.run(until)
    final = config.output / "model"
    if trainer.step >= config.steps and trainer.accelerator.is_main_process:
        with trainer.averaged():
            if stage.lora:
                if config.keep_lora:
                    animator.denoiser.save_lora_adapter(config.output / "lora")  # type: ignore[operator]
                merge_lora(animator.denoiser)
            pipeline = build_pipeline(animator, trainer.vae, config)
            for part in pipeline.components.values():
                if isinstance(part, nn.Module):
                    nn.Module.to(part, torch.float16)  # diffusers' own cast prints a warning without reason
            with replacing(final) as temporary:
                pipeline.save_pretrained(temporary)
        logger.info("wrote %s", final)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    return final


def start_networks(config: TrainingConfig, motion: Mapping[str, Mapping[str, Tensor]]) -> tuple[Animator, nn.Module]:
    """The animator of a run and its frozen autoencoder, with the weights that the run starts from.

    Args:
        motion: modules for each part that may have some, from `read_motion`.
    """
    size, stage = config.chosen_size, config.chosen_stage
    start = load_pipeline(config.init, dtype=torch.float32, device="cpu") if config.init else None
    options = with_options(size.options, start.config.options if start is not None else {})
    animator = size.build(stage.motion, with_options(options, config.options))
    if start is not None:
        for name, part in animator.parts().items():
            source = getattr(start, name, None)
            if type(source) is type(part):
                copy_weights(source, part, name)
            elif not (source is not None and animator.inherit(name, source)) and name not in animator.added:
                raise BunrakuError(
                    f"{config.init} has no {name} that is a {type(part).__name__}; it is a model of recipe {start.config.recipe}"
                )
        animator.begin()
        if config.reference_from_denoiser:
            state, reference_net = animator.denoiser.state_dict(), animator.parts()["reference_net"]
            own = reference_net.state_dict().keys() & state.keys()
            load_state(reference_net, {name: state[name] for name in own}, name="ReferenceNet")
    for name, modules in motion.items():
        if {"motion", f"{name}.motion"} & set(stage.trains) and name in animator.parts():
            copy_motion(modules, animator.parts()[name], name)
    if "pose_refiner" in animator.parts() and (config.pose_refiner or getattr(start, "pose_refiner", None) is None):
        refiner = load_pose_refiner(config.pose_refiner)
        copy_weights(refiner, animator.parts()["pose_refiner"], "pose_refiner")
    vae: Any = start.vae.float() if start is not None and not config.vae else load_vae(config.vae, size.autoencoder)
    channels: int = animator.denoiser.config.in_channels  # type: ignore[union-attr, assignment]
    if vae.config.latent_channels != channels:
        raise BunrakuError(
            f"{config.recipe} {config.size} works on {channels} latent channels, the autoencoder has "
            f"{vae.config.latent_channels}: name a fitting one with --set vae=DIR, or a start model with --init DIR"
        )
    return animator, vae


def dataset(config: TrainingConfig, reads: Reads, split: Literal["train", "val"] = "train") -> Any:
    """The samples that `config.data` names, to learn from or to validate with."""
    consecutive = config.chosen_stage.motion
    # validation shows motion, whatever is trained on; a few frames tell enough
    frames = config.frames if split == "train" else max(config.frames, 6)
    if config.data == "theatre":
        kept = config.keep is not None and split == "train"
        permute = config.permute_colours and split == "train"
        made = TheatreSamples if config.references == 1 else partial(TheatreViews, references=config.references)
        samples = made(
            config.seed, split, frames, config.picture,
            consecutive=consecutive, permute_colours=permute and not kept,
            domain=config.domain,  # type: ignore[arg-type]
            reads=reads, styles=config.drawing, reference_frame=config.reference_frame, misled=config.misled, led=config.led,
            sizes=config.sizes if split == "train" else (),
        )  # fmt: skip
        keep = partial(KeptSamples, repeats=config.repeats, kinds=max(1, len(config.sizes)))
        read = keep(samples, Path(str(config.keep)), config.kept, permute, config.seed) if kept else samples
        return CroppedSamples(read, config.crop, config.seed) if config.crop and split == "train" else read
    from bunraku.data.clips import ClipFolder
    from bunraku.data.shards import ClipShards, is_sharded

    read_clips = ClipShards if is_sharded(Path(config.data)) else ClipFolder
    return read_clips(
        Path(config.data), config.seed, config.frames, config.picture,
        consecutive=consecutive, stride=config.stride, min_gap=config.min_gap, reads=reads,
        styles=config.drawing, reference_frame=config.reference_frame, references=config.references, split=split, people=config.people,
        crops=config.crops,
    )  # fmt: skip


def load_vae(folder: str | None, shipped: str = "mini/vae") -> nn.Module:
    """The frozen autoencoder of that folder; None: the `shipped` one of that name."""
    return _made_alone(folder, shipped, AUTOENCODERS, "autoencoder", "vae", "codec")


def load_pose_refiner(folder: str | None) -> nn.Module:
    """The PoseRefiner of that folder; None: the shipped one."""
    return _made_alone(folder, "bunraku/pose_refiner", PARTS["pose_refiner"], "PoseRefiner", "pose_refiner", "poses")


def _made_alone(
    folder: str | None, shipped: str, classes: Mapping[str, str], what: str, setting: str, trained: str
) -> nn.Module:
    """A part that a training of its own has made, float32: that of a folder, or the `shipped` one of the package's assets.

    Args:
        classes: what it may be, and from where.
        what: its name in words; setting: what `TrainingConfig` calls its folder; trained: what `bunraku train` calls its training.
    """
    path = Path(folder) if folder else Path(str(files("bunraku") / "assets" / shipped))
    if not (path / "config.json").is_file():
        raise BunrakuError(
            f"no {what} in {path}: give a folder with config.json (--set {setting}=DIR), or train one: bunraku train {trained}"
        )
    name = str(read_json(path / "config.json").get("_class_name"))
    if name not in classes:
        raise BunrakuError(f"{path} holds a {name}; the {what} is one of {', '.join(classes)}")
    return getattr(import_module(classes[name]), name).from_pretrained(path).float()


def copy_weights(source: nn.Module, target: nn.Module, name: str) -> None:
    """Parameters of `source` into `target`; only motion modules may be on one side alone (stage 1 has none).

    What a denoiser has more than its base leaves it as it is: the weights of joined channels become zeros, blendings keep their start.

    Raises:
        BunrakuError: any other parameter is on one side alone or has another shape.
    """
    state, motion = source.state_dict(), ["*.motion_modules.*"]
    if any(MOTION in key for key in state) and not any(MOTION in key for key in target.state_dict()):
        logger.warning(
            "the %s of this stage has no motion modules: those of the start model are left out; stage 2 can start from "
            "them (--set motion=DIR)", name,
        )  # fmt: skip
    state = _widened(state, target)
    blends = [[f"*{BLENDS}*"] * (not any(BLENDS in key for key in keys)) for keys in (state, target.state_dict())]
    load_state(
        target,
        state,
        allowed_missing=motion + blends[0],
        allowed_unexpected=motion + blends[1],
        name=f"{name} of this size",
    )


def _widened(state: Mapping[str, Tensor], target: nn.Module) -> dict[str, Tensor]:
    """The state of a denoiser for one whose conv_in takes more joined channels, which it does not look at yet, and whose conv_out says more,
    which keeps its start."""
    widened = dict(state)
    if isinstance(target, Denoiser) and "conv_in.weight" in state:
        more = target.conv_in.in_channels - state["conv_in.weight"].shape[1]
        if 0 < more <= target.joined_channels:
            widened["conv_in.weight"] = F.pad(state["conv_in.weight"], (0, 0, 0, 0, 0, more))
        for name, own in target.conv_out.named_parameters():
            given = state[f"conv_out.{name}"]
            if len(given) < len(own):
                widened[f"conv_out.{name}"] = torch.cat([given, own[len(given) :].detach().to(given)])
    return widened


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
    return {"denoiser": denoiser, "controlnet": {k: v for k, v in control.items() if MOTION in k} or denoiser}


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
