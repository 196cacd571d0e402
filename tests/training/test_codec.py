"""Training of the codec: it learns, it continues exactly, and what it is scored on is held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bunraku.errors import BunrakuError
from bunraku.nets.picture_codec import PictureCodec
from bunraku.nets.pixels import unit_pixels
from bunraku.theatre import render, sample_scene
from bunraku.training import codec as training
from bunraku.training.codec import CodecConfig, psnr, stills, theatre_picture, train_codec
from bunraku.training.run import load_vae
from tests.training.continues import assert_a_stopped_run_continues_exactly

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"


@pytest.fixture
def config(tmp_path, monkeypatch) -> CodecConfig:
    """A run of four steps on narrow networks."""
    narrow = lambda channels: PictureCodec(channels, (8, 8), (1, 1), (8, 8, 8), (1, 1, 1))  # noqa: E731
    monkeypatch.setattr(training, "PictureCodec", narrow)
    return CodecConfig(
        tmp_path / "run",
        latent_channels=8,
        crop=32,
        crops=2,
        pictures=2,
        steps=4,
        warm_up=2,
        fit_pictures=20,
        seconds_per_checkpoint=0,
    )


def test_a_stopped_run_continues_exactly(config, tmp_path, monkeypatch):
    assert_a_stopped_run_continues_exactly(
        training, train_codec, config, tmp_path / "stopped", ("codec", "average"), monkeypatch
    )


def test_the_saved_codec_is_the_average_and_all_of_it_has_learnt(config):
    codec = train_codec(config)
    saved = PictureCodec.from_pretrained(config.output / "model").state_dict()
    for name, value in codec.state_dict().items():
        assert torch.equal(value, saved[name]), name
    state = torch.load(config.output / "checkpoint.pt", weights_only=True)
    assert all(
        state["codec"][name].abs().max() > 0 for name in ("decoder.9.weight", "encoder.5.weight") if name in saved
    )
    assert psnr(codec, theatre_picture(0, size=64)) > 15


def test_a_run_with_other_settings_is_refused(config):
    train_codec(config)
    with pytest.raises(BunrakuError, match=r"other settings: latent_noise \(0.1 before, now 0.2\)"):
        train_codec(replace(config, latent_noise=0.2))
    train_codec(replace(config, steps=5))  # longer is no other run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 77}, "crop 77 is not a multiple of 8"),
        ({"init": "nowhere"}, "init nowhere is no codec"),
        ({"stills": "nowhere"}, "stills nowhere is no folder of pictures"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(config, changes, message):
    with pytest.raises(BunrakuError, match=message):
        replace(config, **changes)


def test_learning_rates_rise_stay_and_fall(config):
    config = replace(config, steps=1000, warm_up=100, decay=0.2)
    rates = [training.rate(config, step) for step in (0, 49, 99, 500, 800, 900, 999)]
    assert rates == pytest.approx([0.01, 0.5, 1, 1, 1, 0.5, 0.005])


def test_noise_on_latents_costs_quality(config):
    codec, picture = train_codec(config), theatre_picture(3, size=64)
    assert psnr(codec, picture) > psnr(codec, picture, noise=0.3) + 0.5


def test_held_out_frames_are_those_of_the_theatre(config):
    assert theatre_picture(0, size=64).shape == (64, 64, 3)
    assert np.array_equal(theatre_picture(2, size=64), theatre_picture(2, size=64))


@pytest.mark.skipif(not ASSETS.is_dir(), reason="the pictures are not part of the repository")
def test_stills_keep_their_shape_and_are_never_enlarged():
    small, large = stills(ASSETS, 256), stills(ASSETS, 100_000)
    assert {"char1", "char4", "cartoon", "photo_woman", "robot", "two_women"} <= set(small)
    assert small["two_women"].shape == (256, 256, 3)
    assert large["two_women"].shape == (512, 512, 3)
    assert all(side % 8 == 0 for still in [*small.values(), *large.values()] for side in still.shape[:2])


@pytest.mark.slow
def test_the_shipped_codec_is_as_sharp_as_its_card_says():
    """On puppets of the test split, which it never saw."""
    codec = load_vae(None, "bunraku/vae").eval()
    frames = np.stack([render(sample_scene(seed, "test"), [5], 256).frames[0] for seed in range(4)])
    pixels = unit_pixels(frames) * 2 - 1
    with torch.no_grad():
        back = codec.decode(codec.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
    error = ((back - pixels) / 2).square().mean((1, 2, 3))
    assert (-10 * error.log10()).mean() > 33
