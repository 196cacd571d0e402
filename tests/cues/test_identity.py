"""Masks in colours of identity."""

import numpy as np
import pytest

from bunraku.cues.identity import COLOURS, draw_identities, read_identities
from bunraku.errors import BunrakuError


def test_masks_come_back_from_their_colours() -> None:
    rng = np.random.default_rng(0)
    for people in range(1, len(COLOURS) + 1):
        owner, cover = rng.integers(0, people, (2, 20, 30)), rng.integers(0, 256, (2, 20, 30), np.uint8)
        mattes = np.stack([np.where(owner == i, cover, 0) for i in range(people)], 1).astype(np.uint8)
        back = read_identities(draw_identities(mattes), people)
        # what covers next to nothing has no hue
        assert (np.where(cover[:, None] >= 8, back, 0) == np.where(cover[:, None] >= 8, mattes, 0)).all()


def test_a_person_has_the_same_colour_wherever_the_others_are() -> None:
    mattes = np.zeros((1, 3, 2, 2), np.uint8)
    mattes[0, 2, 0, 0] = 255
    assert (draw_identities(mattes)[0, 0, 0] == COLOURS[2]).all()
    with pytest.raises(BunrakuError, match="there are colours for 8 people, not for 9"):
        draw_identities(np.zeros((1, 9, 2, 2), np.uint8))
