"""Docstrings as the reference reads them."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("griffe", reason="mkdocstrings is not installed (extra docs)")


def test_every_name_is_an_entry() -> None:
    spec = importlib.util.spec_from_file_location(
        "several_names", Path(__file__).parents[2] / "docs" / "several_names.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.expanded(
        "Does: what, it, says: here.\n\nArgs, beside those of `x`:\n    one, two: numbers,\n        of people: many.\n    three: a third.\n\n"
        "Returns:\n    this, that: and more."
    ) == (
        "Does: what, it, says: here.\n\nArgs:\n    one: numbers,\n        of people: many.\n    two: see `one`.\n    three: a third.\n\n"
        "Returns:\n    this, that: and more."
    )
