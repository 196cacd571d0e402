"""The recipe animate-anyone-2: nothing disturbed before training, every condition matters after, pieces as the whole clip, training."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from bunraku.cues.cues import Cues
from bunraku.cues.drawn import draw_conditions
from bunraku.data.theatre import TheatreSamples
from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser
from bunraku.nets.object_guider import ObjectGuider
from bunraku.nets.patch_codec import PatchCodec
from bunraku.nets.pose_guider import PoseGuider
from bunraku.nets.pose_modulation import PoseModulation
from bunraku.nets.reference_net import ReferenceNet
from bunraku.pipeline import AnimationPipeline
from bunraku.recipes import Inputs, get_recipe
from bunraku.recipes.animate_anyone_2 import MASK, AnimateAnyone2
from bunraku.training.config import training_config
from bunraku.training.run import copy_weights, train
from bunraku.weights import load_pipeline
from tests.tiny import TINY, build_tiny_pipeline, randomise, walking_track

RECIPE = get_recipe("animate-anyone-2")
FRAMES = ("pose", "structured_depth", "environment", "mask", "object")
MOTION: dict[str, Any] = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 4}


def tiny_parts() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "denoiser": Denoiser(**TINY, **MOTION, joined_channels=4 + MASK, blend_bias=-4.0),
        "reference_net": ReferenceNet(**TINY, reference_blocks="midup"),
        "pose_guider": PoseModulation(
            out_channels=16, block_out_channels=(8, 16), unshuffle=4, norm=True, num_attention_heads=2
        ),
        "object_guider": ObjectGuider(4, (16, 16)),
    }


def tiny_pipeline(random: bool = True) -> AnimationPipeline:
    parts = tiny_parts()
    for part in parts.values():
        if random:
            randomise(part)
        part.eval()
    return build_tiny_pipeline(recipe="animate-anyone-2", **parts)


def clip(frames: int, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Stills and frames of a scene with everything in it."""
    rng = np.random.default_rng(seed)
    track = walking_track(frames)
    mattes, objects = np.zeros((2, frames, 64, 64), np.uint8)
    mattes[:, 20:50, 22:40] = 255
    objects[:, 8:20, 40:56] = 255
    maps = {
        "mattes": mattes[:, None],
        "objects": objects,
        "depth": rng.uniform(1, 9, (frames, 64, 64)).astype(np.float32),
    }
    pixels = rng.integers(1, 256, (frames, 64, 64, 3), np.uint8)
    cues = Cues(12, (64, 64), "a test", pose=track, maps=maps, pixels=pixels)
    stills, drawn = draw_conditions(tiny_pipeline(), rng.integers(0, 256, (64, 64, 3), np.uint8), cues, track[:1])
    return stills, {name: source[range(frames)] for name, source in drawn.items()}


def made(pipeline: AnimationPipeline, stills: Any, frames: Any, **settings: Any) -> np.ndarray:
    sampling = pipeline.sampling.but(settings)
    return pipeline(stills, frames, sampling, generator=torch.Generator().manual_seed(0)).frames


def predicted(animator: AnimateAnyone2, names: tuple[str, ...]) -> torch.Tensor:
    """What the animator predicts where only the conditions `names` are there."""
    stills, frames = clip(2)
    torch.manual_seed(1)
    latents = {name: torch.randn(1, 4, 2, 8, 8) for name in ("environment", "object")}
    noisy, reference = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 4, 8, 8)
    inputs = Inputs(
        {name: torch.from_numpy(still)[None] for name, still in stills.items()},
        {name: torch.from_numpy(frames[name])[None] for name in names},
    )
    given = {"reference": reference} | {name: value for name, value in latents.items() if name in names}
    with torch.no_grad():
        return animator(noisy, torch.tensor([300]), inputs, given, torch.tensor([True]))


def test_every_condition_is_drawn_of_what_is_known():
    _, frames = clip(3)
    assert tuple(frames) == FRAMES
    hole = frames["mask"][0, ..., 0] > 0
    assert hole[20:50, 22:40].all()
    assert not frames["environment"][0][hole].any()
    assert frames["environment"][0][~hole].all()
    assert frames["object"][0].any(-1).sum() == 12 * 16
    assert frames["structured_depth"].max() <= 255 and frames["structured_depth"].any()  # noqa: PT018
    drawn = draw_conditions(tiny_pipeline(), np.zeros((64, 64, 3), np.uint8), walking_track(2))[1]
    assert list(drawn) == ["pose"]  # poses alone say nothing of a scene


def test_nothing_is_disturbed_before_training():
    """Denoiser and ReferenceNet of a base, widened: scene, depth and objects elsewhere change nothing."""
    base = randomise(Denoiser(**TINY, **MOTION)).eval()
    pipeline = tiny_pipeline(random=False)
    copy_weights(base, pipeline.denoiser, "denoiser")
    assert not pipeline.denoiser.conv_in.weight[:, 4:].any()
    torch.testing.assert_close(pipeline.denoiser.conv_in.weight[:, :4], base.conv_in.weight)
    randomise(pipeline.reference_net)
    animator = pipeline.animator
    alone = predicted(animator, ("pose",))
    assert alone.std() > 0.01
    assert torch.equal(predicted(animator, ("pose", "structured_depth")), alone)
    assert torch.equal(predicted(animator, ("pose", "environment", "mask")), alone)
    blended = predicted(animator, FRAMES)
    assert 0 < (blended - alone).abs().max() < 0.3 * alone.std()  # alpha starts at 0.018, on the object alone


def test_the_scene_may_start_as_the_latents_do():
    base = randomise(Denoiser(**TINY, **MOTION)).eval()
    pipeline = tiny_pipeline(random=False)
    pipeline.animator.options = AnimateAnyone2.Options(scene_start="latents")
    copy_weights(base, pipeline.denoiser, "denoiser")
    weight = pipeline.denoiser.conv_in.weight
    pipeline.animator.begin()
    assert torch.equal(weight[:, 4:8], base.conv_in.weight)
    assert not weight[:, 8:].any()  # the mask
    with torch.no_grad():
        weight[:, 4:] = 1
    pipeline.animator.begin()  # it knows scenes by now
    assert (weight[:, 4:] == 1).all()


@pytest.mark.parametrize("name", FRAMES[1:])
def test_every_condition_matters_after_training(name):
    animator = tiny_pipeline().animator
    without = tuple(other for other in FRAMES if other != name)
    assert (predicted(animator, FRAMES) - predicted(animator, without)).abs().max() > 1e-3


def test_a_dropped_condition_is_an_absent_one_and_others_stay():
    animator, (_, frames) = tiny_pipeline().animator, clip(2)
    latents = {name: torch.randn(2, 4, 2, 8, 8) for name in ("environment", "object")}
    both = {name: torch.from_numpy(np.stack([drawn, drawn])) for name, drawn in frames.items()}
    dropped = {name: torch.tensor([True, False]) for name in ("environment", "object", "structured_depth")}
    with torch.no_grad():
        full = animator.encode_frames(Inputs({}, both), latents)
        some = animator.encode_frames(Inputs({}, both, dropped), latents)
        alone = animator.encode_frames(Inputs({}, {"pose": both["pose"]}), {})
    assert not some["scene"][0].any()
    torch.testing.assert_close(some["pose"][0], alone["pose"][0])
    assert not some["object 0"][0, -1].any()  # nothing is blended in
    for name, maps in full.items():
        torch.testing.assert_close(some[name][1], maps[1])


def test_pieces_are_encoded_as_the_whole_clip():
    """The convolution over time sees across the ends of a piece; halo frames are drawn for it."""
    pipeline, (stills, frames) = tiny_pipeline(), clip(19)
    frames["structured_depth"][8:16] = 0  # a whole piece without depth
    whole = made(pipeline, stills, frames, chunk=64)
    for chunk in (8, 1):
        pieces = made(pipeline, stills, frames, chunk=chunk)
        assert np.abs(whole.astype(int) - pieces).max() <= 1
    AnimateAnyone2.halo, halo = 0, AnimateAnyone2.halo
    try:
        assert np.abs(whole.astype(int) - made(pipeline, stills, frames, chunk=1)).max() > 1
    finally:
        AnimateAnyone2.halo = halo


def test_maps_made_for_every_window_are_those_of_the_clip(monkeypatch):
    """With what lies beside a window, latents that are kept, and windows that begin again at the first frame."""
    pipeline, (stills, frames) = tiny_pipeline(), clip(19)
    kept = made(pipeline, stills, frames, wrap=True)
    monkeypatch.setattr("bunraku.pipeline.KEPT", 0)
    encoded = Counter()
    monkeypatch.setattr(
        AnimationPipeline,
        "encode",
        lambda self, image, own=AnimationPipeline.encode: encoded.update(["vae"]) or own(self, image),
    )
    again = made(pipeline, stills, frames, wrap=True)
    assert np.abs(kept.astype(int) - again).max() <= 1
    monkeypatch.setattr("bunraku.pipeline.KEPT", 2**29)
    lazily = encoded.pop("vae")
    made(pipeline, stills, frames, wrap=True)
    assert encoded["vae"] == lazily, "the autoencoder sees every picture as often"


def test_saved_and_loaded(tmp_path):
    pipeline, (stills, frames) = tiny_pipeline(), clip(4)
    pipeline.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path, device="cpu")
    again.set_progress_bar_config(disable=True)
    assert isinstance(again.animator, AnimateAnyone2)
    np.testing.assert_array_equal(made(again, stills, frames), made(pipeline, stills, frames))
    literal = {"literal_guider": True}
    with pytest.raises(BunrakuError, match="pose guider of its own"):
        build_tiny_pipeline(recipe="animate-anyone-2", options=literal, **tiny_parts())


def test_paper_size():
    with torch.device("meta"):
        animator = RECIPE.size("sd15").build(True, RECIPE.size("sd15").options)
    assert animator.denoiser.conv_in.weight.shape == (320, 9, 3, 3)
    blends = [
        name for name, _ in animator.denoiser.named_parameters() if name.endswith("conv.bias") and ".blends." in name
    ]
    assert len(blends) == 10  # METHODS (d): after each spatial attention of middle and up
    stage = RECIPE.size("sd15").stages[1]
    learnt = {name.split(".")[0] for name in stage.parameters(animator)}
    assert learnt == {"denoiser", "reference_net", "pose_guider", "object_guider"}
    assert any(".motion_modules." in name for name in stage.parameters(animator))


def test_stage_samples_hide_the_character_and_show_it_on_other_ground():
    reads = RECIPE.size("mini").build(False, RECIPE.size("mini").options).reads
    settings: dict[str, Any] = {"size": (64, 64), "frames": 3, "domain": "stage", "reads": reads, "consecutive": True}
    holes, plain = [], 0
    for index in range(8):
        sample = TheatreSamples(0, **settings)[index]
        assert set(sample.driven) == set(FRAMES)
        hole = sample.driven["mask"][..., 0] > 0
        assert not sample.driven["environment"][hole].any()
        same = (sample.driven["environment"] == sample.frames).all(-1)
        plain += bool(same[~hole].all())
        holes.append(hole.mean())
        assert sample.driven["object"].any()
        ground = (sample.stills["reference"][:8] == sample.frames[0][:8]).all(-1).mean()
        assert ground < 0.5
    assert 0 < plain < 8  # some clips were scaled first, and some not
    assert np.std(holes) > 0.01
    held_out = TheatreSamples(0, "val", **settings)[0]
    hole = held_out.driven["mask"][..., 0] > 0
    assert (held_out.driven["environment"] == held_out.frames).all(-1)[~hole].all()


@pytest.mark.slow
def test_two_steps_on_the_theatre(tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    codec = PatchCodec(32)
    torch.nn.init.orthogonal_(codec.components.view(32, -1))
    codec.save_pretrained(tmp_path / "vae")
    settings = {
        "resolution": 64, "batch": 1, "frames": 2, "workers": 0, "steps": 2, "precision": "float32", "validation_clips": 1,
        "warmup": 0, "learning_rate": 0.01, "ema_decay": 0.0, "vae": str(tmp_path / "vae"),
    }  # fmt: skip
    model = train(training_config("animate-anyone-2", "mini", 1, tmp_path / "run", settings))
    pipeline = load_pipeline(model, device="cpu")
    assert pipeline.denoiser.conv_in.weight[:, 32:].any()
    assert pipeline.pose_guider.conv_out.weight.any()
    AcceleratorState._reset_state(reset_partial_state=True)
    second = settings | {"init": str(model), "vae": None}
    model = train(training_config("animate-anyone-2", "mini", 2, tmp_path / "second", second))
    assert load_pipeline(model, device="cpu").denoiser.config.motion


def tiny_variant(**options: Any) -> dict[str, Any]:
    """Parts as `tiny_parts`, for other options of the recipe."""
    parts = tiny_parts()
    chosen = AnimateAnyone2.Options(**options)
    blend = -4.0 if chosen.objects == "blend" else None
    parts["denoiser"] = Denoiser(
        **TINY, **MOTION, joined_channels=4 + MASK + 4 * (chosen.objects == "noise"), blend_bias=blend
    )
    if not chosen.modulation:
        parts["pose_guider"] = PoseGuider(out_channels=16, block_out_channels=(8, 16), unshuffle=4, norm=True)
    return parts


def test_objects_may_be_joined_to_the_noise_or_not_shown_and_depth_left_out():
    for options, reads in (
        ({"objects": "noise"}, FRAMES),
        ({"objects": "none"}, FRAMES[:-1]),
        ({"modulation": False}, ("pose", "environment", "mask", "object")),
    ):
        parts = {name: randomise(part).eval() for name, part in tiny_variant(**options).items()}
        pipeline = build_tiny_pipeline(recipe="animate-anyone-2", options=options, **parts)
        assert pipeline.reads.frames == reads
        assert set(pipeline.reads.latents) == {"reference", "environment"} | {"object"} & set(reads)
        whole = predicted(pipeline.animator, FRAMES)
        for name in FRAMES[1:]:
            without = predicted(pipeline.animator, tuple(other for other in FRAMES if other != name))
            assert torch.equal(whole, without) == (name not in reads), (options, name)
        stills, frames = clip(3)
        assert made(pipeline, stills, frames).shape == (3, 64, 64, 3)


def test_every_variant_starts_as_what_it_goes_on_from():
    """A model of the scene alone, with Animate Anyone's guider: what is added changes nothing before training, but for alpha."""
    options = {"objects": "none", "modulation": False}
    parts = {name: randomise(part).eval() for name, part in tiny_variant(**options).items()}
    scene = build_tiny_pipeline(recipe="animate-anyone-2", options=options, **parts)
    known = ("pose", "environment", "mask")
    before = predicted(scene.animator, known)
    for more in ({}, {"objects": "noise"}, {"objects": "none"}):
        grown = build_tiny_pipeline(recipe="animate-anyone-2", options=more, **tiny_variant(**more))
        for name, part in grown.animator.parts().items():
            source = getattr(scene, name)
            if type(source) is type(part):
                copy_weights(source, part, name)
            else:
                assert grown.animator.inherit(name, source)
            part.eval()
        torch.testing.assert_close(predicted(grown.animator, known), before)
        torch.testing.assert_close(predicted(grown.animator, (*known, "structured_depth")), before)
        if more:
            torch.testing.assert_close(predicted(grown.animator, FRAMES), before)
        copy_weights(grown.denoiser, tiny_variant(objects="noise")["denoiser"], "denoiser")
    assert not scene.animator.inherit("denoiser", scene.vae)


def test_the_law_of_the_hole_is_a_style_of_the_mask(tmp_path):
    reads = RECIPE.size("mini").build(False, RECIPE.size("mini").options).reads
    laws = {}
    for law in ("exact", "box"):
        settings = {"styles": {name: {"law": law} for name in ("mask", "environment")}}
        config = training_config("animate-anyone-2", "mini", 1, tmp_path, settings)
        assert config.drawing["pose"] == {"hands": False}
        for split in ("train", "val"):
            samples = TheatreSamples(0, split, 2, (64, 64), domain="stage", reads=reads, styles=config.drawing)
            laws[split, law] = [samples[index].driven for index in range(3)]
    for split in ("train", "val"):
        for exact, box in zip(laws[split, "exact"], laws[split, "box"]):
            for hole, around in zip(exact["mask"][..., 0] > 0, box["mask"][..., 0] > 0):
                rows, columns = hole.any(1), hole.any(0)
                assert around.sum() == around.any(1).sum() * around.any(0).sum()
                assert (around.any(1) == _filled(rows)).all()
                assert (around.any(0) == _filled(columns)).all()
            assert not exact["environment"][exact["mask"] > 0].any()


def _filled(line: np.ndarray) -> np.ndarray:
    """From the first to the last."""
    return (np.cumsum(line) > 0) & (np.cumsum(line[::-1])[::-1] > 0)
