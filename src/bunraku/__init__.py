"""bunraku: one still image and one driving video in, one animated video out."""

from importlib import import_module
from typing import Any

_LAZY = {
    "AnimationPipeline": "bunraku.pipeline",
    "Denoiser": "bunraku.nets.denoiser",
    "ReferenceNet": "bunraku.nets.reference_net",
    "PoseGuider": "bunraku.nets.pose_guider",
    "LiteralPoseGuider": "bunraku.nets.pose_guider",
    "PatchCodec": "bunraku.nets.patch_codec",
    "PictureCodec": "bunraku.nets.picture_codec",
    "PoseTrack": "bunraku.perception.pose",
    "Cues": "bunraku.cues.cues",
    "AnimateOptions": "bunraku.animate",
    "load_driving": "bunraku.animate.driving",
    "perceive": "bunraku.animate.driving",
    "BunrakuError": "bunraku.errors",
}

__all__ = list(_LAZY)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Public names load their module when first used: `import bunraku` does not import torch."""
    if name not in _LAZY:
        raise AttributeError(f"module 'bunraku' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
