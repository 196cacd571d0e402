"""Scoring: every metric that was asked for, of one clip of several systems at a time."""

from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.learned import LEARNED_METRICS, LearnedMetrics, SetScores
from bunraku.evaluation.metrics import CLIP_METRICS, METRICS, Need, score_clip
from bunraku.evaluation.people import people_masks
from bunraku.evaluation.pose_error import pose_error
from bunraku.perception.detector import DetectorName, create_pose_detector

LACKING: Mapping[Need, str] = {
    "instances": "the clips have no masks of the characters",
    "driver": "no clip has the driver in whose place the character comes",
    "people": "no clip has masks of two people or more",
    "reference": "the clips have no still",
    "pose": "the clips have no poses",
}
"""Why a metric cannot be computed whose need is not met."""

MOST_PEOPLE = 8
"""As many the detector looks for in a generated frame."""

POSE_METRICS = tuple(name for name, metric in METRICS.items() if metric.group == "pose")


class Scorer:
    """Scores clips; may be called from several threads.

    Args:
        metrics: names out of `METRICS`; None: all, those of the pose only with a detector.
        detector: finds the poses of generated frames again.
        window_stride: frames between the windows of FID-VID and FVD; 1: every window, as DisCo; 16: none overlap.
        device: of the metrics' networks and the detector; None: the best there is.

    Attributes:
        names: of the metrics, in the order of reports.

    Raises:
        BunrakuError: an unknown metric, a pose metric without a detector, or a detector that cannot be used here.
    """

    def __init__(
        self,
        metrics: Collection[str] | None = None,
        *,
        detector: DetectorName | None = None,
        window_stride: int = 1,
        device: str | None = None,
    ) -> None:
        if unknown := [name for name in metrics or () if name not in METRICS]:
            raise BunrakuError(f"there is no metric {', '.join(unknown)}; there are {', '.join(METRICS)}")
        wanted = METRICS if metrics is None else metrics
        if metrics is not None and detector is None and (lost := [name for name in POSE_METRICS if name in metrics]):
            raise BunrakuError(f"{', '.join(lost)} needs a pose detector, such as --pose auto")
        self._asked = frozenset(metrics or ())
        self._met: set[Need] = set()
        self.names = [name for name in METRICS if name in wanted and (detector or name not in POSE_METRICS)]
        self._learned = LearnedMetrics(
            [name for name in self.names if name in LEARNED_METRICS], device=device, window_stride=window_stride
        )
        self._learned_scorer = self._learned.scorer()
        self._lock = Lock()
        # stills: the frames of several systems come in turns, and nothing is to be carried from one to the next
        seeks = detector is not None and any(name in POSE_METRICS for name in self.names)
        self._detector: Any = (
            create_pose_detector(detector, max_people=MOST_PEOPLE, device=device, video=False)
            if detector and seeks
            else None
        )

    @property
    def protocol(self) -> dict[str, Any]:
        """What must agree for scores to be comparable."""
        return {"window_stride": self._learned.window_stride}

    @property
    def weights(self) -> dict[str, str]:
        """ "NAME/FILE" -> sha256 of the weights that are used."""
        return dict(self._learned.weights)

    def score(self, clip: BenchmarkClip, made: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
        """Means over the frames of a clip, {system: {metric: score}}; frames without a value are left out, as are metrics that
        the clip has no masks for.

        Args:
            clip: with the truth.
            made: each system's frames, uint8 of the truth's shape.

        Raises:
            BunrakuError: frames of another kind or shape.
        """
        people = None if clip.instances is None else people_masks(clip.instances)
        people = people if people is not None and len(people) > 1 else None
        met: set[Need] = {"reference"}
        met |= {"instances"} if clip.instances is not None else set()
        driver = None if clip.driver is None or not clip.retarget else clip.driver.instances > 0
        met |= {"driver"} if driver is not None else set()
        met |= {"people"} if people is not None else set()
        met |= {"pose"} if clip.truth_pose.people else set()
        self._met |= met
        plain = [name for name in self.names if name in CLIP_METRICS and met.issuperset(METRICS[name].needs)]
        learned = self._learned_scorer.update(made, clip.truth, clip.reference, people)
        scores = {}
        for system, frames in made.items():
            found = score_clip(
                frames, clip.truth, instances=clip.instances, static=clip.static, driver=driver, metrics=plain
            )
            found |= learned[system]
            if self._detector is not None and clip.truth_pose.people:
                with self._lock:
                    found |= pose_error(frames, clip.truth_pose, self._detector)
            scores[system] = {name: _mean(found[name]) for name in self.names if name in found}
        return scores

    def finish(self, system: str) -> SetScores:
        """What a system has as a whole set; and why it lacks what it lacks."""
        found = self._learned_scorer.result(system)
        found.unavailable |= self._learned.unavailable
        found.unavailable |= {
            name: LACKING[need] for name in self.names for need in METRICS[name].needs if need not in self._met
        }
        return found

    @property
    def reported(self) -> list[str]:
        """The metrics that a report of the clips so far is about: those that were asked for by name, and of the others those whose
        needs any clip has met."""
        return [name for name in self.names if name in self._asked or self._met.issuperset(METRICS[name].needs)]

    def close(self) -> None:
        """Let the detector go."""
        if self._detector is not None:
            self._detector.close()


def _mean(values: np.ndarray) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else float("nan")
