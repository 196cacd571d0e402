"""Files from people whom we do not know: what they are by their contents, whether they are within limits, what to call them.

Whatever FFmpeg and Pillow do with a hostile file, they do it in a process of its own whose memory and time are bounded.
"""

import json
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bunraku.errors import BunrakuError

MediaKind = Literal["picture", "video", "bvh", "openpose", "cues"]

TAKEN = "a picture (PNG, JPEG, WebP, GIF), a video (MP4, MOV, MKV, WebM, AVI, GIF, WebP), BVH, OpenPose JSON, or cues"
HEAD = 4096  # bytes that tell what a file is
LONGEST_NAME = 100
NO_MOVIES = (b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1", b"jp2 ", b"jpx ", b"crx ")
"""Brands of pictures in the container of MP4."""
MOVIE_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
LARGEST_CANVAS = 16384  # px, of poses
SECONDS = 60  # of computing that looking at a file may take
PATIENCE = 600  # seconds on the clock, of a machine that has much else to do
OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)
TOO_LONG = f"it takes longer than {SECONDS} s merely to be read; export it again"
DAMAGED = "it is damaged; export it again"
RATES = (0.1, 1000)  # frames per second
MEMORY = 2 * 2**30  # bytes that looking at it may take


@dataclass(frozen=True)
class Limits:
    """How much of anything is taken.

    Attributes:
        bytes: of a file.
        pixels: of a picture.
        frame_pixels: of a frame of a video.
        frames, seconds: of a motion.
    """

    bytes: int = 200 * 2**20
    pixels: int = 40_000_000
    frame_pixels: int = 4096 * 2304
    frames: int = 3600
    seconds: float = 120


@dataclass(frozen=True)
class Media:
    """What a file was found to be.

    Attributes:
        kind: a picture, or what moves.
        suffix: what its name must end in for `bunraku.animate`, ".png".
        size: (height, width) in pixels; None: poses.
        frames: how many; 1 for a picture.
        fps: frames per second; None: the file does not say it.
    """

    kind: MediaKind
    suffix: str
    size: tuple[int, int] | None = None
    frames: int = 1
    fps: float | None = None

    @classmethod
    def read(cls, values: dict[str, Any]) -> "Media":
        """From what JSON makes of `asdict`."""
        size = values["size"]
        return cls(**values | {"size": None if size is None else (size[0], size[1])})


def shown_name(name: str) -> str:
    """A name as it may be shown: without folders, control and formatting characters, of at most 100 characters; never a path to write to.

    >>> shown_name("../../etc/pass\\x00wd"), shown_name("C:\\\\clips\\\\dance.mp4"), shown_name("..")
    ('passwd', 'dance.mp4', 'file')
    """
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    text = " ".join(printable.split()).strip(". ")
    return (text[:LONGEST_NAME] or "file").rstrip()


def examine(path: Path, limits: Limits = Limits(), name: str | None = None) -> Media:
    """Find out what an uploaded file is, and whether all of it can be used.

    Its name says nothing. Cues lose their reference to the video that they are from: it would be a file of this machine.

    Args:
        path: the file, in a folder of the server's own; it may be written again (cues).
        limits: what is more is refused.
        name: what the person calls it, for messages.

    Raises:
        BunrakuError: none of the kinds that are taken, too large, too long, damaged, or more than a minute of work or 2 GB of memory
            merely to be looked at.
    """
    name = shown_name(path.name if name is None else name)
    if (size := path.stat().st_size) > limits.bytes:
        raise BunrakuError(f"{name} has {size / 2**20:.1f} MB; at most {limits.bytes / 2**20:.0f} MB are taken")
    told(path, name)
    request = {"path": str(path), "limits": asdict(limits), "seconds": SECONDS}
    command = [sys.executable, "-m", "bunraku.apps.uploads"]
    try:
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise BunrakuError(f"{name} cannot be used: {TOO_LONG}") from None
    if done.returncode == 0:
        answer = json.loads(done.stdout.splitlines()[-1])
    else:
        answer = {"error": TOO_LONG if done.returncode == -OUT_OF_TIME else DAMAGED}
    if "error" in answer:
        raise BunrakuError(f"{name} cannot be used: {answer['error'].replace(str(path), name)}")
    return Media.read(answer)


def told(path: Path, name: str) -> tuple[MediaKind, str]:
    """Kind and suffix of a file by its first bytes; an animation may be a picture after all.

    Raises:
        BunrakuError: none of the kinds that are taken.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise BunrakuError(f"{name} is empty (0 bytes)")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "picture", ".png"
    if head.startswith(b"\xff\xd8\xff"):
        return "picture", ".jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "video", ".webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "video", ".gif"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video", ".avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video", ".mkv"
    if head[4:8] in MOVIE_ATOMS and head[8:12] not in NO_MOVIES:
        return "video", ".mov" if head[8:12] == b"qt  " else ".mp4"
    if head[8:9] == b"{" and 2 < int.from_bytes(head[:8], "little") < 2**27:
        return "cues", ".cues"
    if text[:9].upper() == b"HIERARCHY":
        return "bvh", ".bvh"
    if text[:1] in (b"{", b"["):
        return "openpose", ".json"
    raise BunrakuError(f"{name} is none of the files that are taken: {TAKEN}")


def looked_at(path: Path, limits: Limits) -> Media:
    """As `examine`, in this process."""
    kind, suffix = told(path, path.name)
    found = READERS[kind](path, suffix, limits)
    if found.frames > limits.frames:
        raise BunrakuError(f"it has {found.frames} frames; at most {limits.frames} are taken, cut it")
    if found.fps and not RATES[0] <= found.fps <= RATES[1]:
        raise BunrakuError(f"it has {found.fps:g} frames per second; {RATES[0]} to {RATES[1]} are taken")
    if found.fps and found.frames / found.fps > limits.seconds:
        raise BunrakuError(
            f"it is {found.frames / found.fps:.1f} s long; at most {limits.seconds:g} s are taken, cut it"
        )
    return found


def _picture(path: Path, suffix: str, limits: Limits) -> Media:
    from PIL import Image

    from bunraku.media import read_image

    _check_pixels(Image.open(path).size, limits.pixels)
    height, width = read_image(path).shape[:2]
    return Media("picture", suffix, (height, width))


def _video(path: Path, suffix: str, limits: Limits) -> Media:
    import av
    from PIL import Image

    from bunraku.media import VideoReader

    if suffix in (".gif", ".webp"):
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) == 1:
                return _picture(path, suffix, limits)
            _check_pixels(image.size, limits.frame_pixels)
    else:
        with av.open(str(path)) as container:
            for stream in container.streams.video:
                _check_pixels((stream.width, stream.height), limits.frame_pixels)
    reader = VideoReader(path)
    return Media("video", suffix, reader.size, len(reader), float(reader.fps))


def _bvh(path: Path, suffix: str, limits: Limits) -> Media:
    from bunraku.cues.bvh import read_bvh

    track, fps = read_bvh(path)
    return Media("bvh", suffix, None, len(track), float(fps))


def _openpose(path: Path, suffix: str, limits: Limits) -> Media:
    from bunraku.cues.openpose_json import read_openpose_json

    track = read_openpose_json(path, (512, 512))  # where the file does not say it, a picture or the job will
    _check_canvas(track.size)
    return Media("openpose", suffix, None, len(track))


def _cues(path: Path, suffix: str, limits: Limits) -> Media:
    from bunraku.cues.cues import Cues

    cues = Cues.load(path)
    _check_canvas(cues.size)
    if cues.media is not None:
        replace(cues, media=None).save(path)
    return Media("cues", suffix, None, len(cues), float(cues.fps))


READERS: dict[MediaKind, Callable[[Path, str, Limits], Media]] = {
    "picture": _picture, "video": _video, "bvh": _bvh, "openpose": _openpose, "cues": _cues,
}  # fmt: skip


def _check_pixels(size: tuple[int, int], most: int) -> None:
    if size[0] * size[1] > most:
        raise BunrakuError(
            f"it has {size[0]}x{size[1]} px; at most {most / 1e6:.1f} million pixels are taken, make it smaller"
        )


def _check_canvas(size: tuple[int, int]) -> None:
    if not 0 < min(size) <= max(size) <= LARGEST_CANVAS:
        raise BunrakuError(f"its poses are for a picture of {size[1]}x{size[0]} px; at most {LARGEST_CANVAS} are taken")


def _bounded(memory: int, seconds: int) -> None:
    """Bounds what this process may allocate and how long it may compute, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # at the second number the signal would be SIGKILL
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main() -> None:
    request = json.loads(sys.stdin.read())
    _bounded(MEMORY, request["seconds"])
    try:
        answer = asdict(looked_at(Path(request["path"]), Limits(**request["limits"])))
    except BunrakuError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"it takes more than {MEMORY / 2**30:.0f} GB of memory merely to be read"}
    except Exception:  # the readers meet what nobody has thought of, and whatever it is, the file is of no use
        answer = {"error": DAMAGED}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
