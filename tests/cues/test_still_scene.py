"""What of a still's scene is known, and stays as it is."""

import numpy as np

from bunraku.cues.still_scene import over_ground


def test_the_ground_that_the_still_shows_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (24, 32, 3), np.uint8)
    cut = np.dstack([still, np.zeros_like(still[..., :1])])[None].copy()
    cut[0, 8:16, 4:10, :3] = 0  # filled where the figure was
    cut[0, 8:16, 20:26] = 255  # where it is now
    full, made = cut.repeat(2, 1).repeat(2, 2), np.full((1, 48, 64, 3), 100, np.uint8)
    kept = over_ground(made, full, cut, still)
    assert np.array_equal(kept[0, :10], full[0, :10, :, :3])
    assert (kept[0, 20:28, 10:18] == 100).all(), "the hole is the model's"
    assert (kept[0, 20:28, 44:48] == 100).all(), "and so is the figure"
    scene = np.dstack([255 - still, cut[0, ..., 3]])[None]
    assert np.array_equal(over_ground(made, scene.repeat(2, 1).repeat(2, 2), scene, still), made), (
        "another ground is not the still's"
    )
