"""What every training of a part alone must do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch


def assert_a_stopped_run_continues_exactly(
    training: Any, train: Any, config: Any, stopped: Path, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps at once, and with a stop after the third, give the same checkpoint.

    Args:
        training: the module whose `train_step` `train` calls.
        parts: of the checkpoint, whose tensors are compared.
    """
    train(config)
    again, step = replace(config, output=stopped), training.train_step

    def stop_after_three(run: Any, *rest: Any) -> Any:
        if run.step == 3:
            raise KeyboardInterrupt
        return step(run, *rest)

    monkeypatch.setattr(training, "train_step", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        train(again)
    monkeypatch.setattr(training, "train_step", step)
    train(again)
    whole, pieces = (torch.load(c.output / "checkpoint.pt", weights_only=True) for c in (config, again))
    assert pieces["step"] == 4
    for part in parts:
        for name, value in whole[part].items():
            assert torch.equal(value, pieces[part][name]), name
