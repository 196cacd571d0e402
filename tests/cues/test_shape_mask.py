"""Shape-agnostic masks against an independent implementation by loops, over thousands of random masks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.shape_mask import (
    bridge_masks,
    character_hole,
    environment,
    in_scene,
    rescale_character,
    sample_blocks,
    sample_scale,
    shape_agnostic_mask,
    vanished,
)
from bunraku.errors import BunrakuError


def by_loops(mask, side_of):
    """M_f pixel by pixel, in Python integers; `side_of` says how long a block is, of h and w."""
    height, width = len(mask), len(mask[0])
    points = [(i, j) for i in range(height) for j in range(width) if mask[i][j]]
    result = [[0] * width for _ in range(height)]
    if not points:
        return result
    top, bottom = min(i for i, _ in points), max(i for i, _ in points)
    left, right = min(j for _, j in points), max(j for _, j in points)
    rows, columns = side_of(bottom - top + 1, right - left + 1)
    taken = {((i - top) // rows, (j - left) // columns) for i, j in points}
    for i in range(top, bottom + 1):
        for j in range(left, right + 1):
            result[i][j] = int(((i - top) // rows, (j - left) // columns) in taken)
    return result


def random_mask(rng, height, width):
    """Specks, blobs, lines, nothing, everything."""
    kind = rng.integers(5)
    if kind == 0:
        return rng.random((height, width)) < rng.choice([0.02, 0.2, 0.9])
    mask = np.zeros((height, width), bool)
    if kind < 4:
        for _ in range(kind):
            y, x = rng.integers(height), rng.integers(width)
            mask[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] |= True
            mask &= rng.random((height, width)) < 0.9
    return mask


def test_thousands_of_random_masks():
    rng = np.random.default_rng(0)
    for _ in range(3000):
        height, width = rng.integers(1, 24, 2)
        mask = random_mask(rng, height, width)
        k = rng.integers(1, 30, 2)
        expected = by_loops(mask.tolist(), lambda h, w, k=k: (math.ceil(h / min(k[0], h)), math.ceil(w / min(k[1], w))))
        np.testing.assert_array_equal(shape_agnostic_mask(mask[None], tuple(k))[0], np.array(expected, bool))
        block = int(rng.integers(1, 12))
        expected = by_loops(mask.tolist(), lambda h, w, block=block: (block, block))
        np.testing.assert_array_equal(shape_agnostic_mask(mask[None], block=block)[0], np.array(expected, bool))


@given(st.integers(0, 2**32 - 1))
def test_between_the_mask_and_its_box_and_both_ends_exact(seed):
    rng = np.random.default_rng(seed)
    masks = np.stack([random_mask(rng, 20, 31) for _ in range(4)])
    box, exact = shape_agnostic_mask(masks, (1, 1)), shape_agnostic_mask(masks, (1000, 1000))
    np.testing.assert_array_equal(exact, masks)
    for mask, around in zip(masks, box):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert around.sum() == (len(rows) and (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1))
    k = sample_blocks(masks, rng)
    coarse = shape_agnostic_mask(masks, k)
    assert (masks <= coarse).all()
    assert (coarse <= box).all()
    # every frame its own numbers, as if alone
    own = sample_blocks(masks, rng, per_frame=True)
    assert own.shape == (4, 2)
    for frame in range(4):
        alone = shape_agnostic_mask(masks[frame : frame + 1], own[frame])
        np.testing.assert_array_equal(shape_agnostic_mask(masks, own)[frame], alone[0])


def test_inference_has_blocks_of_ten_pixels():
    masks = np.zeros((1, 100, 80), np.uint8)
    masks[0, 7:62, 11:34] = 128  # 55 x 23
    masks[0, 17:27, 21:31] = 127  # not inside: a hole of just one block
    found = shape_agnostic_mask(masks)[0]
    assert not found[17:27, 21:31].any()
    assert found.sum() == 55 * 23 - 100
    masks[0, 17, 21] = 255
    assert shape_agnostic_mask(masks)[0, 7:62, 11:34].all()


def test_k_is_log_uniform_up_to_the_largest_box():
    masks = np.zeros((3, 40, 40), bool)
    masks[0, :3, :5] = masks[2, 10:17, 4:5] = True  # 3 x 5 and 7 x 1
    rng = np.random.default_rng(1)
    drawn = np.array([sample_blocks(masks, rng) for _ in range(20_000)])
    for column, most in zip(drawn.T, (7, 5)):
        for k in range(1, most + 1):
            assert (column == k).mean() == pytest.approx(math.log((k + 1) / k) / math.log(most + 1), abs=0.015)
        assert (column.min(), column.max()) == (1, most)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03
    assert sample_blocks(np.zeros_like(masks), rng).tolist() == [1, 1]


def test_masks_that_vanish():
    masks = np.zeros((9, 6, 6), bool)
    masks[[1, 4, 8], [0, 2, 3], 1] = True
    assert vanished(masks) == [(0, 1), (2, 4), (5, 8)]
    coarse = shape_agnostic_mask(masks)
    assert vanished(coarse) == vanished(masks)
    bridged = bridge_masks(masks, 2)
    np.testing.assert_array_equal(bridged[2], masks[1] | masks[4])
    np.testing.assert_array_equal(bridged[3], masks[1] | masks[4])
    assert vanished(bridged) == [(0, 1), (5, 8)]  # nothing before the first sight, nothing over longer gaps
    assert vanished(bridge_masks(masks, 3)) == [(0, 1)]
    assert vanished(masks) == [(0, 1), (2, 4), (5, 8)]  # the input is left alone
    assert not shape_agnostic_mask(np.zeros((2, 6, 6), np.uint8)).any()
    assert shape_agnostic_mask(np.zeros((0, 6, 6), bool)).shape == (0, 6, 6)


def test_the_environment_is_the_frame_outside_and_black_inside():
    rng = np.random.default_rng(0)
    frames, region = rng.integers(1, 256, (2, 5, 7, 3), np.uint8), rng.random((2, 5, 7)) < 0.5
    np.testing.assert_array_equal(environment(frames, region), frames * (1 - region[..., None].astype(np.uint8)))
    with pytest.raises(BunrakuError, match="7x4 with 2 frames, the clip is 7x5 with 2"):
        environment(frames, region[:, :4])


def test_outside_the_hole_the_scene_keeps_its_pixels() -> None:
    """But for what hangs together with the hole and is no part of the scene; the noise of networks counts as scene."""
    rng = np.random.default_rng(0)
    scene = np.broadcast_to(rng.integers(60, 120, (100, 100, 3), np.uint8), (2, 100, 100, 3)).copy()
    region = np.zeros((2, 100, 100), bool)
    region[0, 30:70, 40:60] = True
    made = np.clip(scene + rng.normal(0, 15, scene.shape), 0, 255).astype(np.uint8)
    made[0, 30:70, 40:80] = 250  # a character, wider than the hole
    made[0, 5:15, 5:15] = 250  # something that the networks made up elsewhere
    out = in_scene(made, np.where(region[..., None], 0, scene), region)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[1], scene[1])  # nobody is there
    np.testing.assert_array_equal(out[0, :25], scene[0, :25])
    np.testing.assert_array_equal(out[0, :, :35], scene[0, :, :35])
    np.testing.assert_array_equal(out[0, 30:70, 40:79], made[0, 30:70, 40:79])
    np.testing.assert_array_equal(out[0, :, 86:], scene[0, :, 86:])
    np.testing.assert_array_equal(in_scene(made, scene, np.ones_like(region)), made)
    with pytest.raises(BunrakuError):
        in_scene(made, scene[:1], region)


def test_a_wrong_mask_has_its_sentence():
    with pytest.raises(ValueError, match="bool or uint8"):
        shape_agnostic_mask(np.zeros((1, 4, 4), np.float32))
    for blocks in ((0, 1), (1, 2, 3), [[1, 1]] * 3):
        with pytest.raises(ValueError, match="blocks are"):
            shape_agnostic_mask(np.ones((2, 4, 4), bool), blocks)


def scaled_by_loops(image, factor, x, y, pixel):
    """Bilinear, float64: the value of the scaled picture at a pixel (row, column); 0 outside of the old one."""
    u, v = (x + (pixel[1] + 0.5 - x) / factor - 0.5, y + (pixel[0] + 0.5 - y) / factor - 0.5)
    total = 0.0
    for i in (math.floor(v), math.floor(v) + 1):
        for j in (math.floor(u), math.floor(u) + 1):
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                total = total + (1 - abs(v - i)) * (1 - abs(u - j)) * image[i, j]
    return total


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0.6, 1.6))
def test_scaling_pixel_by_pixel(seed, factor):
    rng = np.random.default_rng(seed)
    size = (18, 22)
    frames, behind = rng.integers(0, 256, (2, 2, *size, 3), np.uint8)
    masks, objects = np.zeros((2, 2, *size), bool)
    top, left = rng.integers(2, 8, 2)
    masks[0, top : top + 7, left : left + 5] = True
    objects[0, top + 2 : top + 5, left + 4 : left + 8] = True
    objects[1, 3, 3] = True  # its character is gone
    found = rescale_character(frames, masks, factor, behind, objects)
    np.testing.assert_array_equal(found.frames[1], frames[1])
    np.testing.assert_array_equal(found.masks[1], masks[1])
    np.testing.assert_array_equal(found.objects[1], objects[1])
    subject = (masks[0] | objects[0]).astype(float)
    x, y = left + 2.5, top + 7
    for pixel in np.ndindex(size):
        alpha = scaled_by_loops(subject, factor, x, y, pixel)
        colour = scaled_by_loops(frames[0] * subject[..., None], factor, x, y, pixel)
        # OpenCV rounds coordinates to 1/32 pixel
        assert np.abs(found.frames[0][pixel] - (colour + (1 - alpha) * behind[0][pixel])).max() < 20
        for mask, old in ((found.masks, masks), (found.objects, objects)):
            share = scaled_by_loops(old[0].astype(float), factor, x, y, pixel)
            assert abs(share - 0.5) < 0.1 or mask[0][pixel] == (share > 0.5)


def test_feet_stay_and_the_factor_is_the_boxs():
    masks = np.zeros((1, 60, 60), bool)
    masks[0, 20:50, 20:40] = True
    frames = np.full((1, 60, 60, 3), 200, np.uint8)
    for factor, box in ((0.8, (26, 50, 22, 38)), (1.25, (12, 50, 18, 42)), (1.0, (20, 50, 20, 40))):
        mask = rescale_character(frames, masks, factor, frames).masks[0]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert abs(np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]) - box).max() <= 1
    same = rescale_character(frames, masks, 1.0, frames)
    np.testing.assert_array_equal(same.frames, frames)
    np.testing.assert_array_equal(same.masks, masks)
    assert same.objects is None


def test_scales_are_drawn_for_half_of_the_clips():
    rng = np.random.default_rng(0)
    drawn = np.array([sample_scale(rng) for _ in range(4000)])
    changed = drawn[drawn != 1]
    assert len(changed) / len(drawn) == pytest.approx(0.5, abs=0.03)
    assert changed.min() >= 0.8
    assert changed.max() <= 1.25
    assert changed.mean() == pytest.approx(1.025, abs=0.02)


def test_bad_scaling():
    frames, masks = np.zeros((2, 5, 7, 3), np.uint8), np.ones((2, 5, 7), bool)
    with pytest.raises(ValueError, match="factor above 0"):
        rescale_character(frames, masks, 0, frames)
    with pytest.raises(BunrakuError, match="same size and length"):
        rescale_character(frames, masks, 1, frames, masks[:1])
    with pytest.raises(BunrakuError, match="same size and length"):
        rescale_character(frames, masks, 1, frames[:, :4])


def test_a_hole_under_each_law():
    masks = np.random.default_rng(3).random((6, 40, 30)) < 0.02
    masks[:, (5, 33), (4, 25)] = True
    rng = lambda: np.random.default_rng(8)  # noqa: E731
    for training in (None, rng()):
        np.testing.assert_array_equal(character_hole(masks, "exact", rng=training), masks)
        np.testing.assert_array_equal(character_hole(masks, "box", rng=training), shape_agnostic_mask(masks, (1, 1)))
    np.testing.assert_array_equal(character_hole(masks, "clip", block=7), shape_agnostic_mask(masks, block=7))
    np.testing.assert_array_equal(character_hole(masks, "frame"), shape_agnostic_mask(masks))
    clip, frame = sample_blocks(masks, rng()), sample_blocks(masks, rng(), per_frame=True)
    np.testing.assert_array_equal(character_hole(masks, "clip", rng=rng()), shape_agnostic_mask(masks, clip))
    np.testing.assert_array_equal(character_hole(masks, "frame", rng=rng()), shape_agnostic_mask(masks, frame))
    assert len(np.unique(frame, axis=0)) > 1
    with pytest.raises(ValueError, match="a hole's law is clip, frame, exact, box, not 'round'"):
        character_hole(masks, "round")
