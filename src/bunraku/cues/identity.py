"""Who is where, as one picture: every person's matte in a colour of its own, the same in the still and in all frames."""

import numpy as np

from bunraku.errors import BunrakuError

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
