"""How far the poses that the shipped model follows lie beside the true ones, before and after they are mended.

    python benchmarks/pose_refiner.py                      # every split of theatre-1, 64 clips each: a minute
    python benchmarks/pose_refiner.py --splits noisy --clips 12 --refiner runs/poses/model

Errors are mean distances of the joints that both show, in pixels of 256x256; "lost" are joints that can be seen and are not given.
"""

import argparse

import numpy as np

from bunraku.cues.pose_refiner import PoseRefiner
from bunraku.cues.retarget import retarget_people
from bunraku.evaluation.theatre_benchmark import CLIPS, SPLITS, benchmark_poses
from bunraku.perception.pose import PoseTrack
from bunraku.weights import load_pipeline

SIZE = 256
RETARGETED = ("bizarre", "stage")
"""Splits in which another body drives."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", nargs="+", default=SPLITS, choices=SPLITS)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--refiner", help="folder of another PoseRefiner than the shipped one")
    arguments = parser.parse_args()
    if arguments.refiner:
        refiner = PoseRefiner.from_pretrained(arguments.refiner).float().eval()
    else:
        refiner = load_pipeline("bunraku", dtype="float32").pose_refiner
    print("| split | given | mended | lost | lost when mended |\n|---|---|---|---|---|")
    for split in arguments.splits:
        rows = []
        for index in range(arguments.clips):
            own, given, truth = benchmark_poses(split, index, SIZE)
            if split in RETARGETED:
                given = retarget_people(given, own)
            mended = refiner.refine(given, own)
            rows.append(
                [
                    beside(given, truth),
                    beside(mended, truth),
                    lost(given, truth),
                    lost(mended, truth),
                ]
            )
        error, mended_error, gone, still_gone = np.mean(rows, 0)
        print(f"| `{split}` | {error:.2f} | {mended_error:.2f} | {gone:.1%} | {still_gone:.1%} |", flush=True)


def beside(given: PoseTrack, truth: PoseTrack) -> float:
    both = (given.scores > 0) & (truth.scores > 0)
    return float(np.linalg.norm(given.keypoints - truth.keypoints, axis=-1)[both].mean())


def lost(given: PoseTrack, truth: PoseTrack) -> float:
    return float(((given.scores == 0) & (truth.scores > 0)).sum() / (truth.scores > 0).sum())


if __name__ == "__main__":
    main()
