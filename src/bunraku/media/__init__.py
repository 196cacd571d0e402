"""Pixels in and out of files: video, sound, stills, picture sheets."""

from bunraku.media.files import (
    check_free,
    check_input,
    check_output,
    filling,
    ordinary_permissions,
    plain_write_errors,
    replacing,
)
from bunraku.media.frames import (
    CLIPS,
    FOLDER_FPS,
    FrameArray,
    FrameFolder,
    Frames,
    FramesByNumber,
    clips_in,
    open_frames,
    pictures_in,
)
from bunraku.media.images import Affine, fit, placement, read_image, resize, write_image
from bunraku.media.reader import VideoReader
from bunraku.media.sheet import contact_sheet, side_by_side
from bunraku.media.source import Slice
from bunraku.media.writer import VideoWriter, check_video_output, written

__all__ = [
    "CLIPS",
    "FOLDER_FPS",
    "Affine",
    "FrameArray",
    "FrameFolder",
    "Frames",
    "FramesByNumber",
    "Slice",
    "VideoReader",
    "VideoWriter",
    "check_free",
    "check_input",
    "check_output",
    "check_video_output",
    "clips_in",
    "contact_sheet",
    "filling",
    "fit",
    "open_frames",
    "ordinary_permissions",
    "pictures_in",
    "placement",
    "plain_write_errors",
    "read_image",
    "replacing",
    "resize",
    "side_by_side",
    "write_image",
    "written",
]
