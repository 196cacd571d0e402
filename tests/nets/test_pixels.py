"""Pixels in the ranges of the networks."""

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from bunraku.nets.pixels import clip_pixels, unit_clips, unit_pixels


def test_clip_pixels_are_those_of_the_public_preprocessing():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    resized = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
    expected = CLIPImageProcessor()(resized, return_tensors="np").pixel_values
    ours = clip_pixels(image[None], 224)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_unit_pixels():
    images = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3).repeat(2, axis=2)
    pixels = unit_pixels(images)
    assert pixels.shape == (1, 3, 1, 2)
    np.testing.assert_allclose(pixels[0, :, 0, 0], [0, 0.2, 1])
    assert pixels.is_contiguous()
    assert images.max() == 255  # the input stays
    clips = unit_clips(images[None])
    assert clips.shape == (1, 3, 1, 1, 2)
    assert torch.equal(clips[0, :, 0], pixels[0])
