"""Pose error: a detector looks at the generated frames, and what it finds is compared with the keypoints that drove them.

The percentage of correct keypoints is that of Yang & Ramanan (2013), PCK with alpha = 0.1: a joint is right where it lies within a
tenth of the larger side of the person's box. The box is that of the driving pose's visible joints; a share of the torso would
depend on how far the body is turned.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from bunraku.errors import BunrakuError
from bunraku.perception.detector import PoseDetector
from bunraku.perception.pose import BODY, SEEN, Detections, PoseTrack

TOLERANCE = 0.1
MIN_JOINTS = 3  # fewer visible joints have no box to speak of


def pose_error(frames: np.ndarray, driving: PoseTrack, detector: PoseDetector) -> dict[str, np.ndarray]:
    """Re-detect the people of generated frames and compare them with the driving poses, see `pose_scores`.

    Args:
        frames: uint8 (F, H, W, 3).
        driving: where the model was told to put the people; of another size it is scaled to the frames.
        detector: a new one of `create_pose_detector`, for as many people as `driving` has.
    """
    return pose_scores([detector(frame) for frame in frames], driving.scaled((frames.shape[1], frames.shape[2])))


def pose_scores(found: Sequence[Detections], driving: PoseTrack) -> dict[str, np.ndarray]:
    """Compare detections with the poses that should be there.

    In each frame detections are assigned to the driving people so that the sum of distances is smallest. Joints of the driving
    pose count that have a score of at least 0.3 and lie in the frame; people with fewer than three are left out.

    Args:
        found: the detections of each frame.
        driving: F frames, in pixels of the same frames.

    Returns:
        Each float64 (F,), NaN in frames without a driving person:
        "pose_found": share of the driving people to whom a detection was assigned;
        "pck": share of all counted joints that are found within 0.1 of the larger side of their person's box; what is not found
            is wrong;
        "keypoint_distance": mean distance of the joints that are found, as a share of that side; NaN if there are none.

    Raises:
        BunrakuError: another number of frames.
    """
    if len(found) != len(driving):
        raise BunrakuError(f"There are {len(found)} frames of detections for {len(driving)} frames of driving poses.")
    scores = {name: np.full(len(found), np.nan) for name in ("pose_found", "pck", "keypoint_distance")}
    height, width = driving.size
    for t, detections in enumerate(found):
        points, visible = driving.keypoints[t, :, BODY].astype(np.float64), driving.scores[t, :, BODY] >= SEEN
        visible = visible & (points >= 0).all(-1) & (points < (width, height)).all(-1)
        people = visible.sum(1) >= MIN_JOINTS
        points, visible = points[people], visible[people]
        if not len(points):
            continue
        box = np.array([np.ptp(p[v], axis=0).max() for p, v in zip(points, visible)])
        distance = np.linalg.norm(detections.keypoints[None, :, BODY] - points[:, None], axis=-1)  # (P, D, 18)
        distance /= np.maximum(box, 1)[:, None, None]
        both = visible[:, None] & (detections.scores[:, BODY] >= SEEN)[None]
        # a joint that was not found is as bad as one a whole box away
        cost = (np.where(both, np.minimum(distance, 1), 1) * visible[:, None]).sum(-1) / visible.sum(1)[:, None]
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(cost)) if both[i, j].any()]
        matched = np.concatenate([distance[i, j][both[i, j]] for i, j in pairs]) if pairs else np.empty(0)
        scores["pose_found"][t] = len(pairs) / len(points)
        scores["pck"][t] = (matched <= TOLERANCE).sum() / visible.sum()
        if len(matched):
            scores["keypoint_distance"][t] = matched.mean()
    return scores
