"""AnimationPipeline: counted forward passes, saving and loading, callbacks, plain errors."""

import logging
import re
from collections import Counter

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import DiffusionPipeline, EulerDiscreteScheduler

from bunraku.cues.drawn import draw_conditions
from bunraku.cues.skeleton import draw_skeleton
from bunraku.cues.temperature import map_of_drawn
from bunraku.errors import BunrakuError
from bunraku.nets.denoiser import Denoiser
from bunraku.perception.pose import PoseTrack
from bunraku.pipeline import AnimationPipeline
from bunraku.sampling.sampling import Sampling
from bunraku.sampling.windows import time_windows
from bunraku.weights import load_pipeline
from tests.tiny import TINY, animated, build_tiny_pipeline, randomise, tiny_controlnet, tiny_tcan, walking_track


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counted(pipeline: AnimationPipeline) -> Counter:
    """Counts the forward passes of every network from now on."""
    calls: Counter = Counter()
    for name in {"reference_net", "pose_guider", "image_encoder", "controlnet"} & pipeline.components.keys():
        getattr(pipeline, name).register_forward_hook(lambda *_, name=name: calls.update([name]))

    def half(_module, arguments):
        calls.update(["conditional" if arguments[2].reference else "unconditional"])

    pipeline.denoiser.register_forward_pre_hook(half)
    return calls


@pytest.mark.parametrize(("frames", "chunk", "guide_calls"), [(1, 8, 1), (8, 8, 1), (19, 8, 3)])
def test_each_condition_is_encoded_once_per_clip(tiny_pipeline, reference_image, frames, chunk, guide_calls):
    calls = counted(tiny_pipeline)
    frames_made = animated(
        tiny_pipeline, reference_image, walking_track(frames), walking_track(1), chunk=chunk, num_inference_steps=3
    )
    assert frames_made.shape == (frames, 64, 64, 3)
    assert frames_made.dtype == np.uint8
    windows = {1: 1, 8: 1, 19: 3}[frames]
    assert calls == {
        "reference_net": 1,
        "image_encoder": 1,
        "pose_guider": guide_calls + 1,  # once more for the reference's own pose
        "conditional": 3 * windows,
    }


@pytest.mark.parametrize("build", [build_tiny_pipeline, tiny_tcan])
@pytest.mark.parametrize("wrap", [False, True])
def test_maps_that_are_more_than_is_kept_are_made_for_every_window(build, wrap, reference_image, monkeypatch):
    pipeline = build()
    settings = {"num_inference_steps": 2, "guidance_scale": 2.0, "wrap": wrap}
    kept = animated(pipeline, reference_image, walking_track(19), generator=seeded(), **settings)
    monkeypatch.setattr("bunraku.pipeline.KEPT", 0)
    encoded = []
    monkeypatch.setattr(
        AnimationPipeline, "_encode", lambda *a, own=AnimationPipeline._encode: encoded.append(own(*a)) or encoded[-1]
    )
    made = animated(pipeline, reference_image, walking_track(19), generator=seeded(), **settings)
    assert callable(encoded[0].frames["pose"])
    assert np.abs(made.astype(int) - kept).max() <= 1


def test_models_without_reference_pose_do_not_guide_the_reference(reference_image):
    pipeline = build_tiny_pipeline(options={})
    calls = counted(pipeline)
    with_pose = animated(pipeline, reference_image, walking_track(3), walking_track(1), generator=seeded())
    assert calls["pose_guider"] == 1
    assert np.array_equal(with_pose, animated(pipeline, reference_image, walking_track(3), generator=seeded()))


def test_reference_net_at_every_step(tiny_pipeline, reference_image):
    times = []
    pipeline = build_tiny_pipeline(options={"reference_pose": True, "reference_timestep": "every"})
    pipeline.reference_net.register_forward_pre_hook(lambda _module, arguments: times.append(int(arguments[2])))
    calls = counted(pipeline)
    arguments = {"picture": reference_image, "poses": walking_track(19), "num_inference_steps": 4}
    every = animated(pipeline, **arguments, generator=seeded())
    assert times == pipeline.scheduler.timesteps.tolist()  # once per step, not per window
    assert calls["image_encoder"] == 1
    assert not np.array_equal(every, animated(tiny_pipeline, **arguments, generator=seeded()))


def test_models_of_version_0_1_keep_two_options_elsewhere():
    pipeline = build_tiny_pipeline(
        options=None, reference_pose=True, defaults={"reference_timestep": "every", "window": 8, "overlap": 2},
        skeleton={"hands": False},
    )  # fmt: skip
    options = {"reference_pose": True, "reference_timestep": "every", "literal_guider": False}
    assert pipeline.config.options == options
    assert pipeline.styles == {"pose": {"hands": False}}
    assert pipeline.sampling == Sampling(window=8, overlap=2)


def test_windows_that_close_the_loop(tiny_pipeline, reference_image):
    """The model's own default decides; where one window is enough it changes nothing."""
    looped = build_tiny_pipeline(
        defaults={"num_inference_steps": 2, "guidance_scale": 1.0, "window": 8, "overlap": 2, "wrap": True}
    )
    for frames, same in ((8, True), (13, False)):
        arguments = (reference_image, walking_track(frames))
        plain, wrapped = (animated(p, *arguments, generator=seeded()) for p in (tiny_pipeline, looped))
        assert np.array_equal(plain, wrapped) is same
        assert np.array_equal(wrapped, animated(tiny_pipeline, *arguments, wrap=True, generator=seeded()))


def test_models_with_a_prompt_instead_of_an_image_token(reference_image, tmp_path):
    """Both halves see the prompt; only the reference makes the difference that guidance enlarges."""
    pipeline = tiny_tcan()
    seen = []
    pipeline.denoiser.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[2].token))
    frames = animated(pipeline, reference_image, walking_track(3), guidance_scale=2.0, generator=seeded())
    assert len(seen) == 4
    assert all(torch.equal(given, pipeline.prompt.tokens[None]) for given in seen)
    pipeline.save_pretrained(tmp_path / "model")
    again = AnimationPipeline.from_pretrained(tmp_path / "model")
    again.set_progress_bar_config(disable=True)
    loaded = animated(again, reference_image, walking_track(3), guidance_scale=2.0, generator=seeded())
    assert np.abs(frames.astype(int) - loaded).max() <= 1


def test_pose_through_a_controlnet(reference_image, tmp_path):
    """It sees every frame once per step, whatever guidance and windows ask for; a saved model has it."""
    pipeline = tiny_tcan()
    calls = counted(pipeline)
    arguments = {"picture": reference_image, "poses": walking_track(19), "guidance_scale": 2.0}
    frames = animated(pipeline, **arguments, generator=seeded())
    assert calls["controlnet"] == 2 * 2  # steps x control windows of 16
    assert calls["conditional"] == calls["unconditional"] == 2 * 3
    still = animated(pipeline, **arguments | {"poses": walking_track(1)[[0] * 19]}, generator=seeded())
    assert not np.array_equal(frames, still)
    pipeline.save_pretrained(tmp_path / "model")
    again = load_pipeline(tmp_path / "model", device="cpu")
    again.set_progress_bar_config(disable=True)
    assert np.abs(animated(again, **arguments, generator=seeded()).astype(int) - frames).max() <= 1


@pytest.mark.parametrize(("key", "value"), [("cross_attention_dim", 24), ("block_out_channels", (16, 32))])
def test_a_controlnet_of_another_base_is_refused_with_both_widths(key, value):
    with pytest.raises(BunrakuError, match=rf"its {key} is {re.escape(str(value))}, the denoiser's is .?16"):
        tiny_tcan(controlnet=tiny_controlnet(**{key: value}))


def test_parts_that_are_not_the_recipes_are_refused():
    with pytest.raises(BunrakuError, match=r"recipe animate-anyone has .*; there is no pose_guider"):
        build_tiny_pipeline(pose_guider=None)
    with pytest.raises(BunrakuError, match=r"recipe animate-anyone has .*, and no controlnet"):
        build_tiny_pipeline(controlnet=tiny_controlnet())
    with pytest.raises(BunrakuError, match="unknown recipe 'none'"):
        build_tiny_pipeline(recipe="none")


def test_temperature_map_of_every_window(tiny_pipeline, reference_image, monkeypatch):
    made = []

    def recorded(drawn, tau):
        made.append(tau)
        return map_of_drawn(drawn, tau)

    monkeypatch.setattr("bunraku.pipeline.map_of_drawn", recorded)
    arguments = {"picture": reference_image, "poses": walking_track(19)}
    plain = animated(tiny_pipeline, **arguments, generator=seeded())
    assert not made
    for wrap in (False, True):
        hot = animated(tiny_pipeline, **arguments, temperature=50.0, wrap=wrap, generator=seeded())
        assert made == [50.0] * len(time_windows(19, 8, 2, wrap))  # once per window, not per step
        assert not np.array_equal(hot, plain)
        made.clear()


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (72, 40)])
@pytest.mark.parametrize("wrap", [False, True])
def test_the_denoiser_gets_one_temperature_in_eight_of_its_own_window(tiny_pipeline, reference_image, size, wrap):
    """Against Eq. 3-5 in float64, straight from the drawn poses; a window without a pose gets ones."""
    given: list[np.ndarray] = []
    tiny_pipeline.denoiser.register_forward_pre_hook(
        lambda _module, arguments: given.append(arguments[2].temperature.numpy())
    )
    poses = posed_only(walking_track(19, size), slice(9, 19))
    settings = {"size": size, "temperature": 3.0, "wrap": wrap}
    animated(tiny_pipeline, reference_image, poses, num_inference_steps=1, **settings)
    windows = time_windows(19, 8, 2, wrap)
    assert len(given) == len(windows)
    drawn = draw_skeleton(poses)
    rows, columns = np.mgrid[: size[0] : 8, : size[1] : 8]
    for window, temperature in zip(windows, given):
        v, u = np.nonzero(drawn[list(window)].any((0, 3)))  # Eq. 3
        expected = np.ones((size[0] // 8, size[1] // 8))
        if len(v):
            distance = np.hypot(rows[..., None] - v, columns[..., None] - u).min(-1)
            expected += 3 * distance / np.hypot(size[0] / 2, size[1] / 2)  # Eq. 4, 5
        np.testing.assert_allclose(temperature, expected[None, None], rtol=1e-6)
    assert (given[0] == 1).all()
    assert given[-1].max() > 1.5


def posed_only(track: PoseTrack, frames: slice | list[int]) -> PoseTrack:
    """Everybody leaves the picture in all other frames; nobody is unseen."""
    keypoints = track.keypoints + np.float32(1000)
    keypoints[frames] = track.keypoints[frames]
    return PoseTrack(keypoints, track.scores, track.size)


@pytest.mark.parametrize(
    ("posed", "said"),
    [
        ([6, 13, 18], None),  # every window of 8, 0-7, 6-13, 11-18, has one
        ([6, 7], r"in 17 of 19 frames: 0-5, 8-18\. In 1 of 3 windows"),
        ([10], r"in 18 of 19 frames: 0-9, 11-18\. In 2 of 3 windows"),
        (
            [],
            r"in 19 of 19 frames: 0-18\. In 3 of 3 windows there is no other frame, and the model has nothing to follow",
        ),
    ],
)
@pytest.mark.parametrize("as_drawn", [False, True])
def test_windows_without_any_pose_are_named(tiny_pipeline, reference_image, caplog, posed, said, as_drawn):
    poses = posed_only(walking_track(19), posed)
    frames = animated(tiny_pipeline, reference_image, draw_skeleton(poses) if as_drawn else poses)
    assert len(frames) == 19
    messages = [record.getMessage() for record in caplog.records if record.name == "bunraku.pipeline"]
    assert len(messages) == (said is not None)
    assert said is None or re.search(said, messages[0])


@pytest.mark.parametrize(
    ("frames", "window", "motion", "warned"),
    [(5, 1, True, True), (5, 2, True, False), (1, 1, True, False), (1, 8, True, False), (5, 1, False, False)],
)
def test_windows_of_one_frame_are_said_to_flicker(reference_image, caplog, frames, window, motion, warned):
    tiny = {key: value for key, value in TINY.items() if key != "in_channels"}
    still = {"denoiser": randomise(Denoiser(in_channels=4, **tiny, motion=False)).eval()}
    pipeline = build_tiny_pipeline(**({} if motion else still))
    made = animated(pipeline, reference_image, walking_track(frames), window=window, overlap=0)
    assert len(made) == frames
    messages = [record.getMessage() for record in caplog.records if record.name == "bunraku.pipeline"]
    assert len(messages) == warned
    assert (
        not warned
        or "windows of one frame: each of the 5 frames is made by itself, and the video will flicker" in messages[0]
    )


def test_unconditional_half_never_sees_the_reference(tiny_pipeline, reference_image):
    calls = counted(tiny_pipeline)
    animated(tiny_pipeline, reference_image, walking_track(19), guidance_scale=3.0)
    assert calls["conditional"] == calls["unconditional"] == 2 * 3
    assert calls["reference_net"] == calls["image_encoder"] == 1


def test_same_seed_same_frames_and_chunks_change_nothing(tiny_pipeline, reference_image):
    track = walking_track(11)
    first = animated(tiny_pipeline, reference_image, track, generator=seeded(), chunk=8)
    assert np.array_equal(animated(tiny_pipeline, reference_image, track, generator=seeded(), chunk=8), first)
    assert not np.array_equal(animated(tiny_pipeline, reference_image, track, generator=seeded(1)), first)
    stills, driven = draw_conditions(tiny_pipeline, reference_image, track)
    parts = list(tiny_pipeline.stream(stills, driven, tiny_pipeline.sampling.but({"chunk": 4}), generator=seeded()))
    assert [len(part) for part in parts] == [4, 4, 3]
    # other batch sizes may round differently, by one level
    assert np.abs(np.concatenate(parts).astype(int) - first).max() <= 1


@pytest.mark.parametrize("what", ["picture", "poses", "own"])
def test_every_input_matters(tiny_pipeline, reference_image, what):
    inputs = {"picture": reference_image, "poses": walking_track(3), "own": walking_track(1)}
    moved = PoseTrack(inputs["poses"].keypoints * 0.7, inputs["poses"].scores, (64, 64))
    other = {"picture": reference_image[::-1].copy(), "poses": moved, "own": moved[:1]}
    plain = animated(tiny_pipeline, **inputs, generator=seeded())
    changed = animated(tiny_pipeline, **inputs | {what: other[what]}, generator=seeded())
    assert not np.array_equal(plain, changed)


def test_drawn_skeletons_are_as_good_as_keypoints(tiny_pipeline, reference_image):
    track, own = walking_track(5), walking_track(1)
    from_points = animated(tiny_pipeline, reference_image, track, own, generator=seeded())
    drawn = animated(tiny_pipeline, reference_image, draw_skeleton(track), draw_skeleton(own)[0], generator=seeded())
    assert np.array_equal(from_points, drawn)


def test_keypoints_of_another_resolution_are_scaled(tiny_pipeline, reference_image):
    track = walking_track(3)
    same = animated(tiny_pipeline, reference_image, track.scaled((480, 480)), generator=seeded())
    assert np.array_equal(same, animated(tiny_pipeline, reference_image, track, generator=seeded()))


def test_reference_pose_follows_the_crop_of_the_reference(tiny_pipeline, reference_image):
    """A reference twice as wide is cropped about its middle: so is its pose."""
    wide = np.concatenate([reference_image[:, ::-1], reference_image, reference_image[:, ::-1]], axis=1)[:, 32:-32]
    own = walking_track(1)
    shifted = PoseTrack(own.keypoints + np.float32([32, 0]), own.scores, (64, 128))
    expected = animated(tiny_pipeline, reference_image, walking_track(3), own, generator=seeded())
    assert np.array_equal(
        animated(tiny_pipeline, wide, walking_track(3), shifted, (64, 64), generator=seeded()), expected
    )


def test_skeleton_style_travels_with_the_model(reference_image):
    thick = build_tiny_pipeline(styles={"pose": {"line_width": 4}})
    track = walking_track(3)
    drawn = draw_skeleton(track, line_width=4)
    from_points = animated(thick, reference_image, track, generator=seeded())
    assert np.array_equal(from_points, animated(thick, reference_image, drawn, generator=seeded()))
    assert not np.array_equal(from_points, animated(build_tiny_pipeline(), reference_image, track, generator=seeded()))


@pytest.mark.parametrize("size", [(32, 64), (72, 40)])
def test_size_of_the_output(tiny_pipeline, reference_image, size):
    frames = animated(tiny_pipeline, reference_image, walking_track(2), size=size)
    assert frames.shape == (2, *size, 3)


def test_saved_pipeline_gives_the_same_bits(tiny_pipeline, reference_image, tmp_path):
    def frames_of(pipeline: AnimationPipeline) -> np.ndarray:
        return animated(pipeline, reference_image, walking_track(4), walking_track(1), generator=seeded())

    def loaded(name: str) -> AnimationPipeline:
        pipeline = AnimationPipeline.from_pretrained(tmp_path / name)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    tiny_pipeline.save_pretrained(tmp_path / "first")
    once = loaded("first")
    for name, part in tiny_pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            state = once.components[name].state_dict()
            assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())
    for key in ("options", "recipe", "defaults", "styles"):
        assert once.config[key] == tiny_pipeline.config[key]
    assert tuple(once.config["size"]) == (64, 64)
    once.save_pretrained(tmp_path / "second")
    frames = frames_of(once)
    assert np.array_equal(frames, frames_of(loaded("second")))
    # memory-mapped weights lie at other addresses than fresh ones, where CPU kernels may sum in another order
    assert np.abs(frames.astype(int) - frames_of(tiny_pipeline)).max() <= 1


def test_parts_are_named_by_the_modules_that_define_them(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    config = DiffusionPipeline.load_config(tmp_path)
    assert config["denoiser"] == ["bunraku.nets.denoiser", "Denoiser"]
    assert config["reference_net"] == ["bunraku.nets.reference_net", "ReferenceNet"]
    assert config["pose_guider"] == ["bunraku.nets.pose_guider", "PoseGuider"]
    assert config["vae"] == ["bunraku.nets.patch_codec", "PatchCodec"]


def test_loading_warns_of_nothing(tiny_pipeline, tmp_path, caplog):
    tiny_pipeline.save_pretrained(tmp_path)
    library = logging.getLogger("diffusers")
    library.addHandler(caplog.handler)
    try:
        AnimationPipeline.from_pretrained(tmp_path)
    finally:
        library.removeHandler(caplog.handler)
    assert not caplog.records


def test_parts_can_be_given_when_loading(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    scheduler = EulerDiscreteScheduler.from_config(tiny_pipeline.scheduler.config)
    assert AnimationPipeline.from_pretrained(tmp_path, scheduler=scheduler).scheduler is scheduler


def test_callback_sees_every_step_and_may_change_the_latents(tiny_pipeline, reference_image):
    seen: list[int] = []

    def watch(pipeline, step, timestep, inputs):
        assert pipeline is tiny_pipeline
        assert inputs["latents"].shape == (1, 4, 3, 8, 8)
        seen.append(step)

    stills, driven = draw_conditions(tiny_pipeline, reference_image, walking_track(3))
    plain = tiny_pipeline(stills, driven, generator=seeded()).frames
    watched = tiny_pipeline(stills, driven, generator=seeded(), callback_on_step_end=watch).frames
    assert seen == [0, 1]
    assert np.array_equal(plain, watched)

    def wipe(pipeline, step, timestep, inputs):
        return {"latents": torch.zeros_like(inputs["latents"])}

    wiped = tiny_pipeline(stills, driven, callback_on_step_end=wipe).frames
    assert np.array_equal(wiped, tiny_pipeline.decode(torch.zeros(1, 4, 3, 8, 8)))


@pytest.mark.parametrize("build", [build_tiny_pipeline, tiny_tcan])
def test_sequential_offload_gives_the_same_frames(build, reference_image):
    """As diffusers' enable_sequential_cpu_offload does on a GPU: weights are on the meta device between calls."""
    pipeline = build()
    plain = animated(pipeline, reference_image, walking_track(11), guidance_scale=2.0, generator=seeded())
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, execution_device=torch.device("cpu"), offload_buffers=False)
    offloaded = animated(pipeline, reference_image, walking_track(11), guidance_scale=2.0, generator=seeded())
    assert np.abs(offloaded.astype(int) - plain).max() <= 1


def test_offload_hooks_reach_the_calls_that_are_not_forward(tiny_pipeline):
    """accelerate moves a network to its device before `forward`; these are called directly."""

    class Seen(Exception):
        pass

    class Hook:
        def pre_forward(self, module, *arguments, **keywords):
            raise Seen

    for module, call in (
        (tiny_pipeline.denoiser, lambda: tiny_pipeline.denoiser.project_reference({})),
        (tiny_pipeline.vae, lambda: tiny_pipeline.vae.encode(torch.zeros(1, 3, 8, 8))),
        (tiny_pipeline.vae, lambda: tiny_pipeline.vae.decode(torch.zeros(1, 4, 1, 1))),
    ):
        module._hf_hook = Hook()
        with pytest.raises(Seen):
            call()
    offloaded = AnimationPipeline.model_cpu_offload_seq.split("->")
    modules = {name for name, part in tiny_pipeline.components.items() if isinstance(part, torch.nn.Module)}
    assert modules <= set(offloaded)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_a_compiled_denoiser_makes_the_same_frames_and_is_compiled_once(reference_image):
    """Without a compiler behind it (backend eager), which would take minutes: what is tested is that whole windows are one graph."""
    torch._dynamo.reset()
    pipeline = build_tiny_pipeline()
    settings = {"window": 3, "overlap": 1, "guidance_scale": 1.0, "num_inference_steps": 3}
    poses, graphs = walking_track(7), []

    def frames() -> np.ndarray:
        return animated(pipeline, reference_image, poses, poses[:1], generator=seeded(), **settings)

    def counted(graph, examples):
        graphs.append(graph)
        return graph

    plain = frames()
    pipeline.denoiser.compile(backend=counted, fullgraph=True)
    assert np.abs(frames().astype(int) - plain).max() <= 1
    assert len(graphs) == 1
    torch._dynamo.reset()


def test_decoding_takes_smaller_pieces_where_memory_does_not_suffice(tiny_pipeline, monkeypatch):
    latents = torch.randn(1, 4, 7, 8, 8, generator=seeded())
    with torch.no_grad():
        expected = tiny_pipeline.decode(latents)
    decode, sizes = tiny_pipeline.vae.decode, []

    def small_machine(frames):
        sizes.append(len(frames))
        if len(frames) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return decode(frames)

    monkeypatch.setattr(tiny_pipeline.vae, "decode", small_machine)
    with torch.no_grad():
        assert np.abs(tiny_pipeline.decode(latents).astype(int) - expected).max() <= 1
    assert sizes == [7, 3, 1, 2, 4, 2, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(tiny_pipeline, reference_image, dtype):
    exact = animated(tiny_pipeline, reference_image, walking_track(11), generator=seeded(), guidance_scale=2.0)
    half = animated(tiny_pipeline.to(dtype), reference_image, walking_track(11), generator=seeded(), guidance_scale=2.0)
    assert np.abs(half.astype(float) - exact).mean() < 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (60, 64)}, "size 60x64 .*multiples of 8"),
        ({"size": (16, 64)}, "size 16x64 .*at least 32"),
        (
            {"poses": np.zeros((4, 64, 64), np.uint8)},
            r"drawn poses must be uint8 \(F, H, W, 3\), got uint8 \(4, 64, 64\)",
        ),
        ({"poses": walking_track(0)}, "no frames to animate"),
        ({"poses": np.zeros((0, 64, 64, 3), np.uint8)}, "no frames to animate"),
        ({"overlap": 8}, "window of 8 frames cannot overlap by 8"),
        ({"window_batch": 0}, "window_batch must be from 1 to 1024, not 0"),
        ({"temperature": -1.0}, "temperature must be from 0 to 1000, not -1.0"),
        ({"merge": "last"}, "windows merge triangular or uniform"),
        ({"cfg": 3}, "sampling has no cfg; it has num_inference_steps"),
    ],
)
def test_unusable_arguments_are_plain_errors(tiny_pipeline, reference_image, changes, message):
    arguments = {"picture": reference_image, "poses": walking_track(9)} | changes
    with pytest.raises(BunrakuError, match=message):
        animated(tiny_pipeline, **arguments)


@pytest.mark.parametrize(
    ("stills", "frames", "message"),
    [
        ({}, {}, "no still called reference"),
        ({"reference": np.zeros((64, 64), np.uint8)}, {}, "no conditions to follow"),
        ({"reference": np.zeros((64, 64, 3), np.float32)}, {"pose": None}, "reference must be uint8 .*float32"),
        (
            {"reference_pose": np.zeros((32, 64, 3), np.uint8)},
            {"pose": None},
            r"reference_pose must be uint8 \(64, 64, C\)",
        ),
        ({}, {"pose": np.zeros((3, 64, 32, 3), np.uint8)}, r"frames of pose must be uint8 \(F, 64, 64, C\)"),
    ],
)
def test_unusable_inputs_are_refused_before_the_first_frame_is_asked_for(
    tiny_pipeline, reference_image, stills, frames, message
):
    """`stream` is a generator inside; its checks are not."""
    given = {} if not stills and not frames else {"reference": reference_image} | stills
    good = np.zeros((3, 64, 64, 3), np.uint8)
    driven = {name: good if array is None else array for name, array in frames.items()}
    with pytest.raises(BunrakuError, match=message):
        tiny_pipeline.stream(given, driven)
