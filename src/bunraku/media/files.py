"""Output files: checked before any work, written under a temporary name, put in place only when complete."""

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


def check_input(path: str | os.PathLike[str]) -> Path:
    """The path of an existing, non-empty file. Raises BunrakuError when it is missing, a folder, empty or unreadable."""
    path = Path(path)
    if path.is_dir():
        raise BunrakuError(f"{path} is a folder; give the path of one file in it")
    try:
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
    `path` stays as it was until the end. What is written has the permissions of any new file, whoever wrote it.
    """
    temporary = _hidden(path)
    try:
        yield temporary
        ordinary_permissions(temporary)
        if temporary.is_dir() and path.is_dir():
            with _aside(path):
                os.replace(temporary, path)
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
        BunrakuError: without `overwrite`, where a file of such a name has appeared meanwhile; says where the files are.
    """
    # Inside, not beside, a folder that exists: it may be a drive of its own, or the current folder.
    temporary = _hidden(folder / "files" if folder.is_dir() else folder)
    try:
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


@contextmanager
def _aside(folder: Path) -> Iterator[None]:
    """Moves a folder out of the way: it comes back if the block fails, and is removed if it ends well."""
    old = _hidden(folder)
    os.replace(folder, old)
    try:
        yield
    except BaseException:
        os.replace(old, folder)
        raise
    _remove(old)


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
    except OSError as error:
        if is_disk_full(error):
            raise BunrakuError(
                f"the disk is full ({error.strerror}) while writing {path}; free some space or write elsewhere"
            ) from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an exception, or what it was raised from, says that a disk is full."""
    return error is not None and (
        (isinstance(error, OSError) and error.errno in _FULL) or is_disk_full(error.__cause__)
    )
