"""Experiments hold together, and what does not is refused when it is written down."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bunraku.bench import EXPERIMENTS, Claim, Training, Variant, get_experiment
from bunraku.bench.run import commands
from bunraku.cli.terminal import parsed_settings
from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import METRICS
from bunraku.recipes.recipe import with_options
from bunraku.sampling.sampling import Sampling
from bunraku.training.config import TrainingConfig, training_config

TCAN, MULTI_CHARACTER = get_experiment("tcan"), get_experiment("multi-character")


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
    (command,) = [command for name, command in commands(MULTI_CHARACTER, tmp_path, 1).items() if name == "flow, seed 2"]
    given = parsed_settings(
        [value for flag, value in pairwise(command) if flag == "--set"], TrainingConfig
    )  # what is said is what is read
    training = MULTI_CHARACTER.runs["flow, seed 2"]
    assert given == {**training.settings, "options": {"guiders": ["reference_pose", "depth_order", "flow"]}}
    assert command[command.index("--init") + 1] == str(tmp_path / "training" / "base-2" / "model")


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


def test_systems_of_multi_character_go_on_from_one_base_and_differ_in_their_conditions_alone():
    runs = MULTI_CHARACTER.runs
    systems = {name: run for name, run in runs.items() if not name.startswith("base")}
    assert {run.init for run in systems.values()} == {"base-2"}
    # who learns of what is the same, but for the guiders; so are the steps
    for run in systems.values():
        own = {
            name: value
            for name, value in run.settings.items()
            if name not in ("trains", "drop", "options", "seed", "binding", "rates")
        }
        assert own == {
            n: v for n, v in runs["animate-anyone"].settings.items() if n not in ("trains", "drop", "options")
        }
    guiders = [run.settings["options"].get("guiders") for run in systems.values()]
    assert guiders[:4] == [
        None,
        ("reference_pose",),
        ("reference_pose", "depth_order"),
        ("reference_pose", "depth_order", "flow"),
    ]
    assert [runs[n].settings.get("binding") for n in ("flow", "binding")] == [None, 0.05]
    fast = {name for name, run in systems.items() if "rates" in run.settings}
    assert fast == {name for name in systems if name.startswith("fast-guiders")}
    assert all(set(systems[name].settings["rates"]) <= set(systems[name].settings["trains"]) for name in fast)


def test_a_training_with_several_seeds_is_several_trainings():
    repeated = replace(
        MULTI_CHARACTER, trainings={
            name: replace(one, seeds=(0, 5)) if name in ("base-2", "flow") else replace(one, seeds=(3,) if name == "base-1" else (0,))
            for name, one in MULTI_CHARACTER.trainings.items()
        },
    )  # fmt: skip
    runs = repeated.runs
    assert list(runs) == [*MULTI_CHARACTER.trainings, "base-2, seed 5", "flow, seed 5"]
    assert [runs[name].settings.get("seed") for name in ("base-1", "base-2", "flow, seed 5")] == [3, None, 5]
    assert runs["flow, seed 5"].init == "base-2, seed 5"  # the same seed where there is one, else the first
    assert (runs["binding"].init, runs["base-2, seed 5"].init) == ("base-2", "base-1")
    assert repeated.ancestors("flow, seed 5") == ["base-1", "base-2, seed 5", "flow, seed 5"]
    assert repeated.by_seed("+ flow") == {0: "+ flow", 5: "+ flow, seed 5"}
    assert [one.training for one in repeated.repetitions("+ flow").values()] == ["flow", "flow, seed 5"]


def test_two_systems_need_two_files():
    with pytest.raises(ValueError, match="names that differ in signs alone"):
        replace(TCAN, systems=TCAN.systems | {"map": TCAN.systems["+ map"]})


def test_systems_of_animate_anyone_2_go_on_from_one_model_of_the_scene():
    two = get_experiment("animate-anyone-2")
    systems = {name: run for name, run in two.runs.items() if run.init == "scene"}
    assert set(two.trainings) - set(systems) == {"plain-1", "plain", "scene"}
    assert {run.settings["steps"] for run in systems.values()} == {two.trainings["plain"].settings["steps"]}
    assert two.trainings["plain-1"].settings["steps"] == two.trainings["scene"].settings["steps"]
    for name, run in systems.items():
        config = training_config(run.recipe, run.size, run.stage, Path(), dict(run.settings))
        options = {
            "objects": "none" if "objects" in name else "noise" if "noise" in name else "blend",
            "modulation": "modulation" not in name,
        }
        assert config.options == options
        law = name if name in ("exact", "box") else None
        assert config.drawing.get("mask", {}).get("law") == law
        reads = with_options(config.chosen_size.options, config.options)
        assert ("object_guider" in config.chosen_stage.trains) == (reads.objects == "blend")
    with pytest.raises(ValueError, match="there is no system nobody for the composite"):
        replace(two, composite="nobody")


def test_commands_of_animate_anyone_2_are_read_as_they_are_meant(tmp_path):
    two = get_experiment("animate-anyone-2")
    for name, command in commands(two, tmp_path, 1).items():
        given = parsed_settings([value for flag, value in pairwise(command) if flag == "--set"], TrainingConfig)
        meant = {
            k: list(v) if isinstance(v, tuple) and k == "options" else v for k, v in two.runs[name].settings.items()
        }
        assert given == meant
