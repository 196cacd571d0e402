"""The registry of named weights: what each is, its licence, where it comes from and where it lies."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from bunraku.errors import BunrakuError
from bunraku.machine import home


@dataclass(frozen=True)
class File:
    """One file to download.

    Attributes:
        path: below the model's folder, and in its repository on the Hub where there is no `url`.
        sha256: lower-case hexadecimal; where the publisher names only the beginning (torch.hub: vgg16-397923af.pth), that,
            8 digits or more. None: what the Hub's own record says when it is fetched (see `download.Record`).
        size: in bytes; None: as for sha256.
        url: where it comes from instead of the model's repository; https only.

    Raises:
        ValueError: no usable checksum, none at all for a file that is not on the Hub, or a URL that is not https (http is for
            a server on this machine).
    """

    path: str
    sha256: str | None = None
    size: int | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"{self.path}: sha256 is {self.sha256!r}, expected 8 to 64 lower-case hexadecimal digits")
        if self.url is not None and not self.url.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"{self.path}: {self.url} is not https")
        if self.url is not None and None in (self.sha256, self.size):
            raise ValueError(f"{self.path}: nobody but the Hub records size and checksum of {self.url}")


@dataclass(frozen=True)
class Model:
    """Weights with a name.

    Attributes:
        name: what commands and `load_pipeline` call it, and the name of its folder.
        description: what it is, one line.
        kind: "pipeline" is a folder that `load_pipeline` reads, "checkpoint" are somebody's own files, which it converts when
            they are first used, "part" is a network that such models need or that training starts from, "perception"
            belongs to a detector, "metric" to one of `bunraku.evaluation`.
        licence: SPDX identifier, or the conditions in a word.
        source: page with the conditions of use.
        repo: repository on the Hub of the files that have no URL of their own.
        files: what `pull` fetches; empty: shipped inside the package.
        needs: names of parts without which a checkpoint is no model; `pull` fetches them as well.
        about_bytes: size of the download, rounded, where the files do not say it.
    """

    name: str
    description: str
    kind: Literal["pipeline", "checkpoint", "part", "perception", "metric"]
    licence: str
    source: str
    repo: str | None = None
    files: tuple[File, ...] = ()
    needs: tuple[str, ...] = ()
    about_bytes: float = 0

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
    def converted(self) -> Path:
        """Where a checkpoint lies once it is converted."""
        return home() / "converted" / self.name

    @property
    def present(self) -> bool:
        """Whether all files are there, or were converted; `verify` tells whether they are whole."""
        if self.shipped:
            return self.folder.is_dir()
        return (self.converted / "model_index.json").is_file() or all(
            (self.folder / f.path).is_file() for f in self.files
        )

    @property
    def size(self) -> int:
        """Bytes on disk: of what is shipped (0 where it is missing), or of the download, rounded where nobody says it."""
        if self.shipped:
            return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return round(self.about_bytes) or sum(file.size or 0 for file in self.files)


LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1"

IMAGE_TOKEN = ("sd-vae-ft-mse", "sd-image-variations")
EMPTY_PROMPT = ("sd-vae-ft-mse", "sd15-text-encoder")
"""What the two kinds of checkpoints need besides their own files."""

MODELS = (
    Model(
        name="bunraku",
        description="the cut-out mended by a diffusion model of 18 M parameters, trained on the theatre; shipped, runs offline on a CPU",
        kind="pipeline",
        licence="Apache-2.0",
        source="bunraku/assets/bunraku/README.md",
    ),
    Model(
        name="mini",
        description="animate-anyone for 128x128, trained on the theatre; shipped, runs offline on a CPU",
        kind="pipeline",
        licence="Apache-2.0",
        source="bunraku/assets/mini/README.md",
    ),
    # Public models of Animate Anyone's kind. Checksums that are given here are pinned alike by public download manifests; for the
    # others the Hub's record of the revision that is fetched counts, and is kept beside the files.
    Model(
        name="moore",
        description="Moore-AnimateAnyone: the public re-implementation of Animate Anyone, 512x784",
        kind="checkpoint",
        licence="Apache-2.0",
        source="https://huggingface.co/patrolli/AnimateAnyone",
        repo="patrolli/AnimateAnyone",
        files=(
            File("denoising_unet.pth"),
            File("reference_unet.pth"),
            File("motion_module.pth", "0d11e01a281b39880da2efeea892215c1313e5713fca3d100a7fbb72ee312ef9"),
            File("pose_guider.pth", "1a8b7c1b4db92980fd977b4fd003c1396bbae9a9cdea00c35d452136d5e4f488"),
        ),
        needs=IMAGE_TOKEN,
        about_bytes=8.7e9,
    ),
    Model(
        name="musepose",
        description="MusePose: Animate Anyone for dance, windows of 48 frames, 768x768",
        kind="checkpoint",
        licence="non-commercial research",
        source="https://huggingface.co/TMElyralab/MusePose",
        repo="TMElyralab/MusePose",
        files=tuple(
            File(f"MusePose/{name}.pth")
            for name in ("denoising_unet", "reference_unet", "motion_module", "pose_guider")
        ),
        needs=IMAGE_TOKEN,
        about_bytes=8.7e9,
    ),
    Model(
        name="champ",
        description="Champ: Animate Anyone guided by SMPL; here by its poses alone, 512x512",
        kind="checkpoint",
        licence="MIT",
        source="https://huggingface.co/fudan-generative-ai/champ",
        repo="fudan-generative-ai/champ",
        files=tuple(
            File(f"champ/{name}.pth")
            for name in ("denoising_unet", "reference_unet", "motion_module", "guidance_encoder_dwpose")
        ),
        needs=IMAGE_TOKEN,
        about_bytes=8.7e9,
    ),
    Model(
        name="magic-animate",
        description="MagicAnimate, driven by DensePose videos, 512x512",
        kind="checkpoint",
        licence="BSD-3-Clause",
        source="https://huggingface.co/zcxu-eric/MagicAnimate",
        repo="zcxu-eric/MagicAnimate",
        files=(
            File("appearance_encoder/config.json"),
            File("appearance_encoder/diffusion_pytorch_model.safetensors"),
            File("densepose_controlnet/config.json"),
            File("densepose_controlnet/diffusion_pytorch_model.safetensors"),
            File("temporal_attention/temporal_attention.ckpt"),
        ),
        needs=EMPTY_PROMPT,
        about_bytes=10e9,
    ),
    Model(
        name="sd-vae-ft-mse",
        description="the autoencoder of all of these",
        kind="part",
        licence="MIT",
        source="https://huggingface.co/stabilityai/sd-vae-ft-mse",
        repo="stabilityai/sd-vae-ft-mse",
        files=(
            File("config.json", "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e", 547),
            File(
                "diffusion_pytorch_model.safetensors",
                "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
                334_643_276,
            ),
        ),
    ),
    Model(
        name="sd-image-variations",
        description="CLIP ViT-L/14, the image encoder of Animate Anyone's kind",
        kind="part",
        licence="CreativeML Open RAIL-M",
        source="https://huggingface.co/lambdalabs/sd-image-variations-diffusers",
        repo="lambdalabs/sd-image-variations-diffusers",
        files=(File("image_encoder/config.json"), File("image_encoder/pytorch_model.bin")),
        about_bytes=1.22e9,
    ),
    Model(
        name="sd15-text-encoder",
        description="CLIP's text encoder of Stable Diffusion 1.5, for models with an empty prompt",
        kind="part",
        licence="CreativeML Open RAIL-M",
        source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5",
        repo="stable-diffusion-v1-5/stable-diffusion-v1-5",
        files=(File("text_encoder/config.json"), File("text_encoder/model.safetensors")),
        about_bytes=492e6,
    ),
    Model(
        name="sd15",
        description="Stable Diffusion 1.5, what training at full size starts from",
        kind="part",
        licence="CreativeML Open RAIL-M",
        source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5",
        repo="stable-diffusion-v1-5/stable-diffusion-v1-5",
        files=(
            File(
                "v1-5-pruned-emaonly.safetensors",
                "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
                4_265_146_304,
            ),
        ),
    ),
    *(
        Model(
            name=f"animatediff-{version}",
            description=f"AnimateDiff's motion modules, {version}, what stage 2 of training starts from",
            kind="part",
            licence="Apache-2.0",
            source="https://huggingface.co/guoyww/animatediff",
            repo="guoyww/animatediff",
            files=(file,),
            about_bytes=bytes_,
        )
        for version, file, bytes_ in (
            ("v1", File("mm_sd_v15.ckpt", "cf16ea656cb16124990c8e2c70a29c793f9841f3a2223073fac8bd89ebd9b69a"), 1.67e9),
            (
                "v2",
                File(
                    "mm_sd_v15_v2.ckpt",
                    "69ed0f5fef82b110aca51bcab73b21104242bc65d6ab4b8b2a2a94d31cad1bf0",
                    1_817_888_431,
                ),
                0,
            ),
            ("v3", File("v3_sd15_mm.ckpt"), 1.67e9),
        )
    ),
    *(
        Model(
            name=name,
            description=f"ControlNet for OpenPose skeletons, {version}",
            kind="part",
            licence="OpenRAIL",
            source=f"https://huggingface.co/{repo}",
            repo=repo,
            files=(File("config.json"), File("diffusion_pytorch_model.safetensors")),
            about_bytes=1.45e9,
        )
        for name, version, repo in (
            ("controlnet-openpose", "v1.1", "lllyasviel/control_v11p_sd15_openpose"),
            ("controlnet-openpose-v10", "v1.0", "lllyasviel/sd-controlnet-openpose"),
        )
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
    Model(
        name="depth-anything",
        description="depth of every pixel: Depth Anything V2, small (bunraku perceive --depth)",
        kind="perception",
        licence="Apache-2.0",
        source="https://huggingface.co/depth-anything/Depth-Anything-V2-Small-hf",
        repo="depth-anything/Depth-Anything-V2-Small-hf",
        files=(File("config.json"), File("model.safetensors")),
        about_bytes=99e6,
    ),
    Model(
        name="yolos-tiny",
        description="finds things by the names of COCO: YOLOS, tiny (bunraku perceive --object NAME)",
        kind="perception",
        licence="Apache-2.0",
        source="https://huggingface.co/hustvl/yolos-tiny",
        repo="hustvl/yolos-tiny",
        files=(File("config.json"), File("model.safetensors")),
        about_bytes=26e6,
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
