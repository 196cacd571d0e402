"""Training of the mini autoencoder: closed-form components, then a decoder that must gain on them."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from bunraku.nets.patch_codec import PatchCodec
from bunraku.training.codec import CodecConfig, TheatreFrames, codec_psnr, train_codec


def test_frames_are_functions_of_their_number():
    data = TheatreFrames(0, "train", 64, 32)
    assert data[5].shape == (32, 32, 3)
    assert np.array_equal(data[5], data[5])
    assert not np.array_equal(data[5], data[6])


def test_a_run_fits_components_trains_the_decoder_and_saves(tmp_path):
    config = CodecConfig(
        tmp_path / "codec",
        latent_channels=8,
        size=64,
        crop=32,
        batch=2,
        steps=4,
        fit_frames=40,
        save_every=4,
        workers=0,
    )
    codec = train_codec(config)
    saved = PatchCodec.from_pretrained(tmp_path / "codec")
    for name, value in codec.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name]), name
    basis = codec.components.flatten(1).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(8, dtype=torch.float64), atol=1e-5, rtol=0)
    assert codec.decoder[-2].weight.abs().max() > 0  # it starts at zero
    assert codec_psnr(codec, 64, frames=4) > 20
    random = PatchCodec(8)
    random.components.copy_(torch.linalg.qr(torch.randn(192, 8)).Q.T.reshape(8, 3, 8, 8))
    assert codec_psnr(codec, 64, frames=4) > codec_psnr(random, 64, frames=4) + 5


@pytest.mark.slow
def test_more_training_does_not_lose_what_the_shipped_decoder_knows(tmp_path):
    shipped = Path(str(files("bunraku") / "assets" / "mini" / "vae"))
    config = CodecConfig(tmp_path / "codec", init=shipped, batch=4, steps=2, learning_rate=1e-5, workers=0)
    assert codec_psnr(train_codec(config), 128, frames=4) > 31
