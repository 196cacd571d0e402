"""The sheet of conditions: every tile is its picture."""

import numpy as np
import pytest

from bunraku.cues.cue_sheet import cue_sheet


def test_every_condition_is_there_in_every_frame():
    rng = np.random.default_rng(0)
    colours = {"pose": (200, 0, 0), "flow": (0, 200, 0), "a name much wider than its tile": (0, 0, 200)}
    drawn = {name: np.full((3, 16, 12, 3), colour, np.uint8) for name, colour in colours.items()}
    drawn["pose"][1] = 90
    drawn["mask"] = rng.random((3, 16, 12)) < 2
    drawn["reference"] = np.full((16, 12, 3), (0, 99, 99), np.uint8)
    sheet = cue_sheet(drawn, height=32, columns=2)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] == 3
    for frame, picture in enumerate(sheet):
        for name, colour in colours.items():
            shown = (90, 90, 90) if (name, frame) == ("pose", 1) else colour
            assert (picture == shown).all(-1).sum() == 32 * 24
        assert (picture == (0, 99, 99)).all(-1).sum() == 32 * 24
    # part by part
    parts = [
        cue_sheet(
            {k: v if v.ndim == 3 and k != "mask" else v[i : i + 1] for k, v in drawn.items()}, height=32, columns=2
        )
        for i in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), sheet)


def test_masks_are_white_and_stills_alone_are_one_frame():
    sheet = cue_sheet({"mask": np.zeros((1, 8, 8, 1), np.uint8)}, height=8)
    assert sheet.shape[0] == 1
    assert (sheet == 0).all(-1).sum() == 64


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ({}, "needs a condition"),
        ({"a": np.zeros((2, 4, 4, 3), np.uint8), "b": np.zeros((3, 4, 4, 3), np.uint8)}, "one length"),
        ({"flow": np.zeros((2, 4, 4, 3))}, "flow is drawn as uint8 or bool"),
        ({"flow": np.zeros((2, 4, 4, 2), np.uint8)}, "flow is .* 1 or 3 channels"),
    ],
)
def test_what_cannot_be_tiled(drawn, message):
    with pytest.raises(ValueError, match=message):
        cue_sheet(drawn)
