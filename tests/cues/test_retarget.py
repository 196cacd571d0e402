import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.cues.retarget import align, fit, retarget
from bunraku.errors import BunrakuError
from bunraku.perception.pose import PARENTS, WHOLE_BODY, PoseTrack

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
    """TCAN's Algorithm 1 with METHODS' corrections, one frame, one bone at a time, every descendant moved."""

    def descendants(k):
        return [k, *(d for child in range(18) if PARENTS[child] == k for d in descendants(child))]

    new = cur.astype(np.float64).copy()
    g = {k: np.clip(length(cur, k) / length(init, k), 0, 1.1) for k, _ in BONES}
    r0 = length(src, 0) / length(new, 0)
    new[[0, 14, 15, 16, 17]] += (r0 - 1) * bone(new, 0)
    for k in (2, 5, 8, 11, 14, 15, 3, 6, 9, 12, 16, 17, 4, 7, 10, 13):
        step = (length(src, k) / length(new, k) * g[k] - 1) * bone(new, k)
        new[descendants(k)] += step
    return new + src[1] + (cur[1] - init[1]) * (length(src, 0) / length(init, 0)) - new[1]


poses = st.integers(0, 2**32 - 1).map(lambda seed: standing(wobble=0.03, seed=seed)[0])
moves = st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.2, 4))


@settings(max_examples=50, deadline=None)
@given(poses, poses, poses, moves)
def test_is_algorithm_1(init, cur, src, move):
    src = src * move[2] + move[:2]
    result = retarget(track([init, cur]), track(src), initial="first", symmetric=False).keypoints[1, 0]
    usable = all(length(src, k) > 0.11 * length(src, 0) and length(init, k) > 0.11 * length(init, 0) for k, _ in BONES)
    if usable:
        np.testing.assert_allclose(result, algorithm_1(cur, init, src), atol=0.01)


@settings(max_examples=50, deadline=None)
@given(poses, poses, poses, moves)
def test_direction_is_the_drivers_and_length_the_references_times_foreshortening(init, cur, src, move):
    src = src * move[2] + move[:2]
    result = retarget(track([init, cur]), track(src), initial="first", symmetric=False).keypoints[1, 0]
    for k, _ in BONES:
        if min(length(src, k) / length(src, 0), length(init, k) / length(init, 0)) < 0.11 or length(cur, k) < 1:
            continue
        direction = bone(cur, k) / length(cur, k)
        g = 1 if k == 0 else min(length(cur, k) / length(init, k), 1.1)
        np.testing.assert_allclose(bone(result, k), direction * length(src, k) * g, atol=0.01)


@settings(max_examples=25, deadline=None)
@given(poses)
def test_same_pose_everywhere_is_the_identity(pose):
    for symmetric in (False, True):
        pose = (pose + pose[[0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]] * (-1, 1) + (512, 0)) / 2
        for initial in ("first", "median"):
            result = retarget(track([pose] * 3), track(pose), initial=initial, symmetric=symmetric)
            np.testing.assert_allclose(result.keypoints, track([pose] * 3).keypoints, atol=1e-3)
    for method in (align, fit):
        np.testing.assert_allclose(method(track([pose] * 3), track(pose)).keypoints[:, 0], [pose] * 3, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([18, WHOLE_BODY]),
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, 1e4]),
    st.booleans(),
)
def test_missing_joints_and_zero_lengths_never_give_nan(seed, joints, missing, spread, nan):
    rng = np.random.default_rng(seed)
    driver, source = rng.uniform(0, 1, (5, joints, 2)) * spread, rng.uniform(0, 1, (1, joints, 2)) * spread
    scores, source_scores = rng.random((5, joints)) >= missing, rng.random((1, joints)) >= missing
    scores[rng.integers(5), 1] = source_scores[:, 1] = True
    if nan:
        driver[~scores], source[~source_scores] = np.nan, np.nan
    tracks = track(driver, scores=scores.astype(np.float32)), track(source, scores=source_scores.astype(np.float32))
    for result in (retarget(*tracks), retarget(*tracks, initial="first"), align(*tracks), fit(*tracks)):
        assert np.isfinite(result.keypoints).all()
        np.testing.assert_array_equal(result.scores, tracks[0].scores)


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
    gorilla = retarget(track(frames, scores=scores), track(standing(256)[0], size=(256, 256)), initial="first")
    assert length(gorilla.keypoints[5, 0], 10) == pytest.approx(1.1 * length(standing(256)[0], 10))


def test_symmetric_takes_the_longer_side():
    source = standing()[0]
    source[4] = source[3] + (source[4] - source[3]) / 2
    for symmetric, factor in ((True, 1), (False, 0.5)):
        result = retarget(track(standing()), track(source), symmetric=symmetric).keypoints[0, 0]
        assert length(result, 4) == pytest.approx(factor * length(standing()[0], 4), rel=1e-5)


def test_the_neck_travels_scaled_from_the_references_place():
    walk = standing(frames=3) + np.array([0, 40, 80])[:, None, None] * (1, 0)
    source = standing(256)[0] + (10, 0)
    source[[0, 14, 15, 16, 17]] = source[1] + 3 * (source[[0, 14, 15, 16, 17]] - source[1])  # a large head
    necks = {
        travel: retarget(track(walk), track(source), initial="first", travel=travel).keypoints[:, 0, 1] - source[1]
        for travel in ("neck", "body")
    }
    np.testing.assert_allclose(necks["neck"], [(0, 0), (60, 0), (120, 0)], atol=1e-3)
    assert 20 < necks["body"][1, 0] < 40


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
    result = retarget(track(walk, scores=scores), track(standing()[0]), initial="first")
    np.testing.assert_allclose(result.keypoints[1, 0], standing()[0] + (40, 0), atol=0.01)


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


def test_align_gives_unknown_parts_the_mean_of_the_known():
    scores = np.ones((1, 18), np.float32)
    scores[:, [9, 10, 12, 13]] = 0
    result = align(track(standing()), track(standing(256), scores=scores)).keypoints[0, 0]
    np.testing.assert_allclose(result, standing(256)[0], atol=0.01)


@pytest.mark.parametrize("method", [align, fit])
def test_feet_can_be_the_anchor(method):
    source = standing(256)[0]
    source[:8] -= (0, 20)
    result = method(track(standing(frames=3, wobble=0.01)), track(source), anchor="feet").keypoints[:, 0]
    np.testing.assert_allclose(np.median(result[:, [10, 13]].mean(1), axis=0), source[[10, 13]].mean(0), atol=0.01)


def test_fit_keeps_the_drivers_proportions():
    driver = standing(frames=3, wobble=0.02) + (30, 50)
    result = fit(track(driver), track(standing(256)[0])).keypoints[:, 0].astype(np.float64)
    scales = [length(result, k) / length(driver, k) for k, _ in BONES]
    np.testing.assert_allclose(scales, np.mean(scales), rtol=1e-3)


def test_errors_say_what_to_do():
    scores = np.ones((1, 18), np.float32)
    scores[:, [1, 10]] = 0
    with pytest.raises(BunrakuError, match=r"No neck was found in the reference image.*shoulders are visible"):
        retarget(track(standing()), track(standing(), scores=scores))
    with pytest.raises(BunrakuError, match=r"2 frames with 1 people.*track\.person"):
        align(track(standing()), track(standing(frames=2)))
    scores[:, 1] = 1
    with pytest.raises(BunrakuError, match="driving video shows no ankles"):
        fit(track(standing(), scores=scores), track(standing()), anchor="feet")
