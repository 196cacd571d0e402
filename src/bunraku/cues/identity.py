"""Who is where, as one picture: every person's matte in a colour of its own, the same in the still and in all frames."""

from pathlib import Path

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.media import read_image
from bunraku.perception.matte import alpha_channel, read_matte

COLOURS = np.array(
    [
        (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 0),
        (255, 0, 255), (0, 255, 255), (255, 128, 0), (128, 0, 255),
    ], np.uint8,
)  # fmt: skip
"""RGB of person 0, 1, ...; each reaches 255 in a channel, so that how bright a pixel is says how much it is covered."""


def draw_identities(mattes: np.ndarray) -> np.ndarray:
    """The mattes of P people, uint8 (F, P, h, w), each in its colour on black: uint8 (F, h, w, 3).

    Raises:
        BunrakuError: more people than there are colours.
    """
    if mattes.shape[1] > len(COLOURS):
        raise BunrakuError(f"there are colours for {len(COLOURS)} people, not for {mattes.shape[1]}")
    painted = np.zeros((len(mattes), *mattes.shape[2:], 3), np.float32)
    for person, colour in enumerate(COLOURS[: mattes.shape[1]]):
        painted += mattes[:, person, :, :, None].astype(np.float32) / 255 * colour
    return np.rint(painted).clip(0, 255).astype(np.uint8)


FAR = 120  # of 765: how far a colour may be from those of people, for what pictures lose on their way
FEW = 0.02  # share of the bright pixels that may be farther


def people_shown(picture: np.ndarray) -> int:
    """How many people a picture, uint8 (h, w, 3), tells apart by the colours of `draw_identities`; 0 where it is no such picture."""
    bright = picture[picture.max(-1) >= 128].astype(np.float32)
    if not len(bright):
        return 0
    hue = bright * (255 / bright.max(-1, keepdims=True))
    distance = np.abs(hue[:, None] - COLOURS.astype(np.float32)).sum(-1)
    if (distance.min(-1) > FAR).mean() > FEW:
        return 0
    counts = np.bincount(distance.argmin(-1), minlength=len(COLOURS))
    return int(np.flatnonzero(counts > FEW / 10 * len(bright)).max()) + 1


def read_mattes(path: Path, size: tuple[int, int], option: str = "--mask") -> np.ndarray:
    """The mattes of a still from a picture file: uint8 (P, H, W) of each person where these have colours, else (H, W) of all (`read_matte`).

    Raises:
        BunrakuError: as `read_matte`.
    """
    matte = read_matte(path, size, option=option)
    picture = read_image(path)
    people = 0 if alpha_channel(path) is not None else people_shown(picture)
    return read_identities(picture[None], people)[0] if people else matte


def read_identities(pictures: np.ndarray, people: int) -> np.ndarray:
    """The mattes of P people, uint8 (F, P, h, w), from pictures as `draw_identities` makes them, uint8 (F, h, w, 3).

    Every pixel belongs to the person whose colour is nearest to its hue, as much as it is bright. Where people share a pixel of a soft edge,
    it goes to one of them.
    """
    bright = pictures.max(-1)
    hue = pictures.astype(np.float32) * (255 / np.maximum(bright, 1))[..., None]
    distance = np.stack([np.abs(hue - colour).sum(-1) for colour in COLOURS[:people].astype(np.float32)], 1)
    owner = distance.argmin(1)
    return np.stack([np.where(owner == person, bright, 0) for person in range(people)], 1).astype(np.uint8)
