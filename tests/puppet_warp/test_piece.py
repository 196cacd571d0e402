"""Painting a mesh: exactly where its vertices go, to fractions of a pixel."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.puppet_warp.piece import Piece, grid

SIZE = 40


def square(seed: int = 0) -> Piece:
    """A smooth patch with a soft edge, as two triangles."""
    texture = np.zeros((SIZE, SIZE, 4), np.uint8)
    texture[8:32, 8:32] = np.random.default_rng(seed).integers(0, 200, (6, 6, 4), np.uint8).repeat(4, 0).repeat(4, 1)
    texture[8:32, 8:32, 3] = 255
    texture = cv2.GaussianBlur(texture, (0, 0), 1.5).astype(np.float32)
    corners = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], float)
    return Piece(texture, corners, grid(2, 2), lambda joints, seen, scale: corners)


def test_in_its_place_it_is_the_texture() -> None:
    piece = square()
    canvas = np.full((SIZE, SIZE, 3), 100, np.float32)
    piece.paint(canvas, piece.vertices)
    expected = 100 * (1 - piece.texture[..., 3:] / 255) + piece.texture[..., :3]
    assert np.abs(canvas - expected).max() < 1e-3


@settings(max_examples=40)
@given(st.floats(-np.pi, np.pi), st.floats(0.5, 2), st.floats(-30, 30), st.floats(-30, 30), st.booleans())
def test_an_affine_move_is_that_of_opencv(angle: float, scale: float, x: float, y: float, mirrored: bool) -> None:
    piece = square(1)
    linear = (
        scale
        * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        @ np.diag([-1 if mirrored else 1, 1])
    )
    offset = np.array([30 + x, 30 + y]) - linear @ [SIZE / 2, SIZE / 2]
    canvas = np.zeros((60, 60, 3), np.float32)
    piece.paint(canvas, piece.vertices @ linear.T + offset)
    # OpenCV's coordinates are of pixel centres
    shift = offset + linear @ [0.5, 0.5] - 0.5
    moved = cv2.warpAffine(piece.texture, np.column_stack([linear, shift]), (60, 60), flags=cv2.INTER_CUBIC)
    expected = np.minimum(moved[..., :3], moved[..., 3:]).astype(float)  # no colour is more than its coverage
    # its fixed-point maps are good to a 32nd of a pixel
    assert np.abs(canvas - expected).max() < 14
    assert np.abs(canvas - expected).mean() < 0.6


@given(st.floats(-np.pi, np.pi), st.floats(0, 1), st.floats(0, 1))
def test_beside_an_edge_a_colour_stays_what_it_is(angle: float, x: float, y: float) -> None:
    """Bicubic curves overshoot beside an edge: a bright rim, that was dashed where the edge runs aslant."""
    colour = np.array([200, 120, 40, 255], np.float32)
    texture = np.zeros((SIZE, SIZE, 4), np.float32)
    texture[10:30, 10:30] = colour
    texture[9, 10:30] = texture[10:30, 30] = 0.4 * colour
    corners = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], float)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    canvas = np.zeros((SIZE, SIZE, 4), np.float32)
    target = (corners - SIZE / 2) @ linear.T + SIZE / 2 + (x, y)
    Piece(texture, corners, grid(2, 2), lambda *_: corners).paint(canvas, target)
    seen = canvas[..., 3] > 20
    assert canvas[..., 3].max() < 255.001
    assert np.abs(canvas[seen] * 255 / canvas[seen, 3:] - colour).max() < 1


def test_outside_the_picture_or_without_area_nothing_is_painted() -> None:
    piece = square()
    for target in (piece.vertices + 500, piece.vertices - 500, piece.vertices * (1, 0) + 5, np.full((4, 2), 7.0)):
        canvas = np.zeros((SIZE, SIZE, 3), np.float32)
        piece.paint(canvas, target)
        assert not canvas.any()


def test_half_outside_it_is_cut_by_the_picture() -> None:
    piece = square()
    canvas, wide = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, 2 * SIZE, 3), np.float32)
    piece.paint(canvas, piece.vertices - (20, 0))
    piece.paint(wide, piece.vertices + (20, 0))
    assert np.array_equal(canvas[:, :20], wide[:, 40:60])


def test_later_triangles_lie_over_earlier_ones() -> None:
    texture = np.zeros((12, 26, 4), np.float32)
    texture[1:-1, 1:12], texture[1:-1, 14:25] = (200, 0, 0, 255), (0, 200, 0, 255)
    left, right = (np.array([(x, 0), (x + 13, 0), (x, 12), (x + 13, 12)], float) for x in (0, 13))
    vertices = np.concatenate([left, right])
    triangles = np.concatenate([grid(2, 2), grid(2, 2) + 4])
    canvas = np.zeros((12, 26, 3), np.float32)
    Piece(texture, vertices, triangles, lambda *_: vertices).paint(canvas, np.concatenate([left, left]))
    assert np.array_equal(canvas[6, 6], (0, 200, 0))
    Piece(texture, vertices, triangles[::-1], lambda *_: vertices).paint(canvas, np.concatenate([left, left]))
    assert np.array_equal(canvas[6, 6], (200, 0, 0))


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(2, 6))
def test_a_grid_covers_every_cell_once(rows: int, columns: int) -> None:
    triangles = grid(rows, columns)
    points = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)[triangles].astype(float)
    areas = np.abs(np.linalg.det(np.stack([points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]], -1))) / 2
    assert np.allclose(areas, 0.5)
    assert len(triangles) == 2 * (rows - 1) * (columns - 1)
    assert len({tuple(sorted(t)) for t in triangles.tolist()}) == len(triangles)
