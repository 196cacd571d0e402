"""How public checkpoints name their tensors, as data: what tells a layout, how its names become ours, what nobody needs.

Facts: the public code of each family and the measured keys of its files. Our names are diffusers' (`UNet2DConditionModel`,
`MotionAdapter`, `AutoencoderKL`, `ControlNetModel`) and transformers' (CLIP). Positional encodings are recomputed, never copied.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from bunraku.errors import BunrakuError

Rules = tuple[tuple[str, str], ...]
"""Regular expressions and what they become, applied in order to every key."""


@dataclass(frozen=True)
class Layout:
    """One way to name the tensors of one network.

    Attributes:
        name: what `bunraku models info` calls it.
        part: the network that its tensors are for.
        marks: keys; the layout is recognised where all of them are there.
        rename: rules from its names to ours.
        drop: patterns (as of a shell) of its keys that are recomputed, or that its own code never reads.
    """

    name: str
    part: str
    marks: tuple[str, ...]
    rename: Rules = ()
    drop: tuple[str, ...] = ()


MOTION: Rules = (
    (r"\.temporal_transformer\.", "."),
    (r"\.attention_blocks\.0\.", ".attn1."),
    (r"\.attention_blocks\.1\.", ".attn2."),
    (r"\.norms\.0\.", ".norm1."),
    (r"\.norms\.1\.", ".norm2."),
    (r"\.ff_norm\.", ".norm3."),
)
POSITIONS = ("*.pos_encoder.pe", "*.pos_embed.pe")

LDM_RESNET: Rules = (
    (r"\.in_layers\.0\.", ".norm1."), (r"\.in_layers\.2\.", ".conv1."), (r"\.emb_layers\.1\.", ".time_emb_proj."),
    (r"\.out_layers\.0\.", ".norm2."), (r"\.out_layers\.3\.", ".conv2."), (r"\.skip_connection\.", ".conv_shortcut."),
)  # fmt: skip


def _ldm_unet() -> Rules:
    """CompVis' numbering of the UNet's blocks, 4 levels of 2 layers (3 on the way up)."""
    rules = [
        (r"^time_embed\.0\.", "time_embedding.linear_1."), (r"^time_embed\.2\.", "time_embedding.linear_2."),
        (r"^input_blocks\.0\.0\.", "conv_in."), (r"^out\.0\.", "conv_norm_out."), (r"^out\.2\.", "conv_out."),
        (r"^middle_block\.0\.", "mid_block.resnets.0."), (r"^middle_block\.1\.", "mid_block.attentions.0."),
        (r"^middle_block\.2\.", "mid_block.resnets.1."),
    ]  # fmt: skip
    for level in range(4):
        for layer in range(2):
            block = rf"^input_blocks\.{1 + 3 * level + layer}\."
            rules.append((block + r"0\.", f"down_blocks.{level}.resnets.{layer}."))
            rules.append((block + r"1\.", f"down_blocks.{level}.attentions.{layer}."))
        rules.append((rf"^input_blocks\.{3 + 3 * level}\.0\.op\.", f"down_blocks.{level}.downsamplers.0.conv."))
        for layer in range(3):
            block = rf"^output_blocks\.{3 * level + layer}\."
            rules.append((block + r"[12]\.conv\.", f"up_blocks.{level}.upsamplers.0.conv."))
            rules.append((block + r"0\.", f"up_blocks.{level}.resnets.{layer}."))
            rules.append((block + r"1\.", f"up_blocks.{level}.attentions.{layer}."))
    return (*rules, *LDM_RESNET)


def _ldm_control() -> Rules:
    """ControlNet's own names beside those of the UNet: the hint's convolutions are every second layer."""
    rules = [(r"^input_hint_block\.0\.", "controlnet_cond_embedding.conv_in.")]
    rules += [(rf"^input_hint_block\.{2 + 2 * i}\.", f"controlnet_cond_embedding.blocks.{i}.") for i in range(6)]
    rules += [(r"^input_hint_block\.14\.", "controlnet_cond_embedding.conv_out.")]
    return (
        *rules, (r"^zero_convs\.(\d+)\.0\.", r"controlnet_down_blocks.\1."),
        (r"^middle_block_out\.0\.", "controlnet_mid_block."),
    )  # fmt: skip


def _ldm_vae() -> Rules:
    rules = [
        (r"\.norm_out\.", ".conv_norm_out."), (r"\.nin_shortcut\.", ".conv_shortcut."),
        (r"\.mid\.block_1\.", ".mid_block.resnets.0."), (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
        (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
        (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
        (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
        (r"^encoder\.down\.(\d)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
        (r"^encoder\.down\.(\d)\.block\.", r"encoder.down_blocks.\1.resnets."),
    ]  # fmt: skip
    for level in range(4):  # its decoder counts the levels from the highest resolution
        rules.append((rf"^decoder\.up\.{level}\.upsample\.", f"decoder.up_blocks.{3 - level}.upsamplers.0."))
        rules.append((rf"^decoder\.up\.{level}\.block\.", f"decoder.up_blocks.{3 - level}.resnets."))
    return tuple(rules)


OLD_ATTENTION: Rules = (
    (r"\.attentions\.0\.query\.", ".attentions.0.to_q."), (r"\.attentions\.0\.key\.", ".attentions.0.to_k."),
    (r"\.attentions\.0\.value\.", ".attentions.0.to_v."), (r"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out.0."),
)  # fmt: skip

DEAD_GUIDANCE = ("guidance_attention.*", *(f"attentions.{i}.*" for i in range(5)))

FIRST_ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1."

LAYOUTS = (
    Layout("ControlNet, original", "control_net", ("zero_convs.0.0.weight",), (*_ldm_control(), *_ldm_unet())),
    Layout(
        "ControlNet, diffusers", "control_net", ("controlnet_cond_embedding.conv_in.weight",), MOTION, POSITIONS
    ),
    Layout("Stable Diffusion UNet, original", "unet", ("input_blocks.0.0.weight",), _ldm_unet()),
    Layout("UNet with LoRA, peft", "unet", (f"{FIRST_ATTENTION}to_q.base_layer.weight",), MOTION, POSITIONS),
    Layout("UNet, diffusers", "unet", ("conv_in.weight", f"{FIRST_ATTENTION}to_q.weight"), MOTION, POSITIONS),
    Layout("AnimateDiff motion module, original", "motion", (
        "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight",
    ), MOTION, POSITIONS),
    Layout("AnimateDiff motion module, diffusers", "motion", (
        "down_blocks.0.motion_modules.0.proj_in.weight",
    ), (), POSITIONS),
    Layout("Champ guidance encoder", "guidance_encoder", ("conv_in.weight", "guidance_attention.proj_in.weight"), (
        (r"^attentions\.5\.", "attention."),
    ), DEAD_GUIDANCE),
    Layout("pose guider", "pose_guider", ("conv_in.weight", "blocks.5.weight", "conv_out.weight")),
    Layout("autoencoder, original", "vae", ("encoder.down.0.block.0.conv1.weight",), _ldm_vae(), ("loss.*", "model_ema.*")),
    Layout("autoencoder, diffusers", "vae", ("encoder.down_blocks.0.resnets.0.conv1.weight",), OLD_ATTENTION),
    Layout("CLIP image encoder", "image_encoder", (
        "vision_model.embeddings.patch_embedding.weight", "visual_projection.weight",
    ), (), ("*.position_ids", "text_model.*", "text_projection.*", "logit_scale")),
    Layout("CLIP text encoder", "text_encoder", ("text_model.embeddings.token_embedding.weight",), (
        (r"^text_model\.", ""),
    ), ("*.position_ids",)),
    Layout("CLIP text encoder, transformers 5", "text_encoder", ("embeddings.token_embedding.weight",)),
)  # fmt: skip
"""Tried in order; the first whose marks are all there is taken."""

SECTIONS = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.", "control_model.")
"""Networks inside one original Stable Diffusion file."""

TRAINING_ONLY = (
    "model_ema.*",
    "*alphas_cumprod*",
    "betas",
    "posterior_*",
    "logvar",
    "lvlb_weights",
    "cond_stage_model.*",
)
"""What else lies in such a file; the last is the text encoder's tokenizer and position buffer."""

WRAPPERS = ("module.", "unet.")
"""Prefixes that trainers put before every key."""


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint, in our names.

    Attributes:
        name: of the network: unet, motion, pose_guider, guidance_encoder, vae, image_encoder, text_encoder, control_net.
        layout: the name of the layout it had.
        state: tensors by our names; a positional encoding is not among them.
        max_frames: length of the motion modules' positional encodings, None where there are none.
    """

    name: str
    layout: str
    state: Mapping[str, Tensor]
    max_frames: int | None = None


class UnknownLayout(BunrakuError):
    """Tensors that are for no network that bunraku has."""


def read_parts(state: Mapping[str, Tensor], source: str) -> list[Part]:
    """The networks in the tensors of one file, renamed; motion modules apart from the UNet that they were stored with.

    Args:
        source: what messages call the file.

    Raises:
        UnknownLayout: no layout that is known.
    """
    parts: list[Part] = []
    for section in _sections(state):
        layout = next((known for known in LAYOUTS if all(mark in section for mark in known.marks)), None)
        if layout is None:
            shown = ", ".join(list(section)[:3])
            raise UnknownLayout(
                f"{source} has no layout that bunraku knows; it holds {len(section)} tensors: {shown} ..."
            )
        encodings = {value.shape[1] for key, value in section.items() if _is(key, POSITIONS) and value.ndim == 3}
        frames = max(encodings, default=None)
        renamed = {_renamed(key, layout.rename): value for key, value in section.items() if not _is(key, layout.drop)}
        if layout.part == "vae":
            renamed = {key: _linear(key, value) for key, value in renamed.items()}
        merged = _merge_lora(renamed)
        if layout.part == "unet" and (motion := {k: v for k, v in merged.items() if ".motion_modules." in k}):
            parts.append(Part("motion", layout.name, motion, frames))
            merged = {key: value for key, value in merged.items() if key not in motion}
        parts.append(
            Part(layout.part, layout.name, merged, frames if layout.part in ("motion", "control_net") else None)
        )
    return parts


def _sections(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The networks of an original Stable Diffusion file each by itself, or the one that the state is; without wrappers."""
    found = {
        prefix: {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)} for prefix in SECTIONS
    }
    if sections := [section for section in found.values() if section]:
        left = [k for k in state if not k.startswith(SECTIONS) and not _is(k, TRAINING_ONLY)]
        return [*sections, *([{key: state[key] for key in left}] if left else [])]
    unwrapped = dict(state)
    for prefix in WRAPPERS:
        unwrapped = {key.removeprefix(prefix): value for key, value in unwrapped.items()}
    return [unwrapped]


def _merge_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """peft's `base_layer`, `lora_A` and `lora_B` -> the weight that they add up to: W + B A (its scale alpha / rank is 1 in
    TCAN, and is stored nowhere)."""
    merged = dict(state)
    for key in state:
        name, base, kind = key.partition(".base_layer.")
        if not base:
            continue
        value = merged.pop(key)
        down, up = (merged.pop(f"{name}.lora_{side}.default.weight", None) for side in "AB")
        if kind == "weight" and down is not None and up is not None:
            value = (value.float() + up.float() @ down.float()).to(value.dtype)
        merged[f"{name}.{kind}"] = value
    return merged


def _linear(key: str, value: Tensor) -> Tensor:
    """The autoencoder's attention was once made of 1x1 convolutions."""
    return value.flatten(1) if ".attentions." in key and value.ndim == 4 else value


def _renamed(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _is(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
