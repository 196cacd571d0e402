"""Every public layout at the full size of Stable Diffusion 1.5, on the meta device: keys, shapes, counts, nothing left over."""

import re
from pathlib import Path

import pytest
import torch

from bunraku.recipes import get_recipe
from bunraku.training.run import copy_weights
from bunraku.weights.families import FAMILIES, STARTS
from bunraku.weights.layouts import UnknownLayout, read_parts
from bunraku.weights.survey import Found, fit
from tests.weights import public


def named(part, config=None, source="x"):
    return Found(Path(source), part, config or {}, 0)


def parameters(state):
    return sum(value.numel() for key, value in state.items() if not key.endswith((".pe", "position_ids")))


UNET = {"unet": (686, 859_520_964)}
MOTION = {"motion": (546, 453_209_280)}
SMALLER_MOTION = {"motion": (520, 417_137_600)}
WHOLE = UNET | SMALLER_MOTION

LAYOUTS = {
    # name: state, its keys in all, parts with their keys and parameters, the layout's name
    "Moore denoising_unet, SD1.5 unet": (public.sd15_unet, 686, UNET, "UNet, diffusers"),
    "Moore reference_unet": (public.reference_unet, 682, {"unet": (682, 859_508_800)}, "UNet, diffusers"),
    "MagicAnimate appearance_encoder": (public.appearance_encoder, 662, {"unet": (662, 857_066_560)}, "UNet, diffusers"),
    "Moore motion_module": (public.motion_modules, 588, MOTION, "AnimateDiff motion module, original"),
    "MusePose motion_module": (lambda: public.motion_modules(128), 588, MOTION, "AnimateDiff motion module, original"),
    "AnimateDiff v1": (lambda: public.motion_modules(24, mid=False), 560, SMALLER_MOTION, "AnimateDiff motion module, original"),
    "AnimateDiff v3": (lambda: public.motion_modules(mid=False), 560, SMALLER_MOTION, "AnimateDiff motion module, original"),
    "AnimateDiff v2, MotionAdapter": (
        public.diffusers_motion_adapter, 567, MOTION, "AnimateDiff motion module, diffusers"
    ),
    "MagicAnimate temporal_attention": (
        lambda: {f"module.{k}": v for k, v in (public.sd15_unet() | public.motion_modules(24, mid=False)).items()},
        686 + 560, WHOLE, "UNet, diffusers",
    ),
    "TCAN UNet": (
        lambda: public.lora(public.sd15_unet() | public.motion_modules(mid=False)), 686 + 560 + 2 * 96, WHOLE, "UNet with LoRA, peft"
    ),
    "TCAN ControlNet3D": (
        lambda: public.controlnet() | public.motion_modules(mid=False, levels=(2, 3), up=False), 340 + 4 * 28,
        {"control_net": (340 + 4 * 26, 505_565_840)}, "ControlNet, diffusers",
    ),
    "pose guider": (public.pose_guider, 16, {"pose_guider": (16, 1_086_480)}, "pose guider"),
    "Champ guidance encoder": (public.guidance_encoder, 149, {"guidance_encoder": (35, 2_270_736)}, "Champ guidance encoder"),
    "ControlNet OpenPose, diffusers": (public.controlnet, 340, {"control_net": (340, 361_279_120)}, "ControlNet, diffusers"),
    "ControlNet OpenPose v1.1, original": (
        lambda: {f"control_model.{k}": v for k, v in public.ldm_controlnet(public.controlnet()).items()}, 340,
        {"control_net": (340, 361_279_120)}, "ControlNet, original",
    ),
    "ControlNet OpenPose v1.0, original": (
        lambda: public.stable_diffusion_file() | {f"control_model.{k}": v for k, v in public.ldm_controlnet(public.controlnet()).items()},
        1131 + 6 + 340, UNET | {"vae": (248, 83_653_863), "text_encoder": (196, 123_060_480), "control_net": (340, 361_279_120)}, None,
    ),
    "SD1.5, single file": (
        public.stable_diffusion_file, 1131 + 6, UNET | {"vae": (248, 83_653_863), "text_encoder": (196, 123_060_480)}, None
    ),
    "sd-vae-ft-mse": (public.vae, 248, {"vae": (248, 83_653_863)}, "autoencoder, diffusers"),
    "sd-vae-ft-mse, old names": (public.old_vae, 248, {"vae": (248, 83_653_863)}, "autoencoder, diffusers"),
    "sd-vae-ft-mse, original": (lambda: public.ldm_vae(public.vae()), 248, {"vae": (248, 83_653_863)}, "autoencoder, original"),
    "sd-image-variations image_encoder": (public.image_encoder, 393, {"image_encoder": (392, 303_966_208)}, "CLIP image encoder"),
    "SD1.5 text_encoder": (public.text_encoder, 196, {"text_encoder": (196, 123_060_480)}, "CLIP text encoder"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_fits_our_networks(layout):
    make, keys, expected, name = LAYOUTS[layout]
    state = make()
    assert len(state) == keys
    parts = {part.name: part for part in read_parts(state, layout)}
    assert {part: len(found.state) for part, found in parts.items()} == {part: n for part, (n, _) in expected.items()}
    for part, (_, count) in expected.items():
        assert parameters(parts[part].state) == count
        assert all(value.is_meta for value in parts[part].state.values())  # no gigabytes
    if name is not None:
        assert {part.layout for part in parts.values()} == {name}
    found = {part: named(part_found) for part, part_found in parts.items()}
    if "unet" in found:
        found["denoiser" if "conv_out.weight" in parts["unet"].state else "reference_net"] = found.pop("unet")
    for role in found:
        network, taken, comparison = fit(role, found)
        assert comparison.fits, comparison.report()
        assert all(value.is_meta for value in network.parameters())
        if role == "denoiser":
            assert len(taken) == sum(len(parts[p].state) for p in ("unet", "motion") if p in parts)
            assert network.config.motion == ("motion" in parts)


def test_the_counts_that_were_measured_on_the_published_files():
    """With the positional encodings, which are in the files and are not parameters."""
    assert sum(value.numel() for value in public.motion_modules().values()) == 454_417_600
    assert sum(value.numel() for value in public.guidance_encoder().values()) == 3_833_136


def test_a_complete_unet_serves_as_reference_net():
    """What lies behind the last norm is left out by name; anything else that is left over is reported."""
    (part,) = read_parts(public.sd15_unet(), "unet")
    network, state, comparison = fit("reference_net", {"reference_net": named(part)})
    assert comparison.fits
    assert len(state) == len(network.state_dict()) == 662
    part.state["up_blocks.3.attentions.2.stray"] = torch.zeros(1)
    *_, comparison = fit("reference_net", {"reference_net": named(part)})
    assert comparison.unexpected == ["up_blocks.3.attentions.2.stray"]


@pytest.mark.parametrize("motion", [False, True], ids=["stage 1", "stage 2"])
def test_a_start_for_tcan_is_what_its_stages_open(motion):
    """At the paper's size, from single files of Stable Diffusion and of another model of its kind."""
    parts = {part.name: part for part in read_parts(public.stable_diffusion_file(), "sd15")}
    (control,) = read_parts(public.controlnet(), "openpose")
    found = {
        "denoiser": parts["unet"],
        "reference_net": read_parts(public.stable_diffusion_file(), "rv")[0],
        "control_net": control,
    }
    found = {role: named(part) for role, part in found.items()}
    with torch.device("meta"):
        size = get_recipe("tcan").size("sd15")
        animator = size.build(motion, size.options)
    for role, name in (("denoiser", "denoiser"), ("reference_net", "reference_net"), ("control_net", "controlnet")):
        network, _, comparison = fit(role, found, STARTS["tcan"])
        target = getattr(animator, name)
        assert comparison.fits
        copy_weights(network, target, name)
        unseen = {"num_attention_heads", "norm_num_groups", "reference_blocks", "pooled_norms"}  # what no tensor tells
        unseen -= {"pooled_norms"} if role == "control_net" else set()  # there it matters with motion modules alone
        assert all(network.config.get(key) == target.config.get(key) for key in unseen)
    words = parts["text_encoder"].state["embeddings.position_embedding.weight"]
    assert words.shape == animator.prompt.tokens.shape == (77, 768)


@pytest.mark.parametrize(
    ("motion", "frames", "mid", "pooled"),
    [
        (lambda: public.motion_modules(24, mid=False), 24, False, True),
        (lambda: public.motion_modules(32), 32, True, False),
        (lambda: public.motion_modules(32, mid=False), 32, False, False),
        (lambda: public.motion_modules(128), 128, True, False),
        (lambda: public.diffusers_motion_adapter(mid=False), 24, False, True),
    ],
    ids=["v1", "v2", "v3", "MusePose", "MotionAdapter of v1"],
)
def test_versions_of_motion_modules(motion, frames, mid, pooled):
    """v1: norms over all frames, 24 positions; v3: no middle, norms of each frame (AnimateDiff's configs/inference)."""
    found = {"denoiser": read_parts(public.sd15_unet(), "")[0], "motion": read_parts(motion(), "")[0]}
    network, _, comparison = fit("denoiser", {role: named(part) for role, part in found.items()})
    assert comparison.fits
    config = network.config
    assert (config.motion_max_seq_length, config.motion_mid, config.pooled_norms) == (frames, mid, pooled)
    assert config.motion_per_frame_norm


def test_magic_animate_and_tcan_pool_their_norms():
    state = public.sd15_unet() | public.motion_modules(32, mid=False)
    found = {
        "motion" if part.name == "motion" else "denoiser": named(part)
        for part in read_parts(state, "temporal_attention.ckpt")
    }
    assert fit("denoiser", found, FAMILIES["tcan"])[0].config.pooled_norms
    assert fit("denoiser", found, FAMILIES["magic-animate"])[0].config.pooled_norms
    assert not fit("denoiser", found, FAMILIES["moore"])[0].config.pooled_norms
    assert fit("reference_net", {"reference_net": named(read_parts(public.appearance_encoder(), "")[0])}, FAMILIES["tcan"])[
        0
    ].config.reference_blocks == "midup"  # fmt: skip


def test_an_autoencoders_attention_of_convolutions_becomes_linear():
    torch.manual_seed(0)
    state = {key: torch.randn(value.shape) if ".attentions." in key else value for key, value in public.vae().items()}
    (part,) = read_parts(public.ldm_vae(state), "vae")
    assert part.state.keys() == state.keys()
    assert all(torch.equal(part.state[key], value) for key, value in state.items() if ".attentions." in key)


def test_adapters_are_merged():
    """W + B A, as peft computes it with alpha = rank; an adapter without its base is left to be reported."""
    torch.manual_seed(0)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    state = {
        f"{name}.base_layer.weight": torch.randn(6, 5),
        f"{name}.lora_A.default.weight": torch.randn(2, 5),
        f"{name}.lora_B.default.weight": torch.randn(6, 2),
        "mid_block.x.lora_A.default.weight": torch.zeros(1),
    }
    (part,) = read_parts(state, "unet")
    expected = (
        state[f"{name}.base_layer.weight"]
        + state[f"{name}.lora_B.default.weight"] @ state[f"{name}.lora_A.default.weight"]
    )
    assert part.state.keys() == {f"{name}.weight", "mid_block.x.lora_A.default.weight"}
    torch.testing.assert_close(part.state[f"{name}.weight"], expected)


def test_original_names_are_the_ones_that_diffusers_converts():
    """The other way round by diffusers' own conversion of single files: same keys, same tensors."""
    from diffusers.loaders import single_file_utils

    file = public.stable_diffusion_file()
    parts = {part.name: part.state for part in read_parts(file, "file")}
    unet = single_file_utils.convert_ldm_unet_checkpoint(file, {"layers_per_block": 2})
    assert same(unet, parts["unet"])
    vae = single_file_utils.convert_ldm_vae_checkpoint(file, {"down_block_types": range(4), "up_block_types": range(4)})
    assert {key: value.shape for key, value in vae.items()} == {k: v.shape for k, v in parts["vae"].items()}
    linear = {key for key in vae if ".attentions." in key and vae[key].ndim == 2}  # reshaped on the way
    assert same(
        {k: v for k, v in vae.items() if k not in linear}, {k: v for k, v in parts["vae"].items() if k not in linear}
    )
    control = {f"control_model.{k}": v for k, v in public.ldm_controlnet(public.controlnet()).items()}
    theirs = single_file_utils.convert_controlnet_checkpoint(control, {"layers_per_block": 2})
    assert same(theirs, read_parts(control, "control")[0].state)
    motion = public.motion_modules()
    adapter = single_file_utils.convert_animatediff_checkpoint_to_diffusers(motion)
    assert same(adapter, read_parts(motion, "motion")[0].state)


def same(left, right):
    """The same tensors, not only the same shapes, under the same names."""
    return left.keys() == right.keys() and all(value is right[key] for key, value in left.items())


def test_clip_as_a_whole_gives_its_image_encoder():
    state = (
        public.image_encoder()
        | public.text_encoder()
        | {"logit_scale": torch.zeros(()), "text_projection.weight": torch.zeros(1)}
    )
    (part,) = read_parts(state, "clip-vit-large-patch14")
    assert (part.name, len(part.state)) == ("image_encoder", 392)


def test_an_unknown_layout_shows_what_it_holds():
    with pytest.raises(
        UnknownLayout, match=re.escape("x.pth has no layout that bunraku knows; it holds 2 tensors: a, b ...")
    ):
        read_parts({"a": torch.zeros(1), "b": torch.zeros(1)}, "x.pth")


def test_leftovers_of_a_stable_diffusion_file_are_not_swallowed():
    with pytest.raises(UnknownLayout, match=r"it holds 1 tensors: embedding_manager\.x"):
        read_parts(public.stable_diffusion_file() | {"embedding_manager.x": torch.zeros(1)}, "x.ckpt")
