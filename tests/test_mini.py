"""The shipped mini model: it is there, it is small, and it does what its card says."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bunraku.evaluation.metrics import psnr, score_clip
from bunraku.evaluation.systems import Codec, Copy, PipelineSystem
from bunraku.training.validation import held_out_clip
from bunraku.weights import load_pipeline

FOLDER = Path(str(files("bunraku") / "assets" / "mini"))


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
    settings = {"num_inference_steps": 4}
    right = psnr(pipeline(clip.reference, clip.driving, clip.reference_pose, **settings).frames, clip.truth).mean()
    stranger = psnr(pipeline(other.reference, clip.driving, other.reference_pose, **settings).frames, clip.truth).mean()
    astray = psnr(pipeline(clip.reference, other.driving, clip.reference_pose, **settings).frames, clip.truth).mean()
    assert right > stranger + 3
    assert right > astray + 1
