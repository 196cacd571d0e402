"""The recipe bunraku: before training it is the puppet warp, the gate and the detail do what they say, and it animates at any size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from bunraku.animate import AnimateOptions, animate
from bunraku.cues.cues import Cues
from bunraku.cues.drawn import DRAWN, Drawn, Reduced, draw_conditions, with_puppet
from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import psnr
from bunraku.media import VideoReader, write_image
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.picture_codec import PictureCodec, fit_patches
from bunraku.nets.pixels import unit_pixels
from bunraku.nets.ports import Ports
from bunraku.pipeline import AnimationPipeline, detailed
from bunraku.puppet_warp import PuppetWarp
from bunraku.recipes import Encoded, Inputs, get_recipe
from bunraku.recipes.bunraku import GATES, GUIDED, GUIDERS, PAINTS, SCENE, TRUST, Bunraku, start_as_cut_out
from bunraku.recipes.common import SD15_SCHEDULER
from bunraku.recipes.recipe import stored_options
from bunraku.sampling.strength import Strength
from bunraku.theatre import Rendering, render, sample_scene
from bunraku.training.run import copy_weights
from tests.tiny import randomise

SMALL = get_recipe("bunraku").size("small")


@pytest.fixture(scope="module")
def shown() -> Rendering:
    return render(sample_scene(1, "val"), [0, 6, 12], 64)


@pytest.fixture(scope="module")
def pipeline(shown: Rendering) -> AnimationPipeline:
    """An untrained model before an autoencoder that knows these pictures."""
    torch.manual_seed(0)
    codec = PictureCodec(32, (8, 8), (1, 1), (8, 8, 8), (1, 1, 1)).eval()
    fit_patches(codec, unit_pixels(shown.frames) * 2 - 1)
    made = AnimationPipeline(
        codec, DDIMScheduler(**SMALL.scheduler), recipe="bunraku", size=(64, 64), defaults=SMALL.sampling.stored(),
        styles=SMALL.styles, options=stored_options(SMALL.options), **SMALL.build(False, SMALL.options).eval().parts(),
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def driven_by(shown: Rendering, pipeline: AnimationPipeline):
    mattes = np.where(shown.instances[:1] == 1, np.uint8(255), np.uint8(0))
    return draw_conditions(pipeline, shown.frames[0], shown.pose[1:], shown.pose[:1], mattes=mattes)


def test_the_condition_is_what_the_puppet_warp_makes_and_what_its_people_cover(shown, pipeline):
    _, frames = driven_by(shown, pipeline)
    cut = frames["cutout"][[0, 1]]
    warp = PuppetWarp().stream(
        shown.frames[0], shown.pose[1:], shown.pose[:1], mask=np.uint8(255) * (shown.instances[:1] == 1)
    )
    warped, people = np.concatenate(list(warp)), cut[..., 3] == 255
    np.testing.assert_allclose(cut[..., :3][people].astype(int), warped[people], atol=1)  # 254.6 is 255 as well
    # where nothing was seen behind them, the warp continues textures, and the condition is smooth as in training
    assert (cut[..., :3] == warped).all(-1).mean() > 0.9
    figure = shown.character_mask[1:]
    assert cut[..., 3][figure].mean() > 200
    assert cut[..., 3][~figure].mean() < 15
    np.testing.assert_array_equal(frames["cutout"][[1]], cut[1:])


def test_who_is_not_to_be_cut_out_stays_where_the_still_has_them(shown, caplog):
    lost = type(shown.pose)(shown.pose.keypoints[:1], np.zeros_like(shown.pose.scores[:1]), shown.pose.size)
    clip, own = (Cues(12, lost.size, "a test", pose=pose) for pose in (shown.pose[1:], lost))
    drawn = DRAWN["cutout"](with_puppet(clip, shown.frames[0], own, None), (64, 64))([0, 1])
    np.testing.assert_array_equal(drawn[1], np.dstack([shown.frames[0], np.zeros((64, 64, 1), np.uint8)]))
    assert "the character is not cut out" in caplog.text
    assert DRAWN["cutout"](clip, (64, 64)) is None


def test_before_training_it_is_the_warp_through_the_codec_and_with_detail_the_warp(shown, pipeline):
    stills, frames = driven_by(shown, pipeline)
    cut = frames["cutout"][[0, 1]][..., :3]
    coded = pipeline.decode(torch.stack([pipeline.encode(frame) for frame in cut], 2))
    made = pipeline(stills, frames, generator=torch.Generator().manual_seed(0)).frames
    assert psnr(made, cut).min() > psnr(coded, cut).min() + 3
    assert psnr(made, cut).min() > 38
    other = SMALL.build(False, Bunraku.Options()).eval()
    assert other.denoiser.config.out_channels == 34
    assert SMALL.build(False, Bunraku.Options(latent_channels=48)).reference_net.conv_in.in_channels == 48
    latents = torch.randn(1, 34, 1, 8, 8)
    latents[:, -1] = 1
    predicted = other.predict(
        torch.randn(1, 32, 1, 8, 8), torch.tensor([999]), Ports(torch.zeros(1, 1, 64), latents=latents)
    )
    gate = 1.15 * torch.tensor(1.75).sigmoid()
    torch.testing.assert_close(predicted[:, 32:], gate.expand(1, 1, 1, 8, 8))
    torch.testing.assert_close(predicted[:, :32], latents[:, :32] * (gate + (1 - gate) * gate))
    assert gate + (1 - gate) * gate > 0.9995


@torch.no_grad()
def test_two_gates_mix_the_cut_out_and_what_the_network_paints():
    torch.manual_seed(0)
    animator = SMALL.build(False, Bunraku.Options()).eval()
    randomise(animator.denoiser)
    noisy, level = torch.randn(2, 32, 1, 8, 8), torch.tensor([999, 3])
    joined = torch.randn(2, 34, 1, 8, 8)
    joined[0, -1], joined[1] = 1, 0  # the second goes without
    ports = Ports(torch.randn(2, 1, 64), latents=joined)
    out, predicted = animator.denoiser(noisy, level, ports), animator.predict(noisy, level, ports)
    assert out.shape[1] == 34
    keeps, trust = ((1.15 * out[:1, gate : gate + 1].sigmoid()).clamp(max=1) for gate in (32, 33))
    for gate in (keeps, trust):
        assert (gate == 1).any()  # where it is sure, the cut-out comes through as it is
        assert (gate < 1).any()
    own = keeps * joined[:1, :32] + out[:1, :32]
    torch.testing.assert_close(predicted[:1, :32], trust * joined[:1, :32] + (1 - trust) * own)
    torch.testing.assert_close(predicted[:1, 32:], trust)
    torch.testing.assert_close(predicted[1, :32], out[1, :32])
    assert not predicted[1, 32:].any()
    answers = animator.answers(noisy, level, ports)
    assert torch.equal(answers[:, :33], predicted)
    torch.testing.assert_close(answers[:1, 33:], own)  # the network's own picture, to be judged by itself
    assert torch.equal(answers[1:, 33:], out[1:, :32])
    without = animator.predict(noisy, level, Ports(ports.token))
    assert without.shape == predicted.shape
    assert not without[:, 32:].any()


@torch.no_grad()
def test_where_the_cut_out_is_not_to_be_seen_the_gates_have_no_effect():
    torch.manual_seed(0)
    animator = SMALL.build(False, Bunraku.Options()).eval()
    randomise(animator.denoiser)
    noisy, level, joined = torch.randn(1, 32, 1, 8, 8), torch.tensor([999]), torch.randn(1, 34, 1, 8, 8)
    joined[:, -1] = 1
    given = Ports(torch.randn(1, 1, 64), latents=joined)
    unseen = animator.weighted(given, {"cutout": 0.0})
    assert not unseen.latents.any()  # type: ignore[union-attr]

    def both() -> list[Tensor]:
        return [animator.answers(noisy, level, ports) for ports in (given, unseen)]

    shown, hidden = both()
    torch.testing.assert_close(hidden[:, :32], animator.denoiser(noisy, level, unseen)[:, :32])
    assert not hidden[:, 32].any()
    assert torch.equal(hidden[:, 33:], hidden[:, :32])
    for gate in (32, 33):
        animator.denoiser.conv_out.bias[gate] -= 3
        again = both()
        assert torch.equal(again[1], hidden)
        assert (again[0] - shown).abs().max() > 0.1


def test_the_cut_out_reaches_the_port_with_its_coverage_and_can_be_left_out(pipeline):
    animator = pipeline.animator
    still = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    frames = torch.randint(0, 256, (2, 3, 64, 64, 4), dtype=torch.uint8)
    latents = {"cutout": torch.randn(2, 32, 3, 8, 8)}
    given = Inputs(
        {"reference": still}, {"pose": frames[..., :3], "cutout": frames}, {"cutout": torch.tensor([False, True])}
    )
    maps = animator.encode_frames(given, latents)["cutout"]
    torch.testing.assert_close(maps[0, :32], latents["cutout"][0])
    cells = frames[0, ..., 3].float().view(3, 8, 8, 8, 8).mean((2, 4)) / 255
    torch.testing.assert_close(maps[0, 32], cells)
    assert (maps[0, 33] == 1).all()
    assert not maps[1].any()
    assert "cutout" not in animator.encode_frames(Inputs({}, {"pose": frames[..., :3]}), {})


def whole_batch(names: tuple[str, ...], dropped: dict[str, Tensor] | None = None) -> tuple[Inputs, dict[str, Tensor]]:
    """Two samples of two frames with these conditions, which differ from each other and from nothing."""
    torch.manual_seed(5)
    stills = {
        name: torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8) for name in ("reference", "reference_pose")
    }
    frames = {
        name: torch.randint(0, 256, (2, 2, 64, 64, 4 if name == "cutout" else 3), dtype=torch.uint8) for name in ALL
    }
    latents = {name: torch.randn(2, 32, 2, 8, 8) for name in ("cutout", *SCENE)}
    given = {name: value for name, value in latents.items() if name in names}
    return (
        Inputs(stills, {name: frames[name] for name in ("pose", *names)}, dropped or {}),
        {"reference": torch.randn(2, 32, 8, 8), **given},
    )


ALL = ("pose", "cutout", *GUIDED, *SCENE, "mask")


@torch.no_grad()
def predicted(animator: Bunraku, names: tuple[str, ...], dropped: dict[str, Tensor] | None = None) -> Tensor:
    inputs, latents = whole_batch(names, dropped)
    torch.manual_seed(6)
    shown = torch.tensor([True, True])
    return animator(torch.randn(2, 32, 2, 8, 8), torch.tensor([700, 700]), inputs, latents, shown)


def test_before_training_the_papers_conditions_change_nothing():
    """And a model of before, which has none of them, is one of these with nothing to show it."""
    torch.manual_seed(0)
    before = SMALL.build(False, Bunraku.Options()).eval()
    assert before.reads.frames == ("pose", "cutout")
    randomise(before.denoiser)
    torch.manual_seed(1)
    whole = SMALL.build(False, SMALL.options).eval()
    assert whole.reads.frames == ("pose", "cutout", *GUIDED, *SCENE, "mask")
    assert whole.reads.latents == ("reference", "cutout", *SCENE)
    for name, part in before.parts().items():
        copy_weights(part, whole.parts()[name], name)
    expected = predicted(before, ("cutout",))
    torch.testing.assert_close(predicted(whole, ("cutout",)), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(predicted(whole, ALL), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*GUIDED, *SCENE, "mask"])
def test_every_condition_counts_once_it_has_learnt_and_goes_missing_without_a_trace(name: str):
    torch.manual_seed(2)
    animator = SMALL.build(False, SMALL.options).eval()
    for part in animator.parts().values():
        randomise(part)
    others = tuple(other for other in ALL if other != name)
    seen, unseen = predicted(animator, ALL), predicted(animator, others)
    assert (seen - unseen).abs().max() > 1e-4
    assert unseen.shape == seen.shape
    if name != "mask":  # which goes with the environment
        dropped = predicted(animator, ALL, {name: torch.tensor([True, False])})
        torch.testing.assert_close(dropped[1], seen[1])
        if name != "environment":
            torch.testing.assert_close(dropped[0], unseen[0], atol=1e-5, rtol=1e-4)
    nothing = predicted(animator, ())
    assert nothing.shape == seen.shape
    assert not nothing[:, 32].any(), "no cut-out, no trust, whatever the scene shows"


@torch.no_grad()
def test_a_model_that_trusts_the_figure_takes_nothing_of_it_away():
    torch.manual_seed(3)
    animator = SMALL.build(False, Bunraku.Options()).eval()
    randomise(animator.denoiser)
    animator.denoiser.conv_out.bias[33] -= 9  # it would trust nothing
    trusting = Bunraku(**animator.parts(), options=Bunraku.Options(figure_trust=1.0))
    inputs, latents = whole_batch(("cutout",))
    inputs.frames["cutout"][..., 3] = 0
    inputs.frames["cutout"][..., 32:, :, 3] = 255  # the lower half is figure
    for factors, kept in (
        ({}, 1.0),
        ({"cutout": 0.0}, 0.0),
        ({"cutout": 0.5}, 0.5),
        ({"cutout": 2.0}, 1.0),
        ({"pose": 0.0}, 1.0),
    ):
        assert trusting.figure_kept(factors) == kept
    half = replace(trusting.options, figure_trust=0.5)
    said = {}
    for name, each in {
        "gate": animator,
        "half": Bunraku(**animator.parts(), options=half),
        "trusting": trusting,
    }.items():
        torch.manual_seed(6)
        noisy = torch.randn(2, 32, 2, 8, 8)
        said[name] = each(noisy, torch.tensor([700, 700]), inputs, latents, torch.tensor([True, True]))
    assert said["gate"][:, 32].max() < 0.4
    torch.testing.assert_close(said["trusting"][..., 4:, :][:, :32], latents["cutout"][..., 4:, :])
    assert (said["half"][:, 32, :, 4:] == 0.5).all()
    assert torch.equal(said["trusting"][..., :4, :], said["gate"][..., :4, :]), "beside the figure the gate decides"
    assert torch.equal(said["trusting"][:, 33:], said["gate"][:, 33:]), "its own picture is judged as ever"
    assert animator.figure_kept({}) == 0
    assert animator.figure_kept({"cutout": 1.5}) == 0.5
    with pytest.raises(BunrakuError, match="figure_trust"):
        Bunraku(**animator.parts(), options=Bunraku.Options(figure_trust=1.5))


@torch.no_grad()
def test_the_scene_stays_in_the_unconditional_half_and_the_cut_out_does_not():
    animator = SMALL.build(False, SMALL.options).eval()
    inputs, latents = whole_batch(ALL)
    stills = {name: values for name, values in latents.items() if name == "reference"}
    encoded = Encoded(animator.encode_stills(inputs, stills), animator.encode_frames(inputs, latents))
    ports = [
        animator.ports(encoded, range(2), torch.zeros(2, 32, 2, 8, 8), torch.tensor(5), shown)
        for shown in (True, False)
    ]
    assert ports[0].latents is not None
    assert ports[1].latents is not None
    assert not ports[1].latents[:, :34].any()
    torch.testing.assert_close(ports[1].latents[:, 34:], ports[0].latents[:, 34:])
    torch.testing.assert_close(ports[0].latents[:, 34:66], latents["environment"])
    torch.testing.assert_close(ports[0].latents[:, 67:], latents["object"])
    half = animator.weighted(ports[0], {"cutout": 0.5}).latents
    assert half is not None
    assert (half[:, 33] == 0.5).all()
    torch.testing.assert_close(half[:, 34:], ports[0].latents[:, 34:])
    parts = animator.parts() | {"flow_guider": None}
    with pytest.raises(BunrakuError, match="no flow_guider"):
        Bunraku(**parts, options=SMALL.options)  # type: ignore[arg-type]
    with pytest.raises(BunrakuError, match="no condition weather"):
        SMALL.build(False, Bunraku.Options(conditions=("weather",)))


def test_everything_learns_from_the_first_step_on(pipeline):
    animator = SMALL.build(False, SMALL.options)
    still = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    inputs = Inputs({"reference": still, "reference_pose": still}, {"pose": still[:, None], "cutout": torch.full((1, 1, 64, 64, 4), 9, dtype=torch.uint8)})  # fmt: skip
    latents = {"reference": torch.randn(1, 32, 8, 8), "cutout": torch.randn(1, 32, 1, 8, 8)}
    out: Tensor = animator(torch.randn(1, 32, 1, 8, 8), torch.tensor([500]), inputs, latents, torch.tensor([True]))
    assert out.shape == (1, 65, 1, 8, 8)  # the prediction, its trust, the network's own picture
    out.square().sum().backward()
    gradient = animator.denoiser.conv_out.weight.grad
    assert gradient is not None
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()  # what is painted, and both gates


@pytest.mark.parametrize(("gate", "seen"), [(-2, slice(33, None)), (-1, slice(32, 33))], ids=["kept", "trusted"])
def test_a_gate_that_is_sure_still_learns(gate: int, seen: slice):
    animator = SMALL.build(False, Bunraku.Options())
    torch.nn.init.constant_(animator.denoiser.conv_out.bias.data[gate], 3.0)
    ports = Ports(torch.zeros(1, 1, 64), latents=torch.ones(1, 34, 1, 8, 8))
    shown = animator.answers(torch.randn(1, 32, 1, 8, 8), torch.tensor([999]), ports)[:, seen]
    torch.testing.assert_close(shown, torch.ones_like(shown))
    shown.sum().backward()
    assert animator.denoiser.conv_out.bias.grad[gate] > 0  # type: ignore[union-attr]


def test_detail_is_the_trusted_frames_where_they_are_trusted_and_enlarged_elsewhere():
    rng = np.random.default_rng(0)
    full = rng.integers(0, 256, (2, 64, 48, 3), np.uint8)
    plain = rng.integers(100, 156, (2, 32, 24, 3), np.uint8)
    trusted, not_trusted = torch.ones(1, 1, 2, 4, 3), torch.zeros(1, 1, 2, 4, 3)
    np.testing.assert_array_equal(detailed(plain, trusted, full, plain), full)
    flat = np.full_like(plain, 77)
    assert (detailed(flat, not_trusted, full, plain) == 77).all()
    half = detailed(flat, trusted / 2, np.full_like(full, 140), np.full_like(plain, 100))
    assert (half == 97).all()


def test_detail_makes_the_output_larger_than_what_the_model_paints(shown, pipeline):
    stills, frames = driven_by(shown, pipeline)
    large = render(sample_scene(1, "val"), [0, 6, 12], 128)
    fine = Drawn("cutout", with_puppet(Cues(12, (128, 128), "a test", pose=large.pose[1:]), large.frames[0], Cues(12, (128, 128), "a test", pose=large.pose[:1]), np.uint8(255) * (large.instances[:1] == 1)), (128, 128))  # fmt: skip
    given = frames | {"cutout": Reduced(fine, (64, 64))}
    made = pipeline(stills, given, detail=fine, generator=torch.Generator().manual_seed(0)).frames
    assert made.shape == (2, 128, 128, 3)
    assert psnr(made, fine[[0, 1]][..., :3]).min() > 30
    wrong = Reduced(fine, (64, 128))
    with pytest.raises(BunrakuError, match="the detail must have 2 frames"):
        pipeline.stream(stills, given, detail=wrong)


def test_animate_paints_at_the_size_of_the_reference(pipeline, tmp_path: Path):
    pipeline.save_pretrained(tmp_path / "model")
    large = render(sample_scene(1, "val"), [0, 6], (200, 136))
    write_image(tmp_path / "still.png", large.frames[0])
    Cues(12, large.pose.size, "a test", pose=large.pose).save(tmp_path / "motion.cues")
    options = AnimateOptions(model=str(tmp_path / "model"), retarget="off", device="cpu")
    done = animate(tmp_path / "still.png", tmp_path / "motion.cues", tmp_path / "out.mp4", options)
    assert VideoReader(done.output).size == (192, 144)  # three times what it paints


def test_the_stage_trains_a_model_without_some_conditions():
    """What it has of the parts that the stage names learns; a stage that names nothing else is told so."""
    stage = SMALL.stages[1]
    assert stage.motion
    conditions: tuple[tuple[str, ...], ...] = ((*GUIDED, *SCENE), ("flow",), ())
    whole, some, none = (SMALL.build(stage.motion, Bunraku.Options(conditions=c)) for c in conditions)
    learning = [stage.parameters(animator) for animator in (whole, some, none)]
    parts = [{name.split(".")[0] for name in names} for names in learning]
    for animator, names in zip((whole, some, none), learning):
        motion = {name for name, _ in animator.named_parameters() if ".motion_modules." in name}
        assert motion
        assert motion < set(names)
    assert parts[0] - parts[1] == {"depth_order_guider", "structured_depth_guider"}
    assert parts[1] - parts[2] == {"flow_guider"}
    with pytest.raises(BunrakuError, match="of flow_guider this model has nothing to train; it has denoiser"):
        replace(stage, trains=("flow_guider",)).parameters(none)


@torch.no_grad()
def test_a_network_that_says_the_noise_paints_the_picture_that_it_hides():
    schedule = DDIMScheduler(**SD15_SCHEDULER)
    animator = SMALL.build(False, replace(SMALL.options, conditions=(), predicts="epsilon")).eval()
    clean, noise = torch.randn(2, 1, 32, 3, 4, 4).unbind()
    for timesteps in (torch.tensor([700]), torch.tensor([[1, 500, 999]])):
        animator.denoiser.forward = lambda noisy, *_: torch.cat([noise, noise.new_full((1, GATES, 3, 4, 4), -30.0)], 1)
        noisy = torch.stack(
            [
                schedule.add_noise(clean[:, :, frame], noise[:, :, frame], timesteps.expand(1, 3)[:, frame])
                if timesteps.ndim == 2
                else schedule.add_noise(clean[:, :, frame], noise[:, :, frame], timesteps)
                for frame in range(3)
            ],
            2,
        )
        made = animator.predict(noisy, timesteps, Ports(torch.zeros(1, 1, 64)))
        assert (made[:, :32] - clean).abs().max() < 1e-4


def test_the_papers_size_starts_from_public_weights_and_paints_what_they_paint():
    """Tiny networks in Stable Diffusion's place: what is more in the first and last kernel keeps its start."""
    size = get_recipe("bunraku").size("sd15")
    with torch.device("meta"):
        animator = size.build(False, size.options)
    assert animator.denoiser.config.out_channels == 4 + GATES
    assert animator.denoiser.config.joined_channels == 4 + 2 + 4 + 1 + 4
    assert {name for name in animator.parts() if name.endswith("_guider")} == {"pose_guider", *GUIDERS}
    tiny = {
        "block_out_channels": (16, 32),
        "num_attention_heads": 2,
        "cross_attention_dim": 16,
        "norm_num_groups": 8,
        "motion": False,
    }
    base, wider = Denoiser(**tiny), Denoiser(**tiny, joined_channels=15, out_channels=4 + GATES)
    start_as_cut_out(wider, keeps=PAINTS)
    copy_weights(base, wider, "denoiser")
    for name in ("weight", "bias"):
        mine, theirs = getattr(wider.conv_out, name), getattr(base.conv_out, name)
        assert torch.equal(mine[:4], theirs)
    assert wider.conv_out.bias[4:].tolist() == [PAINTS, TRUST]
    assert not wider.conv_out.weight[4:].any()
    assert torch.equal(wider.conv_in.weight[:, :4], base.conv_in.weight)
    assert not wider.conv_in.weight[:, 4:].any()
    assert size.stages[2].trains == ("motion",)
    assert size.stages[1].settings["global_batch"] == 64


def test_a_share_of_the_cut_out_darkens_nothing(pipeline, shown):
    """Half of the trust leaves a picture that is kept as bright as it was."""
    stills, frames = driven_by(shown, pipeline)
    half = [Strength("cutout", 0.5)]
    whole, less = (
        pipeline(stills, frames, generator=torch.Generator().manual_seed(0), strengths=strengths).frames.mean()
        for strengths in ((), half)
    )
    assert abs(whole - less) < 3


@torch.no_grad()
def test_a_strength_of_two_takes_nothing_of_the_figure_away():
    """Gates that leave the cut-out: at 2 it is trusted by as much as the figure covers, at 1.5 by half of that, and what the network sees is the same."""
    torch.manual_seed(0)
    animator = SMALL.build(False, Bunraku.Options()).eval()
    animator.denoiser.conv_out.bias[-GATES:] = -9.0
    latents, cover = torch.randn(1, 34, 1, 8, 8), torch.rand(1, 1, 1, 8, 8)
    latents[:, 32:33], latents[:, 33] = cover, 1
    noisy, ports = torch.randn(1, 32, 1, 8, 8), Ports(torch.zeros(1, 1, 64), latents=latents)
    plain, half, whole = (
        animator.answers(noisy, torch.tensor([999]), animator.weighted(ports, {"cutout": amount}))
        for amount in (1.0, 1.5, 2.0)
    )
    assert plain[:, 32].max() < 0.01
    torch.testing.assert_close(half[:, 32:33], torch.maximum(plain[:, 32:33], cover / 2))
    torch.testing.assert_close(whole[:, 32:33], torch.maximum(plain[:, 32:33], cover))
    assert torch.equal(whole[:, 33:], plain[:, 33:])  # its own picture
    torch.testing.assert_close(whole[:, :32], whole[:, 32:33] * latents[:, :32] + (1 - whole[:, 32:33]) * plain[:, 33:])


def test_it_follows_mended_poses_unless_it_is_told_to_follow_them_exactly(shown, pipeline):
    refiner = pipeline.pose_refiner
    assert refiner is not None
    assert refiner.out.weight.abs().max() == 0
    with torch.no_grad():
        refiner.out.bias[2 * 4 + 1] = 0.1  # the right wrist belongs a tenth of a height lower
    mended = driven_by(shown, pipeline)[1]
    exact = draw_conditions(pipeline, shown.frames[0], shown.pose[1:], shown.pose[:1], refine=False)[1]
    moved = mended["pose"].cues.pose.keypoints - exact["pose"].cues.pose.keypoints
    assert moved[:, 0, 4, 1].min() > 2
    assert np.abs(moved[:, 0, [0, 1, 2, 7]]).max() < 0.01
    np.testing.assert_array_equal(exact["pose"].cues.pose.keypoints, shown.pose[1:].keypoints)
    assert not np.array_equal(mended["cutout"][[0]], exact["cutout"][[0]])
    with torch.no_grad():
        refiner.out.bias[2 * 4 + 1] = 0
    nobody = draw_conditions(pipeline, shown.frames[0], shown.pose[1:])[1]  # whose poses are not known
    np.testing.assert_array_equal(nobody["pose"].cues.pose.keypoints, shown.pose[1:].keypoints)


def test_a_model_that_refines_has_a_refiner():
    options = replace(SMALL.options, refines=False)
    assert SMALL.build(False, options).pose_refiner is None
    parts = SMALL.build(False, options).parts()
    with pytest.raises(BunrakuError, match="no pose_refiner"):
        Bunraku(**parts, options=SMALL.options)
