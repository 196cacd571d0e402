import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.media import VideoReader, VideoWriter

RATE = 48000


def copy_frames(source: Path, path: Path, frames: np.ndarray, start: Fraction | float = 0) -> Path:
    with VideoWriter(path, fps=25, size=frames.shape[1:3], audio_from=source, audio_start=start) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def sound(path: Path) -> tuple[str, np.ndarray]:
    """Codec and the wave, mono at 48 kHz, from presentation time 0 on."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", RATE)
        frames = [r for frame in container.decode(stream) for r in resampler.resample(frame)]
        first = frames[0].pts * frames[0].time_base
        wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        name = stream.codec_context.codec.canonical_name
    shift = round(first * RATE)
    return name, np.concatenate([np.zeros(max(shift, 0), np.float32), wave[max(-shift, 0) :]])


def onset(wave: np.ndarray) -> float:
    """Seconds until the tone of the source, which begins at 0.5 s there."""
    return float(np.argmax(np.abs(wave) > 0.1)) / RATE


@pytest.mark.parametrize(
    ("name", "source", "codec"),
    [
        ("o.mp4", "aac", "aac"),
        ("o.mov", "aac", "aac"),
        ("o.mkv", "aac", "aac"),
        ("o.webm", "aac", "opus"),
        ("o.mp4", "libopus", "aac"),
        ("o.mkv", "libopus", "opus"),
        ("o.webm", "libopus", "opus"),
        ("o.mp4", "pcm_s16le", "aac"),
    ],
)
@pytest.mark.parametrize("start", [0, Fraction(8, 25)])
def test_sound_stays_with_the_picture(encode, moving, tmp_path, name, source, codec, start):
    path = encode("in.mkv", moving(50), tone_hz=500, audio_codec=source)
    written, wave = sound(copy_frames(path, tmp_path / name, moving(25), start))
    assert written == codec
    assert abs(onset(wave) - (0.5 - float(start))) < 0.03
    assert 0.95 < len(wave) / RATE < 1.07
    assert np.abs(wave).max() > 0.2


def test_copied_packets_are_the_very_bytes(encode, moving, tmp_path):
    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]

    path = encode("in.mp4", moving(25), tone_hz=500)
    copied = packets(copy_frames(path, tmp_path / "o.mp4", moving(25)))
    assert len(copied) > 40
    assert copied == packets(path)[: len(copied)]


def test_long_cut_seeks(encode, moving, tmp_path):
    path = encode("in.mp4", np.repeat(moving(1), 100, 0), tone_hz=500)
    _, wave = sound(copy_frames(path, tmp_path / "o.mp4", moving(25), 2.5))
    assert 0.95 < len(wave) / RATE < 1.07
    assert np.abs(wave[2400:-4800]).max() > 0.2


def test_sound_shorter_than_the_picture(encode, moving, tmp_path):
    path = encode("in.mp4", moving(25), tone_hz=500)
    written = copy_frames(path, tmp_path / "o.mp4", np.repeat(moving(1), 75, 0))
    assert VideoReader(written).frames == 75
    assert 0.9 < len(sound(written)[1]) / RATE < 1.1


@pytest.mark.parametrize("name", ["o.mp4", "o.webm"])
def test_source_without_sound(encode, moving, tmp_path, name):
    written = copy_frames(encode("in.mp4", moving(5)), tmp_path / name, moving(5))
    assert not VideoReader(written).has_audio


@pytest.mark.parametrize("name", ["o.gif", "o.webp", "frames"])
def test_silent_formats(encode, moving, tmp_path, name):
    assert copy_frames(encode("in.mp4", moving(5), tone_hz=500), tmp_path / name, moving(5)).exists()


def test_sound_begins_with_the_video_stream(encode, moving, tmp_path):
    """MPEG-TS starts at 1.4 s or so; that is time zero of the picture, hence of the sound."""
    path = encode("in.ts", moving(50), tone_hz=500)
    _, wave = sound(copy_frames(path, tmp_path / "o.mp4", moving(25)))
    assert abs(onset(wave) - 0.5) < 0.05


def test_missing_source(moving, tmp_path):
    with pytest.raises(BunrakuError, match="does not exist"):
        copy_frames(tmp_path / "no.mp4", tmp_path / "o.mp4", moving(2))
    assert list(tmp_path.iterdir()) == []


def test_damaged_sound_leaves_a_silent_rest(encode, moving, tmp_path, caplog):
    path = encode("in.mkv", moving(50), tone_hz=500, audio_codec="flac")
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) - 4000, 500):
        data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        written = copy_frames(path, tmp_path / "o.mp4", moving(50))
    assert VideoReader(written).frames == 50
