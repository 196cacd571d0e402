"""Pose error: known displacements, missing joints and people, and a real detector on real footage."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import METRICS
from bunraku.evaluation.pose_error import pose_error, pose_scores
from bunraku.media import VideoReader
from bunraku.perception.pose import Detections, PoseTrack

SIZE = (200, 160)


def person(left=40, top=30, height=100, seed=0):
    """18 body joints in a box `height` tall and not as wide."""
    points = np.random.default_rng(seed).uniform(0, 1, (18, 2)) * (height / 2, height) + (left, top)
    points[[0, 10], 1] = top, top + height
    return points.astype(np.float32)


def track(*people, frames=1):
    keypoints = np.repeat(np.stack(people)[None], frames, axis=0)
    return PoseTrack(keypoints, np.ones(keypoints.shape[:3], np.float32), SIZE)


def detected(*people):
    whole = []
    for points in people:
        keypoints, scores = np.zeros((134, 2), np.float32), np.zeros(134, np.float32)
        keypoints[:18], scores[:18] = points, 0.9
        whole.append((keypoints, scores))
    return Detections.of(whole)


def test_the_same_pose_is_perfect():
    scores = pose_scores([detected(person())] * 2, track(person(), frames=2))
    assert list(scores) == [name for name, metric in METRICS.items() if metric.group == "pose"]
    assert scores["pose_found"].tolist() == scores["pck"].tolist() == [1, 1]
    assert scores["keypoint_distance"] == pytest.approx([0, 0])


@given(st.floats(0, 60), st.floats(0, 2 * np.pi), st.sampled_from([50, 100]))
def test_a_displacement_is_measured_in_boxes(pixels, angle, height):
    driving = person(height=height)
    moved = driving + np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(pixels)
    scores = pose_scores([detected(moved)], track(driving))
    assert scores["keypoint_distance"] == pytest.approx([pixels / height], abs=1e-4)
    if abs(pixels / height - 0.1) > 1e-3:
        assert scores["pck"].tolist() == [float(pixels / height < 0.1)]
    assert scores["pose_found"].tolist() == [1]


def test_what_is_not_found_is_wrong():
    driving = person()
    half = detected(driving)
    half.scores[0, 9:18] = 0.2
    nobody = Detections.of([])
    blind = detected(driving)
    blind.scores[:] = 0
    scores = pose_scores([half, nobody, blind], track(driving, frames=3))
    assert scores["pose_found"].tolist() == [1, 0, 0]
    assert scores["pck"].tolist() == [0.5, 0, 0]
    assert scores["keypoint_distance"][0] == pytest.approx(0)
    assert np.isnan(scores["keypoint_distance"][1:]).all()


def test_only_visible_joints_of_the_driving_pose_count():
    driving = track(person(), person(left=90, seed=1), frames=3)
    driving.scores[0, 1] = 0  # gone
    driving.scores[1, :, 2:] = 0.1  # two joints are not enough for a person
    driving.keypoints[2, 1, 5:] += 500  # out of the frame: no detector can see it
    scores = pose_scores([detected(person())] * 3, driving)
    assert scores["pose_found"][[0, 2]].tolist() == [1, 0.5]
    assert np.isnan([values[1] for values in scores.values()]).all()
    assert scores["pck"][0] == 1
    assert scores["pck"][2] == pytest.approx(18 / 23)


def test_people_are_told_apart_by_where_they_are():
    one, two = person(left=10), person(left=100, seed=1)
    scores = pose_scores([detected(two + 1, one - 1), detected(two)], track(one, two, frames=2))
    assert scores["pose_found"].tolist() == [1, 0.5]
    assert scores["pck"].tolist() == [1, 0.5]
    assert scores["keypoint_distance"] == pytest.approx([np.sqrt(2) / 100, 0], rel=1e-3)


def test_a_whole_body_is_a_better_match_than_one_exact_joint():
    splinter, body = detected(person()), detected(person() + 3)
    splinter.scores[0, 1:] = 0
    both = Detections(*(np.concatenate(pair) for pair in zip(*((d.keypoints, d.scores) for d in (splinter, body)))))
    assert pose_scores([both], track(person()))["pck"].tolist() == [1]


def test_poses_of_another_size_are_scaled():
    class Still:
        def __call__(self, frame):
            return detected(person() / 2)

    frames = np.zeros((2, 100, 80, 3), np.uint8)
    scores = pose_error(frames, track(person(), frames=2), Still())
    assert scores["pck"].tolist() == [1, 1]
    assert scores["keypoint_distance"] == pytest.approx([0, 0], abs=1e-6)


def test_other_lengths_are_refused():
    with pytest.raises(BunrakuError, match="1 frames of detections for 2 frames of driving poses"):
        pose_scores([detected(person())], track(person(), frames=2))


def test_real_footage_is_found_again(assets: Path):
    pytest.importorskip("ai_edge_litert")
    from bunraku.cues.tracking import link
    from bunraku.perception.detector import create_pose_detector

    reader = VideoReader(assets / "drivers" / "dance_plain.mp4")
    frames = np.stack([frame for _, frame in zip(range(4), reader)])
    detector = create_pose_detector("mediapipe")
    found = [detector(frame) for frame in frames]
    detector.close()
    driving = link([(d.keypoints, d.scores) for d in found], frames.shape[1:3])
    detector = create_pose_detector("mediapipe")
    same = pose_error(frames, driving, detector)
    detector.close()
    assert same["pck"].tolist() == [1] * 4
    detector = create_pose_detector("mediapipe")
    shifted = pose_error(np.roll(frames, frames.shape[2] // 8, axis=2), driving, detector)
    detector.close()
    assert shifted["pose_found"].tolist() == [1] * 4
    assert shifted["pck"].max() < 0.5
    assert shifted["keypoint_distance"].min() > 0.05
