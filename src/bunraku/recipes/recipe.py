"""What a recipe is: the parts of one paper, in each size, and what each of its training stages trains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from bunraku.errors import BunrakuError
from bunraku.nets.animator import Animator


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Attributes:
        trains: names of the Animator's parts that learn. "motion" means all motion modules and nothing else of their parts,
            "PART.motion" those of one part, "lora" the adapters of the denoiser's attention.
        settings: values of `TrainingConfig` that this stage starts from.
    """

    trains: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def motion(self) -> bool:
        """Whether this stage's networks have motion modules."""
        return any(name.split(".")[-1] == "motion" for name in self.trains)

    @property
    def adapts(self) -> bool:
        """Whether the denoiser has adapters in this stage; they are merged into it at its end."""
        return "lora" in self.trains

    def parameters(self, animator: Animator) -> dict[str, nn.Parameter]:
        """The parameters that learn, by their name in the animator.

        Raises:
            BunrakuError: the animator has nothing of a name in `trains`.
        """
        parts = {name: _parts(name) for name, _ in animator.named_parameters()}
        known = sorted(set[str]().union(*parts.values()))
        if unknown := [name for name in self.trains if name not in known]:
            raise BunrakuError(f"there is no {', '.join(unknown)} to train; this model has {', '.join(known)}")
        return {name: p for name, p in animator.named_parameters() if parts[name] & set(self.trains)}


def _parts(name: str) -> set[str]:
    """What `Stage.trains` may call the parameter of that name."""
    part = name.split(".")[0]
    if ".motion_modules." in name:
        return {"motion", f"{part}.motion"}
    return {"lora"} if ".lora_" in name else {part}


@dataclass(frozen=True)
class Size:
    """One size of a recipe: how to build it, its DDIM scheduler, what inference and training start from, how its skeletons
    are drawn."""

    build: Callable[..., Animator]
    scheduler: Mapping[str, Any]
    inference: Mapping[str, Any]
    stages: Mapping[int, Stage] = field(default_factory=dict)
    skeleton: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A paper as a choice of parts."""

    name: str
    paper: str
    sizes: Mapping[str, Size]

    def size(self, name: str) -> Size:
        if name not in self.sizes:
            raise BunrakuError(f"recipe {self.name} has no size {name!r}; its sizes are {', '.join(self.sizes)}")
        return self.sizes[name]
