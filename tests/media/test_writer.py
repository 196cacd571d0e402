import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.media import VideoWriter, check_video_output, open_frames, read_image
from tests.video import read_video

from .conftest import psnr


def interrupt(path: Path, frames: np.ndarray, error: type[BaseException], **options) -> None:
    with VideoWriter(path, fps=24, size=frames.shape[1:3], **options) as writer:
        for frame in frames:
            writer.write(frame)
        raise error


def save(path: Path, frames: np.ndarray, fps: Fraction | int = 24, **options) -> Path:
    with VideoWriter(path, fps=fps, size=frames.shape[1:3], **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
@pytest.mark.parametrize("fps", [24, Fraction(30000, 1001)])
def test_round_trip(tmp_path, moving, name, fps):
    truth = moving(12)
    clip = read_video(save(tmp_path / name, truth, fps))
    assert clip.frames.shape == truth.shape
    assert abs(clip.fps / fps - 1) < 1e-4
    assert min(psnr(a, b) for a, b in zip(clip.frames, truth, strict=True)) > 35
    assert np.abs(clip.frames.astype(float).mean((1, 2)) - truth.mean((1, 2))).max() < 1.5


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255), (120, 90, 200)])
def test_colours(tmp_path, colour):
    frames = np.full((3, 64, 64, 3), colour, np.uint8)
    assert np.abs(read_video(save(tmp_path / "c.mp4", frames, crf=1)).frames.astype(int) - colour).max() <= 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_tags(tmp_path, moving, name):
    with av.open(str(save(tmp_path / name, moving(3)))) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 1)


def test_index_comes_first(tmp_path, moving):
    data = save(tmp_path / "a.mp4", moving()).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_odd_size_grows_by_the_edge(tmp_path, moving, name):
    truth = moving(4, 63, 97)
    frames = read_video(save(tmp_path / name, truth)).frames
    assert frames.shape == (4, 64, 98, 3)
    assert psnr(frames[:, :63, :97], truth) > 34
    assert psnr(frames[:, 63, :97], truth[:, 62]) > 25


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp"])
def test_same_bytes(tmp_path, moving, encode, name):
    """At this size x264's defaults (macroblock tree on) vary from run to run."""
    sound = encode("s.mp4", moving(25), tone_hz=440)
    noise = np.random.default_rng(0).integers(-20, 20, (12, 64, 96, 3))
    truth = np.clip(moving(12).astype(int) + noise, 0, 255).astype(np.uint8)
    cores = os.sched_getaffinity(0)
    written = set()
    try:
        for available in [cores, {min(cores)}, cores, cores]:
            os.sched_setaffinity(0, available)
            written.add(save(tmp_path / name, truth, audio_from=sound).read_bytes())
    finally:
        os.sched_setaffinity(0, cores)
    assert len(written) == 1


def test_gif(tmp_path, moving):
    truth = moving(10, 63, 97)
    path = save(tmp_path / "a.gif", truth, 20)
    assert psnr(read_video(path).frames, truth) > 28
    with Image.open(path) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (10, 50, 0)


def test_gif_is_never_faster_than_browsers_play(tmp_path, moving):
    with Image.open(save(tmp_path / "a.gif", moving(12), 60)) as image:
        delays = []
        for index in range(image.n_frames):
            image.seek(index)
            delays.append(image.info["duration"])
    assert min(delays) >= 20
    assert abs(sum(delays) - 200) <= 40


def test_webp(tmp_path, moving):
    truth = moving(10, 63, 97)
    with Image.open(save(tmp_path / "a.webp", truth, 20)) as image:
        assert image.n_frames == 10
        assert image.info["loop"] == 0
        for index in (0, 9):
            image.seek(index)
            assert psnr(np.array(image.convert("RGB")), truth[index]) > 32
            assert image.info["duration"] == 50


class TestPngFrames:
    @pytest.mark.parametrize(("name", "files"), [("out", "{:04d}.png"), ("out/f_%03d.png", "f_{:03d}.png")])
    def test_exact(self, tmp_path, moving, name, files):
        truth = moving(3, 63, 97)
        save(tmp_path / name, truth)
        assert sorted(os.listdir(tmp_path / "out")) == [files.format(i) for i in range(3)]
        for index in range(3):
            np.testing.assert_array_equal(read_image(tmp_path / "out" / files.format(index)), truth[index])

    def test_pictures_in_the_way_are_refused_before_any_work(self, tmp_path, moving):
        """They are somebody's own, as far as a run can know."""
        save(tmp_path / "out", moving(5))
        before = (tmp_path / "out" / "0000.png").read_bytes()
        for name in ("out", "out/%04d.png"):
            with pytest.raises(BunrakuError, match=r"0000\.png and 4 more would be replaced.*--overwrite"):
                VideoWriter(tmp_path / name, fps=24, size=(64, 96))
        save(tmp_path / "out" / "%d.png", moving(2))  # other names: nothing is in the way
        assert sorted(os.listdir(tmp_path / "out")) == [
            "0.png", "0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "1.png",
        ]  # fmt: skip
        assert (tmp_path / "out" / "0000.png").read_bytes() == before

    def test_overwriting_replaces_what_it_writes_and_nothing_else(self, tmp_path, moving, caplog):
        folder = tmp_path / "out"
        save(folder, moving(5))
        kept = {"notes.txt": b"mine", "1.png": b"mine too", "00001.png": b"and mine"}
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        kept |= {name: (folder / name).read_bytes() for name in ("0002.png", "0003.png", "0004.png")}
        save(folder, moving(2) // 2, overwrite=True)
        assert sorted(os.listdir(folder)) == sorted(["0000.png", "0001.png", *kept])
        assert {name: (folder / name).read_bytes() for name in kept} == kept
        np.testing.assert_array_equal(read_image(folder / "0001.png"), moving(2)[1] // 2)
        assert "0002.png was there before and stays" in caplog.text
        assert "(2 more like it)" in caplog.text

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_inputs_are_never_in_the_output(self, tmp_path, moving, overwrite):
        for name in ("clip/%02d.png", "still/%04d.png"):
            save(tmp_path / name, moving(2))
        (tmp_path / "link").symlink_to(tmp_path / "clip")
        before = {p: p.read_bytes() for p in tmp_path.rglob("*.png")}
        for output, given in [
            ("clip", "clip"), ("clip/%02d.png", "clip"), ("clip/new%02d.png", "clip"), ("link", "clip"),
            ("still", "still/0001.png"), ("still/%04d.png", "still/0000.png"),
        ]:  # fmt: skip
            with pytest.raises(BunrakuError, match="is also an input"):
                check_video_output(tmp_path / output, [tmp_path / given], overwrite=overwrite)
        check_video_output(tmp_path / "still/a%d.png", [tmp_path / "still/0000.png"])  # takes other names
        assert {p: p.read_bytes() for p in tmp_path.rglob("*.png")} == before

    @pytest.mark.parametrize("name", ["%04d.png", ".", "./f %d.png", "../here"])
    def test_into_the_current_folder(self, tmp_path, moving, monkeypatch, name):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        (tmp_path / "here" / "ref.png").touch()
        save(Path(name), moving(2))
        first = {"./f %d.png": "f {}.png"}.get(name, "000{}.png")
        assert sorted(os.listdir(tmp_path / "here")) == [first.format(0), first.format(1), "ref.png"]
        assert os.listdir(tmp_path) == ["here"]

    @pytest.mark.parametrize("name", ["50% {}.png", "100%{}%.png", "%s{}%%.png"])
    def test_other_percents_are_taken_as_they_are(self, tmp_path, moving, name):
        save(tmp_path / "out" / name.format("%04d"), moving(2))
        assert sorted(os.listdir(tmp_path / "out")) == sorted(name.format(f"000{i}") for i in range(2))

    def test_a_pattern_has_one_number(self, tmp_path):
        with pytest.raises(BunrakuError, match="a pattern has one number"):
            VideoWriter(tmp_path / "%02d_%02d.png", fps=24, size=(64, 96))

    def test_interrupted(self, tmp_path, moving):
        save(tmp_path / "out", moving(2))
        with pytest.raises(KeyboardInterrupt):
            interrupt(tmp_path / "out", moving(1), KeyboardInterrupt, overwrite=True)
        assert os.listdir(tmp_path) == ["out"]
        assert len(os.listdir(tmp_path / "out")) == 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.gif", "a.webp"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted(tmp_path, moving, name, error):
    path = tmp_path / name
    path.write_bytes(b"precious")
    with pytest.raises(error):
        interrupt(path, moving(8), error)
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp", "frames"])
def test_permissions_are_ordinary(tmp_path, moving, name):
    before = os.umask(0o027)
    try:
        path = save(tmp_path / name, moving(2))
    finally:
        os.umask(before)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}


def killed(path: Path) -> None:
    """A process of its own that is killed while it writes, having been told to replace what is there."""
    frame = "writer.write(numpy.zeros((64, 96, 3), numpy.uint8))"
    code = f"""
import os, signal, numpy
from bunraku.media import VideoWriter
with VideoWriter({str(path)!r}, fps=24, size=(64, 96), overwrite=True) as writer:
    for _ in range(4): {frame}
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["a.mp4", "out"])
def test_killed(tmp_path, moving, name):
    path = save(tmp_path / name, moving(3))
    files = [path] if path.is_file() else sorted(path.iterdir())
    before = [file.read_bytes() for file in files]
    killed(path)
    assert [file.read_bytes() for file in files] == before
    assert len(open_frames(path)) == 3  # what the killed run left is no frame


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.gif", "a.webp", "frames"])
def test_disk_full(tmp_path, name):
    """A limit on file size gives the same error path as a full disk, without a disk of its own."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(BunrakuError, match="disk is full"):
            save(tmp_path / name, noise, crf=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_disk_full_leaves_earlier_frames(tmp_path, moving):
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), dtype=np.uint8)
    save(tmp_path / "out", moving(3))
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(BunrakuError, match="disk is full"):
            save(tmp_path / "out", noise, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.gif"])
def test_disk_full_at_the_very_end(tmp_path, moving, name):
    complete = save(tmp_path / name, moving()).stat().st_size
    os.remove(tmp_path / name)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (complete - 1, hard))
    try:
        with pytest.raises(BunrakuError, match="disk is full"):
            save(tmp_path / name, moving())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


class TestBadOutput:
    @pytest.mark.parametrize("name", ["a.xyz", "a.png", "a.avi"])
    def test_unknown_extension(self, tmp_path, name):
        with pytest.raises(BunrakuError, match=r"known are \.mp4, \.mov, \.mkv, \.webm, \.gif, \.webp"):
            VideoWriter(tmp_path / name, fps=24, size=(64, 64))

    def test_missing_folder(self, tmp_path):
        with pytest.raises(BunrakuError, match="does not exist"):
            VideoWriter(tmp_path / "no" / "a.mp4", fps=24, size=(64, 64))

    def test_unwritable_folder(self):
        with pytest.raises(BunrakuError, match="not writable"):
            VideoWriter("/proc/a.mp4", fps=24, size=(64, 64))

    def test_input(self, encode, moving):
        path = encode("a.mp4", moving(2), tone_hz=440)
        with pytest.raises(BunrakuError, match="also an input"):
            VideoWriter(path, fps=24, size=(64, 64), audio_from=path)

    def test_existing(self, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"x")
        (tmp_path / "d.mp4").mkdir()
        with pytest.raises(BunrakuError, match="folder of that name"):
            VideoWriter(tmp_path / "d.mp4", fps=24, size=(64, 64))
        (tmp_path / "plain").touch()
        with pytest.raises(BunrakuError, match="it is a file"):
            VideoWriter(tmp_path / "plain", fps=24, size=(64, 64))

    @pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp", "frames"])
    def test_no_frames(self, tmp_path, name):
        with (
            pytest.raises(BunrakuError, match="no frames"),
            VideoWriter(tmp_path / name, fps=24, size=(64, 64)),
        ):
            pass
        assert os.listdir(tmp_path) == []

    def test_wrong_frame(self, tmp_path):
        with (
            pytest.raises(ValueError, match="expected uint8"),
            VideoWriter(tmp_path / "a.mp4", fps=24, size=(64, 64)) as writer,
        ):
            writer.write(np.zeros((64, 64, 3), np.float32))
        assert os.listdir(tmp_path) == []

    def test_creation_writes_nothing(self, tmp_path):
        VideoWriter(tmp_path / "a.mp4", fps=24, size=(64, 64))
        assert os.listdir(tmp_path) == []


def test_times_are_even(tmp_path, moving):
    with av.open(str(save(tmp_path / "a.mp4", moving(9), Fraction(30000, 1001)))) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        assert {b - a for a, b in pairwise(times)} == {round(1001 / 30000 / stream.time_base)}
        assert times[0] == 0


def test_a_mov_with_alpha_is_prores_4444(tmp_path, moving):
    frames = np.concatenate([moving(4), np.zeros((4, *moving(4).shape[1:3], 1), np.uint8)], -1)
    frames[:, :, : frames.shape[2] // 2, 3] = 255
    frames[:, : frames.shape[1] // 2, frames.shape[2] // 2 :, 3] = 100
    path = save(tmp_path / "a.mov", frames, alpha=True)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.format.name) == ("prores", "yuva444p12le")
        shown = np.stack([frame.to_ndarray(format="rgba") for frame in container.decode(stream)])
    assert np.abs(shown[..., 3].astype(int) - frames[..., 3]).max() <= 1
    assert psnr(shown[..., :3], frames[..., :3]) > 35
    assert path.read_bytes() == save(tmp_path / "b.mov", frames, alpha=True).read_bytes()
