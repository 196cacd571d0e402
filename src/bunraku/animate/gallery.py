"""The gallery: drawn characters and motions that ship with bunraku, for whoever has nothing at hand.

Each character is a picture with its pose and its mask beside it; each motion is the cues of a puppet. They are drawn by
`examples/drawings`.
"""

from dataclasses import dataclass
from pathlib import Path

from bunraku.errors import BunrakuError

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "gallery"
PREFIX = "gallery:"


@dataclass(frozen=True)
class Piece:
    """A character or a motion of the gallery.

    Attributes:
        key: its name in commands, `gallery:KEY`.
        name: its name for people.
        file: the picture, or the cues.
    """

    key: str
    name: str
    file: Path


CHARACTERS = tuple(
    Piece(key, name, FOLDER / f"{key}.webp")
    for key, name in (
        ("heroine", "Heroine, flat vectors"),
        ("captain", "Captain, ink on paper"),
        ("bear", "Bear, watercolour"),
        ("robot", "Robot, tin and brass"),
        ("dancer", "Dancer, gouache"),
    )
)
"""The mask of each is the picture NAME.mask.png beside it, its pose NAME.pose.json."""

MOTIONS = tuple(
    Piece(key, name, FOLDER / f"{key}.cues") for key, name in (("dance", "Dance"), ("wave", "Wave"), ("walk", "Walk"))
)


def of_gallery(path: Path) -> Path:
    """The file that `gallery:KEY` stands for; any other path as it is.

    Raises:
        BunrakuError: no such piece.
    """
    if not str(path).startswith(PREFIX):
        return path
    key = str(path).removeprefix(PREFIX)
    for piece in (*CHARACTERS, *MOTIONS):
        if piece.key == key:
            return piece.file
    keys = ", ".join(piece.key for piece in (*CHARACTERS, *MOTIONS))
    raise BunrakuError(f"the gallery has no {key!r}; it has {keys}")
