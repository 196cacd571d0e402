from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.animate.driving import open_driving
from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import reference_pose
from bunraku.cues.retarget import (
    HEAD,
    METHODS,
    OUTWARDS,
    TREE,
    _believable,
    align,
    fit,
    grounded,
    retarget,
    retarget_people,
    turned_to_the_camera,
)
from bunraku.errors import BunrakuError
from bunraku.media import read_image
from bunraku.perception.pose import FACE, FEET, LEFT_HAND, PARENTS, RIGHT_HAND, WHOLE_BODY, PoseTrack

FRAMES = 8
MEASURED = [partial(method, believable=False) for method in (retarget, align, fit, grounded)]
"""With lengths as they are measured, foreshortened or not."""

BONES = [(k, p) for k, p in enumerate(PARENTS) if p >= 0]
STANDING = np.array(
    [(50, 20), (50, 30), (42, 30), (36, 42), (33, 54), (58, 30), (64, 42), (67, 54), (45, 55), (44, 72), (43, 90),
     (55, 55), (56, 72), (57, 90), (48, 18), (52, 18), (45, 19), (55, 19)]
) / 100  # fmt: skip


def track(points, *, size=(512, 512), scores=None):
    points = np.asarray(points, np.float32)
    points = points[None] if points.ndim == 2 else points
    scores = np.ones(points.shape[:2], np.float32) if scores is None else scores
    return PoseTrack(points[:, None], scores[:, None], size)


def standing(scale=512.0, frames=1, wobble=0.0, seed=0):
    points = np.repeat(STANDING[None] * scale, frames, axis=0)
    return points + np.random.default_rng(seed).normal(0, wobble * scale, points.shape)


def bone(points, k):
    return np.asarray(points, np.float64)[..., k, :] - np.asarray(points, np.float64)[..., PARENTS[k], :]


def length(points, k):
    return np.linalg.norm(bone(points, k), axis=-1)


def algorithm_1(cur, init, src):
    """TCAN's Algorithm 1 with METHODS' corrections, one frame, one bone at a time, every descendant moved; from the neck."""

    def descendants(k):
        return [k, *(d for child in range(18) if PARENTS[child] == k for d in descendants(child))]

    new = cur.astype(np.float64).copy()
    g = {k: np.clip(length(cur, k) / length(init, k), 0, 1.1) for k, _ in BONES}
    r0 = length(src, 0) / length(new, 0)
    new[[0, 14, 15, 16, 17]] += (r0 - 1) * bone(new, 0)
    for k in (2, 5, 8, 11, 14, 15, 3, 6, 9, 12, 16, 17, 4, 7, 10, 13):
        step = (length(src, k) / length(new, k) * g[k] - 1) * bone(new, k)
        new[descendants(k)] += step
    return new - new[1]


poses = st.integers(0, 2**32 - 1).map(lambda seed: standing(wobble=0.03, seed=seed)[0])
moves = st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.2, 4))


@settings(max_examples=50, deadline=None)
@given(poses, poses, poses, moves)
def test_is_algorithm_1(init, cur, src, move):
    src = src * move[2] + move[:2]
    result = retarget(track([init, cur, init]), track(src), believable=False).keypoints[1, 0]
    usable = all(length(src, k) > 0.11 * length(src, 0) and length(init, k) > 0.11 * length(init, 0) for k, _ in BONES)
    if usable:
        np.testing.assert_allclose(result - result[1], algorithm_1(cur, init, src), atol=0.01)


@settings(max_examples=50, deadline=None)
@given(poses, poses, poses, moves)
def test_direction_is_the_drivers_and_length_the_references_times_foreshortening(init, cur, src, move):
    src = src * move[2] + move[:2]
    result = retarget(track([init, cur, init]), track(src), believable=False).keypoints[1, 0]
    for k, _ in BONES:
        if min(length(src, k) / length(src, 0), length(init, k) / length(init, 0)) < 0.11 or length(cur, k) < 1:
            continue
        direction = bone(cur, k) / length(cur, k)
        g = 1 if k == 0 else min(length(cur, k) / length(init, k), 1.1)
        np.testing.assert_allclose(bone(result, k), direction * length(src, k) * g, atol=0.01)


@settings(max_examples=25, deadline=None)
@given(poses)
def test_same_pose_everywhere_is_the_identity(pose):
    pose = (pose + pose[[0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]] * (-1, 1) + (512, 0)) / 2
    for method in (retarget, grounded, align, fit, *MEASURED):
        np.testing.assert_allclose(method(track([pose] * 3), track(pose)).keypoints[:, 0], [pose] * 3, atol=1e-3)


@st.composite
def crowds(draw):
    """Drivers of 8 frames and references, as bad as detections get: missing joints, bones without length, everything on one
    line, coordinates that are no numbers.

    Coordinates are eighths of pixels, so that shifts by whole pixels and scaling by powers of two are exact.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    joints, missing = draw(st.sampled_from([18, WHOLE_BODY])), draw(st.sampled_from([0.0, 0.2, 0.6]))
    folded, flat, broken = draw(st.sampled_from([0.0, 0.3])), draw(st.booleans()), draw(st.booleans())

    def poses(frames):
        points = np.rint(rng.uniform(0, 4096, (frames, joints, 2))) / 8
        if flat:
            points[..., 1] = points[..., 0] / 2
        for joint in [*OUTWARDS, *range(18, joints)]:
            fold = rng.random(frames) < folded
            points[fold, joint] = points[fold, TREE[joint]]
        lost = rng.random((frames, joints)) < missing
        scores = np.where(lost, rng.choice([0, 0.29]), rng.uniform(0.3, 1, (frames, joints)))
        if broken:
            points[rng.random((frames, joints)) < 0.1] = rng.choice([np.nan, np.inf])
        somewhere = rng.integers(frames)
        points[somewhere, 1], scores[somewhere, 1] = (256, 200), 1
        return track(points, scores=scores.astype(np.float32))

    return poses(FRAMES), poses(1)


def seen(pose):
    return (pose.scores[:, 0] >= 0.3) & np.isfinite(pose.keypoints[:, 0]).all(-1)


def moved(pose, factor=1, shift=(0, 0)):
    points = (pose.keypoints * factor + shift).astype(np.float32)
    return PoseTrack(points, pose.scores, (round(pose.size[0] * factor), round(pose.size[1] * factor)))


def assert_same(found, expected, where):
    """Equal where seen, to the precision of float32 coordinates as large as these."""
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[where], expected[where], rtol=0, atol=2e-6 * (1 + np.abs(found).max()))


@pytest.mark.parametrize("method", [retarget, grounded, align, fit, *MEASURED])
@settings(max_examples=40, deadline=None)
@given(
    crowds(), st.tuples(st.integers(-2000, 2000), st.integers(-2000, 2000)), st.sampled_from([0.25, 2.0, 8.0])
)  # fmt: skip
def test_only_the_references_picture_matters(method, crowd, shift, factor):
    """Where the driver is in its picture and how large changes nothing; the result moves and grows with the reference."""
    driver, source = crowd
    where, result = seen(driver), method(driver, source)
    np.testing.assert_array_equal(result.scores, driver.scores)
    assert result.size == source.size
    for other, expected in (
        (method(moved(driver, shift=shift), source), result),
        (method(moved(driver, factor), source), result),
        (method(driver, moved(source, factor, shift)), moved(result, factor, shift)),
    ):
        assert_same(other.keypoints[:, 0], expected.keypoints[:, 0], where)


@pytest.mark.parametrize("method", MEASURED)
@settings(max_examples=40, deadline=None)
@given(crowds())
def test_ones_own_proportions_change_nothing(method, crowd):
    """cur == init == src, whatever is missing where."""
    driver, source = crowd
    still = PoseTrack(np.repeat(source.keypoints, FRAMES, 0), driver.scores, source.size)
    if seen(still)[:, 1].any():
        assert_same(method(still, source).keypoints[:, 0], still.keypoints[:, 0], seen(still))


def median_length(pose, bone):
    """Over the frames that show it; NaN if none does."""
    a, b = bone
    if max(bone) >= pose.keypoints.shape[2]:
        return np.nan
    both = seen(pose)[:, a] & seen(pose)[:, b]
    points = pose.keypoints[both, 0].astype(np.float64)
    return np.median(np.linalg.norm(points[:, a] - points[:, b], axis=-1)) if both.any() else np.nan


def shortest(lengths):
    """A tenth of neck to nose, or of the median bone."""
    typical = np.nanmedian(list(lengths.values())) if np.isfinite(list(lengths.values())).any() else 0
    return 0.1 * (lengths[0] if lengths[0] > 0.1 * typical else typical)


def assert_scaled(driver, result, ratios, body_ratio):
    """Every seen joint hangs on its parent, or else on the next seen ancestor: in the driver's direction, at the driver's
    distance times ratios[joint], a number or one for each frame, or times body_ratio."""
    points, known = np.nan_to_num(driver.keypoints[:, 0].astype(np.float64), posinf=0), seen(driver)
    found, rows = result.keypoints[:, 0].astype(np.float64), np.arange(FRAMES)
    assert np.isfinite(found).all()
    for joint in {*range(points.shape[1])} - {1}:
        anchor = np.full(FRAMES, TREE[joint])
        for _ in range(6):  # the longest way to the neck
            anchor = np.where((anchor == 1) | known[rows, anchor], anchor, TREE[anchor])
        ratio = np.where(anchor == TREE[joint], ratios[joint], body_ratio)
        where = known[:, joint] & known[rows, anchor]  # an unseen neck has no place to compare with
        expected = ratio[:, None] * (points[:, joint] - points[rows, anchor])
        difference = found[:, joint] - found[rows, anchor] - expected
        assert np.abs(difference[where]).max(initial=0) < 1e-5 * (1 + np.abs(found).max()), joint


@settings(max_examples=30, deadline=None)
@given(crowds())
def test_full_scales_every_bone_and_what_it_carries_as_documented(crowd):
    driver, source = crowd
    i, s = ({k: median_length(pose, (k, p)) for k, p in BONES} for pose in crowd)
    usable = [k for k, _ in BONES if s[k] > shortest(s) and i[k] > shortest(i)]
    body_ratio = sum(s[k] for k in usable) / sum(i[k] for k in usable) if usable else 1
    ratios = dict.fromkeys(range(WHOLE_BODY), body_ratio) | {k: s[k] / i[k] for k in usable}
    if shoulders := [ratios[k] for k in (2, 5) if k in usable]:
        bounded = np.clip(body_ratio, np.mean(shoulders) / 1.3, np.mean(shoulders) * 1.3)
        ratios |= {k: bounded for k in range(8, 14) if k not in usable}
    ratios |= {k: ratios[ankle] for ankle, toes in ((13, (18, 19, 20)), (10, (21, 22, 23))) for k in toes}
    head = np.mean([ratios[k] for k in (14, 15, 16, 17) if k in usable] or [ratios[0]])
    ratios |= dict.fromkeys([k for k in (14, 15, 16, 17) if k not in usable], head) | dict.fromkeys(range(24, 92), head)
    arms = [k for k in (4, 7) if k in usable]
    hand = max(s[k] for k in arms) / max(i[k] for k in arms) if arms else body_ratio
    ratios |= dict.fromkeys(range(92, 134), hand)
    for k in usable:  # |s| g / |c|; the nose has g = 1
        c = np.maximum(length(np.nan_to_num(driver.keypoints[:, 0], posinf=0), k), 1e-9)
        ratios[k] = s[k] * np.minimum(c / i[k], 1.1) / c
    if s[0] > 0:
        ratios[0] = s[0] / np.maximum(length(np.nan_to_num(driver.keypoints[:, 0], posinf=0), 0), 1e-9)
    assert_scaled(driver, MEASURED[0](driver, source), ratios, body_ratio)


@settings(max_examples=30, deadline=None)
@given(crowds())
def test_align_scales_every_part_and_fit_everything_as_documented(crowd):
    driver, source = crowd
    i, s = ({k: median_length(pose, (k, p)) for k, p in BONES} for pose in crowd)
    both = [k for k, _ in BONES if i[k] > 0 and s[k] > 0]
    body_ratio = sum(s[k] for k in both) / sum(i[k] for k in both) if both else 1
    assert_scaled(driver, MEASURED[2](driver, source), dict.fromkeys(range(WHOLE_BODY), body_ratio), body_ratio)

    parts = {
        (0,): [(1, 0)], (2, 5): [(2, 5)], (3, 6): [(2, 3), (5, 6)], (4, 7): [(3, 4), (6, 7)],
        (8, 11): [(1, 8), (1, 11)], (9, 12): [(8, 9), (11, 12)], (10, 13, *range(18, 24)): [(9, 10), (12, 13)],
        (14, 15, 16, 17, *range(24, 92)): [(0, 14), (0, 15), (14, 16), (15, 17)],
        tuple(range(92, 134)): [(92, 97), (92, 109), (97, 109), (113, 118), (113, 130), (118, 130)],
    }  # fmt: skip
    measured = {}
    for joints, bones in parts.items():
        pairs = [(median_length(driver, bone), median_length(source, bone)) for bone in bones]
        measured[joints] = [b / a for a, b in pairs if a > shortest(i) and b > shortest(s)]
    known = [np.mean(found) for found in measured.values() if found]
    others = np.mean(known) if known else body_ratio
    ratios = {k: np.mean(found) if found else others for joints, found in measured.items() for k in joints}
    if shoulders := measured[2, 5]:
        bounded = np.clip(others, np.mean(shoulders) / 1.3, np.mean(shoulders) * 1.3)
        ratios |= {
            k: bounded for joints, found in measured.items() if joints[0] in range(8, 14) and not found for k in joints
        }
    assert_scaled(driver, MEASURED[1](driver, source), ratios, body_ratio)


def test_unforeshortened_bones_get_exactly_the_references_length():
    rng = np.random.default_rng(1)
    turned = standing(frames=4)
    for k, parent in sorted(BONES, key=lambda b: (b[0] > 13, b[0])):  # new directions, old lengths
        angle = rng.uniform(0, 2 * np.pi, 4)
        turned[:, k] = turned[:, parent] + length(standing(), k) * np.stack([np.cos(angle), np.sin(angle)], -1)
    chibi = standing(300)[0]
    chibi[[8, 11]] -= (0, 60)
    chibi[[9, 10, 12, 13]] -= (0, 90)
    result = retarget(track(turned), track(chibi, size=(300, 200)))
    assert result.size == (300, 200)
    for k, _ in BONES:
        np.testing.assert_allclose(length(result.keypoints[:, 0], k), length(chibi, k), rtol=1e-4)


def test_median_survives_a_bad_first_frame_and_an_occluded_limb():
    frames = standing(frames=9)
    frames[0] *= 0.3
    scores = np.ones((9, 18), np.float32)
    frames[:4, 4], scores[:4, 4] = 0, 0  # the right wrist is hidden at first
    result = retarget(track(frames, scores=scores), track(standing(256)[0], size=(256, 256)))
    np.testing.assert_allclose(result.keypoints[4:, 0], np.repeat(standing(256), 5, axis=0), atol=1e-3)


def test_the_longer_side_is_taken_for_both():
    source = standing()[0]
    source[4] = source[3] + (source[4] - source[3]) / 2
    for believable, factor in ((True, 1), (False, 0.5)):
        result = retarget(track(standing()), track(source), believable=believable).keypoints[0, 0]
        assert length(result, 4) == pytest.approx(factor * length(standing()[0], 4), rel=1e-5)


def shortened(points, joints, share):
    """Bones that end in `joints` turned towards the camera, with all that hangs on them."""
    points = points.copy()
    for joint in joints:
        shift = (share - 1) * bone(points, joint)
        hanging = [joint]
        hanging += [k for k in OUTWARDS if PARENTS[k] in hanging and k not in hanging]
        hanging += [k for k in OUTWARDS if PARENTS[k] in hanging and k not in hanging]
        points[..., hanging, :] += shift[..., None, :]
    return points


ARMS, THIGHS = (3, 4, 6, 7), (9, 12)


@pytest.mark.parametrize("method", [retarget, align])
def test_arms_at_the_camera_in_the_reference_are_no_short_arms(method):
    """Neither one, which has the other, nor both, which get a person's: within a third of those of this figure."""
    driver = track(standing(frames=3))
    for joints, tolerance in (((3, 4), 1e-3), ((4, 7), 0.25), (ARMS, 0.35)):
        result = method(driver, track(shortened(standing(256)[0], joints, 0.1))).keypoints[0, 0]
        for k in ARMS:
            assert length(result, k) == pytest.approx(length(standing(256)[0], k), rel=tolerance), joints


@pytest.mark.parametrize("method", [retarget, align])
def test_who_sits_in_the_reference_has_thighs_as_long_as_the_shins_say(method):
    result = method(track(standing(frames=3)), track(shortened(standing(256)[0], THIGHS, 0.2))).keypoints[0, 0]
    for k in (9, 10, 12, 13):
        assert length(result, k) == pytest.approx(length(standing(256)[0], k), rel=0.2)


@pytest.mark.parametrize("share", [0.4, 2.5])
@pytest.mark.parametrize("joints", [ARMS, (9, 10, 12, 13), (2, 5)])
def test_characters_may_have_short_and_long_limbs(joints, share):
    """As drawn ones have: all bones of a limb alike, on both sides."""
    source = shortened(standing(256)[0], joints, share)
    result = retarget(track(standing(frames=3)), track(source)).keypoints[0, 0]
    for k, _ in BONES:
        assert length(result, k) == pytest.approx(length(source, k), rel=1e-3)
    assert turned_to_the_camera(track(source)) == []


def test_what_points_at_the_camera_is_named():
    source = standing(256)[0]
    assert turned_to_the_camera(track(shortened(source, (3, 4), 0.1))) == []  # the other arm tells
    assert turned_to_the_camera(track(shortened(source, ARMS, 0.1))) == ["arms"]
    assert turned_to_the_camera(track(shortened(source, THIGHS, 0.2))) == ["legs"]
    assert turned_to_the_camera(track(source)) == []


def test_arms_that_point_at_the_camera_most_of_the_time_stay_short():
    """They are a little above the shoulder in the picture: drawn in full they would be overhead."""
    frames = np.repeat(standing(), 10, axis=0)
    for k in ARMS:
        frames[:8, k] = frames[:8, PARENTS[k]] + (0, -0.12 * length(standing()[0], k))
    result = retarget(track(frames), track(standing(256)[0])).keypoints[:, 0]
    for k in ARMS:
        full = length(standing(256)[0], k)
        np.testing.assert_allclose(length(result[:8], k), 0.12 * full, rtol=0.05)
        np.testing.assert_allclose(length(result[8:], k), full, rtol=0.05)


@pytest.mark.parametrize("method", [retarget, align, fit])
def test_a_half_figure_and_a_driver_with_folded_arms_give_no_long_trunk(method):
    """Arms that the driver folds are no measure of the body, nor is the large head of a drawing."""
    driver = track(shortened(standing(frames=3), ARMS, 0.12))
    scores = np.ones((1, 18), np.float32)
    scores[:, 8:14] = 0
    large_head = standing(256)[0]
    large_head[[0, 14, 15, 16, 17]] = large_head[1] + 3 * (large_head[[0, 14, 15, 16, 17]] - large_head[1])
    for source in (standing(256)[0], large_head):
        result = method(driver, track(source, scores=scores)).keypoints[0, 0]
        if method is not fit or source is not large_head:  # there is one scale for all
            by_shoulders = length(source, 2) / length(standing()[0], 2)
            for k in range(8, 14):
                assert length(result, k) / length(standing()[0], k) < 1.31 * by_shoulders


@settings(max_examples=40, deadline=None)
@given(crowds())
def test_what_is_believed_is_never_shorter_than_what_was_measured(crowd):
    for pose in crowd:
        lengths = np.array([median_length(pose, (k, PARENTS[k])) if PARENTS[k] >= 0 else 0.0 for k in range(18)])
        believed = _believable(lengths)
        np.testing.assert_array_equal(np.isnan(believed), np.isnan(lengths))
        assert (believed[~np.isnan(lengths)] >= lengths[~np.isnan(lengths)]).all()
        np.testing.assert_allclose(_believable(4 * lengths), 4 * believed)


def test_the_neck_travels_scaled_by_the_body_from_the_references_place():
    walk = standing(frames=3) + np.array([-40, 0, 40])[:, None, None] * (1, 0)
    result = retarget(track(walk), track(standing(256)[0] + (10, 0))).keypoints[:, 0, 1]
    np.testing.assert_allclose(result - standing(256)[0, 1] - (10, 0), [(-20, 0), (0, 0), (20, 0)], atol=1e-3)


def wide(points, factor):
    """Hips and legs so many times as far from the middle of the hips."""
    aside = (factor - 1) * (points[..., 11, :] - points[..., 8, :])[..., None, :] / 2
    points = points.copy()
    points[..., 8:11, :] -= aside
    points[..., 11:14, :] += aside
    return points


def test_grounded_hips_are_as_wide_as_the_references_and_the_trunk_as_long():
    source = wide(standing(256)[0], 3)
    result = grounded(track(standing(frames=3)), track(source)).keypoints[:, 0]
    np.testing.assert_allclose(result, [source] * 3, atol=0.01)
    narrow = retarget(track(standing(frames=3)), track(source)).keypoints[0, 0]
    assert np.abs(narrow[[8, 11]] - source[[8, 11]]).max() > 5  # from the neck alone they come too close together
    turned = standing(frames=5) + 0.0
    turned[3] = wide(turned[3], 0)  # a frame in profile
    assert grounded(track(turned), track(source)).keypoints[3, 0, 8, 0] == pytest.approx(
        source[[8, 11], 0].mean(), abs=0.01
    )


@pytest.mark.parametrize("who", ["driver", "reference"])
def test_hips_seen_from_the_side_say_nothing_of_their_width(who):
    side, front = wide(standing()[0], 0.1), standing()[0]
    driving, source = (side, front) if who == "driver" else (front, side)
    result = grounded(track([driving] * 3), track(source)).keypoints[0, 0]
    trunks = [np.linalg.norm(pose[[8, 11]].mean(0) - pose[1]) for pose in (driving, result)]
    widths = [np.linalg.norm(pose[8] - pose[11]) for pose in (driving, result)]
    assert widths[1] / widths[0] == pytest.approx(trunks[1] / trunks[0], rel=0.01)


def test_grounded_feet_stay_on_the_references_ground():
    def short_legs(points):
        points = points.copy()
        points[..., [9, 10, 12, 13], 1] -= 0.5 * (points[..., [9, 10, 12, 13], 1] - points[..., [8, 8, 11, 11], 1])
        return points

    walk = standing(frames=9)
    walk[3, :, 1] -= 60  # a jump
    walk[5, [*range(10), 11, 12, *range(14, 18)], 1] += 50  # down on the knees, the ankles where they were
    driver, source = track(walk), short_legs(standing(256)[0]) + (7, 11)
    feet = grounded(driver, track(source)).keypoints[:, 0, [10, 13], 1].max(1)
    ground = source[[10, 13], 1].max()
    np.testing.assert_allclose(feet[[0, 1, 2, 4, 5, 6, 7, 8]], ground, atol=0.01)
    assert ground - 60 < feet[3] < ground - 20
    floats = retarget(driver, track(source)).keypoints[:, 0, [10, 13], 1].max(1)
    assert abs(floats[5] - floats[0]) > 5  # from the neck alone


def test_grounded_is_full_where_hips_and_ankles_are_not_seen():
    scores = np.ones((FRAMES, 18), np.float32)
    scores[:, [8, 10, 13]] = 0
    driver, source = track(standing(frames=FRAMES, wobble=0.02), scores=scores), track(standing(256, wobble=0.02)[0])
    np.testing.assert_array_equal(grounded(driver, source).keypoints, retarget(driver, source).keypoints)
    seldom = np.ones((FRAMES, 18), np.float32)
    seldom[: FRAMES - 2, [10, 13]] = 0  # two of eight frames do not say where the ground is
    shown = track(standing(frames=FRAMES, wobble=0.02), scores=seldom)
    results = (method(shown, source).keypoints[:, 0, 1, 1] for method in (grounded, retarget))
    np.testing.assert_array_equal(*results)


def test_grounded_bridges_frames_without_ankles():
    walk, scores = standing(frames=5), np.ones((5, 18), np.float32)
    scores[2, [10, 13]] = 0
    whole, gap = (grounded(track(walk, scores=s), track(wide(standing(256)[0], 2))) for s in (None, scores))
    np.testing.assert_allclose(gap.keypoints, whole.keypoints, atol=0.01)


def test_a_joint_whose_parent_is_missing_hangs_on_the_next_one():
    scores = np.ones((3, 18), np.float32)
    scores[1, 3] = 0
    frames = standing(frames=3)
    frames[1, 3] = -1000
    result = retarget(track(frames, scores=scores), track(standing(256)[0]))
    np.testing.assert_allclose(result.keypoints[1, 0, 4], standing(256)[0, 4], atol=0.01)


def test_a_missing_neck_is_bridged():
    walk = standing(frames=3) + np.array([0, 40, 80])[:, None, None] * (1, 0)
    scores = np.ones((3, 18), np.float32)
    scores[1, 1], walk[1, 1] = 0, 0
    result = retarget(track(walk, scores=scores), track(standing()[0]))
    np.testing.assert_allclose(result.keypoints[1, 0] - result.keypoints[0, 0], np.full((18, 2), (40, 0)), atol=0.01)


def test_hands_feet_and_face_go_with_their_joint_and_its_scale():
    rng = np.random.default_rng(0)
    whole = np.concatenate([standing()[0], np.zeros((116, 2))])
    for joints, carrier in ((slice(18, 21), 13), (slice(21, 24), 10), (slice(24, 92), 0), (slice(92, 113), 7)):
        whole[joints] = whole[carrier] + rng.normal(0, 10, whole[joints].shape)
    whole[113:] = whole[4] + rng.normal(0, 10, (21, 2))
    for method in (retarget, align, fit):
        result = method(track(whole), track(standing(256)[0])).keypoints[0, 0]
        np.testing.assert_allclose(result, whole / 2, atol=0.01)


def test_align_scales_each_part_by_its_own_ratio():
    source = standing()[0]
    for k in (4, 7):  # lower arms twice as long
        source[k] = source[PARENTS[k]] + 2 * bone(standing()[0], k)
    source[[9, 10, 12, 13]] -= (0, 50)  # upper legs shorter
    frames = standing(frames=5, wobble=0.005)
    frames[0] *= 0.2
    result = align(track(frames), track(source)).keypoints[:, 0]
    medians = [np.median(length(frames, k)) for k in (4, 7)]
    expected = np.mean([length(source, k) / m for k, m in zip((4, 7), medians)])
    np.testing.assert_allclose(length(result, 4), expected * length(frames, 4), rtol=1e-4)
    np.testing.assert_allclose(np.median(result[:, 1], axis=0), source[1], atol=0.01)


def whole_body(body, head=10.0, hand=10.0):
    """A standing person with face and hands: the face a circle about the nose, each hand a triangle of palm and fingers."""
    points = np.concatenate([body, np.zeros((WHOLE_BODY - 18, 2))])
    points[FEET] = points[[13] * 3 + [10] * 3] + (0, 5)
    angle = np.arange(68)[:, None] * np.pi / 34
    points[FACE] = points[0] + head * np.concatenate([np.cos(angle), np.sin(angle)], 1)
    fan = np.array([(0, 0), *((x, y) for x in (-2, -1, 0, 1, 2) for y in (2, 3, 4, 5))]) * hand / 4
    points[LEFT_HAND], points[RIGHT_HAND] = points[7] + fan, points[4] + fan
    return points


def test_align_measures_the_head_by_bones_that_a_profile_keeps():
    """Seen from the side both ears are in one place; that is no small head."""
    profile = standing(256)[0]
    profile[[15, 17]] = profile[[14, 16]] + (1, 0)
    frontal = standing(256)[0]
    result = align(track(whole_body(profile)), track(whole_body(frontal))).keypoints[0, 0]
    radius = np.linalg.norm(result[FACE] - result[0], axis=-1)
    assert 9 < radius.min() <= radius.max() < 13
    assert np.linalg.norm(result[16] - result[14]) < 1.3 * length(frontal, 16)


def test_align_measures_hands_by_palms():
    """A fist or a pointing hand shortens one direction, seldom all; here the palm lies, and its width says how large it is."""
    source, driver = whole_body(standing(256)[0], hand=20), whole_body(standing(256)[0])
    for hand in (LEFT_HAND, RIGHT_HAND):
        source[hand, 1] = source[hand.start, 1] + 0.2 * (source[hand, 1] - source[hand.start, 1])
    result = align(track(driver), track(source)).keypoints[0, 0]
    assert 1 < np.ptp(result[LEFT_HAND], axis=0).max() / np.ptp(driver[LEFT_HAND], axis=0).max() < 2


@pytest.mark.parametrize("joint", [4, 13, 14])
@pytest.mark.parametrize("who", ["driver", "reference"])
@pytest.mark.parametrize("nose", [True, False])
@pytest.mark.parametrize("method", [align, retarget])
def test_a_bone_that_points_at_the_camera_scales_nothing(joint, who, nose, method):
    """Nor what hangs on it: hands, feet, face, or the other side; whether or not there is a nose to compare with."""
    body = standing(256, frames=3)
    short = body.copy()
    shift = body[:, PARENTS[joint]] + (0.01, 0) - body[:, joint]
    for k in (joint, 16) if joint == 14 else (joint,):  # the ear goes with the eye
        short[:, k] += shift
    driver, source = (short, body) if who == "driver" else (body, short)
    driver, source = (np.stack([whole_body(p) for p in points]) for points in (driver, source))
    scores = np.ones((3, WHOLE_BODY), np.float32)
    scores[:, 0] = nose
    result = method(track(driver, scores=scores), track(source[0], scores=scores[:1])).keypoints[:, 0]
    for part in (LEFT_HAND, RIGHT_HAND, FACE, FEET):
        for size, original in zip(np.ptp(result[:, part], axis=1), np.ptp(driver[:, part], axis=1)):
            np.testing.assert_allclose(size, original, rtol=0.3, atol=1e-3)
    unseen = set() if nose else {0, 14, 15}
    for k in {k for k, _ in BONES} - {joint} - unseen:
        np.testing.assert_allclose(length(result, k), length(driver, k), rtol=0.3)


def test_a_foreshortened_arm_makes_no_large_hand():
    body = standing(256, frames=3)
    body[:, 7] = body[:, 6] + 0.3 * (body[:, 7] - body[:, 6])
    driver = np.stack([whole_body(p) for p in body])
    result = retarget(track(driver), track(whole_body(standing(256)[0]))).keypoints[:, 0]
    for hand in (LEFT_HAND, RIGHT_HAND):
        np.testing.assert_allclose(np.ptp(result[:, hand], axis=1), np.ptp(driver[:, hand], axis=1), rtol=0.01)


def test_eyes_that_the_reference_does_not_show_stay_in_the_face():
    """A drawing often has neither ears nor eyes that a detector finds: its large head is large all over."""
    source = standing(256)[0]
    source[0] = source[1] + 3 * (source[0] - source[1])
    scores = np.ones((1, WHOLE_BODY), np.float32)
    scores[:, HEAD] = 0
    driver = whole_body(standing(256)[0])
    result = retarget(track(driver), track(whole_body(source), scores=scores)).keypoints[0, 0]
    for part in (HEAD, FACE):
        np.testing.assert_allclose(result[part] - result[0], 3 * (driver[part] - driver[0]), atol=0.01)


def test_a_nose_on_the_neck_is_no_measure_of_the_head():
    body = standing(256)[0]
    body[0] = body[1] + (0, 0.01)  # looking down at the feet
    scores = np.ones((1, WHOLE_BODY), np.float32)
    scores[:, HEAD] = 0
    result = retarget(track(whole_body(body), scores=scores), track(whole_body(standing(256)[0]))).keypoints[0, 0]
    np.testing.assert_allclose(np.ptp(result[FACE], axis=0), 20, rtol=0.3)


def test_align_gives_unknown_parts_the_mean_of_the_known():
    scores = np.ones((1, 18), np.float32)
    scores[:, [9, 10, 12, 13]] = 0
    result = align(track(standing()), track(standing(256), scores=scores)).keypoints[0, 0]
    np.testing.assert_allclose(result, standing(256)[0], atol=0.01)


def test_fit_keeps_the_drivers_proportions():
    driver = standing(frames=3, wobble=0.02) + (30, 50)
    result = fit(track(driver), track(standing(256)[0])).keypoints[:, 0].astype(np.float64)
    scales = [length(result, k) / length(driver, k) for k, _ in BONES]
    np.testing.assert_allclose(scales, np.mean(scales), rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_people_are_retargeted_one_by_one(method):
    drivers = [track(standing(frames=4, wobble=0.02, seed=seed) + (80 * seed, 0)) for seed in range(3)]
    characters = [track(standing(200 + 60 * seed) + (50 * seed, 0), size=(400, 300)) for seed in range(3)]

    def together(tracks):
        return PoseTrack(
            np.concatenate([t.keypoints for t in tracks], 1), np.concatenate([t.scores for t in tracks], 1), tracks[0].size
        )  # fmt: skip

    result = retarget_people(together(drivers), together(characters), method)
    assert result.people == 3
    assert result.size == (400, 300)
    for i, (driver, character) in enumerate(zip(drivers, characters)):
        np.testing.assert_array_equal(result.person(i).keypoints, METHODS[method](driver, character).keypoints)
    swapped = retarget_people(together(drivers), together(characters[::-1]), method)
    assert np.abs(swapped.keypoints[:, 0] - result.keypoints[:, 0]).max() > 10
    np.testing.assert_array_equal(swapped.keypoints[:, 1], result.keypoints[:, 1])


def test_people_without_their_counterpart_or_place_are_named():
    two = PoseTrack(np.repeat(track(standing()).keypoints, 2, 1), np.ones((1, 2, 18), np.float32), (512, 512))
    with pytest.raises(BunrakuError, match="2 driving people for 1 characters; each character needs its own driver"):
        retarget_people(two, two.person(0))
    nobody = PoseTrack(np.zeros((1, 0, 18, 2), np.float32), np.zeros((1, 0, 18), np.float32), (512, 512))
    with pytest.raises(BunrakuError, match="0 driving people for 0 characters"):
        retarget_people(nobody, nobody)
    two.scores[0, 1, 1] = 0
    with pytest.raises(BunrakuError, match=r"^person 1: no neck was found in the driving video"):
        retarget_people(two, PoseTrack(two.keypoints, np.ones_like(two.scores), two.size))
    with pytest.raises(BunrakuError, match=r"^no neck was found"):
        retarget_people(two.person(1), two.person(0))


def test_errors_say_what_to_do():
    scores = np.ones((1, 18), np.float32)
    scores[:, [1, 10]] = 0
    with pytest.raises(BunrakuError, match=r"no neck was found in the reference image.*shoulders are visible"):
        retarget(track(standing()), track(standing(), scores=scores))
    with pytest.raises(BunrakuError, match=r"2 frames with 1 people.*track\.person"):
        align(track(standing()), track(standing(frames=2)))


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "start"), [("dance_plain.mp4", 0), ("two_people.mp4", 24)])
@pytest.mark.parametrize("character", ["cartoon.png", "photo_woman.png"])
@pytest.mark.parametrize("method", METHODS)
def test_real_faces_and_hands_get_the_size_of_the_references(assets, driver, start, character, method):
    """A dancer seen from the front, her left lower arm foreshortened, and a man whose head is turned aside."""
    pose, own = driven(assets / "drivers" / driver, start), still(assets / "references" / character)
    result = METHODS[method](pose, own)
    compared = 0
    for part, most in ((FACE, 1.4), (LEFT_HAND, 1.7), (RIGHT_HAND, 1.7)):
        size, expected = spread(result, part), spread(own, part)
        if not np.isnan(size * expected):
            compared += 1
            assert 1 / most < size / expected < most
        for joint, root in ((7, LEFT_HAND.start), (4, RIGHT_HAND.start)):  # and hands stay at their wrists
            distance = [
                median_length(p, (joint, root)) / median_length(p, (joint, PARENTS[joint])) for p in (pose, result)
            ]
            assert np.isnan(distance[0]) or distance[1] < 1.7 * distance[0] + 0.05
    assert compared


@cache
def driven(clip, start):
    pytest.importorskip("ai_edge_litert")
    options = MotionOptions(detector="mediapipe", start=start, stop=start + 12)
    return open_driving(clip, options).followed(options).pose


@cache
def still(picture):
    pytest.importorskip("ai_edge_litert")
    return reference_pose(read_image(picture), picture, "mediapipe")


def spread(pose, part):
    """How large a part is: root mean square distance from its middle, median over the frames that show all of it."""
    points = pose.keypoints[seen(pose)[:, part].all(-1), 0, part].astype(np.float64)
    around = points - points.mean(1, keepdims=True)
    return np.median(np.sqrt((around**2).sum(-1).mean(-1))) if len(points) else np.nan
