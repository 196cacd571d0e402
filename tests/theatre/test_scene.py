"""Scenes render the same pixels for the same seed, at every size, with ground truth that lies on the character."""

import cv2
import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.theatre import render, sample_scene
from bunraku.theatre.scene import SPLITS

SEEDS = range(12)
GOLDEN_MEAN = (176.7, 130.95, 116.92)
GOLDEN_KEYPOINTS = [(33.74, 16.98), (23.75, 8.09), (42.56, 8.97), (28.49, 55.7), (38.06, 56.19)]


@pytest.fixture(scope="module")
def renderings():
    return [render(sample_scene(seed), range(0, 48, 6), 128) for seed in SEEDS]


def test_same_seed_same_pixels(renderings):
    for seed, first in zip(SEEDS, renderings):
        second = render(sample_scene(seed), range(0, 48, 6), 128)
        np.testing.assert_array_equal(first.frames, second.frames)
        np.testing.assert_array_equal(first.pose.keypoints, second.pose.keypoints)


def test_pixels_stay_the_same_between_machines():
    # Coarse means, because OpenCV versions may differ in the last bit of an antialiased edge.
    frames = render(sample_scene(0), [0, 5], 64).frames.astype(float)
    np.testing.assert_allclose(frames.mean((0, 1, 2)), GOLDEN_MEAN, atol=0.3)
    keypoints = render(sample_scene(0), [5], 64).pose.keypoints[0, 0]
    np.testing.assert_allclose(keypoints[[0, 4, 7, 10, 13]], GOLDEN_KEYPOINTS, atol=0.01)


def test_a_frame_alone_is_the_frame_of_the_clip():
    scene = sample_scene(3)
    clip = render(scene, 8)
    alone = render(scene, [5])
    np.testing.assert_array_equal(alone.frames[0], clip.frames[5])
    np.testing.assert_array_equal(alone.character_mask[0], clip.character_mask[5])
    np.testing.assert_array_equal(alone.pose.keypoints[0], clip.pose.keypoints[5])


def test_keypoints_lie_on_the_character(renderings):
    for rendering in renderings:
        keypoints, seen = rendering.pose.keypoints[:, 0], rendering.pose.scores[:, 0] > 0
        height, width = rendering.pose.size
        assert seen.mean() > 0.95
        for frame, joint in np.argwhere(seen):
            x, y = keypoints[frame, joint].astype(int)
            around = rendering.character_mask[frame, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            assert around.any(), f"frame {frame}, joint {joint} at {x}, {y} of {width}x{height} is off the character"


def test_the_person_faces_us(renderings):
    for rendering in renderings:
        x = rendering.pose.keypoints[:, 0, :, 0]
        assert (x[:, 2] < x[:, 5]).all(), "the person's right shoulder is at image left"
        np.testing.assert_allclose(
            rendering.pose.keypoints[:, 0, 1], rendering.pose.keypoints[:, 0, [2, 5]].mean(1), atol=1e-3
        )


def test_mask_says_where_the_stage_is_covered(renderings):
    for rendering in renderings:
        changed = (rendering.frames != rendering.background).any(-1)
        near = [cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in rendering.character_mask]
        assert not (changed & ~np.stack(near)).any()
        share = rendering.character_mask.mean((1, 2))
        assert ((share > 0.04) & (share < 0.45)).all()


def test_size_changes_resolution_only():
    for seed in SEEDS:
        scene = sample_scene(seed)
        small, large = render(scene, [4], 128), render(scene, [4], 256)
        shrunk = cv2.resize(large.frames[0], (128, 128), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(float) - small.frames[0]).mean() < 2
        mask = cv2.resize(large.character_mask[0].astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA) > 0.5
        assert (mask & small.character_mask[0]).sum() > 0.9 * (mask | small.character_mask[0]).sum()
        np.testing.assert_allclose(large.pose.scaled((128, 128)).keypoints, small.pose.keypoints, atol=1e-3)


def test_frames_need_not_be_square():
    rendering = render(sample_scene(1), 2, (96, 160))
    assert rendering.frames.shape == (2, 96, 160, 3)
    assert rendering.character_mask.any()
    assert rendering.pose.size == (96, 160)


def test_reposing_moves_the_character_only():
    first, second = sample_scene(0), sample_scene(1)
    own, reposed = render(first, 4), render(first.recast(motion=second.actors[0].motion), 4)
    np.testing.assert_array_equal(own.background, reposed.background)
    assert (own.character_mask != reposed.character_mask).any((1, 2)).all()
    free = ~cv2.dilate((own.character_mask | reposed.character_mask).any(0).astype(np.uint8), np.ones((3, 3))).astype(
        bool
    )
    np.testing.assert_array_equal(own.frames[:, free], reposed.frames[:, free])
    same_colours = second.recast(character=first.actors[0].character, placement=first.actors[0].placement)
    np.testing.assert_allclose(render(same_colours, 4).pose.keypoints, reposed.pose.keypoints, atol=1e-4)


def test_frames_of_a_clip_differ():
    generator = np.random.default_rng(0)
    scores = []
    for seed in SEEDS:
        a, b = render(sample_scene(seed), list(generator.integers(0, 100, 2))).frames.astype(float)
        scores.append(10 * np.log10(255**2 / np.mean((a - b) ** 2)))
    assert 14 < np.mean(scores) < 20


def test_splits_share_nothing():
    scenes = {split: [sample_scene(seed, split) for seed in range(40)] for split in SPLITS}
    outfits = {
        split: {
            (
                s.actors[0].character.look.garment,
                s.actors[0].character.look.pattern,
                s.actors[0].character.look.hair_style,
                s.actors[0].character.look.hat,
            )
            for s in of
        }
        for split, of in scenes.items()
    }
    tempos = {split: {s.actors[0].motion.tempo for s in of} for split, of in scenes.items()}
    angles = {split: {s.background.angle for s in of} for split, of in scenes.items()}
    for pool in (outfits, tempos, angles):
        assert not pool["train"] & pool["val"]
        assert not pool["train"] & pool["test"]
        assert not pool["val"] & pool["test"]
    assert len(tempos["train"]) == 40


@pytest.mark.parametrize(("seed", "split"), [(0, "dev"), (-1, "train")])
def test_unknown_scenes_are_refused(seed, split):
    with pytest.raises(BunrakuError, match="train, val, test"):
        sample_scene(seed, split)


def test_nothing_to_render_is_refused():
    with pytest.raises(BunrakuError, match="at least one frame"):
        render(sample_scene(0), [])
