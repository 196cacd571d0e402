"""The shipped mini model: it is there, it is small, and it does what its card says."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bunraku.animate import AnimateOptions
from bunraku.animate.models import open_pipeline
from bunraku.animate.options import SCHEDULERS
from bunraku.errors import BunrakuError
from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import psnr, score_clip
from bunraku.evaluation.systems import Codec, Copy, PipelineSystem
from bunraku.theatre import render, sample_scene
from bunraku.weights import load_pipeline
from tests.tiny import animated

FOLDER = Path(str(files("bunraku") / "assets" / "mini"))


def held_out_clip(
    index: int, frames: int, size: tuple[int, int], split: str = "test", stride: int = 2
) -> BenchmarkClip:
    """Self-reenactment: the first frame of scene `index` is the reference, every `stride`-th after it is driven."""
    scene = sample_scene(index, split)
    shown = render(scene, range(0, (frames + 1) * stride, stride), size)
    return BenchmarkClip(
        f"{split}/{index}", scene.fps / stride, shown.frames[0], shown.pose[:1], shown.instances[0], shown.pose[1:], False,
        shown.frames[1:], shown.pose[1:], shown.instances[1:], None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline():
    pipeline = load_pipeline("mini")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_it_is_small_and_has_a_card():
    shipped = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in shipped) <= 24 * 2**20
    assert {path.suffix for path in shipped} <= {".json", ".safetensors", ".md"}
    card = (FOLDER / "README.md").read_text()
    for word in ("bunraku train", "seed", "held-out", "copy", "codec", "limits"):
        assert word in card.lower(), word
    assert json.loads((FOLDER / "model_index.json").read_text())["denoiser"][1] == "Denoiser"


@pytest.mark.slow
def test_it_beats_copying_the_reference_on_characters_it_never_saw(pipeline):
    scores = []
    for index in range(6):
        clip = held_out_clip(index, 4, (128, 128), "test")
        scores.append({})
        for system in (PipelineSystem(pipeline, "mini"), Copy(), Codec(pipeline, "mini")):
            found = score_clip(system(clip), clip.truth, instances=clip.instances, metrics=("psnr", "psnr_character"))
            scores[-1] |= {f"{system.name} {name}": values.mean() for name, values in found.items()}
    mean = {name: np.mean([s[name] for s in scores]) for name in scores[0]}
    assert mean["mini psnr"] > mean["copy psnr"] + 3.5
    assert mean["mini psnr_character"] > mean["copy psnr_character"] + 3.5
    assert mean["codec psnr"] > 31


@pytest.mark.slow
def test_it_uses_reference_and_pose(pipeline):
    """Another character or another motion must give other frames: the truth of neither is hit by ignoring one of them."""
    clip, other = held_out_clip(0, 4, (128, 128), "test"), held_out_clip(1, 4, (128, 128), "test")

    def score(still: BenchmarkClip, motion: BenchmarkClip) -> float:
        made = animated(pipeline, still.reference, motion.driving, still.reference_pose, num_inference_steps=4)
        return float(psnr(made, clip.truth).mean())

    right, stranger, astray = score(clip, clip), score(other, clip), score(clip, other)
    assert right > stranger + 3
    assert right > astray + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_animates_or_is_refused(name, tmp_path):
    """Far above the copy, or an error that names others; never noise."""
    pipeline = open_pipeline(AnimateOptions(model="mini", scheduler=name, device="cpu"))
    system, clip = PipelineSystem(pipeline, "mini"), held_out_clip(0, 4, (128, 128))
    if name == "euler":
        with pytest.raises(BunrakuError, match=r"--scheduler ddim, dpm\+\+ or unipc"):
            system(clip)
    else:
        assert psnr(system(clip), clip.truth).mean() > psnr(Copy()(clip), clip.truth).mean() + 3.5
