"""Output files: checked before any work, written under a temporary name, put in place only when complete."""

import ctypes
import errno
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bunraku.errors import BunrakuError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_IN_WORDS = re.compile(
    rf"os error ({'|'.join(map(str, _FULL))})\b|PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+"
)
"""What safetensors and torch say of it, whose exceptions carry no number; torch of any file that it cannot write to the end."""


def check_input(path: str | os.PathLike[str]) -> Path:
    """The path of an existing, non-empty file. Raises BunrakuError when it is missing, a folder, a pipe, empty or unreadable."""
    path = Path(path)
    try:
        if path.is_dir():
            raise BunrakuError(f"{path} is a folder; give the path of one file in it")
        if path.exists() and not path.is_file():  # opening a pipe waits until somebody writes
            raise BunrakuError(f"{path} is a pipe or a device; write what comes out of it into a file, and give that")
        with path.open("rb") as file:
            if not file.read(1):
                raise BunrakuError(f"{path} is empty (0 bytes); copy or download it again")
    except FileNotFoundError:
        if re.match(r"\w{2,}:/", str(path)):
            raise BunrakuError(f"{path} is a web address; download it first, and give the file") from None
        raise BunrakuError(f"{path} does not exist; check the spelling and the current folder ({Path.cwd()})") from None
    except OSError as error:
        raise BunrakuError(f"{path} cannot be read: {error.strerror}") from error
    return path


def check_output(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """The path of a file that can be written. Call it before long work; it leaves nothing behind.

    Args:
        path: the file (or new folder) to be written. A file of that name may exist: the user named it.
        inputs: files, and folders of pictures or poses, that are read meanwhile and must not be replaced.

    Raises:
        BunrakuError: the folder is missing or unwritable, or the path is an input.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise BunrakuError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    for other in map(Path, inputs):
        if path == other or (path.exists() and other.exists() and _reads(other, path)):
            raise BunrakuError(f"output {path} is also an input; choose another output name")
    try:
        # Permission bits say nothing for root, read-only mounts and network folders; only writing tells.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BunrakuError(f"cannot write {path}: the folder {folder} is not writable ({error.strerror})") from error
    return path


def check_free(paths: Iterable[Path], overwrite: bool) -> None:
    """Of files that a command would write beside the one that the user named: raises BunrakuError where any exists."""
    if not overwrite and (taken := [path for path in paths if path.exists()]):
        more = f" and {len(taken) - 1} more" if taken[1:] else ""
        raise BunrakuError(
            f"{taken[0]}{more} would be replaced; write elsewhere, or say that you want it with --overwrite "
            "(overwrite=True in Python)"
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` on clean exit and vanishes on any exception.

    Whether it becomes a file or a folder is up to the caller; a folder takes the place of a whole folder. An existing
    `path` stays as it was until the end, whenever the process is killed. What is written has the permissions of any new file, whoever wrote it.

    Raises:
        BunrakuError: the disk is full.
    """
    temporary = _hidden(path)
    try:
        with plain_write_errors(path):
            yield temporary
            ordinary_permissions(temporary)
            if temporary.is_dir() and path.is_dir():
                _replace_folder(temporary, path)
            else:
                os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextmanager
def filling(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder whose files move into `folder`, which may be new, on clean exit; it vanishes on any exception.

    Args:
        overwrite: whether files of the same names are replaced. Files of other names always stay.

    Raises:
        BunrakuError: without `overwrite`, where a file of such a name has appeared meanwhile; says where the files are. The disk is full.
    """
    # Inside, not beside, a folder that exists: it may be a drive of its own, or the current folder.
    temporary = _hidden(folder / "files" if folder.is_dir() else folder)
    try:
        with plain_write_errors(folder):
            temporary.mkdir()
            yield temporary
            ordinary_permissions(temporary)
            if not folder.exists():
                os.replace(temporary, folder)
                return
            files = sorted(temporary.iterdir())
            if not overwrite and (taken := [file.name for file in files if (folder / file.name).exists()]):
                kept = temporary.with_name(temporary.name.lstrip("."))
                os.replace(temporary, kept)
                raise BunrakuError(
                    f"{folder / taken[0]} has appeared meanwhile and is not replaced; the files are in {kept}"
                )
            for file in files:
                os.replace(file, folder / file.name)
    finally:
        _remove(temporary)


def ordinary_permissions(path: Path) -> None:
    """Gives a new file, or all of a new folder, the permissions that `open` and `mkdir` would have given it.

    Some libraries write through private temporary files (0600), which a colleague or a web server then cannot read.
    """
    probe = path.with_name(f"{path.name}.mode")
    probe.touch(exist_ok=False)  # the umask can be asked for only by changing it, for all threads
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        # Folders must be searchable by whom they are readable for: 0644 -> 0755.
        wanted = mode | (mode & 0o444) >> 2 if each.is_dir() else mode
        if stat.S_IMODE(each.stat().st_mode) != wanted:
            with suppress(OSError):  # a file system without permissions
                each.chmod(wanted)


def _reads(other: Path, path: Path) -> bool:
    """Whether reading `other`, a file or a folder of pictures or poses, reads `path`."""
    shown = path.suffix.lower() in (*IMAGE_SUFFIXES, ".json")
    return path.samefile(other) or (shown and other.is_dir() and path.parent.samefile(other))


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial{path.suffix}")


def _replace_folder(new: Path, folder: Path) -> None:
    """Puts a folder in the place of another, which is removed: in one step where the system can exchange two, so that there is always one."""
    old = new
    if not _exchange(new, folder):
        old = _hidden(folder)
        os.replace(folder, old)
        try:
            os.replace(new, folder)
        except BaseException:
            os.replace(old, folder)
            raise
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two paths change places at once. False: this system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def plain_write_errors(path: Path) -> Iterator[None]:
    """Turns a full disk met while writing `path` into a BunrakuError."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error) and not isinstance(error, BunrakuError):
            raise BunrakuError(
                f"the disk is full ({getattr(error, 'strerror', None) or error}) while writing {path}; free some space or write elsewhere"
            ) from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an exception, or what it was raised from, says that a disk is full."""
    return error is not None and (
        (isinstance(error, OSError) and error.errno in _FULL)
        or _FULL_IN_WORDS.search(str(error)) is not None
        or is_disk_full(error.__cause__)
    )
