"""The short form of `benchmarks/hostile.py`: strange inputs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def last_line(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *options], cwd=ROOT, capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_hostile_inputs_are_refused_in_a_sentence_or_give_a_right_result() -> None:
    told = last_line("hostile.py", "--every", "12")
    assert told.startswith("25 hostile inputs: ")
    assert "nothing else happened" in told
