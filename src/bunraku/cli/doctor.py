"""`bunraku doctor`: what this installation can do: versions, devices, pose detectors, weights, codecs."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from bunraku.cli.options import JsonFlag
from bunraku.cli.terminal import result

app = typer.Typer()

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "opencv-python-headless",
    "av",
    "mediapipe",
    "ai-edge-litert",
    "onnxruntime",
)
ENCODERS = {
    "libx264": ".mp4 .mov .mkv",
    "libvpx-vp9": ".webm",
    "gif": ".gif",
    "libwebp_anim": ".webp",
    "aac": "sound",
    "libopus": "sound of .webm",
}
DECODERS = ("h264", "hevc", "vp9", "av1")


@app.command(epilog="Example: bunraku doctor")
def doctor(json_output: JsonFlag = False) -> None:
    """Show what works here: versions, devices, pose detectors, weights, codecs."""
    found = examine()
    lines = [
        f"bunraku {found['bunraku']}, Python {found['python']}, {found['platform']}",
        ", ".join(f"{name} {version or 'missing'}" for name, version in found["packages"].items()),
        f"devices: {', '.join(found['devices'])}; {found['cores']} cores, {found['threads']} threads",
    ]
    for group in ("pose_detectors", "models", "codecs"):
        lines += [f"{'ok' if row['usable'] else '--'}  {name}: {row['note']}" for name, row in found[group].items()]
    result(found, json_output, *lines)
    if not found["ready"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Everything that decides what works here, as plain data; what is missing says why.

    `ready` tells whether `bunraku animate` can run with its defaults: a pose detector and H.264; the default model needs no weights.
    """
    import torch

    import bunraku

    pose, models, codecs = _pose_detectors(), _models(), _codecs()
    return {
        "bunraku": bunraku.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "pose_detectors": pose,
        "models": models,
        "codecs": codecs,
        "ready": any(d["usable"] for d in pose.values()) and codecs["libx264"]["usable"],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _pose_detectors() -> dict[str, dict[str, Any]]:
    from bunraku.errors import BunrakuError
    from bunraku.perception.detector import DetectorName, create_pose_detector

    def tried(name: DetectorName) -> dict[str, Any]:
        try:
            detector = create_pose_detector(name)
        except BunrakuError as error:
            return {"usable": False, "note": str(error)}
        detector.close()
        return {"usable": True, "note": detector.provider}

    return {"mediapipe": tried("mediapipe"), "dwpose": tried("dwpose")}


def _models() -> dict[str, dict[str, Any]]:
    from bunraku.errors import BunrakuError
    from bunraku.weights import list_models, verify
    from bunraku.weights.registry import Model

    def checked(model: Model) -> dict[str, Any]:
        if not model.present:
            return {"usable": False, "note": f"not fetched; `bunraku models pull {model.name}`"}
        if model.kind in ("checkpoint", "part"):  # gigabytes
            return {"usable": True, "note": f"{model.folder}; `bunraku models verify {model.name}` reads it all"}
        try:
            return {"usable": True, "note": str(verify(model.name))}
        except BunrakuError as error:
            return {"usable": False, "note": str(error)}

    return {model.name: checked(model) for model in list_models()}


def _codecs() -> dict[str, dict[str, Any]]:
    from av.codec.codec import Codec, UnknownCodecError

    def tried(name: str, mode: Any, note: str) -> dict[str, Any]:
        try:
            Codec(name, mode)
        except UnknownCodecError:
            return {"usable": False, "note": f"{note}: missing in this build of FFmpeg"}
        return {"usable": True, "note": note}

    written = {name: tried(name, "w", f"writes {what}") for name, what in ENCODERS.items()}
    return written | {name: tried(name, "r", f"reads {name}") for name in DECODERS}
