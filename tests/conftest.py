"""Fixtures for every room."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings

# a shared or cold machine is no bug
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Bunraku = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """A command sets the level of the log for its process; the next test has the one of before."""
    logger = logging.getLogger("bunraku")
    level, handlers, propagate = logger.level, [*logger.handlers], logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
    logger.propagate = propagate


@pytest.fixture
def bunraku(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bunraku:
    """bunraku("animate", ...) -> exit code, stdout, stderr, as a shell would see them."""

    from bunraku.cli import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bunraku", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny_pipeline():
    """A pipeline of random weights, for 64x64 pixels and two steps (see tiny.py)."""
    from tests.tiny import build_tiny_pipeline

    return build_tiny_pipeline()


@pytest.fixture(scope="session")
def reference_image() -> np.ndarray:
    """uint8 (64, 64, 3)."""
    return np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline, saved."""
    from tests.tiny import build_tiny_pipeline

    folder = tmp_path_factory.mktemp("model")
    build_tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def puppets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two theatre scenes of 12 frames, 96x64, 12 fps: a and b, each .mp4 .png .pose.json .cues; b.mp4 has sound."""
    import wave

    from bunraku.media import VideoWriter
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import write_scene
    from tests.video import read_video

    folder = tmp_path_factory.mktemp("puppets")
    for name, seed in (("a", 3), ("b", 5)):
        write_scene(sample_scene(seed, "test"), folder / f"{name}.mp4", 12, (96, 64))
    samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype("<i2")
    with wave.open(str(folder / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48000)
        sound.writeframes(samples.tobytes())
    clip = read_video(folder / "b.mp4")
    with VideoWriter(
        folder / "b.mp4", fps=clip.fps, size=clip.frames.shape[1:3], audio_from=folder / "tone.wav"
    ) as video:
        for frame in clip.frames:
            video.write(frame)
    return folder


@pytest.fixture(scope="session")
def assets() -> Path:
    """Real footage that is not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip("the folder of real footage is absent")
    return folder
