"""The plate of a clip: a moving hole before a still and before a moving camera."""

import cv2
import numpy as np
import pytest

from bunraku.perception.plate import grown, laid, median_plate


@pytest.fixture
def stage() -> np.ndarray:
    return cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 10, 3), np.uint8), (120, 90), interpolation=cv2.INTER_CUBIC)  # fmt: skip


def test_what_is_seen_in_other_frames_is_exact(stage: np.ndarray) -> None:
    frames, people = [], []
    for i in range(5):
        mask = np.zeros((90, 120), bool)
        mask[20:70, 10 + 20 * i : 25 + 20 * i] = True
        frames.append(np.where(mask[..., None], np.uint8(255 - 40 * i), stage))
        people.append(mask)
    plate, known = median_plate(frames, people, [np.eye(3)] * 5)
    assert known.all()
    assert np.array_equal(plate, stage)


def test_frames_are_laid_onto_the_first(stage: np.ndarray) -> None:
    hidden = np.zeros((90, 120), bool)
    hidden[30:50, 40:60] = True
    moved = np.roll(stage, 25, axis=1)
    way = np.array([[1, 0, 25.0], [0, 1, 0], [0, 0, 1]])
    plate, known = median_plate([stage, moved], [hidden, hidden], [np.eye(3), way])
    assert known[30:50, 40:60].all()
    assert np.abs(plate[:, :90].astype(int) - stage[:, :90]).max() <= 1


def test_what_is_never_seen_is_continued(stage: np.ndarray) -> None:
    flat, mask = np.full_like(stage, 77), np.zeros((90, 120), bool)
    mask[10:30, 10:30] = True
    plate, known = median_plate([flat] * 3, [mask] * 3, [np.eye(3)] * 3)
    assert np.array_equal(known, ~mask)
    assert (plate == 77).all()
    with pytest.raises(ValueError, match="frames, people and motions alike; got 1, 2, 1"):
        median_plate([flat], [mask, mask], [np.eye(3)])


def test_a_mask_grows_by_its_reach() -> None:
    mask = np.zeros((100, 50), bool)
    mask[50, 25] = True
    assert grown(mask, 0.03).sum() == 7 * 7
    assert grown(mask, 0).sum() == 9


def test_a_patch_takes_on_the_light_round_it():
    """A patch that is darker by a constant, or by a slope, shows no seam."""
    image = np.random.default_rng(0).integers(60, 200, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    hole = np.zeros(image.shape[:2], bool)
    hole[30:60, 40:90] = True
    slope = np.linspace(0, 40, image.shape[1])[None, :, None]
    for darker in (30, slope):
        patch = (image - darker).round().astype(np.uint8)
        made = laid(np.where(hole[..., None], 0, image).astype(np.uint8), hole, patch)
        np.testing.assert_array_equal(made[~hole], image[~hole])
        assert np.abs(made.astype(int) - image)[hole].max() <= 4
    rest = image.copy()
    rest[50:70, 40:70] = (255, 0, 0)  # of somebody, in and below the hole
    made = laid(rest, hole, (image - 10).astype(np.uint8))
    assert np.abs(made.astype(int) - image)[hole].max() <= 4
    np.testing.assert_array_equal(laid(image, ~hole & False, patch), image)
    np.testing.assert_array_equal(laid(image, hole | True, patch), patch)
