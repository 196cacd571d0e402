"""Weights: which have a name, fetching, recognising and converting them, loading without surprises, writing."""

from importlib import import_module
from typing import Any

_LAZY = {
    "list_models": "bunraku.weights.registry",
    "pull": "bunraku.weights.download",
    "verify": "bunraku.weights.download",
    "load_pipeline": "bunraku.weights.loading",
    "save_pipeline": "bunraku.weights.export",
    "convert": "bunraku.weights.conversion",
    "describe": "bunraku.weights.info",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    """Public names load their module when first used: the registry alone does not import torch."""
    if name not in _LAZY:
        raise AttributeError(f"module 'bunraku.weights' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
