"""The puppet warp as a whole: at rest it is the reference, it follows poses, and it goes on where they are incomplete."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import psnr
from bunraku.perception.pose import WHOLE_BODY, PoseTrack
from bunraku.puppet_warp import CutOut, PuppetWarp
from bunraku.puppet_warp.body import Body
from bunraku.puppet_warp.warp import _continued
from bunraku.theatre import Rendering, render, sample_scene


@cache
def puppet(seed: int = 0, people: int = 1, frames: int = 9) -> Rendering:
    return render(sample_scene(seed, "val", people=people), range(0, 2 * frames, 2), 128)


def warped(shown: Rendering, poses: PoseTrack, **settings: object) -> np.ndarray:
    """The first frame, moved; with its exact mask unless `settings` say otherwise."""
    settings = {"mask": shown.instances[0]} | settings
    return np.concatenate(list(PuppetWarp().stream(shown.frames[0], poses, shown.pose[:1], **settings)))  # type: ignore[arg-type]


def moved(pose: PoseTrack, move: np.ndarray | tuple[float, float]) -> PoseTrack:
    return replace(pose, keypoints=(pose.keypoints + np.asarray(move)).astype(np.float32))


def both(*poses: PoseTrack) -> PoseTrack:
    """One after the other."""
    keypoints, scores = (np.concatenate([getattr(pose, name) for pose in poses]) for name in ("keypoints", "scores"))
    return replace(poses[0], keypoints=keypoints, scores=scores)


def unseen(pose: PoseTrack, joints: list[int]) -> PoseTrack:
    scores, keypoints = pose.scores.copy(), pose.keypoints.copy()
    scores[..., joints] = 0
    keypoints[..., joints, :] = np.nan
    return replace(pose, scores=scores, keypoints=keypoints)


def test_held_out_puppets_are_much_nearer_to_the_truth_than_the_reference() -> None:
    gains = []
    for seed in range(6):
        shown = puppet(seed)
        truth, figure = shown.frames[1:], shown.character_mask[1:]
        made = warped(shown, shown.pose[1:])
        gains.append(
            np.mean(psnr(made, truth, figure) - psnr(np.broadcast_to(shown.frames[:1], truth.shape), truth, figure))
        )
    assert np.mean(gains) > 8
    assert min(gains) > 3


def test_most_found_figures_are_as_good_as_given_ones() -> None:
    losses = []
    for seed in range(6):
        shown = puppet(seed)
        given, found = (warped(shown, shown.pose[1:], **options) for options in ({}, {"mask": None}))
        truth, figure = shown.frames[1:], shown.character_mask[1:]
        losses.append(np.mean(psnr(given, truth, figure) - psnr(found, truth, figure)))
    assert np.median(losses) < 0.2  # a figure that is cut out wrongly is no matter of its edge


@pytest.mark.parametrize("seed", range(4))
def test_at_rest_it_is_the_reference(seed: int) -> None:
    shown = puppet(seed)
    made = warped(shown, both(shown.pose[:1], moved(shown.pose[:1], (9, 0))))[:1]
    assert psnr(made, shown.frames[:1])[0] > 30
    elsewhere = ~np.isin(shown.labels[0], (1,))
    far = np.ones_like(elsewhere)
    y, x = np.nonzero(~elsewhere)
    far[max(0, y.min() - 4) : y.max() + 5, max(0, x.min() - 4) : x.max() + 5] = False
    assert np.array_equal(made[0][far], shown.frames[0][far])


@pytest.mark.parametrize("seed", range(2))
def test_who_stays_is_what_the_still_shows(seed: int) -> None:
    """Two people, one of whom moves far away: the other is the still's to a level of rounding, wherever the first was not."""
    shown = puppet(seed, people=2)
    poses = shown.pose[:1]
    keypoints = poses.keypoints.copy()
    keypoints[:, 0] += (0, 400)
    made = warped(shown, replace(poses, keypoints=keypoints))[0]
    mine, others = (shown.instances[0] == number for number in (2, 1))
    inner = cv2.erode(mine.astype(np.uint8), np.ones((5, 5))) > 0
    inner &= cv2.dilate(others.astype(np.uint8), np.ones((7, 7))) == 0
    assert inner.sum() > 100
    assert np.abs(made[inner].astype(int) - shown.frames[0][inner]).max() <= 1
    assert psnr(made[None], shown.frames[:1], mine[None])[0] > 35
    gone = cv2.erode(others.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(made[gone & ~mine].astype(int) - shown.frames[0][gone & ~mine]).mean() > 10


def test_who_stays_goes_on_beneath_who_was_before_him() -> None:
    """A bar crosses a disc: when the bar's owner leaves, the disc is whole again, and the background is filled without the disc's colour."""
    from bunraku.puppet_warp.warp import _Resting

    y, x = np.mgrid[:100, :100]
    disc, bar = np.hypot(x - 50, y - 50) < 30, abs(x - 50) < 3
    picture = np.full((100, 100, 3), (200, 200, 190), np.uint8)
    picture[disc], picture[bar] = (40, 80, 160), (250, 20, 20)
    coverage, moved_away = (disc & ~bar).astype(np.float32), bar.astype(np.float32)
    layer = _Resting(picture, coverage, moved_away, puppet().pose)
    canvas = np.dstack([np.full((100, 100, 3), 200, np.float32), np.zeros((100, 100), np.float32)])
    layer.paint(canvas, 0)
    beneath = bar & (np.hypot(x - 50, y - 50) < 26)
    assert np.abs(canvas[beneath][:, :3] - (40, 80, 160)).max() < 6
    assert (canvas[bar & (np.hypot(x - 50, y - 50) > 34)][:, 3] == 0).all()


@settings(max_examples=12)
@given(st.integers(0, 3), st.integers(-12, 12), st.integers(-8, 8))
def test_a_shifted_pose_shifts_the_figure(seed: int, x: int, y: int) -> None:
    shown = puppet(seed)
    stage = np.full((128, 128, 3), 128, np.uint8)
    away = moved(shown.pose[:1], (9, 0))
    rest, made, _ = warped(shown, both(shown.pose[:1], moved(shown.pose[:1], (x, y)), away), background=stage)
    expected = np.full_like(stage, 128)
    expected[max(0, y) : 128 + min(0, y), max(0, x) : 128 + min(0, x)] = rest[
        max(0, -y) : 128 + min(0, -y), max(0, -x) : 128 + min(0, -x)
    ]
    inner = np.s_[12:-12, 12:-12]
    assert np.abs(made[inner].astype(int) - expected[inner]).max() <= 2


def test_half_a_pixel_counts() -> None:
    shown = puppet()
    poses = [moved(shown.pose[:1], (0.25 * i, 0)) for i in range(5)]
    track = replace(
        shown.pose,
        keypoints=np.concatenate([p.keypoints for p in poses]),
        scores=np.repeat(shown.pose.scores[:1], 5, 0),
    )
    made = warped(shown, track, background=np.zeros((128, 128, 3), np.uint8)).astype(float).mean(-1)
    centres = (made * np.arange(128)).sum((1, 2)) / made.sum((1, 2))
    assert np.allclose(np.diff(centres), 0.25, atol=0.05)


def test_a_larger_body_is_drawn_larger_all_over() -> None:
    shown = puppet()
    neck = shown.pose.keypoints[:1, :, 1:2]
    larger = replace(shown.pose[:1], keypoints=neck + np.float32(1.2) * (shown.pose.keypoints[:1] - neck))
    black = np.zeros((128, 128, 3), np.uint8)
    areas = [(warped(shown, pose, background=black)[0].max(-1) > 8).sum() for pose in (shown.pose[:1], larger)]
    assert areas[1] / areas[0] == pytest.approx(1.44, abs=0.08)


def test_the_same_frames_whatever_the_chunk() -> None:
    shown = puppet(2)
    chunks = list(PuppetWarp().stream(shown.frames[0], shown.pose[1:], shown.pose[:1], chunk=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    assert np.array_equal(np.concatenate(chunks), warped(shown, shown.pose[1:], mask=None, chunk=8))


def test_a_lost_forearm_keeps_its_angle_to_the_upper_arm() -> None:
    shown = puppet(1)
    complete = moved(shown.pose[:1], (1, 0))
    lost = unseen(complete, [3, 4, 7, 10, 15])
    assert np.abs(warped(shown, lost).astype(int) - warped(shown, complete)).max() <= 3


@pytest.mark.parametrize(
    "joints",
    [[8, 11], [2], [5, 8], [0, 14, 15, 16, 17], [16, 17], [1], [3, 4, 6, 7], [9, 10, 12, 13], [4, 7, 10, 13]],
    ids=str,
)
def test_joints_that_are_lost_for_a_while_or_throughout(joints: list[int]) -> None:
    shown = puppet(1)
    whole = warped(shown, shown.pose[1:])
    figure = shown.character_mask[1:]
    for lost in (unseen(shown.pose[1:], joints), unseen(shown.pose[1:], list(range(18)))):
        now_and_then = replace(
            shown.pose[1:],
            keypoints=np.concatenate([shown.pose.keypoints[1:5], lost.keypoints[4:]]),
            scores=np.concatenate([shown.pose.scores[1:5], lost.scores[4:]]),
        )
        made = warped(shown, now_and_then)
        assert psnr(made[:4], whole[:4]).min() > 30  # the body's scale is measured over the clip
        assert psnr(made, shown.frames[1:], figure).min() > 8
    if len(set(joints) & {1, 2, 5, 8, 11}) < 4:
        assert psnr(warped(shown, unseen(shown.pose[1:], joints)), shown.frames[1:], figure).min() > 8


@pytest.mark.parametrize(
    "joints", [[8, 9, 10, 11, 12, 13], [2, 3, 4], [5], [0, 14, 15, 16, 17], [2, 5], [9, 12], [2, 5, 0, 14, 15, 16, 17]], ids=str
)  # fmt: skip
def test_references_that_show_a_part_of_the_body(joints: list[int]) -> None:
    shown = puppet(1)
    rest = unseen(shown.pose[:1], joints)
    made = np.concatenate(list(PuppetWarp().stream(shown.frames[0], shown.pose[1:], rest, mask=shown.instances[0])))
    assert psnr(made, shown.frames[1:]).min() > 12  # still a figure of about its size


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_any_pose_can_be_drawn(seed: int) -> None:
    """Wild, degenerate, and outside the picture."""
    rng = np.random.default_rng(seed)
    shown = puppet(int(rng.integers(4)))
    points = rng.normal(64, 80, (3, 1, 18, 2)).astype(np.float32)
    points[1] = points[1, :, :1]
    points[2] = shown.pose.keypoints[0] * (1, 0)
    made = warped(shown, PoseTrack(points, np.ones((3, 1, 18), np.float32), (128, 128)))
    assert made.shape == (3, 128, 128, 3)


def test_a_bone_that_points_at_the_camera_comes_back() -> None:
    shown = puppet(1)
    short = shown.pose[:1].keypoints.copy()
    short[0, 0, 4] = short[0, 0, 3] + 0.01
    made = warped(shown, replace(shown.pose[:1], keypoints=short))
    assert psnr(made, shown.frames[:1])[0] > 15


def test_the_nearer_of_two_people_is_in_front() -> None:
    shown = puppet(3, people=2)
    near = int(shown.pose.keypoints[0, :, :, 1].max(1).argmax())
    far = 1 - near
    points = shown.pose.keypoints[:1].copy()
    points[0, far] += points[0, near, 1] - points[0, far, 1] - (0, 25)  # behind, head above head
    stage = np.zeros((128, 128, 3), np.uint8)
    both = warped(shown, replace(shown.pose[:1], keypoints=points), background=stage)[0]
    masks = shown.instances[0]
    alone = [
        np.concatenate(list(PuppetWarp().stream(
            shown.frames[0], PoseTrack(points[:, [i]], shown.pose.scores[:1, [i]], (128, 128)), shown.pose[:1].person(i),
            mask=masks == i + 1, background=stage,
        )))[0]
        for i in (near, far)
    ]  # fmt: skip
    covered = alone[0].max(-1) > 60
    inside = covered & (alone[1].max(-1) > 60)
    assert inside.sum() > 50
    assert np.abs(both[covered].astype(int) - alone[0][covered]).mean() < 12


def test_backgrounds_of_ones_own() -> None:
    shown = puppet()
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8).repeat(2, 1).repeat(2, 2)
    made = warped(shown, shown.pose[1:], background=frames)
    corner = np.s_[:, :8, :8]
    assert np.array_equal(made[corner], frames[corner])
    one = warped(shown, shown.pose[1:], background=frames[0])
    assert np.array_equal(one[3, :8, :8], frames[0, :8, :8])


def test_the_size_of_the_output_is_chosen_and_the_reference_cropped() -> None:
    shown = puppet(frames=3)
    made = warped(shown, shown.pose[1:], size=(96, 64))
    assert made.shape == (2, 96, 64, 3)
    scaled = warped(shown, shown.pose[1:], size=(256, 256))
    truth = render(sample_scene(0, "val"), (2, 4), 256)
    assert psnr(scaled, truth.frames, truth.character_mask).min() > 12


def test_whole_body_poses_and_hands() -> None:
    """134 keypoints: the hand's points keep it together where it lies on the body."""
    shown = puppet(1)
    keypoints, scores = np.zeros((9, 1, WHOLE_BODY, 2), np.float32), np.zeros((9, 1, WHOLE_BODY), np.float32)
    keypoints[:, :, :18], scores[:, :, :18] = shown.pose.keypoints, shown.pose.scores
    body = PoseTrack(keypoints, scores, (128, 128))
    made = np.concatenate(list(PuppetWarp().stream(shown.frames[0], body[1:], body[:1], mask=shown.instances[0])))
    assert np.array_equal(made, warped(shown, shown.pose[1:]))
    keypoints[:, 0, 113:134] = keypoints[:, 0, [4]] + np.linspace(0, 14, 21)[:, None]
    scores[:, 0, 113:134] = 1
    hand = np.concatenate(list(PuppetWarp().stream(shown.frames[0], body[1:], body[:1], mask=shown.instances[0])))
    assert not np.array_equal(hand, made)


def test_input_that_cannot_be_used() -> None:
    shown = puppet()
    reference, pose, poses, mask = shown.frames[0], shown.pose[:1], shown.pose[1:], shown.instances[0]
    two = PoseTrack(np.repeat(poses.keypoints, 2, 1), np.repeat(poses.scores, 2, 1), poses.size)
    nobody = PoseTrack(poses.keypoints[:, :0], poses.scores[:, :0], poses.size)
    stage = shown.background[0]
    for arguments, options, message in (
        ((reference.astype(float), poses, pose), {}, r"reference must be uint8 \(H, W, 3\), got float64"),
        ((reference[..., 0], poses, pose), {}, "reference must be uint8"),
        ((reference, shown.frames, pose), {}, "drawn skeletons have none; drive it with footage"),
        ((reference, poses, None), {}, "moves keypoints, of the driver and of the reference"),
        ((reference, poses, reference), {}, "moves keypoints"),
        ((reference, poses[:0], pose), {}, "nothing to animate: 0 frames of 1 people"),
        ((reference, nobody, pose), {}, "nothing to animate: 8 frames of 0 people"),
        ((reference, two, pose), {}, "show 2 people; the reference's pose must be one frame of as many, got 1 of 1"),
        ((reference, poses, shown.pose), {}, "got 9 of 1"),
        ((reference, poses, unseen(pose, [1])), {}, "does not show the neck of person 0"),
        ((reference, poses, unseen(pose, list(range(2, 14)))), {"mask": mask}, "two joints of the trunk of person 0 .* that the reference shows as well"),
        ((reference, unseen(poses, list(range(18))), pose), {}, "never show two joints of the trunk of person 0"),
        ((reference, poses, pose), {"mask": mask[1:]}, r"mask must be bool or uint8 \(128, 128\) as the reference, or uint8 \(1, 128, 128\)"),
        ((reference, poses, pose), {"mask": mask.astype(float)}, "got float64"),
        ((reference, poses, pose), {"mask": mask * 255}, "values 0, 255, and person p is where it is p"),
        ((reference, poses, pose), {"mask": mask * 0}, "does not show everybody: it has the values 0,"),
            ((reference, poses, pose), {"mask": np.zeros((1, 128, 128), np.uint8)}, "person 0 covers no pixel"),
        ((reference, two, replace(two[:1])), {"mask": mask > 0}, "a mask of 2 people must tell them apart"),
        ((reference, poses, pose), {"mask": mask, "background": stage[None]}, "1 frames, the driving poses have 8"),
        ((reference, poses, pose), {"mask": mask, "background": stage[..., 0]}, "background must be uint8"),
        ((reference, poses, pose), {"mask": mask, "background": stage / 255}, "got float64"),
    ):  # fmt: skip
        with pytest.raises(BunrakuError, match=message):
            next(PuppetWarp().stream(*arguments, **options))  # type: ignore[arg-type]


def test_a_real_dancer_moves_a_drawing(assets: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    from bunraku.animate.driving import perceive
    from bunraku.animate.options import MotionOptions
    from bunraku.animate.reference import reference_pose
    from bunraku.cues.perceive import follow
    from bunraku.cues.retarget import retarget
    from bunraku.media import read_image

    path = assets / "references" / "cartoon.png"
    image = read_image(path)
    pose = reference_pose(image, path, "mediapipe")
    driver = follow(
        perceive(assets / "drivers" / "dance_plain.mp4", MotionOptions(detector="mediapipe", stop=3)), 0
    ).pose
    assert driver is not None
    track = retarget(driver, pose)
    made = np.concatenate(list(PuppetWarp().stream(image, track, pose)))
    assert made.shape == (3, *image.shape)
    # the hand on the hip has gone down with the arm: where it was is dress or background
    x, y = pose.keypoints[0, 0, 4].astype(int)
    assert np.abs(made[0, y, x].astype(int) - image[y, x]).max() > 30
    assert np.abs(made[:, :20].astype(int) - image[:20]).max() < 3  # background above the head


def test_a_thin_arm_goes_on_beyond_the_border_as_an_arm() -> None:
    """And not as the trousers beside it farther in, which a mirror would show; at every border."""
    still, cover = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.float32)
    still[:, 8:30], cover[:, 8:30] = (0, 0, 200), 1  # trousers, from top to bottom
    still[10:16, :8], cover[10:16, :8] = (120, 70, 40), 1
    for turns in range(4):
        picture, coverage, before = _continued(np.rot90(still, turns), np.rot90(cover, turns))
        picture, coverage = np.rot90(picture, -turns), np.rot90(coverage, -turns)
        assert picture.shape == (70, 75, 3)
        assert coverage.shape == (70, 75)
        assert before == [(15, 15), (0, 15), (15, 0), (15, 15)][turns]
        np.testing.assert_array_equal(picture[15:55, 15:], still)
        np.testing.assert_array_equal(coverage[25:31, :15].any(0), np.arange(15) >= 3)
        np.testing.assert_array_equal(coverage[25:31, 3:15], 1)  # twice as long as wide, and no longer
        assert (picture[25:31, :15] == (120, 70, 40)).all()
        assert coverage[:25, :15].max() == 0
        assert (picture[:15, 23:45] == (0, 0, 200)).all()
        assert coverage[:15, 23:45].min() == 1


def test_behind_a_wrist_that_is_seen_there_is_no_more_than_a_hand() -> None:
    """At every border."""
    still, cover = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.float32)
    cover[10:18, :30] = 1
    for turns, (x, y) in enumerate([(5, 14), (14, 55), (55, 26), (26, 5)]):
        ends = np.array([(x, y, 8.5)])
        _, coverage, before = _continued(np.rot90(still, turns), np.rot90(cover, turns), ends)
        assert before == [(0, 15), (0, 0), (0, 0), (15, 0)][turns]
        beyond = np.rot90(coverage, -turns)[10:18, :15]
        np.testing.assert_array_equal(beyond.any(0), np.arange(15) >= 15 - 4)  # 8.5 from the wrist, 5 of them inside


def test_what_goes_on_beyond_a_border_thickens_no_limb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is measured in what the picture shows of it."""
    bodies, measure = [], Body.of
    monkeypatch.setattr(Body, "of", staticmethod(lambda *given: bodies.append(measure(*given)) or bodies[-1]))
    shown = render(sample_scene(1, "val"), 1, 128)
    seen = shown.instances[0] > 0
    left = int(np.flatnonzero(seen.any(0))[0]) + 10  # the border cuts an arm and touches a leg
    picture, instances = shown.frames[0][:, left:], shown.instances[0][:, left:]
    rest = PoseTrack(shown.pose.keypoints - np.float32([left, 0]), shown.pose.scores, picture.shape[:2])
    CutOut(picture, moved(rest, (1, 0)), rest, mask=instances)
    alone = measure(rest.person(0), instances > 0, (0, 0), 0)
    (body,) = bodies
    assert body.radii.keys() == alone.radii.keys()
    assert all(abs(radius - alone.radii[bone]) < 0.5 for bone, radius in body.radii.items())


def test_a_figure_that_the_border_cuts_goes_on_beyond_it() -> None:
    """Half a figure that is moved up ends at the border of the picture, not where the still's border cut it."""
    shown = render(sample_scene(1, "val"), 1, 128)
    half = slice(0, 80)
    picture, instances = shown.frames[0][half], shown.instances[0][half]
    assert instances[-1].any()
    rest = PoseTrack(shown.pose.keypoints, np.where(shown.pose.keypoints[..., 1] < 80, shown.pose.scores, 0), (80, 128))
    moved = PoseTrack(rest.keypoints - np.float32([0, 12]), rest.scores, rest.size)
    cut = CutOut(picture, moved, rest, mask=instances)
    coverage = cut[[0]][0, ..., 3] > 127
    before, after = instances[-1] > 0, coverage[-1]
    assert (before & after).sum() > 0.7 * before.sum(), "there is a body down to the border"
    still = CutOut(picture, rest, rest, mask=instances)[[0]][0]
    assert np.abs(still[..., :3].astype(int) - picture).mean() < 1.5, "in its own pose nothing changes"
