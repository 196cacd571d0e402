"""Two runs against each other."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bunraku.errors import BunrakuError
from bunraku.evaluation.compare import Comparison, compare
from bunraku.evaluation.metrics import Metric
from bunraku.evaluation.results import Results

METRICS = {
    "psnr": Metric("PSNR", unit="dB"),
    "lpips": Metric("LPIPS", better="lower"),
    "length": Metric("Length", better="neither"),
    "fid": Metric("FID", better="lower"),
}


def run(scores: dict[str, np.ndarray], system: str = "mini", **changes: object) -> Results:
    """Results whose metrics have these values (N,) on clips 0 to N - 1."""
    made = Results("theatre-1/solo", (128, 128), {"source": "first"}, dict(METRICS))
    for clip in range(max(map(len, scores.values()))):
        made.add(system, f"{clip:03d}", {name: v[clip] for name, v in scores.items() if clip < len(v)})
    return replace(made, **changes)  # type: ignore[arg-type]


def shown(found: Comparison) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(found.table())
    return console.export_text()


values = st.lists(st.floats(0, 50), min_size=2, max_size=30).map(np.array)


@given(values)
def test_identical_runs_differ_by_nothing(psnr: np.ndarray) -> None:
    found = compare(run({"psnr": psnr}), run({"psnr": psnr}))
    (row,) = found.rows
    assert (row.difference, row.low, row.high, row.verdict, row.clips) == (0, 0, 0, "open", len(psnr))


@given(values, st.floats(0.01, 10))
def test_a_shift_of_every_clip_is_found_exactly(psnr: np.ndarray, shift: float) -> None:
    (row,) = compare(run({"psnr": psnr}), run({"psnr": psnr + shift})).rows
    assert [row.difference, row.low, row.high] == pytest.approx([shift] * 3)
    assert row.verdict == "second"
    (back,) = compare(run({"psnr": psnr + shift}), run({"psnr": psnr})).rows
    assert back.verdict == "first"


def test_intervals_of_a_known_difference_cover_it() -> None:
    """200 pairs of runs over 24 clips whose expected difference is 0.5 dB: the 95 % interval holds it about as often."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        base = rng.normal(22, 3, 24)
        (row,) = compare(run({"psnr": base}), run({"psnr": base + rng.normal(0.5, 1, 24)})).rows
        held.append(row.low <= 0.5 <= row.high)
    assert 0.88 <= np.mean(held) <= 0.99


def test_pairing_sees_what_means_alone_do_not() -> None:
    """Clips differ by 5 dB, the runs by 0.2: only the paired interval tells."""
    rng = np.random.default_rng(1)
    base = rng.normal(22, 5, 32)
    one, two = run({"psnr": base}), run({"psnr": base + rng.normal(0.2, 0.1, 32)})
    (row,) = compare(one, two).rows
    assert row.low > 0
    assert one.summary("mini", "psnr").high > two.summary("mini", "psnr").low


def test_direction_decides_who_is_better() -> None:
    down = np.linspace(1, 2, 8)
    found = compare(
        run({"lpips": down, "length": down, "psnr": down}),
        run({"lpips": down - 0.5, "length": down - 0.5, "psnr": down - 0.5}),
    )
    assert {row.metric: row.verdict for row in found.rows} == {"psnr": "first", "lpips": "second", "length": "differs"}
    text = shown(found)
    assert "▲" in text
    assert "▼" in text
    assert "◆" in text
    assert "−0.500" in text


def test_clips_of_one_run_alone_are_named_and_left_out() -> None:
    one, two = run({"psnr": np.array([20.0, 21, 22, 90])}), run({"psnr": np.array([21.0, 22, 23])})
    two.add("mini", "extra", {"psnr": 3.0})
    found = compare(one, two, names=("a.json", "b.json"))
    assert found.unpaired == {"first": ["003"], "second": ["extra"]}
    assert found.rows[0].difference == pytest.approx(1)
    assert found.rows[0].clips == 3
    text = shown(found)
    assert "only in a.json, not compared: 003" in text
    assert "only in b.json, not compared: extra" in text


def test_one_clip_and_whole_sets_have_no_interval() -> None:
    one, two = run({"psnr": np.array([20.0])}), run({"psnr": np.array([21.0])})
    one.systems["mini"].set["fid"], two.systems["mini"].set["fid"] = 40.0, 30.0
    psnr, fid = compare(one, two).rows
    assert (psnr.difference, psnr.low, psnr.verdict) == (1, None, "open")
    assert (fid.difference, fid.low, fid.clips, fid.verdict) == (-10, None, 0, "open")


def test_metrics_of_one_run_alone_are_noted() -> None:
    one, two = run({"psnr": np.array([20.0, 21])}), run({"psnr": np.array([20.0, 21])})
    two.systems["mini"].set["fid"] = 30.0
    one.systems["mini"].unavailable["fid"] = "unavailable: weights inception"
    found = compare(one, two, names=("a", "b"))
    assert "FID is left out (a: unavailable: weights inception)" in found.notes
    assert "FID is left out" in shown(found)


def test_other_systems_can_be_chosen() -> None:
    one = run({"psnr": np.array([20.0, 21])})
    one.add("copy", "000", {"psnr": 18.0})
    one.add("copy", "001", {"psnr": 18.5})
    found = compare(one, one, systems=("copy", "mini"))
    assert found.systems == ("copy", "mini")
    assert found.rows[0].difference == pytest.approx(2.25)
    with pytest.raises(BunrakuError, match="first has no system 'other'; there are mini, copy"):
        compare(one, one, systems=("other", None))


def test_baselines_that_differ_are_warned_of() -> None:
    one, two = (run({"psnr": np.array([20.0, 21])}) for _ in range(2))
    one.add("copy", "000", {"psnr": 18.0})
    two.add("copy", "000", {"psnr": 18.0})
    assert compare(one, two).notes == []
    two.add("copy", "000", {"psnr": 18.1})
    assert any("warning: the baseline copy scores differently" in note for note in compare(one, two).notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "theatre-2/solo"}, "benchmark: theatre-1/solo against theatre-2/solo"),
        ({"size": (256, 256)}, "size: 128x128 against 256x256"),
        ({"size": None}, "size: 128x128 against various"),
        ({"protocol": {"source": "last"}}, "protocol source: first against last"),
        ({"protocol": {"source": "first", "frames": 3}}, "protocol frames: not given against 3"),
        ({"metrics": METRICS | {"psnr": Metric("PSNR", "", "wrapped", "dB")}}, "definition of PSNR:  against wrapped"),
    ],
)  # fmt: skip
def test_runs_that_mean_different_things_are_refused(changes: dict[str, object], message: str) -> None:
    scores = {"psnr": np.array([20.0, 21])}
    with pytest.raises(BunrakuError, match="cannot be compared") as error:
        compare(run(scores), run(scores, **changes))
    assert message in str(error.value)


def test_runs_without_a_common_clip_are_refused() -> None:
    two = Results("theatre-1/solo", (128, 128), {"source": "first"}, dict(METRICS))
    two.add("mini", "other", {"psnr": 1.0})
    with pytest.raises(BunrakuError, match=r"no clip in common \(000, 001 against other\)"):
        compare(run({"psnr": np.array([20.0, 21])}), two)


def test_json() -> None:
    found = compare(run({"psnr": np.array([20.0, 21])}), run({"psnr": np.array([21.0, 21])}), names=("a", "b"))
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["rows"][0]["difference"] == 0.5
    assert content["names"] == ["a", "b"]
