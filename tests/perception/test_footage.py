"""Real footage: people found against a hand count, and how many poses are called unsure."""

import numpy as np
import pytest

from bunraku.cues.perceive import perceive_frames
from bunraku.cues.plausible import judge
from bunraku.cues.tracking import lost_ranges
from bunraku.media.reader import VideoReader

pytest.importorskip("ai_edge_litert")

BY_HAND = {"dance_plain": (1, 40), "dance_outdoors": (1, 130), "juggling_ball": (1, 200), "two_people": (2, 40)}
"""People in each of 20 frames, counted by eye on sheets of these frames, and the first of them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_HAND)
def test_everybody_is_found_in_every_frame_and_hardly_a_pose_is_unsure(assets, name, caplog):
    people, start = BY_HAND[name]
    frames = VideoReader(assets / "drivers" / f"{name}.mp4", start=start, stop=start + 20)
    track = perceive_frames(frames, name, "mediapipe", max_people=4).pose
    assert track.people == people
    assert [lost_ranges(track, person) for person in range(people)] == [[]] * people
    necks = track.keypoints[:, :, 1, 0]
    assert (np.diff(necks) > 0).all() or (np.diff(necks) < 0).all()  # whoever stands on the left does so in every frame
    faults = judge(track).faults
    assert not faults["exchanged"].any()
    assert not faults["inverted"].any()
    assert np.any(list(faults.values()), axis=0).mean() <= 0.05
    assert "cut" not in caplog.text
