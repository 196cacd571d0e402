"""The flow condition against its formula in float64, pixel by pixel."""

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.background_flow import draw_background_flow, unexplained
from bunraku.cues.character_region import character_regions
from bunraku.media import VideoReader
from bunraku.media.images import resize
from bunraku.theatre import render, sample_scene
from bunraku.theatre.flow import background_flow, dense_flow
from tests.tiny import crowd


def regions_of(track, size):
    masks = np.zeros((len(track), *size), bool)
    for frame, regions in enumerate(character_regions(track, size)):
        for region in regions:
            masks[frame][region.at] |= region.mask > 0
    return masks


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.floats(0.01, 1), st.floats(0.1, 1))
def test_both_forms_pixel_by_pixel(seed, people, scale, ceiling):
    rng = np.random.default_rng(seed)
    size = (12, 20)
    track = crowd(2, people, size, rng)
    flow = rng.normal(0, 3, (2, *size, 2)).astype(np.float32)
    grey = draw_background_flow(track, flow, scale=scale, ceiling=ceiling)
    both = draw_background_flow(track, flow, form="uv", scale=scale)
    inside = regions_of(track, size)
    for at in np.ndindex(2, *size):
        u, v = (float(x) / (scale * 20) for x in flow[at])
        expected = [255] * 3 if inside[at] else [255 * min(math.hypot(u, v), ceiling)] * 3
        assert np.abs(grey[at] - np.array(expected)).max() <= 0.501
        signed = [128, 128, 255] if inside[at] else [128 + 127 * max(-1, min(1, u)), 128 + 127 * max(-1, min(1, v)), 0]
        assert np.abs(both[at] - np.array(signed)).max() <= 0.501


def test_zero_momentum_is_black_with_white_characters_and_what_still_footage_gives():
    size = (64, 48)
    track = crowd(3, 2, size, np.random.default_rng(1))
    inside = regions_of(track, size)
    assert 0.05 < inside.mean() < 0.95
    drawn = draw_background_flow(track)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, np.where(inside[..., None], 255, 0).repeat(3, -1))
    for form in ("grey", "uv"):
        still = draw_background_flow(track, np.zeros((3, 8, 8, 2), np.float32), form=form)
        np.testing.assert_array_equal(still, draw_background_flow(track, form=form))


def test_flow_of_another_size_says_the_same_of_the_same_motion():
    """Exact: a pan by 1/64 of the width a frame, as flow of three sizes."""
    track = crowd(1, 0, (32, 64), np.random.default_rng(0))
    pans = [np.full((1, 32 * n // 2, 32 * n, 2), (n / 2, 0), np.float32) for n in (1, 2, 6)]
    drawn = [draw_background_flow(track, pan) for pan in pans]
    assert all((d == round(255 * (1 / 64) / (1 / 8))).all() for d in drawn)
    uneven = np.full(
        (1, 16, 64, 2), (1, 1), np.float32
    )  # half as many rows: the same vertical way has half as many pixels
    assert (draw_background_flow(track, uneven, form="uv", scale=4 / 64)[0, 0, 0] == (128 + 32, 128 + 64, 0)).all()


def test_of_the_theatre_the_cameras_motion_remains_and_the_dancers_does_not():
    """Real flow and the camera's alone give nearly the same drawing: the regions hide what dances."""
    scene = sample_scene(7, "train", people=2, moving_camera=True)
    shown = render(scene, 3, (128, 96))
    real, camera = dense_flow(scene, 3, (128, 96)).flow, background_flow(scene, 3, (128, 96))
    drawn, alone = draw_background_flow(shown.pose, real), draw_background_flow(shown.pose, camera)
    seen = (drawn < 255).all(-1)
    assert alone[seen].max() > 10  # the camera moves
    differ = np.abs(drawn.astype(int) - alone).max(-1) > 2
    naked = np.abs(real - camera).max(-1) > 0.1
    assert naked.mean() > 0.05  # somebody dances
    assert differ.sum() < 0.25 * naked.sum()  # all but hats, hems and hair, which no skeleton knows


def test_a_cut_is_found_and_motion_is_none():
    """Exact flow within two scenes of the theatre with moving cameras, and whatever flow at the cut between them."""
    clips = []
    for seed in (7, 8):
        scene = sample_scene(seed, "train", people=2, moving_camera=True)
        clips.append((render(scene, [0, 1, 2], (96, 96)).frames, dense_flow(scene, [0, 1, 2], (96, 96)).flow))
    frames, flow = (np.concatenate(parts) for parts in zip(*clips))
    assert unexplained(frames, flow) == [2]
    assert unexplained(frames, flow[:-1]) == [2]
    assert unexplained(frames[:3], flow[:3]) == []
    with pytest.raises(ValueError, match="flow of frames"):
        unexplained(frames, flow[:, :50])


@pytest.mark.parametrize("driver", ["dance_outdoors", "two_people"])
def test_real_footage_is_explained_by_the_flow_that_opencv_finds_and_a_cut_is_not(assets, driver):
    with VideoReader(assets / "drivers" / f"{driver}.mp4") as video:
        frames = np.stack([resize(frame[None], (180, 320))[0] for _, frame in zip(range(6), video)])
    with VideoReader(assets / "drivers" / "juggling_ball.mp4") as video:
        frames[4:] = resize(next(iter(video))[None], (180, 320))[0]
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.stack([finder.calc(now, then, None) for now, then in itertools.pairwise(grey)])
    assert unexplained(frames, flow) == [3]


@pytest.mark.parametrize(
    ("flow", "options", "message"),
    [
        (np.zeros((1, 8, 8, 2)), {}, "flow for 2 frames is"),
        (np.zeros((2, 8, 8)), {}, "flow for 2 frames is"),
        (np.full((2, 32, 32, 2), np.nan), {}, "not finite"),
        (None, {"form": "rainbow"}, "form is grey or uv"),
        (None, {"scale": 0}, "scale above 0"),
        (None, {"ceiling": 1.5}, "ceiling in"),
    ],
)
def test_unusable_arguments(flow, options, message):
    with pytest.raises(ValueError, match=message):
        draw_background_flow(crowd(2, 1, (32, 32), np.random.default_rng(0)), flow, **options)
