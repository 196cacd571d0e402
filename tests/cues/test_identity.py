"""Masks in colours of identity."""

from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.identity import COLOURS, draw_identities, people_shown, read_identities, read_mattes
from bunraku.errors import BunrakuError
from bunraku.media import write_image


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


def test_mask_files_say_themselves_whether_they_tell_people_apart(tmp_path: Path) -> None:
    mattes = np.zeros((1, 3, 40, 60), np.uint8)
    mattes[0, 0, :, 4:20], mattes[0, 2, :, 30:50], mattes[0, 2, :, 50] = 255, 255, 100
    write_image(tmp_path / "people.png", draw_identities(mattes)[0])
    assert np.array_equal(read_mattes(tmp_path / "people.png", (40, 60)), mattes[0])
    white = np.repeat(mattes[0].max(0)[..., None], 3, -1)
    write_image(tmp_path / "white.png", white)
    assert np.array_equal(read_mattes(tmp_path / "white.png", (40, 60)), white[..., 0])
    assert people_shown(white) == people_shown(0 * white) == 0
    photograph = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert people_shown(photograph) == 0
    with pytest.raises(BunrakuError, match=r"has 60x40 px, the reference 60x41"):
        read_mattes(tmp_path / "people.png", (41, 60))
