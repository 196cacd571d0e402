"""What of the machine is asked for."""

import resource
import subprocess
import sys

import pytest

TURNS = """
import resource, sys, torch
from bunraku.machine import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
for turn in range(30):
    torch.ones(16 << 20)
    if turn == 19:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_freed_memory_is_used_again_without_asking_the_system():
    faults = {how: int(subprocess.check_output([sys.executable, "-c", TURNS, how])) for how in ("keep", "plain")}
    assert faults["keep"] * 10 < (64 << 20) / resource.getpagesize()
    assert faults["plain"] > faults["keep"]
