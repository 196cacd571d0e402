"""Cut-out and fill: against the theatre's exact masks and stages, and against functions that a membrane continues exactly."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.media import read_image
from bunraku.perception.cutout import cut_out, polygon, segment_distance
from bunraku.perception.plate import fill
from bunraku.perception.pose import PoseTrack
from bunraku.theatre import Rendering, render, sample_scene


@cache
def puppet(seed: int, people: int = 1, size: int = 128) -> Rendering:
    return render(sample_scene(seed, "val", people=people), 1, size)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_puppets_are_found_by_pose_and_colour() -> None:
    scores = [
        overlap(cut_out(shown.frames[0], shown.pose) > 0, shown.character_mask[0]) for shown in map(puppet, range(8))
    ]
    assert np.mean(scores) > 0.9
    assert min(scores) > 0.7


def test_a_large_picture_is_cut_at_its_own_size() -> None:
    shown = puppet(0, size=640)
    mask = cut_out(shown.frames[0], shown.pose)
    assert mask.shape == (640, 640)
    assert overlap(mask > 0, shown.character_mask[0]) > 0.93


def test_people_are_told_apart() -> None:
    shown = puppet(3, people=2)
    mask = cut_out(shown.frames[0], shown.pose)
    assert set(np.unique(mask)) == {0, 1, 2}
    for person in (1, 2):
        assert overlap(mask == person, shown.instances[0] == person) > 0.7


def test_the_same_picture_gives_the_same_mask() -> None:
    shown = puppet(1)
    cv2.setRNGSeed(17)
    first = cut_out(shown.frames[0], shown.pose)
    cv2.setRNGSeed(4)
    assert np.array_equal(cut_out(shown.frames[0], shown.pose), first)


def test_a_person_that_looks_like_the_background_is_at_least_its_bones() -> None:
    shown = puppet(0)
    mask = cut_out(np.full((128, 128, 3), 90, np.uint8), shown.pose)
    x, y = shown.pose.keypoints[0, 0, [1, 3, 6, 9, 12]].astype(int).T
    assert mask[y, x].all()


def test_photographs_and_drawings(assets: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    from bunraku.animate.reference import reference_pose

    for name, figure, background in (
        ("cartoon", ((231, 353), (240, 106), (231, 460)), ((60, 300), (400, 100), (208, 645))),
        ("robot", ((298, 440), (292, 140), (254, 640)), ((60, 60), (500, 600), (290, 660))),
    ):
        path = assets / "references" / f"{name}.png"
        image = read_image(path)
        mask = cut_out(image, reference_pose(image, path, "mediapipe"))
        assert all(mask[y, x] for x, y in figure), name
        assert not any(mask[y, x] for x, y in background), name


def test_poses_that_cut_out_nobody() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    unseen = PoseTrack(np.zeros((1, 1, 18, 2), np.float32), np.zeros((1, 1, 18), np.float32), (64, 64))
    with pytest.raises(BunrakuError, match="no part of a body lies in the picture"):
        cut_out(image, unseen)
    with pytest.raises(BunrakuError, match="1 to 255 people; got 0"):
        cut_out(image, PoseTrack(unseen.keypoints[:, :0], unseen.scores[:, :0], (64, 64)))


def test_stages_are_filled_better_than_by_inpainting() -> None:
    errors: dict[str, list[float]] = {"fill": [], "telea": [], "navier-stokes": []}
    for seed in range(8):
        shown = puppet(seed)
        hole = cv2.dilate(shown.character_mask[0].astype(np.uint8), np.ones((3, 3), np.uint8))
        for name, filled in (
            ("fill", fill(shown.frames[0], hole > 0)),
            ("telea", cv2.inpaint(shown.frames[0], hole, 3, cv2.INPAINT_TELEA)),
            ("navier-stokes", cv2.inpaint(shown.frames[0], hole, 3, cv2.INPAINT_NS)),
        ):
            errors[name].append(float(np.square(filled.astype(float) - shown.background[0])[hole > 0].mean()))
    assert np.mean(errors["fill"]) < min(np.mean(errors["telea"]), np.mean(errors["navier-stokes"]))


@settings(max_examples=30)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_a_colour_is_continued_and_nothing_else_changes(height: int, width: int, seed: int, colour: int) -> None:
    rng = np.random.default_rng(seed)
    hole = rng.random((height, width)) < rng.random()
    hole[rng.integers(height), rng.integers(width)] = False
    image = np.full((height, width, 3), colour, np.uint8)
    damaged = np.where(hole[..., None], rng.integers(0, 256, image.shape, np.uint8), image)
    assert np.array_equal(fill(damaged, hole), image)


def test_a_slope_is_continued_as_a_membrane_does() -> None:
    y, x = np.mgrid[:64, :80]
    slope = np.stack([40 + x * 2, 200 - y * 2, 60 + x + y], -1).astype(np.uint8)
    hole = np.zeros((64, 80), bool)
    hole[20:44, 25:60] = True
    assert np.abs(fill(np.where(hole[..., None], 0, slope).astype(np.uint8), hole).astype(int) - slope).max() <= 4


def test_holes_without_a_rim() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert np.array_equal(fill(image, np.zeros((9, 7), bool)), image)
    assert not fill(image, np.ones((9, 7), bool)).any()


@settings(max_examples=30)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.floats(0, 1), st.floats(-20, 20))
def test_distance_from_a_segment(numbers: list[float], share: float, away: float) -> None:
    start, end, other = np.array(numbers).reshape(3, 2)
    foot = start + share * (end - start)
    normal = np.array([-(end - start)[1], (end - start)[0]])
    length = np.linalg.norm(normal)
    if length > 1e-3:
        assert segment_distance(foot + away * normal / length, start, end) == pytest.approx(abs(away), abs=1e-6)
    nearest = min(np.linalg.norm(other - start - t * (end - start)) for t in np.linspace(0, 1, 2001))
    assert segment_distance(other, start, end) == pytest.approx(nearest, abs=0.05)


def test_polygons_are_of_pixel_middles() -> None:
    inside = polygon(np.array([(2, 3), (7, 3), (7, 6), (2, 6)], float), (10, 10))
    assert inside[4, 4]
    assert not inside[:2].any()
    assert not inside[8:].any()
    assert not inside[:, 9].any()
