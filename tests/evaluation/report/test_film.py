"""Films of clips: panels side by side, thinned out, the shortest decides."""

from fractions import Fraction
from io import BytesIO
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.evaluation.report.film import FRAMES, HEIGHT, film
from bunraku.media import VideoReader
from tests.video import read_video

GAP = 4


def test_a_film_has_the_panels_side_by_side(tmp_path: Path) -> None:
    truth = np.zeros((5, 64, 48, 3), np.uint8)
    truth[..., 0] = np.arange(5)[:, None, None] * 50
    still = np.full((64, 64, 3), (0, 255, 0), np.uint8)
    made = film(
        {"reference": still, "truth": truth, "half": iter(truth[:, ::2, ::2])}, Fraction(6), tmp_path / "clip.mp4"
    )
    assert (made.labels, made.widths, made.stride) == (["reference", "truth", "half"], [64, 48, 48], 1)
    assert made.size == (64, 64 + 48 + 48 + 2 * GAP)
    (tmp_path / "again.mp4").write_bytes(made.video)
    clip = read_video(tmp_path / "again.mp4")
    assert clip.fps == 6
    assert clip.frames.shape == (5, *made.size, 3)
    assert np.abs(clip.frames[:, 32, 32].astype(int) - (0, 255, 0)).max() < 12
    assert np.abs(clip.frames[:, 32, 64 + GAP + 24, 0].astype(int) - truth[:, 0, 0, 0]).max() < 12
    poster = np.asarray(Image.open(BytesIO(made.poster)))
    assert poster.shape == (*made.size, 3)
    assert abs(int(poster[32, 90, 0]) - 100) < 12, "from the middle"
    assert [f.name for f in tmp_path.iterdir()] == ["again.mp4"]


def test_long_and_large_clips_are_thinned_out_and_shrunk(tmp_path: Path) -> None:
    frames = np.zeros((2 * FRAMES + 1, 4, 4, 3), np.uint8)
    large = np.zeros((400, 301, 3), np.uint8)
    made = film({"reference": large, "truth": frames}, Fraction(30), tmp_path / "clip.mp4")
    assert made.stride == 3
    assert made.size[0] == HEIGHT
    (tmp_path / "again.mp4").write_bytes(made.video)
    reader = VideoReader(tmp_path / "again.mp4")
    assert (len(reader), reader.fps) == (65, 10)


def test_iterators_of_unknown_length_are_cut_off(tmp_path: Path) -> None:
    made = film({"truth": repeat(np.zeros((32, 32, 3), np.uint8))}, Fraction(24), tmp_path / "clip.mp4")
    (tmp_path / "again.mp4").write_bytes(made.video)
    assert (made.stride, len(VideoReader(tmp_path / "again.mp4"))) == (1, FRAMES)


def test_the_shortest_panel_decides(tmp_path: Path) -> None:
    made = film(
        {"a": np.zeros((9, 32, 32, 3), np.uint8), "b": np.zeros((4, 32, 32, 3), np.uint8)},
        Fraction(5),
        tmp_path / "c.mp4",
    )
    (tmp_path / "again.mp4").write_bytes(made.video)
    assert len(VideoReader(tmp_path / "again.mp4")) == 4


def test_a_clip_that_cannot_be_read_any_more_says_so(tmp_path: Path) -> None:
    with pytest.raises(BunrakuError, match="does not exist"):
        film({"truth": VideoReader(tmp_path / "gone.mp4")}, Fraction(5), tmp_path / "c.mp4")
