"""Values as people write them."""

import pytest

from bunraku.errors import BunrakuError
from bunraku.sampling.strength import Strength
from bunraku.values import parsed_interval, parsed_strengths


def test_strengths() -> None:
    assert parsed_strengths(None) == ()
    assert parsed_strengths("pose=.8, reference=1.5@0:0.6") == (
        Strength("pose", 0.8), Strength("reference", 1.5, 0, 0.6),
    )  # fmt: skip
    for wrong in ("", "pose", "pose=", "pose=-1", "pose=1@0.5", "pose=1;reference=2", "pose=nan"):
        with pytest.raises(BunrakuError, match="give NAME=AMOUNT"):
            parsed_strengths(wrong)
    with pytest.raises(BunrakuError, match="must be from 0 to 10, not 11"):
        parsed_strengths("pose=11")


def test_intervals() -> None:
    assert parsed_interval(None) is None
    assert parsed_interval("0:.6") == (0, 0.6)
    for wrong in ("", "0.5", "0.6:0.2", "0:2", "-1:0.5", "a:b"):
        with pytest.raises(BunrakuError, match="give START:END"):
            parsed_interval(wrong)
