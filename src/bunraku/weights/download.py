"""Fetching named weights from the Hugging Face Hub and other servers: resumable, checked, and under its own name only when whole."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bunraku.errors import BunrakuError
from bunraku.weights.registry import File, Model, get

LFS_HEADER = b"version https://git-lfs"

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there and the bytes there will be."""


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Fetch the weights called `name` and return their folder; what is there already and right is not fetched again.

    An interrupted download is resumed by the next call. A file takes its name only once its checksum is right.

    Raises:
        BunrakuError: unknown name, no connection, no room on the disk, or a file that is not what the registry says.
    """
    model = get(name)
    if model.shipped:
        return verify(name)
    for file in model.files:
        final = model.folder / file.path
        if final.is_file() and wrong(final, file) is None:
            continue
        partial = final.with_name(f"{final.name}.partial")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            fetch(model, file, partial, progress)
        except Exception as error:  # the Hub's client raises its own, its HTTP library's and the system's errors
            raise BunrakuError(
                f"{file.path} could not be fetched ({described(error)}). Run this again to resume where it stopped, "
                f"or put {file.path} from {model.source} into {model.folder} by hand."
            ) from error
        if problem := wrong(partial, file):
            partial.unlink()
            raise BunrakuError(f"What {model.source} sent as {file.path} {problem}. It was thrown away; try again.")
        os.replace(partial, final)
    return model.folder


def verify(name: str) -> Path:
    """Check the weights called `name` without fetching anything, and return their folder.

    Downloaded files are compared with the registry's checksums; of shipped ones every safetensors file is opened.

    Raises:
        BunrakuError: unknown name; missing or damaged files (names every one of them).
    """
    model = get(name)
    problems = _shipped_problems(model) if model.shipped else _download_problems(model)
    if problems:
        remedy = "install bunraku again" if model.shipped else f"fetch them with `bunraku models pull {name}`"
        raise BunrakuError(f"The weights {name} in {model.folder} are not whole: {'; '.join(problems)}; {remedy}.")
    return model.folder


def fetch(model: Model, file: File, partial: Path, progress: Progress | None) -> None:
    """Download one file of `model` to `partial`, continuing behind what is there.

    Not `hf_hub_download`: its newer versions start every call from nothing. The Hub's token goes to the Hub only.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if file.url is not None:
        url, headers = file.url, {"user-agent": "bunraku"}
    elif model.repo is not None:
        url, headers = hf_hub_url(model.repo, file.path), build_hf_headers()
    else:
        raise ValueError(f"{model.name}: {file.path} has neither a URL nor a repository")
    with partial.open("ab") as stream:
        if stream.tell() < file.size:
            http_get(url, stream, resume_size=stream.tell(), headers=headers, tqdm_class=_reporter(file, progress))


def described(error: Exception) -> str:
    """Kind and first line of an error of a library, for a message of ours."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def wrong(path: Path, file: File) -> str | None:
    """What is wrong with `path`, said so that it continues the sentence "this file ..."; None if it is `file`."""
    if is_lfs_pointer(path):
        return "is a git-LFS pointer instead of the weights"
    if (size := path.stat().st_size) != file.size:
        return f"has {size:,} bytes instead of {file.size:,}"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return (
        None if digest.startswith(file.sha256) else f"has the wrong checksum (sha256 {digest}, expected {file.sha256})"
    )


def is_lfs_pointer(path: Path) -> bool:
    """Whether `path` is the text that git keeps in place of a large file (a clone made without git-lfs)."""
    with path.open("rb") as stream:
        return stream.read(len(LFS_HEADER)) == LFS_HEADER


def _download_problems(model: Model) -> list[str]:
    found: Mapping[str, str | None] = {
        file.path: wrong(model.folder / file.path, file) if (model.folder / file.path).is_file() else "is missing"
        for file in model.files
    }
    return [f"{path} {problem}" for path, problem in found.items() if problem]


def _shipped_problems(model: Model) -> list[str]:
    from safetensors import SafetensorError, safe_open

    if not (model.folder / "model_index.json").is_file():
        return ["model_index.json is missing"]
    problems = []
    for path in sorted(model.folder.rglob("*.safetensors")):
        try:
            with safe_open(path, "np"):
                pass
        except SafetensorError as error:
            reason = "is a git-LFS pointer instead of the weights" if is_lfs_pointer(path) else f"is damaged ({error})"
            problems.append(f"{path.relative_to(model.folder)} {reason}")
    return problems


def _reporter(file: File, progress: Progress | None) -> type:
    """A tqdm class, which is what the Hub's client takes, that draws nothing and calls `progress`."""
    from tqdm import tqdm

    class Reporter(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if progress is not None:
                progress(file.path, int(self.n), file.size)

    return Reporter
