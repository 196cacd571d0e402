"""`bunraku retarget`: what it prints and writes, plain errors, and the options that it shares with `animate`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bunraku.media import VideoReader, read_image
from tests.conftest import Bunraku


def test_a_sheet_and_a_video(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    inputs = ("retarget", puppets / "a.png", puppets / "b.cues")
    code, out, err = bunraku(*inputs, "-o", tmp_path / "sheet.png")
    height, width, _ = read_image(tmp_path / "sheet.png").shape
    assert (code, out.strip()) == (
        0, f"{tmp_path / 'sheet.png'}: 5 frames, {width}x{height} px, retargeting grounded, align, off"
    )  # fmt: skip
    assert "the pose of the reference is read from" in err
    assert "draw" in err
    code, out, _ = bunraku(
        *inputs, "-o", tmp_path / "video.mp4", "--retarget", "fit", "--retarget", "full", "--start", 2, "--stop", 6, "--json"
    )  # fmt: skip
    made = json.loads(out)
    assert (code, made["frames"], made["fps"], made["methods"]) == (0, 4, "12", ["fit", "full"])
    reader = VideoReader(tmp_path / "video.mp4")
    assert (len(reader), list(reader.size)) == (4, made["size"])


@pytest.mark.parametrize(
    "change", [("--smooth",), ("--start", 3), ("--fps", 6), ("--person", 0), ("--reference-pose", "b.pose.json")]
)
def test_options_of_the_motion_have_their_effect(
    change: tuple, bunraku: Bunraku, puppets: Path, tmp_path: Path
) -> None:
    change = tuple(puppets / value if str(value).endswith(".json") else value for value in change)
    pictures = []
    for options in ((), change):
        inputs = (puppets / "a.png", puppets / "b.cues", "-o", tmp_path / "sheet.png", *options)
        assert bunraku("retarget", *inputs).code == 0
        pictures.append(read_image(tmp_path / "sheet.png"))
    assert np.array_equal(*pictures) is (change == ("--person", 0))


def test_bad_input_is_one_line_and_exit_code_2(bunraku: Bunraku, puppets: Path, tmp_path: Path) -> None:
    reference, driving = puppets / "a.png", puppets / "b.cues"
    for arguments, message in (
        ((puppets / "gone.png", driving), "gone.png does not exist"),
        ((reference, reference), "still image"),
        ((reference, driving, "--person", 7), "no person 7"),
        ((reference, driving, "--person", -1), "person -1 must be at least 0"),
        (
            (reference, driving, "--retarget", "half"),
            "unknown retargeting 'half'; there are grounded, full, align, fit, off",
        ),
        ((reference, driving, "--start", 99), "--start 99 leaves none of them"),
        ((reference, driving, "--fps", "fast"), "'fast' is no frame rate"),
        ((reference, driving, "-o", tmp_path / "out.xyz"), "neither a picture"),
    ):
        code, out, err = bunraku("retarget", "-o", tmp_path / "out.png", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in re.sub(r"\s+", " ", err)
        assert "Traceback" not in err
    assert not any(tmp_path.iterdir())
