"""What ships as the gallery is complete, exact and small."""

from pathlib import Path

import numpy as np
import pytest

from bunraku.animate.driving import open_driving
from bunraku.animate.gallery import CHARACTERS, FOLDER, MOTIONS, of_gallery
from bunraku.animate.reference import open_reference
from bunraku.cues.plausible import doubts
from bunraku.errors import BunrakuError

ARMS_AND_LEGS = range(2, 14)


@pytest.mark.parametrize("piece", CHARACTERS, ids=lambda piece: piece.key)
def test_characters_know_their_pose_and_mask(piece) -> None:
    character = open_reference(f"gallery:{piece.key}")
    assert character.path == piece.file
    assert max(character.size) <= 1024
    assert character.known_people is not None
    assert character.known_people.people == 1
    assert character.matte is not None
    assert not doubts(character.known_people)
    x, y = character.known_people.keypoints[0, 0].astype(int).T
    assert (character.matte[y, x] == 255).all(), "every joint lies in the figure"
    covered = (character.matte > 127).nonzero()
    assert all(side.min() > 0 and side.max() < length - 1 for side, length in zip(covered, character.size))


@pytest.mark.parametrize("piece", MOTIONS, ids=lambda piece: piece.key)
def test_motions_go_round(piece) -> None:
    cues = open_driving(f"gallery:{piece.key}").cues(None)
    assert cues.pose is not None
    limbs = cues.pose.keypoints[:, 0, ARMS_AND_LEGS]
    steps = np.abs(np.diff(limbs, axis=0)).max((1, 2))
    assert steps.max() > 4, "something moves"
    assert np.abs(limbs[0] - limbs[-1]).max() < 1.5 * steps.max(), "the last frame leads to the first"
    assert (cues.pose.scores[:, 0, ARMS_AND_LEGS] == 1).all()


def test_the_gallery_is_small_and_whole() -> None:
    listed = {piece.file for piece in (*CHARACTERS, *MOTIONS)}
    beside = {piece.file.with_suffix(suffix) for piece in CHARACTERS for suffix in (".mask.png", ".pose.json")}
    assert set(FOLDER.iterdir()) == listed | beside
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_500_000


def test_names() -> None:
    assert of_gallery(Path("gallery/bear")) == Path("gallery/bear")
    with pytest.raises(BunrakuError, match="the gallery has no 'unicorn'; it has heroine"):
        of_gallery(Path("gallery:unicorn"))
