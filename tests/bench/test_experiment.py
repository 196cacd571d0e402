"""Experiments hold together, and what does not is refused when it is written down."""

from dataclasses import replace
from itertools import pairwise

import pytest

from bunraku.bench import EXPERIMENTS, Claim, Training, Variant, get_experiment
from bunraku.bench.run import commands
from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import METRICS
from bunraku.sampling.sampling import Sampling
from bunraku.training.config import training_config

TCAN = get_experiment("tcan")


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_setting_is_one_of_the_trainer_and_every_option_one_of_the_pipeline(experiment, tmp_path):
    for training in experiment.trainings.values():
        made = training_config(training.recipe, training.size, training.stage, tmp_path, dict(training.settings))
        assert made.chosen_stage.trains
    for system in experiment.systems.values():
        Sampling().but(system.settings)  # knows every name
    assert set(experiment.metrics) <= set(METRICS)
    used = {name for names in experiment.benchmarks.values() for name in names}
    assert used == set(experiment.systems)


def test_table_2_is_cumulative():
    rows = ["frozen", "+ APPA", "+ temporal", "+ map"]
    for split in ("solo", "noisy"):
        steps = [(claim.first, claim.second) for claim in TCAN.claims if claim.benchmark == split][:3]
        assert steps == list(pairwise(rows))
    learned = [TCAN.trainings[TCAN.systems[row].training].settings.get("trains") for row in rows]
    assert learned == [("denoiser.motion",), ("denoiser.motion",), None, None]
    assert TCAN.trainings["frozen-1"].settings["trains"] == ("reference_net",)


def test_commands_say_all(tmp_path):
    made = commands(TCAN, tmp_path, processes=3, settings={"steps": 7})
    command = made["tuned-1"]
    assert command[command.index("--nproc_per_node") + 1] == "3"
    assert command[command.index("--init") + 1] == str(tmp_path / "training" / "base" / "model")
    assert command[-4:] == ["--set", "trains=[reference_net,lora,controlnet]", "--set", "steps=7"]
    assert "--init" not in made["base"]


def test_what_does_not_hold_together_is_refused():
    with pytest.raises(BunrakuError, match="no experiment 'nothing'; there are tcan"):
        get_experiment("nothing")
    late = {"b": Training("tcan", "mini", 1, "a"), "a": Training("tcan", "mini", 0)}
    with pytest.raises(ValueError, match="training b starts from 'a', which does not come before it"):
        replace(TCAN, trainings=late)
    with pytest.raises(ValueError, match="system new has no training 'nowhere'"):
        replace(TCAN, systems={"new": Variant("nowhere")})
    with pytest.raises(ValueError, match="align and tuned are not both evaluated on solo"):
        replace(TCAN, claims=[Claim("", "solo", "align", "tuned", {})])
    with pytest.raises(ValueError, match="metrics that are not measured"):
        replace(TCAN, claims=[Claim("x", "solo", "tuned", "stage 1", {"fid": None})])
    with pytest.raises(ValueError, match="there is no system nobody"):
        replace(TCAN, benchmarks={**TCAN.benchmarks, "crowd": ["nobody"]})
