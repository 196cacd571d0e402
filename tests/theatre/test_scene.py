"""Scenes render the same pixels for the same seed, at every size, with ground truth that lies on the character."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.theatre import Placement, SetPiece, render, sample_scene
from bunraku.theatre.camera import BACKDROP
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


# --- several actors, set pieces, props -------------------------------------------------------------------------------------------

FULL = {"people": 3, "props": True, "objects": True}


@pytest.fixture(scope="module")
def full():
    scene = sample_scene(5, "test", **FULL)
    return scene, render(scene, range(0, 36, 5), 128)


def without(scene, label):
    """The scene without the thing that has a label."""
    people = len(scene.actors)
    if people < label <= 2 * people:
        return scene.recast(label - people - 1, prop=None)
    objects = list(scene.objects)
    del objects[label - 2 * people - 1]
    return replace(scene, objects=tuple(objects))


def test_maps_follow_from_the_labels(full):
    scene, shown = full
    people, things = len(scene.actors), 6 + len(scene.objects)
    assert shown.pose.people == people == 3
    assert set(np.unique(shown.labels)) == set(range(things + 1))
    assert set(np.unique(shown.instances)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(shown.instances > 0, shown.character_mask)
    assert not (shown.character_mask & shown.object_mask).any()
    np.testing.assert_array_equal(shown.depth == BACKDROP, shown.labels == 0)
    for i, actor in enumerate(scene.actors):
        assert (shown.depth[shown.instances == i + 1] == np.float32(actor.placement.depth)).all()
    for i, piece in enumerate(scene.objects):
        assert (shown.depth[shown.labels == 7 + i] == np.float32(piece.placement.depth)).all()


def test_removing_a_thing_changes_its_own_pixels(full):
    scene, shown = full
    for label in range(4, 7 + len(scene.objects)):
        bare = render(without(scene, label), range(0, 36, 5), 128)
        changed, mask = (shown.frames != bare.frames).any(-1), shown.labels == label
        near = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((3, 3))) for m in mask]) > 0
        assert changed[mask].mean() > 0.97, "a pixel of the mask does not show the thing"
        # A thing that shines through between two others is in nobody's mask.
        assert (changed & ~near).sum() < 0.002 * changed.size


def test_nearer_things_cover_farther_ones(full):
    """Where two things would be seen alone, the nearer one is seen."""
    scene, shown = full
    alone = []
    for i, actor in enumerate(scene.actors):
        bare = render(replace(scene, actors=(replace(actor, prop=None),), objects=()), range(0, 36, 5), 128)
        alone.append((actor.placement.depth, 1 + i, bare.character_mask))
    for i, piece in enumerate(scene.objects):
        bare = render(replace(scene, actors=(), objects=(piece,)), range(0, 36, 5), 128)
        alone.append((piece.placement.depth, 7 + i, bare.object_mask))
    props = (shown.labels > 3) & (shown.labels <= 6)
    overlaps = 0
    for near, mine, silhouette in alone:
        for far, other, mask in alone:
            if near < far:
                inner = np.stack(
                    [cv2.erode((m & n).astype(np.uint8), np.ones((3, 3))) for m, n in zip(mask, silhouette)]
                )
                both = (inner > 0) & ~props
                overlaps += both.sum()
                assert not (shown.labels[both] == other).any(), f"{other} shows through {mine}"
    assert overlaps > 1000


def test_occluded_joints_lie_under_something_nearer():
    scene = sample_scene(1, "test", people=2)
    shown = render(scene, 36, 128)
    near, far = np.argsort([actor.placement.depth for actor in scene.actors])
    assert not shown.occluded[:, near].any()
    hidden = shown.occluded[:, far]
    assert 0 < hidden.mean() < 0.6
    assert (shown.pose.scores[:, far][hidden] > 0).all() or (hidden & (shown.pose.scores[:, far] == 0))[
        :, [0, 14, 15]
    ].any()
    for frame, joint in np.argwhere(hidden):
        x, y = shown.pose.keypoints[frame, far, joint].astype(int)
        assert shown.instances[frame, y, x] == near + 1


def test_a_piece_before_and_behind_an_actor():
    scene = sample_scene(0, "test")
    x = float(render(scene, [0], 128).pose.keypoints[0, 0, [8, 11], 0].mean()) / 128 - 0.5
    for depth, seen in ((0.5, True), (2.0, False)):
        pillar = SetPiece("pillar", Placement(x, 0.97, 0.95, depth), (200, 0, 0), (0, 200, 0), (0, 0, 0))
        shown = render(replace(scene, objects=(pillar,)), [0, 3], 128)
        hip = shown.pose.keypoints[0, 0, [8, 11]].mean(0).astype(int)
        assert (shown.labels[0, hip[1], hip[0]] == 3) == seen
        assert shown.occluded.any() == seen


@pytest.mark.parametrize("seed", range(4))
def test_people_cross(seed):
    scene = sample_scene(seed, "train", people=2, frames=30)
    neck = render(scene, [0, 29], 32).pose.keypoints[:, :, 1, 0]
    assert (neck[0, 0] - neck[0, 1]) * (neck[1, 0] - neck[1, 1]) < 0


def test_identity_is_the_place_in_the_scene():
    scene = sample_scene(2, "test", people=2)
    shown, turned = render(scene, [4], 64), render(replace(scene, actors=scene.actors[::-1]), [4], 64)
    np.testing.assert_array_equal(shown.frames, turned.frames)
    np.testing.assert_array_equal(shown.pose.keypoints[:, ::-1], turned.pose.keypoints)
    np.testing.assert_array_equal(np.array([0, 2, 1])[shown.instances], turned.instances)


def test_the_first_actor_and_the_stage_do_not_depend_on_the_others():
    alone, together = sample_scene(7, "val"), sample_scene(7, "val", **FULL, moving_camera=True)
    assert together.actors[0].character == alone.actors[0].character
    assert together.background.angle == alone.background.angle
    outfits = {actor.character.look for actor in together.actors}
    assert len(outfits) == 3


def test_a_counterfactual_leaves_the_rest_as_it_was(full):
    """Another character performs the motion of actor 0, in its place, with its prop."""
    scene, shown = full
    guest = sample_scene(9, "test").actors[0].character
    other = render(scene.recast(0, character=guest), range(0, 36, 5), 128)
    np.testing.assert_array_equal(shown.background, other.background)
    np.testing.assert_array_equal(shown.pose.keypoints[:, 1:], other.pose.keypoints[:, 1:])
    figure = np.isin(shown.labels, (1, 4)) | np.isin(other.labels, (1, 4))
    near = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((3, 3))) for m in figure]) > 0
    changed = (shown.frames != other.frames).any(-1)
    assert changed[figure].mean() > 0.3
    assert changed[~near].mean() < 0.002
    np.testing.assert_array_equal(np.where(near, 0, shown.labels), np.where(near, 0, other.labels))


def test_full_scenes_are_deterministic_frame_by_frame():
    options = FULL | {"moving_camera": True}
    clip, alone = render(sample_scene(3, **options), 8, 64), render(sample_scene(3, **options), [6], 64)
    for name in ("frames", "labels", "background", "occluded", "depth"):
        np.testing.assert_array_equal(getattr(clip, name)[6], getattr(alone, name)[0])
    np.testing.assert_array_equal(clip.pose.keypoints[6], alone.pose.keypoints[0])


def test_an_empty_stage():
    scene = replace(sample_scene(0), actors=())
    shown = render(scene, 2, 48)
    np.testing.assert_array_equal(shown.frames, shown.background)
    assert not shown.labels.any()
    assert shown.pose.keypoints.shape == (2, 0, 18, 2)


def test_a_fourth_actor_does_not_fit():
    with pytest.raises(BunrakuError, match="1 to 3 people"):
        sample_scene(0, people=4)


def test_the_theatre_needs_no_torch():
    code = "import sys, bunraku.evaluation.theatre_benchmark, bunraku.theatre.flow; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
