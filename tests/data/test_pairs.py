"""Generated clips beside true ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunraku.data.layouts import Footage, footage_in
from bunraku.data.pairs import align, pair
from bunraku.errors import BunrakuError
from bunraku.media import FrameFolder, VideoReader, VideoWriter, write_image


def footage(*names: str) -> list[Footage]:
    return [Footage(Path(name).stem, Path(name), "video") for name in names]


def folder(path: Path, count: int, size: tuple[int, int] = (32, 32)) -> FrameFolder:
    """Frame i is as grey as 10 i."""
    path.mkdir()
    for number in range(count):
        write_image(path / f"{number:03d}.png", np.full((*size, 3), 10 * number, np.uint8))
    return FrameFolder(path)


def greys(frames) -> list[int]:
    return [int(frame[0, 0, 0]) // 10 for frame in frames]


def test_videos_and_frame_folders_find_each_other(tmp_path: Path) -> None:
    for side, kinds in (("generated", "vfv"), ("truth", "fvv")):
        (tmp_path / side).mkdir()
        for name, kind in zip("abc", kinds, strict=True):
            if kind == "f":
                folder(tmp_path / side / name, 2)
                continue
            with VideoWriter(tmp_path / side / f"{name}.mp4", fps=12, size=(32, 32)) as video:
                for number in range(2):
                    video.write(np.full((32, 32, 3), 10 * number, np.uint8))
    found = pair(footage_in(tmp_path / "generated"), footage_in(tmp_path / "truth"))
    assert [(one.kind, two.kind) for one, two in found.pairs] == [
        ("video", "frames"),
        ("frames", "video"),
        ("video", "video"),
    ]
    for one, two in found.pairs:
        aligned = align(one.open(), two.open())
        assert greys(aligned.generated) == greys(aligned.truth) == [1]


def test_clips_without_a_partner_are_named() -> None:
    found = pair(footage("b.mp4", "x.mp4", "a.mov"), footage("a.mp4", "b.gif", "y.mp4"))
    assert [(one.path.name, two.path.name) for one, two in found.pairs] == [("a.mov", "a.mp4"), ("b.mp4", "b.gif")]
    assert (found.only_generated, found.only_truth) == (["x"], ["y"])
    with pytest.raises(
        BunrakuError, match=r"no generated clip has the name of a true one: b\.mp4, x\.mp4 against y\.mp4"
    ):
        pair(footage("b.mp4", "x.mp4"), footage("y.mp4"))
    with pytest.raises(BunrakuError, match="none against y"):
        pair([], footage("y.mp4"))


def test_single_clips_need_no_equal_names() -> None:
    assert len(pair(footage("out.mp4"), footage("dance.mp4")).pairs) == 1


@pytest.mark.parametrize(
    ("generated", "truth", "skip_first", "scored"),
    [
        (4, 4, "auto", ([1, 2, 3], [1, 2, 3])),
        (3, 4, "auto", ([0, 1, 2], [1, 2, 3])),
        (4, 4, "both", ([1, 2, 3], [1, 2, 3])),
        (3, 4, "truth", ([0, 1, 2], [1, 2, 3])),
        (4, 4, "none", ([0, 1, 2, 3], [0, 1, 2, 3])),
    ],
)
def test_the_source_frame_is_not_scored(tmp_path: Path, generated: int, truth: int, skip_first, scored) -> None:
    found = align(folder(tmp_path / "g", generated), folder(tmp_path / "t", truth), "error", skip_first)
    assert (greys(found.generated), greys(found.truth)) == scored
    assert len(found.generated) == len(found.truth) == len(scored[0])
    assert bool(found.notes) == (skip_first == "auto" and generated < truth)


def test_other_numbers_of_frames(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "g", 5), folder(tmp_path / "t", 3)
    with pytest.raises(BunrakuError, match=r"g has 4 frames to score, .*t 2; make them equal.*--on-mismatch trim"):
        align(one, two)
    found = align(one, two, "trim")
    assert (greys(found.generated), greys(found.truth)) == ([1, 2], [1, 2])
    assert found.notes == ["4 frames against 2: the first 2 are scored"]
    assert align(two, one, "resize", "none").notes == ["3 frames against 5: the first 3 are scored"]


def test_other_rates_are_said(tmp_path: Path) -> None:
    for name, fps in (("a", 12), ("b", 24)):
        with VideoWriter(tmp_path / f"{name}.mp4", fps=fps, size=(32, 32)) as video:
            for _ in range(fps // 3):
                video.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(BunrakuError, match=r"3 frames to score, .* 7, at 12 and 24 fps"):
        align(VideoReader(tmp_path / "a.mp4"), VideoReader(tmp_path / "b.mp4"))


def test_other_sizes(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "g", 3, (40, 64)), folder(tmp_path / "t", 3, (32, 48))
    for policy in ("error", "trim"):
        with pytest.raises(BunrakuError, match=r"g is 64x40 px, .*t 48x32; .*--on-mismatch resize"):
            align(one, two, policy)  # type: ignore[arg-type]
    found = align(one, two, "resize")
    assert found.generated.size == found.truth.size == (32, 48)
    assert found.generated.fps == one.fps
    assert found.notes == ["resized from 64x40 to 48x32"]
    for _ in range(2):  # again from the first frame
        assert [frame.shape for frame in found.generated] == [(32, 48, 3)] * 2


def test_resizing_is_bilinear(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    (tmp_path / "g").mkdir()
    write_image(tmp_path / "g" / "0.png", picture)
    found = align(FrameFolder(tmp_path / "g"), folder(tmp_path / "t", 1), "resize", "none")
    np.testing.assert_array_equal(next(iter(found.generated)), cv2.resize(picture, (32, 32)))


def test_nothing_left(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "g", 1), folder(tmp_path / "t", 1)
    with pytest.raises(BunrakuError, match=r"g has 1 and .*t 1 frames; without the source frame nothing is left"):
        align(one, two, "trim")
    assert greys(align(one, two, skip_first="none").truth) == [0]
    with pytest.raises(BunrakuError, match="on-mismatch is one of error, trim, resize, and skip-first of auto"):
        align(one, two, "stretch")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def nine(tmp_path_factory: pytest.TempPathFactory) -> FrameFolder:
    return folder(tmp_path_factory.mktemp("frames") / "nine", 9)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["auto", "both", "truth", "none"]))
def test_trimmed_clips_always_fit(nine: FrameFolder, generated: int, truth: int, skip_first) -> None:
    try:
        found = align(nine.part(0, generated), nine.part(0, truth), "trim", skip_first)
    except BunrakuError:
        assert min(generated, truth) == 1
        return
    assert len(found.generated) == len(found.truth) > 0
    offset = len({"auto", "truth"} & {skip_first}) if truth == generated + 1 or skip_first == "truth" else 0
    assert [t - g for g, t in zip(greys(found.generated), greys(found.truth))] == [offset] * len(found.truth)
