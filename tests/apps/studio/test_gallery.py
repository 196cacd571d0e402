"""The studio's gallery: everything has a name of its own, and what ships comes with all that is known of it."""

from collections import Counter
from pathlib import Path

from bunraku.animate.gallery import CHARACTERS
from bunraku.animate.reference import open_reference
from bunraku.apps.studio.gallery import PIECES, piece


def test_keys_are_unique() -> None:
    assert Counter(piece.key for piece in PIECES).most_common(1)[0][1] == 1


def test_a_drawing_brings_its_pose_and_mask(tmp_path: Path) -> None:
    drawn = CHARACTERS[-1]
    shown = piece(drawn.key)
    assert shown is not None
    assert shown.picture((48, 40)).shape == (48, 40, 3)
    written, shipped = open_reference(shown.write(tmp_path)), open_reference(drawn.file)
    assert written.known_people is not None
    assert shipped.known_people is not None
    assert (written.known_people.keypoints == shipped.known_people.keypoints).all()
    assert written.matte is not None
    assert (written.matte == shipped.matte).all()
