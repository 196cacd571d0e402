from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.bvh import read_bvh
from bunraku.errors import BunrakuError

MOTIONS = Path(__file__).parents[3] / "shared/assets/motions"

ARM = """JOINT {side}Arm
{{
OFFSET {x} 20 0
CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}ForeArm
{{
OFFSET {x} 0 0
CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Hand
{{
OFFSET {x} 0 0
CHANNELS 0
End Site
{{
OFFSET {x} 0 0
}}
}}
}}
}}
"""
LEG = """JOINT {side}UpLeg
{{
OFFSET {x} 0 0
CHANNELS 0
JOINT {side}Leg
{{
OFFSET 0 -20 0
CHANNELS 0
JOINT {side}Foot
{{
OFFSET 0 -20 0
CHANNELS 0
}}
}}
}}
"""
SKELETON = (
    """HIERARCHY
ROOT Hips
{
OFFSET 0 0 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT Head
{
OFFSET 0 25 0
CHANNELS 0
End Site
{
OFFSET 0 10 0
}
}
"""
    + ARM.format(side="Left", x=8)
    + ARM.format(side="Right", x=-8)
    + LEG.format(side="Left", x=5)
    + LEG.format(side="Right", x=-5)
    + "}\n"
)
REST = [0.0] * 18  # root 6, left arm 3 + 3, right arm 3 + 3


def write(path, rows, frame_time="0.0333333", skeleton=SKELETON):
    lines = "\n".join(" ".join(f"{v:g}" for v in row) for row in rows)
    path.write_text(f"{skeleton}MOTION\nFrames: {len(rows)}\nFrame Time: {frame_time}\n{lines}\n")
    return path


def row(**values):
    result = list(REST)
    for name, value in values.items():
        result[{"x": 0, "y": 1, "z": 2, "turn": 5, "left_z": 6, "left_x": 7, "left_elbow_z": 9}[name]] = value
    return result


def test_rest_pose_lies_where_its_offsets_say(tmp_path):
    track, fps = read_bvh(write(tmp_path / "a.bvh", [row()]), size=(800, 1000))
    points = track.keypoints[0, 0]
    assert fps == 30
    assert (track.scores == 1).all()
    unit = (points[13, 1] - points[11, 1]) / 40
    from_hips = (points - (points[8] + points[11]) / 2) / unit * (1, -1)
    expected = {
        1: (0, 20), 2: (-8, 20), 3: (-16, 20), 4: (-24, 20), 5: (8, 20), 6: (16, 20), 7: (24, 20), 8: (-5, 0),
        9: (-5, -20), 10: (-5, -40), 11: (5, 0), 0: (0, 28.2), 14: (-1.7, 30), 15: (1.7, 30), 16: (-3.8, 29.2),
    }  # fmt: skip
    for joint, place in expected.items():
        np.testing.assert_allclose(from_hips[joint], place, atol=1e-3)
    np.testing.assert_allclose((points.min(0) + points.max(0)) / 2, (500, 400), atol=1e-3)
    assert points[:, 1].min() == pytest.approx(0.08 * 800, abs=0.01)


def test_rotations_compose_down_the_arm_in_channel_order(tmp_path):
    rows = [row(), row(left_z=90, left_elbow_z=90), row(left_z=90, left_x=90)]
    track, _ = read_bvh(write(tmp_path / "a.bvh", rows))
    points = track.keypoints[:, 0]
    upper = np.linalg.norm(points[0, 6] - points[0, 5])
    np.testing.assert_allclose((points[1, 6] - points[1, 5]) / upper, (0, -1), atol=1e-4)
    np.testing.assert_allclose((points[1, 7] - points[1, 6]) / upper, (-1, 0), atol=1e-4)
    # Z then X in the joint's own frame: the arm, along X after Z, does not notice the turn about X
    np.testing.assert_allclose((points[2, 6] - points[2, 5]) / upper, (0, -1), atol=1e-4)


def test_camera_faces_the_body_and_knows_front_from_back(tmp_path):
    turned = [row(turn=90), row(turn=90)]
    rest, side = (read_bvh(write(tmp_path / "a.bvh", rows))[0].keypoints for rows in ([row(), row()], turned))
    np.testing.assert_allclose(side, rest, atol=1e-3)  # whatever way they face, they are seen from the front
    rows = [row(), row(), row(), row(turn=180), row(turn=90), row(turn=-90)]
    scores = read_bvh(write(tmp_path / "b.bvh", rows))[0].scores[:, 0]
    assert scores[0, [0, 14, 15, 16, 17]].all()
    np.testing.assert_array_equal(scores[3, [0, 14, 15, 16, 17]], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(scores[4, [16, 17]], [1, 0])  # turned to their left, the right ear shows
    np.testing.assert_array_equal(scores[5, [16, 17]], [0, 1])


@pytest.mark.parametrize(
    ("frame_time", "fps"),
    [("0.0333333", 30), (".03333", 30), ("0.0416667", 24), ("0.00833333", 120), ("0.033367", Fraction(30000, 1001))],
)
def test_rounded_frame_times_give_the_rate_that_was_meant(tmp_path, frame_time, fps):
    assert read_bvh(write(tmp_path / "a.bvh", [row()], frame_time))[1] == fps


def test_resampling_keeps_the_motion_in_time(tmp_path):
    path = write(tmp_path / "a.bvh", [row(x=float(i)) for i in range(61)])
    full, half = read_bvh(path)[0], read_bvh(path, fps=15)
    assert half[1] == 15
    np.testing.assert_allclose(half[0].keypoints, full.keypoints[::2], atol=1e-3)
    odd, fps = read_bvh(path, fps=24)
    assert (len(odd), fps) == (49, 24)
    np.testing.assert_allclose(odd.keypoints[1], full.keypoints[1] * 0.75 + full.keypoints[2] * 0.25, atol=1e-3)


@pytest.mark.parametrize("naming", [
    {},
    {"Left": "mixamorig:Left", "Right": "mixamorig:Right", "Head": "mixamorig:Head"},
    {"LeftArm": "Bip01 L UpperArm", "RightArm": "Bip01 R UpperArm"},
    {"LeftForeArm": "forearm.L", "RightForeArm": "forearm.R"},
    {"LeftUpLeg": "L_Hip", "RightUpLeg": "R_Hip", "LeftLeg": "L_Knee", "RightLeg": "R_Knee", "Foot": "_Ankle"},
    {"LeftUpLeg": "LeftThigh", "RightUpLeg": "RightThigh", "LeftLeg": "LeftShin", "RightLeg": "RightShin"},
])  # fmt: skip
def test_rigs_name_their_joints_differently(tmp_path, naming):
    skeleton = SKELETON
    for name, other in naming.items():
        skeleton = skeleton.replace(f" {name}", f" {other}") if name != "Foot" else skeleton.replace(name, other)
    renamed = read_bvh(write(tmp_path / "a.bvh", [row(left_z=30)], skeleton=skeleton))[0]
    np.testing.assert_array_equal(renamed.keypoints, read_bvh(write(tmp_path / "b.bvh", [row(left_z=30)]))[0].keypoints)


@pytest.mark.skipif(not MOTIONS.exists(), reason="no shared footage here")
@pytest.mark.parametrize(("name", "frames"), [("dab", 339), ("jumping_jacks", 125)])
def test_real_motion_capture_stands_upright_and_keeps_its_bones(name, frames):
    track, fps = read_bvh(MOTIONS / f"{name}.bvh", size=(512, 384))
    points = track.keypoints[:, 0]
    assert (len(track), fps) == (frames, 30)
    assert (points >= 0).all()
    assert (points < (384, 512)).all()
    assert (points[:, 0, 1] < points[:, 1, 1]).all(), "the head is above the neck"
    assert (points[:, 1, 1] < points[:, [8, 11], 1].min(1)).all(), "the neck is above the hips"
    assert (points[:, 5, 0] > points[:, 2, 0]).mean() > 0.9, "seen from the front"
    assert np.abs(np.diff(points, axis=0)).max() < 512 / 8, "no jumps"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mp4 bytes", r"not a BVH file.*Export the motion as BVH"),
        (SKELETON, "not a BVH file"),
        (SKELETON + "MOTION\nFrames: 2\nFrame Time: 0.03\n1 2 3", "2 frames .* need 36 numbers, and 3 are there"),
        (SKELETON + "MOTION\nFrame Time: 0.03\n1 2 3", "no 'Frames:'"),
        (SKELETON[:-2] + "MOTION\nFrames: 1\nFrame Time: 0.03\n", "braces"),
        (SKELETON.replace("6 Xposition", "5 Xposition") + "MOTION\nFrames: 1\nFrame Time: 1", "cannot understand"),
        (SKELETON.replace("OFFSET 0 25 0", "OFFSET 0 up 0") + "MOTION\nFrames: 1\nFrame Time: 1", "broken BVH"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, text, message):
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(BunrakuError, match=message):
        read_bvh(tmp_path / "a.bvh")


def test_unknown_joints_are_listed(tmp_path):
    path = write(tmp_path / "a.bvh", [row()], skeleton=SKELETON.replace("LeftLeg", "Tentacle"))
    with pytest.raises(BunrakuError, match=r"no joint for: left knee\. Its joints are: Hips, Head, .*Tentacle"):
        read_bvh(path)


def test_missing_file_and_bad_rate(tmp_path):
    with pytest.raises(BunrakuError, match="No such file"):
        read_bvh(tmp_path / "none.bvh")
    with pytest.raises(BunrakuError, match="fps=-1"):
        read_bvh(write(tmp_path / "a.bvh", [row()]), fps=-1)
