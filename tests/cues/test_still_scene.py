"""What of a still's scene is known, and stays as it is."""

import numpy as np

from bunraku.cues.still_scene import over_known


def test_the_ground_that_the_still_shows_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (24, 32, 3), np.uint8)
    cut = np.dstack([still, np.zeros_like(still[..., :1])])[None].copy()
    cut[0, 8:16, 4:10, :3] = 0  # filled where the figure was
    cut[0, 8:16, 20:26] = 255  # where it is now
    full, made = cut.repeat(2, 1).repeat(2, 2), np.full((1, 48, 64, 3), 100, np.uint8)
    kept = over_known(made, full, cut, still)
    assert np.array_equal(kept[0, :10], full[0, :10, :, :3])
    assert (kept[0, 20:28, 10:18] == 100).all(), "the hole is the model's"
    assert (kept[0, 20:28, 44:48] == 100).all(), "and so is the figure"
    whole = over_known(made, full, cut, still, 1.0)
    assert (whole[0, 16:32, 40:52] == 255).all(), "a figure that is trusted stays"
    assert (over_known(made, full, cut, still, 0.5)[0, 20:28, 44:48] == 178).all()
    full[0, 16:32, 40, 3] = 200
    assert (over_known(made, full, cut, still, 1.0)[0, 18:30, 40] < 150).all(), "its soft rim is the model's"
    full[0, 16:32, 40, 3] = 255
    scene = np.dstack([255 - still, cut[0, ..., 3]])[None]
    assert np.array_equal(over_known(made, scene.repeat(2, 1).repeat(2, 2), scene, still), made), (
        "another ground is not the still's"
    )
