"""Verdicts on claims: only an interval that excludes 0 says anything, in the direction in which the metric is good."""

from dataclasses import replace

import numpy as np
import pytest

from bunraku.bench.experiment import Claim, Experiment, Training, Variant
from bunraku.bench.findings import find, markdown, tables
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.results import Results

METRICS = {"psnr": Metric("PSNR", unit="dB"), "flicker": Metric("flicker", better="lower")}


def experiment(**expected) -> Experiment:
    claim = Claim("b is better than a", "solo", "a", "b", expected, "Table 9")
    return Experiment(
        "x", "X, 2030", {"t": Training("tcan", "mini", 0)}, {"a": Variant("t"), "b": Variant("t")}, {"solo": ["a", "b"]},
        [claim], ["psnr", "flicker"],
    )  # fmt: skip


@pytest.fixture
def scores() -> Results:
    """b is about 1 dB above a, and flickers as much as a on the mean."""
    results = Results("theatre-1/solo", (128, 128), {}, METRICS, seconds={"a": 1.0, "b": 2.0})
    rng = np.random.default_rng(0)
    for clip in range(20):
        level, noise = rng.normal(20, 3), rng.normal(0, 0.1)
        results.add("a", f"solo/{clip}", {"psnr": level, "flicker": 0.005})
        results.add("b", f"solo/{clip}", {"psnr": level + 1 + noise, "flicker": 0.005 + (-1) ** clip * 0.001})
    return results


@pytest.mark.parametrize(
    ("expected", "verdict"), [("better", "seen"), ("worse", "contrary"), (None, "")], ids=["better", "worse", "none"]
)
def test_a_clear_difference(scores, expected, verdict):
    (finding,) = find(experiment(psnr=expected), {"solo": scores})
    assert finding.verdict == verdict
    assert 0.9 < finding.difference.low < finding.difference.difference < finding.difference.high < 1.1
    assert finding.difference.clips == 20


@pytest.mark.parametrize("expected", ["better", "worse"])
def test_an_interval_around_zero_decides_nothing(scores, expected):
    (finding,) = find(experiment(flicker=expected), {"solo": scores})
    assert finding.verdict == "open"


def test_less_is_better_where_it_is(scores):
    for clip in scores.systems["b"].clips.values():
        clip["flicker"] = 0.004
    (finding,) = find(experiment(flicker="better"), {"solo": scores})
    assert finding.verdict == "seen"


def test_what_was_not_measured_is_left_out(scores):
    for system in scores.systems.values():
        for clip in system.clips.values():
            del clip["flicker"]
    assert [f.metric.label for f in find(experiment(flicker="better", psnr="better"), {"solo": scores})] == ["PSNR"]


def test_the_page_has_scores_claims_and_sources(scores):
    about = experiment(psnr="better", flicker="better")
    findings = find(about, {"solo": scores})
    page = markdown(about, {"solo": scores}, findings)
    assert "X, 2030" in page
    assert "| a | " in page
    assert "Paper: Table 9." in page
    assert "| better | seen |" in page
    assert "| better | open |" in page
    assert "+1.0" in page
    (made,) = tables(findings).renderables
    assert made.row_count == 2
    saved = findings[0].to_json()
    assert saved["finding"] == "seen"
    assert saved["score_second"] - saved["score_first"] == pytest.approx(saved["difference"])


def with_seeds(scores: Results, differences: tuple[float, float, float]) -> tuple[Experiment, Results]:
    """b with three seeds, which are above a by so many dB."""
    about = experiment(psnr="better")
    about = replace(
        about, trainings={"t": Training("tcan", "mini", 0), "s": Training("tcan", "mini", 0, seeds=(0, 1, 2))},
        systems={"a": Variant("t"), "b": Variant("s")},
    )  # fmt: skip
    for name, difference in zip(("b", "b, seed 1", "b, seed 2"), differences):
        for clip, scored in list(scores.systems["a"].clips.items()):
            scores.add(name, clip, {"psnr": scored["psnr"] + difference + 0.01 * int(clip[5:]), "flicker": 0.0})
        scores.seconds[name] = 1.0
    return about, scores


def test_of_several_seeds_the_mean_is_compared(scores):
    about, scores = with_seeds(scores, (1, 2, 6))
    (finding,) = find(about, {"solo": scores})
    assert finding.difference.difference == pytest.approx(3 + 0.01 * 9.5)
    assert finding.seeds == pytest.approx([1.095, 2.095, 6.095])
    assert finding.difference.high - finding.difference.low < 0.2  # clip by clip they hardly differ
    assert finding.verdict == "seen"
    assert "; seeds +1.10, +2.10, +6.09" in markdown(about, {"solo": scores}, [finding])
    assert finding.to_json()["seeds"] == list(finding.seeds)


def test_seeds_that_disagree_decide_nothing(scores):
    about, scores = with_seeds(scores, (1, 2, -0.5))
    (finding,) = find(about, {"solo": scores})
    assert finding.difference.low > 0
    assert finding.verdict == "open"


def test_seeds_that_are_not_there_yet_are_not_waited_for(scores):
    about, scores = with_seeds(scores, (1, 2, 3))
    del scores.systems["b"], scores.systems["b, seed 2"]
    (finding,) = find(about, {"solo": scores})
    assert finding.difference.difference == pytest.approx(2.095)
    assert finding.seeds == ()
    del scores.systems["a"]
    assert not find(about, {"solo": scores})
    assert not find(about, {})


@pytest.mark.parametrize(("least", "verdict"), [(0.5, "seen"), (1.0, "open"), (4.0, "contrary")])
def test_a_claim_may_say_by_how_much(scores, least, verdict):
    about = experiment(psnr="better")
    about = replace(about, claims=[replace(about.claims[0], least={"psnr": least})])
    (finding,) = find(about, {"solo": scores})
    assert finding.verdict == verdict
    assert f"better by {least:g} dB" in markdown(about, {"solo": scores}, [finding])


@pytest.mark.parametrize(
    ("difference", "verdict"), [(0.05, "tiny"), (-0.05, "tiny"), (0.3, "seen"), (-0.3, "contrary")]
)
def test_a_certain_difference_may_be_too_small_to_be_seen(scores, difference, verdict):
    for clip, scored in scores.systems["b"].clips.items():
        scored["psnr"] = scores.systems["a"].clips[clip]["psnr"] + difference
    (finding,) = find(experiment(psnr="better"), {"solo": scores})
    assert finding.verdict == verdict
