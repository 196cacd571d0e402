"""Quality of the shipped mini model on held-out theatre clips, against two baselines; and how long a clip takes.

Self-reenactment on the "test" split (characters, motions and backgrounds that training never drew): the first frame is the
reference, the others are driven and scored. "figure" scores count only the pixels where the truth shows the character.

    python benchmarks/mini.py --clips 64 --steps 25 --json mini.json
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage.metrics import structural_similarity

from bunraku.cues.skeleton import draw_skeleton
from bunraku.media import contact_sheet, write_image
from bunraku.training.validation import held_out_clip, reenact, score
from bunraku.weights import load_pipeline


def ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean SSIM over frames, colour, 7x7 uniform window, 8-bit range."""
    return float(
        np.mean([structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in zip(prediction, truth)])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--stride", type=int, default=2, help="scene frames between scored frames")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--speed-runs", type=int, default=3, help="timed runs of a 16-frame clip with 20 steps")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()

    pipeline = load_pipeline(options.model)
    pipeline.set_progress_bar_config(disable=True)
    size = tuple(pipeline.config.size)
    scores: list[dict[str, float]] = []
    rows: dict[str, np.ndarray] = {}
    for index in track(range(options.clips), "animate and score"):
        clip = held_out_clip(index, options.frames, size, options.split, options.stride)
        predictions = reenact(pipeline, clip, num_inference_steps=options.steps, guidance_scale=options.guidance)
        flicker = {
            f"{name} flicker": float(np.abs(np.diff(f.astype(float), axis=0)).mean() / 255)
            for name, f in predictions.items()
        }
        similar = {f"{name} ssim": ssim(frames, clip.truth) for name, frames in predictions.items()}
        scores.append(score(predictions, clip) | similar | flicker)
        if index < 6:
            drawn = draw_skeleton(clip.pose)
            rows[f"truth {index}"] = np.stack([clip.reference, *clip.truth])
            rows[f"model {index}"] = np.stack([drawn[0], *predictions["model"]])
    means = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}

    clip = held_out_clip(0, 16, size, options.split, 1)
    seconds = []
    for _ in range(options.speed_runs):
        started = time.perf_counter()
        pipeline(
            clip.reference,
            clip.pose,
            clip.reference_pose,
            num_inference_steps=20,
            generator=torch.Generator().manual_seed(0),
        )
        seconds.append(time.perf_counter() - started)
    if seconds:
        means["seconds per 16 frames, 20 steps"] = statistics.median(seconds)

    table = Table(
        "", "PSNR dB", "figure PSNR dB", "SSIM", title=f"{options.model}, {options.clips} clips of {options.split}"
    )
    for name in ("copy", "model", "codec"):
        table.add_row(name, *(f"{means[key]:.3f}" for key in (name, f"{name} figure", f"{name} ssim")))
    Console().print(table)
    Console().print({k: round(v, 4) for k, v in means.items() if "flicker" in k or "seconds" in k})
    if options.json:
        options.json.write_text(
            json.dumps(
                {"settings": {k: str(v) for k, v in vars(options).items()}, "mean": means, "clips": scores}, indent=1
            )
        )
    if options.sheet:
        write_image(options.sheet, contact_sheet(rows, options.frames + 1, height=128))


if __name__ == "__main__":
    main()
