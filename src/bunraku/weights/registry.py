"""The registry of named weights: what each is, its licence, where it comes from and where it lies."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from bunraku.errors import BunrakuError


@dataclass(frozen=True)
class File:
    """One file of a repository on the Hugging Face Hub; `size` in bytes, `sha256` in lower-case hexadecimal."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Model:
    """Weights with a name.

    Attributes:
        name: what commands and `load_pipeline` call it, and the name of its folder.
        description: what it is, one line.
        kind: "pipeline" is a folder that `load_pipeline` reads, "perception" belongs to a detector.
        licence: SPDX identifier.
        source: page with the conditions of use.
        repo: repository on the Hub; None: shipped inside the package.
        files: what `pull` fetches; empty where shipped.
    """

    name: str
    description: str
    kind: Literal["pipeline", "perception"]
    licence: str
    source: str
    repo: str | None = None
    files: tuple[File, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the files lie: inside the package, or `$BUNRAKU_HOME/<name>` (BUNRAKU_HOME: ~/.cache/bunraku)."""
        if self.repo is None:
            return Path(__file__).parents[1] / "assets" / self.name
        return Path(os.environ.get("BUNRAKU_HOME") or "~/.cache/bunraku").expanduser() / self.name

    @property
    def size(self) -> int:
        """Bytes on disk: of the download, or of what is shipped (0 where it is missing)."""
        if self.repo is None:
            return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return sum(file.size for file in self.files)


MODELS = (
    Model(
        name="mini",
        description="animate-anyone for 128x128, trained on the theatre; shipped, runs offline on a CPU",
        kind="pipeline",
        licence="Apache-2.0",
        source="bunraku/assets/mini/README.md",
    ),
    # Sizes and checksums are the Hub's own LFS records of this repository, which many public download manifests pin alike;
    # yolox_l.onnx is the same file as in YOLOX's release 0.1.1rc0.
    Model(
        name="dwpose",
        description="pose detector for bodies, hands and faces: YOLOX-L and DWPose (ONNX)",
        kind="perception",
        licence="Apache-2.0",
        source="https://huggingface.co/yzd-v/DWPose",
        repo="yzd-v/DWPose",
        files=(
            File("yolox_l.onnx", "7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411", 216_746_733),
            File(
                "dw-ll_ucoco_384.onnx", "724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843", 134_399_116
            ),
        ),
    ),
)


def list_models() -> list[Model]:
    """All named weights, the default model first."""
    return list(MODELS)


def get(name: str) -> Model:
    """The weights called `name`.

    Raises:
        BunrakuError: there are none; says which there are, and the nearest.
    """
    models = {model.name: model for model in MODELS}
    if name not in models:
        nearest = get_close_matches(name, models, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise BunrakuError(f"There are no weights called {name!r}. {hint}Known names: {', '.join(models)}.")
    return models[name]
