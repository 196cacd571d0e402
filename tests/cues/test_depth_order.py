"""The depth order: painting, ranks over time, and scores against the theatre's truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.character_region import character_regions
from bunraku.cues.depth_order import (
    PALETTE,
    Contradiction,
    contradictions,
    describe_contradictions,
    draw_depth_order,
    fixed_ranks,
    nearness,
    ranks_over_time,
    standing_nearness,
)
from bunraku.cues.skeleton import draw_skeleton
from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render, sample_scene
from tests.tiny import crowd


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_every_pixel_has_the_colour_of_the_nearest_person_there(seed, people):
    rng = np.random.default_rng(seed)
    size = (24, 40)
    track = crowd(2, people, size, rng)
    ranks = np.array([rng.permutation(people) for _ in range(2)]).reshape(2, people)
    drawn = draw_depth_order(track, ranks)
    for frame, regions in enumerate(character_regions(track)):
        inside = np.zeros((people, *size), bool)
        for person, region in enumerate(regions):
            inside[person][region.at] = region.mask > 0
        for y, x in np.ndindex(size):
            here = [ranks[frame, person] for person in range(people) if inside[person, y, x]]
            assert tuple(drawn[frame, y, x]) == (PALETTE[max(here)] if here else (0, 0, 0))


def test_the_papers_colours():
    assert PALETTE[:2] == ((255, 0, 0), (255, 255, 0))
    assert len(set(PALETTE) - {(0, 0, 0)}) == 8
    track = crowd(1, 1, (32, 32), np.random.default_rng(0))
    alone = draw_depth_order(track, np.array([[0]]))
    assert {tuple(c) for c in alone.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 0, 0)}


def test_scores_of_the_theatre_are_its_distances_also_when_somebody_is_covered():
    """Exact depth gives the exact distance of every person, wherever enough of the skeleton is free."""
    for seed, people in ((11, 3), (13, 2)):
        scene = sample_scene(seed, "train", people=people)
        shown = render(scene, range(0, 28, 4), (128, 128))
        true = np.array([actor.placement.depth for actor in scene.actors])
        scores = nearness(shown.pose, shown.depth)
        known = np.isfinite(scores)
        assert known.mean() > 0.8
        exact = np.isclose(-scores, true, rtol=1e-6)[known]
        assert exact.mean() > 0.95  # hats reach beyond their people's regions
        expected = np.broadcast_to(np.argsort(np.argsort(-true)), scores.shape)
        np.testing.assert_array_equal(ranks_over_time(scores), expected)
        # as inverse depth of half the size, turned round, and with a hole
        inverse = 1 / shown.depth[:, ::2, ::2]
        inverse[:, :9] = np.nan
        np.testing.assert_array_equal(ranks_over_time(nearness(shown.pose, -inverse)), expected)


def test_without_depth_the_theatres_order_comes_from_feet_and_size():
    """40 scenes of 2 and 3 people; they walk on one floor."""
    right = pairs = 0
    for seed in range(40):
        scene = sample_scene(seed, "train", people=2 + seed % 2)
        shown = render(scene, [0, 12, 24], (96, 96))
        near = -np.array([actor.placement.depth for actor in scene.actors])
        ranks = ranks_over_time(standing_nearness(shown.pose))
        for i in range(len(near)):
            for j in range(i):
                pairs += 3
                right += ((ranks[:, i] > ranks[:, j]) == (near[i] > near[j])).sum()
    assert right / pairs > 0.95, f"{right} of {pairs}"


def standing(x, head, foot, size=(100, 100)):
    """A stick of a person, upright: (1, 1, 18, 2)."""
    share = np.array([0.05, 0.2, 0.2, 0.35, 0.5, 0.2, 0.35, 0.5, 0.5, 0.75, 1, 0.5, 0.75, 1, 0.03, 0.03, 0.04, 0.04])
    points = np.stack([np.full(18, x), head + share * (foot - head)], -1).astype(np.float32)[None, None]
    return PoseTrack(points, np.ones((1, 1, 18), np.float32), size)


def together(*tracks):
    return PoseTrack(
        np.concatenate([t.keypoints for t in tracks], 1), np.concatenate([t.scores for t in tracks], 1), tracks[0].size
    )


def test_feet_decide_and_size_where_feet_are_not_seen():
    child, adult = standing(30, 60, 95), standing(60, 30, 85)
    scores = standing_nearness(together(child, adult))
    assert np.isfinite(scores).all()
    near, far = standing(30, 20, 95), standing(60, 40, 80)
    for joints in ([], [10, 13], [9, 10, 12, 13]):  # cut off below the knees, below the hips
        pair = together(near, far)
        pair.scores[..., joints] = 0
        assert np.argmax(standing_nearness(pair)[0]) == 0
    nobody = together(near, far)
    nobody.scores[:, 1] = 0
    assert np.isfinite(standing_nearness(nobody)[0]).tolist() == [True, False]


def test_who_bends_does_not_move_away():
    """Two at one depth, as tall; one bends for a third of the time. The order stays."""
    near, far = standing(30, 20, 92), standing(60, 20, 91)
    frames = 45
    keypoints = np.tile(np.concatenate([near.keypoints, far.keypoints], 1), (frames, 1, 1, 1))
    keypoints[15:30, 0, :8, 1] = keypoints[15:30, 0, :8, 1] * 0.5 + 28  # neck and arms sink towards the hips
    bending = PoseTrack(keypoints, np.ones(keypoints.shape[:3], np.float32), near.size)
    assert (ranks_over_time(standing_nearness(bending)) == [1, 0]).all()
    assert (np.argsort(standing_nearness(bending, window=1), 1)[15:30] == [0, 1]).all()  # frame by frame it would not


def test_fixed_ranks_are_those_of_the_picture():
    ranks = fixed_ranks(np.array([3.0, np.nan, 9.0, 3.0]), 2)
    assert ranks.tolist() == [[1, 0, 3, 2]] * 2


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 12))
def test_exact_scores_give_each_frames_own_order(seed, people, frames):
    """No noise and no window: the ranks are a sort of each frame."""
    scores = np.random.default_rng(seed).permutation(frames * people).reshape(frames, people).astype(float)
    expected = np.argsort(np.argsort(scores, 1), 1)
    np.testing.assert_array_equal(ranks_over_time(scores, 1), expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_crossing_in_depth_changes_the_order_once_and_noise_never(seed):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 120)
    side_by_side = np.stack([2 * t, 2 * t, np.full(120, 9.0)], 1)  # two walk to the camera together
    crossing = np.stack([t, 1 - t, np.full(120, -9.0)], 1)
    for clean, changes in ((side_by_side, 0), (crossing, 1)):
        noisy = clean + rng.normal(0, 0.1, clean.shape)
        each = np.argsort(np.argsort(noisy, 1), 1)
        assert (np.diff(each, axis=0) != 0).any(1).sum() > 2  # frame by frame it flickers
        ranks = ranks_over_time(noisy)
        assert (np.sort(ranks, 1) == np.arange(3)).all()
        assert (np.diff(ranks, axis=0) != 0).any(1).sum() == changes
    assert ranks[0, 0] < ranks[0, 1]
    assert ranks[-1, 0] > ranks[-1, 1]
    assert abs(int(np.argmax(ranks[:, 0] > ranks[:, 1])) - 60) < 25  # at about the right time


def test_who_is_covered_or_gone_keeps_the_place_between():
    scores = np.tile(np.array([[1.0, 2.0]]), (40, 1))
    scores[10:30, 0] = np.nan
    assert (ranks_over_time(scores) == [0, 1]).all()
    scores[30:, 0] = 3  # and comes back in front
    ranks = ranks_over_time(scores)
    assert ranks[0].tolist() == [0, 1]
    assert ranks[-1].tolist() == [1, 0]
    assert (np.diff(ranks[:, 0]) != 0).sum() == 1
    never = np.stack([np.full(5, np.nan), np.zeros(5), np.full(5, np.nan)], 1)
    assert (ranks_over_time(never)[:, 1] == 2).all()


def test_masks_that_show_another_order():
    """Two bodies on one another, person 1 in front by the masks."""
    size = (96, 96)
    pair = together(standing(50, 5, 90, size), standing(52, 5, 90, size))
    clip = PoseTrack(np.tile(pair.keypoints, (3, 1, 1, 1)), np.tile(pair.scores, (3, 1, 1)), size)
    one, two = (draw_skeleton(clip.person(i), line_width=5).any(-1) for i in range(2))
    instances = np.where(two, 2, np.where(one, 1, 0)).astype(np.uint8)
    ranks = np.array([[0, 1], [1, 0], [1, 0]])
    found = contradictions(clip, ranks, instances)
    assert found == [Contradiction(1, 0, 1), Contradiction(2, 0, 1)]
    assert "person 0 in front of person 1" in describe_contradictions(found, 3)
    assert "2 of 3 frames" in describe_contradictions(found, 3)
    instances[1] = 1 * (instances[1] > 0)
    assert contradictions(clip, ranks, instances) == [Contradiction(2, 0, 1)]
    assert contradictions(clip, ranks, 0 * instances) == []
    apart = together(standing(10, 5, 90, size), standing(80, 5, 90, size))
    assert contradictions(apart, ranks[:1], instances[:1]) == []
    assert describe_contradictions([], 3) == ""


def test_the_theatres_masks_contradict_its_order_turned_round_and_not_the_right_one():
    scene = sample_scene(7, "train", people=2)
    shown = render(scene, range(10, 18), (128, 128))
    ranks = ranks_over_time(nearness(shown.pose, shown.depth))
    assert contradictions(shown.pose, ranks, shown.instances) == []
    assert len(contradictions(shown.pose, 1 - ranks, shown.instances)) >= 3


@pytest.mark.parametrize("ranks", [[[0, 0]], [[1, 2]], [[0, 1], [0, 1]], [[0]]])
def test_ranks_that_are_no_order(ranks):
    with pytest.raises(ValueError, match="ranks are"):
        draw_depth_order(crowd(1, 2, (32, 32), np.random.default_rng(0)), np.array(ranks))


def test_unusable_arguments():
    track = crowd(1, 9, (32, 32), np.random.default_rng(0))
    with pytest.raises(BunrakuError, match="8 people; there are 9"):
        draw_depth_order(track, np.arange(9)[None])
    with pytest.raises(ValueError, match="depth for 1 frames"):
        nearness(track, np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="at least 1 frame"):
        ranks_over_time(np.zeros((2, 2)), 0)
