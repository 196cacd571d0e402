"""Whose pixel is whose."""

import cv2
import numpy as np

from bunraku.perception.pose import PoseTrack
from bunraku.puppet_warp.body import Body
from bunraku.puppet_warp.labels import (
    HEAD_LABEL,
    TRUNK_LABEL,
    joined,
    labelled,
    smooth_cuts,
    with_fingers,
    with_hem,
    without_threads,
)

SKIN, CLOTH = (220, 170, 140), (70, 80, 120)


def a_bare_arm_behind_a_flap(skin: tuple[int, int, int] = SKIN) -> tuple[np.ndarray, np.ndarray, Body]:
    """Picture, coverage and measures of somebody whose right arm hangs beside the trunk, with a piece of the clothes before the upper arm."""
    picture = np.full((140, 110, 3), CLOTH, np.uint8)
    mask = np.zeros((140, 110), np.uint8)
    cv2.circle(mask, (60, 20), 13, 1, -1)
    cv2.circle(picture, (60, 20), 13, SKIN, -1)
    for top, bottom, left, right in ((32, 90, 38, 82), (90, 138, 42, 56), (90, 138, 64, 78)):
        mask[top:bottom, left:right] = 1
    for left in (24, 86):  # arms from the shoulders on
        mask[38:95, left : left + 10] = 1
        mask[38:46, min(left, 34) : max(left, 82)] = 1
        picture[38:95, left : left + 10] = skin
    mask[60:72, 24:40] = 1
    picture[60:72, 24:40] = CLOTH  # the flap
    joints = np.array(
        [(60, 22), (60, 36), (29, 40), (29, 66), (29, 92), (91, 40), (91, 66), (91, 92), (49, 90), (49, 114), (49, 136), (71, 90), (71, 114),
         (71, 136), (56, 18), (64, 18), (50, 20), (70, 20)], float,
    )  # fmt: skip
    radii = {(limb, bone): 5.0 if limb < 2 else 7.0 for limb in range(4) for bone in (0, 1)}
    body = Body(joints, np.ones(18, bool), radii, 5.0, 7.0, np.array([60.0, 20.0]), 16.0, 0.0, {})
    return picture, mask.astype(np.float32), body


def test_clothes_before_a_bare_arm_are_no_arm() -> None:
    labels, *_ = labelled(*a_bare_arm_behind_a_flap())
    assert (labels[62:70, 26:34] == TRUNK_LABEL).all()
    assert (labels[48:58, 26:33] == 0).all()
    assert (labels[74:92, 26:33] == 0).all(), "the forearm is an arm still, though the flap parts it from the upper arm"
    assert (labels[50:90, 88:95] == 1).all()


def test_a_pattern_on_a_sleeve_is_arm() -> None:
    """In sleeves there is no telling: what lies on the bones is arm."""
    labels, *_ = labelled(*a_bare_arm_behind_a_flap(skin=(60, 150, 70)))
    assert (labels[74:92, 26:33] == 0).all()
    assert (labels[50:90, 88:95] == 1).all()


def test_drawn_lines_on_a_bare_arm_are_arm() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    picture[72:95, 24:26] = picture[72:95, 32:34] = picture[38:95, 94:96] = (40, 20, 90)
    labels, *_ = labelled(picture, coverage, body)
    assert (labels[76:93, 24:34] == 0).mean() > 0.95
    assert (labels[50:93, 88:96] == 1).mean() > 0.95


def test_pieces_of_an_arm_stay_where_its_bones_are() -> None:
    labels = np.full((40, 60), -1)
    labels[:, 20:] = TRUNK_LABEL
    labels[2:12, 12:20], labels[20:38, 2:20] = 0, 0
    labels[2:5, 40:45] = 0
    bones = np.zeros((2, 40, 60), bool)
    bones[0, :, 10:22] = True
    result = joined(labels, 2, bones, 20)
    assert (result[2:12, 12:20] == 0).all()
    assert (result[2:5, 40:45] == TRUNK_LABEL).all()
    assert (joined(labels, 2, bones, 200)[2:12, 12:20] == TRUNK_LABEL).all()


def test_islands_join_what_they_hang_on() -> None:
    labels = np.full((20, 30), -1)
    labels[5:15, 2:12] = TRUNK_LABEL
    labels[8:10, 12:20] = 0
    labels[8:10, 20:23] = TRUNK_LABEL  # a hand that lies nearer to the trunk's line than to the arm
    labels[17:19, 25:28] = 2  # alone
    labels[1:3, 25:28] = 2
    result = joined(labels, 2, np.zeros((2, 20, 30), bool), 1)
    assert (result[8:10, 12:23] == 0).all()
    result[8:10, 20:23] = TRUNK_LABEL
    assert np.array_equal(result, labels)


def test_body_on_both_sides_of_an_arm_hangs_together_beneath_it() -> None:
    labels = np.full((20, 30), TRUNK_LABEL)
    labels[:, 20:25] = 0
    assert np.array_equal(joined(labels, 4, np.zeros((2, 20, 30), bool), 1), labels)
    assert (joined(labels, 1, np.zeros((2, 20, 30), bool), 1)[:, 25:] == 0).all()


def test_cuts_lose_their_teeth_and_stay_where_they_are() -> None:
    labels = np.full((40, 60), -1)
    labels[5:35, 5:30], labels[5:35, 30:55] = 0, TRUNK_LABEL
    jagged = labels.copy()
    jagged[6:34:4, 30:32] = 0
    jagged[8:34:4, 28:30] = TRUNK_LABEL
    assert np.array_equal(smooth_cuts(labels, 2), labels)
    assert np.array_equal(smooth_cuts(jagged, 3), labels)


def test_a_finger_that_hangs_on_the_body_belongs_to_the_hand() -> None:
    """What is as narrow and hangs on the body elsewhere stays, and so does body on both sides of an arm."""
    labels = np.full((60, 80), -1)
    labels[:, 20:60] = TRUNK_LABEL
    labels[20:30, :20] = 0  # a hand at the hip
    truth = labels.copy()
    labels[30:34, 8:20], truth[30:34, 8:20] = TRUNK_LABEL, 0  # its thumb, touching the body
    labels[10:14, 60:70] = truth[10:14, 60:70] = TRUNK_LABEL  # a bow on the other side
    labels[40:46, 20:60] = truth[40:46, 20:60] = 1  # a forearm before the body
    result = without_threads(labels, 4, 8)
    assert (result[30:34, 8:14] == 0).all()
    result[30:34, 14:20] = 0  # where it grows out of the hip it is as much hip
    assert np.array_equal(result, truth)


def test_fingers_before_clothes_belong_to_the_hand() -> None:
    """Narrow skin that hangs together with the arm, near the wrist; a strap of skin far from it and a broad leg are the body's."""
    _, _, body = a_bare_arm_behind_a_flap()
    labels, skin = np.full((140, 110), 2), np.zeros((140, 110), bool)
    labels[40:95, 24:34] = 0
    labels[:36] = HEAD_LABEL
    truth = labels.copy()
    for box, whose in (
        (np.s_[91:94, 34:44], 0), (np.s_[95:103, 30:33], 0),  # two fingers
        (np.s_[100:102, 38:46], 2),  # apart from the hand
        (np.s_[50:52, 34:44], 2),  # beside the upper arm
        (np.s_[90:130, 52:72], 2),  # a leg
    ):  # fmt: skip
        skin[box], truth[box] = True, whose
    assert np.array_equal(with_fingers(labels, skin | (labels == 0), body), truth)


def test_a_forearm_in_shadow_before_a_dark_belt_is_arm() -> None:
    """The border of skin and clothes is the arm's edge, not the brighter one of light and shadow on it; a bone beside it is no matter."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[74:92, 34:40] = 1
    picture[74:92, 30:34] = (106, 63, 38)
    picture[74:92, 34:60] = (75, 75, 80)
    labels, *_ = labelled(picture, coverage, body)
    assert (labels[76:90, 25:33] == 0).mean() > 0.95
    assert (labels[76:90, 36:44] == TRUNK_LABEL).all()


def test_what_clothes_hide_of_an_arm_is_as_thick_as_the_arm() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[46:72, 29:40] = 1
    picture[46:72, 29:40] = CLOTH
    _, _, arms = labelled(picture, coverage, body)
    assert ((arms[0, 0][50:64] < 1).sum(1) >= 2 * body.radii[0, 0] - 1).all()


def test_a_slanted_hem_stays_with_the_skirt() -> None:
    """Where a skirt reaches farther down on one leg than on the other, its lower corner does not go with the leg."""
    points = [(64, 14), (64, 26), (52, 28), (40, 44), (32, 60), (76, 28), (88, 44), (96, 60), (58, 58), (54, 86), (52, 114), (70, 58),
              (74, 86), (76, 114), (60, 12), (68, 12), (56, 13), (72, 13)]  # fmt: skip
    picture = np.full((128, 128, 3), 255, np.uint8)
    for a, b in ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13)):
        cv2.line(picture, points[a], points[b], SKIN, 7)
    cv2.rectangle(picture, (50, 24), (78, 60), CLOTH, -1)
    cv2.circle(picture, (64, 13), 10, SKIN, -1)
    skirt = np.zeros((128, 128), np.uint8)
    cv2.fillPoly(skirt, [np.array([(50, 56), (78, 56), (92, 106), (38, 90)])], 1)
    picture[skirt > 0] = CLOTH
    mask = (picture != 255).any(-1)
    pose = PoseTrack(np.array(points, np.float32)[None, None] + 0.5, np.ones((1, 1, 18), np.float32), (128, 128))
    body = Body.of(pose, mask, (0, 0), 0)
    assert body.hem
    labels, _, _ = labelled(picture, mask.astype(np.float32), body)
    inner = cv2.erode(skirt, np.ones((5, 5), np.uint8)) > 0
    assert (labels[inner] == TRUNK_LABEL).mean() > 0.98
    bare = mask & (np.arange(128)[:, None] > 108)
    assert np.isin(labels[bare], (2, 3)).all()
    trousers = picture.copy()
    trousers[mask & (np.arange(128)[:, None] > 80)] = CLOTH  # of the skirt's colour: nothing says where the hem is
    np.testing.assert_array_equal(with_hem(labels, trousers, body, mask), labels)


def test_outlines_of_a_raised_arm_are_no_hair_however_many_sides_they_are_on():
    """Dark like the hair, they lie on both sides of the arm: what is between them is no head."""
    labels = np.full((100, 100), -1)
    cv2.circle(mask := np.zeros((100, 100), np.uint8), (65, 60), 22, 1, -1)
    labels[mask > 0] = HEAD_LABEL
    labels[5:90, 30:42] = 0
    labels[20:50, 28:30] = HEAD_LABEL
    labels[20:50, 42:44] = HEAD_LABEL
    result = without_threads(labels, 4, 8)
    assert (result[20:35, 28:44] == 0).all()
    assert (result[45:75, 55:75] == HEAD_LABEL).all()
