"""Small videos made on the spot, with every oddity that real files have."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

Encode = Callable[..., Path]


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """encode(name, frames uint8 (F,H,W,C), codec, pixels, ...) -> path, straight through PyAV, without our writer."""

    def write(
        name: str,
        frames: np.ndarray,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        *,
        options: dict[str, str] | None = None,
        fps: Fraction | int = 25,
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        source: str = "rgb24",
        stream_setup: Callable[[Any], None] = lambda stream: None,
        convert: dict[str, Any] | None = None,
        tone_hz: float = 0,
        audio_codec: str = "aac",
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream: Any = container.add_stream(codec, rate=fps, options=options or {})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pixels
            if time_base is not None:
                stream.codec_context.time_base = time_base
            stream_setup(stream)
            audio: Any = container.add_stream(audio_codec, 48000, layout="mono") if tone_hz else None
            for index, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source)
                if convert is not None:
                    frame = frame.reformat(format=pixels, **convert)
                frame.pts = index if pts is None else pts[index]
                frame.time_base = time_base or 1 / Fraction(fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if audio is not None:
                for chunk in tone(tone_hz, len(frames) / float(fps)):
                    container.mux(audio.encode(chunk))
                container.mux(audio.encode(None))
        return path

    return write


def tone(hertz: float, seconds: float) -> list[av.AudioFrame]:
    """Silence with one loud click at 0.5 s, then a sine: the click shows whether sound and picture stay together."""
    time = np.arange(round(seconds * 48000)) / 48000
    wave = np.where(time < 0.5, 0, 0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
    chunks = []
    for start in range(0, len(wave), 1024):
        chunk = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        chunk.sample_rate, chunk.pts, chunk.time_base = 48000, start, Fraction(1, 48000)
        chunks.append(chunk)
    return chunks


@pytest.fixture
def moving() -> Callable[..., np.ndarray]:
    """moving(F, H, W) -> a smooth colour gradient with a bar that tells the frame number: uint8 (F, H, W, 3)."""

    def make(count: int = 12, height: int = 64, width: int = 96) -> np.ndarray:
        y, x = np.mgrid[0:height, 0:width]
        picture = np.stack([40 + 170 * x / width, 40 + 150 * y / height, 200 - 120 * x / width], -1)
        frames = np.repeat(picture[None], count, 0)
        for index in range(count):
            frames[index, : height // 4] = 20 + 210 * index / count
        return frames.astype(np.uint8)

    return make


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(np.float64) - b) ** 2), 1e-9)))
