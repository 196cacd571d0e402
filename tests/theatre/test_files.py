"""Scenes as files hold what the rendering says, for one person and for several."""

import json

import numpy as np
import pytest

from bunraku.cli.theatre import theatre
from bunraku.cues.cues import Cues
from bunraku.media import read_image
from bunraku.theatre import render, sample_scene
from bunraku.theatre.files import write_scene
from tests.video import read_video


@pytest.mark.parametrize("options", [{}, {"people": 3, "props": True, "objects": True, "moving_camera": True}])
def test_files_hold_the_rendering(tmp_path, options):
    scene = sample_scene(1, "test", **options)
    files, shown = write_scene(scene, tmp_path / "a.mp4", 8, 64), render(scene, 8, 64)
    lost = np.abs(read_video(files.video).frames.astype(int) - shown.frames).mean()
    assert lost < 10  # the theatre is colourful
    cues = Cues.load(files.cues)
    np.testing.assert_array_equal(cues.pose.keypoints, shown.pose.keypoints)
    still = int(shown.pose.scores.sum((1, 2)).argmax())
    np.testing.assert_array_equal(read_image(files.reference), shown.frames[still])
    assert len(json.loads(files.reference_pose.read_text())["people"]) == len(scene.actors)


def test_the_command_takes_what_a_scene_takes(tmp_path):
    theatre(tmp_path / "a.mp4", seed=2, frames=6, size="48", people=2, props=True, objects=True, moving_camera=True)
    scene = sample_scene(2, "test", people=2, props=True, objects=True, moving_camera=True, frames=6)
    pose = Cues.load(tmp_path / "a.cues").pose
    np.testing.assert_array_equal(pose.keypoints, render(scene, 6, 48).pose.keypoints)
