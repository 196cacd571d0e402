"""POSE_KEYPOINT: poses as comfyui_controlnet_aux and the pose editors for ComfyUI hand them on."""

from typing import Any

import numpy as np

from bunraku.cues.openpose_json import PARTS, POSE, openpose_track
from bunraku.perception.pose import BODY, SEEN, WHOLE_BODY, PoseTrack


def to_keypoints(track: PoseTrack) -> list[dict[str, Any]]:
    """Frames {"people": [...], "canvas_height": H, "canvas_width": W}, a flat list x, y, confidence for each part of a person, None for
    a part that is not seen at all.

    Confidences are 1 or 0, because the nodes that read them take less than 1 for missing. Feet have no place in it. Who is who is said by
    "person_id", which others ignore.
    """
    seen = track.scores >= SEEN
    points = np.where(seen[..., None], track.keypoints, 0).astype(float)
    values = np.concatenate([points, seen[..., None]], -1)
    parts = [(POSE, BODY), *((name, part) for name, part, _ in PARTS if values.shape[2] == WHOLE_BODY)]
    empty: dict[str, Any] = {name: None for name, _, _ in PARTS}
    return [
        {
            "people": [
                {"person_id": [number]}
                | empty
                | {name: person[part].ravel().tolist() for name, part in parts if name == POSE or person[part, 2].any()}
                for number, person in enumerate(frame)
                if person[:, 2].any()
            ],
            "canvas_height": track.size[0],
            "canvas_width": track.size[1],
        }
        for frame in values
    ]


def from_keypoints(frames: list[dict[str, Any]]) -> PoseTrack:
    """The poses of POSE_KEYPOINT; people without "person_id" are linked from frame to frame.

    Raises:
        BunrakuError: animals, other shapes, or nobody in any frame.
    """
    return openpose_track(frames, "POSE_KEYPOINT")
