"""Cutting: whose pixel is whose, what is continued under what, and where the trunk and the head go."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.perception.matte import unmixed
from bunraku.perception.pose import PoseTrack
from bunraku.puppet_warp.body import FACE, LIMBS, Body, turned, unit
from bunraku.puppet_warp.hidden import bridged, continued, shadow
from bunraku.puppet_warp.ink import Outline
from bunraku.puppet_warp.labels import HEAD_LABEL, TRUNK_LABEL, large
from bunraku.puppet_warp.places import head_at, rungs
from bunraku.puppet_warp.scissors import Scissors
from bunraku.puppet_warp.warp import EDGE
from bunraku.theatre import render, sample_scene
from tests.puppet_warp.test_labels import CLOTH, SKIN, a_bare_arm_behind_a_flap

ALL = np.ones(18, bool)


@cache
def cut(seed: int) -> Scissors:
    shown = render(sample_scene(seed, "val"), 1, 128)
    mask = shown.character_mask[0]
    coverage = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE)
    return Scissors(unmixed(shown.frames[0], coverage), coverage, Body.of(shown.pose, mask, (0, 0), 0))


@pytest.mark.parametrize("seed", range(6))
def test_joints_lie_on_their_parts(seed: int) -> None:
    scissors = cut(seed)

    def label(point: np.ndarray) -> int:
        x, y = point.astype(int)
        return int(scissors.labels[y, x])

    joints = scissors.body.joints
    assert label(scissors.body.head) in (HEAD_LABEL, 0, 1)
    assert label(joints[[2, 5, 8, 11]].mean(0)) in (TRUNK_LABEL, 0, 1)
    for arm in (0, 1):
        assert label(joints[LIMBS[arm][1]]) in (0, 1)
    for leg in (2, 3):
        assert label(joints[LIMBS[leg][2]]) in (2, 3)
    outside = ~scissors.mask & (scissors.coverage < 0.01)
    assert (scissors.labels[outside] == -1).all()
    assert (scissors.labels[scissors.mask] >= 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_no_seam_shows_where_parts_of_the_body_meet(seed: int) -> None:
    """In its own pose a figure with stripes has them on both sides of a cut between head, trunk and legs, and on the cut."""
    scissors = cut(seed)
    stripes = np.where(np.arange(128)[None, :, None] // 3 % 2, np.uint8(220), np.uint8(40))
    picture = np.broadcast_to(stripes, (128, 128, 3)).copy()
    striped = Scissors(picture, scissors.coverage, scissors.body)
    canvas = np.zeros((128, 128, 4), np.float32)
    for piece in striped.pieces():
        piece.paint(canvas, piece.place(striped.body.joints, ALL, 1.0))
    body = (striped.labels >= 2) & (striped._from_cuts > 6)  # far from arms
    cuts = np.zeros_like(body)
    for axis in (0, 1):
        differs = np.diff(striped.labels, axis=axis) != 0
        cuts |= np.insert(differs, 0, False, axis) | np.insert(differs, differs.shape[axis], False, axis)
    inside = cv2.erode(striped.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    seam = cuts & body & inside
    assert seam.sum() > 10
    assert np.abs(canvas[seam][:, :3] - picture[seam]).mean() < 6


@pytest.mark.parametrize("seed", range(6))
def test_pieces_together_cover_the_figure(seed: int) -> None:
    scissors = cut(seed)
    canvas = np.zeros((128, 128, 3), np.float32)
    for piece in scissors.pieces():
        white = np.repeat(piece.texture[..., 3:], 4, -1)
        type(piece)(white, piece.vertices, piece.triangles, piece.place).paint(
            canvas, piece.place(scissors.body.joints, ALL, 1.0)
        )
    assert np.abs(canvas[..., 0] / 255 - scissors.coverage).max() < 0.3
    assert np.abs(canvas[..., 0] / 255 - scissors.coverage)[scissors.mask].mean() < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_takes_nothing_from_the_edge_of_the_figure(seed: int) -> None:
    scissors = cut(seed)
    hard = Scissors(scissors.picture, scissors.mask.astype(np.float32), scissors.body)
    canvas = np.zeros((*hard.mask.shape, 3), np.float32)
    for piece in hard.pieces():
        white = np.repeat(piece.texture[..., 3:], 4, -1)
        replace(piece, texture=white).paint(canvas, piece.place(hard.body.joints, ALL, 1.0))
    edge = hard.mask & ~cv2.erode(hard.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert np.mean(canvas[edge, 0]) / 255 > 0.95


@pytest.mark.parametrize("fingers", [False, True])
def test_an_arm_goes_on_behind_clothes_that_hang_before_it(fingers: bool) -> None:
    """What is hidden shows when the arm leaves the body, in the arm's colour, and not before; drawn fingers at its side do not dye it."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    if fingers:
        picture[54:60, 24:27] = picture[54:60, 31:34] = (60, 20, 10)
    scissors = Scissors(picture, coverage, body)
    bare = np.array(SKIN, float)
    flap = np.s_[62:70, 24:34]

    def painted(joints: np.ndarray) -> np.ndarray:
        canvas = np.zeros((*scissors.mask.shape, 3), np.float32)
        for piece in scissors.pieces():
            piece.paint(canvas, piece.place(joints, ALL, 1.0))
        return canvas

    at_rest = painted(scissors.body.joints)
    assert np.abs(at_rest[flap] - CLOTH).max() < 30
    raised = scissors.body.joints.copy()
    raised[[3, 4]] = raised[2] + ((-26, 0), (-52, 0))  # straight to the side
    upper = painted(raised)[37:43, 2 : 8 if fingers else 14]  # where the flap had hidden the arm
    assert np.median(np.abs(upper - bare)) < 10
    assert (np.abs(upper - bare).max(-1) < 30).mean() > 0.85  # but for the row beside a cut


def test_the_hip_beneath_an_arm_has_no_notch() -> None:
    """An arm covers the body's side down to the hip, of which a little shows beside it; when it is raised, the side goes on to there."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[46:, 82:] = 0
    coverage[46:84, 74:84] = 1
    picture[46:84, 74:84] = SKIN
    coverage[70:90, 84:89] = coverage[84:90, 74:84] = 1
    joints = body.joints.copy()
    joints[5:8] = (79, 40), (79, 60), (79, 80)
    scissors = Scissors(picture, coverage, replace(body, joints=joints))
    raised = joints.copy()
    raised[[6, 7]] = (99, 30), (109, 14)
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    for piece in scissors.pieces():
        piece.paint(canvas, piece.place(raised, ALL, 1.0))
    widths = (canvas[60:88, 60:, 3] > 128).sum(1)
    assert (np.diff(widths) >= 0).all(), widths
    assert widths.min() >= 22, "the hull of the trunk alone is narrower"


def test_an_arm_that_stands_apart_hides_nothing() -> None:
    """Arms are raised beside the head, within what a head so large would cover; when they go down nothing stays where they were."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[46:95, :36] = coverage[46:95, 84:] = 0
    coverage[4:46, 20:30] = coverage[4:46, 90:100] = 1
    picture[4:38, 20:30] = picture[4:38, 90:100] = SKIN
    joints = body.joints.copy()
    joints[2:8] = (29, 42), (25, 26), (25, 8), (91, 42), (95, 26), (95, 8)
    scissors = Scissors(picture, coverage, replace(body, joints=joints, head_radius=34.0))
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    for piece in scissors.pieces():
        piece.paint(canvas, piece.place(body.joints, ALL, 1.0))
    assert canvas[10:26, 40:80, 3].max() > 200
    assert not canvas[4:30, :40, 3].any()
    assert not canvas[4:30, 80:, 3].any()


def test_no_slit_opens_beside_a_knee_that_is_not_in_the_middle_of_the_leg() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    joints, radii = body.joints.copy(), {bone: 4.0 if bone[0] == 2 else radius for bone, radius in body.radii.items()}
    joints[8:11, 0] = 45  # the leg is at 42 to 56
    scissors = Scissors(picture, coverage, replace(body, joints=joints, radii=radii))
    bent, angle = joints.copy(), np.radians(22)
    bent[10] = joints[9] + 22 * np.array([-np.sin(angle), np.cos(angle)])
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    for piece in scissors._limb(2):
        piece.paint(canvas, piece.place(bent, ALL, 1.0))
    between = joints[9] + np.arange(3, 10)[:, None] * [np.cos(angle / 2), np.sin(angle / 2)]
    x, y = between.astype(int).T
    assert canvas[y, x, 3].min() > 150, canvas[y, x, 3]


def with_a_hand_behind_the_body(hidden: bool) -> Scissors:
    """128x128: the left arm ends in a red hand with its thumb up; the right forearm goes behind the trunk, or ends in a hand before it."""
    points = [(64, 18), (64, 30), (52, 34), (34, 48), (52, 58), (76, 34), (94, 44), (110, 44), (57, 72), (57, 92), (57, 114), (71, 72),
              (71, 92), (71, 114), (60, 15), (68, 15), (56, 17), (72, 17)]  # fmt: skip
    picture = np.full((128, 128, 3), 255, np.uint8)

    def line(a: int, b: int, colour: tuple[int, int, int], width: int) -> None:
        cv2.line(picture, points[a], points[b], colour, width)

    for a, b in ((2, 3), (3, 4), (5, 6), (6, 7)):
        line(a, b, SKIN, 8)
    cv2.rectangle(picture, (50, 28), (78, 74), CLOTH, -1)
    for a, b in ((8, 9), (9, 10), (11, 12), (12, 13)):
        line(a, b, CLOTH, 9)
    cv2.circle(picture, (64, 16), 11, SKIN, -1)
    cv2.rectangle(picture, (111, 39), (120, 48), (220, 0, 0), -1)
    cv2.rectangle(picture, (113, 32), (116, 39), (220, 0, 0), -1)
    if not hidden:
        line(3, 4, SKIN, 8)
        cv2.rectangle(picture, (52, 53), (64, 63), SKIN, -1)
    mask = (picture != 255).any(-1)
    pose = PoseTrack(np.array(points, np.float32)[None, None] + 0.5, np.ones((1, 1, 18), np.float32), (128, 128))
    return Scissors(picture, mask.astype(np.float32), Body.of(pose, mask, (0, 0), 0))


def shown(scissors: Scissors, joints: np.ndarray) -> np.ndarray:
    canvas = np.zeros((*scissors.mask.shape, 3), np.float32)
    for piece in scissors.pieces():
        piece.paint(canvas, piece.place(joints, ALL, 1.0))
    return canvas


def test_a_hand_that_the_body_hides_is_the_others_mirror_image() -> None:
    scissors = with_a_hand_behind_the_body(True)
    rest = shown(scissors, scissors.body.joints)
    red = (rest[..., 0] > 180) & (rest[..., 1] < 60)
    assert not red[:, :100].any(), "at its place nothing is seen of it"
    raised = scissors.body.joints.copy()
    raised[4] = 15.5, 48.5
    canvas = shown(scissors, raised)
    y, x = np.nonzero((canvas[..., 0] > 180) & (canvas[..., 1] < 60) & (np.arange(128) < 64))
    assert len(y) > 80
    assert x.max() < 17, "past the wrist"
    assert y.min() < 48 - 8, "a thumb that is up stays up"
    assert y.max() < 48 + 7
    before = scissors.body.joints.copy()
    before[4] = 64.5, 38.5  # now before the body
    canvas = shown(scissors, before)
    assert ((canvas[..., 0] > 180) & (canvas[..., 1] < 60))[:, 60:85].sum() > 60


def test_a_hand_beyond_the_picture_is_the_others_mirror_image() -> None:
    whole = with_a_hand_behind_the_body(False)
    still = np.ones(whole.mask.shape, bool)
    still[:, 49:68] = False  # as if the picture ended at the wrist
    scissors = Scissors(whole.picture, whole.coverage, whole.body, still)
    raised = scissors.body.joints.copy()
    raised[4] = 15.5, 48.5
    canvas = shown(scissors, raised)[:, :64]
    assert ((canvas[..., 0] > 180) & (canvas[..., 1] < 60)).sum() > 80


def test_a_hand_that_is_seen_stays() -> None:
    scissors = with_a_hand_behind_the_body(False)
    raised = scissors.body.joints.copy()
    raised[4] = 15.5, 48.5
    canvas = shown(scissors, raised)[:, :64]
    assert not ((canvas[..., 0] > 180) & (canvas[..., 1] < 60)).any()


def test_a_hand_that_is_seen_has_no_second_one_behind_it() -> None:
    """It ends before the trunk; were it cut off at the wrist, the guess of what the trunk hides would reach as far as a hand does."""
    scissors = with_a_hand_behind_the_body(False)

    def guessed() -> int:
        return sum(np.count_nonzero(piece.texture[..., 3]) for piece in scissors._behind(0))

    assert scissors._hand_seen(0)
    seen, scissors.labels = (
        guessed(),
        np.where((scissors.labels == 0) & scissors._past_wrist(0), TRUNK_LABEL, scissors.labels),
    )
    assert not scissors._hand_seen(0)
    scissors._clothed[0] = scissors._hidden_bones(0)
    assert guessed() > seen


def test_what_clothes_hide_of_an_arm_is_no_wider_than_the_arm_beside_them() -> None:
    """The arm is ten pixels wide, and its bones seem to be thicker."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    thick = {bone: 9.0 if bone[0] < 2 else radius for bone, radius in body.radii.items()}
    scissors = Scissors(picture, coverage, replace(body, radii=thick))
    hidden = np.logical_or(*scissors._clothed[0])
    assert hidden[61:71, 26:33].mean() > 0.9
    assert not hidden[58:74, 37:].any()


def with_a_forearm_to(wrist: tuple[int, int], shoulder: tuple[int, int] = (29, 40)) -> Scissors:
    """Somebody whose bare right forearm goes from the elbow to a wrist elsewhere, before all else."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[72:95, 24:34] = 0
    picture[60:72, 24:34] = SKIN
    joints = body.joints.copy()
    joints[2], joints[4] = shoulder, wrist
    cv2.line(coverage, (29, 66), wrist, (1.0,), 9)
    cv2.line(picture, (29, 66), wrist, SKIN, 9)
    return Scissors(picture, coverage, replace(body, joints=joints))


@pytest.mark.parametrize("seed", range(6))
def test_what_an_arm_hides_below_a_face_is_no_wider_than_a_neck(seed: int) -> None:
    """Between jaw and collar there is a neck, however wide the figure is there with an arm before it."""
    scissors = cut(seed)
    body = scissors.body
    region, down = scissors._head_and_neck(), body.joints[1] - body.head
    aside, below = body.head_radius * turned(unit(down, (0, 1))), 0.9 * body.head_radius * unit(down, (0, 1))

    def within(point: np.ndarray) -> bool:
        x, y = np.clip(np.floor(point).astype(int), 0, 127)
        return bool(region[y, x])

    assert within(body.head)
    assert within(body.joints[1])
    assert within(body.head - below + 2 * aside), "hair"
    assert not within(body.head + below + 0.6 * aside)
    assert not within(body.head + below - 0.6 * aside)
    hidden = (scissors._under == HEAD_LABEL) & ~scissors._hull()
    assert not (hidden & ~region).any()


def test_between_a_ponytail_and_the_shoulder_there_is_no_body() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    hair = (90, 60, 20)
    coverage[5:12, 60:108] = coverage[5:64, 99:109] = 1
    picture[5:12, 66:108] = picture[5:64, 99:109] = hair
    scissors = Scissors(picture, coverage, body)
    assert (scissors.labels[20:56, 100:108] == HEAD_LABEL).all()
    assert (scissors.labels[50:56, 88:95] == 1).all()
    assert (scissors._under[50:56, 91:95] == -1).all()


def test_where_a_forearm_was_before_the_chest_there_is_no_skin() -> None:
    scissors = with_a_forearm_to((50, 44), (36, 40))
    assert (scissors.labels[49:52, 41:44] == 0).all()
    chest = shown(scissors, hanging(scissors))[49:52, 41:44]
    assert np.abs(chest - CLOTH).max() < 12, chest


def test_an_upper_arm_goes_on_beneath_its_forearm() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    coverage[46:, :38] = 0
    coverage[38:46, 9:38] = coverage[38:72, 9:24] = 1
    picture[38:72, 9:24] = SKIN
    joints = body.joints.copy()
    joints[2:5] = (14, 40), (14, 68), (19, 44)
    scissors = Scissors(picture, coverage, replace(body, joints=joints))
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    stretched = joints.copy()
    stretched[4] = 14, 96
    for piece in scissors._limb(0):
        piece.paint(canvas, piece.place(stretched, ALL, 1.0))
    assert canvas[50:60, 10:18, 3].min() > 200, canvas[55, :, 3]
    assert not canvas[50:60, 22:, 3].any()


def hanging(scissors: Scissors) -> np.ndarray:
    """Joints with the right arm down at the side, away from the body."""
    joints = scissors.body.joints.copy()
    joints[[3, 4]] = joints[2] + ((-20, 20), (-24, 46))
    return joints


def test_an_elbow_beside_the_middle_of_its_arm_bends_without_a_step() -> None:
    picture, coverage, body = a_bare_arm_behind_a_flap()
    picture[60:72, 24:34], coverage[60:72, 34:38] = SKIN, 0
    joints = body.joints.copy()
    joints[3, 0] = 32
    scissors = Scissors(picture, coverage, replace(body, joints=joints))
    bent = joints.copy()
    bent[4] = joints[3] + (-24, 8)
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    for piece in scissors._limb(0):
        piece.paint(canvas, piece.place(bent, ALL, 1.0))
    elbow = scissors._bends.centred(bent, 1.0)[3]
    assert np.abs(elbow - (29, 66)).max() < 1
    ways = np.linspace(0, np.pi / 2, 7)  # round the outside of the bend, a little within the arm's half thickness
    x, y = np.floor(elbow[:, None] + 3.8 * np.stack([np.cos(ways), np.sin(ways)])).astype(int)
    assert canvas[y, x, 3].min() > 150, canvas[y, x, 3]


def test_a_face_goes_on_as_skin_and_not_as_the_eye_beside_it() -> None:
    scissors = with_a_hand_behind_the_body(False)
    picture, own, body = scissors.picture.copy(), scissors.labels == HEAD_LABEL, scissors.body
    x, y = np.rint(body.head).astype(int)
    cv2.circle(picture, (int(x), int(y)), round(0.35 * body.head_radius), (0, 0, 0), -1)
    own[:, x:] = False  # an arm hides the half of the face beside the eye
    hidden = scissors._hidden(picture, own, scissors.mask, scissors._from_cuts, 0.0, (0, 0))
    assert (hidden[y, x + 2] > 0.6 * np.array(SKIN)).all()


def test_the_shadow_of_an_arm_leaves_with_it() -> None:
    whole = with_a_hand_behind_the_body(False)
    picture = whole.picture.copy()
    beside = np.s_[64:67, 52:66]
    assert (picture[beside] == CLOTH).all()
    picture[beside] = np.array(CLOTH) * 0.55
    scissors = Scissors(picture, whole.coverage, whole.body)
    raised = scissors.body.joints.copy()
    raised[[3, 4]] = (34, 34), (15, 34)
    assert shown(scissors, raised)[64:67, 53:65].mean() > 0.85 * np.mean(CLOTH)


def test_beneath_a_raised_arm_the_shoulder_goes_on_in_its_colours() -> None:
    """What an arm has left at its root is sleeve or skin like the arm, and no smear of what the chest shows."""
    counted = 0
    for seed in range(6):
        scissors = cut(seed)
        (trunk,) = scissors._trunk()
        canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
        trunk.paint(canvas, trunk.place(scissors.body.joints, ALL, 1.0))
        inner = cv2.erode((canvas[..., 3] > 254).astype(np.uint8), np.ones((3, 3))) > 0
        root = np.isin(scissors.labels, (0, 1)) & scissors._roots & inner
        counted += root.sum()
        assert np.abs(canvas[root][:, :3] - scissors.picture[root]).max(initial=0) <= 1, seed
    assert counted > 50


def test_a_shadow_is_darker_in_the_same_hue() -> None:
    lit = np.full((20, 20, 3), CLOTH, np.uint8)
    assert shadow((0.6 * lit).astype(np.uint8), lit).all()
    assert not shadow(lit, (0.6 * lit).astype(np.uint8)).any()
    assert not shadow(np.full_like(lit, (110, 0, 0)), np.full_like(lit, (90, 160, 240))).any()


def test_large_pieces_of_a_mask() -> None:
    mask = np.zeros((12, 12), bool)
    mask[1:5, 1:5] = mask[8:10, 8:10] = True
    assert np.array_equal(large(mask, 5), mask & (np.arange(12) < 6))
    assert not large(np.zeros((4, 4), bool), 1).any()


@pytest.mark.parametrize("together", [True, False])
def test_legs_that_touch_leave_no_gap_at_the_trunk_when_they_are_spread(together: bool) -> None:
    """In trousers there is cloth between the thighs; between legs that stand apart there is the ground, and it stays."""
    picture, coverage, body = a_bare_arm_behind_a_flap()
    if together:
        coverage[90:130, 54:66] = 1
    scissors = Scissors(picture, coverage, body)
    spread = body.joints.copy()
    spread[[9, 10]], spread[[12, 13]] = body.joints[[9, 10]] - (14, 0), body.joints[[12, 13]] + (14, 0)
    canvas = np.zeros((*scissors.mask.shape, 4), np.float32)
    for piece in scissors.pieces():
        piece.paint(canvas, piece.place(spread, ALL, 1.0))
    crotch = canvas[99:103, 57:63, 3] / 255
    assert crotch.min() > 0.9 if together else crotch.max() < 0.1
    assert canvas[112:, 58:62, 3].max() < 0.1 * 255, "between the knees there is nothing"


def test_a_hem_goes_on_beneath_an_arm() -> None:
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[:20] = (20, 40, 120)
    sources = np.arange(40)[None] < np.full((40, 1), 20)
    picture[:, 20:] = 0
    result = continued(picture, sources)
    assert np.array_equal(result[:, :20], picture[:, :20])
    assert np.abs(result[:12, 24:].astype(int) - (20, 40, 120)).max() <= 2
    assert np.abs(result[28:, 24:].astype(int) - 200).max() <= 2


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, -2.5])
def test_what_an_arm_hides_goes_over_from_one_side_to_the_other_and_hems_go_on(angle: float) -> None:
    """Cloth with a hem across a bone, dark beside the arm on one side: the hem goes on, the shadow does not."""
    y, x = np.mgrid[:90, :90] - 44.5
    across, down = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    picture = np.where((down < 0)[..., None], (200, 60, 40), (40, 60, 200)).astype(np.uint8)
    picture[across > 0] += 20
    picture[(across > -10) & (across < -8)] = 0
    sources, along = abs(across) > 8, np.array([-np.sin(angle), np.cos(angle)])
    result = bridged(picture, sources, along, 6, continued(picture, sources, along)).astype(int)
    inside = (abs(across) < 8) & (abs(down) > 5) & (np.hypot(x, y) < 35)
    upper, lower = inside & (down < 0), inside & (down > 0)
    assert (result[upper][:, 0] > result[upper][:, 2] + 60).all()
    assert (result[lower][:, 2] > result[lower][:, 0] + 60).all()
    assert result[upper & (across < -4)][:, 0].mean() > 110  # a third of what is near is dark
    assert result[upper & (across > 4)][:, 0].mean() > result[upper & (across < -4)][:, 0].mean()


def test_beside_one_side_alone_it_goes_on() -> None:
    picture = np.full((40, 40, 3), 120, np.uint8)
    picture[:, 20:] = 0
    sources = np.zeros((40, 40), bool)
    sources[:, :20] = True
    along = np.array([0.0, 1.0])
    result = bridged(picture, sources, along, 5, continued(picture, sources, along))
    assert np.abs(result.astype(int) - 120).max() <= 1


@settings(max_examples=25)
@given(st.integers(0, 5), st.floats(0.3, 3), st.floats(-np.pi, np.pi), st.floats(-50, 50))
def test_the_ladder_turns_and_grows_with_the_body(seed: int, scale: float, angle: float, shift: float) -> None:
    body = cut(seed).body
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    at_rest = rungs(body, body.joints, 1)
    moved = rungs(body, scale * body.joints @ turn.T + shift, scale)
    assert np.allclose(moved[0], scale * at_rest[0] @ turn.T + shift, atol=1e-6)
    assert np.allclose(moved[1], at_rest[1] @ turn.T, atol=1e-6)
    assert np.allclose(moved[2], scale * at_rest[2], atol=1e-6)


def test_a_turned_trunk_keeps_its_depth() -> None:
    body = cut(0).body
    joints = body.joints.copy()
    joints[[2, 5]], joints[[8, 11]] = joints[1], joints[[8, 11]].mean(0)
    _, across, halves = rungs(body, joints, 1)
    assert np.isfinite(across).all()
    assert halves.min() >= min(body.arm, body.leg)


def test_a_skirt_is_wide_enough_for_both_legs() -> None:
    body = next(cut(seed).body for seed in range(20) if cut(seed).body.hem)
    joints = body.joints.copy()
    joints[[9, 10]] -= (30, 0)
    joints[[12, 13]] += (30, 0)
    assert rungs(body, joints, 1)[2][-1] > rungs(body, body.joints, 1)[2][-1] + 10


def test_the_head_keeps_its_shape_and_the_face_moves_inside() -> None:
    body = cut(0).body
    points = body.joints[[0, 14, 15]]
    crown = body.head + 2.5 * (body.head - body.joints[1])
    vertices = np.concatenate([points, crown[None]])
    joints = body.joints.copy()
    joints[[0, 14, 15]] += (2, 0)
    result = head_at(vertices, np.zeros(len(vertices)), body, joints, ALL, 1.0)
    assert np.allclose(result[:3] - points, (2, 0), atol=0.9)
    assert np.linalg.norm(result[3] - crown) < 1.5
    # never out of the head, whatever moves that
    joints[[0, 14, 15]] += (200, 0)
    moves = head_at(vertices, np.zeros(len(vertices)), body, joints, ALL, 1.0) - vertices
    assert np.abs(moves[:3] - moves[3]).max() < body.head_radius


def test_seen_from_behind_the_head_stays_upright() -> None:
    body = cut(1).body
    joints, seen = body.joints.copy(), ALL.copy()
    joints[[16, 17]] = joints[[17, 16]]
    seen[[0, 14, 15]] = False
    crown = (body.head + (body.head - body.joints[1]))[None]
    assert np.linalg.norm(head_at(crown, np.zeros(1), body, joints, seen, 1.0) - crown) < 0.5 * body.head_radius


def test_a_head_without_a_face_follows_the_trunk() -> None:
    body = cut(1).body
    seen = ALL.copy()
    seen[FACE] = False
    moved = head_at(body.head[None], np.zeros(1), body, body.joints + (7, -3), seen, 1.0)
    assert np.allclose(moved, body.head + (7, -3), atol=1e-6)


def test_the_neck_is_stretched_from_the_head_to_the_shoulders_it_stays_on() -> None:
    scissors = cut(0)
    body = scissors.body
    joints = body.joints.copy()
    joints[[0, 14, 15, 16, 17]] += (2, -12)
    down = unit(body.joints[1] - body.head, (0, 1))
    path = body.head + np.linspace(0, 1.6, 60)[:, None] * body.head_radius * down
    moved = head_at(path, scissors._on_trunk(path), body, joints, ALL, 1.0) - path
    assert np.abs(moved[path @ down > body.joints[1] @ down]).max() < 0.05, "what lies on the trunk stays on it"
    assert moved[0, 1] < -8, "the head goes where the face goes"
    steps = np.diff((path + moved) @ down)
    assert steps.min() > 0, "and nothing between them is torn or folded"


def test_where_an_arm_hid_the_edge_of_a_drawn_body_there_is_an_outline() -> None:
    scissors = cut(0)
    shown = np.zeros((60, 60), bool)
    shown[:, :30] = True
    arms = np.zeros_like(shown)
    arms[:30, 20:40] = True  # at the edge of the upper half lies an arm
    colours = np.full((60, 60, 3), 200, np.uint8)
    colours[10:20, 28:30] = 20  # where some of the line is drawn already
    ink = Outline(2.0, np.array([30, 20, 40]), False)
    drawn = scissors._outlined(colours, shown, arms, ink)
    assert np.allclose(drawn[2:6, 29], ink.colour, atol=3)
    assert np.array_equal(drawn[:, :26], colours[:, :26])
    assert np.array_equal(drawn[34:, :], colours[34:, :]), "no arm, no new line"
    assert np.allclose(drawn[13:17, :30], colours[13:17, :30], atol=1), "nor a second line beside the one that is there"
    alone = scissors._outlined(colours, shown, arms, ink._replace(alone=True))
    assert np.allclose(alone[13:17, 29], ink.colour, atol=3), "but in a line drawing there are lines everywhere"


def test_shoulders_that_lie_along_the_trunk_say_where_a_head_goes_all_the_same() -> None:
    body = cut(0).body
    joints = body.joints.copy()
    down = joints[[8, 11]].mean(0) - joints[1]
    joints[[2, 5]] = joints[1] - 0.1 * down, joints[1] + 0.1 * down
    lying = replace(body, joints=joints)
    vertices = body.head + np.array([(0, 0), (5, 30), (-20, 25)])
    moved = head_at(vertices, np.ones(3), lying, joints + (4, 2), ALL, 1.0)
    assert np.isfinite(moved).all()
    assert np.abs(moved - vertices).max() < 60
