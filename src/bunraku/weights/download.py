"""Fetching named weights from the Hugging Face Hub and other servers: resumable, checked, and under its own name only when whole."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media.files import replacing
from bunraku.weights.registry import File, Model, get

logger = logging.getLogger(__name__)

LFS_HEADER = b"version https://git-lfs"
RECORDS = ".hub.json"
"""The file beside the weights that keeps what the Hub said of them."""

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there and the bytes there will be."""


@dataclass(frozen=True)
class Record:
    """What is known of a file: from the registry, or from the Hub's own record of it.

    Attributes:
        size: in bytes.
        sha256: of its content, or the beginning; what the Hub keeps for large files (git-lfs).
        git: git's checksum of it, which the Hub keeps for small files.
        revision: commit of the repository that it belongs to.
    """

    size: int
    sha256: str | None = None
    git: str | None = None
    revision: str = "main"

    def problem(self, path: Path) -> str | None:
        """What is wrong with `path`, said so that it continues the sentence "this file ..."; None if nothing is."""
        if is_lfs_pointer(path):
            return "is a git-LFS pointer instead of the weights"
        if (size := path.stat().st_size) != self.size:
            return f"has {size:,} bytes instead of {self.size:,}"
        with path.open("rb") as stream:
            if self.sha256 is None:
                digest = hashlib.sha1(b"blob %d\0" % size + stream.read(), usedforsecurity=False).hexdigest()
                return None if digest == self.git else f"has the wrong checksum (git {digest}, expected {self.git})"
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest.startswith(self.sha256):
            return None
        return f"has the wrong checksum (sha256 {digest}, expected {self.sha256})"


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Fetch the weights called `name`, and what they need, and return their folder; what is there already and right is not
    fetched again.

    An interrupted download is resumed by the next call. A file takes its name only once its checksum is right.

    Raises:
        BunrakuError: unknown name, no connection, no room on the disk, or a file that is not what the registry, or else the
            Hub's own record, says.
    """
    model = get(name)
    if model.shipped:
        return verify(name)
    absent = [file for file in model.files if not _whole(model, file)]
    if absent:
        logger.info("%s: licence %s, see %s", name, model.licence, model.source)
    for file in absent:
        final = model.folder / file.path
        partial = final.with_name(f"{final.name}.partial")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            record = _registered(file) or hub_record(model, file)
            if final.is_file() and record.problem(final) is None:  # put there by hand
                continue
            fetch(model, file, record, partial, progress)
        except Exception as error:  # the Hub's client raises its own, its HTTP library's and the system's errors
            if final.is_file() and _registered(file) is None and _known(model, file) is None:
                logger.warning("%s is used as it is: its checksum could not be asked for (%s)", final, described(error))
                continue
            raise BunrakuError(
                f"{file.path} could not be fetched ({described(error)}). Run this again to resume where it stopped, "
                f"or put {file.path} from {model.source} into {model.folder} by hand."
            ) from error
        if problem := record.problem(partial):
            partial.unlink()
            raise BunrakuError(f"What {model.source} sent as {file.path} {problem}. It was thrown away; try again.")
        os.replace(partial, final)
    for part in model.needs:
        pull(part, progress=progress)
    return model.folder


def verify(name: str) -> Path:
    """Check the weights called `name`, and what they need, without fetching anything, and return their folder.

    Downloaded files are compared with the registry's checksums, or with the Hub's of when they were fetched; of shipped ones,
    and of checkpoints of which only the converted model is left, every safetensors file is opened.

    Raises:
        BunrakuError: unknown name; missing or damaged files (names every one of them).
    """
    model = get(name)
    left = model.present and not any((model.folder / file.path).is_file() for file in model.files)
    if left and not model.shipped and not _folder_problems(model.converted):
        return model.converted
    problems = _folder_problems(model.folder) if model.shipped else _download_problems(model)
    if problems:
        remedy = "install bunraku again" if model.shipped else f"fetch them with `bunraku models pull {name}`"
        raise BunrakuError(f"The weights {name} in {model.folder} are not whole: {'; '.join(problems)}; {remedy}.")
    for part in model.needs:
        verify(part)
    return model.folder


def hub_record(model: Model, file: File) -> Record:
    """The Hub's own record of a file, asked for and kept beside the weights; what the registry pins of it goes before.

    Raises:
        ValueError: the Hub names no checksum.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata

    if model.repo is None:
        raise ValueError(f"{model.name}: {file.path} has neither a URL nor a repository")
    told = get_hf_file_metadata(hf_hub_url(model.repo, file.path))
    etag = str(told.etag)
    if told.size is None or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag):
        raise ValueError(f"{model.repo} names no size and checksum of {file.path}")
    record = Record(
        size=file.size or told.size,
        sha256=file.sha256 or (etag if len(etag) == 64 else None),
        git=etag if len(etag) == 40 else None,
        revision=told.commit_hash or "main",
    )
    _keep(model, {file.path: record})
    return record


def fetch(model: Model, file: File, record: Record, partial: Path, progress: Progress | None) -> None:
    """Download one file of `model` to `partial`, continuing behind what is there.

    Not `hf_hub_download`: its newer versions start every call from nothing. The Hub's token goes to the Hub only.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if file.url is not None:
        url, headers = file.url, {"user-agent": "bunraku"}
    elif model.repo is not None:
        url, headers = hf_hub_url(model.repo, file.path, revision=record.revision), build_hf_headers()
    else:
        raise ValueError(f"{model.name}: {file.path} has neither a URL nor a repository")
    with partial.open("ab") as stream:
        if stream.tell() < record.size:
            reporter = _reporter(file.path, record.size, progress)
            http_get(url, stream, resume_size=stream.tell(), headers=headers, tqdm_class=reporter)


def described(error: Exception) -> str:
    """Kind and first line of an error of a library, for a message of ours."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def wrong(path: Path, file: File) -> str | None:
    """What is wrong with `path`, as of `Record.problem`; a file that the registry does not pin is never wrong."""
    record = _registered(file)
    return None if record is None else record.problem(path)


def is_lfs_pointer(path: Path) -> bool:
    """Whether `path` is the text that git keeps in place of a large file (a clone made without git-lfs)."""
    with path.open("rb") as stream:
        return stream.read(len(LFS_HEADER)) == LFS_HEADER


def _registered(file: File) -> Record | None:
    """What the registry says of a file, if it says both size and checksum."""
    return None if file.sha256 is None or file.size is None else Record(file.size, file.sha256)


def _known(model: Model, file: File) -> Record | None:
    """Without asking anybody: the registry's record, or the Hub's of an earlier time."""
    if (registered := _registered(file)) is not None:
        return registered
    try:
        kept = parsed_json((model.folder / RECORDS).read_text(encoding="utf-8"))[file.path]
        record = Record(**kept)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if file.sha256 in (None, record.sha256) else None


def _whole(model: Model, file: File) -> bool:
    path, record = model.folder / file.path, _known(model, file)
    return path.is_file() and record is not None and record.problem(path) is None


def _keep(model: Model, records: Mapping[str, Record]) -> None:
    path = model.folder / RECORDS
    kept = parsed_json(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept |= {name: asdict(record) for name, record in records.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(kept, indent=2), encoding="utf-8")


def _download_problems(model: Model) -> list[str]:
    found: dict[str, str | None] = {}
    for file in model.files:
        path, record = model.folder / file.path, _known(model, file)
        if not path.is_file():
            found[file.path] = "is missing"
        else:
            found[file.path] = (
                record.problem(path) if record else "was not fetched by bunraku: there is no checksum for it"
            )
    return [f"{path} {problem}" for path, problem in found.items() if problem]


def _folder_problems(folder: Path) -> list[str]:
    """Of a folder in diffusers' layout."""
    from safetensors import SafetensorError, safe_open

    if not (folder / "model_index.json").is_file():
        return ["model_index.json is missing"]
    problems = []
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, "np"):
                pass
        except SafetensorError as error:
            reason = "is a git-LFS pointer instead of the weights" if is_lfs_pointer(path) else f"is damaged ({error})"
            problems.append(f"{path.relative_to(folder)} {reason}")
    return problems


def _reporter(name: str, size: int, progress: Progress | None) -> type:
    """A tqdm class, which is what the Hub's client takes, that draws nothing and calls `progress`."""
    from tqdm import tqdm

    class Reporter(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if progress is not None:
                progress(name, int(self.n), size)

    return Reporter
