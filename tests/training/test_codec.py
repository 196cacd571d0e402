"""Training of the mini autoencoder: closed-form components, then a decoder that must gain on them."""

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


@pytest.mark.slow
def test_the_decoder_gains_on_its_components(tmp_path):
    config = CodecConfig(
        tmp_path / "codec",
        latent_channels=8,
        size=64,
        crop=32,
        batch=4,
        steps=40,
        fit_frames=40,
        save_every=40,
        workers=0,
        learning_rate=8e-3,
    )
    codec = train_codec(config)
    saved = PatchCodec.from_pretrained(tmp_path / "codec")
    for name, value in codec.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name]), name
    trained = codec_psnr(codec, 64, frames=8)
    for parameter in codec.decoder[-2].parameters():  # a decoder whose last layer is zero adds nothing
        torch.nn.init.zeros_(parameter)
    assert trained > codec_psnr(codec, 64, frames=8) + 0.05
