import math
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from bunraku.cues.skeleton import COLOURS, draw_skeleton
from bunraku.perception.pose import PoseTrack

STANDING = np.array(
    [(50, 20), (50, 30), (42, 30), (36, 42), (33, 54), (58, 30), (66, 40), (70, 30), (45, 55), (44, 72), (43, 90),
     (55, 55), (57, 72), (58, 90), (48, 18), (52, 18), (46, 19), (54, 19)]
) / 100  # fmt: skip


def random_track(size, joints, *, frames=3, people=2, seed=0):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.05, 0.95, (frames, people, joints, 2)) * (size[1], size[0])
    return PoseTrack(keypoints.astype(np.float32), rng.random((frames, people, joints), dtype=np.float32), size)


def standing_track(size, frames=1):
    keypoints = np.broadcast_to(STANDING * (size[1], size[0]), (frames, 1, 18, 2)).astype(np.float32)
    return PoseTrack(keypoints, np.ones((frames, 1, 18), np.float32), size)


def published_convention(points, seen, size, *, hands=False, face=False):
    """One frame, drawn joint by joint as ControlNet and DWPose describe it: 512 px, canvas dimmed, then discs."""
    canvas = np.zeros((*size, 3), np.uint8)
    chains = [(1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)]
    chains += [(1, 0), (0, 14), (14, 16), (0, 15), (15, 17)]
    for colour, (a, b) in zip(COLOURS, chains):
        for person, ok in zip(points, seen):
            if ok[a] and ok[b]:
                (xa, ya), (xb, yb) = person[a].tolist(), person[b].tolist()
                centre = int((xa + xb) / 2), int((ya + yb) / 2)
                axes = int(math.dist((xa, ya), (xb, yb)) / 2), 4
                degrees = int(math.degrees(math.atan2(ya - yb, xa - xb)))
                cv2.fillConvexPoly(canvas, cv2.ellipse2Poly(centre, axes, degrees, 0, 360, 1), colour)
    canvas = (canvas * 0.6).astype(np.uint8)
    for joint, colour in enumerate(COLOURS):
        for person, ok in zip(points, seen):
            if ok[joint]:
                cv2.circle(canvas, (int(person[joint, 0]), int(person[joint, 1])), 4, colour, -1)
    for first in (92, 113) if hands else ():
        for person, ok in zip(points, seen):
            fingers = [[first, *range(first + 1 + 4 * f, first + 5 + 4 * f)] for f in range(5)]
            for bone, (a, b) in enumerate(pair for finger in fingers for pair in pairwise(finger)):
                if ok[a] and ok[b]:
                    hue = np.uint8([[[0, 0, 0]]])
                    sector, rest = divmod(bone / 20 * 6.0, 1)
                    up, down = 255 * (1 - (1 - rest)), 255 * (1 - rest)
                    hue = [(255, up, 0), (down, 255, 0), (0, 255, up), (0, down, 255), (up, 0, 255), (255, 0, down)]
                    ends = [tuple(int(v) for v in person[j]) for j in (a, b)]
                    cv2.line(canvas, *ends, hue[int(sector)], thickness=2)
            for joint in range(first, first + 21):
                if ok[joint]:
                    cv2.circle(canvas, tuple(int(v) for v in person[joint]), 4, (0, 0, 255), -1)
    for person, ok in zip(points, seen) if face else ():
        for joint in range(24, 92):
            if ok[joint]:
                cv2.circle(canvas, tuple(int(v) for v in person[joint]), 3, (255, 255, 255), -1)
    return canvas


@pytest.mark.parametrize("size", [(512, 512), (768, 512)])
def test_openpose_style_is_the_published_convention_to_the_pixel(size):
    track = random_track(size, 18, people=3)
    expected = [published_convention(p, s >= 0.3, size) for p, s in zip(track.keypoints, track.scores)]
    np.testing.assert_array_equal(draw_skeleton(track), expected)


def test_dwpose_style_is_the_published_convention_to_the_pixel():
    track = random_track((512, 512), 134)
    expected = [
        published_convention(p, s >= 0.3, (512, 512), hands=True, face=True)
        for p, s in zip(track.keypoints, track.scores)
    ]
    np.testing.assert_array_equal(draw_skeleton(track, style="dwpose"), expected)


def test_hands_and_face_can_be_left_out():
    track = random_track((512, 512), 134)
    body = PoseTrack(track.keypoints[:, :, :18], track.scores[:, :, :18], track.size)
    np.testing.assert_array_equal(draw_skeleton(track, hands=False), draw_skeleton(body))
    np.testing.assert_array_equal(draw_skeleton(track, face=True), draw_skeleton(track, style="dwpose"))


def test_resized_drawing_keeps_joints_in_place_and_limbs_in_proportion():
    small, large = (draw_skeleton(standing_track((512, 512)), (s, s))[0] for s in (128, 512))
    for x, y in (STANDING * 128).astype(int):
        assert small[y, x].any()
    share = [(image.any(-1)).mean() for image in (small, large)]
    assert share[0] == pytest.approx(share[1], rel=0.5)


def test_explicit_line_width_is_in_pixels():
    [one], [five] = (draw_skeleton(standing_track((512, 512)), line_width=w) for w in (1, 5))
    x, y = (STANDING[10] * 512).astype(int)  # right ankle: nothing lies below it
    assert [column[y : y + 12, x].any(-1).sum() for column in (one, five)] == [2, 6]


def test_unseen_and_undrawable_joints_are_not_drawn():
    track = standing_track((256, 256))
    assert not draw_skeleton(PoseTrack(track.keypoints, track.scores * 0, track.size), threshold=0).any()
    for value in (np.nan, np.inf, 1e9):
        assert not draw_skeleton(PoseTrack(track.keypoints * 0 + value, track.scores, track.size)).any()


def test_people_outside_the_frame_are_clipped():
    track = standing_track((256, 256))
    assert not draw_skeleton(PoseTrack(track.keypoints - 5000, track.scores, track.size)).any()


def test_no_frames_and_no_people():
    empty = PoseTrack(np.zeros((2, 0, 18, 2), np.float32), np.zeros((2, 0, 18), np.float32), (64, 48))
    assert draw_skeleton(empty).shape == (2, 64, 48, 3)
    assert draw_skeleton(empty[:0], (32, 32)).shape == (0, 32, 32, 3)


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="'openpose' or 'dwpose', not 'coco'"):
        draw_skeleton(standing_track((64, 64)), style="coco")


def test_fast_enough_for_training():
    track = standing_track((128, 128), frames=50)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        draw_skeleton(track)
        seconds.append(time.process_time() - start)
    assert min(seconds) / 50 < 0.4e-3
