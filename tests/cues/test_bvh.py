import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.bvh import FACE, read_bvh
from bunraku.cues.retarget import retarget
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


PLAIN = ("Hips", "Head", "{}Arm", "{}ForeArm", "{}Hand", "{}UpLeg", "{}Leg", "{}Foot")
RIGS = {  # what rigs call the joints of PLAIN, and their words for the sides
    "Mixamo": ([f"mixamorig:{name}" for name in PLAIN], "Left Right"),
    "MotionBuilder": ([f"Character1_{name}" for name in PLAIN], "Left Right"),
    "named after a robot": ([f"Robot_{name}" for name in PLAIN], "Left Right"),
    "Maya": ([f"{name}_JNT" for name in PLAIN], "Left Right"),
    "both": ([f"rig_{name}_jnt" for name in PLAIN], "Left Right"),
    "Genesis 8": (["hip", "head", "{}ShldrBend", "{}ForearmBend", "{}Hand", "{}ThighBend", "{}Shin", "{}Foot"], "l r"),
    "Genesis 9": (["hip", "head", "{}_upperarm", "{}_forearm", "{}_hand", "{}_thigh", "{}_shin", "{}_foot"], "l r"),
    "VRM": (
        [f"J_Bip_{n}" for n in ["C_Hips", "C_Head", "{}_UpperArm", "{}_LowerArm", "{}_Hand", "{}_UpperLeg", "{}_LowerLeg", "{}_Foot"]],
        "L R",
    ),
    "Biped": ([f"Bip001 {n}" for n in ["Pelvis", "Head", "{} UpperArm", "{} Forearm", "{} Hand", "{} Thigh", "{} Calf", "{} Foot"]], "L R"),
    "Valve": ([f"ValveBiped.Bip01_{n}" for n in ["Pelvis", "Head", "{}_UpperArm", "{}_Forearm", "{}_Hand", "{}_Thigh", "{}_Calf", "{}_Foot"]], "L R"),
    "Character Creator": (
        [f"CC_Base_{n}" for n in ["Hip", "Head", "{}_Upperarm", "{}_Forearm", "{}_Hand", "{}_Thigh", "{}_Calf", "{}_Foot"]], "L R",
    ),
    "Unreal": (["pelvis", "head", "upperarm_{}", "lowerarm_{}", "hand_{}", "thigh_{}", "calf_{}", "foot_{}"], "l r"),
    "Blender": (["hips", "head", "upper_arm.{}", "forearm.{}", "hand.{}", "thigh.{}", "shin.{}", "foot.{}"], "L R"),
    "SMPL": (["Pelvis", "Head", "{}_Shoulder", "{}_Elbow", "{}_Wrist", "{}_Hip", "{}_Knee", "{}_Ankle"], "L R"),
    "SMPL-X": (["pelvis", "head", "{}_shoulder", "{}_elbow", "{}_wrist", "{}_hip", "{}_knee", "{}_ankle"], "left right"),
    "Xsens": (["Hips", "Head", "{}UpperArm", "{}ForeArm", "{}Hand", "{}UpperLeg", "{}LowerLeg", "{}Foot"], "Left Right"),
    "CMU": (["Hips", "Head", "{}Shoulder", "{}Elbow", "{}Wrist", "{}Hip", "{}Knee", "{}Ankle"], "Left Right"),
    "Acclaim": (["pelvis", "Neck", "{}humerus", "{}radius", "{}hand", "{}femur", "{}tibia", "{}foot"], "l r"),
    "Poser": (["hip", "head", "{}Shldr", "{}ForeArm", "{}Hand", "{}Thigh", "{}Shin", "{}Foot"], "l r"),
    "Advanced Skeleton": (["Root_M", "Head_M", "Shoulder_{}", "Elbow_{}", "Wrist_{}", "Hip_{}", "Knee_{}", "Ankle_{}"], "L R"),
    "Second Life": (["mPelvis", "mHead", "mShoulder{}", "mElbow{}", "mWrist{}", "mHip{}", "mKnee{}", "mAnkle{}"], "Left Right"),
}  # fmt: skip


@pytest.mark.parametrize("rig", RIGS)
def test_rigs_name_their_joints_differently(tmp_path, rig):
    names, sides = RIGS[rig]
    skeleton = SKELETON
    for plain, name in zip(PLAIN, names):
        for word, side in zip(("Left", "Right"), sides.split()):
            skeleton = re.sub(rf"(ROOT|JOINT) {plain.format(word)}\n", rf"\1 {name.format(side)}\n", skeleton)
    rows = [row(left_z=30)]
    renamed = read_bvh(write(tmp_path / "a.bvh", rows, skeleton=skeleton))[0]
    np.testing.assert_array_equal(renamed.keypoints, read_bvh(write(tmp_path / "b.bvh", rows))[0].keypoints)


def test_a_prefix_that_only_the_root_lacks_does_not_matter(tmp_path):
    skeleton = re.sub("JOINT ", "JOINT rig_", SKELETON)
    track = read_bvh(write(tmp_path / "a.bvh", [row()], skeleton=skeleton))[0]
    np.testing.assert_array_equal(track.keypoints, read_bvh(write(tmp_path / "b.bvh", [row()]))[0].keypoints)


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.replace("Zrotation", "ZRotation").replace("Xposition", "xPosition"),
        lambda text: (
            text.replace("End Site", "End\tSite").replace("JOINT ", "JOINT\t").replace("OFFSET ", "\tOFFSET\t")
        ),
        lambda text: text.replace("JOINT", "Joint").replace("ROOT", "root").replace("End Site", "End site"),
        lambda text: text.replace("\n{", " {").replace("MOTION", " Motion\t"),
        lambda text: text.replace("Frames: 2", "FRAMES : 2").replace("Frame Time:", "frame time :\t"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: re.sub(r"(?<=\d) (?=-?\d+ 0 0 0 0$)", "\n", text, flags=re.MULTILINE),  # a frame on two lines
    ],
)
def test_dialects_give_the_same_motion(tmp_path, dialect):
    path = write(tmp_path / "a.bvh", [row(left_z=30), row(left_z=40)])
    expected = read_bvh(path)[0]
    text = dialect(path.read_text())
    assert text != path.read_text()
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_bvh(path)[0].keypoints, expected.keypoints)


@pytest.mark.parametrize("told", [3, 5])
def test_a_wrong_number_of_frames_in_the_header_is_warned_of(tmp_path, told, caplog):
    rows = [row(left_z=10 * i) for i in range(4)]
    path = write(tmp_path / "a.bvh", rows)
    expected = read_bvh(path)[0]
    assert not caplog.records
    path.write_text(path.read_text().replace("Frames: 4", f"Frames: {told}"))
    np.testing.assert_array_equal(read_bvh(path)[0].keypoints, expected.keypoints)
    assert f"says that it has {told} frames; there are 4" in caplog.text


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path, caplog):
    path = write(tmp_path / "a.bvh", [row(left_z=10 * i) for i in range(4)])
    expected = read_bvh(path)[0][:3]
    path.write_text(path.read_text().rsplit(" ", 5)[0])
    assert len(read_bvh(path)[0]) == len(expected) == 3
    assert "there are 3, and an incomplete one, which is left out" in caplog.text


def test_lines_of_another_length_than_the_channels_are_no_frames(tmp_path):
    path = write(tmp_path / "a.bvh", [row()[:-1]] * 18)  # 17 numbers in 18 lines are as many as 18 in 17
    with pytest.raises(BunrakuError, match="18 frames with 18 channels need 324 numbers, and 306 are there"):
        read_bvh(path)


@pytest.mark.parametrize("spelling", ["nan", "-nan(ind)", "1.#QNAN", "inf"])
def test_frames_that_are_not_finite_are_interpolated(tmp_path, spelling, caplog):
    path = write(tmp_path / "a.bvh", [row(x=float(10 * i)) for i in range(5)])
    expected = read_bvh(path)[0]
    lines = path.read_text().splitlines()
    lines[-3] = lines[-3].replace("20", spelling, 1)
    path.write_text("\n".join(lines))
    track = read_bvh(path)[0]
    np.testing.assert_allclose(track.keypoints, expected.keypoints, atol=1e-3)
    assert (track.scores == 1).all()
    assert "1 of 5 frames" in caplog.text
    assert "counted from 0: 2" in caplog.text


def test_a_file_without_a_finite_frame(tmp_path):
    with pytest.raises(BunrakuError, match=r"every frame of .* not finite"):
        read_bvh(write(tmp_path / "a.bvh", [row(x=float("nan"))] * 2))


SIX = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def test_positions_that_are_all_zero_leave_the_offsets(tmp_path):
    rows = [row(left_z=30, left_elbow_z=20)]
    six = [
        [*rows[0][:6], *(value for joint in range(2, 6) for value in (0, 0, 0, *rows[0][3 * joint : 3 * joint + 3]))]
    ]
    skeleton = SKELETON.replace("CHANNELS 3 Zrotation Xrotation Yrotation", SIX)
    track = read_bvh(write(tmp_path / "a.bvh", six, skeleton=skeleton))[0]
    np.testing.assert_array_equal(track.keypoints, read_bvh(write(tmp_path / "b.bvh", rows))[0].keypoints)


def test_a_skeleton_without_extent_is_refused(tmp_path):
    with pytest.raises(BunrakuError, match="lie in one point"):
        read_bvh(write(tmp_path / "a.bvh", [row()], skeleton=re.sub("OFFSET .*", "OFFSET 0 0 0", SKELETON)))


def turned(roll=0.0, pitch=0.0, yaw=0.0, height=40.0):
    """A frame whose root is turned about Z (roll), X (pitch), Y (yaw), with the hips at a height over the floor."""
    return [0.0, height, 0.0, roll, pitch, yaw, *REST[6:]]


def lean(track):
    """How far the neck is above the hips in each frame, of the distance between them."""
    points = track.keypoints[:, 0]
    way = points[:, [8, 11]].mean(1) - points[:, 1]
    return way[:, 1] / np.linalg.norm(way, axis=-1)


def test_a_handstand_stays_upside_down_and_faces_the_camera(tmp_path):
    for angles in ({"roll": 180}, {"pitch": 180}):
        track = read_bvh(write(tmp_path / "a.bvh", [turned(**angles)] * 3))[0]
        assert (lean(track) < -0.99).all()
        points = track.keypoints[:, 0]
        assert (points[:, 0, 1] > points[:, 1, 1]).all(), "the head is below the neck"
        assert (points[:, 5, 0] < points[:, 2, 0]).all(), "seen from the front, the left shoulder lies on the left"
        assert track.scores.all(), "the face is seen"


def test_who_falls_lies_at_the_end(tmp_path):
    falls = [turned(roll=30 * i, height=40 - 12 * i) for i in range(4)] + [turned(roll=90, height=4)] * 30
    track = read_bvh(write(tmp_path / "a.bvh", falls))[0]
    assert lean(track)[0] > 0.99
    assert np.abs(lean(track)[4:]).max() < 0.01
    track = read_bvh(write(tmp_path / "b.bvh", [turned(roll=90, height=4)] * 5))[0]
    assert np.abs(lean(track)).max() < 0.01, "who lies all the time lies"


def test_who_lies_all_the_time_is_seen_from_the_side(tmp_path):
    points = read_bvh(write(tmp_path / "a.bvh", [turned(pitch=-90, height=4)] * 5))[0].keypoints[:, 0]
    assert (np.abs(points[:, 0, 0] - points[:, 10, 0]) > 300).all()


@pytest.mark.parametrize("height", [40.0, 0.0])
def test_a_root_that_turns_another_up_axis_stands(tmp_path, height):
    """The file's Z is up in the rest pose, and the root turns it to Y in every frame, as converters do."""
    rows = [[0, height, 0, 0, -90, 0, *REST[6:]]] * 3
    z_up = re.sub(r"OFFSET (\S+) (\S+) 0", r"OFFSET \1 0 \2", SKELETON)
    track = read_bvh(write(tmp_path / "a.bvh", rows, skeleton=z_up))[0]
    assert (lean(track) > 0.99).all()
    expected = read_bvh(write(tmp_path / "b.bvh", [row()] * 3))[0]
    np.testing.assert_allclose(track.keypoints[:, 0, :14], expected.keypoints[:, 0, :14], atol=2)


def test_a_rest_pose_with_all_bones_in_one_direction(tmp_path):
    """As in LAFAN1: bones lie along X in the rest pose and the motion sets them up; up and ahead follow from the motion."""

    def chain(side, *joints):
        name, offset = joints[0]
        inner = chain(side, *joints[1:]) if joints[1:] else ""
        return f"JOINT {side}{name}\n{{\nOFFSET {offset}\nCHANNELS 3 Zrotation Xrotation Yrotation\n{inner}}}\n"

    skeleton = f"HIERARCHY\nROOT Hips\n{{\nOFFSET 0 0 0\n{SIX}\n"
    for side, sign in (("Left", 1), ("Right", -1)):
        skeleton += chain(side, ("UpLeg", f"0 0 {5 * sign}"), ("Leg", "20 0 0"), ("Foot", "20 0 0"))
    skeleton += chain("", ("Head", "25 0 0"))
    for side, sign in (("Left", 1), ("Right", -1)):
        skeleton += chain(side, ("Arm", f"20 0 {8 * sign}"), ("ForeArm", "8 0 0"), ("Hand", "8 0 0"))
    skeleton += "}\n"
    # the root turns X up and Z to the side; legs and arms turn back down by half a turn
    down = [180.0, *[0.0] * 8]
    rows = [[0, 40, 0, 90, 90, 0, *down, *down, 0, 0, 0, *down, *down]] * 2
    track = read_bvh(write(tmp_path / "a.bvh", rows, skeleton=skeleton))[0]
    points = track.keypoints[:, 0]
    assert (lean(track) > 0.99).all()
    assert (points[:, [10, 13], 1] > points[:, [8, 11], 1]).all()
    assert (points[:, 0, 1] < points[:, 1, 1]).all()
    assert (points[:, 5, 0] > points[:, 2, 0]).all()
    assert track.scores.all(), "the face is seen"


def test_eyes_are_no_end_of_the_head(tmp_path):
    """Without an end the head is as high as a person's, of the length of the legs, straight up."""
    eye = "JOINT {}Eye\n{{\nOFFSET {} 4 4\nCHANNELS 0\nEnd Site\n{{\nOFFSET 0 0 0\n}}\n}}\n"
    eyes = SKELETON.replace("End Site\n{\nOFFSET 0 10 0\n}\n", eye.format("Left", 2) + eye.format("Right", -2))
    assert eyes != SKELETON
    points = read_bvh(write(tmp_path / "a.bvh", [row()], skeleton=eyes))[0].keypoints[0, 0]
    unit = (points[13, 1] - points[11, 1]) / 40
    head = points[1] - (0, 5 * unit)
    for joint, (x, y, _) in FACE.items():
        np.testing.assert_allclose(points[joint] - head, np.array((x, -y)) * 0.235 * 40 * unit, atol=1e-3)


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
        (
            SKELETON + "MOTION\nFrames: 2\nFrame Time: 0.03\n1 2 3",
            "2 frames with 18 channels need 36 numbers, and 3 are there",
        ),
        (SKELETON + "MOTION\nFrame Time: 0.03\n1 2 3", "no 'Frames:'"),
        (SKELETON[:-2] + "MOTION\nFrames: 1\nFrame Time: 0.03\n", "braces"),
        (SKELETON.replace("6 Xposition", "5 Xposition") + "MOTION\nFrames: 1\nFrame Time: 1", "cannot understand"),
        (
            SKELETON.replace("OFFSET 0 25 0", "OFFSET 0 nan 0") + "MOTION\nFrames: 1\nFrame Time: 1",
            "OFFSET 0 nan 0.*Head",
        ),
        (SKELETON + "MOTION\nFrames: 1\nFrame Time: 0\n", "frame time is 0 seconds"),
        (SKELETON + "MOTION\nFrames: 1\nFrame Time: 1e-300\n", "frame time is 1e-300 seconds"),
        (SKELETON + "MOTION\nFrames: 1\nFrame Time: 1e300\n", "frame time is 1e300 seconds"),
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


def test_arms_that_point_at_the_camera_stay_short_on_a_character(tmp_path):
    """Most of the time, or always: they end near the shoulders, and are not drawn in full above the head."""
    character, _ = read_bvh(write(tmp_path / "character.bvh", [row()]), size=(256, 256))
    forward, rest = row(), row()
    forward[7], forward[8], forward[13], forward[14] = -8, -88, -8, 88  # nearly level, a little upwards
    arm = np.linalg.norm(character.keypoints[0, 0, 7] - character.keypoints[0, 0, 5])
    for rows in ([forward] * 9 + [rest], [forward] * 10):
        driver, _ = read_bvh(write(tmp_path / "driver.bvh", rows))
        points = retarget(driver, character).keypoints[0, 0]
        for wrist, shoulder in ((4, 2), (7, 5)):
            assert np.linalg.norm(points[wrist] - points[shoulder]) < 0.3 * arm
