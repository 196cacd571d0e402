"""What a run of an evaluation decides by itself: which clips are shown as worst and best, and what one bad clip costs."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.evaluation import report
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import METRICS
from bunraku.evaluation.results import Role
from bunraku.evaluation.runner import evaluate
from bunraku.evaluation.scoring import Scorer
from bunraku.perception.pose import PoseTrack

CLIPS, SIDE = 8, 32


class Noise:
    """Clips of noise; `masks` says whether they know where their figure is."""

    name, size, protocol, in_scene = "noise", (SIDE, SIDE), {}, False
    names = tuple(map(str, range(CLIPS)))

    def __init__(self, masks: bool = True) -> None:
        self.masks = masks

    def clip(self, index: int) -> BenchmarkClip:
        frames = np.random.default_rng(index).integers(60, 180, (3, SIDE, SIDE, 3)).astype(np.uint8)
        nobody = PoseTrack(np.zeros((3, 0, 18, 2), np.float32), np.zeros((3, 0, 18), np.float32), (SIDE, SIDE))
        instances = np.zeros((3, SIDE, SIDE), np.uint8)
        instances[:, 8:24, 8:24] = 1
        return BenchmarkClip(
            self.names[index], Fraction(12), frames[0], nobody[:1], None, nobody, False, frames, nobody,
            instances if self.masks else None, None,
        )  # fmt: skip


class Brighter:
    """The truth, brighter by 1 for clip 5, by 2 for clip 2 and so on: the order of quality is known."""

    name, description = "brighter", ""
    role: Role = "model"
    order = (5, 2, 7, 0, 3, 6, 1, 4)

    def __call__(self, clip: BenchmarkClip) -> np.ndarray:
        return clip.truth + np.uint8(1 + self.order.index(int(clip.name)))


@pytest.mark.parametrize("metric", ["psnr", "ssim", "l1", "l1_disco", "psnr_character", "l1_character"])
def test_worst_and_best_are_so_by_the_metrics_own_direction(metric: str) -> None:
    results, extremes = evaluate([Brighter()], Noise(), Scorer([metric]))
    scores = {clip: results.systems["brighter"].clips[clip][metric] for clip in results.clips}
    best_first = sorted(scores, key=lambda clip: scores[clip] or 0, reverse=METRICS[metric].better == "higher")
    assert tuple(map(int, best_first)) == Brighter.order
    assert [clip.clip for clip in extremes.best()] == best_first[:3]
    assert [clip.clip for clip in extremes.worst()] == best_first[::-1][:3]


def test_clips_without_masks_are_ranked_as_well() -> None:
    _, extremes = evaluate([Brighter()], Noise(masks=False), Scorer(["l1", "psnr", "psnr_character"]))
    assert extremes.metric == "psnr"
    assert tuple(int(clip.clip) for clip in extremes.best()) == Brighter.order[:3]


def test_a_score_of_the_whole_set_ranks_nothing_and_the_page_shows_no_films(tmp_path: Path) -> None:
    results, extremes = evaluate([Brighter()], Noise(), Scorer(["fid", "flicker_truth"]))
    assert extremes.metric is None
    assert extremes.worst() == extremes.best() == []
    page = report.write_html(results, tmp_path / "report.html", extremes).read_text()
    assert "Worst clips" not in page
    results, extremes = evaluate([Brighter()], Noise(), Scorer(["fid", "l1"]))
    assert extremes.metric == "l1"
    assert "By L1 of brighter" in report.write_html(results, tmp_path / "report.html", extremes).read_text()


def test_frames_of_the_wrong_size_cost_one_clip() -> None:
    class Odd(Brighter):
        def __call__(self, clip: BenchmarkClip) -> np.ndarray:
            return super().__call__(clip)[: 2 if clip.name == "4" else None]

    results, _ = evaluate([Odd()], Noise(), Scorer(["psnr"]))
    assert list(results.failed) == ["4"]
    assert "2 frames" in results.failed["4"]
    assert len(results.clips) == CLIPS - 1


def test_a_system_that_refuses_a_clip_costs_one_clip() -> None:
    class Shy(Brighter):
        def __call__(self, clip: BenchmarkClip) -> np.ndarray:
            if clip.name == "0":
                raise BunrakuError("not this one")
            return super().__call__(clip)

    results, _ = evaluate([Shy()], Noise(), Scorer(["psnr"]))
    assert results.failed == {"0": "not this one"}


def test_a_crowd_is_scored_person_by_person_and_a_soloist_is_not(tmp_path: Path) -> None:
    from bunraku.evaluation.metrics import METRICS
    from bunraku.evaluation.systems import Copy
    from bunraku.evaluation.theatre_benchmark import TheatreBenchmark

    people = {name for name, metric in METRICS.items() if metric.group == "people"}
    results, _ = evaluate([Copy()], TheatreBenchmark("crowd", clips=2), Scorer())
    assert people <= set(results.metrics)
    found = results.systems["copy"].clips["crowd/000"]
    assert 5 < (found["psnr_person"] or 0) < 20
    assert 0 <= (found["identity_accuracy"] or 0) <= 1
    page = report.write_html(results, tmp_path / "report.html").read_text()
    assert "Person by person" in page
    assert page.index("PSNR</span>") < page.index("Identities") < page.index("All scores")  # among the first scores
    alone, _ = evaluate([Copy()], TheatreBenchmark("solo", clips=2), Scorer())
    assert not people & set(alone.metrics)
    asked, _ = evaluate([Copy()], TheatreBenchmark("solo", clips=1), Scorer(["psnr", "psnr_person"]))
    assert asked.reason("copy", "psnr_person") == "no clip has masks of two people or more"
