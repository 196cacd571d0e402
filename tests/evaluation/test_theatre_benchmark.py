"""theatre-1: recorded hashes, fields that agree, counterfactual truths that differ in nothing but the character, documented corruption."""

import cv2
import numpy as np
import pytest

from bunraku.cues.retarget import retarget
from bunraku.errors import BunrakuError
from bunraku.evaluation.theatre_benchmark import (
    CLIPS,
    LEVELS,
    SIZES,
    SPLITS,
    benchmark_clip,
    benchmark_poses,
    benchmark_scenes,
    clip_hash,
    corrupt,
    recorded_hashes,
)
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render
from bunraku.theatre.character import ODDITIES, sample_character


@pytest.fixture(scope="module")
def clips():
    return {split: benchmark_clip(split, 1, 64) for split in SPLITS}


def median_distance(a: PoseTrack, b: PoseTrack) -> float:
    both = (a.scores > 0) & (b.scores > 0)
    return float(np.median(np.linalg.norm(a.keypoints - b.keypoints, axis=-1)[both]))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("size", "index"), [(128, 0), (128, 37), (256, 5), (512, 21)])
def test_clips_have_their_recorded_hashes(split, size, index):
    assert clip_hash(benchmark_clip(split, index, size)) == recorded_hashes(split, size)[index]


def test_every_clip_has_a_hash_of_its_own():
    recorded = [name for split in SPLITS for size in SIZES for name in recorded_hashes(split, size)]
    assert len(set(recorded)) == len(recorded) == len(SPLITS) * len(SIZES) * CLIPS


def test_a_hash_sees_every_field(clips):
    from dataclasses import replace

    clip = clips["stage"]
    driver = replace(clip.driver, depth=clip.driver.depth * 2)
    changed = {
        "reference": 255 - clip.reference,
        "truth": 255 - clip.truth,
        "instances": 1 - clip.instances,
        "static": ~clip.static,
        "driving": PoseTrack(clip.driving.keypoints + 1, clip.driving.scores, clip.driving.size),
        "truth_pose": PoseTrack(clip.truth_pose.keypoints, clip.truth_pose.scores * 0, clip.truth_pose.size),
        "driver": driver,
    }
    digests = {clip_hash(replace(clip, **{name: value})) for name, value in changed.items()}
    assert len(digests | {clip_hash(clip)}) == len(changed) + 1


@pytest.mark.parametrize("split", SPLITS)
def test_fields_agree(clips, split):
    clip = clips[split]
    frames, people = len(clip.truth), clip.truth_pose.people
    assert 24 <= frames <= 48
    assert clip.fps == 12
    assert clip.name == f"{split}/001"
    assert clip.truth.shape == (frames, 64, 64, 3)
    assert clip.instances.shape == clip.static.shape == (frames, 64, 64)
    assert len(clip.driving) == len(clip.truth_pose) == frames
    assert clip.reference.shape == (64, 64, 3)
    assert len(clip.reference_pose) == 1
    assert clip.reference_pose.people == clip.driving.people == people
    assert set(np.unique(clip.instances)) == set(np.unique(clip.reference_instances)) == set(range(people + 1))
    assert clip.retarget == (split in ("bizarre", "stage"))
    assert (clip.driver is not None) == (split in ("stage", "camera"))


@pytest.mark.parametrize("split", SPLITS)
def test_static_pixels_do_not_change(clips, split):
    clip = clips[split]
    assert not clip.static[0].any()
    np.testing.assert_array_equal(clip.truth[1:][clip.static[1:]], clip.truth[:-1][clip.static[1:]])
    assert clip.static[1:].mean() == 0 if split == "camera" else clip.static[1:].mean() > 0.25


@pytest.mark.parametrize("split", ["solo", "crowd", "camera", "camera-still"])
def test_self_reenactment_drives_with_the_truth(clips, split):
    clip = clips[split]
    np.testing.assert_array_equal(clip.driving.keypoints, clip.truth_pose.keypoints)
    scene = benchmark_scenes(split, 1).truth
    np.testing.assert_array_equal(render(scene, 1, 64).frames[0], clip.reference)


def test_bizarre_is_odd_and_drives_with_a_human():
    ordinary = [sample_character(np.random.default_rng(seed)).body for seed in range(300)]

    def measures(body) -> np.ndarray:
        return np.array([
            body.head, body.neck, body.thigh + body.shin, body.upper_arm + body.forearm, body.shoulder + body.hip,
        ])  # fmt: skip

    low, high = (f([measures(body) for body in ordinary], 0) for f in (np.min, np.max))
    oddities = set()
    for index in range(16):
        scenes = benchmark_scenes("bizarre", index)
        odd, human = (scene.actors[0].character.body for scene in (scenes.truth, scenes.driver))
        assert ((measures(odd) < low) | (measures(odd) > high)).any()
        assert human.head < 1 / 5.5
        assert odd.head + odd.neck + odd.trunk + odd.thigh + odd.shin + odd.ankle == pytest.approx(1)
        oddities.add(scenes.tags["oddity"])
    assert oddities == set(ODDITIES)


@pytest.mark.parametrize(("split", "closer"), [("bizarre", 0.3), ("stage", 0.5)])
def test_the_retargeted_driving_poses_are_those_of_the_truth(split, closer):
    """Ideal poses are known for the truth; those that a system makes of still and driving track are about the same."""
    ours, plain = [], []
    for index in range(6):
        clip = benchmark_clip(split, index, 32)
        ours.append(median_distance(retarget(clip.driving, clip.reference_pose), clip.truth_pose))
        plain.append(median_distance(clip.driving, clip.truth_pose))
    assert np.mean(ours) < closer * np.mean(plain)
    assert np.mean(ours) < 0.02 * 32


def test_stage_exchanges_the_character_and_nothing_else(clips):
    clip, scenes = clips["stage"], benchmark_scenes("stage", 1)
    start, frames = scenes.start, scenes.frames
    assert scenes.driver.recast(character=scenes.truth.actors[0].character) == scenes.truth
    labels = [render(scene, range(start, start + frames), 64).labels for scene in (scenes.driver, scenes.truth)]
    figure = np.logical_or(*(np.isin(seen, (1, 2)) for seen in labels))  # actor and prop
    near = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) for mask in figure]) > 0
    changed = (clip.driver.frames != clip.truth).any(-1)
    assert changed[~near].mean() < 0.002  # traces at the edges of what stands before it
    assert changed[figure].mean() > 0.5
    solid = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) for mask in clip.driver.occluders]) > 0
    assert solid.sum() > 1000
    np.testing.assert_array_equal(clip.driver.frames[solid], clip.truth[solid])
    assert (clip.driver.occluders <= clip.driver.objects).all()
    assert (clip.driver.depth[clip.driver.occluders] < scenes.driver.actors[0].placement.depth).all()
    assert not clip.driver.background_flow.any()
    assert render(scenes.driver, range(start, start + frames), 64).frames.tobytes() == clip.driver.frames.tobytes()


def test_stages_have_occluders_props_and_pieces_behind():
    for index in range(12):
        driver = benchmark_scenes("stage", index).driver
        depths = [piece.placement.depth for piece in driver.objects]
        assert driver.actors[0].prop is not None
        assert min(depths) < driver.actors[0].placement.depth < max(depths)


def test_crowds_cross_and_their_order_is_known():
    for index in range(6):
        clip, scenes = benchmark_clip("crowd", index, 32), benchmark_scenes("crowd", index)
        people = int(clip.tags["people"])
        assert clip.truth_pose.people == people == 2 + index % 2
        depth = [scenes.truth.actors[int(i)].placement.depth for i in clip.tags["order"].split()]
        assert depth == sorted(depth, reverse=True)
        neck = clip.truth_pose.keypoints[:, :, 1, 0]
        order = np.sign(neck[:, 0] - neck[:, 1])
        assert order[0] == -order[-1] != 0
        scale = scenes.truth.actors[0].placement.height
        assert np.abs(neck[[0, -1], 0] - neck[[0, -1], 1]).min() > 32 * 0.3 * min(scale, 1)


def test_the_still_camera_shows_the_same_scene():
    for index in range(3):
        moving, still = benchmark_clip("camera", index, 64), benchmark_clip("camera-still", index, 64)
        assert np.abs(moving.reference.astype(int) - still.reference).max() <= 2
        assert len(moving.truth) == len(still.truth)
        assert np.abs(moving.driver.background_flow).max() > 0.3
        assert np.linalg.norm(moving.driving.keypoints - still.driving.keypoints, axis=-1).max() > 1


def test_sizes_show_the_same_scene():
    for split in ("bizarre", "noisy", "stage"):
        small, large = benchmark_clip(split, 2, 64), benchmark_clip(split, 2, 128)
        for name in ("reference_pose", "driving", "truth_pose"):
            ours, theirs = getattr(small, name), getattr(large, name).scaled((64, 64))
            np.testing.assert_array_equal(ours.scores, theirs.scores)
            np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=1e-3)


def test_characters_of_the_benchmark_are_held_out():
    worn = set()
    for split in SPLITS:
        for index in range(0, CLIPS, 7):
            scenes = benchmark_scenes(split, index)
            for actor in (*scenes.truth.actors, *scenes.driver.actors, *scenes.reference[0].actors):
                look = actor.character.look
                worn.add(look.garment + look.pattern + look.hair_style + look.hat)
    assert {sum(map(ord, outfit)) % 8 for outfit in worn} == {7}


# --- corruption ------------------------------------------------------------------------------------------------------------------


def straight_track(frames: int = 40, people: int = 2) -> PoseTrack:
    keypoints = np.arange(18, dtype=np.float32)[:, None] * (10, 7) + 20
    track = np.broadcast_to(keypoints, (frames, people, 18, 2)).astype(np.float32)
    return PoseTrack(track, np.ones((frames, people, 18), np.float32), (256, 256))


@pytest.mark.parametrize("level", LEVELS)
def test_corruption_is_what_the_level_says(level):
    how, track = LEVELS[level], straight_track()
    broken = corrupt(track, level, np.random.default_rng(level))
    trunk = [0, 1, 14, 15, 16, 17]
    noise = (broken.keypoints - track.keypoints)[:, :, trunk]
    assert noise.std() == pytest.approx(how.jitter * 256, rel=0.12)
    assert (broken.scores[:, :, trunk] == 1).all()
    assert not broken.keypoints[broken.scores == 0].any()
    for person in range(2):
        lost = (broken.scores[:, person] == 0).any(-1).sum()
        assert how.dropped_frames[0] <= lost <= how.dropped * how.dropped_frames[1]
        # A swapped joint lies at the other side's: 3 joints, thus 36.6 pixels away.
        moved = np.linalg.norm(broken.keypoints[:, person] - track.keypoints[:, person], axis=-1)
        swapped = ((moved > 25) & (broken.scores[:, person] > 0))[:, [2, 5, 8, 11]].any(-1).sum()
        assert 1 <= swapped <= how.swapped * how.swapped_frames[1] or level > 1
    assert (track.keypoints == straight_track().keypoints).all(), "the given track was changed"


def test_heavier_levels_hurt_more():
    track = straight_track(48, 1)
    lost, moved = [], []
    for level in LEVELS:
        broken = [corrupt(track, level, np.random.default_rng(seed)) for seed in range(20)]
        lost.append(np.mean([(b.scores == 0).mean() for b in broken]))
        moved.append(np.mean([np.abs(b.keypoints - track.keypoints)[b.scores > 0].mean() for b in broken]))
    assert lost == sorted(lost)
    assert moved == sorted(moved)
    assert lost[0] > 0


def test_corruption_of_short_tracks_and_unknown_levels():
    assert len(corrupt(straight_track(1, 1), 3, np.random.default_rng(0))) == 1
    with pytest.raises(BunrakuError, match="levels 1, 2, 3; got 4"):
        corrupt(straight_track(), 4, np.random.default_rng(0))


def test_unknown_clips_are_refused():
    with pytest.raises(BunrakuError, match="solo, bizarre, noisy, crowd, stage, camera, camera-still"):
        benchmark_clip("duet", 0)
    with pytest.raises(BunrakuError, match="clips 0 to 63; got 64"):
        benchmark_clip("solo", CLIPS)


@pytest.mark.parametrize(("split", "index"), [("noisy", 4), ("bizarre", 2), ("crowd", 1)])
def test_poses_alone_are_those_of_the_clip(split, index):
    clip, (own, driving, truth) = benchmark_clip(split, index, 64), benchmark_poses(split, index, 64)
    for alone, whole in ((own, clip.reference_pose), (driving, clip.driving), (truth, clip.truth_pose)):
        assert np.array_equal(alone.keypoints, whole.keypoints)
        assert np.array_equal(alone.scores, whole.scores)
