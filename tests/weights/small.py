"""Small random weights of every public family, in its own files and names, with what lies beside them in real downloads."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.pose_guider import GuidanceEncoder, PoseGuider
from tests.tiny import randomise
from tests.weights import public

WIDTHS = (32, 32, 32, 32)
UNET = {"block_out_channels": WIDTHS, "cross_attention_dim": 32}
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 8, 8, 8], "layers_per_block": 1, "norm_num_groups": 4, "scaling_factor": 0.18215,
}  # fmt: skip


def save(state, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.clone().contiguous() for key, value in state.items()}
    (save_file if path.suffix == ".safetensors" else torch.save)(tensors, path)


def unet(seed: int, **config) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return randomise(Denoiser(**UNET, **config), seed).state_dict()


def still(state):
    return {key: value for key, value in state.items() if ".motion_modules." not in key}


def moving(state, max_frames: int):
    """Only the motion modules, in AnimateDiff's names, with encodings that are wrong on purpose: nobody may read them."""
    names = {
        ".attn1.": ".attention_blocks.0.",
        ".attn2.": ".attention_blocks.1.",
        ".norm1.": ".norms.0.",
        ".norm2.": ".norms.1.",
    }
    names |= {".norm3.": ".ff_norm."}
    renamed = {}
    for key, value in state.items():
        if ".motion_modules." not in key:
            continue
        place, _, rest = key.partition("transformer_blocks.")
        for ours, theirs in names.items():
            rest = rest.replace(ours, theirs)
        head, _, tail = (place + ("transformer_blocks." if rest else "")).partition(".motion_modules.")
        number, _, tail = tail.partition(".")
        renamed[f"{head}.motion_modules.{number}.temporal_transformer.{tail}{rest}"] = value
        if key.endswith("attn1.to_q.weight"):
            for k in range(2):
                encoding = (
                    f"{head}.motion_modules.{number}.temporal_transformer.transformer_blocks.0.attention_blocks.{k}."
                )
                renamed[f"{encoding}pos_encoder.pe"] = torch.full((1, max_frames, 32), 7.0)
    return renamed


def without(state, *prefixes: str):
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


TAIL = ("proj_out", *(f"transformer_blocks.0.{part}." for part in public.TAIL))
HEAD = ("conv_norm_out", "conv_out")
SHORT = tuple(f"up_blocks.3.attentions.2.{part}" for part in TAIL)


def autoencoder(folder: Path) -> None:
    torch.manual_seed(3)
    randomise(AutoencoderKL.from_config(VAE)).save_pretrained(folder)


def image_encoder(folder: Path) -> None:
    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=32
    )  # fmt: skip
    randomise(CLIPVisionModelWithProjection(config)).save_pretrained(folder, safe_serialization=True)


def text_encoder(folder: Path | None) -> CLIPTextModel:
    torch.manual_seed(5)
    config = CLIPTextConfig(
        vocab_size=50, hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=7
    )  # fmt: skip
    model = randomise(CLIPTextModel(config)).eval()
    if folder:
        model.save_pretrained(folder)
    return model


def control_net(**config) -> dict[str, torch.Tensor]:
    torch.manual_seed(6)
    net = ControlNet(**UNET, conditioning_embedding_out_channels=(4, 4, 8, 8), **config)
    return randomise(net).state_dict()


def animate_anyone(folder: Path, max_frames: int = 32) -> None:
    state = unet(0)
    save(still(state), folder / "denoising_unet.pth")
    save(without(still(unet(1)), *HEAD), folder / "reference_unet.pth")
    save(moving(state, max_frames), folder / "motion_module.pth")


def common(root: Path) -> None:
    autoencoder(root / "sd-vae-ft-mse")
    image_encoder(root / "image_encoder")


def moore_family(root: Path) -> None:
    animate_anyone(root)
    save(randomise(PoseGuider(out_channels=32, block_out_channels=(4, 4, 8, 8))).state_dict(), root / "pose_guider.pth")
    save(
        still(unet(9)), root / "stable-diffusion-v1-5" / "unet" / "diffusion_pytorch_model.bin"
    )  # what it started from
    common(root)


def musepose_family(root: Path) -> None:
    animate_anyone(root / "MusePose", 128)
    guider = randomise(PoseGuider(out_channels=32, block_out_channels=(4, 4, 8, 8))).state_dict()
    save(guider, root / "MusePose" / "pose_guider.pth")
    save(still(unet(9)), root / "sd-image-variations-diffusers" / "unet" / "diffusion_pytorch_model.bin")
    common(root)


def champ_family(root: Path) -> None:
    animate_anyone(root / "champ")
    for i, name in enumerate(("depth", "normal", "semantic_map", "dwpose")):
        torch.manual_seed(i)
        state = randomise(GuidanceEncoder(out_channels=32, block_out_channels=(16, 32, 32, 32))).state_dict()
        state = {key.replace("attention.", "attentions.5.", 1): value for key, value in state.items()}
        dead = {
            f"{where}.proj_in.weight": torch.zeros(1)
            for where in ("guidance_attention", "attentions.0", "attentions.4")
        }
        save(state | dead, root / "champ" / f"guidance_encoder_{name}.pth")
    common(root)


def magic_family(root: Path) -> None:
    home = root / "MagicAnimate"
    state = unet(0, motion_mid=False)
    whole = {f"module.{key}": value for key, value in (still(state) | moving(state, 24)).items()}
    (home / "temporal_attention").mkdir(parents=True)
    torch.save({"state_dict": whole, "global_step": 3}, home / "temporal_attention" / "temporal_attention.ckpt")
    save(without(still(unet(1)), *HEAD, *SHORT), home / "appearance_encoder" / "diffusion_pytorch_model.safetensors")
    save(control_net(), home / "densepose_controlnet" / "diffusion_pytorch_model.safetensors")
    sd15 = root / "stable-diffusion-v1-5"
    save(still(unet(9)), sd15 / "unet" / "diffusion_pytorch_model.bin")
    text_encoder(sd15 / "text_encoder")
    autoencoder(root / "sd-vae-ft-mse")
    autoencoder(sd15 / "vae")


def tcan_family(root: Path) -> None:
    state = unet(0, motion_mid=False)
    adapted = public.lora(still(state) | moving(state, 32), rank=2)
    torch.manual_seed(7)
    adapted |= {key: torch.randn_like(value) for key, value in adapted.items() if ".lora_" in key}
    save(adapted, root / "[UNet]_[Epoch=90]_[Iter=2500]_[loss=0.0321].ckpt")
    save(without(still(unet(1)), *HEAD, *SHORT), root / "[AppearanceEncoder]_[Epoch=9]_[Iter=8750]_[loss=0.1].ckpt")
    temporal = control_net(motion_levels=(2, 3))
    save(still(temporal) | moving(temporal, 32), root / "[ControlNetT]_[Epoch=90]_[Iter=2500]_[loss=0.0321].ckpt")
    text_encoder(root / "text_encoder")
    autoencoder(root / "vae")


def stable_diffusion_family(root: Path) -> None:
    """The single file of CompVis' names, with AnimateDiff v3 and an OpenPose ControlNet beside it."""
    torch.manual_seed(3)
    vae = randomise(AutoencoderKL.from_config(VAE)).state_dict()
    state = {f"model.diffusion_model.{key}": value for key, value in public.ldm_unet(still(unet(0))).items()}
    state |= {f"first_stage_model.{key}": value for key, value in public.ldm_vae(vae).items()}
    text = {
        f"text_model.{key.removeprefix('text_model.')}": value for key, value in text_encoder(None).state_dict().items()
    }
    state |= {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}
    save(state, root / "v1-5-pruned-emaonly.safetensors")
    image_encoder(root / "image_encoder")
    autoencoder(root / "sd-vae-ft-mse")  # of another size than Stable Diffusion's, which only a config.json can tell
    save(moving(unet(0, motion_mid=False), 32), root / "v3_sd15_mm.ckpt")
    save(
        {f"control_model.{k}": v for k, v in public.ldm_controlnet(control_net()).items()},
        root / "control_v11p_sd15_openpose.pth",
    )
