"""Output files: checked before any work, written under a temporary name, put in place only when complete."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bunraku.errors import BunrakuError

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
        raise BunrakuError(f"{path} does not exist; check the spelling and the current folder ({Path.cwd()})") from None
    except OSError as error:
        raise BunrakuError(f"{path} cannot be read: {error.strerror}") from error
    return path


def check_output(
    path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = (), *, overwrite: bool = True
) -> Path:
    """The path of a file that can be written. Call it before long work; it leaves nothing behind.

    Args:
        path: the file (or frame folder) to be written.
        inputs: files that are read meanwhile and must not be replaced.
        overwrite: whether an existing file may be replaced.

    Raises:
        BunrakuError: the folder is missing or unwritable, the path is an input, or exists with overwrite off.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise BunrakuError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    for other in map(Path, inputs):
        if path == other or (path.exists() and other.exists() and path.samefile(other)):
            raise BunrakuError(f"output {path} is also an input; choose another output name")
    if path.exists() and not overwrite:
        raise BunrakuError(f"{path} exists already; choose another name or allow overwriting")
    try:
        # Permission bits say nothing for root, read-only mounts and network folders; only writing tells.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BunrakuError(f"cannot write {path}: the folder {folder} is not writable ({error.strerror})") from error
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` on clean exit and vanishes on any exception.

    Whether it becomes a file or a folder is up to the caller. An existing `path` stays as it was until the end.
    """
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def plain_write_errors(path: Path) -> Iterator[None]:
    """Turns a full disk met while writing `path` into a BunrakuError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BunrakuError(
                f"the disk is full ({error.strerror}) while writing {path}; free some space or write elsewhere"
            ) from error
        raise
