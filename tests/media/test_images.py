import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from bunraku.errors import BunrakuError
from bunraku.media import Affine, VideoReader, fit, placement, read_image, resize, write_image

from .conftest import psnr

REFERENCES = Path(__file__).parents[2].parent / "shared/assets/references"


@pytest.fixture
def picture(moving) -> np.ndarray:
    return moving(1, 48, 64)[0]


class TestRead:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "jpg", "webp"])
    def test_round_trip(self, tmp_path, picture, suffix):
        back = read_image(write_image(tmp_path / f"a.{suffix}", picture))
        if suffix in ("jpg", "webp"):
            assert psnr(back, picture) > 32
        else:
            np.testing.assert_array_equal(back, picture)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation(self, tmp_path, picture, orientation):
        upright = Image.fromarray(picture)
        stored = {
            1: lambda i: i,
            2: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            3: lambda i: i.transpose(Image.Transpose.ROTATE_180),
            4: lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
            5: lambda i: i.transpose(Image.Transpose.TRANSPOSE),
            6: lambda i: i.transpose(Image.Transpose.ROTATE_90),
            7: lambda i: i.transpose(Image.Transpose.TRANSVERSE),
            8: lambda i: i.transpose(Image.Transpose.ROTATE_270),
        }[orientation](upright)
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "e.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "e.png"), picture)

    def test_alpha(self, tmp_path, picture):
        alpha = np.full((48, 64, 1), 255, np.uint8)
        alpha[:, :32] = 0
        alpha[:, 32:40] = 128
        Image.fromarray(np.concatenate([picture, alpha], -1)).save(tmp_path / "a.png")
        white = read_image(tmp_path / "a.png")
        green = read_image(tmp_path / "a.png", background=(0, 255, 0))
        assert (white[:, :32] == 255).all()
        assert (green[:, :32] == (0, 255, 0)).all()
        np.testing.assert_array_equal(white[:, 40:], picture[:, 40:])
        half = picture[:, 32:40] * (128 / 255) + 255 * (127 / 255)
        assert np.abs(white[:, 32:40] - half).max() <= 0.5 + 1e-6

    @pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "PA", "CMYK", "YCbCr", "RGBX"])
    def test_modes(self, picture, mode):
        image = Image.fromarray(picture)
        if mode == "PA":
            image = image.convert("RGBA").convert("P").convert("PA")
        else:
            image = image.convert(mode)
        array = read_image(image)
        assert array.shape == (48, 64, 3)
        assert array.dtype == np.uint8
        if mode not in ("L", "1", "LA", "P", "PA"):
            assert psnr(array, picture) > 25

    def test_palette_with_transparency(self, tmp_path):
        image = Image.new("P", (40, 40), 1)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.paste(0, (0, 0, 20, 40))
        image.save(tmp_path / "p.png", transparency=0)
        array = read_image(tmp_path / "p.png", background=(1, 2, 3))
        assert (array[:, :20] == (1, 2, 3)).all()
        assert (array[:, 20:] == (0, 0, 255)).all()

    @pytest.mark.parametrize("suffix", ["png", "tiff"])
    def test_sixteen_bits(self, tmp_path, suffix):
        ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (40, 1))
        Image.fromarray(ramp).save(tmp_path / f"s.{suffix}")
        np.testing.assert_allclose(read_image(tmp_path / f"s.{suffix}")[..., 1], ramp / 257, atol=0.51)

    def test_colour_profile(self, tmp_path, picture):
        lab = ImageCms.createProfile("LAB")
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        Image.fromarray(picture).save(tmp_path / "s.png", icc_profile=srgb)
        assert np.abs(read_image(tmp_path / "s.png").astype(int) - picture).max() <= 1
        # A profile that does not fit its image is ignored.
        Image.fromarray(picture).save(tmp_path / "l.png", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
        np.testing.assert_array_equal(read_image(tmp_path / "l.png"), picture)

    def test_first_frame_of_an_animation(self, tmp_path):
        frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        assert (read_image(tmp_path / "a.gif") == (255, 0, 0)).all()

    def test_bad_input(self, tmp_path, picture):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "t.png")
        (tmp_path / "t.png").write_bytes((tmp_path / "t.png").read_bytes()[:4000])
        (tmp_path / "x.png").write_bytes(b"words")
        Image.fromarray(picture[:31]).save(tmp_path / "s.png")
        for name, words in [
            ("none.png", "does not exist"),
            ("", "is a folder"),
            ("x.png", "not an image"),
            ("t.png", "damaged"),
            ("s.png", "64x31 px; 32 px is the least"),
        ]:
            with pytest.raises(BunrakuError, match=words):
                read_image(tmp_path / name)

    @pytest.mark.skipif(not REFERENCES.is_dir(), reason="no real stills here")
    def test_real_stills(self):
        for path in REFERENCES.glob("*.png"):
            with Image.open(path) as image:
                assert read_image(path).shape == (image.height, image.width, 3)


class TestWrite:
    def test_bad_output(self, tmp_path, picture):
        for path, words in [("a.xyz", "known are .png"), ("no/a.png", "does not exist")]:
            with pytest.raises(BunrakuError, match=words):
                write_image(tmp_path / path, picture)
        write_image(tmp_path / "a.png", picture)
        assert os.listdir(tmp_path) == ["a.png"]


sizes = st.tuples(st.integers(32, 90), st.integers(32, 90))


class TestFit:
    @settings(max_examples=60, deadline=None)
    @given(source=sizes, target=sizes, mode=st.sampled_from(["crop", "letterbox", "stretch"]))
    def test_points_follow_the_picture(self, source, target, mode):
        """A soft blob is found, after fitting, where the transform says."""
        y, x = np.mgrid[0 : source[0], 0 : source[1]] + 0.5
        centre = np.array([source[1] * 0.45, source[0] * 0.55])
        blob = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 3.0**2))
        image = np.repeat(blob[..., None], 3, -1).astype(np.uint8)
        fitted, transform = fit(image, target, mode, (0, 0, 0))
        assert fitted.shape == (*target, 3)
        expected = transform.points(centre)
        margin = 3 * 3.0 * np.array(transform.scale)
        if (expected < margin).any() or (expected > np.array(target[::-1]) - margin).any():
            return  # partly cut off
        weight = fitted[..., 0].astype(float)
        y, x = np.mgrid[0 : target[0], 0 : target[1]] + 0.5
        found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
        assert np.abs(found - expected).max() < 0.35

    @given(source=sizes, target=sizes, mode=st.sampled_from(["crop", "letterbox", "stretch"]))
    def test_placement_is_centred_and_whole(self, source, target, mode):
        """The scaled picture has whole pixels, is at most half a pixel off the middle, and covers what the mode promises."""
        placed = placement(source, target, mode)
        start, end = placed.points(np.array([(0, 0), source[::-1]], float))
        np.testing.assert_allclose(end - start, np.rint(end - start), atol=1e-9)
        assert np.abs((start + end) / 2 - np.array(target[::-1]) / 2).max() <= 0.5 + 1e-9
        outside = np.maximum(-start, end - np.array(target[::-1])).max()
        assert {"crop": outside >= -1e-9, "letterbox": outside <= 1e-9, "stretch": abs(outside) <= 1e-9}[mode]

    def test_placement_needs_no_picture(self):
        assert placement((30_000, 60_000), (40, 40), "letterbox") == Affine((40 / 60_000, 20 / 30_000), (0, 10))
        assert placement((50, 100), (40, 40), "crop") == Affine((0.8, 0.8), (-20, 0))

    @given(source=sizes, target=sizes, mode=st.sampled_from(["crop", "letterbox", "stretch"]))
    def test_inverse(self, source, target, mode):
        transform = placement(source, target, mode)
        points = np.random.default_rng(0).uniform(0, 90, (5, 7, 2)).astype(np.float32)
        back = transform.inverse.points(transform.points(points))
        assert back.dtype == np.float32
        np.testing.assert_allclose(back, points, atol=1e-3)

    @pytest.mark.parametrize("target", [(96, 64), (64, 64), (40, 200), (33, 47)])
    def test_letterbox_keeps_the_aspect_ratio_and_everything(self, picture, target):
        fitted, transform = fit(picture, target, "letterbox", (9, 8, 7))
        assert abs(transform.scale[0] / transform.scale[1] - 1) < 0.05
        left, top = (round(v) for v in transform.offset)
        assert (fitted[:top] == (9, 8, 7)).all()
        assert (fitted[:, :left] == (9, 8, 7)).all()
        corners = transform.points(np.array([(0, 0), picture.shape[1::-1]], float))
        (left, top), (right, bottom) = np.rint(corners).astype(int)
        assert min(left, top) == 0
        assert right <= target[1]
        assert bottom <= target[0]
        assert psnr(resize(fitted[top:bottom, left:right], picture.shape[:2]), picture) > 22

    def test_crop_fills(self, picture):
        fitted, transform = fit(picture, (100, 50), "crop", (255, 0, 255))
        assert not (fitted == (255, 0, 255)).all(-1).any()
        assert transform.offset[0] < 0

    def test_stack_equals_single(self, moving):
        frames = moving(4, 48, 64)
        stacked, transform = fit(frames, (40, 40), "letterbox")
        for frame, fitted in zip(frames, stacked, strict=True):
            single, same = fit(frame, (40, 40), "letterbox")
            np.testing.assert_array_equal(single, fitted)
            assert same == transform

    def test_same_size_is_identity(self, picture):
        for mode in ("crop", "letterbox", "stretch"):
            fitted, transform = fit(picture, (48, 64), mode)
            np.testing.assert_array_equal(fitted, picture)
            assert transform == Affine((1, 1), (0, 0))

    def test_shrinking_averages(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 200
        assert np.abs(resize(stripes, (32, 32)).astype(int) - 100).max() <= 1

    def test_unknown_mode(self, picture):
        with pytest.raises(ValueError, match="fit mode"):
            fit(picture, (40, 40), "squash")


@pytest.mark.parametrize("read", [read_image, VideoReader])
def test_pictures_that_take_gigabytes_are_refused_by_their_header(tmp_path, read):
    path = tmp_path / "large.gif"
    first = Image.new("P", (9000, 9000))
    first.save(path, save_all=True, append_images=[Image.new("P", (9000, 9000), 1)])
    with pytest.raises(BunrakuError, match="is 9000x9000 px, more than 67 million; make it smaller"):
        read(path)
