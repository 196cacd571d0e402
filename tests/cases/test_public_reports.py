"""Files of the kind that public bug reports of the field are about, through the command line.

Each folder of ../shared/cases holds a command (RUN.txt) and what is right (EXPECTED.txt).
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate.driving import open_driving
from bunraku.animate.options import MotionOptions
from bunraku.animate.reference import read_people
from bunraku.cues.cues import Cues
from bunraku.cues.retarget import METHODS
from bunraku.media import VideoReader, read_image
from bunraku.perception.pose import PARENTS, PoseTrack
from tests.conftest import Bunraku, Outcome

CASES = Path(__file__).parents[3] / "shared" / "cases"
SIZE = (288, 192)  # of all references

Check = Callable[[Path, Outcome], None]
CHECKS: dict[str, Check] = {}


def case(name: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return add


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the case, which is the working directory."""
    source = CASES / request.param
    if not source.is_dir():
        pytest.skip(f"no folder {source}")
    copy = tmp_path / request.param
    for path in sorted(source.rglob("*")):
        (copy / path.relative_to(source).parent).mkdir(parents=True, exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, copy / path.relative_to(source))
    monkeypatch.chdir(copy)
    return copy


def run(bunraku: Bunraku, folder: Path, *more: str) -> Outcome:
    words = shlex.split((folder / "RUN.txt").read_text())
    assert words[0] == "bunraku"
    return bunraku(*words[1:], *more)


def driver(path: Path, **options: object) -> PoseTrack:
    """The followed person of a file or folder that only has to be read."""
    settings = MotionOptions(**options)  # type: ignore[arg-type]
    pose = open_driving(path, settings).followed(settings).pose
    assert pose is not None
    return pose


def reference(folder: Path) -> PoseTrack:
    return read_people(folder / "ref.pose.json", SIZE)


def dancer() -> PoseTrack:
    """The motion of most BVH cases, from the file that has plain names and an end of the head."""
    return driver(CASES / "bvh_end_tab_site" / "motion_spaces.bvh")


def length(pose: PoseTrack, joint: int) -> np.ndarray:
    points = pose.keypoints[:, 0].astype(float)
    return np.linalg.norm(points[:, joint] - points[:, PARENTS[joint]], axis=-1)


def succeeded(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.err
    made = folder / ("out.mp4" if (folder / "out.mp4").exists() else "out.png")
    assert made.stat().st_size > 1000


def refused(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


@case("bvh_channel_case")
@case("bvh_end_tab_site")
@case("bvh_names_genesis8")
@case("bvh_names_robotprefix")
@case("bvh_names_vrm")
def same_dancer(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    np.testing.assert_allclose(driver(folder / "motion.bvh").keypoints, dancer().keypoints, atol=0.01)


@case("bvh_frames_off_by_one")
def eight_frames(folder: Path, outcome: Outcome) -> None:
    same_dancer(folder, outcome)
    assert "says that it has 7 frames; there are 8" in " ".join(outcome.err.split())


@case("bvh_one_nan")
def frame_repaired(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    assert "1 of 8 frames" in " ".join(outcome.err.split())
    pose = driver(folder / "motion.bvh")
    assert pose.scores[:, 0, 1].all()
    assert np.isfinite(pose.keypoints).all()
    assert np.abs(np.diff(pose.keypoints, axis=0)).max() < 20


@case("bvh_all_positions_zero")
def skeleton_of_the_offsets(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    np.testing.assert_allclose(driver(folder / "motion.bvh").keypoints, dancer().keypoints, atol=0.01)
    difference = np.abs(next(iter(VideoReader(folder / "out.mp4"))).astype(int) - read_image(folder / "ref.png"))
    assert np.median(difference) < 10, "the character is still there"


@case("bvh_handstand")
def upside_down(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    points = driver(folder / "motion.bvh").keypoints[:, 0]
    assert (points[:, 0, 1] > points[:, [8, 11], 1].max(1)).all()


@case("bvh_head_only_eyes")
def face_over_the_neck(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    points = driver(folder / "motion.bvh").keypoints[:, 0]
    with_end = driver(folder / "motion_end.bvh").keypoints[:, 0]
    assert np.abs(points[:, 14, 1] - points[:, 15, 1]).max() < 3
    np.testing.assert_allclose(points[:, [0, 14, 15]], with_end[:, [0, 14, 15]], atol=6)  # of 512


@case("op_canvas_height_only")
@case("op_face_56_points")
@case("op_macos_dotfiles")
@case("op_old_keys")
@case("op_pairs")
@case("op_utf8_bom")
@case("op_width_height")
def same_poses(folder: Path, outcome: Outcome) -> None:
    """The figure of those files, whatever they look like."""
    succeeded(folder, outcome)
    pose = driver(folder / "pose", canvas=(768, 512))
    assert (len(pose), pose.size) == (4, (768, 512))
    np.testing.assert_array_equal(
        pose.keypoints[0, 0, [0, 1, 13]], np.float32([(256, 105), (256, 150), (303.31, 475.43)])
    )
    assert (pose.scores[:, 0, :18] > 0.8).all()
    if folder.name == "op_face_56_points":
        assert "56 points" in outcome.err


@case("op_no_canvas")
def names_the_option(_: Path, outcome: Outcome) -> None:
    refused(outcome, "--canvas 768x512 (height x width)")


@case("op_low_confidence")
def names_the_confidence(_: Path, outcome: Outcome) -> None:
    refused(outcome, "below 0.3")


@case("op_fractions_feet_below")
@case("op_minus_one_to_one")
def read_as_fractions(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    pose = driver(folder / "pose.json")
    np.testing.assert_allclose(pose.keypoints[0, 0, 1], (256, 150), atol=0.1)
    assert 300 < np.ptp(pose.keypoints[0, 0, :, 1]) < 800


@case("op_joint_gone_one_frame")
def wrist_is_bridged(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    pose = driver(folder / "pose")
    assert (pose.scores[:, 0, 7] > 0.3).all()
    np.testing.assert_allclose(length(pose, 7), np.median(length(pose, 7)), rtol=0.1)
    assert len(VideoReader(folder / "out.mp4")) == 12


@case("op_numbers_skipped")
def twelve_frames(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0
    pose = Cues.load(folder / "out.cues").pose
    assert pose is not None
    assert len(pose) == 12
    assert (pose.scores[:, 0, :18] > 0.3).all()
    assert "4 numbers are missing" in " ".join(outcome.err.split())


@case("op_person_0_is_largest")
def follows_the_large_one(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    assert (driver(folder / "pose").keypoints[:, 0, 1, 0] > 250).all()
    assert (driver(folder / "pose", person=1).keypoints[:, 0, 1, 0] < 150).all()


@case("op_person_id_changes")
def all_frames_move(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    assert "lost" not in outcome.err
    pose = driver(folder / "pose")
    assert len(pose) == 40
    assert (np.abs(np.diff(pose.keypoints[:, 0], axis=0)).max((1, 2)) > 0).all()


@case("ref_arms_at_camera")
def believable_arms(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    assert "the arms in ref.png" in " ".join(outcome.err.split())
    for method in ("grounded", "full", "align"):
        made = METHODS[method](driver(folder / "pose"), reference(folder))
        arm = length(made, 3) + length(made, 4)
        assert (arm > 0.7 * length(made, 8)).all(), "an arm is about as long as the trunk"
        assert (arm < 1.5 * length(made, 8)).all()


@case("ref_waist_up_driver_arms_folded")
def trunk_by_the_shoulders(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    drive, own = driver(folder / "pose"), reference(folder)
    by_shoulders = length(own, 2) / np.median(length(drive, 2))
    for method in ("grounded", "full", "align"):
        trunk = length(METHODS[method](drive, own), 8)
        assert (trunk < 1.3 * by_shoulders * length(drive, 8)).all()


def back_has_no_face(folder: Path, outcome: Outcome) -> None:
    succeeded(folder, outcome)
    scores = driver(folder / "drive.mp4").scores[:, 0]
    assert (scores[:12, [0, 14, 15]] > 0.3).all()
    assert not scores[12:, [0, 14, 15, *range(24, 92)]].any()


@case("out_folder_holds_reference")
@case("out_folder_is_driver_folder")
def refused_and_untouched(folder: Path, outcome: Outcome) -> None:
    refused(outcome, "also an input" if (folder / "ref.png").exists() else "reference")
    for path in folder.rglob("*.png"):
        assert path.read_bytes() == (CASES / folder.name / path.relative_to(folder)).read_bytes()
    assert {p.name for p in folder.rglob("*")} == {p.name for p in (CASES / folder.name).rglob("*")}


@case("out_pattern_in_this_folder")
def frames_in_this_folder(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in folder.glob("0*.png")) == ["0000.png", "0001.png", "0002.png"]


@case("out_pattern_two_percents")
def other_percent_as_it_is(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in (folder / "o").iterdir())
    assert names == ["50% 0000.png", "50% 0001.png", "50% 0002.png", "keep.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "frames"),
    [("frames_macos_dotfiles", 6), ("mkv_picture_before_video", 25), ("webp_animated_driver", None)],
    ids=["frames_macos_dotfiles", "mkv_picture_before_video", "webp_animated_driver"],
    indirect=["folder"],
)
def test_case_that_is_footage(folder: Path, frames: int | None, bunraku: Bunraku) -> None:
    """The whole way with the shipped model, one step; the strokes in these pictures are nobody's skeleton, so no other model takes them."""
    outcome = run(bunraku, folder, "--model", "mini")
    assert outcome.code == 0, outcome.err
    made = VideoReader(folder / "out.mp4").frames
    assert made == (VideoReader(folder / "drive.webp").frames if frames is None else frames)


@pytest.mark.parametrize(
    ("folder", "check"), [pytest.param(name, check, id=name) for name, check in CHECKS.items()], indirect=["folder"]
)
def test_case(folder: Path, check: Check, bunraku: Bunraku) -> None:
    check(folder, run(bunraku, folder))


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["back_view"], indirect=True)
def test_case_with_a_detector(folder: Path, bunraku: Bunraku) -> None:
    pytest.importorskip("ai_edge_litert")
    back_has_no_face(folder, run(bunraku, folder))
