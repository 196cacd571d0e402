"""Public checkpoints for tests: every layout's keys made from our own or diffusers' networks by inverting its names."""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import PoseGuider

State = dict[str, Tensor]

WIDTHS = (320, 640, 1280, 1280)
TAIL = ("attn1", "norm2", "attn2", "norm3", "ff")


def meta(cls: type, *arguments: Any, **config: Any) -> State:
    """State of a network without its memory."""
    with init_empty_weights(include_buffers=True):
        return dict(cls(*arguments, **config).state_dict())


def sd15_unet() -> State:
    return meta(UNet2DConditionModel, cross_attention_dim=768, attention_head_dim=8)


def reference_unet() -> State:
    """Moore's: without the output head."""
    return {key: value for key, value in sd15_unet().items() if not key.startswith(("conv_norm_out", "conv_out"))}


def appearance_encoder() -> State:
    """MagicAnimate's: also without what follows the last norm1."""
    last = "up_blocks.3.attentions.2."
    dead = (f"{last}proj_out", *(f"{last}transformer_blocks.0.{part}." for part in TAIL))
    return {key: value for key, value in reference_unet().items() if not key.startswith(dead)}


def motion_modules(
    max_frames: int = 32, mid: bool = True, levels: tuple[int, ...] = (0, 1, 2, 3), up: bool = True
) -> State:
    """AnimateDiff's names, written down from its published keys (28 per module, of which 2 are positional encodings)."""
    places = [(f"down_blocks.{i}.motion_modules.{j}", WIDTHS[i]) for i in levels for j in range(2)]
    places += [("mid_block.motion_modules.0", 1280)] if mid else []
    places += [(f"up_blocks.{i}.motion_modules.{j}", WIDTHS[3 - i]) for i in levels for j in range(3)] if up else []
    state = {}
    for place, width in places:
        block = "transformer_blocks.0"
        shapes: dict[str, tuple[int, ...]] = {"norm.weight": (width,), "norm.bias": (width,)}
        shapes |= {f"{linear}.weight": (width, width) for linear in ("proj_in", "proj_out")}
        shapes |= {f"{linear}.bias": (width,) for linear in ("proj_in", "proj_out")}
        for k in range(2):
            attention = f"{block}.attention_blocks.{k}"
            shapes |= {
                f"{attention}.{linear}.weight": (width, width) for linear in ("to_q", "to_k", "to_v", "to_out.0")
            }
            shapes |= {f"{attention}.to_out.0.bias": (width,), f"{attention}.pos_encoder.pe": (1, max_frames, width)}
            shapes |= {f"{block}.norms.{k}.{kind}": (width,) for kind in ("weight", "bias")}
        shapes |= {f"{block}.ff.net.0.proj.weight": (8 * width, width), f"{block}.ff.net.0.proj.bias": (8 * width,)}
        shapes |= {f"{block}.ff.net.2.weight": (width, 4 * width), f"{block}.ff.net.2.bias": (width,)}
        shapes |= {f"{block}.ff_norm.{kind}": (width,) for kind in ("weight", "bias")}
        state |= {f"{place}.temporal_transformer.{key}": torch.empty(s, device="meta") for key, s in shapes.items()}
    return state


def pose_guider() -> State:
    return meta(PoseGuider)


def guidance_encoder() -> State:
    """Champ's: the convolutions, an attention behind each, and one more."""
    state = pose_guider()
    for place, width in [(f"attentions.{i}", w) for i, w in enumerate((16, 32, 32, 96, 96, 256))] + [
        ("guidance_attention", 256)
    ]:
        block = f"{place}.transformer_blocks.0"
        shapes = {f"{place}.norm.weight": (width,), f"{place}.norm.bias": (width,)}
        for name in ("proj_in", "proj_out"):
            shapes |= {f"{place}.{name}.weight": (width, width, 1, 1), f"{place}.{name}.bias": (width,)}
        shapes |= {f"{block}.attn1.{name}.weight": (width, width) for name in ("to_q", "to_k", "to_v", "to_out.0")}
        shapes |= {f"{block}.attn1.to_out.0.bias": (width,)}
        shapes |= {f"{block}.{norm}.{kind}": (width,) for norm in ("norm1", "norm3") for kind in ("weight", "bias")}
        shapes |= {f"{block}.ff.net.0.proj.weight": (8 * width, width), f"{block}.ff.net.0.proj.bias": (8 * width,)}
        shapes |= {f"{block}.ff.net.2.weight": (width, 4 * width), f"{block}.ff.net.2.bias": (width,)}
        state |= {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    return state


def controlnet() -> State:
    return meta(ControlNetModel, cross_attention_dim=768)


def vae() -> State:
    return meta(
        AutoencoderKL, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2,
    )  # fmt: skip


def old_vae() -> State:
    """As diffusers named the attention until 2023."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return _replaced(vae(), {f".attentions.0.{new}.": f".attentions.0.{name}." for new, name in old.items()})


def image_encoder() -> State:
    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14, projection_dim=768
    )  # fmt: skip
    return meta(CLIPVisionModelWithProjection, config) | {"vision_model.embeddings.position_ids": torch.zeros(1, 257)}


def text_encoder() -> State:
    config = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    return {
        f"text_model.{key.removeprefix('text_model.')}": value for key, value in meta(CLIPTextModel, config).items()
    }


def lora(unet: Mapping[str, Tensor], rank: int = 16) -> State:
    """TCAN's UNet as peft stores it: adapters on q, k and v of both attentions."""
    state = {}
    for key, value in unet.items():
        name, _, kind = key.rpartition(".")
        if ".motion_modules." in key or not name.endswith(tuple(f"attn{i}.to_{x}" for i in (1, 2) for x in "qkv")):
            state[key] = value
            continue
        state[f"{name}.base_layer.{kind}"] = value
        state[f"{name}.lora_A.default.weight"] = value.new_empty(rank, value.shape[1])
        state[f"{name}.lora_B.default.weight"] = value.new_empty(value.shape[0], rank)
    return state


def ldm_unet(state: Mapping[str, Tensor]) -> State:
    """CompVis' names: blocks are numbered through, a downsampler is a block of its own, an upsampler the end of one."""

    def name(key: str) -> str:
        where, _, rest = key.partition(".")
        if where not in ("down_blocks", "mid_block", "up_blocks"):
            heads = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
            return key.replace("time_embedding.linear_1", "time_embed.0").replace("time_embedding.linear_2", "time_embed.2") \
                if where == "time_embedding" else key.replace(where, heads.get(where, where), 1)  # fmt: skip
        if where == "mid_block":
            kind, index, rest = rest.split(".", 2)
            return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}.{_ldm_resnet(rest)}"
        level, kind, index, rest = rest.split(".", 3)
        if where == "down_blocks":
            if kind == "downsamplers":
                return f"input_blocks.{3 * int(level) + 3}.0.op.{rest.removeprefix('conv.')}"
            return f"input_blocks.{3 * int(level) + 1 + int(index)}.{int(kind == 'attentions')}.{_ldm_resnet(rest)}"
        if kind == "upsamplers":
            return f"output_blocks.{3 * int(level) + 2}.{1 if level == '0' else 2}.{rest}"
        return f"output_blocks.{3 * int(level) + int(index)}.{int(kind == 'attentions')}.{_ldm_resnet(rest)}"

    return {name(key): value for key, value in state.items()}


def ldm_controlnet(state: Mapping[str, Tensor]) -> State:
    def name(key: str) -> str:
        if key.startswith("controlnet_cond_embedding."):
            layer, kind = key.removeprefix("controlnet_cond_embedding.").rsplit(".", 1)
            number = {"conv_in": 0, "conv_out": 14}.get(
                layer, 2 + 2 * int(layer.rpartition(".")[2] or 0) if "." in layer else 0
            )
            return f"input_hint_block.{number}.{kind}"
        if key.startswith("controlnet_down_blocks."):
            number, kind = key.split(".")[1:]
            return f"zero_convs.{number}.0.{kind}"
        return key.replace("controlnet_mid_block.", "middle_block_out.0.") if "controlnet_mid" in key else key

    own = {key: value for key, value in state.items() if key.startswith("controlnet_")}
    unet = {key: value for key, value in state.items() if key not in own}
    return {name(key): value for key, value in own.items()} | ldm_unet(unet)


def ldm_vae(state: Mapping[str, Tensor]) -> State:
    """CompVis' names; its attention is made of 1x1 convolutions."""
    renamed = {}
    for key, value in state.items():
        if ".mid_block.attentions.0." in key:
            for new, old in {
                "group_norm": "norm",
                "to_q": "q",
                "to_k": "k",
                "to_v": "v",
                "to_out.0": "proj_out",
            }.items():
                if f".attentions.0.{new}." in key:
                    renamed[key.replace(f"mid_block.attentions.0.{new}", f"mid.attn_1.{old}")] = (
                        value[:, :, None, None] if value.ndim == 2 else value
                    )
            continue
        key = key.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        for i in range(4):
            key = key.replace(f"down_blocks.{i}.resnets", f"down.{i}.block")
            key = key.replace(f"down_blocks.{i}.downsamplers.0", f"down.{i}.downsample")
            key = key.replace(f"up_blocks.{i}.resnets", f"UP.{3 - i}.block")
            key = key.replace(f"up_blocks.{i}.upsamplers.0", f"UP.{3 - i}.upsample")
        renamed[key.replace("UP.", "up.")] = value
    return renamed


def stable_diffusion_file() -> State:
    """The single file: UNet, autoencoder, text encoder, and what training left behind."""
    state = {f"model.diffusion_model.{key}": value for key, value in ldm_unet(sd15_unet()).items()}
    state |= {f"first_stage_model.{key}": value for key, value in ldm_vae(vae()).items()}
    state |= {f"cond_stage_model.transformer.{key}": value for key, value in text_encoder().items()}
    state |= {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.zeros(1, 77)}
    state |= {
        key: torch.zeros(1000) for key in ("betas", "alphas_cumprod", "sqrt_alphas_cumprod", "posterior_variance")
    }
    return state | {"model_ema.decay": torch.zeros(()), "model_ema.num_updates": torch.zeros(())}


def diffusers_motion_adapter(mid: bool = True) -> State:
    """What diffusers makes of the motion modules; its positional encodings are one per block."""
    net = meta(Denoiser, motion_mid=mid)
    state = {key: value for key, value in net.items() if ".motion_modules." in key}
    norms = [key for key in state if key.endswith("transformer_blocks.0.norm1.weight")]
    return state | {key.replace("norm1.weight", "pos_embed.pe"): torch.zeros(1, 24, len(state[key])) for key in norms}


def _ldm_resnet(rest: str) -> str:
    names = {
        "norm1.": "in_layers.0.", "conv1.": "in_layers.2.", "time_emb_proj.": "emb_layers.1.", "norm2.": "out_layers.0.",
        "conv2.": "out_layers.3.", "conv_shortcut.": "skip_connection.",
    }  # fmt: skip
    return next((old + rest.removeprefix(new) for new, old in names.items() if rest.startswith(new)), rest)


def _replaced(state: Mapping[str, Tensor], names: Mapping[str, str]) -> State:
    renamed = {}
    for key, value in state.items():
        for new, old in names.items():
            key = key.replace(new, old)
        renamed[key] = value
    return renamed
