"""Joints read from drawings lie where they were drawn from, at any size, in any style, for several people; what is no skeleton is nobody."""

from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.read_skeleton import SkeletonReader, is_readable
from bunraku.cues.skeleton import draw_skeleton
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import sample_scene
from bunraku.theatre.scene import stage


def dance(seed: int, size: tuple[int, int], people: int = 1, frames: int = 5) -> PoseTrack:
    return stage(sample_scene(seed, "test", people=people), np.arange(frames) / 2, size).pose


@pytest.mark.parametrize("style", ["openpose", "dwpose"])
@pytest.mark.parametrize(("side", "median", "most"), [(128, 5, 40), (256, 3, 16), (512, 2, 9)])
def test_joints_lie_where_they_were_drawn(style, side, median, most):
    """Distances in pixels of a drawing of 512 px; the few that are farther off lie under other limbs."""
    away, missed, all_joints = [], 0, 0
    for seed in range(5):
        track = dance(seed, (side, side))
        for frame, drawn in enumerate(draw_skeleton(track, style=style)):
            found = SkeletonReader()(drawn)
            assert len(found) == 1
            seen = track.scores[frame, 0] > 0.3
            there = found.scores[0, :18] > 0
            missed += int((seen & ~there).sum())
            all_joints += int(seen.sum())
            away += np.linalg.norm(found.keypoints[0, :18] - track.keypoints[frame, 0], axis=1)[seen & there].tolist()
    scaled = np.array(away) * 512 / side
    assert np.median(scaled) < median
    assert np.percentile(scaled, 90) < most
    assert missed < 0.06 * all_joints


def test_two_people_are_told_apart():
    track = dance(3, (256, 384), people=2)
    right = 0
    for frame, drawn in enumerate(draw_skeleton(track)):
        found = SkeletonReader()(drawn)
        necks = track.keypoints[frame, :, 1]
        if len(found) == 2:
            pairs = np.linalg.norm(found.keypoints[:, None, 1] - necks, axis=-1)
            right += int((pairs.min(1) < 6).all() and set(pairs.argmin(1)) == {0, 1})
    assert right >= 4


def test_nobody_is_read_from_what_is_no_skeleton():
    rng = np.random.default_rng(0)
    for frame in (np.zeros((64, 64, 3), np.uint8), rng.integers(0, 256, (64, 64, 3), np.uint8)):
        found = SkeletonReader()(frame)
        assert len(found) == 0 or (found.scores > 0).sum(1).max() < 9
    assert not is_readable([np.zeros((64, 64, 3), np.uint8)])
    assert is_readable(list(draw_skeleton(dance(0, (256, 256)))))


def test_a_compressed_drawing_of_a_detector_is_read(assets: Path):
    from tests.video import read_video

    frames = read_video(assets / "drivers" / "skeleton_only.mp4").frames[::12]
    found = [SkeletonReader()(frame) for frame in frames]
    assert [len(one) for one in found] == [1] * len(frames)
    assert min(int((one.scores[0] > 0).sum()) for one in found) >= 14
    heights = [float(np.ptp(one.keypoints[0, one.scores[0] > 0, 1])) for one in found]
    assert min(heights) / max(heights) > 0.8
