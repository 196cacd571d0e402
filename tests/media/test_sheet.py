import numpy as np
import pytest

from bunraku.media import contact_sheet, side_by_side

RED, BLUE = (255, 0, 0), (0, 0, 255)


def solid(colour: tuple[int, int, int], *shape: int) -> np.ndarray:
    return np.full((*shape, 3), colour, np.uint8)


def test_contact_sheet_lays_rows_and_columns_out():
    rows = {"reference": solid(RED, 50, 40), "result": solid(BLUE, 20, 50, 40)}
    sheet = contact_sheet(rows, columns=4, height=100)
    assert sheet.dtype == np.uint8
    red, blue = (sheet == RED).all(-1), (sheet == BLUE).all(-1)
    assert red.sum() == 100 * 80
    assert blue.sum() == 4 * 100 * 80
    assert np.nonzero(red.any(1))[0].max() < np.nonzero(blue.any(1))[0].min()
    assert np.nonzero(red.any(0))[0].min() == np.nonzero(blue.any(0))[0].min()


def test_contact_sheet_spans_the_clip():
    frames = np.arange(30, dtype=np.uint8).repeat(32 * 32 * 3).reshape(30, 32, 32, 3)
    sheet = contact_sheet({"a": frames}, columns=3, height=32, labels=False)
    assert [int(sheet[20, 4 + 36 * i + 16, 0]) for i in range(3)] == [0, 14, 29]


def test_labels_are_written_and_fit():
    rows = {"a rather long label": solid(RED, 1, 40, 40), "b": solid(BLUE, 1, 40, 40)}
    sheet = contact_sheet(rows, height=60)
    left = np.nonzero((sheet == RED).all(-1).any(0))[0].min()
    assert (sheet[:60, : left - 8] < 128).all(-1).any()
    assert (sheet[:, left - 4 : left] == 255).all()
    assert contact_sheet(rows, height=60, labels=False).shape[1] < sheet.shape[1]


def test_side_by_side():
    panels = {"reference": solid(RED, 40, 80), "result": solid(BLUE, 5, 80, 80)}
    joined = side_by_side(panels)
    assert joined.shape[0] == 5
    assert joined.shape[1] % 2 == joined.shape[2] % 2 == 0
    for frame in joined:
        assert (frame == RED).all(-1).sum() == 80 * 160
        assert (frame == BLUE).all(-1).sum() == 80 * 80
    assert side_by_side(panels, height=40, labels=False).shape == (5, 40, 80 + 4 + 40, 3)


def test_chunks_join_to_the_whole():
    rng = np.random.default_rng(0)
    panels = {
        "a": rng.integers(0, 255, (6, 33, 41, 3), dtype=np.uint8),
        "b": rng.integers(0, 255, (64, 32, 3), np.uint8),
    }
    whole = side_by_side(panels)
    chunks = [side_by_side({"a": panels["a"][i : i + 2], "b": panels["b"]}) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_bad_panels():
    with pytest.raises(ValueError, match="equal numbers of frames"):
        side_by_side({"a": solid(RED, 3, 40, 40), "b": solid(BLUE, 4, 40, 40)})
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet({})
