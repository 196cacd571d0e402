"""The registry of named weights: what each is, its licence, where it comes from and where it lies."""

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from bunraku.errors import BunrakuError


@dataclass(frozen=True)
class File:
    """One file to download.

    Attributes:
        path: below the model's folder, and in its repository on the Hub where there is no `url`.
        sha256: lower-case hexadecimal; where the publisher names only the beginning (torch.hub: vgg16-397923af.pth), that,
            8 digits or more.
        size: in bytes.
        url: where it comes from instead of the model's repository; https only.

    Raises:
        ValueError: no usable checksum, or a URL that is not https (http is for a server on this machine).
    """

    path: str
    sha256: str
    size: int
    url: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"{self.path}: sha256 is {self.sha256!r}, expected 8 to 64 lower-case hexadecimal digits")
        if self.url is not None and not self.url.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"{self.path}: {self.url} is not https")


@dataclass(frozen=True)
class Model:
    """Weights with a name.

    Attributes:
        name: what commands and `load_pipeline` call it, and the name of its folder.
        description: what it is, one line.
        kind: "pipeline" is a folder that `load_pipeline` reads, "perception" belongs to a detector, "metric" to one of
            `bunraku.evaluation`.
        licence: SPDX identifier.
        source: page with the conditions of use.
        repo: repository on the Hub of the files that have no URL of their own.
        files: what `pull` fetches; empty: shipped inside the package.
    """

    name: str
    description: str
    kind: Literal["pipeline", "perception", "metric"]
    licence: str
    source: str
    repo: str | None = None
    files: tuple[File, ...] = ()

    @property
    def shipped(self) -> bool:
        """Whether the weights are part of the package and nothing is downloaded."""
        return not self.files

    @property
    def folder(self) -> Path:
        """Where the files lie: inside the package, or `$BUNRAKU_HOME/<name>` (BUNRAKU_HOME: ~/.cache/bunraku)."""
        if self.shipped:
            return Path(__file__).parents[1] / "assets" / self.name
        return home() / self.name

    @property
    def size(self) -> int:
        """Bytes on disk: of the download, or of what is shipped (0 where it is missing)."""
        if self.shipped:
            return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return sum(file.size for file in self.files)


LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1"

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
    # torch.hub's names hold the first digits of the trunks' checksums, the wheel of lpips 0.1.4 holds the same linear heads,
    # and many public manifests pin all of these. Without these files a metric is left out of the report.
    Model(
        name="lpips-vgg",
        description="LPIPS v0.1 on VGG16: torchvision's trunk and the linear heads",
        kind="metric",
        licence="BSD-3-Clause AND BSD-2-Clause",
        source="https://github.com/richzhang/PerceptualSimilarity",
        files=(
            File(
                "vgg16-397923af.pth",
                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                553_433_881,
                "https://download.pytorch.org/models/vgg16-397923af.pth",
            ),
            File(
                "vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7_289, f"{LPIPS}/vgg.pth"
            ),
        ),
    ),
    Model(
        name="lpips-alex",
        description="LPIPS v0.1 on AlexNet: torchvision's trunk and the linear heads",
        kind="metric",
        licence="BSD-3-Clause AND BSD-2-Clause",
        source="https://github.com/richzhang/PerceptualSimilarity",
        files=(
            File(
                "alexnet-owt-7be5be79.pth",
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                244_408_911,
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            ),
            File(
                "alex.pth",
                "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
                6_009,
                f"{LPIPS}/alex.pth",
            ),
        ),
    ),
    Model(
        name="fid-inception",
        description="the Inception network of the original FID, converted for PyTorch",
        kind="metric",
        licence="Apache-2.0",
        source="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
        files=(
            File(
                "pt_inception-2015-12-05-6726825d.pth",
                "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                95_628_359,
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            ),
        ),
    ),
    Model(
        name="fvd-i3d",
        description="I3D of Kinetics-400 as TorchScript, the network of FVD (DeepMind's weights)",
        kind="metric",
        licence="Apache-2.0",
        source="https://huggingface.co/flateon/FVD-I3D-torchscript",
        repo="flateon/FVD-I3D-torchscript",
        files=(
            File("i3d_torchscript.pt", "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2", 51_235_320),
        ),
    ),
    Model(
        name="clip-vit-b32",
        description="CLIP ViT-B/32 of OpenAI, for identity similarity (CLIP-I)",
        kind="metric",
        licence="MIT",
        source="https://huggingface.co/openai/clip-vit-base-patch32",
        repo="openai/clip-vit-base-patch32",
        files=(
            File("pytorch_model.bin", "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f", 605_247_071),
        ),
    ),
)


def home() -> Path:
    """Where downloads lie: `$BUNRAKU_HOME`, or ~/.cache/bunraku."""
    return Path(os.environ.get("BUNRAKU_HOME") or "~/.cache/bunraku").expanduser()


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
