"""The training loop: exact resume, frozen parts, averages, the way from stage 1 to stage 2."""

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from einops import rearrange

from bunraku.data.kept import KeptSamples
from bunraku.data.samples import collate
from bunraku.data.theatre import TheatreSamples
from bunraku.errors import BunrakuError
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.pixels import unit_pixels
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import Inputs, get_recipe
from bunraku.recipes.animate_anyone import AnimateAnyone
from bunraku.recipes.recipe import with_options
from bunraku.training.binding import bound
from bunraku.training.checkpoints import check_same_run
from bunraku.training.config import TrainingConfig, training_config
from bunraku.training.run import copy_weights, dataset, train
from bunraku.training.trainer import Trainer, accumulation, fast_arithmetic
from tests.data.test_clips import write_clip

SMALL = {
    "resolution": 64,
    "batch": 1,
    "frames": 2,
    "workers": 0,
    "log_every": 5,
    "validate_every": 1000,
    "warmup": 4,
    "precision": "float32",
    "validation_clips": 2,
}


@pytest.fixture(autouse=True)
def _single_thread_and_fresh_accelerator():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield
    torch.set_num_threads(threads)


def config(output: Path, stage: int = 1, **settings) -> TrainingConfig:
    return training_config(
        "animate-anyone", "mini", stage, output, {**SMALL, "steps": 6, "checkpoint_every": 3, **settings}
    )


def trainer(c: TrainingConfig, start: bool = False) -> Trainer:
    torch.manual_seed(c.seed)
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    size = c.chosen_size
    animator = size.build(c.chosen_stage.motion, with_options(size.options, c.options))
    if not start:  # a start of zero would hand no gradient on
        torch.nn.init.normal_(animator.denoiser.conv_out.weight, std=0.02)
    reads = bound(animator.reads) if c.binding else animator.reads
    samples = TheatreSamples(c.seed, "train", c.frames, c.picture, reads=reads, domain=c.domain)
    return Trainer(c, animator, codec, samples)


def state(t: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in t.trained.items()}


KILLED = """
import os, signal, sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch; torch.set_num_threads(1)
from tests.training.test_trainer import config, trainer
t = trainer(config(Path(sys.argv[1]), steps=8, checkpoint_every=4, decay=0.3))
samples = t.dataset
class Watched:
    def __getitem__(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return samples[index]
t.dataset = Watched()
t.run()
"""


@pytest.mark.slow
def test_a_killed_run_continues_bit_for_bit(tmp_path):
    whole = trainer(config(tmp_path / "whole", steps=8, checkpoint_every=4, decay=0.3))
    whole.run()

    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(root)], cwd=root, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()] == ["step-4"]

    AcceleratorState._reset_state(reset_partial_state=True)
    resumed = trainer(config(tmp_path / "killed", steps=8, checkpoint_every=4, decay=0.3))
    resumed.run()
    assert resumed.step == whole.step == 8
    for name, parameter in state(whole).items():
        assert torch.equal(parameter, state(resumed)[name]), name
    for a, b in zip(whole.ema.shadow_params, resumed.ema.shadow_params):
        assert torch.equal(a, b)


def test_only_the_stage_s_parts_learn(tmp_path):
    t = trainer(config(tmp_path, stage=2, steps=2, batch=1))
    before = {name: p.detach().clone() for name, p in t.animator.named_parameters()}
    t.run()
    changed = {name for name, p in t.animator.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(".motion_modules." in name for name in changed)
    # the zero-initialised output projections learn first
    assert {name for name in before if "motion_modules" in name and "proj_out" in name} <= changed


def test_accumulating_equals_a_larger_batch_in_the_gradient(tmp_path, monkeypatch):
    """Two micro-batches of one sample see the samples that one batch of two sees, and add up to its gradient."""

    def exact(t: Trainer) -> Trainer:
        """Without what is drawn at random for a micro-batch."""
        t.timesteps = lambda clean, generator: torch.full((len(clean), 2), 500)  # type: ignore[method-assign]
        return t

    monkeypatch.setattr("bunraku.training.trainer.sample_noise", lambda like, *_: torch.ones_like(like))
    settings = {"drop_condition": 0.0, "drop": {}, "steps": 1, "warmup": 0, "clip_norm": 1e9}
    gradients = {}
    for name, batch in (("whole", {"batch": 2}), ("halves", {"batch": 1, "global_batch": 2})):
        t = exact(trainer(config(tmp_path / name, **settings, **batch)))
        kept = {}
        t.accelerator.clip_grad_norm_ = lambda *_, t=t, kept=kept: kept.update(
            {n: p.grad.clone() for n, p in t.trained.items() if p.grad is not None}
        )
        t.run()
        gradients[name] = kept
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    assert gradients["whole"]
    for name, value in gradients["whole"].items():
        torch.testing.assert_close(gradients["halves"][name], value, atol=1e-6, rtol=1e-3, msg=name)


def test_micro_batches_are_derived_from_the_batch_of_the_paper(tmp_path):
    paper = training_config("animate-anyone", "sd15", 1, tmp_path, {})
    assert (paper.global_batch, paper.batch) == (64, 1)
    assert accumulation(paper, 4) == 16
    assert accumulation(training_config("animate-anyone", "sd15", 1, tmp_path, {"batch": 8}), 8) == 1
    with pytest.raises(BunrakuError, match="a batch of 64 cannot be shared by 3 processes with 1 samples each"):
        accumulation(paper, 3)


def test_pictures_are_encoded_a_few_at_a_time(tmp_path):
    t, sizes = trainer(config(tmp_path)), []
    images = torch.randint(0, 256, (3, 5, 64, 64, 3), dtype=torch.uint8)
    at_once = rearrange(
        t.vae.encode(unit_pixels(images.flatten(0, 1)) * 2 - 1).latent_dist.mode(), "(b f) c h w -> b c f h w", b=3
    )
    encode = t.vae.encode
    t.vae.encode = lambda pixels: (sizes.append(len(pixels)), encode(pixels))[1]
    torch.testing.assert_close(t.encode(images), at_once * t.vae.config.scaling_factor)
    assert sizes == [8, 7]


TWO_RANKS = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch; torch.set_num_threads(1)
from tests.training.test_trainer import config, trainer
class Watched:
    def __init__(self, samples):
        self.samples, self.seen = samples, []
    def __getitem__(self, index):
        self.seen.append(index)
        return self.samples[index]
for drop in (0.0, 1.0):
    output = Path(sys.argv[1]) / str(drop)
    t = trainer(config(output, steps=2, checkpoint_every=2, drop_condition=drop, drop={}))
    assert t.accelerator.num_processes == 2, t.accelerator.num_processes
    t.dataset = Watched(t.dataset)
    t.run()
    total = sum(p.double().sum().item() for p in t.trained.values())
    torch.save({"seen": t.dataset.seen, "sum": total}, output / f"rank{t.accelerator.process_index}.pt")
"""


@pytest.mark.slow
def test_two_processes_on_a_cpu_train_one_model(tmp_path):
    """They see different samples, average their gradients, and one of them writes; with and without dropped conditions."""
    root = Path(__file__).parents[2]
    (tmp_path / "two.py").write_text(TWO_RANKS)
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(tmp_path / "two.py")]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path), str(root)], cwd=root, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for run in (tmp_path / "0.0", tmp_path / "1.0"):
        ranks = [torch.load(run / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
        assert [rank["seen"] for rank in ranks] == [[0, 2], [1, 3]]
        assert ranks[0]["sum"] == ranks[1]["sum"]
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-2"]


def test_processes_that_do_not_see_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("bunraku.training.trainer.Accelerator", lambda **_: SimpleNamespace(num_processes=1))
    with pytest.raises(BunrakuError, match="2 processes were started, but they do not see each other"):
        trainer(config(tmp_path))


def test_a_run_is_continued_with_its_own_settings_alone(tmp_path):
    trainer(config(tmp_path, steps=3)).run(until=3)
    changed = {"learning_rate": 1e-5, "seed": 4, "batch": 2}
    with pytest.raises(
        BunrakuError,
        match=r"holds a run with other settings: batch was 1 and is 2; learning_rate was 0\.0015 and is 1e-05; seed",
    ):
        trainer(config(tmp_path, steps=6, **changed))
    file = tmp_path / "config.json"
    of_today = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in of_today.items() if name != "optimizer"}))
    with pytest.raises(BunrakuError, match="other settings: optimizer was 'adamw' and is 'adafactor'"):
        trainer(config(tmp_path, steps=6, optimizer="adafactor"))
    # more steps and another log are no other run, nor is a setting that was not there when it was begun
    again = trainer(config(tmp_path, steps=6, log_every=1, repeats=3))
    again.run()
    assert again.step == 6


def test_averages_are_where_the_parameters_are_after_resuming(tmp_path):
    """accelerate loads what is registered with it into main memory; on a GPU the next step would end the process."""
    trainer(config(tmp_path, ema_decay=0.9)).run(until=3)
    again = trainer(config(tmp_path, ema_decay=0.9))
    moved = []
    to, load = again.ema.to, again.accelerator.load_state
    again.ema.to = lambda device: (moved.append(device), to(device))[1]
    again.accelerator.load_state = lambda folder: (moved.append("loaded"), load(folder))[1]
    again.resume()
    assert moved == ["loaded", again.accelerator.device]


def test_what_never_learns_is_not_trained(tmp_path):
    """One image token makes the cross-attention a constant: its queries and keys would get no gradient."""
    t = trainer(config(tmp_path, drop_condition=0.0, drop={}, batch=1))
    loss = t.loss(collate([t.dataset[0]]), t.generator(0))
    loss.backward()
    assert [name for name, p in t.trained.items() if p.grad is None] == []
    assert any(name.endswith("attn2.to_v.weight") for name in t.trained)


def test_randomness_is_the_same_everywhere(tmp_path):
    """Python's hash of numbers is no promise; these are the numbers of NumPy's SeedSequence."""
    t = trainer(config(tmp_path, seed=7))
    t.step = 11
    words = np.random.SeedSequence([7, 11, 2, 0]).generate_state(2, np.uint32)
    assert t.generator(2).initial_seed() == int(words[0]) << 31 | int(words[1]) >> 1
    assert t.generator(2).initial_seed() != t.generator(1).initial_seed()


def test_averages_are_used_inside_and_put_back(tmp_path):
    t = trainer(config(tmp_path, steps=2, ema_decay=0.9))
    t.run()
    raw = state(t)
    with t.averaged():
        assert any(not torch.equal(p, raw[name]) for name, p in t.trained.items())
    assert all(torch.equal(p, raw[name]) for name, p in t.trained.items())


def test_the_literal_guider_learns_too(tmp_path):
    t = trainer(config(tmp_path, steps=2, options={"literal_guider": True}))
    assert t.animator.pose_guider.config.out_channels == t.animator.denoiser.config.in_channels
    before = t.animator.pose_guider.conv_out.weight.detach().clone()
    t.run()
    assert not torch.equal(before, t.animator.pose_guider.conv_out.weight)


def test_the_learning_rate_warms_up_and_falls(tmp_path):
    t = trainer(config(tmp_path, steps=100, warmup=10, decay=0.5))
    factors = [t.learning_rate_factor(s) for s in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:50] == [1.0] * 41
    assert factors[100] == pytest.approx(0)
    assert all(a >= b for a, b in itertools.pairwise(factors[50:]))


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing(tmp_path):
    plain, saving = (trainer(config(tmp_path / str(on), steps=2, gradient_checkpointing=on)) for on in (False, True))
    plain.run()
    saving.run()
    for name, parameter in state(plain).items():
        torch.testing.assert_close(parameter, state(saving)[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
def test_stage_1_then_stage_2_gives_a_model_folder(tmp_path):
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    codec.save_pretrained(tmp_path / "vae")
    settings = {"steps": 2, "vae": str(tmp_path / "vae"), "checkpoint_every": 2}
    first = train(config(tmp_path / "one", **settings))
    assert (tmp_path / "one" / "validation" / "step-2.png").is_file()
    AcceleratorState._reset_state(reset_partial_state=True)
    second = train(config(tmp_path / "two", stage=2, init=str(first), **settings))
    pipeline = AnimationPipeline.from_pretrained(second)
    start = AnimationPipeline.from_pretrained(first)
    assert pipeline.denoiser.motion_parameters
    copied = dict(pipeline.reference_net.named_parameters())
    for name, parameter in start.reference_net.named_parameters():
        assert torch.equal(parameter, copied[name]), name
    # and from a finished model back to stage 1, whose denoiser has no motion modules
    mini = get_recipe("animate-anyone").size("mini")
    frames = mini.build(False, mini.options).denoiser
    copy_weights(pipeline.denoiser.float(), frames, "denoiser")
    assert torch.equal(frames.conv_in.weight, pipeline.denoiser.conv_in.weight)


@pytest.mark.slow
def test_the_three_stages_of_tcan(tmp_path):
    """A base, then adapters and appearance with the base frozen bit for bit, then the temporal layers alone."""
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    codec.save_pretrained(tmp_path / "vae")
    settings = SMALL | {
        "steps": 2,
        "checkpoint_every": 2,
        "vae": str(tmp_path / "vae"),
        "warmup": 0,
        "learning_rate": 1e-2,
    }
    settings["ema_decay"] = 0.0

    def stage(number: int, folder: str = "", **more) -> AnimationPipeline:
        AcceleratorState._reset_state(reset_partial_state=True)
        given = settings | more
        return AnimationPipeline.from_pretrained(
            train(training_config("tcan", "mini", number, tmp_path / (folder or f"{number}"), given))
        )

    def changed(before: torch.nn.Module, after: torch.nn.Module) -> set[str]:
        old, new = before.state_dict(), after.state_dict()
        return {name for name in old if not torch.equal(old[name], new[name])}

    base = stage(0)
    assert not base.denoiser.motion_parameters
    first = stage(1, init=str(tmp_path / "0" / "model"), keep_lora=True, lora_rank=4, lora_layers=("attn1",))
    assert changed(base.controlnet, first.controlnet) == set()
    assert changed(base.vae, first.vae) == set()
    adapted = changed(base.denoiser, first.denoiser)
    assert adapted
    assert all(".attentions." in name and ".attn1.to_" in name and "to_out" not in name for name in adapted)
    learned = changed(base.reference_net, first.reference_net)
    assert "conv_in.weight" in learned
    assert (tmp_path / "1" / "lora" / "pytorch_lora_weights.safetensors").is_file()

    still = stage(
        1,
        "still",
        init=str(tmp_path / "0" / "model"),
        trains=("reference_net",),
        learning_rate=0.0,
        steps=1,
        options={"reference_timestep": "every"},
    )
    assert changed(base.denoiser, still.denoiser) == set()
    source = base.denoiser.state_dict()
    assert all(torch.equal(value, source[name]) for name, value in still.reference_net.state_dict().items())
    assert still.config.options["reference_timestep"] == "every"

    moving = stage(2, "moving", init=str(tmp_path / "1" / "model"), trains=("denoiser.motion",))
    assert not any(p.any() for name, p in moving.controlnet.motion_parameters.items() if "proj_out.weight" in name)
    assert any(p.any() for name, p in moving.denoiser.motion_parameters.items() if "proj_out.weight" in name)

    second = stage(2, init=str(tmp_path / "1" / "model"))
    assert changed(first.denoiser, second.denoiser) == changed(first.reference_net, second.reference_net) == set()
    assert changed(first.controlnet, second.controlnet) == set()
    assert second.denoiser.motion_parameters
    moved = second.controlnet.motion_parameters
    assert {name.split(".motion_modules")[0] for name in moved} == {"down_blocks.1"}
    assert any(p.any() for name, p in moved.items() if "proj_out.weight" in name)
    assert second.config.recipe == "tcan"
    assert second.sampling.temperature == 3.0


def test_a_trained_model_goes_on_with_clips_of_ones_own_at_a_lower_rate(tmp_path):
    def settings(**given: Any) -> TrainingConfig:
        return training_config("bunraku", "small", 1, tmp_path, given)

    anew, own = settings(), settings(data="clips", init="bunraku")
    assert own.steps < anew.steps / 100
    assert own.kernel_rate < anew.kernel_rate / 2
    assert settings(init="bunraku") == replace(anew, init="bunraku")
    assert settings(data="clips") == replace(anew, data="clips")
    assert settings(data="clips", init="bunraku", steps=7) == replace(own, steps=7)


def test_plain_errors_before_training(tmp_path):
    with pytest.raises(BunrakuError, match="no size 'huge'"):
        training_config("animate-anyone", "huge", 1, tmp_path, {})
    with pytest.raises(BunrakuError, match="unknown recipe 'animate-nobody'"):
        training_config("animate-nobody", "mini", 1, tmp_path, {})
    with pytest.raises(BunrakuError, match="unknown training setting lr"):
        training_config("animate-anyone", "mini", 1, tmp_path, {"lr": 1})
    with pytest.raises(BunrakuError, match="stages 1, 2, not 3"):
        training_config("animate-anyone", "mini", 3, tmp_path, {})
    with pytest.raises(BunrakuError, match=r"domain is one of puppets, wide, humans.*, not 'narrow'"):
        config(tmp_path, domain="narrow")
    with pytest.raises(
        BunrakuError, match=r"recipe animate-anyone has no option control_window; it has literal_guider"
    ):
        config(tmp_path, options={"control_window": 3})
    with pytest.raises(BunrakuError, match="multiple of 8"):
        config(tmp_path, resolution=100)
    with pytest.raises(BunrakuError, match="--init"):
        train(config(tmp_path, stage=2))
    with pytest.raises(BunrakuError, match="adapters of a trained model: name it with --init"):
        train(training_config("tcan", "mini", 1, tmp_path, dict(SMALL)))
    with pytest.raises(BunrakuError, match="motion modules on top of a trained model: name it with --init"):
        train(training_config("bunraku", "small", 1, tmp_path, {**SMALL, "trains": ("motion", "pose_guider")}))
    with pytest.raises(
        BunrakuError, match="there is no pose-guider to train; this model has denoiser, image_encoder, pose_guider"
    ):
        trainer(config(tmp_path, trains=("denoiser", "pose-guider")))
    with pytest.raises(BunrakuError, match="no autoencoder in"):
        train(config(tmp_path, vae=str(tmp_path)))
    PatchCodec(16).save_pretrained(tmp_path / "narrow")
    with pytest.raises(BunrakuError, match="works on 32 latent channels, the autoencoder has 16"):
        train(config(tmp_path, vae=str(tmp_path / "narrow")))
    assert not (tmp_path / "checkpoints").exists()


def test_a_start_model_that_does_not_fit_is_refused():
    source, target = torch.nn.Module(), torch.nn.Module()
    source.register_parameter("scale", torch.nn.Parameter(torch.ones(1)))
    target.register_parameter("weight", torch.nn.Parameter(torch.ones(1)))
    before = target.weight.clone()
    with pytest.raises(BunrakuError, match=r"do not fit the denoiser.*\n +1 missing: weight\n +1 unexpected: scale"):
        copy_weights(source, target, "denoiser")
    assert torch.equal(target.weight, before)


def test_a_piped_run_says_how_far_it_is(tmp_path, caplog, capsys):
    with caplog.at_level("INFO"):
        trainer(config(tmp_path / "run", steps=2)).run()
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("train ")]
    assert len(lines) == 1
    assert lines[0].startswith("train 2/2, loss 0.")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_binding_makes_people_look_at_their_own_reference(tmp_path):
    """The same few steps with and without the loss; what is compared is the loss on held-out crowds."""

    def learned(weight: float) -> float:
        AcceleratorState._reset_state(reset_partial_state=True)
        settings = {
            "domain": "crowds",
            "binding": weight,
            "learning_rate": 5e-3,
            "steps": 40,
            "ema_decay": 0.0,
            "drop_condition": 0.0,
        }
        made = trainer(config(tmp_path / str(weight), **settings))
        made.run()
        batch = collate([made.dataset[1000 + i] for i in range(4)])
        noisy = torch.zeros(4, 32, 2, 8, 8)
        times, shown = torch.full((4, 2), 950), torch.ones(4, dtype=torch.bool)
        with torch.no_grad():
            inputs = Inputs(batch.stills, batch.driven)
            _, looks = made.animator(noisy, times, inputs, made.latents(batch), shown, watched=True)
            return float(made._binding(looks, batch, times, shown))

    assert learned(5.0) < 0.9 * learned(1e-9)


def test_muon_trains_the_kernels_inside_and_adamw_the_rest(tmp_path):
    run = trainer(config(tmp_path, kernel_rate=0.01))
    muon, adam = (each.optimizer for each in run.optimisers)
    counts = [sum(len(group["params"]) for group in each.param_groups) for each in (muon, adam)]
    assert sum(counts) == len(run.trained)
    kernels = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in run.trained.items() if id(p) in kernels}
    assert "denoiser.mid_block.resnets.0.conv1.weight" in names
    assert not any("conv_in" in name or "conv_out" in name or "bias" in name or "embed" in name for name in names)


def test_adafactor_keeps_less_than_the_parameters(tmp_path):
    run = trainer(config(tmp_path, optimizer="adafactor", steps=1))
    run.run()
    (optimiser,) = run.optimisers
    kept = sum(v.numel() for values in optimiser.optimizer.state.values() for v in values.values())
    assert (
        0 < kept < 0.6 * sum(p.numel() for p in run.trained.values())
    )  # AdamW keeps twice as many as there are parameters


@pytest.mark.parametrize(
    "chosen", [{}, {"kernel_rate": 0.01}, {"optimizer": "adafactor"}], ids=["adamw", "muon", "adafactor"]
)
def test_a_part_may_learn_at_a_rate_of_its_own(tmp_path, chosen):
    run = trainer(config(tmp_path, rates={"pose_guider": 10.0, "reference_net": 0.0}, weight_decay=0.0, **chosen))
    rates = {
        id(p): group["lr"] for optimiser in run.optimisers for group in optimiser.param_groups for p in group["params"]
    }
    inner = {id(p) for optimiser in run.optimisers[:-1] for group in optimiser.param_groups for p in group["params"]}
    before = state(run)
    for name, parameter in run.trained.items():
        usual = 0.01 if id(parameter) in inner else run.config.learning_rate
        factor = {"pose_guider": 10.0, "reference_net": 0.0}.get(name.split(".")[0], 1.0)
        assert rates[id(parameter)] == pytest.approx(factor * usual * run.learning_rate_factor(0)), name
    run.run()
    moved = {name.split(".")[0] for name, tensor in state(run).items() if not torch.equal(tensor, before[name])}
    assert {"denoiser", "pose_guider"} <= moved
    assert "reference_net" not in moved
    with pytest.raises(BunrakuError, match=r"rates are for parts that learn: .*; not for flow_guider"):
        trainer(config(tmp_path / "other", rates={"flow_guider": 10.0}, **chosen))


def test_a_run_from_before_there_were_rates_is_continued(tmp_path):
    run = trainer(config(tmp_path))
    run.run(until=2)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings.pop("rates") == {}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    check_same_run(config(tmp_path))
    with pytest.raises(BunrakuError, match=r"rates was \{\} and is"):
        check_same_run(config(tmp_path, rates={"denoiser": 2.0}))


@pytest.mark.parametrize("chosen", [{"kernel_rate": 0.01}, {"optimizer": "adafactor"}], ids=["muon", "adafactor"])
def test_with_other_optimisers_a_killed_run_continues_bit_for_bit(tmp_path, chosen):
    whole, halves = (config(tmp_path / name, **chosen) for name in ("whole", "halves"))
    trainer(whole).run()
    trainer(halves).run(until=3)
    second = trainer(halves)
    second.run()
    AcceleratorState._reset_state(reset_partial_state=True)
    first = trainer(whole)
    first.resume()
    for name, parameter in state(first).items():
        assert torch.equal(parameter, state(second)[name]), name


def test_the_picture_loss_is_the_error_of_what_is_shown(tmp_path):
    settings = {
        **SMALL,
        "steps": 2,
        "pictured": 2,
        "domain": "puppets",
        "drop": {},
        "drop_condition": 0.0,
        "relative": 0.0,
        "huber": 0.0,
    }
    run = {
        weight: trainer(
            training_config("bunraku", "small", 1, tmp_path / str(weight), {**settings, "picture_loss": weight}), True
        )
        for weight in (0.0, 1.0)
    }
    batch = collate([run[0.0].dataset[0]])
    losses = {weight: each.loss(batch, torch.Generator().manual_seed(0)) for weight, each in run.items()}
    own = (losses[1.0] - losses[0.0]).item()
    # untrained, the picture is the cut-out
    shown = unit_pixels(batch.driven["cutout"][..., :3]) - unit_pixels(batch.frames)
    assert own == pytest.approx(2 * shown.abs().mean().item(), abs=0.02)
    losses[1.0].backward()
    assert run[1.0].trained["denoiser.conv_out.weight"].grad.abs().max() > 0


def test_losses_relative_to_what_is_trusted(tmp_path):
    settings = {**SMALL, "steps": 2, "domain": "puppets", "drop_condition": 0.0}

    def loss(**given):
        folder = tmp_path / "-".join(map(str, given.values()))
        given = {"relative": 0.0, "huber": 0.0, **given}
        given["drop"] = {"cutout": given["drop"]}
        made = trainer(training_config("bunraku", "small", 1, folder, {**settings, **given}), True)
        return made.loss(collate([made.dataset[0]]), torch.Generator().manual_seed(0)).item(), made

    _, any_run = loss(drop=0.0)
    batch = collate([any_run.dataset[0]])
    truth = batch.frames / 127.5 - 1
    for drop, before in ((0.0, batch.driven["cutout"][..., :3] / 127.5 - 1), (1.0, 0 * truth)):
        (plain, _), (both, _) = (loss(drop=drop, picture_loss=weight) for weight in (0.0, 1.0))
        (latents, _), (all_of_it, _) = (loss(drop=drop, picture_loss=weight, relative=0.01) for weight in (0.0, 1.0))
        apart = (before - truth).abs()
        assert latents == pytest.approx(plain / (0.01 + apart.square().mean().item()), rel=1e-4)
        assert all_of_it - latents == pytest.approx((both - plain) / (0.1 + apart.mean().item()), rel=1e-3)


def small_bunraku(folder: Path, **given: Any) -> Trainer:
    """Untrained: it shows the cut-out."""
    settings = {**SMALL, "steps": 2, "drop": {}, "drop_condition": 0.0, **given}
    return trainer(training_config("bunraku", "small", 1, folder, settings), True)


@pytest.mark.parametrize("huber", [0.0, 0.3, 2.0])
def test_errors_of_the_picture_are_squared_where_they_are_small(tmp_path, huber):
    error = small_bunraku(tmp_path, huber=huber).pictures.error
    apart = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    values = error(apart)
    assert torch.equal(values, error(-apart))
    if huber == 0:
        assert torch.equal(values, apart.abs())
        return
    torch.testing.assert_close(values, torch.nn.HuberLoss(reduction="none", delta=huber)(apart, 0 * apart) / huber)
    beyond = apart.abs() >= huber
    torch.testing.assert_close(values[beyond], apart[beyond].abs() - huber / 2)
    about = torch.tensor([huber - 1e-9, huber, huber + 1e-9], dtype=torch.float64)
    torch.testing.assert_close(error(about), torch.full_like(about, huber / 2), atol=1e-8, rtol=0)
    at = torch.tensor([-huber, 0.0, huber / 2, huber], requires_grad=True)
    error(at).sum().backward()
    assert at.grad.tolist() == pytest.approx([-1.0, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("huber", [0.0, 0.3])
def test_relative_to_the_cut_out_every_sample_counts_the_same(tmp_path, huber):
    """Whoever shows the cut-out has a loss of about 1, whether that is nearly right or badly wrong."""
    settings = {"relative": 1e-6, "huber": huber, "pictured": 100, "domain": "wide"}
    plain, pictured = (small_bunraku(tmp_path / str(loss), picture_loss=loss, **settings) for loss in (0.0, 1.0))
    for run in (plain, pictured):
        torch.nn.init.constant_(run.animator.denoiser.conv_out.bias.data[-2:], 9.0)  # gates wide open
    samples = TheatreSamples(0, "train", 2, (64, 64), domain="wide", reads=plain.animator.reads)
    batch = collate([samples[index] for index in range(3)])
    truth, cut = batch.frames / 127.5 - 1, batch.driven["cutout"][..., :3] / 127.5 - 1
    least = 1e-6 / (2 * huber) if huber else 1e-3
    before = pictured.pictures.error(cut - truth).mean((1, 2, 3, 4))
    assert before.max() > 1.5 * before.min()
    share = pictured.pictures.shares(batch, {}, pictured.pictures.error)
    torch.testing.assert_close(share, 1 / (least + before))
    without = pictured.pictures.shares(batch, {"cutout": torch.tensor([True, False, False])}, pictured.pictures.error)
    torch.testing.assert_close(without[0], 1 / (least + pictured.pictures.error(truth[0]).mean()))
    assert torch.equal(without[1:], share[1:])
    losses = [run.loss(batch, torch.Generator().manual_seed(0)).item() for run in (plain, pictured)]
    assert losses[1] - losses[0] == pytest.approx((share * before).mean().item(), rel=1e-3)
    assert losses[1] - losses[0] == pytest.approx(1, abs=0.05)


def test_a_batch_is_of_one_size_and_the_sizes_follow_each_other(tmp_path):
    sizes, keep = ((64, 64), (80, 64), (64, 96)), str(tmp_path / "kept")
    settings = {**SMALL, "sizes": sizes, "batch": 2, "global_batch": 2, "steps": 3, "keep": keep, "kept": 6, "repeats": 2, "led": 0.5, "crop": 0}  # fmt: skip
    c = training_config("bunraku", "small", 1, tmp_path / "run", {**settings, "domain": "puppets", "misled": 0.0})
    made = trainer(c)
    made.dataset = dataset(c, made.animator.reads)
    kept = made.dataset
    assert isinstance(kept, KeptSamples)
    assert (kept.kinds, kept.repeats, kept.count) == (3, 2, 6)
    assert (kept.samples.led, kept.samples.consecutive) == (0.5, True)
    shapes, loss = [], made.loss
    made.loss = lambda batch, generator: (shapes.append(tuple(batch.frames.shape)), loss(batch, generator))[1]  # type: ignore[method-assign]
    before = state(made)
    made.run()
    assert shapes == [(2, 2, *size, 3) for size in sizes]
    assert len(list((tmp_path / "kept").rglob("*.npz"))) == 6
    moved = {name for name, tensor in state(made).items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} >= {"denoiser", "reference_net", "pose_guider"}
    assert any(".motion_modules." in name for name in moved)


def test_fast_arithmetic_ends_with_the_run():
    products = torch.backends.cuda.matmul
    for before in (True, False):
        products.allow_tf32 = before
        with fast_arithmetic():
            assert products.allow_tf32
        assert products.allow_tf32 == before


def test_references_in_one_or_several_pictures_are_learnt_from(tmp_path, monkeypatch):
    c = config(tmp_path, references=3, binding=0.1, domain="crowds")
    made = trainer(c)
    made.dataset = dataset(c, bound(made.animator.reads))
    counts = []
    forward = made.animator.reference_net.forward

    def counted(latents, *rest, **more):
        counts.append(len(latents))
        return forward(latents, *rest, **more)

    monkeypatch.setattr(made.animator.reference_net, "forward", counted)
    batch = collate([made.dataset[0]])
    losses = [made.loss(batch, made.generator(micro)) for micro in range(12)]
    assert set(counts) == {1, 2, 3}
    assert torch.isfinite(torch.stack(losses)).all()
    with pytest.raises(BunrakuError, match="references is 1 to 5 pictures, not 6"):
        config(tmp_path, references=6)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("seed", 10**30),
        ("learning_rate", float("nan")),
        ("betas", (2, 3)),
        ("workers", -1),
        ("ema_decay", 7),
        ("drop", {"pose": 2}),
        ("led", 1.5),
        ("huber", 2.5),
        ("repeats", 0),
        ("resolution", 64_000),
    ],
)
def test_settings_out_of_their_range(tmp_path, setting, value):
    with pytest.raises(BunrakuError, match=setting):
        config(tmp_path, **{setting: value})


@pytest.mark.slow
@pytest.mark.parametrize("part", ["model.safetensors", "optimizer.bin"])
def test_a_damaged_checkpoint_is_named(tmp_path, part):
    first = trainer(config(tmp_path, steps=2, checkpoint_every=1))
    first.run(1)
    file = tmp_path / "checkpoints" / "step-1" / part
    file.write_bytes(file.read_bytes()[:100])
    (tmp_path / "checkpoints" / "writing-2").mkdir()
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(BunrakuError, match=r"the checkpoint .*step-1 is damaged .* remove it"):
        trainer(config(tmp_path, steps=2, checkpoint_every=1)).resume()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-1"]  # what was half written is gone


def test_kept_latents_and_tokens_leave_training_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same losses and weights, and in a second run the frozen networks compute nothing at all."""
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "a.mp4", 3)
    settings = {"data": str(clips), "crops": 1, "steps": 4, "trains": ("denoiser", "reference_net", "pose_guider")}

    def weights(name: str, **more: Any) -> dict[str, torch.Tensor]:
        AcceleratorState._reset_state(reset_partial_state=True)
        c = config(tmp_path / name, **settings, **more)
        t = trainer(c)
        t.dataset = dataset(c, t.animator.reads)
        t.run()
        return state(t)

    plain, first = weights("plain"), weights("first", keep_latents=str(tmp_path / "kept"))
    kept = sorted((tmp_path / "kept").rglob("*.npy"))
    assert kept
    monkeypatch.setattr(Trainer, "_encode", None)
    monkeypatch.setattr(AnimateAnyone, "_image_token", None)
    second = weights("second", keep_latents=str(tmp_path / "kept"))
    assert sorted((tmp_path / "kept").rglob("*.npy")) == kept
    for name, tensor in plain.items():
        torch.testing.assert_close(first[name], tensor, rtol=0, atol=1e-6)
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"crops": 2}, "the theatre draws other pictures every time"), ({"data": "clips"}, "set crops as well")],
)
def test_latents_are_kept_of_pictures_that_come_again(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BunrakuError, match=message):
        config(tmp_path, keep_latents=str(tmp_path), **settings)
