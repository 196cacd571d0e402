"""Colours of clothes: where they are read, and how alike they are."""

import numpy as np
import pytest

from bunraku.perception.clothes import COLOURS, clothes, likeness

BODY = np.zeros((18, 2), np.float32)
BODY[[0, 1]] = (100, 20), (100, 40)
BODY[[2, 5, 8, 11]] = (80, 40), (120, 40), (85, 100), (115, 100)
BODY[[9, 10, 12, 13]] = (85, 140), (85, 180), (115, 140), (115, 180)


def dressed(top, bottom):
    frame = np.full((200, 200, 3), 90, np.uint8)
    frame[40:100, 75:125], frame[100:190, 80:120] = top, bottom
    return frame


def read(frame, scores=None):
    return clothes(frame, BODY[None], np.ones((1, 18)) if scores is None else scores[None])[0]


def test_trunk_and_legs_are_read_apart_and_add_up_to_one():
    colours = read(dressed((200, 30, 30), (30, 30, 200)))
    assert colours.shape == (2, COLOURS)
    np.testing.assert_allclose(colours.sum(-1), 1, atol=1e-6)
    assert colours.max(-1) == pytest.approx(1, abs=0.02)
    assert colours[0].argmax() != colours[1].argmax()


def test_the_same_clothes_are_alike_and_others_are_not():
    red, again = read(dressed((200, 30, 30), (40, 40, 40))), read(dressed((195, 32, 28), (42, 41, 40)))
    blue = read(dressed((30, 30, 200), (220, 220, 210)))
    assert likeness(red, again) > 0.95
    assert likeness(red, blue) < 0.1


def test_what_is_not_seen_says_nothing():
    only_top = np.ones(18)
    only_top[[9, 10, 12, 13]] = 0
    half, whole = read(dressed((200, 30, 30), (0, 0, 0)), only_top), read(dressed((200, 30, 30), (250, 250, 250)))
    assert half[1].sum() == 0
    assert likeness(half, whole) > 0.95  # by the trunk alone
    assert likeness(half, np.zeros_like(half)) is None
    assert clothes(dressed(0, 0), np.zeros((0, 134, 2)), np.zeros((0, 134))).shape == (0, 2, COLOURS)


def test_a_body_outside_the_picture_or_without_a_place_is_no_error():
    for shift in (1e6, np.nan, -500):
        assert not clothes(dressed(0, 0), BODY[None] + np.float32(shift), np.ones((1, 18))).any()
