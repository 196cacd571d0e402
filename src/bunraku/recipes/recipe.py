"""What a recipe is: the wiring of one paper, its sizes, and what each of its training stages trains."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from bunraku.errors import BunrakuError
from bunraku.recipes.animator import Animator
from bunraku.sampling.sampling import Sampling


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Attributes:
        trains: names of the animator's parts that learn. "motion" means all motion modules and nothing else of their parts,
            "PART.motion" those of one part, "lora" the adapters of the denoiser's attention.
        settings: values of `TrainingConfig` that this stage starts from.
        tuning: others where a trained model goes on with clips of one's own.
    """

    trains: tuple[str, ...]
    settings: Mapping[str, Any]
    tuning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def motion(self) -> bool:
        """Whether this stage's networks have motion modules."""
        return any(name.split(".")[-1] == "motion" for name in self.trains)

    @property
    def lora(self) -> bool:
        """Whether the denoiser has adapters in this stage; they are merged into it at its end."""
        return "lora" in self.trains

    def parameters(self, animator: Animator) -> dict[str, nn.Parameter]:
        """The parameters that learn, by their name in the animator; those on which nothing depends are left out, and parts that a model of
        this recipe may be without (`Animator.added`) where it is.

        Raises:
            BunrakuError: the animator has nothing of a name in `trains`.
        """
        groups = {name: _groups(name) for name, _ in animator.named_parameters()}
        known = sorted(set[str]().union(*groups.values()))
        if unknown := [name for name in self.trains if name not in known and name not in animator.added]:
            raise BunrakuError(f"there is no {', '.join(unknown)} to train; this model has {', '.join(known)}")
        learning = {
            name: parameter
            for name, parameter in animator.named_parameters()
            if groups[name] & set(self.trains) and not any(fnmatchcase(name, pattern) for pattern in animator.idle)
        }
        if not learning:
            raise BunrakuError(
                f"of {', '.join(self.trains)} this model has nothing to train; it has {', '.join(known)}"
            )
        return learning


def _groups(name: str) -> set[str]:
    """What `Stage.trains` may call the parameter of that name."""
    part = name.split(".")[0]
    if ".motion_modules." in name:
        return {"motion", f"{part}.motion"}
    return {"lora"} if ".lora_" in name else {part}


@dataclass(frozen=True)
class Size:
    """One size of a recipe.

    Attributes:
        build: makes the animator, with motion modules or without, for some options; weights at their start values.
        options: of the recipe (`Animator.Options`).
        scheduler: configuration of the DDIM scheduler.
        sampling: what inference starts from.
        styles: how conditions are drawn: arguments of the functions in `cues.drawn.DRAWN`, by the condition's name.
        stages: by number.
        autoencoder: the shipped one that training starts with, a folder of the package's assets.
    """

    build: Callable[[bool, Any], Animator]
    options: Any
    scheduler: Mapping[str, Any]
    sampling: Sampling
    styles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stages: Mapping[int, Stage] = field(default_factory=dict)
    autoencoder: str = "mini/vae"


@dataclass(frozen=True)
class Recipe:
    """A paper as a choice of parts."""

    name: str
    paper: str
    animator: type[Animator]
    sizes: Mapping[str, Size]

    def size(self, name: str) -> Size:
        if name not in self.sizes:
            raise BunrakuError(f"recipe {self.name} has no size {name!r}; its sizes are {', '.join(self.sizes)}")
        return self.sizes[name]


def with_options(options: Any, given: Mapping[str, Any]) -> Any:
    """Options with other values; names that they do not have are left out (a start model may be of another recipe)."""
    known = {f.name for f in fields(options)}
    return replace(options, **{name: value for name, value in given.items() if name in known})


def stored_options(options: Any) -> dict[str, Any]:
    """Options as plain data, for a model's configuration."""
    return asdict(options)
