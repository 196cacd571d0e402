"""Still images: reading any of Pillow's formats as RGB, writing, and fitting to a size with the keypoints following."""

import os
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bunraku.errors import BunrakuError
from bunraku.media.files import IMAGE_SUFFIXES, check_input, check_output, replacing

Fit = Literal["crop", "letterbox", "stretch"]

MOST_PIXELS = 2**26
"""Of a picture: reading one of so many takes 1 GiB."""

UNREADABLE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow and its decoders say of a file that is damaged, or no picture."""


@dataclass(frozen=True)
class Affine:
    """Scale, then shift, of pixel coordinates with (0, 0) at the top left corner of the top left pixel.

    Attributes:
        scale: (x, y) factors.
        offset: (x, y) pixels, added after scaling.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Moves points (..., 2), x and y in pixels; floating dtypes are kept."""
        xy = np.asarray(xy)
        dtype = xy.dtype if np.issubdtype(xy.dtype, np.floating) else np.float64
        return (xy * np.array(self.scale) + np.array(self.offset)).astype(dtype)

    @property
    def inverse(self) -> "Affine":
        (sx, sy), (x, y) = self.scale, self.offset
        return Affine((1 / sx, 1 / sy), (-x / sx, -y / sy))


def read_image(
    source: str | os.PathLike[str] | Image.Image, *, background: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """One still as uint8 (H, W, 3) sRGB, upright as its EXIF says; of an animation, the first frame.

    Transparency is laid on `background` (RGB, 0 to 255). Greyscale, palette, 16-bit, CMYK and images with a colour
    profile are converted.

    Raises:
        BunrakuError: the file is missing, not an image, truncated, smaller than 32 px, or larger than `MOST_PIXELS`.
    """
    if isinstance(source, Image.Image):
        name, image = "the image", source
    else:
        name = str(path := check_input(source))
        try:
            image = Image.open(path)
            check_pixels(name, image.size)
            image.load()
        except BunrakuError:
            raise
        except UnidentifiedImageError:
            raise BunrakuError(f"{name} is not an image that Pillow can read; give a PNG, JPEG or WebP") from None
        except UNREADABLE as error:
            raise BunrakuError(f"{name} cannot be decoded ({error}); it is damaged, export it again") from error
    array = _to_rgb(ImageOps.exif_transpose(image), background)
    if min(array.shape[:2]) < 32:
        raise BunrakuError(f"{name} is {array.shape[1]}x{array.shape[0]} px; 32 px is the least on either side")
    return array


def check_pixels(name: str, size: tuple[int, int]) -> None:
    """Raises BunrakuError where a picture of (width, height) has more than `MOST_PIXELS`."""
    if size[0] * size[1] > MOST_PIXELS:
        raise BunrakuError(
            f"{name} is {size[0]}x{size[1]} px, more than {MOST_PIXELS // 10**6} million; make it smaller"
        )


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> Path:
    """Writes uint8 (H, W, 3) RGB in the format of the extension; an existing file is replaced only when all is written.

    Raises:
        BunrakuError: unknown extension, missing or unwritable folder, full disk.
    """
    if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
        raise BunrakuError(f"cannot write {path}: unknown image extension; known are {', '.join(IMAGE_SUFFIXES)}")
    path = check_output(path)
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, quality=95)  # of JPEG and WebP; others ignore it
    return path


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 (..., H, W, C) to `size` (height, width): pixel areas when shrinking, Lanczos when enlarging."""
    *lead, height, width, channels = images.shape
    if (height, width) == tuple(size):
        return images
    interpolation = cv2.INTER_AREA if size[0] <= height and size[1] <= width else cv2.INTER_LANCZOS4
    resized = np.empty((int(np.prod(lead)), *size, channels), images.dtype)
    for target, image in zip(resized, images.reshape(-1, height, width, channels), strict=True):
        target[...] = cv2.resize(image, (size[1], size[0]), interpolation=interpolation).reshape(target.shape)
    return resized.reshape(*lead, *size, channels)


def placement(size: tuple[int, int], target: tuple[int, int], mode: Fit = "crop") -> Affine:
    """Where a picture of `size` lies in one of `target` that it is centred in, both (height, width) in pixels.

    Args:
        mode: "crop" fills the target, and what hangs over is outside of it; "letterbox" keeps all of the picture and
            leaves bars free; "stretch" ignores the aspect ratio.

    Returns:
        From pixels of the picture to pixels of the target. The scaled picture has a whole number of pixels, so that the
        two factors of "crop" and "letterbox" may differ by a rounding.

    Example:
        >>> placement((50, 100), (40, 40), "letterbox")
        Affine(scale=(0.4, 0.4), offset=(0.0, 10.0))
    """
    height, width = size
    factors = (target[0] / height, target[1] / width)
    if mode == "stretch":
        inner = target
    elif mode in ("crop", "letterbox"):
        factor = max(factors) if mode == "crop" else min(factors)
        inner = (max(1, round(height * factor)), max(1, round(width * factor)))
    else:
        raise ValueError(f'fit mode is "crop", "letterbox" or "stretch"; got {mode!r}')
    top, left = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    return Affine((inner[1] / width, inner[0] / height), (float(left), float(top)))


def fit(
    images: np.ndarray, size: tuple[int, int], mode: Fit = "crop", fill: tuple[int, int, int] = (255, 255, 255)
) -> tuple[np.ndarray, Affine]:
    """Brings an image or a stack of frames to `size` (height, width), centred.

    Args:
        images: uint8 (..., H, W, 3).
        size: (height, width) in pixels.
        mode: see `placement`.
        fill: the colour of the bars of "letterbox", RGB, 0 to 255.

    Returns:
        uint8 (..., height, width, 3), and where a point of the input lies in it.
    """
    height, width = images.shape[-3:-1]
    placed = placement((height, width), size, mode)
    inner = round(height * placed.scale[1]), round(width * placed.scale[0])
    left, top = (int(shift) for shift in placed.offset)
    scaled = resize(images, inner)[..., max(-top, 0) :, max(-left, 0) :, :][..., : size[0], : size[1], :]
    fitted = np.empty((*images.shape[:-3], *size, 3), images.dtype)
    fitted[...] = fill
    y, x = max(top, 0), max(left, 0)
    fitted[..., y : y + scaled.shape[-3], x : x + scaled.shape[-2], :] = scaled
    return fitted, placed


def over(rgba: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Lays uint8 (..., H, W, 4) with straight alpha on one RGB colour: uint8 (..., H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow's own conversion clips 16 bits to 255
        values = np.asarray(image).astype(np.float64)
        depth = 257 if image.mode != "F" and values.max() > 255 else 1
        grey = np.rint(np.clip(values / depth, 0, 255)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    profile = image.info.get("icc_profile")
    target = "RGBA" if image.has_transparency_data else "RGB"
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=target)
            image = converted or image
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile is no reason to refuse the picture
    array = np.array(image.convert(target))
    return over(array, background) if target == "RGBA" else array
