"""What a file or folder of weights is, in plain data: for people and for `--json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bunraku.pipeline import DEFAULT_RECIPE
from bunraku.recipes import part_names
from bunraku.weights.loading import empty_component, find_class
from bunraku.weights.states import Comparison, compare, read_json
from bunraku.weights.survey import fit, survey


def describe(*sources: str | Path) -> dict[str, Any]:
    """Which layout it is, whose, what is there and what is not; nothing is loaded, copied or run.

    Args:
        sources: a file or folder, and further places for what it lacks.

    Returns:
        `model` (name of the family, "bunraku" for a model that is converted already, None for less than a model), `about`,
        `licence`, `missing` (networks), `complete` (a model that can be converted or loaded), `parts` (of each network: path,
        layout, class, keys, parameters, and its keys that are missing, unexpected or mis-shaped), `unused` and `unread`
        (files and the reasons).

    Raises:
        BunrakuError: as of `survey`.
    """
    folder = Path(sources[0]).expanduser()
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    if index.get("_class_name") == "AnimationPipeline":
        return _converted(folder, index)
    found = survey(*sources)
    parts = {}
    for role, place in found.roles.items():
        network, _, comparison = fit(role, found.roles, found.family)
        parts[role] = _part(place.path, place.part.layout, network, place.part.state, comparison)
    family = found.family
    return {
        "source": folder,
        "model": family.name if family else None,
        "about": family.about if family else "single networks",
        "licence": family.licence if family else None,
        "missing": found.missing,
        "complete": family is not None and not found.missing and all(part["fits"] for part in parts.values()),
        "parts": parts,
        "unused": {str(path): reason for path, reason in found.unused.items()},
        "unread": {str(path): reason for path, reason in found.unread.items()},
    }


def _converted(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    parts = {}
    for name, entry in index.items():
        if isinstance(entry, list) and len(entry) == 2 and (folder / name / "config.json").is_file():
            network, state = empty_component(find_class(name, entry), folder / name)
            comparison = compare(network.state_dict(), state)
            parts[name] = _part(folder / name, "bunraku", network, state, comparison)
    missing = [name for name in ("vae", *part_names(index.get("recipe", DEFAULT_RECIPE))) if name not in parts]
    return {
        "source": folder,
        "model": "bunraku",
        "about": f"a model of bunraku, recipe {index.get('recipe', DEFAULT_RECIPE)}",
        "licence": None,
        "missing": missing,
        "complete": not missing and all(part["fits"] for part in parts.values()),
        "parts": parts,
        "unused": {},
        "unread": {},
    }  # fmt: skip


def _part(path: Path, layout: str, network: Any, state: Mapping[str, Tensor], comparison: Comparison) -> dict[str, Any]:
    return {
        "path": path,
        "layout": layout,
        "network": type(network).__name__,
        "keys": len(state),
        "parameters": sum(value.numel() for value in state.values()),
        "dtypes": sorted({str(value.dtype).removeprefix("torch.") for value in state.values()}),
        "fits": comparison.fits,
        "missing": comparison.missing,
        "unexpected": comparison.unexpected,
        "misshaped": comparison.misshaped,
    }
