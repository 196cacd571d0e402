"""What ComfyUI offers to nodes: its folders, its progress bar and its button to stop; absent, nodes do without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bunraku.errors import BunrakuError
from bunraku.progress import Progress


def report() -> Progress:
    """Progress on the node, where ComfyUI runs it; its "interrupt" ends the run."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as check
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda what, done, total: None
    return _Bar(ProgressBar, check)


class _Bar:
    """One bar after the other: a new one for each thing that is done."""

    def __init__(self, bar: Callable[[int], Any], check: Callable[[], None]) -> None:
        self._make, self._check, self._what = bar, check, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        self._check()
        if what != self._what:
            self._what, self._bar = what, self._make(total)
        self._bar.update_absolute(done, total)


def inputs(suffixes: tuple[str, ...]) -> list[str]:
    """Names of the files in ComfyUI's input folder that end so."""
    folder = _folders().get_input_directory()
    return sorted(file.name for file in Path(folder).iterdir() if file.suffix.lower() in suffixes and file.is_file())


def input_file(name: str) -> Path:
    """The file of that name in ComfyUI's input folder.

    Raises:
        BunrakuError: there is none, or the name leads out of the folder.
    """
    folders = _folders()
    folder, path = Path(folders.get_input_directory()).resolve(), Path(folders.get_annotated_filepath(name)).resolve()
    outputs = Path(folders.get_output_directory()).resolve()
    if not any(path.is_relative_to(allowed) for allowed in (folder, outputs)):
        raise BunrakuError(f"{name} is not in ComfyUI's input folder")
    if not path.is_file():
        raise BunrakuError(f"there is no {name} in ComfyUI's input folder ({folder})")
    return path


def output_file(prefix: str, suffix: str) -> Path:
    """A new file in ComfyUI's output folder, numbered as its own nodes do."""
    folders = _folders()
    folder, name, number, _, _ = folders.get_save_image_path(prefix, folders.get_output_directory())
    return Path(folder) / f"{name}_{number:05}_{suffix}"


def _folders() -> Any:
    try:
        import folder_paths
    except ImportError as error:
        raise BunrakuError("files are ComfyUI's, and this is not ComfyUI") from error
    return folder_paths
