"""From a start for training to a trained model: what a stage takes from where, and what is refused before it begins."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from diffusers import MotionAdapter

from bunraku.errors import BunrakuError
from bunraku.nets.constant_token import ConstantToken
from bunraku.nets.controlnet import ControlNet
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.pose_guider import PoseGuider
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import Size, get_recipe, tcan
from bunraku.training.config import training_config
from bunraku.training.run import copy_motion, copy_weights, read_motion, train
from bunraku.training.trainer import Trainer
from bunraku.weights.conversion import convert
from tests.tiny import TINY, build_tiny_pipeline, randomise, tiny_tcan
from tests.weights.small import UNET, control_net, moving, save, stable_diffusion_family, still, unet

MODULES = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 4}


@pytest.fixture(autouse=True)
def _single_thread_and_fresh_accelerator():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _forget()
    yield
    torch.set_num_threads(threads)


def tcan_size(name: str) -> Size:
    return get_recipe("tcan").size(name)


def _forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def adapter(widths=(16, 16), mid=True, **config) -> MotionAdapter:
    config = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 4} | config
    net = MotionAdapter(block_out_channels=widths, motion_layers_per_block=1, use_motion_mid_block=mid, **config)
    return randomise(net, 1)


def denoiser(**config) -> Denoiser:
    return randomise(Denoiser(**TINY | MODULES | config), 2)


def control(**config) -> ControlNet:
    guider = {"conditioning_embedding_out_channels": (8, 16), "conditioning_unshuffle": 4, "conditioning_norm": True}
    return randomise(ControlNet(**TINY | MODULES | guider | config), 3)


def copies(net, source, prefix="") -> None:
    """Every motion module of the net is the source's of that name."""
    theirs = source.state_dict()
    assert net.motion_parameters
    assert all(torch.equal(value, theirs[name]) for name, value in net.motion_parameters.items())


# the setting motion


@torch.no_grad()
def test_motion_modules_start_from_an_adapter_and_nothing_else_changes(tmp_path, caplog):
    """TCAN's denoiser has none in the middle; its ControlNet takes those of its levels."""
    made = adapter()
    made.save_pretrained(tmp_path / "motion")
    given = read_motion(str(tmp_path / "motion"))
    caplog.set_level(logging.INFO, "bunraku")
    for part, net in {"denoiser": denoiser(motion_mid=False), "controlnet": control(motion_levels=(1,))}.items():
        before = {name: value.clone() for name, value in net.state_dict().items()}
        copy_motion(given[part], net, part)
        copies(net, made)
        changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
        assert changed == set(net.motion_parameters)
    assert set(net.motion_parameters) == {name for name in before if name.startswith("down_blocks.1.motion_modules.0.")}
    assert caplog.messages == [
        "1 motion modules have no place in the denoiser and are left out: mid_block",
        "6 motion modules have no place in the controlnet and are left out: down_blocks.0, mid_block, up_blocks.0, up_blocks.1",
    ]
    copy_motion(given["controlnet"], PoseGuider(out_channels=16), "pose_guider")  # it has none: nothing happens
    whole = denoiser()
    copy_motion(given["denoiser"], whole, "denoiser")
    copies(whole, made)
    assert any(name.startswith("mid_block") for name in whole.motion_parameters)


def test_animatediffs_own_file_serves_as_it_is(tmp_path):
    source = unet(0)
    save(moving(source, 32), tmp_path / "mm_sd_v15_v2.ckpt")
    net = Denoiser(**UNET)
    copy_motion(read_motion(str(tmp_path / "mm_sd_v15_v2.ckpt"))["denoiser"], net, "denoiser")
    assert all(torch.equal(value, source[name]) for name, value in net.motion_parameters.items())


def test_motion_modules_start_from_a_model(tmp_path):
    """Those of a ControlNet from its own where it has any, as in a trained TCAN, else from the denoiser's."""
    animate_anyone = build_tiny_pipeline()
    animate_anyone.save_pretrained(tmp_path / "plain")
    temporal = control(motion_levels=(1,))
    tiny_tcan(controlnet=temporal, prompt=ConstantToken(1, 16)).save_pretrained(tmp_path / "temporal")
    for folder, source in (("plain", animate_anyone.denoiser), ("temporal", temporal)):
        given = read_motion(str(tmp_path / folder))
        nets = {"denoiser": Denoiser(**TINY | MODULES), "controlnet": ControlNet(**TINY | MODULES, motion_levels=(1,))}
        for part, net in nets.items():
            copy_motion(given[part], net, part)
        copies(nets["denoiser"], animate_anyone.denoiser)
        copies(nets["controlnet"], source)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"mid": False}, r"do not fit the denoiser's motion modules .*\n +26 missing: mid_block\.motion_modules\.0\."),
        ({"widths": (16, 8)}, r"mis-shaped: down_blocks\.1\.motion_modules\.0\.norm\.weight is \(8,\), expected \(16,\)"),
        ({"motion_transformer_layers_per_block": 2}, r"unexpected: down_blocks\.0\.motion_modules\.0\.transformer_blocks\.1\."),
    ],
)  # fmt: skip
def test_adapters_that_do_not_fit(tmp_path, made, message):
    adapter(**made).save_pretrained(tmp_path)
    net = denoiser()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(BunrakuError, match=f"(?s){message}"):
        copy_motion(read_motion(str(tmp_path))["denoiser"], net, "denoiser")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_no_motion_modules_is_an_error_before_anything_else(tmp_path):
    plain = build_tiny_pipeline(denoiser=denoiser(motion=False))
    plain.save_pretrained(tmp_path / "still")
    refused = {
        (2, "still"): r"still has no motion modules: give a model that has some, or AnimateDiff's",
        (2, "nowhere"): "There is no file or folder .*nowhere",
        (1, "still"): "stage 1 trains no motion modules: leave the setting motion to stage 2",
    }
    for (stage, folder), message in refused.items():
        with pytest.raises(BunrakuError, match=message):
            train(training_config("tcan", "mini", stage, tmp_path / "run", {"motion": str(tmp_path / folder)}))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def untrained(monkeypatch):
    """No step is made: what is written is what the stage begins with. The steps are for test_trainer.py."""
    monkeypatch.setattr(Trainer, "run", lambda self, until: setattr(self, "step", self.config.steps))


def begun(recipe: str, size: str, stage: int, folder: Path, **settings) -> AnimationPipeline:
    """The model of a stage that did nothing."""
    _forget()
    config = training_config(recipe, size, stage, folder, settings | {"resolution": 128, "ema_decay": 0.0})
    return AnimationPipeline.from_pretrained(train(config))


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As models are stored."""
    return {name: value.half().float() for name, value in state.items()}


def test_only_the_modules_that_the_stage_trains_are_replaced(tmp_path, untrained):
    """Mini TCAN from an adapter of its widths; where only the denoiser's learn, ControlNet stays the still one."""
    made = adapter((64, 112), motion_num_attention_heads=4, motion_norm_num_groups=16)
    made.save_pretrained(tmp_path / "motion")
    theirs = halved(made.state_dict())
    animator = tcan_size("mini").build(False, tcan_size("mini").options)
    parts = {name: getattr(animator, name) for name in ("denoiser", "reference_net", "controlnet", "prompt")}
    tiny_tcan(vae=PatchCodec(32), **parts).save_pretrained(tmp_path / "start")
    given = {"init": str(tmp_path / "start"), "motion": str(tmp_path / "motion")}
    for trains in (("motion",), ("denoiser.motion",)):
        model = begun("tcan", "mini", 2, tmp_path / "-".join(trains), trains=trains, **given)
        assert all(torch.equal(value, theirs[name]) for name, value in model.denoiser.motion_parameters.items())
        copied = [torch.equal(value, theirs[name]) for name, value in model.controlnet.motion_parameters.items()]
        assert copied
        assert all(copied) if trains == ("motion",) else not any(copied)


# the start at the paper's size


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small public files, and the start that is made of them."""
    root = tmp_path_factory.mktemp("files")
    (root / "sd15").mkdir()
    stable_diffusion_family(root / "sd15")
    save(still(unet(9)), root / "realistic" / "unet" / "diffusion_pytorch_model.safetensors")
    convert(root / "sd15", root / "start", recipe="tcan", reference_net=root / "realistic")
    return root


@pytest.fixture
def small_sd15(monkeypatch):
    """The recipe's own builder for "sd15", in the sizes of the small files."""
    monkeypatch.setattr(tcan, "SD15", UNET | {"num_attention_heads": 8})
    monkeypatch.setattr(tcan, "ControlNet", partial(ControlNet, conditioning_embedding_out_channels=(4, 4, 8, 8)))
    monkeypatch.setattr(tcan, "ConstantToken", partial(ConstantToken, 7, 32))


def test_the_start_of_tcan_is_taken_as_it_is(files, small_sd15):
    """Strictly, by both stages; the motion modules that lie in it are for stage 2 alone."""
    start = AnimationPipeline.from_pretrained(files / "start")
    for motion in (False, True):
        animator = tcan_size("sd15").build(motion, tcan_size("sd15").options)
        for part in ("denoiser", "reference_net", "controlnet", "prompt"):
            ours, theirs = getattr(animator, part), getattr(start, part).state_dict()
            copy_weights(getattr(start, part), ours, part)
            still_one = {name: value for name, value in ours.state_dict().items() if ".motion_modules." not in name}
            assert still_one
            assert all(torch.equal(value, theirs[name]) for name, value in still_one.items())


def test_from_stable_diffusion_through_both_stages(files, small_sd15, tmp_path, untrained):
    """The commands of docs/weights.md: what stage 2 begins with comes from five places."""
    begun("tcan", "sd15", 1, tmp_path / "1", init=str(files / "start"))
    convert(files / "sd15" / "v3_sd15_mm.ckpt", tmp_path / "motion")
    given = {"init": str(tmp_path / "1" / "model"), "motion": str(tmp_path / "motion")}
    model = begun("tcan", "sd15", 2, tmp_path / "2", **given)
    modules = {name: value for name, value in unet(0, motion_mid=False).items() if ".motion_modules." in name}
    sd15 = halved(still(unet(0)) | modules)
    ours = {part: getattr(model, part).state_dict() for part in ("denoiser", "reference_net", "controlnet")}
    realistic, openpose = halved(unet(9)), halved(control_net())
    assert ours["denoiser"].keys() == sd15.keys()
    assert all(torch.equal(value, sd15[name]) for name, value in ours["denoiser"].items())
    assert all(torch.equal(value, realistic[name]) for name, value in ours["reference_net"].items())
    temporal = {name for name in ours["controlnet"] if ".motion_modules." in name}
    assert {name.split(".motion_modules.")[0] for name in temporal} == {"down_blocks.2", "down_blocks.3"}
    assert ours["controlnet"].keys() == temporal | openpose.keys()
    assert all(torch.equal(v, (sd15 if k in temporal else openpose)[k]) for k, v in ours["controlnet"].items())
    assert (model.config.recipe, model.config.options["reference_timestep"]) == ("tcan", "every")


@pytest.mark.slow
def test_a_step_from_the_start(files, small_sd15, tmp_path, monkeypatch):
    """Stage 1 moves ReferenceNet and the denoiser's attention, and nothing else."""
    monkeypatch.setattr(Trainer, "validate", lambda self: None)
    settings = {"resolution": 128, "batch": 1, "workers": 0, "steps": 1, "learning_rate": 1e-2, "drop_condition": 0.0}
    given = settings | {"init": str(files / "start")}
    model = AnimationPipeline.from_pretrained(train(training_config("tcan", "sd15", 1, tmp_path, given)))
    start = AnimationPipeline.from_pretrained(files / "start")
    changed = set()
    for part in ("denoiser", "reference_net", "controlnet", "prompt"):
        before, after = (getattr(pipeline, part).state_dict() for pipeline in (start, model))
        changed |= {f"{part}.{name}" for name in after if not torch.equal(after[name], before[name].half().float())}
    assert {name.split(".")[0] for name in changed} == {"denoiser", "reference_net"}
    assert all(".to_" in name for name in changed if name.startswith("denoiser."))
