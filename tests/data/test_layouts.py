"""Layouts of the paper datasets."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from bunraku.data import layouts
from bunraku.data.layouts import LAYOUTS, TIKTOK_SPLITS, TIKTOK_TEST, find, footage_in
from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, write_image


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, fps=12, size=(32, 32)) as video:
        for grey in (10, 60, 110):
            video.write(np.full((32, 32, 3), grey, np.uint8))
    return path


def put(source: Path, *targets: Path) -> None:
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def frames(folder: Path, count: int = 2) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        write_image(folder / f"{number:04d}.png", np.full((32, 32, 3), number, np.uint8))


def test_the_ten_test_sequences_and_the_splits() -> None:
    assert len(set(TIKTOK_TEST)) == 10
    assert (len(TIKTOK_SPLITS["train"]), TIKTOK_SPLITS["train"][-1], TIKTOK_SPLITS["val"][0]) == (334, "00334", "00335")
    assert not set(TIKTOK_SPLITS["train"]) & {*TIKTOK_SPLITS["val"], *TIKTOK_TEST}


def test_tiktok_in_all_its_public_forms(tmp_path: Path, clip: Path) -> None:
    """The dataset's own folders, the copy beside TCAN's code, and plain videos, in one folder."""
    frames(tmp_path / "TikTok_dataset" / "00337" / "images", 3)
    frames(tmp_path / "TikTok_dataset" / "00337" / "masks")
    frames(tmp_path / "00338")
    put(
        clip,
        tmp_path / "valid_video" / "201_002_1x1" / "images.mp4",
        tmp_path / "valid_video" / "201_002_1x1" / "dwpose.mp4",
    )
    put(clip, *(tmp_path / f"{name}.mp4" for name in TIKTOK_TEST[3:]))
    found = find("tiktok", tmp_path)
    assert tuple(footage.name for footage in found) == TIKTOK_TEST
    assert [footage.kind for footage in found] == ["frames", "frames"] + ["video"] * 8
    assert found[0].path == tmp_path / "TikTok_dataset" / "00337" / "images"
    assert found[2].path.name == "images.mp4"
    assert len(found[0].open()) == 3
    assert len(found[2].open()) == 3


def test_missing_sequences_are_named_with_where_they_are(tmp_path: Path, clip: Path, caplog) -> None:
    put(clip, tmp_path / "00337.mp4", tmp_path / "00338.mp4")
    with pytest.raises(BunrakuError) as error:
        find("tiktok", tmp_path)
    message = str(error.value)
    assert f"{tmp_path} lacks 201_002, 201_005, 201_021, 201_024, 202_006, 202_007, 202_025, 203_006\n" in message
    assert "expected: per sequence ROOT/NAME/images/*.png" in message
    assert "https://www.yasamin.page/hdnet_tiktok" in message
    assert "https://github.com/Wangt-CN/DisCo" in message
    assert "terms:" in message
    with caplog.at_level(logging.WARNING):
        assert [footage.name for footage in find("tiktok", tmp_path, partial=True)] == ["00337", "00338"]
    assert "2 clips are scored, which is not the set that papers report" in caplog.text
    with pytest.raises(BunrakuError, match=r"lacks 00001, 00002, .* and 322 more"):
        find("tiktok", tmp_path, "train", partial=True)


def test_ubc_fashion(tmp_path: Path, clip: Path) -> None:
    put(clip, *(tmp_path / "test" / f"91-{number:02d}S.mp4" for number in range(99)))
    frames(tmp_path / "test" / "A1")
    (tmp_path / "test" / "notes.txt").touch()
    found = find("ubc-fashion", tmp_path)
    assert len(found) == 100
    assert {footage.kind for footage in found} == {"video", "frames"}
    (tmp_path / "test" / "91-00S.mp4").unlink()
    with pytest.raises(BunrakuError, match=r"UBC Fashion, 500/100, test: .* lacks 1 of 100 clips\n"):
        find("ubc-fashion", tmp_path)
    put(clip, *(tmp_path / "test" / f"more{number}.mp4" for number in range(2)))
    with pytest.raises(BunrakuError, match="lacks order: 101 clips instead of 100"):
        find("ubc-fashion", tmp_path)
    with pytest.raises(BunrakuError, match=r"lacks the folder train/\n(.*\n)*.*vision\.cs\.ubc\.ca"):
        find("ubc-fashion", tmp_path, "train")


def test_ted_talks(tmp_path: Path, clip: Path) -> None:
    put(clip, tmp_path / "test" / "a.mp4")
    frames(tmp_path / "test" / "b")
    with VideoWriter(tmp_path / "test" / "c.gif", fps=10, size=(32, 32)) as video:
        for grey in (0, 100):
            video.write(np.full((32, 32, 3), grey, np.uint8))
    found = find("ted-talks", tmp_path)
    assert [(footage.name, footage.kind, len(footage.open())) for footage in found] == [
        ("a", "video", 3), ("b", "frames", 2), ("c", "video", 2),
    ]  # fmt: skip
    (tmp_path / "train").mkdir()
    with pytest.raises(BunrakuError, match=r"train has no clips: .*\n  expected: "):
        find("ted-talks", tmp_path, "train")


def test_multi_character(tmp_path: Path, clip: Path, monkeypatch, caplog) -> None:
    put(clip, *(tmp_path / f"{number}.mp4" for number in range(4)))
    with pytest.raises(BunrakuError, match=r"lacks 16 of 20 clips\n(.*\n)*.*arXiv 2406\.03035.*no public release"):
        find("multi-character", tmp_path)
    monkeypatch.setattr(layouts, "MULTI_CHARACTER", (4, 12))
    assert len(find("multi-character", tmp_path)) == 4
    assert not caplog.records
    monkeypatch.setattr(layouts, "MULTI_CHARACTER", (4, 13))
    assert len(find("multi-character", tmp_path)) == 4
    assert "has 13 frames" in caplog.text


def test_bizarre_pose(tmp_path: Path) -> None:
    folder = tmp_path / "bizarre_pose_dataset" / "raw"
    names = ["shoulder_left", "shoulder_right", "wrist_left", "eye_right", "body_upper"]
    points = {name: [10.0 * number, 5.0 * number + 1] for number, name in enumerate(names)}
    annotations = {"12": {"size": [64, 48], "keypoints": points}, "7": {"size": [32, 32], "keypoints": {}}}
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(annotations))
    frames(folder / "images", 0)
    write_image(folder / "images" / "12.png", np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"lacks images/7\.png\n"):
        find("bizarre-pose", tmp_path)
    (still,) = find("bizarre-pose", tmp_path, partial=True)
    assert (still.name, still.kind, still.pose.size) == ("12", "still", (64, 48))
    seen = {joint: still.pose.keypoints[0, 0, joint].tolist() for joint in np.flatnonzero(still.pose.scores[0, 0])}
    assert seen == {5: [1, 0], 2: [6, 10], 1: [3.5, 5], 7: [11, 20], 14: [16, 30]}, "x before y, neck between shoulders"
    with pytest.raises(BunrakuError, match="is a still, no clip"):
        still.open()
    for broken in ("{", '{"12": {"size": [1]}}', "[]"):
        (folder / "annotations.json").write_text(broken)
        with pytest.raises(BunrakuError, match="is not Bizarre-Pose's"):
            find("bizarre-pose", tmp_path)
    (folder / "annotations.json").unlink()
    with pytest.raises(BunrakuError, match=r"lacks annotations\.json\n(.*\n)*.*ShuhongChen"):
        find("bizarre-pose", tmp_path)


def test_plain_folders(tmp_path: Path, clip: Path) -> None:
    put(clip, tmp_path / "clip10.mp4", tmp_path / "clip2.MOV", tmp_path / ".hidden.mp4")
    write_image(tmp_path / "clip2.png", np.zeros((32, 32, 3), np.uint8))
    frames(tmp_path / "walk" / "images")
    (tmp_path / "empty").mkdir()
    found = find("folder", tmp_path)
    assert [(footage.name, footage.kind) for footage in found] == [
        ("clip2", "video"), ("clip10", "video"), ("walk", "frames"),
    ]  # fmt: skip
    frames(tmp_path / "clip10")
    with pytest.raises(BunrakuError, match=r"several clips of one name: clip10, clip10\.mp4"):
        find("folder", tmp_path)


def test_a_path_can_be_one_clip(tmp_path: Path, clip: Path) -> None:
    frames(tmp_path / "walk")
    assert [(footage.name, footage.kind) for footage in footage_in(tmp_path / "walk")] == [("walk", "frames")]
    assert [(footage.name, footage.kind) for footage in footage_in(clip)] == [("clip", "video")]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        BunrakuError, match=r"no layout 'tictoc'; there are tiktok, ubc-fashion, ted-talks, multi-character"
    ):
        find("tictoc", tmp_path)
    with pytest.raises(BunrakuError, match="TED-talks, MRAA split has no split 'val'; it has test, train"):
        find("ted-talks", tmp_path, "val")
    with pytest.raises(BunrakuError, match=r"has no clips: neither videos \(\.mp4, .*\.gif\) nor folders of frames"):
        find("folder", tmp_path)
    for name in LAYOUTS:
        with pytest.raises(
            BunrakuError, match=r"there is no folder .*none\n  expected: .*ROOT.*\n  from: .+\n  terms: .+"
        ):
            find(name, tmp_path / "none")
