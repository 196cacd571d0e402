"""Linear layers and 3x3 convolutions of the papers' size as PyTorch computes them and within `fast_products`: python benchmarks/products.py [--json FILE]

Processor milliseconds of one thread, the least of five turns, and the largest error against float64. ATEN_CPU_CAPABILITY=avx2
ONEDNN_MAX_CPU_ISA=AVX2 before it holds a processor with AVX-512 to AVX2.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from bunraku.nets.products import fast_products

TURNS = 5
LINEAR = [(16384, 320, 320), (1638, 320, 2560), (4096, 640, 640), (1024, 1280, 1280), (409, 5120, 1280)]
"""Rows, and width in and out."""

CONVOLUTIONS = [
    (8, 32, 320, 320), (8, 32, 640, 640), (8, 32, 960, 320), (8, 16, 640, 640), (8, 16, 1280, 1280), (8, 8, 1280, 1280), (8, 8, 2560, 1280),
]  # fmt: skip
"""Maps, their side, and channels in and out."""


def milliseconds(compute: Callable[[], Tensor]) -> float:
    """Processor time of one call, the least of some."""
    times = []
    for _ in range(TURNS + 1):
        started = time.process_time()
        compute()
        times.append(time.process_time() - started)
    return 1000 * min(times[1:])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers: list[tuple[str, nn.Module, Tensor]] = [
        (f"linear {rows} x {wide} to {out}", nn.Linear(wide, out), torch.randn(rows, wide))
        for rows, wide, out in LINEAR
    ]
    layers += [
        (
            f"3x3, {maps} of {side}x{side}, {wide} to {out}",
            nn.Conv2d(wide, out, 3, padding=1),
            torch.randn(maps, wide, side, side),
        )
        for maps, side, wide, out in CONVOLUTIONS
    ]
    rows = []
    for name, layer, given in layers:
        plain, before = layer(given), milliseconds(lambda layer=layer, given=given: layer(given))
        with fast_products():
            fast, now = layer(given), milliseconds(lambda layer=layer, given=given: layer(given))
        truth = layer.double()(given.double())
        errors = [float((found - truth).abs().max()) for found in (plain, fast)]
        rows.append(
            {
                "layer": name,
                "plain ms": before,
                "fast ms": now,
                "ratio": now / before,
                "plain error": errors[0],
                "fast error": errors[1],
            }
        )
    table = Table(*rows[0], title=torch.backends.cpu.get_cpu_capability())
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
