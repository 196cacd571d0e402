"""The classical puppet warp on held-out theatre clips, and its speed: `python benchmarks/puppet_warp.py [--json FILE]`.

Self-reenactment: the first frame is the reference, the others are driven by their exact poses and scored. The warp gets the
reference's exact mask, or finds it by itself. "copy" repeats the reference. Speed is that of one core: the preparation of a
clip (cutting, filling the background), then frames per second.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from bunraku.evaluation.clip import BenchmarkClip
from bunraku.evaluation.metrics import score_clip
from bunraku.media import contact_sheet, write_image
from bunraku.puppet_warp import PuppetWarp
from bunraku.theatre import render, sample_scene

METRICS = ("psnr", "psnr_character", "ssim_rgb")


def held_out_clip(index: int, frames: int, size: tuple[int, int], split: str, stride: int) -> BenchmarkClip:
    """The first frame of scene `index` is the reference, every `stride`-th after it is driven."""
    scene = sample_scene(index, split)
    shown = render(scene, range(0, (frames + 1) * stride, stride), size)
    return BenchmarkClip(
        f"{split}/{index}", scene.fps / stride, shown.frames[0], shown.pose[:1], shown.instances[0], shown.pose[1:], False,
        shown.frames[1:], shown.pose[1:], shown.instances[1:], None,
    )  # fmt: skip


def warped(clip: BenchmarkClip, mask: np.ndarray | None) -> np.ndarray:
    return np.concatenate(list(PuppetWarp().stream(clip.reference, clip.driving, clip.reference_pose, mask=mask)))


def speed(size: int, frames: int, repeats: int) -> dict[str, float]:
    """Median seconds of CPU until the first frame with and without a mask, and frames per second after it."""
    clip = held_out_clip(0, frames, (size, size), "test", 1)
    given, found, rates = [], [], []
    for _ in range(repeats):
        for mask, times in ((clip.reference_instances, given), (None, found)):
            start = time.process_time()
            chunks = PuppetWarp().stream(clip.reference, clip.driving, clip.reference_pose, mask=mask, chunk=1)
            next(chunks)
            times.append(time.process_time() - start)
        start = time.process_time()
        count = sum(1 for _ in chunks)
        rates.append(count / (time.process_time() - start))
    return {
        "size": size, "given mask s": statistics.median(given), "found mask s": statistics.median(found),
        "frames/s": statistics.median(rates),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--stride", type=int, default=2, help="scene frames between scored frames")
    parser.add_argument("--split", default="test")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--speed-sizes", type=int, nargs="*", default=[128, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=3, help="timed runs; the median counts")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument(
        "--sheet", type=Path, help="also write truth and results of the first six clips to this picture"
    )
    options = parser.parse_args()

    cv2.setNumThreads(1)
    scores: dict[str, list[dict[str, float]]] = {}
    rows: dict[str, np.ndarray] = {}
    for index in range(options.clips):
        clip = held_out_clip(index, options.frames, (options.size, options.size), options.split, options.stride)
        made = {
            "copy": np.broadcast_to(clip.reference, clip.truth.shape),
            "puppet-warp, mask found": warped(clip, None),
            "puppet-warp, mask given": warped(clip, clip.reference_instances),
        }
        for name, frames in made.items():
            found = score_clip(frames, clip.truth, instances=clip.instances, metrics=METRICS)
            scores.setdefault(name, []).append({metric: float(np.nanmean(found[metric])) for metric in METRICS})
        if index < 6:
            rows[f"truth {index}"] = np.stack([clip.reference, *clip.truth])
            rows[f"warp {index}"] = np.stack([clip.reference, *made["puppet-warp, mask given"]])
    means = {name: {m: float(np.mean([clip[m] for clip in of])) for m in METRICS} for name, of in scores.items()}
    print(f"{options.clips} clips of {options.frames} frames, {options.split}, {options.size} px")
    print(f"{'':26} {'PSNR dB':>8} {'figure dB':>10} {'SSIM':>7}")
    for name, mean in means.items():
        print(f"{name:26} {mean['psnr']:8.2f} {mean['psnr_character']:10.2f} {mean['ssim_rgb']:7.3f}")
    speeds = [speed(size, 64, options.repeats) for size in options.speed_sizes]
    if speeds:
        print(f"{'size':>6} {'mask given, s':>14} {'mask found, s':>14} {'frames/s':>9}   (one core)")
    for row in speeds:
        print(f"{row['size']:6.0f} {row['given mask s']:14.3f} {row['found mask s']:14.3f} {row['frames/s']:9.0f}")
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items()}
        options.json.write_text(
            json.dumps({"settings": settings, "mean": means, "clips": scores, "speed": speeds}, indent=1)
        )
    if options.sheet:
        write_image(options.sheet, contact_sheet(rows, options.frames + 1, height=options.size))


if __name__ == "__main__":
    main()
