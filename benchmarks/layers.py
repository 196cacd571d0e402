"""Mattes, camera motion and the order of people against the theatre's exact truth: `python benchmarks/layers.py [--clips 32] [--json FILE]`.

mattes   intersection over union and boundary error (mean distance of the outlines in pixels, both ways) of stills of the test split:
         the cut-out by pose and colour, the same with its edge moved, and with U2Net-P where that is better
camera   mean error of the background's flow in pixels, of pairs of frames of the benchmark's split `camera`
order    share of pairs of people, frame by frame, in the right order, of the benchmark's split `crowd`; from the poses alone
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from bunraku.cues.depth_order import ranks_over_time, standing_nearness
from bunraku.perception.camera import camera_motion, motion_flow
from bunraku.perception.cutout import cut_out
from bunraku.perception.matte import create_segmenter, still_mattes
from bunraku.theatre import render, sample_scene
from bunraku.theatre.flow import background_flow


def outline_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in pixels between the outlines of two masks, bool (H, W), both ways."""
    edges = [m & ~(cv2.erode(m.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) for m in (found, truth)]
    away = [cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5) for edge in edges]
    return float((away[1][edges[0]].mean() + away[0][edges[1]].mean()) / 2)


def mattes(count: int, size: int) -> dict[str, dict[str, float]]:
    segmenter = create_segmenter()
    ways = {
        "cut-out": lambda image, pose: cut_out(image, pose) > 0,
        "cut-out, edge moved": lambda image, pose: still_mattes(image, pose)[0] > 127,
    }
    if segmenter:
        ways["with U2Net-P"] = lambda image, pose: still_mattes(image, pose, segmenter)[0] > 127
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for index in range(count):
        shown = render(sample_scene(index, "test"), 1, size)
        truth = shown.character_mask[0]
        for name, way in ways.items():
            start = time.process_time()
            found = way(shown.frames[0], shown.pose)
            seconds = time.process_time() - start
            iou = float((found & truth).sum() / (found | truth).sum())
            rows[name].append((iou, outline_error(found, truth), seconds))
    return {
        name: {
            "iou": float(np.mean([r[0] for r in values])), "iou median": float(np.median([r[0] for r in values])),
            "outline px": float(np.mean([r[1] for r in values])), "outline px median": float(np.median([r[1] for r in values])),
            "CPU s": float(np.median([r[2] for r in values])),
        }
        for name, values in rows.items()
    }  # fmt: skip


def camera(count: int, size: int) -> dict[str, float]:
    errors, moves = [], []
    for index in range(count):
        scene = sample_scene(index, "test", moving_camera=True)
        shown, truth = render(scene, 2, size), background_flow(scene, 1, size)[0]
        motion = camera_motion(*shown.frames, shown.character_mask.any(0))
        moves.append(float(np.linalg.norm(truth, axis=-1).mean()))
        if motion is not None:
            errors.append(float(np.linalg.norm(motion_flow(motion, (size, size)) - truth, axis=-1).mean()))
    return {
        "motion px": float(np.mean(moves)), "found": len(errors) / count, "error px": float(np.mean(errors)),
        "error px median": float(np.median(errors)),
    }  # fmt: skip


def order(count: int, frames: int = 24) -> dict[str, float]:
    right, pairs = 0, 0
    for index in range(count):
        scene = sample_scene(index, "test", people=2 + index % 2)
        shown = render(scene, frames, 128)
        ranks = ranks_over_time(standing_nearness(shown.pose))
        distance = np.array([actor.placement.depth for actor in scene.actors])
        for a in range(len(distance)):
            for b in range(a):
                if distance[a] != distance[b]:
                    agrees = (ranks[:, a] > ranks[:, b]) == (distance[a] < distance[b])
                    right, pairs = right + int(agrees.sum()), pairs + frames
    return {"right": right / max(pairs, 1), "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = {
        "mattes": mattes(options.clips, options.size), "camera": camera(options.clips, options.size), "order": order(options.clips),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps({"clips": options.clips, "size": options.size} | found, indent=1))


if __name__ == "__main__":
    main()
