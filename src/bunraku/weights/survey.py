"""What lies in a file or folder of weights: the networks, whose they are, and how each fits ours. Nothing is copied or run."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import init_empty_weights
from torch import Tensor, nn

from bunraku.errors import BunrakuError
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import GuidanceEncoder, PoseGuider
from bunraku.nets.reference_net import ReferenceNet
from bunraku.weights.families import Family, family_of
from bunraku.weights.layouts import POSITIONS, Part, UnknownLayout, read_parts
from bunraku.weights.states import SUFFIXES, Comparison, compare, read_json, read_state, weight_files

logger = logging.getLogger(__name__)

DEPTH = 3
BASE_MODELS = ("stable-diffusion", "sd-image-variations", "sd15", "sd-v1")
"""Names of folders whose UNet is what a family started from; that is never taken for the family's own."""

SD15_HEADS, SD15_GROUPS = 8, 32
SD_VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
HEAD = ("conv_norm_out.", "conv_out.")
TAIL = ("proj_out.", *(f"transformer_blocks.0.{part}." for part in ("attn1", "norm2", "attn2", "norm3", "ff")))
"""A ReferenceNet ends with the first norm of its last attention; a complete UNet goes on."""

COMPONENT = ("diffusion_pytorch_model", "pytorch_model", "model.")
"""How the file of a network is called in diffusers' and transformers' layout."""


@dataclass(frozen=True)
class Found:
    """A network that was found.

    Attributes:
        path: file, or folder where it lies in several.
        part: its tensors by our names.
        config: what a config.json beside it says, or NAME.json beside NAME.pth.
        source: number of the place that was searched.
        base: whether it lies in a folder of `BASE_MODELS`.
    """

    path: Path
    part: Part
    config: Mapping[str, Any]
    source: int = 0
    base: bool = False

    @property
    def parameters(self) -> int:
        return sum(value.numel() for value in self.part.state.values())


@dataclass(frozen=True)
class Survey:
    """Everything that was found.

    Attributes:
        roles: by name: denoiser (without motion modules), motion, reference_net, pose_guider, guidance_encoder, control_net,
            image_encoder, text_encoder, vae.
        family: whose weights these are; None: too little for a model.
        unused: files that are not needed, with the reason.
        unread: files that cannot be read, with the reason; the missing networks may be in them.
    """

    roles: dict[str, Found]
    family: Family | None
    unused: dict[Path, str]
    unread: dict[Path, str]

    @property
    def missing(self) -> list[str]:
        """What the family needs and is not there; motion modules may be stored with the denoiser."""
        needs = self.family.needs if self.family else ()
        found = self.roles.keys() | ({"pose_guider"} if "guidance_encoder" in self.roles else set())
        return [name for name in needs if name not in found]


def survey(*sources: str | Path) -> Survey:
    """Look at files and folders; what lies in a later place is taken only where nothing earlier serves.

    Raises:
        BunrakuError: no such place, nothing in it that is known, a file that was named but cannot be read, or two networks
            for one purpose.
    """
    found: dict[str, list[Found]] = {}
    unused: dict[Path, str] = {}
    unread: dict[Path, str] = {}
    for number, source in enumerate(sources):
        source = Path(source).expanduser()
        if not (source.is_file() or source.is_dir()):
            raise BunrakuError(f"There is no file or folder {source}.")
        for files in _groups(source):
            path = files[0] if len(files) == 1 else files[0].parent
            try:
                state = {key: value for file in files for key, value in read_state(file).items()}
                parts = read_parts(state, str(path))
                config = _config(path) if len({part.name for part in parts} - {"motion"}) <= 1 else {}
                trail = str(path.relative_to(source.parent).parent).lower()
                base = "denois" not in path.name and any(name in trail for name in BASE_MODELS)
                for part in parts:
                    found.setdefault(_role(part), []).append(Found(path, part, config, number, base))
            except BunrakuError as error:
                if source.is_file():
                    raise
                (unused if isinstance(error, UnknownLayout) else unread)[path] = str(error)
    roles = {role: _chosen(role, candidates, unused) for role, candidates in found.items()}
    if not roles:
        reasons = "".join(f"\n  {reason}" for reason in (unread | unused).values())
        raise BunrakuError(f"There are no weights that bunraku knows in {', '.join(map(str, sources))}.{reasons}")
    family = family_of(roles)
    if family is not None and family.own_denoiser and (denoiser := roles.get("denoiser")) and denoiser.base:
        unused[denoiser.path] = f"this is what {family.about} started from, not its own denoiser"
        del roles["denoiser"]
    return Survey(roles, family, unused, unread)


def fit(
    role: str, found: Mapping[str, Found], family: Family | None = None
) -> tuple[Any, dict[str, Tensor], Comparison]:
    """The network of a role, on the meta device, the tensors that it takes, and how they compare.

    Args:
        role: as in `Survey.roles`; "denoiser" takes the motion modules as well.
        family: whose settings it gets.
    """
    part = found[role].part
    state: dict[str, Tensor] = dict(part.state)
    with init_empty_weights(include_buffers=False):
        network: Any = _network(role, found, family)
    if role == "denoiser" and "motion" in found:
        state |= found["motion"].part.state
    if role == "reference_net":
        last = f"up_blocks.{len(network.up_blocks) - 1}.attentions.{len(network.up_blocks[-1].attentions) - 1}."
        dead = (*HEAD, *(last + part for part in TAIL))
        state = {key: value for key, value in state.items() if not key.startswith(dead)}
    return network, state, compare(network.state_dict(), state, POSITIONS)


def _network(role: str, found: Mapping[str, Found], family: Family | None) -> nn.Module:
    state, config = found[role].part.state, found[role].config
    match role:
        case "denoiser":
            motion = found.get("motion")
            return Denoiser(
                **_unet_config(state, config), out_channels=state["conv_out.weight"].shape[0], motion=motion is not None,
                motion_max_seq_length=motion_frames(motion), motion_mid=motion is None or _has_mid(motion),
                pooled_norms=(family is not None and family.pooled_norms) or _is_animatediff_v1(motion),
            )  # fmt: skip
        case "reference_net":
            blocks = family.reference_blocks if family else "full"
            return ReferenceNet(**_unet_config(state, config), reference_blocks=blocks)
        case "control_net":
            widths = guider_widths(state, "controlnet_cond_embedding.")
            levels = [i for i in range(len(_widths(state))) if f"down_blocks.{i}.motion_modules.0.norm.weight" in state]
            return ControlNet(
                **_unet_config(state, config), conditioning_embedding_out_channels=widths, motion_levels=levels,
                motion_mid="mid_block.motion_modules.0.norm.weight" in state,
                motion_max_seq_length=motion_frames(found[role]),
                # the still ControlNet is of two dimensions: nothing is pooled there
                pooled_norms=bool(levels) and family is not None and family.pooled_norms,
            )  # fmt: skip
        case "motion":
            from diffusers import MotionAdapter

            return MotionAdapter(
                block_out_channels=_widths(state, "motion_modules.0.norm.weight"), use_motion_mid_block=_has_mid(found[role]),
                motion_max_seq_length=motion_frames(found[role]),
            )  # fmt: skip
        case "pose_guider":
            return PoseGuider(out_channels=state["conv_out.weight"].shape[0], block_out_channels=guider_widths(state))
        case "guidance_encoder":
            return GuidanceEncoder(
                out_channels=state["conv_out.weight"].shape[0], block_out_channels=guider_widths(state)
            )
        case "vae":
            from diffusers import AutoencoderKL

            return AutoencoderKL.from_config(config or SD_VAE)
        case "image_encoder":
            from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

            return CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(config or _vision_config(state)))
        case "text_encoder":
            from transformers import CLIPTextConfig, CLIPTextModel

            return CLIPTextModel(CLIPTextConfig.from_dict(config or _text_config(state)))
    raise ValueError(role)


def _unet_config(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes are read off the tensors; what they do not tell, heads and groups, is the config's, or SD1.5's."""
    widths = _widths(state)
    return {
        "in_channels": state["conv_in.weight"].shape[1],
        "block_out_channels": widths,
        "layers_per_block": sum(
            key.endswith("conv1.weight") for key in state if key.startswith("down_blocks.0.resnets.")
        ),
        "attention_levels": [f"down_blocks.{i}.attentions.0.norm.weight" in state for i in range(len(widths))],
        "cross_attention_dim": state["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape[1],
        # diffusers' attention_head_dim was meant to be a width and is the number of heads
        "num_attention_heads": config.get("num_attention_heads") or config.get("attention_head_dim") or SD15_HEADS,
        "norm_num_groups": config.get("norm_num_groups") or SD15_GROUPS,
    }


def _widths(state: Mapping[str, Tensor], key: str = "resnets.0.conv1.weight") -> list[int]:
    """Width of each level."""
    widths: list[int] = []
    while (name := f"down_blocks.{len(widths)}.{key}") in state:
        widths.append(state[name].shape[0])
    return widths


def guider_widths(state: Mapping[str, Tensor], prefix: str = "") -> list[int]:
    """`block_out_channels` of a pose guider, whose keys start with `prefix`."""
    return [state[f"{prefix}{layer}.weight"].shape[0] for layer in ("conv_in", "blocks.1", "blocks.3", "blocks.5")]


def _vision_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    prefix = "vision_model."
    patches = state[f"{prefix}embeddings.patch_embedding.weight"]
    side = math.isqrt(state[f"{prefix}embeddings.position_embedding.weight"].shape[0] - 1)
    return _clip_config(state, prefix) | {
        "patch_size": patches.shape[-1], "image_size": side * patches.shape[-1],
        "projection_dim": state["visual_projection.weight"].shape[0],
    }  # fmt: skip


def _text_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return _clip_config(state, "") | {
        "vocab_size": state["embeddings.token_embedding.weight"].shape[0],
        "max_position_embeddings": state["embeddings.position_embedding.weight"].shape[0],
    }


def _clip_config(state: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """CLIP's heads are 64 wide."""
    feed_forward = state[f"{prefix}encoder.layers.0.mlp.fc1.weight"]
    layers = sum(key.endswith(".mlp.fc1.weight") for key in state)
    return {
        "hidden_size": feed_forward.shape[1], "intermediate_size": feed_forward.shape[0], "num_hidden_layers": layers,
        "num_attention_heads": max(1, feed_forward.shape[1] // 64),
    }  # fmt: skip


def motion_frames(motion: Found | None) -> int:
    """The longest window that motion modules know: as long as their positional encodings; 32 where nothing tells."""
    return 32 if motion is None else motion.config.get("motion_max_seq_length") or motion.part.max_frames or 32


def _has_mid(motion: Found) -> bool:
    return any(key.startswith("mid_block.") for key in motion.part.state)


def _is_animatediff_v1(motion: Found | None) -> bool:
    """Of AnimateDiff's versions v1 alone knows 24 frames, and alone was trained with norms over all frames."""
    return motion is not None and not _has_mid(motion) and motion_frames(motion) == 24


def _groups(source: Path, depth: int = DEPTH) -> Iterator[list[Path]]:
    """Files of one network each; where a folder has one network in several formats, the safest and most exact of them."""
    if source.is_file():
        yield [source]
        return
    if (source / "model_index.json").is_file():  # single files beside it hold the same weights in another layout
        folders = [
            source / name for name, entry in read_json(source / "model_index.json").items() if isinstance(entry, list)
        ]
    else:
        yield from _in_directory(source)
        folders = [folder for folder in sorted(source.iterdir()) if not folder.name.startswith(".")]
    for folder in folders if depth else ():
        if folder.is_dir():
            yield from _groups(folder, depth - 1)


def _in_directory(directory: Path) -> Iterator[list[Path]]:
    files = [path for path in sorted(directory.iterdir()) if path.is_file() and path.suffix in SUFFIXES]
    component = [path for path in files if path.name.startswith(COMPONENT)]
    if component:
        try:
            yield weight_files(directory)
        except BunrakuError:  # no safetensors
            yield [min(component, key=lambda path: ("non_ema" in path.name, ".fp16" in path.name, path.name))]
    others = [path for path in files if path not in component]
    stems = {path.stem for path in others if path.suffix == ".safetensors"}
    yield from ([path] for path in others if path.suffix == ".safetensors" or path.stem not in stems)


def _config(path: Path) -> dict[str, Any]:
    """Of a network in diffusers' or transformers' layout its config.json; NAME.json beside any other NAME.pth."""
    named = path / "config.json" if path.is_dir() else path.with_suffix(".json")
    if path.name.startswith(COMPONENT):
        named = path.parent / "config.json"
    return read_json(named) if named.is_file() else {}


def _role(part: Part) -> str:
    if part.name == "unet":
        return "denoiser" if "conv_out.weight" in part.state else "reference_net"
    return part.name


def _chosen(role: str, candidates: Sequence[Found], unused: dict[Path, str]) -> Found:
    """The one of several candidates that the family's own code would take."""
    if role == "guidance_encoder":  # Champ has four; poses are what bunraku draws
        others = [found for found in candidates if "dwpose" not in found.path.name]
        unused.update(
            {found.path: "its pictures (rendered from SMPL) are nothing that bunraku makes" for found in others}
        )
        candidates = [found for found in candidates if found not in others] or candidates

    def rank(found: Found) -> tuple[int, bool, bool, int]:
        own = {"denoiser": "denois", "motion": "motion", "vae": "ft-mse", "reference_net": "reference"}.get(role, "")
        return -found.source, not found.base, own in str(found.path).lower(), -len(found.path.parts)

    ordered = sorted(candidates, key=rank)
    best = [found for found in ordered if rank(found) == rank(ordered[-1])]
    if len(best) > 1:
        names = " and ".join(str(found.path) for found in best)
        raise BunrakuError(
            f"There are {len(best)} candidates for the {role}: {names}. Name the file or folder of one model."
        )
    for found in ordered[:-1]:
        unused.setdefault(found.path, f"{best[0].path} is taken as the {role}")
    return best[0]
