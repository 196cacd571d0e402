import gc
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter
from tests.video import read_video

from .conftest import psnr

DRIVERS = Path(__file__).parents[2].parent / "shared/assets/drivers"
footage = pytest.mark.skipif(not DRIVERS.is_dir(), reason="no real footage here")

CODECS = [
    ("h264.mp4", "libx264", "yuv420p", {"crf": "10"}),
    ("h264_bframes.mkv", "libx264", "yuv420p", {"crf": "10", "bf": "3"}),
    ("hevc.mp4", "libx265", "yuv420p", {"crf": "10", "x265-params": "log-level=none"}),
    ("hevc10.mp4", "libx265", "yuv420p10le", {"crf": "10", "x265-params": "log-level=none"}),
    ("vp9.webm", "libvpx-vp9", "yuv420p", {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}),
    ("av1.mp4", "libsvtav1", "yuv420p", {"crf": "10", "preset": "12"}),
    ("mpeg4.avi", "mpeg4", "yuv420p", {"qscale": "1", "bf": "2", "b": "4000000"}),
    ("mjpeg.mov", "mjpeg", "yuvj420p", {"qmin": "1", "qmax": "1"}),
    ("ts.ts", "libx264", "yuv420p", {"crf": "10"}),
]


@pytest.mark.parametrize(("name", "codec", "pixels", "options"), CODECS, ids=[c[0] for c in CODECS])
def test_containers_and_codecs(encode, moving, name, codec, pixels, options):
    truth = moving()
    clip = read_video(encode(name, truth, codec, pixels, options=options))
    assert clip.frames.shape == truth.shape
    assert clip.frames.dtype == np.uint8
    assert clip.fps == 25
    for shown, true in zip(clip.frames, truth, strict=True):
        assert psnr(shown, true) > 33
        assert np.abs(shown.astype(float).mean((0, 1)) - true.mean((0, 1))).max() < 1.5


@pytest.mark.parametrize("colours", [av.video.reformatter.Colorspace.ITU709, av.video.reformatter.Colorspace.ITU601])
@pytest.mark.parametrize("levels", [1, 2], ids=["limited", "full"])
def test_tagged_matrix_and_range(encode, moving, colours, levels):
    def tag(stream):
        stream.codec_context.colorspace, stream.codec_context.color_range = colours, levels

    convert = {"dst_colorspace": colours, "dst_color_range": levels}
    truth = moving(2)
    clip = read_video(encode("t.mp4", truth, options={"crf": "4"}, stream_setup=tag, convert=convert))
    assert psnr(clip.frames, truth) > 35
    # The full-range encoding above itself costs about one level of blue (swscale rounds chroma down).
    assert np.abs(clip.frames.astype(float).mean((0, 1, 2)) - truth.mean((0, 1, 2))).max() < 2


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("g.mp4", "libx264", {"g": "12", "bf": "3"}),
        ("open.mkv", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
        ("open.mp4", "libx265", {"g": "12", "x265-params": "open-gop=1:keyint=12:log-level=none"}),
        ("t.ts", "libx264", {"g": "12", "bf": "2"}),
        ("a.avi", "mpeg4", {"g": "12", "bf": "2", "b": "4000000"}),
        ("w.webm", "libvpx-vp9", {"g": "12", "cpu-used": "8", "deadline": "realtime"}),
    ],
)
def test_range_seeks_to_the_exact_frame(encode, moving, name, codec, options):
    path = encode(name, moving(60), codec, options=options)
    everything = list(VideoReader(path))
    for start, stop in [(0, 1), (11, 14), (12, 13), (37, 60), (59, 99)]:
        reader = VideoReader(path, start=start, stop=stop)
        part = list(reader)
        assert reader.frames == len(part) == min(stop, 60) - start
        np.testing.assert_array_equal(part, everything[start:stop])


def test_iterates_again_and_again(encode, moving):
    with VideoReader(encode("a.mp4", moving(5))) as reader:
        np.testing.assert_array_equal(list(reader), list(reader))
        assert len(reader) == 5


def bars(frames: np.ndarray) -> list[int]:
    """The number that each frame of `moving` carries (of 12)."""
    return [round((float(f[:8].mean()) - 20) * 12 / 210) for f in frames]


def test_variable_frame_rate_holds_frames(encode, moving):
    times = [0, 40, 80, 120, 160, 320, 360, 400, 440, 600, 640, 680]  # ms: usually 40, with two gaps of 4 intervals
    path = encode("v.mkv", moving(12), pts=times, time_base=Fraction(1, 1000))
    reader = VideoReader(path)
    assert reader.fps == 25
    shown = bars(list(reader))
    assert shown == [0, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 8, 8, 8, 9, 10, 11]
    assert bars(list(VideoReader(path, start=6, stop=9))) == [4, 4, 5]


def test_jitter_neither_drops_nor_repeats(encode, moving):
    times = [round(i * 100 / 3) for i in range(12)]  # 30 fps in whole milliseconds
    reader = VideoReader(encode("j.mkv", moving(12), fps=30, pts=times, time_base=Fraction(1, 1000)))
    assert reader.fps == 30
    assert bars(list(reader)) == list(range(12))


@pytest.mark.parametrize(("fps", "expected"), [(Fraction(25, 2), [0, 2, 4, 6, 8, 10]), (50, None)])
def test_constant_output_rate(encode, moving, fps, expected):
    reader = VideoReader(encode("r.mp4", moving(12)), fps=Fraction(fps))
    shown = bars(list(reader))
    assert reader.fps == fps
    assert len(shown) == reader.frames
    if expected is None:
        assert len(shown) == 24
        assert sorted(set(shown)) == list(range(12))
    else:
        assert np.abs(np.array(shown) - expected).max() <= 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_display_matrix(encode, moving, turns, flip):
    truth = moving(3)
    path = encode("d.mp4", truth, stream_setup=lambda s: s.set_display_rotation(90 * turns, hflip=flip))
    reader = VideoReader(path)
    expected = np.rot90(truth[0], k=turns)  # FFmpeg: counter-clockwise, then mirrored
    expected = expected[:, ::-1] if flip else expected
    assert reader.size == expected.shape[:2]
    assert psnr(next(iter(reader)), expected) > 30


def test_square_pixels(encode, moving):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    assert VideoReader(encode("s.mp4", moving(3), stream_setup=wide)).size == (64, 128)


def test_odd_size(encode, moving):
    truth = moving(3, 63, 97)
    clip = read_video(encode("o.mkv", truth, "ffv1", "bgr0"))
    np.testing.assert_array_equal(clip.frames, truth)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p"), ("a.mov", "prores_ks", "yuva444p10le")],
)
def test_alpha_is_laid_on_the_background(encode, moving, name, codec, pixels):
    truth = moving(3)
    alpha = np.full((*truth.shape[:3], 1), 255, np.uint8)
    alpha[:, :, :48] = 0
    path = encode(name, np.concatenate([truth, alpha], -1), codec, pixels, source="rgba")
    frames = read_video(path, background=(0, 200, 30)).frames
    assert np.abs(frames[:, :, 2:44].astype(float) - (0, 200, 30)).max() < 12
    assert psnr(frames[:, 24:, 52:], truth[:, 24:, 52:]) > 28


@pytest.mark.parametrize(("levels", "low", "high"), [(1, 0, 255), (2, 16, 235)], ids=["limited", "full"])
def test_grey(encode, levels, low, high):
    def tag(stream):
        stream.codec_context.color_range = levels

    grey = np.full((3, 64, 64), 16, np.uint8)
    grey[:, :, 32:] = 235
    path = encode("g.mp4", grey, "libx264", "gray", source="gray", options={"crf": "1"}, stream_setup=tag)
    frames = read_video(path).frames
    assert frames.shape == (3, 64, 64, 3)
    assert abs(float(frames[:, :, :28].mean()) - low) < 2
    assert abs(float(frames[:, :, 36:].mean()) - high) < 2


def test_one_frame(encode, moving):
    assert len(read_video(encode("1.mp4", moving(1))).frames) == 1


def test_animated_gif(encode, moving):
    clip = read_video(encode("a.gif", moving(6), "gif", "rgb8", fps=20))
    assert len(clip.frames) == 6
    assert clip.fps == 20


def animated(path: Path, frames: np.ndarray, durations: list[int], **options) -> Path:
    """By Pillow; durations in milliseconds. Alpha where the frames have four channels."""
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, duration=durations, lossless=True, **options)
    return path


ANIMATIONS = ["a.webp", "a.png", "a.apng", "a.gif"]


@pytest.mark.parametrize("name", ANIMATIONS)
def test_animated_pictures_are_clips(tmp_path, moving, name):
    truth = moving(7)
    reader = VideoReader(animated(tmp_path / name, truth, [40] * 7))
    assert (reader.fps, reader.size, len(reader), reader.has_audio) == (25, (64, 96), 7, False)
    shown = np.stack(list(reader))
    assert psnr(shown, truth) > 28
    if name != "a.gif":  # 256 colours
        assert np.abs(shown.astype(int) - truth).max() <= 1


@pytest.mark.parametrize("name", ANIMATIONS)
def test_parts_of_animated_pictures(tmp_path, moving, name):
    """Their frames are stored as changes of the one before."""
    path = animated(tmp_path / name, moving(12), [50] * 12)
    whole = list(VideoReader(path))
    for start, stop in [(0, 12), (5, 9), (11, 12)]:
        np.testing.assert_array_equal(list(VideoReader(path, start=start, stop=stop)), whole[start:stop])
        np.testing.assert_array_equal(list(VideoReader(path).part(start, stop)), whole[start:stop])


@pytest.mark.parametrize("name", ANIMATIONS)
def test_animated_pictures_keep_their_durations(tmp_path, moving, name):
    """In slots of 50 ms; nothing is shown for less than browsers show it."""
    truth = moving(5)
    path = animated(tmp_path / name, truth, [100, 50, 200, 50, 150])
    assert bars(list(VideoReader(path, fps=Fraction(20)))) == [0, 0, 2, 5, 5, 5, 5, 7, 10, 10, 10]
    assert len(VideoReader(animated(tmp_path / name, truth, [0] * 5), fps=Fraction(20))) == 10


@pytest.mark.parametrize("name", ["a.webp", "a.apng", "a.gif"])
def test_transparent_animations_lie_on_the_background(tmp_path, name):
    frames = np.zeros((4, 40, 64, 4), np.uint8)
    y, x = np.mgrid[:40, :64]
    for number, frame in enumerate(frames):
        frame[(x - 8 - 16 * number) ** 2 + (y - 20) ** 2 < 64] = (200, 40, 0, 255)
    shown = np.stack(
        list(VideoReader(animated(tmp_path / name, frames, [40] * 4, disposal=2), background=(0, 90, 200)))
    )
    expected = np.where(frames[..., 3:] > 0, frames[..., :3], np.array([0, 90, 200], np.uint8))
    assert np.abs(shown.astype(int) - expected).max() <= (6 if name == "a.gif" else 1)


def test_what_the_writer_writes_the_reader_reads(tmp_path, moving):
    truth = moving(10)
    for name in ("a.webp", "a.gif"):
        for fps in (12, 25, 30):
            with VideoWriter(tmp_path / name, fps=fps, size=(64, 96)) as writer:
                for frame in truth:
                    writer.write(frame)
            reader = VideoReader(tmp_path / name)
            assert len(reader) == 10
            assert abs(reader.fps / fps - 1) < 0.02
            assert bars(list(reader)) == bars(list(truth))


@pytest.mark.parametrize("stills", [1, 2])
def test_the_stream_with_the_motion_is_read(tmp_path, moving, stills):
    """Some cameras and downloaders put a picture of one frame before it, not marked as a cover."""
    truth, path = moving(12), tmp_path / "p.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mjpeg", rate=25, pix_fmt="yuvj420p") for _ in range(stills)]
        streams.append(container.add_stream("libx264", rate=25, pix_fmt="yuv420p", options={"crf": "10"}))
        for stream in streams:
            stream.width, stream.height = 96, 64
        for index, frame in enumerate(truth):
            for stream in streams if index == 0 else streams[-1:]:
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.pts, picture.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode(None))
    reader = VideoReader(path)
    assert (len(reader), reader.fps) == (12, 25)
    assert bars(list(reader)) == list(range(12))
    assert bars(list(VideoReader(path, start=7, stop=9))) == [7, 8]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's memory from /proc")
def test_memory_does_not_grow_with_length(tmp_path, moving):
    """400 frames are 75 MiB as RGB, 38 MiB as decoded; none may stay, not even until the garbage collector comes."""
    frame = moving(1, 256, 256)[0]

    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    def there_and_back(count: int) -> float:
        with VideoWriter(tmp_path / "m.mp4", fps=25, size=(256, 256), crf=40) as writer:
            for _ in range(count):
                writer.write(frame)
            peak = resident_mib()
        return max(peak, *(resident_mib() for _ in VideoReader(tmp_path / "m.mp4")))

    gc.disable()
    try:
        short = there_and_back(100)
        assert there_and_back(400) < short + 15
    finally:
        gc.enable()


class TestBadInput:
    def message(self, path: Path, **options) -> str:
        with pytest.raises(BunrakuError) as caught:
            VideoReader(path, **options)
        assert str(path) in str(caught.value)
        return str(caught.value)

    def test_missing(self, tmp_path):
        assert "does not exist" in self.message(tmp_path / "no.mp4")

    def test_folder(self, tmp_path):
        assert "is a folder" in self.message(tmp_path)

    def test_empty(self, tmp_path):
        (tmp_path / "e.mp4").touch()
        assert "0 bytes" in self.message(tmp_path / "e.mp4")

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("n.mp4", b"\x00\x01nonsense" * 500),
            ("t.txt", b"plain words\n" * 9),
            ("s.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHi\n"),
        ],
    )
    def test_not_a_video(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert "not a" in self.message(tmp_path / name)

    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
    def test_still(self, tmp_path, suffix):
        Image.new("RGB", (64, 64)).save(tmp_path / f"i.{suffix}")
        assert "still image" in self.message(tmp_path / f"i.{suffix}")

    @pytest.mark.parametrize("name", ["a.webp", "a.apng"])
    def test_broken_animation(self, tmp_path, moving, name):
        path = animated(tmp_path / name, moving(12), [40] * 12)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(BunrakuError, match=r"damaged|truncated|still image"):
            list(VideoReader(path))

    def test_sound_only(self, tmp_path):
        from .conftest import tone

        with av.open(str(tmp_path / "s.m4a"), "w") as container:
            stream = container.add_stream("aac", 48000, layout="mono")
            for chunk in tone(440, 1):
                container.mux(stream.encode(chunk))
            container.mux(stream.encode(None))
        assert "without a video stream" in self.message(tmp_path / "s.m4a")

    def test_index_missing(self, encode, moving):
        path = encode("m.mp4", moving(30))
        path.write_bytes(path.read_bytes()[:-2000])
        assert "truncated" in self.message(path)

    @pytest.mark.parametrize("name", ["f.mp4", "f.mkv"])
    @pytest.mark.parametrize("share", [0.5, 0.8])
    def test_end_missing(self, encode, name, share):
        noise = np.random.default_rng(0).integers(0, 255, (50, 64, 64, 3), dtype=np.uint8)
        path = encode(name, noise, container_options={"movflags": "+faststart"} if name == "f.mp4" else {})
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        assert "truncated" in self.message(path)

    def test_no_frames(self, tmp_path):
        for name, words in [("z.mkv", "End of file"), ("z.mp4", "without a video stream")]:
            with av.open(str(tmp_path / name), "w") as container:
                stream = container.add_stream("libx264", rate=25)
                stream.width = stream.height = 64
                container.start_encoding()
            assert words in self.message(tmp_path / name)

    def test_damaged_inside(self, encode):
        noise = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8)
        path = encode("x.mkv", noise, "ffv1", "yuv420p", options={"slicecrc": "1"})
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 60_000] = bytes(60_000)
        path.write_bytes(data)
        with pytest.raises(BunrakuError, match=r"damaged|truncated"):
            list(VideoReader(path))

    def test_small(self, encode, moving):
        assert "32 px" in self.message(encode("s.mp4", moving(2, 30, 64)))

    @pytest.mark.parametrize(("start", "stop"), [(12, None), (5, 5), (-1, 4)])
    def test_empty_range(self, encode, moving, start, stop):
        assert "12 frames" in self.message(encode("r.mp4", moving(12)), start=start, stop=stop)

    def test_rate(self, encode, moving):
        with pytest.raises(BunrakuError, match="frame rate"):
            VideoReader(encode("r.mp4", moving(2)), fps=Fraction(0))


@footage
@pytest.mark.parametrize(
    ("name", "fps", "size", "frames", "sound"),
    [
        ("dance_plain.mp4", 24, (758, 512), 153, True),
        ("skeleton_only.mp4", 30, (768, 512), 136, False),
        ("two_people.mp4", 30, (1080, 1920), 77, False),  # 72 frames with a hole of five
    ],
)
def test_real_footage(name, fps, size, frames, sound):
    reader = VideoReader(DRIVERS / name, start=frames - 20)
    assert (reader.fps, reader.size, reader.frames, reader.has_audio) == (fps, size, 20, sound)
    shown = list(reader)
    assert len(shown) == 20
    assert all(frame.shape == (*size, 3) for frame in shown)


def test_part_is_that_part_and_needs_no_second_look_at_the_packets(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), np.uint8)
    with VideoWriter(path, fps=12, size=(32, 48)) as writer:
        for frame in frames:
            writer.write(frame)
    reader = VideoReader(path, start=2)
    whole = list(reader)
    monkeypatch.setattr("bunraku.media.source._Stream.timestamps", None)
    part = reader.part(3, 7)
    assert len(part) == 4
    assert np.array_equal(list(part), whole[3:7])
    assert len(reader) == 10
    with pytest.raises(BunrakuError, match="has 10 frames here; the range 7:11 is not among them"):
        reader.part(7, 11)


def test_pictures_that_stand_still_for_a_day_are_damaged_times(tmp_path):
    """Two million frames at 25 per second: nobody means that."""
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        for time in (0, 1, 2, 24 * 3600 * 25):
            frame = av.VideoFrame.from_ndarray(np.zeros((96, 64, 3), np.uint8), "rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BunrakuError, match=r"shows 4 pictures over 86400 s.*its times are damaged"):
        VideoReader(path)


def test_tags_that_are_no_text(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = "x" * 32
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"x" * 32, b"\x80" * 32))
    with pytest.raises(BunrakuError, match=r"a\.mp4 is damaged .*0x80"):
        VideoReader(path)


def test_a_codec_that_nobody_knows(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))
    with pytest.raises(BunrakuError, match="a file without a video stream"):
        VideoReader(path)
