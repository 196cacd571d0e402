"""Structured depth pixel by pixel, and what it does not tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.skeleton import LIMBS, draw_skeleton
from bunraku.cues.structured_depth import carry_depth, depth_span, draw_structured_depth
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import render, sample_scene
from tests.tiny import crowd


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.sampled_from([None, 1, 3]), st.integers(1, 255))
def test_pixel_by_pixel(seed, people, line_width, farthest):
    rng = np.random.default_rng(seed)
    track = crowd(3, people, (20, 26), rng)
    depth = rng.normal(0, 5, (3, 20, 26)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = rng.choice([np.nan, np.inf])
    drawn = draw_structured_depth(track, depth, line_width=line_width, farthest=farthest)
    inside = draw_skeleton(track, line_width=line_width).any(-1) & np.isfinite(depth)
    values = [float(depth[at]) for at in zip(*np.nonzero(inside))]
    for at in np.ndindex(inside.shape):
        expected = 0.0
        if inside[at]:
            low, high = min(values), max(values)
            expected = farthest + (255 - farthest) * (high - float(depth[at])) / (high - low) if high > low else 255
        assert abs(drawn[at].astype(float) - expected).max() <= 0.51
    if len(set(values)) > 1:
        assert (drawn[inside].min(), drawn[inside].max()) == (farthest, 255)
        assert depth_span(track, depth, line_width=line_width) == (min(values), max(values))


def test_a_clip_drawn_in_parts_is_the_same_clip():
    rng = np.random.default_rng(0)
    track, depth = crowd(5, 2, (40, 40), rng), rng.random((5, 40, 40))
    span = depth_span(track, depth)
    parts = [draw_structured_depth(track[i : i + 2], depth[i : i + 2], span=span) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), draw_structured_depth(track, depth))
    # units and origin of depth do not matter, nor what lies beside the skeleton
    elsewhere = np.where(draw_skeleton(track).any(-1), depth, 1e6)
    np.testing.assert_array_equal(draw_structured_depth(track, 7 * elsewhere - 3), draw_structured_depth(track, depth))


def test_the_nearer_of_two_puppets_is_bright_and_nobody_is_drawn_black():
    scene = sample_scene(7, "train", people=2)
    shown = render(scene, 2, (128, 128))
    drawn = draw_structured_depth(shown.pose, shown.depth, (64, 64))
    assert drawn.shape == (2, 64, 64, 3)
    near, far = sorted(range(2), key=lambda i: scene.actors[i].placement.depth)
    skeleton = [draw_skeleton(shown.pose.person(i), (64, 64)).any(-1) for i in range(2)]
    assert np.median(drawn[skeleton[near]]) == 255
    assert 51 <= np.median(drawn[skeleton[far]]) < 255
    nobody = PoseTrack(shown.pose.keypoints, 0 * shown.pose.scores, shown.pose.size)
    assert not draw_structured_depth(nobody, shown.depth).any()


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_carried_depth_limb_by_limb(seed):
    """Against a loop over pixels and limbs, in float64."""
    rng = np.random.default_rng(seed)
    track, moved = crowd(1, 2, (20, 30), rng), crowd(1, 2, (24, 16), rng)
    depth = rng.uniform(1, 9, (1, 40, 60))
    found = carry_depth(track, depth, moved)[0]
    reach = 2  # ceil(16 * 8 / 512) + 1
    seen = np.minimum(track.scores, moved.scores)[0] > 0
    for y, x in np.ndindex(24, 16):
        candidates, doubtful = [], False
        for person, (i, j) in ((p, limb) for p in range(2) for limb in LIMBS if seen[p, limb].all()):
            a, b = moved.keypoints[0, person, [i, j]].astype(float)
            t = np.clip(np.dot([x + 0.5 - a[0], y + 0.5 - a[1]], b - a) / np.dot(b - a, b - a), 0, 1)
            distance = np.hypot(*(a + t * (b - a) - (x + 0.5, y + 0.5)))
            u, v = 2 * (
                track.keypoints[0, person, i] + t * (track.keypoints[0, person, j] - track.keypoints[0, person, i])
            )
            doubtful |= abs(distance - reach) < 1e-3 or min(u % 1, v % 1, 1 - u % 1, 1 - v % 1) < 1e-3
            if distance <= reach and 0 <= u < 60 and 0 <= v < 40:
                candidates.append(depth[0, int(v), int(u)])
        if not doubtful:
            assert found[y, x] == np.float32(min(candidates)) if candidates else np.isnan(found[y, x])


def test_puppets_take_their_depth_with_them():
    """Moved by retargeting, every drawn pixel has a depth, and each puppet its own."""
    scene = sample_scene(7, "train", people=2)
    shown = render(scene, 3, (128, 128))
    shift = np.array([[10, 0], [-12, 5]], np.float32)[:, None]
    moved = PoseTrack(shown.pose.keypoints * 0.8 + shift, shown.pose.scores, shown.pose.size).scaled((96, 160))
    carried = carry_depth(shown.pose, shown.depth, moved)
    drawn = draw_structured_depth(moved, carried)
    skeletons = [draw_skeleton(moved.person(i)).any(-1) for i in range(2)]
    assert (drawn.any(-1) == skeletons[0] | skeletons[1]).mean() > 0.999
    for i, actor in enumerate(scene.actors):
        alone = skeletons[i] & ~skeletons[1 - i]
        assert np.median(carried[alone]) == pytest.approx(actor.placement.depth)


def test_unusable_arguments():
    track = crowd(2, 1, (16, 16), np.random.default_rng(0))
    with pytest.raises(ValueError, match="depth for 2 frames"):
        draw_structured_depth(track, np.zeros((1, 16, 16)))
    with pytest.raises(ValueError, match=r"span of depth is \(near, far\)"):
        draw_structured_depth(track, np.zeros((2, 16, 16)), span=(2, 1))
    with pytest.raises(ValueError, match="same people"):
        carry_depth(track, np.zeros((2, 16, 16)), crowd(2, 2, (16, 16), np.random.default_rng(0)))
    with pytest.raises(ValueError, match="farthest level 1 to 255"):
        draw_structured_depth(track, np.zeros((2, 16, 16)), farthest=0)
