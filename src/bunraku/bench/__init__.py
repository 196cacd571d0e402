"""A paper's claims, tested on the theatre's exact truth: what is trained, what is compared, what came out."""

from bunraku.bench.animate_anyone_2 import ANIMATE_ANYONE_2
from bunraku.bench.experiment import Claim, Experiment, Training, Variant
from bunraku.bench.multi_character import MULTI_CHARACTER
from bunraku.bench.tcan import TCAN
from bunraku.errors import BunrakuError

EXPERIMENTS = {experiment.name: experiment for experiment in (TCAN, MULTI_CHARACTER, ANIMATE_ANYONE_2)}


def get_experiment(name: str) -> Experiment:
    """The experiment of that name; an unknown one is an error that lists them."""
    if name not in EXPERIMENTS:
        raise BunrakuError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


__all__ = ["EXPERIMENTS", "Claim", "Experiment", "Training", "Variant", "get_experiment"]
