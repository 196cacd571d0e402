"""Metrics that need a network's weights: which of them are on disk, and scoring clips with those.

    networks = LearnedMetrics()               # opens what is there; networks.unavailable says what is not, and what to do
    scorer = networks.scorer()                # one per evaluation
    for generated, truth, still in clips:     # generated: {system: frames}
        per_frame = scorer.update(generated, truth, still)
    whole_set = scorer.result(system)         # FID, FVD and their like

Nothing here imports torch before weights are found.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from bunraku.errors import BunrakuError
from bunraku.evaluation.distribution import FeatureStatistics, frechet_distance, windows
from bunraku.evaluation.metrics import METRICS, check_frames, mean_seen
from bunraku.weights.download import wrong
from bunraku.weights.registry import get, home

if TYPE_CHECKING:
    import torch

WINDOW = 16
"""Frames of a window of FID-VID and FVD."""

KINETICS_RESNET50 = "fid-vid-resnet50"
BY_HAND = {
    KINETICS_RESNET50: ("resnet-50-kinetics.pth", "https://github.com/kenshohara/video-classification-3d-cnn-pytorch")
}
"""Weights whose publisher gives neither an address to fetch from nor a checksum: file, and the page that links to it."""

LEARNED_METRICS = tuple(name for name, metric in METRICS.items() if metric.weights)


@dataclass
class SetScores:
    """One system by the metrics that compare whole sets of clips: scores, why others are missing, how many samples each rests on."""

    scores: dict[str, float] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class LearnedMetrics:
    """The networks of the learned metrics that have their weights on disk, checked and opened once.

    Args:
        metrics: names out of `LEARNED_METRICS`; None: all.
        device: of torch; None: the best there is.
        window_stride: frames between the windows of FID-VID and FVD; 1 is DisCo's rule, 16 takes none twice.

    Attributes:
        available: names that will be scored.
        unavailable: name -> "unavailable: weights NAME, ..." with what to do.
        weights: "NAME/FILE" -> sha256 of what is used.
        window_stride: as given.
    """

    def __init__(
        self, metrics: Collection[str] | None = None, *, device: str | None = None, window_stride: int = 1
    ) -> None:
        if unknown := [name for name in metrics or () if name not in LEARNED_METRICS]:
            raise BunrakuError(f"{', '.join(unknown)}: no metric with weights; known: {', '.join(LEARNED_METRICS)}.")
        if window_stride < 1:
            raise BunrakuError(f"window_stride is {window_stride}, expected at least 1.")
        self.window_stride = window_stride
        self.weights: dict[str, str] = {}
        self.unavailable: dict[str, str] = {}
        self._lock = Lock()
        self._networks: dict[str, Any] = {}
        self._device = device
        wanted = [name for name in LEARNED_METRICS if metrics is None or name in metrics]
        for weights in dict.fromkeys(str(METRICS[name].weights) for name in wanted):
            problem, digests = examine(weights)
            if problem is None:
                problem = self._open(weights)
            if problem is None:
                self.weights |= digests
            else:
                self.unavailable |= {name: problem for name in wanted if METRICS[name].weights == weights}
        self.available = tuple(name for name in wanted if name not in self.unavailable)

    def _open(self, weights: str) -> str | None:
        """Open one network; returns the reason if that fails."""
        from bunraku.weights.loading import usable_device

        self._device = usable_device(self._device)
        try:
            self._networks[weights] = OPENERS[weights](weights).eval().to(self._device)
        except BunrakuError as error:
            return f"unavailable: weights {weights}, {' '.join(str(error).split())}"
        return None

    def scorer(self) -> "LearnedScorer":
        """A scorer for the clips of one evaluation."""
        return LearnedScorer(self)

    def lpips(
        self, name: str, generated: Sequence[np.ndarray], truth: np.ndarray, people: np.ndarray | None = None
    ) -> np.ndarray:
        """One of the LPIPS metrics of the frames (F, H, W, 3) of several systems; the truth passes through the network once.

        Returns:
            float64 (1 + P, S, F): of the whole frames, then inside the mask of each of `people`, bool (P, F, H, W).
        """
        import torch

        from bunraku.evaluation.networks import signed_range, unit_range

        scale = unit_range if name.endswith("_unscaled") else signed_range
        where = np.ones((1, *truth.shape[:3]), bool)
        if people is not None:
            where = np.concatenate([where, people])
        stacks = len(generated) + 1
        found = []
        for part in _parts(
            len(truth), max(1, 2**20 // (stacks * truth.shape[1] * truth.shape[2]))
        ):  # VGG16 keeps 64 floats per pixel
            made = torch.cat([scale(frames[part]) for frames in generated])
            distances = self._run(name, made, scale(truth[part]), torch.from_numpy(where[:, part]).float())
            found.append(distances.reshape(len(where), len(generated), -1))
        return np.concatenate(found, -1)

    def clip_i(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Cosine of CLIP's embeddings of the still (H, W, 3) and of each frame: float64 (F,)."""
        from bunraku.evaluation.networks import for_clip

        embeddings = np.concatenate([
            self._run("clip_i", for_clip(reference[None])),
            *(self._run("clip_i", for_clip(generated[part])) for part in _parts(len(generated), 16)),
        ])  # fmt: skip
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return unit[1:] @ unit[0]

    def features(self, name: str, frames: np.ndarray) -> np.ndarray:
        """What a distribution metric compares of one clip: float64 (frames or windows, dimensions)."""
        import torch

        from bunraku.evaluation import networks

        if name in ("fid", "clean_fid"):
            prepare = networks.for_fid if name == "fid" else networks.for_clean_fid
            return np.concatenate([self._run(name, prepare(frames[part])) for part in _parts(len(frames), 16)])
        prepared = networks.for_resnet3d(frames) if name == "fid_vid" else networks.for_i3d(frames)
        cut = windows(prepared, WINDOW, self.window_stride, pad=name == "fid_vid")
        found = [
            self._run(name, torch.from_numpy(np.ascontiguousarray(np.moveaxis(cut[part], -1, 1))))
            for part in _parts(len(cut), 4)
        ]
        return np.concatenate(found) if found else np.empty((0, 0))

    def _run(self, name: str, *inputs: "torch.Tensor") -> np.ndarray:
        import torch

        with self._lock, torch.inference_mode():
            return (
                self._networks[str(METRICS[name].weights)](*(x.to(self._device) for x in inputs)).double().cpu().numpy()
            )


class LearnedScorer:
    """Scores clips of several systems with the networks of `LearnedMetrics`; memory does not grow with the number of clips.

    The truth's features are computed once per clip, however many systems there are. `update` may be called from several threads.
    """

    def __init__(self, networks: LearnedMetrics) -> None:
        self._networks = networks
        self._lock = Lock()
        self._short = 0
        self._sets = [name for name in networks.available if METRICS[name].level == "set"]
        self._truth = {name: FeatureStatistics() for name in self._sets}
        self._systems: dict[str, dict[str, FeatureStatistics]] = {}

    def update(
        self,
        generated: Mapping[str, np.ndarray],
        truth: np.ndarray,
        reference: np.ndarray | None = None,
        people: np.ndarray | None = None,
    ) -> dict[str, dict[str, np.ndarray]]:
        """Per-frame scores of one clip, {system: {metric: float64 (F,)}}, and its part of the set's.

        Args:
            generated: of each system, uint8 (F, H, W, 3); the same systems in every call.
            truth: uint8 (F, H, W, 3).
            reference: the still, uint8 (H, W, 3); without it there is no CLIP-I.
            people: their masks, bool (P, F, H, W); without them nobody is scored by themselves.

        Raises:
            BunrakuError: frames that cannot be compared, see `metrics.check_frames`; nothing is taken in.
        """
        for frames in generated.values():
            check_frames(frames, truth)
        features = {
            name: [self._networks.features(name, frames) for frames in (truth, *generated.values())]
            for name in self._sets
        }
        with self._lock:
            self._short += len(truth) < WINDOW
            for name, (of_truth, *of_systems) in features.items():
                self._truth[name].update(of_truth)
                for system, found in zip(generated, of_systems, strict=True):
                    self._statistics(system)[name].update(found)
        return self._frame_scores(generated, truth, reference, people)

    def _statistics(self, system: str) -> dict[str, FeatureStatistics]:
        return self._systems.setdefault(system, {name: FeatureStatistics() for name in self._sets})

    def _frame_scores(
        self,
        generated: Mapping[str, np.ndarray],
        truth: np.ndarray,
        reference: np.ndarray | None,
        people: np.ndarray | None,
    ) -> dict[str, dict[str, np.ndarray]]:
        found: dict[str, list[np.ndarray]] = {}
        names = self._networks.available
        per_person = people if "lpips_person" in names else None
        whole = [name for name in names if name.startswith("lpips") and name != "lpips_person"]
        for name in dict.fromkeys([*whole, *(["lpips_vgg"] if per_person is not None else [])]):
            masks = per_person if name == "lpips_vgg" else None
            distances = self._networks.lpips(name, list(generated.values()), truth, masks)
            found[name] = list(distances[0])
            if masks is not None:
                found["lpips_person"] = [mean_seen(distances[1:, system]) for system in range(len(generated))]
        if "clip_i" in names and reference is not None:
            found["clip_i"] = [self._networks.clip_i(frames, reference) for frames in generated.values()]
        return {
            system: {name: found[name][index] for name in names if name in found}
            for index, system in enumerate(generated)
        }

    def result(self, system: str) -> SetScores:
        """The distances of all clips of a system so far."""
        found = SetScores()
        for name, truth in self._truth.items():
            label, video = METRICS[name].label, name in ("fid_vid", "fvd")
            if truth.clips < 2:
                short = f" ({self._short} shorter than {WINDOW} frames)" if name == "fvd" and self._short else ""
                found.unavailable[name] = (
                    f"{label} compares distributions of clips and needs at least 2; there is {truth.clips or 'none'}{short}"
                )
                continue
            found.scores[name] = frechet_distance(self._systems[system][name], truth)
            kind = f"windows, stride {self._networks.window_stride}," if video else "frames"
            samples = f"{truth.count:,} {kind} of {truth.clips} clips"
            if self._short and video:
                fate = "left out" if name == "fvd" else "filled up with their last frame"
                samples += f", {self._short} shorter than {WINDOW} frames {fate}"
            if truth.count <= (dimensions := len(truth.mean)):
                samples += f"; not more than the {dimensions:,} dimensions: too high, comparable only at equal numbers"
            found.notes[name] = samples
        return found


def examine(weights: str) -> tuple[str | None, dict[str, str]]:
    """Why the weights of that name cannot be used, or None; and the sha256 of their files ("NAME/FILE" -> digest)."""
    folder = weights_folder(weights)
    if weights in BY_HAND:
        name, source = BY_HAND[weights]
        if not (folder / name).is_file():
            return f"unavailable: weights {weights}, put {name} from {source} into {_shown(folder)}", {}
        return None, {f"{weights}/{name}": sha256(folder / name)}
    digests = {}
    for file in get(weights).files:
        path = folder / file.path
        problem = wrong(path, file) if path.is_file() else ""
        if problem is not None:
            damage = f"{_shown(path)} {problem}, " if problem else ""
            return f"unavailable: weights {weights}, {damage}run `bunraku models pull {weights}`", {}
        # where the registry knows all of it, `wrong` has just computed the same
        digests[f"{weights}/{file.path}"] = file.sha256 if file.sha256 and len(file.sha256) == 64 else sha256(path)
    return None, digests


def weights_folder(weights: str) -> Path:
    """Where the weights of that name lie."""
    return home() / weights


def _shown(path: Path) -> str:
    """For a report, which others read: without the name of the user's home."""
    return str(path).replace(str(Path.home()), "~", 1)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parts(count: int, batch: int) -> Iterator[slice]:
    return (slice(start, start + batch) for start in range(0, count, batch))


def _open_lpips(weights: str) -> Any:
    from bunraku.evaluation import networks

    network = networks.lpips_vgg() if weights == "lpips-vgg" else networks.lpips_alex()
    trunk, heads = (_state(weights, file.path) for file in get(weights).files)
    return _filled(network, weights, trunk | heads, unexpected=["classifier.*"])


def _open_inception(weights: str) -> Any:
    from bunraku.evaluation.networks import FIDInception

    return _filled(FIDInception(), weights, _state(weights, get(weights).files[0].path), unexpected=["fc.*"])


def _open_resnet3d(weights: str) -> Any:
    from bunraku.evaluation.networks import ResNet3D50

    state = {key.removeprefix("module."): value for key, value in _state(weights, BY_HAND[weights][0]).items()}
    return _filled(ResNet3D50(), weights, state, unexpected=["fc.*"])


def _open_i3d(weights: str) -> Any:
    """TorchScript is a program: it is opened only because its whole checksum was compared with the registry's."""
    import torch

    from bunraku.evaluation.networks import I3D

    return I3D(torch.jit.load(weights_folder(weights) / get(weights).files[0].path, map_location="cpu"))


def _open_clip(weights: str) -> Any:
    from bunraku.evaluation.networks import CLIPImage

    network = CLIPImage()
    text = ["text_model.*", "text_projection.*", "logit_scale", "*.position_ids"]
    _filled(network.model, weights, _state(weights, get(weights).files[0].path), unexpected=text)
    return network


def _state(weights: str, file: str) -> "dict[str, torch.Tensor]":
    from bunraku.weights.states import read_state

    return read_state(weights_folder(weights) / file)


def _filled(network: Any, weights: str, state: "dict[str, torch.Tensor]", unexpected: list[str]) -> Any:
    """`network` with the weights `state`. Files from before 2019 lack the number of batches that batch normalisation has seen."""
    from bunraku.weights.states import load_state

    load_state(network, state, allowed_missing=["*.num_batches_tracked"], allowed_unexpected=unexpected, name=weights)
    return network


OPENERS: dict[str, Callable[[str], Any]] = {
    "lpips-vgg": _open_lpips,
    "lpips-alex": _open_lpips,
    "clip-vit-b32": _open_clip,
    "fid-inception": _open_inception,
    KINETICS_RESNET50: _open_resnet3d,
    "fvd-i3d": _open_i3d,
}
"""Name of weights -> what opens the network with them."""
