"""Theatre samples: sample i is a function of (seed, split, i), with skeletons that lie on their figures."""

from dataclasses import fields

import numpy as np
import pytest

from bunraku.cues.retarget import ANKLES, HIPS, NECK
from bunraku.data.samples import Sample, collate, with_pictures
from bunraku.data.theatre import CLIP_FRAMES, EVERYTHING, STUDIO, TheatreSamples, TheatreViews
from bunraku.perception.camera import motion_flow
from bunraku.recipes import Reads
from bunraku.theatre import Scene, render, sample_scene
from bunraku.theatre.flow import background_flow, background_motion
from bunraku.theatre.photograph import photograph, sample_scene_photograph
from bunraku.training.binding import bound

SMALL = {"size": (48, 40), "frames": 2}
READS = Reads(stills=("reference", "reference_pose"))


def samples(*arguments, **settings) -> "Parts":
    return Parts(TheatreSamples(*arguments, **settings, reads=READS))


def same(one: Sample, other: Sample) -> bool:
    """Whether two samples have the same conditions, pixel for pixel."""
    pairs = ((one.stills, other.stills), (one.driven, other.driven), ({"": one.frames}, {"": other.frames}))
    return all(a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs)


class Parts:
    """Samples as (frames, poses, reference, reference_pose)."""

    def __init__(self, data: TheatreSamples) -> None:
        self.data, self.scene = data, data.scene

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        sample = self.data[index]
        return sample.frames, sample.driven["pose"], sample.stills["reference"], sample.stills["reference_pose"]


def test_shapes_and_bytes():
    parts = samples(0, **SMALL)[3]
    assert [p.shape for p in parts] == [(2, 48, 40, 3), (2, 48, 40, 3), (48, 40, 3), (48, 40, 3)]
    assert all(p.dtype == np.uint8 for p in parts)
    assert all(p.any() for p in parts)


def test_sizes_follow_one_another():
    sizes = ((48, 40), (40, 56), (64, 32))
    several = TheatreSamples(0, frames=2, sizes=sizes, reads=READS)
    for index in range(4):
        alone = TheatreSamples(0, frames=2, size=sizes[index % 3], reads=READS)[index]
        assert alone.frames.shape == (2, *sizes[index % 3], 3)
        assert same(several[index], alone)


def test_a_sample_is_a_function_of_seed_split_and_index():
    def equal(a, b) -> bool:
        return all(np.array_equal(x, y) for x, y in zip(a, b))

    data, again = samples(0, **SMALL), samples(0, **SMALL)
    later = [data[i] for i in (7, 1)][1]  # whatever was asked for before
    assert equal(later, again[1])
    assert not equal(data[0], data[1])
    assert not equal(data[0], samples(1, **SMALL)[0])
    assert not equal(data[0], samples(0, "val", **SMALL)[0])


def test_frames_of_a_sample_differ_from_each_other_and_from_the_reference():
    for index in range(5):
        frames, poses, reference, reference_pose = samples(0, **SMALL)[index]
        images, drawings = [*frames, reference], [*poses, reference_pose]
        assert len({i.tobytes() for i in images}) == len({d.tobytes() for d in drawings}) == 3


def test_consecutive_frames_move_less_than_random_ones():
    def moved(consecutive: bool) -> float:
        data = samples(0, frames=6, size=(48, 48), consecutive=consecutive)
        return float(np.mean([np.abs(np.diff(data[i][0].astype(float), axis=0)).mean() for i in range(6)]))

    assert 0 < moved(True) < 0.8 * moved(False)


def test_permuted_colours_are_the_same_for_reference_and_frames():
    plain, permuted = samples(0, **SMALL), samples(0, permute_colours=True, **SMALL)
    orders = set()
    for index in range(8):
        before, after = plain[index], permuted[index]
        found = [
            order
            for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
            if np.array_equal(before[0][..., order], after[0]) and np.array_equal(before[2][..., order], after[2])
        ]
        assert found
        orders.add(found[0])
        assert np.array_equal(before[1], after[1])  # skeletons keep their colours
        assert np.array_equal(before[3], after[3])
    assert len(orders) > 2


def test_skeletons_lie_on_moving_figures():
    """Where the skeleton is, pixels change more from frame to frame than elsewhere."""
    data = samples(0, frames=6, size=(64, 64))
    on, off = [], []
    for index in range(4):
        frames, poses, *_ = data[index]
        change = np.abs(np.diff(frames.astype(float), axis=0)).mean(-1)
        drawn = poses[1:].any(-1)
        on.append(change[drawn].mean())
        off.append(change[~drawn].mean())
    assert np.mean(on) > 2 * np.mean(off)


def test_domains():
    seeds = range(40)
    heads = {
        domain: [samples(0, "train", domain=domain).scene(s).actors[0].character.body.head for s in seeds]
        for domain in ("puppets", "wide", "humans")
    }
    assert max(heads["humans"]) < 1 / 5.5
    assert max(heads["puppets"]) > 0.3
    assert max(heads["wide"]) > 0.3
    wide = [samples(0, "train", domain="wide").scene(s) for s in seeds]
    assert 0 < sum(bool(scene.objects) for scene in wide) < 40
    assert 0 < sum(scene.actors[0].prop is not None for scene in wide) < 40
    plain = samples(0, "train").scene(3)
    np.testing.assert_array_equal(render(plain, 2, 64).frames, render(sample_scene(3, "train"), 2, 64).frames)
    one, again = (samples(0, "train", size=(64, 64), domain="wide")[5] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again))


def test_photographs_are_functions_of_their_number_with_worn_references():
    data, again = (samples(0, "train", size=(64, 48), frames=2, domain="photographs") for _ in range(2))
    worn = 0
    for index in range(6):
        frames, poses, reference, _ = data[index]
        assert all(np.array_equal(a, b) for a, b in zip(data[index], again[index]))
        assert frames.shape == poses.shape == (2, 64, 48, 3)
        rng = np.random.default_rng([0, index])
        scene, style = sample_scene_photograph(int(rng.integers(2**31)))
        still, *driven = (int(i) for i in rng.choice(64, 3, replace=False))
        clean = photograph(scene, [still, *driven], (64, 48), style).frames
        assert np.array_equal(frames, clean[1:])  # the truth is never worn
        worn += not np.array_equal(reference, clean[0])
    assert 0 < worn < 6


def test_the_first_frame_as_reference():
    """TCAN's second stage: whatever frames are driven, the clip starts from its first."""
    data = TheatreSamples(0, frames=3, size=(48, 48), consecutive=True, reference_frame="first")
    for index in range(3):
        scene = data.scene(int(np.random.default_rng([0, index]).integers(2**31)))
        np.testing.assert_array_equal(data[index].stills["reference"], render(scene, [0], (48, 48)).frames[0])


def test_samples_have_what_is_read_and_nothing_else():
    sample = TheatreSamples(0, **SMALL, reads=Reads(stills=("reference",), frames=()))[0]
    assert (list(sample.stills), list(sample.driven)) == (["reference"], [])
    thick = TheatreSamples(0, **SMALL, styles={"pose": {"line_width": 5}})[0].driven["pose"]
    assert thick.any(-1).sum() > 2 * TheatreSamples(0, **SMALL)[0].driven["pose"].any(-1).sum()


def test_crowds_know_who_is_near_and_how_the_camera_moves():
    reads = Reads(frames=("pose", "flow", "depth_order"))
    data = TheatreSamples(3, frames=2, size=(48, 40), domain="crowds", reads=reads)
    scenes = [data.scene(seed) for seed in range(12)]
    assert {len(scene.actors) for scene in scenes} == {1, 2, 3}
    assert {scene.camera.moves for scene in scenes} == {True, False}
    drawn = [data[i].driven for i in range(6)]
    assert any(((sample["flow"] > 0) & (sample["flow"] < 255)).any() for sample in drawn)  # some camera moves
    yellow = [(sample["depth_order"] == (255, 255, 0)).all(-1).any() for sample in drawn]
    assert any(yellow)  # somebody is in front of somebody


def test_the_cameras_motion_is_that_of_the_background():
    scene = next(s for s in map(TheatreSamples(3, domain="crowds").scene, range(12)) if s.camera.moves)
    motion = background_motion(scene, [4, 40], (48, 40))
    flow = np.stack([motion_flow(one, (48, 40)) for one in motion])
    np.testing.assert_allclose(flow, background_flow(scene, [4, 40], (48, 40)), atol=1e-5)


def test_mixed_samples_are_wide_ones_or_photographs_with_a_cut_out_each():
    reads = Reads(frames=("pose", "cutout"))
    mixed, wide, photographs = (
        TheatreSamples(0, **SMALL, domain=d, reads=reads) for d in ("mixed", "wide", "photographs")
    )
    kinds = []
    for index in range(6):
        sample = mixed[index]
        assert sample.driven["cutout"].shape == (2, 48, 40, 4)
        kinds.append([np.array_equal(sample.frames, other[index].frames) for other in (wide, photographs)])
    assert sorted(map(tuple, kinds))[0] == (False, True)
    assert sorted(map(tuple, kinds))[-1] == (True, False)


def test_a_failing_detector_misleads_poses_and_never_the_truth():
    right, wrong = (TheatreSamples(0, **SMALL, reads=READS, misled=misled)[5] for misled in (0.0, 1.0))
    assert np.array_equal(right.frames, wrong.frames)
    assert np.array_equal(right.stills["reference"], wrong.stills["reference"])
    assert not np.array_equal(right.driven["pose"], wrong.driven["pose"])
    assert not np.array_equal(right.stills["reference_pose"], wrong.stills["reference_pose"])


def scene_of(data: TheatreSamples, index: int) -> Scene:
    return data.scene(int(np.random.default_rng([data.seed, index]).integers(2**31)))


@pytest.mark.parametrize("domain", ["puppets", "wide", "stage"])
def test_led_samples_show_the_puppet_whom_anothers_poses_lead(domain):
    """The truth stays, and the reference is where the puppet mostly is, so that it goes where retargeting has it go."""
    settings = {"frames": 3, "size": (64, 48), "consecutive": True, "domain": domain, "reads": READS}
    exact, led = (TheatreSamples(0, **settings, led=share) for share in (0.0, 1.0))
    for index in range(3):
        one, other, scene = exact[index], led[index], scene_of(exact, index)
        assert np.array_equal(one.frames, other.frames)
        assert not np.array_equal(one.driven["pose"], other.driven["pose"])
        clip = render(scene, CLIP_FRAMES, (64, 48))
        neck = clip.pose.keypoints[:, 0, NECK]
        nearest = np.linalg.norm(neck - np.median(neck, 0), axis=-1).argmin()
        if domain != "stage":  # where it comes on another ground
            assert np.array_equal(other.stills["reference"], clip.frames[nearest])
        again = TheatreSamples(0, **settings, led=1.0)
        assert same(again[index], other)
        np.testing.assert_array_equal(led._led(scene, -1, np.random.default_rng(0))[0], nearest)


def test_led_poses_stay_near_the_exact_ones():
    data, apart = TheatreSamples(0, size=(96, 64), domain="wide", led=1.0), []
    for seed in range(12):
        scene = data.scene(seed)
        _, leading = data._led(scene, 0, np.random.default_rng(seed))
        own = render(scene, range(0, CLIP_FRAMES, 7), data.size).pose
        assert leading is not None
        assert leading.keypoints.shape == (CLIP_FRAMES, 1, *own.keypoints.shape[2:])
        assert leading.size == own.size
        seen = (leading.scores[::7] > 0) & (own.scores > 0)
        error = np.linalg.norm(leading.keypoints[::7] - own.keypoints, axis=-1) / data.size[0]
        apart.append([error[:, :, joints][seen[:, :, joints]].mean() for joints in (ANKLES, HIPS, [4, 7])])
    assert (np.mean(apart, 0) > 0.001).all()
    assert (np.mean(apart, 0) < 0.02).all()
    assert np.max(apart) < 0.06


def test_one_puppet_alone_is_led_and_as_often_as_was_asked(monkeypatch):
    def pair(domain: str, share: float) -> tuple[TheatreSamples, TheatreSamples]:
        return tuple(TheatreSamples(0, **SMALL, domain=domain, reads=READS, led=led) for led in (0.0, share))  # type: ignore[return-value, arg-type]

    exact, led = pair("photographs", 1.0)
    assert same(exact[0], led[0])
    exact, led = pair("crowds", 1.0)
    alone = {index: len(scene_of(exact, index).actors) == 1 for index in range(10)}
    assert set(alone.values()) == {True, False}
    for index, one in alone.items():
        assert same(exact[index], led[index]) != one
    exact, led = pair("puppets", 0.5)
    moved = [not np.array_equal(exact[i].driven["pose"], led[i].driven["pose"]) for i in range(12)]
    assert 2 < sum(moved) < 10
    monkeypatch.setattr(TheatreSamples, "_led", None)
    assert same(TheatreSamples(0, **SMALL, reads=READS)[1], exact[1])


@pytest.mark.parametrize("led", [0.0, 1.0])
def test_who_stays_in_the_still_is_driven_into_its_hole(led, monkeypatch):
    """Off the stage the scene is the still's, without whoever is in it and will be; else the clip's own."""
    reads = Reads(stills=("reference", "reference_pose"), frames=("pose", "environment", "mask"))

    def drawn(domain: str, share: float) -> Sample:
        monkeypatch.setattr("bunraku.data.theatre.STAYING", share)
        return TheatreSamples(0, frames=3, size=(64, 48), domain=domain, reads=reads, led=led)[2]  # type: ignore[arg-type]

    for domain in ("puppets", "wide", "crowds"):
        staying, coming = drawn(domain, 1.0), drawn(domain, 0.0)
        assert np.array_equal(staying.frames, coming.frames)
        assert np.array_equal(staying.driven["pose"], coming.driven["pose"])
        hole, own = (sample.driven["mask"][..., 0] == 255 for sample in (staying, coming))
        assert hole[staying.driven["pose"].any(-1)].all()
        assert hole[:, staying.stills["reference_pose"].any(-1)].all()
        assert hole.mean() < 0.8
        still = np.broadcast_to(staying.stills["reference"], staying.frames.shape)
        assert np.array_equal(staying.driven["environment"][~hole], still[~hole])
        assert not staying.driven["environment"][hole].any()
        assert np.array_equal(coming.driven["environment"][~own], coming.frames[~own])
    assert same(drawn("stage", 1.0), drawn("stage", 0.0))


def test_everything_has_samples_of_all_its_domains():
    found = set()
    for i in range(12):
        sample = TheatreSamples(0, **SMALL, reads=READS, domain="everything")[i]
        alone = {
            domain: TheatreSamples(0, **SMALL, reads=READS, domain=domain, studio=STUDIO)[i].frames
            for domain in EVERYTHING
        }
        found |= {domain for domain, frames in alone.items() if np.array_equal(frames, sample.frames)}
    assert found == set(EVERYTHING)


@pytest.mark.parametrize("domain", ["wide", "photographs", "crowds"])
def test_in_a_studio_the_ground_is_plain_and_all_else_the_same(domain):
    """Along a row or a column of the border, a plain ground changes by no step, and nobody stands or moves differently."""
    plain, own = (
        [TheatreSamples(0, **SMALL, reads=READS, domain=domain, studio=share)[i] for i in range(6)] for share in (1, 0)
    )
    steps = [
        [np.abs(np.diff(s.frames[:, 2, :, :].astype(int), axis=1)).max() for s in samples] for samples in (plain, own)
    ]
    assert np.median(steps[0]) < np.median(steps[1]) or np.median(steps[0]) < 8
    for one, other in zip(plain, own):
        assert np.array_equal(one.driven["pose"], other.driven["pose"])
        assert not np.array_equal(one.frames, other.frames)


def test_references_in_several_pictures():
    plain = TheatreSamples(
        0, domain="crowds", size=(64, 64), reads=bound(Reads(stills=("reference", "reference_pose")))
    )
    settings = {f.name: getattr(plain, f.name) for f in fields(plain)}
    one, several = plain[3], TheatreViews(**settings, references=4)[3]
    assert np.array_equal(one.stills["reference"], several.stills["reference"])
    assert {name: still.shape for name, still in several.stills.items() if name.startswith("views")} == {
        "views": (3, 64, 64, 3), "views_pose": (3, 64, 64, 3), "views_instances": (3, 64, 64, 1),
    }  # fmt: skip
    batch = collate([several, several])
    assert with_pictures(batch, 3).stills["views"].shape == (2, 2, 64, 64, 3)
    assert set(with_pictures(batch, 1).stills) == set(one.stills)


def test_who_stays_in_the_still_has_nothing_in_hand_that_the_still_does_not_show(monkeypatch):
    reads = Reads(stills=("reference", "reference_pose"), frames=("pose", "environment", "mask", "object"))
    held = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr("bunraku.data.theatre.STAYING", share)
        data = TheatreSamples(0, frames=2, size=(64, 64), domain="wide", reads=reads)
        held[share] = max(int(data[index].driven["object"].max()) for index in range(6))
    assert held[0.0] > 0
    assert held[1.0] == 0


def test_on_the_stage_the_whole_puppet_is_cut_out_before_the_scene_without_it():
    reads = Reads(stills=("reference", "reference_pose"), frames=("pose", "cutout"))
    for index in range(4):
        data = TheatreSamples(0, frames=3, size=(96, 96), domain="stage", reads=reads, consecutive=True)
        sample = data[index]
        cut, cover = sample.driven["cutout"][..., :3].astype(int), sample.driven["cutout"][..., 3]
        apart = np.abs(cut - sample.frames).max(-1)
        assert (apart[cover == 0] < 24).mean() > 0.85  # the scene; what stood before the puppet may be missing
        assert cover.max() == 255
