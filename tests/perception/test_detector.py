"""The choice between pose detectors, and what a detection is."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.perception import crowd, detector
from bunraku.perception.detector import create_pose_detector
from bunraku.perception.dwpose import WEIGHTS
from bunraku.perception.pose import Detections


def put_weights(folder, content=b""):
    folder.mkdir(parents=True, exist_ok=True)
    for name in WEIGHTS:
        (folder / name).write_bytes(content)
    return folder


def installed(monkeypatch, *packages):
    monkeypatch.setattr(detector, "find_spec", lambda name: name if name in packages else None)


def test_detections_stack_people_and_may_be_empty():
    person = np.ones((134, 2), np.float32), np.full(134, 0.5, np.float32)
    two = Detections.of([person, person])
    assert len(two) == 2
    assert two.keypoints.shape == (2, 134, 2)
    assert two.scores.dtype == np.float32
    assert len(Detections.of([])) == 0
    assert Detections.of([]).keypoints.shape == (0, 134, 2)
    with pytest.raises(ValueError, match="134"):
        Detections(np.zeros((1, 18, 2)), np.zeros((1, 18)))


def test_auto_takes_dwpose_when_its_weights_are_there(monkeypatch, tmp_path):
    installed(monkeypatch, "onnxruntime", "mediapipe", "ai_edge_litert")
    assert detector._best_backend(put_weights(tmp_path)) == "dwpose"
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path / "home"))
    assert detector._best_backend(None) == "mediapipe"
    put_weights(tmp_path / "home" / "dwpose")
    assert detector._best_backend(None) == "dwpose"


def test_auto_takes_mediapipe_when_a_weight_or_onnxruntime_is_missing(monkeypatch, tmp_path):
    installed(monkeypatch, "onnxruntime", "mediapipe", "ai_edge_litert")
    put_weights(tmp_path)
    (tmp_path / WEIGHTS[0]).unlink()
    assert detector._best_backend(tmp_path) == "mediapipe"
    installed(monkeypatch, "mediapipe", "ai_edge_litert")
    assert detector._best_backend(put_weights(tmp_path)) == "mediapipe"
    installed(monkeypatch, "mediapipe")
    with pytest.raises(BunrakuError, match=r"\.\[mediapipe\]"):
        detector._best_backend(put_weights(tmp_path))


def test_without_any_backend_the_error_names_both_ways(monkeypatch, tmp_path):
    installed(monkeypatch)
    with pytest.raises(BunrakuError) as error:
        create_pose_detector(models=tmp_path)
    for hint in ("'.[mediapipe]'", "'.[onnx]'", *WEIGHTS, str(tmp_path)):
        assert hint in str(error.value)


def test_bad_arguments():
    with pytest.raises(BunrakuError, match="unknown pose detector 'openpose'; there are auto, mediapipe and dwpose"):
        create_pose_detector("openpose")
    for people in (0, 9):
        with pytest.raises(BunrakuError, match=rf"1 to 8, not {people} \(--people\)"):
            create_pose_detector("mediapipe", max_people=people)


def test_provider_is_logged_and_a_gpu_for_mediapipe_is_refused_aloud(caplog):
    pytest.importorskip("ai_edge_litert")
    with caplog.at_level(logging.INFO, logger="bunraku"):
        create_pose_detector("mediapipe", device="cuda").close()
    messages = {record.levelname: record.message for record in caplog.records}
    assert "LiteRT (CPU)" in messages["INFO"]
    assert "CPU only" in messages["WARNING"]


def test_importing_the_interface_loads_no_backend():
    code = (
        "import sys, bunraku.perception.detector;"
        "sys.exit(', '.join({'mediapipe', 'ai_edge_litert', 'onnxruntime', 'cv2', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""


@pytest.mark.parametrize(("most", "level"), [(2, "INFO"), (8, "WARNING")])
def test_more_people_than_are_followed_are_said_once(caplog, most, level):
    tell = crowd.MoreThanFollowed(most)
    with caplog.at_level(logging.INFO, logger="bunraku"):
        for found in (most, most + 1, most + 3):
            tell(found)
    assert [record.levelname for record in caplog.records] == [level]
    assert f"at least {most + 1} people in one frame; the {most} largest are followed (--people" in caplog.text
