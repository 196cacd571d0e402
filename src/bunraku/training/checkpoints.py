"""What lies in the folder of a run: its settings and its checkpoints."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.training.config import MAY_CHANGE, TrainingConfig, completed


def checkpoints(output: Path) -> list[Path]:
    """Whole checkpoints of a run, the oldest first."""
    found = (output / "checkpoints").glob("step-*")
    return sorted((p for p in found if p.name[5:].isdigit()), key=lambda p: int(p.name[5:]))


def newest_step(output: Path) -> int:
    """The step of a run's newest checkpoint; 0 where there is none."""
    found = checkpoints(output)
    return int(found[-1].name[5:]) if found else 0


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config), default=str))


def record(config: TrainingConfig) -> None:
    """Write OUTPUT/config.json, whole or not at all."""
    unfinished = config.output / f"config.json.{os.getpid()}"
    unfinished.write_text(json.dumps(_plain(config), indent=2))
    os.replace(unfinished, config.output / "config.json")


def check_same_run(config: TrainingConfig) -> None:
    """Raise BunrakuError where the folder has checkpoints of a run with other settings."""
    file = config.output / "config.json"
    if not checkpoints(config.output) or not file.is_file():
        return
    now = _plain(config)
    before = completed(parsed_json(file.read_text()), now)
    changed = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if name not in MAY_CHANGE and before.get(name) != now.get(name)
    ]
    if changed:
        raise BunrakuError(
            f"{config.output} holds a run with other settings: {'; '.join(changed)}. Continue it with its own settings, or start a "
            f"new one in another folder (--output). Only {', '.join(MAY_CHANGE)} may change"
        )
