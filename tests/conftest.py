"""Fixtures for every room."""

import numpy as np
import pytest


@pytest.fixture
def tiny_pipeline():
    """A pipeline of random weights, for 64x64 pixels and two steps (see tiny.py)."""
    from tests.tiny import build_tiny_pipeline

    return build_tiny_pipeline()


@pytest.fixture(scope="session")
def reference_image() -> np.ndarray:
    """uint8 (64, 64, 3)."""
    return np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
