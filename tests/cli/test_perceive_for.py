"""`bunraku perceive --for RECIPE`: a folder of clips made ready for training, clip by clip, also after it was killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.cues.cues import Cues, maps_in
from bunraku.data.clips import ClipFolder
from bunraku.media import VideoReader, VideoWriter
from bunraku.recipes import Reads
from bunraku.theatre import render, sample_scene
from tests.conftest import Bunraku

SIZE = (64, 64)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips, of which one has the cues of an earlier version: poses alone."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for seed, name in enumerate(("a", "b")):
        shown = render(sample_scene(seed), 5, SIZE)
        with VideoWriter(folder / f"{name}.mp4", fps=12, size=SIZE) as video:
            for frame in shown.frames:
                video.write(frame)
        Cues(Fraction(12), SIZE, "by hand", pose=shown.pose).save(folder / f"{name}.cues")
    return folder


def test_cues_that_lack_layers_get_them_and_keep_the_rest(
    clips: Path, bunraku: Bunraku, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def perceived(cues: Cues, frames: object, *more: object, **named: object) -> Cues:
        looked.append(cues.source)
        mattes = np.zeros((len(cues), 1, *SIZE), np.uint8)
        mattes[:, :, 20:40, 20:40] = 255
        return replace(cues, maps=cues.maps | {"mattes": mattes})

    monkeypatch.setattr("bunraku.cues.layers.perceive_layers", perceived)
    monkeypatch.setattr("bunraku.perception.depth.depth_is_here", lambda: False)
    whole = Cues.load(clips / "a.cues")
    perceived(whole, None).save(clips / "a.cues")
    before = (clips / "a.cues").stat().st_mtime_ns
    code, _, err = bunraku("perceive", "--for", "animate-anyone-2", clips)
    assert code == 0
    assert "models pull depth-anything" in err
    assert "name those that people hold" in err
    assert looked == ["by hand", "by hand"]  # a. by this test, b. by the command
    assert (clips / "a.cues").stat().st_mtime_ns == before
    made = Cues.load(clips / "b.cues")
    assert set(made.maps) == {"mattes"}
    assert (made.source, made.pose.keypoints.shape) == ("by hand", (5, 1, 18, 2))  # type: ignore[union-attr]
    assert bunraku("perceive", "--for", "animate-anyone-2", clips).code == 0
    assert len(looked) == 2
    # poses are all that Animate Anyone reads
    assert bunraku("perceive", "--for", "animate-anyone", clips).code == 0
    assert len(looked) == 2


def test_what_cannot_be_prepared_is_said_at_once(clips: Path, tmp_path: Path, bunraku: Bunraku) -> None:
    for arguments, message in (
        (("--for", "animate-anyone-2", clips / "a.mp4"), "prepares a folder of clips"),
        (("--for", "animate-anyone-2", clips, "--object", "3,4"), "give things by their names"),
        (("--for", "nothing", clips), "unknown recipe 'nothing'"),
    ):
        code, _, err = bunraku("perceive", *arguments)
        assert code == 2
        assert message in err


@pytest.mark.slow
def test_killed_and_resumed_on_two_real_clips(assets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, first in (("a", 0), ("b", 60)):
        reader = VideoReader(assets / "drivers" / "dance_plain.mp4", start=first, stop=first + 6)
        with VideoWriter(folder / f"{name}.mp4", fps=24, size=reader.size) as video:
            for frame in reader:
                video.write(frame)
    command = [sys.executable, "-m", "bunraku", "perceive", "--for", "animate-anyone-2", str(folder)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (folder / "a.cues").exists() and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (folder / "b.cues").exists()
    first = (folder / "a.cues").stat().st_mtime_ns
    subprocess.run(command, check=True)
    assert (folder / "a.cues").stat().st_mtime_ns == first
    assert {"mattes", "camera", "flow"} <= maps_in(folder / "b.cues")
    reads = Reads(frames=("pose", "structured_depth", "environment", "mask", "object"))
    sample = ClipFolder(folder, 0, 2, (64, 64), reads=reads)[0]
    hole = sample.driven["mask"][..., 0] > 0
    assert 0.05 < hole.mean() < 0.9
    assert not sample.driven["environment"][hole].any()
