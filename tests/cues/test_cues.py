import json
import os
from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bunraku.cues.cues import KEY, Cues, maps_in
from bunraku.errors import BunrakuError
from bunraku.perception.pose import PoseTrack

SIZE = (48, 64)
FPS = Fraction(30000, 1001)


def pose(frames=5):
    rng = np.random.default_rng(0)
    return PoseTrack(
        rng.uniform(0, 48, (frames, 2, 18, 2)).astype(np.float32), rng.random((frames, 2, 18), dtype=np.float32), SIZE
    )


def drawn(frames=5):
    return np.random.default_rng(0).integers(0, 256, (frames, *SIZE, 3), np.uint8)


@pytest.mark.parametrize("name", ["clip.cues", "clip.safetensors"])
def test_pose_and_maps_round_trip(tmp_path, name):
    flow = np.random.default_rng(1).normal(0, 1, (5, 12, 16, 2)).astype(np.float16)[:, :, ::2]
    cues = Cues(FPS, SIZE, "dance.mp4, dwpose", pose=pose(), maps={"flow": flow, "masks": flow[..., 0] > 0})
    cues.save(tmp_path / name)
    result = Cues.load(tmp_path / name)
    assert (result.fps, result.size, result.source, len(result)) == (FPS, SIZE, "dance.mp4, dwpose", 5)
    assert result.pose is not None
    assert result.skeleton is None
    np.testing.assert_array_equal(result.pose.keypoints, pose().keypoints)
    np.testing.assert_array_equal(result.pose.scores, pose().scores)
    assert result.pose.size == SIZE
    for key, value in cues.maps.items():
        np.testing.assert_array_equal(result.maps[key], value)
        assert result.maps[key].dtype == value.dtype
    assert os.listdir(tmp_path) == [name]


def test_skeleton_video_round_trips(tmp_path):
    Cues(Fraction(24), SIZE, "skeleton.mp4", skeleton=drawn()).save(tmp_path / "a.cues")
    result = Cues.load(tmp_path / "a.cues")
    assert result.pose is None
    np.testing.assert_array_equal(result.skeleton, drawn())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.cues"
    Cues(FPS, SIZE, "old", pose=pose()).save(path)

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BunrakuError, match=r"Cannot write .*No space left"):
        Cues(FPS, SIZE, "new", pose=pose()).save(path)
    assert os.listdir(tmp_path) == ["a.cues"]
    assert Cues.load(path).source == "old"


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    Cues(FPS, SIZE, "", pose=pose()).save(tmp_path / "a.cues")
    assert (tmp_path / "a.cues").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(BunrakuError, match="Check that the folder exists"):
        Cues(FPS, SIZE, "", pose=pose()).save(tmp_path / "none" / "a.cues")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "either pose or skeleton"),
        ({"pose": pose(), "skeleton": drawn()}, "not both"),
        ({"pose": pose().scaled((10, 10))}, r"use pose\.scaled"),
        ({"skeleton": drawn()[:, 1:]}, r"uint8 \(F, 48, 64, 3\)"),
        ({"skeleton": drawn().astype(float)}, "float64"),
        ({"pose": pose(), "maps": {"flow": np.zeros((4, 2))}}, r"each of the 5 frames.*flow"),
    ],
)
def test_contents_that_do_not_agree(parts, message):
    with pytest.raises(ValueError, match=message):
        Cues(FPS, SIZE, "", **parts)


def test_foreign_damaged_and_newer_files(tmp_path):
    path = tmp_path / "a.cues"
    with pytest.raises(BunrakuError, match="There is no cues file"):
        Cues.load(path)
    path.write_bytes(b"not a cues file at all")
    with pytest.raises(BunrakuError, match="not a cues file, or is damaged"):
        Cues.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(BunrakuError, match="perhaps a model"):
        Cues.load(path)

    Cues(FPS, SIZE, "", pose=pose()).save(path)
    tensors, whole = load_file(path), path.read_bytes()
    for cut in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(BunrakuError, match="damaged"):
            Cues.load(path)

    header = {"version": 1, "fps": "24", "size": [48, 64], "source": ""}
    for change, message in [
        ({"version": 99}, "newer version .*format 99"),
        ({"version": "a"}, "damaged"),
        ({"fps": "fast"}, "broken contents"),
        ({"fps": "1/0"}, "broken contents"),
        ({"size": [48]}, "broken contents"),
    ]:
        save_file(tensors, path, metadata={KEY: json.dumps(header | change)})
        with pytest.raises(BunrakuError, match=message):
            Cues.load(path)
    save_file({"pose.keypoints": tensors["pose.keypoints"]}, path, metadata={KEY: json.dumps(header)})
    with pytest.raises(BunrakuError, match=r"broken contents.*pose\.scores"):
        Cues.load(path)


def test_maps_are_named_without_reading_them(tmp_path):
    track = PoseTrack(np.zeros((2, 1, 18, 2), np.float32), np.ones((2, 1, 18), np.float32), (8, 8))
    maps = {"mattes": np.zeros((2, 1, 8, 8), np.uint8), "more": np.zeros((2, 3))}
    Cues(Fraction(12), (8, 8), "a test", pose=track, maps=maps).save(tmp_path / "a.cues")
    assert maps_in(tmp_path / "a.cues") == {"mattes", "more"}
    (tmp_path / "b.cues").write_bytes(b"no")
    with pytest.raises(BunrakuError, match="is not a cues file"):
        maps_in(tmp_path / "b.cues")


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"size": [10**9, 10**9]}, {}, "sides are 1 to 100000 pixels"),
        ({"size": [0, 64]}, {}, "sides are 1 to 100000 pixels"),
        ({"fps": "1e99"}, {}, "fps must be above 0, up to 1000"),
        ({"fps": "nan"}, {}, "broken contents"),
        ({}, {"pose.keypoints": ("F8_E4M3", [64])}, "damaged"),
        (
            {},
            {"pose.keypoints": ("F32", [0, 1, 18, 2]), "pose.scores": ("F32", [0, 1, 18])},
            "poses of 1 people in 0 frames",
        ),
        (
            {},
            {"pose.keypoints": ("F32", [5, 0, 18, 2]), "pose.scores": ("F32", [5, 0, 18])},
            "poses of 0 people in 5 frames",
        ),
    ],
)
def test_strange_headers(tmp_path, changes, tensors, message):
    path = tmp_path / "a.cues"
    Cues(
        Fraction(25),
        (64, 64),
        "a test",
        PoseTrack(np.zeros((5, 1, 18, 2), np.float32), np.ones((5, 1, 18), np.float32), (64, 64)),
    ).save(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    own = json.loads(header["__metadata__"]["bunraku.cues"]) | changes
    header["__metadata__"] = {"bunraku.cues": json.dumps(own)}
    body = b"" if tensors else content[8 + length :]
    if tensors:
        names = {name: told for name, told in header.items() if name == "__metadata__"}
        for name, (dtype, shape) in tensors.items():
            size = int(np.prod(shape)) * (1 if dtype.startswith("F8") else 4)
            names[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + size]}
            body += bytes(size)
        header = names
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(BunrakuError, match=message):
        Cues.load(path)
