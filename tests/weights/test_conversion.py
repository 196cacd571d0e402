"""Conversion: the golden weights in Moore's own files, small ones of every other family, and everything that can be wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DiffusionPipeline, MotionAdapter
from safetensors.torch import load_file
from transformers import CLIPVisionModelWithProjection

from bunraku import pipeline as pipeline_module
from bunraku.cues.drawn import draw_conditions
from bunraku.errors import BunrakuError
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.pose_guider import GuidanceEncoder
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import get_recipe
from bunraku.recipes.multi_character import MultiCharacter
from bunraku.weights.conversion import convert
from bunraku.weights.info import describe
from bunraku.weights.loading import load_pipeline
from bunraku.weights.states import read_state
from tests import tiny
from tests.golden import GOLDEN, moore_files
from tests.weights.conftest import make_pipeline
from tests.weights.public import ldm_unet
from tests.weights.small import (
    HEAD,
    WIDTHS,
    champ_family,
    control_net,
    magic_family,
    moore_family,
    musepose_family,
    save,
    stable_diffusion_family,
    still,
    tcan_family,
    text_encoder,
    unet,
    without,
)

golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not there")


@pytest.fixture(scope="module")
def moore(tmp_path_factory):
    root = tmp_path_factory.mktemp("moore")
    convert(moore_files(root / "source", ".pth"), root / "model")
    return root


def golden_run(name: str) -> dict[str, np.ndarray]:
    run = {}
    for file in ("inputs", name):  # the run's own poses and noise go before the common ones
        with np.load(GOLDEN / f"{file}.npz") as arrays:
            run |= {key: arrays[key] for key in arrays.files}
    return run


def animated(pipeline, run, monkeypatch, **settings):
    """Frames, and latents after each step, with the recorded noise."""
    kept = []
    monkeypatch.setattr(pipeline_module, "initial_noise", lambda *_: torch.from_numpy(run["latents_init"]))
    pipeline.set_progress_bar_config(disable=True)
    stills, driven = draw_conditions(pipeline, run["reference_image_u8"], run["pose_images_u8"], size=(192, 128))
    chosen = {"num_inference_steps": len(run["timesteps"]), "window": 8, "overlap": 4, "merge": "uniform", "wrap": True}
    frames = pipeline(
        stills, driven, pipeline.sampling.but(chosen | settings), callback_on_step_end=lambda *a: kept.append(a[3]["latents"])
    ).frames  # fmt: skip
    return frames, torch.stack(kept)


@golden
def test_moores_own_files_give_moores_own_latents(moore, monkeypatch):
    """The whole way from the files: four steps of one window without guidance."""
    run = golden_run("pipeline_nocfg")
    folder = convert(moore / "source", moore / "linear", betas="linear").folder
    _, latents = animated(load_pipeline(folder, device="cpu"), run, monkeypatch, guidance_scale=1.0)
    torch.testing.assert_close(latents, torch.from_numpy(run["latents"]), atol=1e-4, rtol=0)


@golden
@pytest.mark.slow
def test_moores_own_files_give_moores_own_video(tmp_path, monkeypatch):
    """To the frames: six guided steps over windows that close the loop."""
    run = golden_run("pipeline_bank32") | {"timesteps": np.arange(6)}
    folder = convert(moore_files(tmp_path / "source", ".pth"), tmp_path / "model", betas="linear").folder
    frames, latents = animated(load_pipeline(folder, device="cpu"), run, monkeypatch, guidance_scale=3.5)
    torch.testing.assert_close(latents, torch.from_numpy(run["latents"]), atol=1e-4, rtol=0)
    exact = torch.from_numpy(golden_run("pipeline_bank32_f64")["latents_final"])
    torch.testing.assert_close(latents[-1].double(), exact.double(), atol=1e-4, rtol=0)
    expected = run["video_u8"][0].transpose(1, 2, 3, 0)
    assert np.abs(frames.astype(int) - expected).max() <= 1
    assert (frames != expected).mean() < 1e-3


@golden
def test_both_from_pretrained_give_the_same_bits(moore):
    run, frames = golden_run("pipeline_nocfg"), []
    for pipeline in (
        load_pipeline(moore / "model", device="cpu"),
        AnimationPipeline.from_pretrained(moore / "model"),
        DiffusionPipeline.from_pretrained(moore / "model"),
    ):
        assert type(pipeline) is AnimationPipeline
        assert pipeline.scheduler.config.beta_schedule == "scaled_linear"
        pipeline.set_progress_bar_config(disable=True)
        frames.append(
            tiny.animated(
                pipeline, run["reference_image_u8"], run["pose_images_u8"][:2], size=(96, 64), num_inference_steps=2,
                generator=torch.Generator().manual_seed(0),
            )
        )  # fmt: skip
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_arrives_bit_for_bit(moore, tmp_path, suffix):
    """As stored, not as computed with; positional encodings and what ReferenceNet never reads are all that is left out."""
    if suffix != ".pth":
        moore = tmp_path
        convert(moore_files(moore / "source", suffix), moore / "model")
    made = stored(moore / "model")
    renamed = {
        "temporal_transformer.": "",
        "attention_blocks.0": "attn1",
        "attention_blocks.1": "attn2",
        "norms.0": "norm1",
    }
    renamed |= {"norms.1": "norm2", "ff_norm": "norm3"}
    for file, name, left_out in (
        ("denoising_unet", "denoiser", 0), ("motion_module", "denoiser", 42), ("reference_unet", "reference_net", 20),
        ("pose_guider", "pose_guider", 0),
    ):  # fmt: skip
        state = read_state(moore / "source" / f"{file}{suffix}")
        for old, new in renamed.items():
            state = {key.replace(old, new): value for key, value in state.items()}
        shared = state.keys() & made[name].keys()
        assert len(state) - len(shared) == left_out
        assert all(
            torch.equal(state[key], made[name][key]) and state[key].dtype == made[name][key].dtype for key in shared
        )
    assert len(made["denoiser"]) == 684 + 546
    assert not [key for key in made["denoiser"] if "pos_encoder" in key]


def test_described_before_and_after(moore):
    before, after = describe(moore / "source"), describe(moore / "model")
    assert (before["model"], before["licence"], before["complete"], before["missing"]) == (
        "moore",
        "Apache-2.0",
        True,
        [],
    )
    assert {role: part["keys"] for role, part in before["parts"].items()} == {
        "denoiser": 684, "reference_net": 680, "motion": 546, "pose_guider": 16, "vae": 180, "image_encoder": 40
    }  # fmt: skip
    assert (after["model"], after["complete"]) == ("bunraku", True)
    total = sum(part["parameters"] for part in before["parts"].values())
    assert (
        total - sum(part["parameters"] for part in after["parts"].values()) == 22016
    )  # behind ReferenceNet's last norm
    json.dumps([before, after], default=str)


# small weights of every family, in its own names


V, EPS = ("v_prediction", True, "trailing"), ("epsilon", False, "leading")
FAMILIES = {
    # betas, target / zero-SNR / spacing, steps, guidance, window, reference blocks and timestep, frames known, pooled norms, size
    "moore": (moore_family, "scaled_linear", V, 30, 3.5, 24, "full", "zero", 32, False, (784, 512)),
    "musepose": (musepose_family, "scaled_linear", V, 20, 3.5, 48, "full", "zero", 128, False, (768, 768)),
    "champ": (champ_family, "scaled_linear", V, 20, 3.5, 24, "full", "zero", 32, False, (512, 512)),
    "magic-animate": (magic_family, "linear", EPS, 25, 7.5, 16, "midup", "every", 24, True, (512, 512)),
    "tcan": (tcan_family, "linear", EPS, 25, 7.5, 16, "midup", "every", 32, True, (512, 512)),
    "stable-diffusion": (stable_diffusion_family, "scaled_linear", EPS, 20, 3.5, 24, "full", "zero", 32, False, (512, 512)),
}  # fmt: skip


EXTRAS = {"magic-animate": (0.0, 16), "tcan": (3.0, 16)}
"""TCAN's temperature map, and the frames after which the noise repeats."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every family's files, made once."""
    root = tmp_path_factory.mktemp("families")
    for name, (make, *_) in FAMILIES.items():
        (root / name).mkdir()
        make(root / name)
    return root


def stored(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.parent.name: load_file(path) for path in folder.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def converted(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("converted")
    for name in FAMILIES:
        assert convert(sources / name, root / name).family == name
    return root


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_becomes_a_model_with_its_own_settings(converted, name):
    _, betas, target, steps, guidance, window, blocks, timestep, frames, pooled, size = FAMILIES[name]
    pipeline = load_pipeline(converted / name, device="cpu")
    schedule, sampling, net = pipeline.scheduler.config, pipeline.sampling, pipeline.denoiser.config
    assert (schedule.beta_start, schedule.beta_end, schedule.beta_schedule) == (0.00085, 0.012, betas)
    assert (schedule.prediction_type, schedule.rescale_betas_zero_snr, schedule.timestep_spacing) == target
    assert (schedule.clip_sample, schedule.set_alpha_to_one, schedule.steps_offset) == (False, True, 1)
    assert (sampling.num_inference_steps, sampling.guidance_scale) == (steps, guidance)
    assert (sampling.window, sampling.overlap, sampling.merge) == (window, 4, "uniform")
    assert (sampling.temperature, sampling.noise_period) == EXTRAS.get(name, (0.0, 0))
    assert pipeline.config.recipe == ("tcan" if name in EXTRAS else "animate-anyone")
    assert (pipeline.config.options["reference_timestep"], pipeline.reference_net.config.reference_blocks) == (
        timestep,
        blocks,
    )
    assert (net.motion, net.motion_max_seq_length, net.pooled_norms) == (True, frames, pooled)
    assert tuple(pipeline.config.size) == size
    rng = np.random.default_rng(0)
    reference, poses = rng.integers(0, 256, (64, 128, 3), np.uint8), rng.integers(0, 256, (2, 64, 128, 3), np.uint8)
    pipeline.set_progress_bar_config(disable=True)
    settings = {"size": (64, 128), "num_inference_steps": 1}
    out = tiny.animated(pipeline, reference, poses, **settings, generator=torch.Generator().manual_seed(0))
    assert out.shape == (2, 64, 128, 3)
    again = DiffusionPipeline.from_pretrained(converted / name)
    again.set_progress_bar_config(disable=True)
    same = tiny.animated(again, reference, poses, **settings, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(out, same)


def test_a_family_takes_its_own_unet_and_not_what_it_started_from(converted):
    for name in ("moore", "musepose", "magic-animate"):
        assert torch.equal(stored(converted / name)["denoiser"]["conv_in.weight"], unet(0)["conv_in.weight"])
        assert torch.equal(stored(converted / name)["reference_net"]["conv_in.weight"], unet(1)["conv_in.weight"])


def test_champ_keeps_its_pose_guidance(converted, sources):
    guider = GuidanceEncoder.from_pretrained(converted / "champ" / "pose_guider")
    theirs = read_state(sources / "champ" / "champ" / "guidance_encoder_dwpose.pth")
    assert torch.equal(guider.state_dict()["attention.proj_in.weight"], theirs["attentions.5.proj_in.weight"])
    unused = describe(sources / "champ")["unused"]
    assert sorted(Path(path).name for path in unused) == [
        f"guidance_encoder_{name}.pth" for name in ("depth", "normal", "semantic_map")
    ]


def test_the_empty_prompt_is_encoded_once(converted):
    """MagicAnimate's prompt is always "": start of text, then its end up to CLIP's length."""
    with torch.no_grad():
        expected = text_encoder(None)(torch.tensor([[48, 49, 49, 49, 49, 49, 49]])).last_hidden_state
    torch.testing.assert_close(stored(converted / "magic-animate")["prompt"]["tokens"][None], expected)
    control = ControlNet.from_pretrained(converted / "magic-animate" / "controlnet")
    assert not control.config.pooled_norms  # it is a ControlNet of stills


def test_tcans_adapters_are_part_of_the_weights(converted, sources):
    ours = stored(converted / "tcan")["denoiser"]
    name = "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_v"
    theirs = read_state(next((sources / "tcan").glob("[[]UNet*")))
    expected = (
        theirs[f"{name}.base_layer.weight"]
        + theirs[f"{name}.lora_B.default.weight"] @ theirs[f"{name}.lora_A.default.weight"]
    )
    torch.testing.assert_close(ours[f"{name}.weight"], expected)
    assert not any("lora" in key for key in ours)
    config = ControlNet.from_pretrained(converted / "tcan" / "controlnet").config
    assert (config.motion_levels, config.motion_mid, config.pooled_norms) == ([2, 3], False, True)


def test_stable_diffusion_is_a_start_for_training(converted):
    """Both UNets start equal; the pose guider starts from ControlNet's, but for its last convolution, and so adds nothing."""
    start = stored(converted / "stable-diffusion")
    for key, value in start["reference_net"].items():
        assert torch.equal(value, start["denoiser"][key])
    theirs = control_net()
    for key, value in start["pose_guider"].items():
        if key.startswith("conv_out"):
            assert not value.any()
        else:
            assert torch.equal(value, theirs[f"controlnet_cond_embedding.{key}"])


def test_a_start_for_training_multi_character(sources, converted, tmp_path):
    """Animate Anyone's start, and three guiders more that add nothing yet."""
    made = convert(sources / "stable-diffusion", tmp_path / "start", recipe="multi-character")
    assert (made.family, made.recipe) == ("stable-diffusion", "multi-character")
    start, base = stored(tmp_path / "start"), stored(converted / "stable-diffusion")
    assert start.keys() - base.keys() == set(MultiCharacter.added)
    for part, state in base.items():
        assert all(torch.equal(value, start[part][key]) for key, value in state.items())
    for name in MultiCharacter.added:
        assert all(torch.equal(value, start["pose_guider"][key]) for key, value in start[name].items())
    pipeline, size = load_pipeline(tmp_path / "start", device="cpu"), get_recipe("multi-character").size("sd15")
    assert (pipeline.sampling, pipeline.styles, tuple(pipeline.config.size)) == (size.sampling, size.styles, (896, 640))


@pytest.mark.parametrize("other", ["unet/diffusion_pytorch_model.safetensors", "realistic.ckpt", None])
def test_a_start_for_training_tcan(sources, tmp_path, other):
    """METHODS: denoiser from Stable Diffusion, ReferenceNet from Realistic Vision, the OpenPose ControlNet, the empty prompt."""
    own = still(unet(9))
    if other == "realistic.ckpt":  # a whole model in one file, of which the UNet alone is wanted
        whole = read_state(sources / "stable-diffusion" / "v1-5-pruned-emaonly.safetensors")
        save(whole | {f"model.diffusion_model.{k}": v for k, v in ldm_unet(own).items()}, tmp_path / other)
    elif other:
        save(own, tmp_path / other)
    place = tmp_path / Path(other).parts[0] if other else None
    made = convert(sources / "stable-diffusion", tmp_path / "start", recipe="tcan", reference_net=place)
    assert (made.family, made.recipe) == ("stable-diffusion", "tcan")
    start = stored(tmp_path / "start")
    expected = own if other else still(unet(0))
    assert len(start["reference_net"]) == len(expected) - 24
    assert all(torch.equal(value, expected[key]) for key, value in start["reference_net"].items())
    theirs = unet(0)
    still_part = {key: value for key, value in start["denoiser"].items() if ".motion_modules." not in key}
    assert all(torch.equal(value, theirs[key]) for key, value in still_part.items())
    control = control_net()
    assert start["controlnet"].keys() == control.keys()
    assert all(torch.equal(value, control[key]) for key, value in start["controlnet"].items())
    with torch.no_grad():
        prompt = text_encoder(None)(torch.tensor([[48, 49, 49, 49, 49, 49, 49]])).last_hidden_state
    torch.testing.assert_close(start["prompt"]["tokens"][None], prompt)
    pipeline, size = load_pipeline(tmp_path / "start", device="cpu"), get_recipe("tcan").size("sd15")
    assert pipeline.config.recipe == "tcan"
    assert {key: pipeline.scheduler.config[key] for key in size.scheduler} == dict(size.scheduler)
    assert pipeline.sampling == size.sampling
    assert pipeline.styles == size.styles
    assert pipeline.reference_net.config.reference_blocks == "midup"


def test_a_start_says_what_it_lacks_and_how_to_fetch_it(sources, tmp_path):
    sd15 = sources / "magic-animate" / "stable-diffusion-v1-5"
    message = refused(
        sd15 / "unet", tmp_path, "as a start for training TCAN without control_net, text_encoder, vae", recipe="tcan"
    )
    assert "`bunraku models pull controlnet-openpose-v10` fetches the control_net." in message
    assert "`bunraku models pull sd15-text-encoder` fetches the text_encoder." in message
    control = sources / "magic-animate" / "MagicAnimate" / "densepose_controlnet"
    made = convert(sd15, tmp_path / "model", extra=[control], recipe="tcan")
    assert set(made.parameters) == {"vae", "denoiser", "reference_net", "prompt", "controlnet"}


def test_what_is_no_start(sources, tmp_path):
    sd15 = sources / "stable-diffusion"
    refused(sd15, tmp_path, "no start for a recipe 'tkan'; there are animate-anyone, tcan", recipe="tkan")
    refused(
        sources / "moore",
        tmp_path,
        "moore is Moore-AnimateAnyone; a start for training is made from Stable",
        recipe="tcan",
    )
    refused(sources / "moore", tmp_path, "is made from Stable Diffusion", reference_net=sd15)
    refused(sd15 / "v3_sd15_mm.ckpt", tmp_path, r"is no complete UNet \(motion\); a start", recipe="tcan")
    refused(sd15, tmp_path, r"sd-vae-ft-mse holds vae: no UNet", reference_net=sd15 / "sd-vae-ft-mse")
    refused(sd15, tmp_path, "There is no file or folder", reference_net=tmp_path / "nowhere")
    both = r"emaonly\.safetensors would be both denoiser and ReferenceNet\. Name the file"
    refused(sd15, tmp_path, both, reference_net=sd15 / "v1-5-pruned-emaonly.safetensors")
    other = still(unet(9)) | {"conv_in.weight": torch.zeros(32, 9, 3, 3)}  # as for inpainting
    save(other, tmp_path / "inpainting.safetensors")
    refused(
        sd15, tmp_path, r"(?s)inpainting\.safetensors do not fit the denoiser's architecture.*conv_in\.weight is \(32, 9, 3, 3\)",
        reference_net=tmp_path / "inpainting.safetensors",
    )  # fmt: skip


def test_a_stable_diffusion_folder_of_diffusers(sources, tmp_path):
    """model_index.json names the networks; the single file beside them is the same once more and is not read."""
    root = shutil.copytree(sources / "magic-animate" / "stable-diffusion-v1-5", tmp_path / "sd15")
    names = ("safety_checker", "unet", "text_encoder", "vae")
    (root / "model_index.json").write_text(json.dumps({name: ["library", "Class"] for name in names}))
    (root / "v1-5-pruned.safetensors").write_text("nothing that could be read")
    censor = {
        "vision_model.vision_model.embeddings.class_embedding": torch.zeros(4),
        "visual_projection.weight": torch.zeros(4, 4),
    }
    save(censor, root / "safety_checker" / "pytorch_model.bin")
    clip = sources / "moore" / "image_encoder"
    assert convert(root, tmp_path / "model", extra=[clip]).family == "stable-diffusion"
    with pytest.raises(BunrakuError, match=r"without image_encoder\. Say where .*--with.*\n.*pull sd-image-variations"):
        convert(root, tmp_path / "other")
    shutil.rmtree(root / "unet")
    with pytest.raises(BunrakuError, match="too little for a model"):
        convert(root, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_model_of_bunraku_is_not_converted(tmp_path):
    make_pipeline().save_pretrained(tmp_path / "mine")
    with pytest.raises(BunrakuError, match=r"mine is a model of bunraku already; use it as it is \(--model"):
        convert(tmp_path / "mine", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_further_places_fill_what_is_missing_and_replace_nothing(sources, tmp_path):
    magic = sources / "magic-animate"
    sd15 = shutil.copytree(magic / "stable-diffusion-v1-5", tmp_path / "sd15")
    made = convert(magic / "MagicAnimate", tmp_path / "model", extra=[sd15])
    assert made.family == "magic-animate"
    assert torch.equal(stored(tmp_path / "model")["denoiser"]["conv_in.weight"], unet(0)["conv_in.weight"])
    assert made.unused[sd15 / "unet" / "diffusion_pytorch_model.bin"].endswith(
        "temporal_attention.ckpt is taken as the denoiser"
    )


# single networks


def test_single_networks_become_folders_of_their_own(sources, tmp_path):
    convert(sources / "moore" / "motion_module.pth", tmp_path / "motion")
    adapter = MotionAdapter.from_pretrained(tmp_path / "motion")
    theirs = read_state(sources / "moore" / "motion_module.pth")
    key = "up_blocks.1.motion_modules.2.{}transformer_blocks.0.{}.to_k.weight"
    ours = adapter.state_dict()[key.format("", "attn2")]
    assert torch.equal(ours, theirs[key.format("temporal_transformer.", "attention_blocks.1")])
    encoding = adapter.state_dict()["mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe"]
    assert float(encoding[0, 0, 1]) == 1  # cos 0, not what the file says
    convert(sources / "moore" / "sd-vae-ft-mse", tmp_path / "vae", dtype=torch.float16)
    assert (
        load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")["quant_conv.weight"].dtype == torch.float16
    )
    assert AutoencoderKL.from_pretrained(tmp_path / "vae").config.scaling_factor == 0.18215
    convert(sources / "moore" / "image_encoder", tmp_path / "clip")
    assert CLIPVisionModelWithProjection.from_pretrained(tmp_path / "clip").config.projection_dim == 32
    convert(sources / "stable-diffusion" / "control_v11p_sd15_openpose.pth", tmp_path / "control")
    ours = load_file(tmp_path / "control" / "diffusion_pytorch_model.safetensors")
    net = ControlNetModel(
        block_out_channels=WIDTHS, cross_attention_dim=32, conditioning_embedding_out_channels=(4, 4, 8, 8)
    )
    net.load_state_dict(ours)
    assert ControlNet.from_pretrained(tmp_path / "control").config.motion_levels == []


# what can be wrong


@pytest.fixture
def source(sources, tmp_path):
    return shutil.copytree(sources / "moore", tmp_path / "source")


def refused(source, tmp_path, message, **settings):
    before = {path for path in tmp_path.rglob("*")}
    with pytest.raises(BunrakuError, match=message) as caught:
        convert(source, tmp_path / "model", **settings)
    assert {path for path in tmp_path.rglob("*")} == before
    return str(caught.value)


def test_missing_motion_modules_are_an_error_with_a_sentence(source, tmp_path):
    (source / "motion_module.pth").unlink()
    refused(source, tmp_path, r"(?s)is Moore-AnimateAnyone without motion\..*the video flickers\.")


def test_missing_networks_say_where_they_come_from(source, tmp_path):
    shutil.rmtree(source / "image_encoder")
    shutil.rmtree(source / "sd-vae-ft-mse")
    message = refused(source, tmp_path, r"without image_encoder, vae\. Say where they are \(--with PATH\)")
    assert "`bunraku models pull sd-vae-ft-mse` fetches the vae." in message
    assert "`bunraku models pull sd-image-variations` fetches the image_encoder." in message


def rewrite(path: Path, edit) -> None:
    """A new file in the place of the old: what is mapped from that stays as it was."""
    state = edit(read_state(path))
    path.unlink()
    torch.save(state, path)


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.mkdir, (self.target,)


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, "truncated") for name in ("denoising_unet", "reference_unet", "motion_module", "pose_guider")]
    + [("denoising_unet", "pointer"), ("denoising_unet", "code")],
)
def test_files_that_cannot_be_read(source, tmp_path, name, how):
    """Nothing else takes their place, not even the UNet that the family started from."""
    path = source / f"{name}.pth"
    size = path.stat().st_size
    path.unlink()
    if how == "truncated":
        torch.save({"weight": torch.zeros(size)}, path)
        path.write_bytes(path.read_bytes()[:size])
        reason = "is damaged or was not downloaded to the end"
    elif how == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438000000\n")
        reason = "is a git-LFS pointer instead of the weights"
    else:
        torch.save({"weight": Attack(tmp_path / "executed")}, path)
        reason = "holds code, not only weights, and is not opened"
    refused(source, tmp_path, rf"{name}\.pth {reason}")
    refused(path, tmp_path, rf"{name}\.pth {reason}")
    assert not (tmp_path / "executed").exists()
    described = describe(source)
    assert not described["complete"]
    assert reason in described["unread"][str(path)]


def test_keys_that_do_not_fit_are_all_listed(source, tmp_path):
    changed = {"stray": torch.zeros(1), "conv_out.bias": torch.zeros(9)}
    rewrite(source / "denoising_unet.pth", lambda s: without(s, "mid_block.resnets.0.conv1.weight") | changed)
    message = refused(source, tmp_path, r"denoising_unet\.pth and .*motion_module\.pth do not fit the denoiser")
    assert message.splitlines()[1:] == [
        "  1 missing: mid_block.resnets.0.conv1.weight",
        "  1 unexpected: stray",
        "  1 mis-shaped: conv_out.bias is (9,), expected (4,)",
    ]
    part = describe(source)["parts"]["denoiser"]
    assert (part["fits"], part["missing"], part["unexpected"]) == (
        False,
        ["mid_block.resnets.0.conv1.weight"],
        ["stray"],
    )


def test_motion_modules_with_a_hole(source, tmp_path):
    rewrite(source / "motion_module.pth", lambda state: without(state, "up_blocks.2"))
    refused(source, tmp_path, r"(?s)\d+ missing: up_blocks\.2\.motion_modules.*the video flickers\.")


def test_two_candidates_for_one_purpose(source, tmp_path):
    shutil.copy(source / "pose_guider.pth", source / "pose_guider_2.pth")
    refused(
        source,
        tmp_path,
        r"2 candidates for the pose_guider: .*pose_guider\.pth and .*pose_guider_2\.pth\. Name the file",
    )


def test_another_model_further_down_is_not_taken(source, tmp_path):
    """Moore's folder may hold its face model in `reenact`."""
    for name in ("denoising_unet", "reference_unet"):
        save(
            still(unet(9)) if name == "denoising_unet" else without(still(unet(9)), *HEAD),
            source / "reenact" / f"{name}.pth",
        )
    convert(source, tmp_path / "model")
    assert torch.equal(stored(tmp_path / "model")["denoiser"]["conv_in.weight"], unet(0)["conv_in.weight"])


def test_weights_that_are_not_finite(source, tmp_path):
    rewrite(source / "pose_guider.pth", lambda state: state | {"conv_in.bias": torch.full((4,), 1e6)})
    refused(
        source,
        tmp_path,
        r"The pose_guider is not saved: 1 weights are not finite, the first is conv_in\.bias",
        dtype=torch.float16,
    )
    assert convert(source, tmp_path / "model").family == "moore"  # they are, as they are stored


def test_places_without_weights(tmp_path):
    refused(tmp_path / "nowhere", tmp_path, "There is no file or folder")
    (tmp_path / "photos").mkdir()
    refused(tmp_path / "photos", tmp_path, "There are no weights that bunraku knows in")
    save({"a": torch.zeros(1)}, tmp_path / "photos" / "x.pth")
    refused(
        tmp_path / "photos", tmp_path, r"(?s)no weights that bunraku knows in .*x\.pth has no layout that bunraku knows"
    )


def test_a_stranger_in_the_folder_does_no_harm(source, tmp_path):
    save({"a": torch.zeros(1)}, source / "DWPose" / "detector.pth")
    (source / "DWPose" / "broken.bin").write_text("no weights")
    made = convert(source, tmp_path / "model")
    assert {path.name for path in made.unused} >= {"detector.pth", "broken.bin", "diffusion_pytorch_model.bin"}


def test_other_folders_are_left_alone(source, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "config.json").write_text("{}")
    with pytest.raises(BunrakuError, match="photos exists and is no model"):
        convert(source, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["config.json"]


def test_progress_counts_every_tensor(source, tmp_path):
    seen: dict[str, tuple[int, int]] = {}
    convert(source, tmp_path / "model", on_progress=lambda name, done, total: seen.update({name: (done, total)}))
    assert set(seen) == {"vae", "denoiser", "reference_net", "image_encoder", "pose_guider"}
    assert all(done == total > 0 for done, total in seen.values())
