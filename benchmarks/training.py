"""Processor seconds of a training step at mini size, of this checkout and of another: python benchmarks/training.py --against CHECKOUT/src

Each run trains the first stage of Animate Anyone from its start values on the theatre, in a process of its own, twice: few steps and more; the
difference is what the steps cost, drawing of samples included. Runs of both alternate.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

FEW = 4
OWN = Path(__file__).parents[1] / "src"


def seconds(source: Path, steps: int, settings: list[str]) -> float:
    """Processor seconds of a training of so many steps, its workers included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        command = f"{sys.executable} -m bunraku train animate-anyone --size mini --stage 1 --output {folder}".split()
        asked = [f"steps={steps}", "validate_every=100000", "checkpoint_every=100000", "workers=0", *settings]
        subprocess.run(
            [*command, *(word for setting in asked for word in ("--set", setting))], check=True, capture_output=True,
            env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="src folder of another checkout")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sources = {"this": OWN} | ({"other": options.against} if options.against else {})
    measured: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(options.rounds):
        for name, source in sources.items():
            few, more = (seconds(source, steps, options.settings) for steps in (FEW, FEW + options.steps))
            measured[name].append((more - few) / options.steps)
    table = Table("checkout", "processor seconds a step", "lowest to highest")
    for name, runs in measured.items():
        table.add_row(name, f"{median(runs):.2f}", f"{min(runs):.2f} to {max(runs):.2f}")
    Console().print(table)
    if options.against:
        Console().print(f"other / this: {median(measured['other']) / median(measured['this']):.2f}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
