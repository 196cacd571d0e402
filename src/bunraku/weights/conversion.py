"""Public weights of any layout that is known -> one folder in diffusers' layout, part by part."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from bunraku.errors import BunrakuError
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.pose_guider import PoseGuider
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import part_names
from bunraku.weights.download import Progress, pull
from bunraku.weights.export import save_component, whole_folder
from bunraku.weights.families import STARTS, Betas, Family
from bunraku.weights.registry import get
from bunraku.weights.states import FLICKER, check, compare, read_json
from bunraku.weights.survey import Found, Survey, fit, guider_widths, survey

logger = logging.getLogger(__name__)

FETCHED = {"vae": "sd-vae-ft-mse", "image_encoder": "sd-image-variations", "text_encoder": "sd15-text-encoder"}
"""Networks that are the same for every family -> their names in the registry."""

FETCHED_FOR_STARTS = FETCHED | {"control_net": "controlnet-openpose-v10"}
"""As `FETCHED`, for the start of a training; a trained model has a ControlNet of its own."""


@dataclass(frozen=True)
class Converted:
    """What `convert` made.

    Attributes:
        folder: where it is.
        family: name of the family; None for a single network.
        recipe: name of the recipe of the model, or that it is a start for; None for a single network.
        parameters: of each network.
        unused: files that were not needed, with the reason.
    """

    folder: Path
    family: str | None
    recipe: str | None
    parameters: dict[str, int]
    unused: dict[Path, str]


def convert(
    source: str | Path,
    target: str | Path,
    *,
    extra: Sequence[str | Path] = (),
    recipe: str | None = None,
    reference_net: str | Path | None = None,
    betas: Betas | None = None,
    dtype: torch.dtype | None = None,
    on_progress: Progress | None = None,
) -> Converted:
    """Convert a file or folder of public weights.

    A family's weights become a model for `load_pipeline`, `AnimationPipeline.from_pretrained` and (once bunraku.pipeline is
    imported) `DiffusionPipeline.from_pretrained`, with the settings that the family was made with. A single network (an
    autoencoder, motion modules, a ControlNet, CLIP) becomes a folder of its own.

    Args:
        source: what lies in it is found by its tensors, see `survey`.
        target: folder to write.
        extra: further places for what `source` lacks.
        recipe: whose training Stable Diffusion is to be a start for: "animate-anyone" (None), "multi-character", which has three guiders
            more, or "tcan", whose pose guider is an OpenPose ControlNet and whose image encoder is the empty prompt, so that it needs a
            ControlNet and a text encoder.
        reference_net: in such a start, the file or folder of the UNet that ReferenceNet begins as, of the same shape as the
            denoiser (TCAN: Realistic Vision); None: as a copy of the denoiser.
        betas: schedule of the noise instead of the family's; "linear" is what the public Animate Anyone code samples with.
        dtype: what the weights are stored in; None: as they are.
        on_progress: called with the name of a network, the number of its tensors that are ready, and of all.

    Raises:
        BunrakuError: nothing that is known, networks that are missing or do not fit (all of their keys are listed), a start
            from something other than Stable Diffusion, or a target that cannot be written. Nothing is written then.
    """
    index = Path(source).expanduser() / "model_index.json"
    if index.is_file() and read_json(index).get("_class_name") == AnimationPipeline.__name__:
        raise BunrakuError(f"{source} is a model of bunraku already; use it as it is (--model {source})")
    found = survey(source, *extra)
    if recipe is not None or reference_net is not None:
        found = _start(found, source, recipe or "animate-anyone", reference_net)
    target = Path(target)
    if found.family is None:
        networks, pipeline = _single(found, source), None
    else:
        _check_complete(found, found.family, source)
        networks = _networks(found, found.family)
        pipeline = _pipeline({name: network for name, (network, _) in networks.items()}, found.family, betas)
    report = on_progress or (lambda name, done, total: None)
    with whole_folder(target, "config.json" if pipeline is None else "model_index.json") as temporary:
        for name, (network, state) in networks.items():
            folder = temporary if pipeline is None else temporary / name
            save_component(network, state, folder, name=name, dtype=dtype, on_tensor=partial(report, name))
        if pipeline is not None:
            pipeline.scheduler.save_pretrained(temporary / "scheduler")
            pipeline.save_config(temporary)
    for path, reason in (found.unused | found.unread).items():
        logger.info("not used: %s (%s)", path, reason)
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, (network, _) in networks.items()}
    family, made_for = (found.family.name, found.family.recipe) if found.family else (None, None)
    return Converted(target, family, made_for, parameters, found.unused | found.unread)


def prepare(name: str, on_progress: Progress | None = None) -> Path:
    """The folder of a named checkpoint as a model; fetched and converted if that has not been done.

    Raises:
        BunrakuError: as of `pull` and `convert`.
    """
    model = get(name)
    if not (model.converted / "model_index.json").is_file():
        pull(name, progress=on_progress)
        logger.info("%s is converted to %s, once", name, model.converted)
        convert(
            model.folder, model.converted, extra=[get(part).folder for part in model.needs], on_progress=on_progress
        )  # fmt: skip
    return model.converted


def _start(found: Survey, source: str | Path, recipe: str, reference_net: str | Path | None) -> Survey:
    """What was found, as a start for training `recipe`, its ReferenceNet from elsewhere where that is said."""
    if recipe not in STARTS:
        raise BunrakuError(f"There is no start for a recipe {recipe!r}; there are {', '.join(STARTS)}.")
    if found.family is None or not found.family.start:
        about = found.family.about if found.family else f"no complete UNet ({', '.join(found.roles)})"
        raise BunrakuError(
            f"{source} is {about}; a start for training is made from Stable Diffusion 1.5. Name that, or leave out the recipe "
            "and the ReferenceNet (--recipe, --reference-net)."
        )
    roles = dict(found.roles)
    if reference_net is not None:
        others = survey(reference_net).roles
        if not others.keys() & {"reference_net", "denoiser"}:
            raise BunrakuError(
                f"{reference_net} holds {', '.join(others)}: no UNet that ReferenceNet could start from."
            )
        roles["reference_net"] = others.get("reference_net") or others["denoiser"]
        if roles["reference_net"].path.resolve() == roles["denoiser"].path.resolve():
            raise BunrakuError(
                f"{roles['denoiser'].path} would be both denoiser and ReferenceNet. Name the file or folder of the denoiser's UNet "
                "instead of one that has both, or leave out --reference-net: then ReferenceNet starts as a copy of the denoiser."
            )
        logger.info(
            "ReferenceNet starts from %s, the denoiser from %s", roles["reference_net"].path, roles["denoiser"].path
        )
    return replace(found, roles=roles, family=STARTS[recipe])


def _check_complete(found: Survey, family: Family, source: str | Path) -> None:
    if found.missing:
        fetched = FETCHED_FOR_STARTS if family.start else FETCHED
        lines = [f"{source} is {family.about} without {', '.join(found.missing)}. Say where they are (--with PATH)."]
        lines += [
            f"`bunraku models pull {fetched[role]}` fetches the {role}." for role in found.missing if role in fetched
        ]
        lines += [FLICKER] if "motion" in found.missing else []
    elif family.start and found.unread:  # anything may have been meant to go with it
        lines = [
            f"{source} has files that cannot be read. Name the file or folder of the UNet alone, or fetch them again."
        ]
    else:
        return
    raise BunrakuError("\n".join(lines + [f"Not read: {reason}" for reason in found.unread.values()]))


def _networks(found: Survey, family: Family) -> dict[str, tuple[Any, Mapping[str, Tensor]]]:
    """Every network of the pipeline, on the meta device, with its tensors; all of them fit."""
    roles = dict(found.roles)
    roles.setdefault("reference_net", roles["denoiser"])  # before training it is a copy of the denoiser
    made: dict[str, tuple[Any, Mapping[str, Tensor]]] = {
        role: _fitted(role, roles, family) for role in ("vae", "denoiser", "reference_net")
    }
    _check_reference(made["reference_net"], made["denoiser"], roles["reference_net"])
    wanted = part_names(family.recipe)
    if "image_encoder" in wanted:
        made["image_encoder"] = _fitted("image_encoder", roles, family)
    if "prompt" in wanted:
        made["prompt"] = _prompt(roles, family)
    if "controlnet" in wanted:
        made["controlnet"] = _fitted("control_net", roles, family)
    if "pose_guider" in wanted:
        role = next((role for role in ("pose_guider", "guidance_encoder") if role in roles), None)
        made["pose_guider"] = _fitted(role, roles, family) if role else _untrained_guider(roles)
    further = [name for name in wanted if name.endswith("_guider") and name not in made]
    return made | {name: _untrained_guider(roles) for name in further}


def _fitted(role: str, roles: Mapping[str, Found], family: Family | None) -> tuple[Any, dict[str, Tensor]]:
    network, state, comparison = fit(role, roles, family)
    places = {
        str(roles[part].path) for part in (role, "motion") if part in roles and (part == role or role == "denoiser")
    }
    check(comparison, role, " and ".join(sorted(places)))
    return network, state


def _check_reference(
    reference_net: tuple[Any, Mapping[str, Tensor]], denoiser: tuple[Any, Mapping[str, Tensor]], found: Found
) -> None:
    """Tokens of the one are read by the other: both are the same UNet but for what ReferenceNet has not."""
    shared = reference_net[0].state_dict().keys()
    beside = {key: value for key, value in denoiser[1].items() if key in shared}
    check(compare(beside, reference_net[1]), "denoiser's architecture, which ReferenceNet shares", str(found.path))


def _single(found: Survey, source: str | Path) -> dict[str, tuple[Any, Mapping[str, Tensor]]]:
    if len(found.roles) > 1:
        raise BunrakuError(
            f"{source} holds {', '.join(found.roles)}: too little for a model, and too much for one network; name the file or "
            "folder of one, or say where the UNets are (--with PATH)."
        )
    (role,) = found.roles
    return {role: _fitted(role, found.roles, None)}


def _prompt(roles: Mapping[str, Found], family: Family) -> tuple[Any, dict[str, Tensor]]:
    """The embedding of the empty prompt (N, D)."""
    network, state = _fitted("text_encoder", roles, family)
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    vocabulary, length = network.config.vocab_size, network.config.max_position_embeddings
    # CLIP's tokenizer on "": the start, then the end up to the full length; they are the last words of its vocabulary
    words = torch.tensor([[vocabulary - 2, *[vocabulary - 1] * (length - 1)]])
    with torch.no_grad():
        tokens = network.eval()(words).last_hidden_state[0]
    logger.info("cross-attention sees the empty prompt: %s tokens of %s", *tokens.shape)
    return ConstantToken(length=length, width=tokens.shape[1]), {"tokens": tokens}


def _untrained_guider(roles: Mapping[str, Found]) -> tuple[Any, dict[str, Tensor]]:
    """A pose guider that adds nothing yet; as in Moore-AnimateAnyone it starts from a ControlNet's, where there is one."""
    prefix, state = "controlnet_cond_embedding.", {}
    options: dict[str, Any] = {"out_channels": roles["denoiser"].part.state["conv_in.weight"].shape[0]}
    if "control_net" in roles:
        control = roles["control_net"].part.state
        options["block_out_channels"] = guider_widths(control, prefix)
        state = {key.removeprefix(prefix): value for key, value in control.items() if key.startswith(prefix)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        guider = PoseGuider(**options)
    return guider, guider.state_dict() | {key: value for key, value in state.items() if not key.startswith("conv_out.")}


def _pipeline(networks: Mapping[str, Any], family: Family, betas: Betas | None) -> Any:
    scheduler = DDIMScheduler(**{**family.scheduler, **({"beta_schedule": betas} if betas else {})})
    return AnimationPipeline(
        **networks,
        scheduler=scheduler,
        recipe=family.recipe,
        options=dict(family.options),
        size=family.size,
        defaults=family.sampling.stored(),
        styles={name: dict(style) for name, style in family.styles.items()},
    )
