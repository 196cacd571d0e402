"""What the trainings of a part alone share (the codec, the pose refiner): a run that continues from its checkpoint exactly as if it had never stopped."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from diffusers import ModelMixin
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from bunraku.errors import BunrakuError
from bunraku.json_text import parsed_json
from bunraku.media import replacing
from bunraku.training.config import completed

logger = logging.getLogger(__name__)

Net = TypeVar("Net", bound=ModelMixin)

CHECKPOINT = "checkpoint.pt"
FREE = (
    "output", "init", "steps", "stills", "workers", "seconds_per_checkpoint", "seconds_per_line", "seconds_per_score",
)  # fmt: skip
"""Settings that a continued run may change."""


class Settings(Protocol):
    """A dataclass with the settings that every such run has.

    Attributes:
        output: folder of the run; the network itself is in `output`/model.
        steps: until the learning rates have fallen to nothing, over the last `decay` of them; they rise over `warm_up` steps.
    """

    @property
    def output(self) -> Path: ...

    @property
    def steps(self) -> int: ...

    @property
    def decay(self) -> float: ...

    @property
    def warm_up(self) -> int: ...


@dataclass
class Run(Generic[Net]):
    """What a run is at a step: all that a checkpoint holds.

    Attributes:
        name: of the network in checkpoints.
    """

    name: str
    net: Net
    average: AveragedModel
    optimisers: tuple[torch.optim.Optimizer, ...]
    step: int = 0

    @property
    def averaged(self) -> Net:
        """The average of the weights, which is what is saved."""
        return self.average.module.eval()  # type: ignore[return-value]

    def learn(self, loss: Tensor, clip: float, rates: tuple[float, ...]) -> None:
        """One step down the gradient, of at most the norm `clip`, at the optimisers' `rates`."""
        self.net.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), clip)
        for optimiser, rate in zip(self.optimisers, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        self.average.update_parameters(self.net)
        self.step += 1

    def save(self, folder: Path) -> None:
        """Write the averaged network and the checkpoint; each replaces the old one only when complete."""
        with replacing(folder / "model") as temporary:
            self.averaged.save_pretrained(temporary)
        state = {
            "step": self.step,
            self.name: self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with replacing(folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def load(self, state: Mapping) -> None:
        self.step = state["step"]
        self.net.load_state_dict(state[self.name])
        self.average.load_state_dict(state["average"])
        for optimiser, its in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(its)

    def go_on(self, config: Settings) -> None:
        """Continue from the checkpoint in `config.output`, if there is one, and write the settings beside it.

        Raises:
            BunrakuError: the run that is there has other settings, or its checkpoint is damaged.
        """
        file, settings = config.output / CHECKPOINT, config.output / "config.json"
        if file.exists():
            check_settings(config, parsed_json(settings.read_text()))
            try:
                self.load(torch.load(file, weights_only=True))
            except Exception as error:  # of torch, pickle, zip files and the system
                raise BunrakuError(f"the checkpoint {file} is damaged ({error}); remove it to begin again") from error
            logger.info("continued from step %d", self.step)
        config.output.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(asdict(config), indent=1, default=str) + "\n")  # type: ignore[call-overload]


def moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """An exponential moving average that forgets its first values sooner: after n steps its decay is at most (1 + n) / (10 + n)."""

    @torch.no_grad()
    def update(average: Any, now: Any, steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(average, now, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def check_settings(config: Any, before: Mapping[str, object]) -> None:
    """Raise BunrakuError where a run would go on with other settings, a dataclass, than it had before."""
    now = json.loads(json.dumps(asdict(config), default=str))
    before = completed(before, now, type(config))
    changed = [
        f"{key} ({before.get(key)} before, now {now[key]})"
        for key in now
        if key not in FREE and now[key] != before.get(key)
    ]
    if changed:
        raise BunrakuError(
            f"{config.output} holds a run with other settings: {', '.join(changed)}; continue it with those, or give another --output"
        )


def rate(config: Settings, step: int) -> float:
    """Part of the learning rates: a short rise to 1, a plateau, and a fall to nothing over the last `decay` of the steps."""
    return min(1.0, (step + 1) / config.warm_up, (config.steps - step) / (config.decay * config.steps))


def log(output: Path, line: Mapping[str, object], quiet: tuple[str, ...] = ()) -> None:
    """Say how a run is, without the entries `quiet`, and write all of it to `output`/log.jsonl."""
    logger.info(" · ".join(f"{name} {value}" for name, value in line.items() if name not in quiet))
    with (output / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
