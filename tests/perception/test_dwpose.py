"""DWPose's arithmetic against plain references, and the whole detector on generated ONNX graphs with known answers."""

import logging

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.perception import dwpose
from bunraku.perception.detector import create_pose_detector
from bunraku.perception.dwpose import WEIGHTS, DWPose
from bunraku.perception.pose import FACE, FEET, LEFT_HAND, RIGHT_HAND

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

CELLS = 80 * 80 + 40 * 40 + 20 * 20


def save_graph(path, nodes, constants, inputs, outputs):
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)


def cell_prediction(box, score, category=0):
    """Index of the stride-32 cell at the middle of `box` (in the 640 square) and its raw prediction (85,)."""
    x0, y0, x1, y1 = box
    center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2
    column, row = int(center_x // 32), int(center_y // 32)
    raw = np.zeros(85, np.float32)
    raw[:5] = center_x / 32 - column, center_y / 32 - row, np.log((x1 - x0) / 32), np.log((y1 - y0) / 32), score
    raw[5 + category] = 1
    return 80 * 80 + 40 * 40 + row * 20 + column, raw


def save_detector(path, boxes):
    """A YOLOX stand-in: always the same boxes, their objectness scaled by the largest blue value of the picture."""
    predictions = np.zeros((1, CELLS, 85), np.float32)
    for box in boxes:
        index, raw = cell_prediction(*box)
        predictions[0, index] = raw
    objectness = np.zeros(85, np.float32)
    objectness[4] = 1 / 255
    nodes = [
        helper.make_node("Gather", ["input", "channel_0"], ["blue"], axis=1),
        helper.make_node("ReduceMax", ["blue"], ["peak"], keepdims=0),
        helper.make_node("Mul", ["peak", "objectness"], ["scaled"]),
        helper.make_node("Add", ["scaled", "others"], ["factor"]),
        helper.make_node("Mul", ["predictions", "factor"], ["output"]),
    ]
    constants = {
        "channel_0": np.array([0]),
        "objectness": objectness,
        "others": (objectness == 0).astype(np.float32),
        "predictions": predictions,
    }
    save_graph(path, nodes, constants, [1, 3, 640, 640], {"output": [1, CELLS, 85]})


def save_pose(path):
    """A DWPose stand-in: keypoint k sits where colour channel k % 3 of the crop is brightest; two bins per pixel."""

    def simcc(axis, size, name):
        return [
            helper.make_node("ReduceMax", ["channels"], [f"{name}_1"], axes=[axis], keepdims=0),
            helper.make_node("Unsqueeze", [f"{name}_1", "last"], [f"{name}_2"]),
            helper.make_node("Tile", [f"{name}_2", "twice"], [f"{name}_3"]),
            helper.make_node("Reshape", [f"{name}_3", f"shape_{name}"], [name]),
        ]

    nodes = [
        helper.make_node("Gather", ["input", "channel"], ["channels"], axis=1),
        *simcc(2, 288, "simcc_x"),
        *simcc(3, 384, "simcc_y"),
    ]
    constants = {
        "channel": np.arange(133) % 3,
        "last": np.array([3]),
        "twice": np.array([1, 1, 1, 2]),
        "shape_simcc_x": np.array([1, 133, 576]),
        "shape_simcc_y": np.array([1, 133, 768]),
    }
    save_graph(path, nodes, constants, [1, 3, 384, 288], {"simcc_x": [1, 133, 576], "simcc_y": [1, 133, 768]})


@pytest.fixture
def models(tmp_path):
    save_pose(tmp_path / WEIGHTS[1])
    return tmp_path


def dots(size, **centers):
    """A black frame with one bright 5x5 dot per colour, centred on whole pixels."""
    frame = np.zeros((*size, 3), np.uint8)
    for channel, color in enumerate(("red", "green", "blue")):
        if color in centers:
            x, y = centers[color]
            frame[y - 2 : y + 3, x - 2 : x + 3, channel] = 255
    return frame


def test_whole_detector_finds_the_dots_in_the_frame(models):
    # the 1280x960 frame is halved to fit 640, so this box is (400, 200, 800, 800) in the frame
    save_detector(models / WEIGHTS[0], [((200, 100, 400, 400), 0.9), ((0, 0, 640, 480), 0.9, 2)])
    frame = dots((960, 1280), red=(500, 300), green=(640, 420), blue=(700, 760))
    detector = create_pose_detector("dwpose", device="cpu", models=models)
    assert detector.provider == "onnxruntime CPUExecutionProvider"
    found = detector(frame)
    detector.close()
    assert len(found) == 1
    keypoints = found.keypoints[0]
    # COCO keypoints 0 (nose), 10 (right wrist), 5 (left shoulder) look for red, green, blue
    np.testing.assert_allclose(keypoints[0], (500, 300), atol=2.5)
    np.testing.assert_allclose(keypoints[4], (640, 420), atol=2.5)
    np.testing.assert_allclose(keypoints[5], (700, 760), atol=2.5)
    # 6, the right shoulder, looks for red: the neck is half-way
    np.testing.assert_allclose(keypoints[1], (keypoints[2] + keypoints[5]) / 2)
    assert found.scores.min() > 0.9


def test_the_largest_people_come_first(models):
    small, large = ((40, 40, 100, 140), 0.9), ((200, 100, 400, 400), 0.5)
    save_detector(models / WEIGHTS[0], [small, large])
    frame = dots((640, 640), red=(70, 90), green=(70, 90), blue=(70, 90))
    frame |= dots((640, 640), red=(300, 250), green=(300, 250), blue=(300, 250))
    one = DWPose(max_people=1, models=models)(frame)
    two = DWPose(max_people=2, models=models)(frame)
    np.testing.assert_allclose(one.keypoints[0, 0], (300, 250), atol=2.5)
    np.testing.assert_allclose(two.keypoints[:, 0], [(300, 250), (70, 90)], atol=2.5)


def test_without_a_box_the_whole_frame_is_tried(models):
    save_detector(models / WEIGHTS[0], [((200, 100, 400, 400), 0.9)])
    detector = DWPose(models=models)
    # the stand-in needs blue for its box; red is found only in a crop of the whole frame
    found = detector(dots((640, 640), red=(600, 20)))
    np.testing.assert_allclose(found.keypoints[0, 0], (600, 20), atol=2.5)
    assert len(detector(np.zeros((640, 640, 3), np.uint8))) == 0
    with pytest.raises(ValueError, match="uint8"):
        detector(np.zeros((8, 8, 3)))


def test_letterbox_fits_into_the_top_left():
    square, ratio = dwpose.letterbox(np.full((100, 200, 3), 7, np.uint8))
    assert ratio == 3.2
    assert square.shape == (640, 640, 3)
    assert (square[:320] == 7).all()
    assert (square[320:] == 114).all()


def test_grid_decode_against_a_loop():
    raw = np.random.default_rng(0).normal(size=(CELLS, 85)).astype(np.float32)
    expected, index = np.zeros((CELLS, 4)), 0
    for stride in (8, 16, 32):
        for row in range(640 // stride):
            for column in range(640 // stride):
                x, y, w, h = raw[index, :4].astype(float)
                x, y, w, h = (x + column) * stride, (y + row) * stride, np.exp(w) * stride, np.exp(h) * stride
                expected[index] = x - w / 2, y - h / 2, x + w / 2, y + h / 2
                index += 1
    np.testing.assert_allclose(dwpose.decode_grid(raw), expected, rtol=1e-5, atol=1e-3)


def test_person_boxes_keep_confident_people_only():
    raw = np.zeros((CELLS, 85), np.float32)
    person = (100.0, 60.0, 220.0, 400.0)
    for box, score, category in [
        (person, 0.9, 0),
        ((300, 60, 420, 400), 0.29, 0),
        ((460, 60, 560, 400), 0.9, 1),
        ((108, 100, 228, 440), 0.8, 0),
    ]:
        index, raw[index] = cell_prediction(box, score, category)
    np.testing.assert_allclose(dwpose.person_boxes(raw), [person], atol=1e-3)


def test_non_maximum_suppression_against_a_loop():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 200, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(30, 120, (60, 2))], axis=1)
    scores = rng.permutation(60) / 60

    def overlap(a, b):
        w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
        h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
        areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
        return w * h / (sum(areas) - w * h)

    expected = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[j]) <= 0.45 for j in expected):
            expected.append(i)
    assert dwpose.non_maximum_suppression(boxes, scores) == expected
    assert 1 < len(expected) < 60
    assert dwpose.non_maximum_suppression(np.zeros((0, 4)), np.zeros(0)) == []


@pytest.mark.parametrize("box", [(10, 20, 110, 420), (10, 20, 510, 120)])
def test_crop_keeps_the_aspect_and_pads_by_a_quarter(box):
    center, scale = dwpose.center_and_scale(np.array(box, float))
    width, height = box[2] - box[0], box[3] - box[1]
    np.testing.assert_allclose(center, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    np.testing.assert_allclose(scale[0] / scale[1], 288 / 384)
    np.testing.assert_allclose(max(width / scale[0], height / scale[1]), 1 / 1.25, rtol=1e-6)


def test_crop_and_back_projection_are_inverse():
    frame = np.random.default_rng(2).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    center, scale = np.array([140.0, 90.0]), np.array([72.0, 96.0])  # a crop four times enlarged
    image = dwpose.crop(frame, center, scale)
    assert image.shape == (384, 288, 3)
    for u, v in [(0, 0), (144, 192), (40, 300)]:
        x, y = (np.array([u, v]) / 4 + center - scale / 2).astype(int)
        np.testing.assert_array_equal(image[v, u], frame[y, x])


def test_simcc_peaks():
    x, y = np.zeros((3, 576)), np.zeros((3, 768))
    x[0, 101], y[0, 700] = 0.8, 0.6
    x[1, 2], y[1, 3] = 1.4, 1.2
    x[2], y[2] = -1, -2
    keypoints, scores = dwpose.decode_simcc(x, y)
    np.testing.assert_allclose(keypoints[:2], [(50.5, 350), (1, 1.5)])
    np.testing.assert_allclose(scores, [0.6, 1, 0])


def test_coco_to_openpose_is_the_public_reordering():
    keypoints, scores = np.stack([np.arange(133.0), np.arange(133.0) * 2], axis=1), np.linspace(0.1, 1, 133)
    got, got_scores = dwpose.coco_to_openpose(keypoints, scores)
    # the published way: neck put in at 17, then the body permuted in place
    published = np.insert(keypoints, 17, keypoints[[5, 6]].mean(axis=0), axis=0)
    published[[1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17]] = published[
        [17, 6, 8, 10, 7, 9, 12, 14, 16, 13, 15, 2, 1, 4, 3]
    ]
    np.testing.assert_allclose(got, published)
    assert got_scores[1] == np.float32(scores[5])
    for part, first in ((FEET, 17), (FACE, 23), (LEFT_HAND, 91), (RIGHT_HAND, 112)):
        assert got[part.start, 0] == first


def test_providers():
    cuda, coreml, cpu = "CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider"
    assert dwpose.choose_providers(None, [cuda, cpu]) == [cuda, cpu]
    assert dwpose.choose_providers(None, ["Azure", coreml, cpu]) == [coreml, cpu]
    assert dwpose.choose_providers("cpu", [cuda, cpu]) == [cpu]
    assert dwpose.choose_providers("cuda:1", [cuda, cpu]) == [(cuda, {"device_id": "1"}), cpu]
    assert dwpose.choose_providers("mps", [coreml, cpu]) == [coreml, cpu]
    for bad in ("gpu", "cuda:x", "cpu:0"):
        with pytest.raises(BunrakuError, match=bad):
            dwpose.choose_providers(bad, [cpu])


def test_a_gpu_that_is_not_there_is_warned_of(models, caplog):
    save_detector(models / WEIGHTS[0], [])
    with caplog.at_level(logging.INFO, logger="bunraku"):
        detector = create_pose_detector("dwpose", device="cuda", models=models)
    if detector.provider == "onnxruntime CPUExecutionProvider":
        assert any(record.levelname == "WARNING" and "onnxruntime-gpu" in record.message for record in caplog.records)
    assert any(record.levelname == "INFO" and detector.provider in record.message for record in caplog.records)


def test_missing_weights_are_named_with_source_and_place(models, monkeypatch):
    with pytest.raises(BunrakuError) as error:
        DWPose(models=models)
    assert WEIGHTS[0] in str(error.value)
    assert WEIGHTS[1] not in str(error.value)
    assert "yzd-v/DWPose" in str(error.value)
    assert str(models) in str(error.value)
    monkeypatch.setenv("BUNRAKU_HOME", str(models))
    assert dwpose.weights_folder() == models / "dwpose"
    monkeypatch.delenv("BUNRAKU_HOME")
    assert dwpose.weights_folder().parts[-3:] == (".cache", "bunraku", "dwpose")


def test_a_file_that_is_no_model_is_a_plain_error(models):
    (models / WEIGHTS[0]).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(BunrakuError, match=r"yolox_l\.onnx cannot be read"):
        DWPose(models=models)
