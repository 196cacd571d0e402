"""POSE_KEYPOINT, with frames as comfyui_controlnet_aux writes them."""

from typing import Any

import numpy as np
import pytest

from bunraku.apps.comfyui.keypoints import from_keypoints, to_keypoints
from bunraku.errors import BunrakuError
from bunraku.perception.pose import BODY, FEET, PoseTrack


def as_controlnet_aux(track: PoseTrack) -> list[dict[str, Any]]:
    """What its `encode_poses_as_dict` makes of a body: flat lists, 1.0 for what is seen and zeros for the rest, None for absent parts."""
    return [
        {
            "people": [
                {
                    "pose_keypoints_2d": [
                        value
                        for (x, y), score in zip(track.keypoints[f, p, BODY], track.scores[f, p, BODY])
                        for value in ([float(x), float(y), 1.0] if score >= 0.3 else [0.0, 0.0, 0.0])
                    ],
                    "face_keypoints_2d": None,
                    "hand_left_keypoints_2d": None,
                    "hand_right_keypoints_2d": None,
                }
                for p in range(track.people)
            ],
            "canvas_height": track.size[0],
            "canvas_width": track.size[1],
        }
        for f in range(len(track))
    ]


def walkers(joints: int) -> PoseTrack:
    """Two people who keep apart, one joint of whom is not seen."""
    rng = np.random.default_rng(joints)
    body = rng.uniform(20, 80, (1, 1, joints, 2)) + rng.uniform(-1, 1, (5, 2, joints, 2))
    body[:, 1, :, 0] += 200
    scores = np.full((5, 2, joints), 0.9, np.float32)
    scores[:, :, 4] = 0.1
    return PoseTrack(body.astype(np.float32), scores, (120, 400))


def test_a_body_is_written_as_controlnet_aux_does() -> None:
    track = walkers(18)
    ours = to_keypoints(track)
    for frame in ours:
        for number, person in enumerate(frame["people"]):
            assert person.pop("person_id") == [number]
    assert ours == as_controlnet_aux(track)


def test_what_it_writes_is_read() -> None:
    track = walkers(18)
    back = from_keypoints(as_controlnet_aux(track))
    assert (back.people, back.size) == (2, track.size)
    seen = track.scores >= 0.3
    assert (back.scores == seen).all()
    left_to_right = back.keypoints[0, :, 0, 0].argsort()
    assert np.allclose(back.keypoints[:, left_to_right][seen], track.keypoints[seen])


def test_there_and_back_keeps_who_is_who_and_all_but_feet() -> None:
    track = walkers(134)
    swapped = PoseTrack(track.keypoints[:, ::-1].copy(), track.scores[:, ::-1].copy(), track.size)
    for one in (track, swapped):
        back = from_keypoints(to_keypoints(one))
        kept = np.setdiff1d(np.arange(134), np.arange(FEET.start, FEET.stop))
        order = [0, 1] if (back.keypoints[0, 0, 0] == one.keypoints[0, 0, 0]).all() else [1, 0]
        seen = one.scores[:, :, kept] >= 0.3
        assert (back.keypoints[:, order][:, :, kept][seen] == one.keypoints[:, :, kept][seen]).all()
        assert not back.scores[:, :, FEET].any()


def test_fractions_of_the_canvas_are_pixels() -> None:
    frames = as_controlnet_aux(walkers(18))
    for frame in frames:
        for person in frame["people"]:
            person["pose_keypoints_2d"] = (np.array(person["pose_keypoints_2d"]) / np.tile((400, 120, 1), 18)).tolist()
    seen = walkers(18).scores >= 0.3
    back = from_keypoints(frames)
    assert np.allclose(np.sort(back.keypoints[seen], 0), np.sort(walkers(18).keypoints[seen], 0), atol=1e-3)


def test_animals_are_no_people() -> None:
    with pytest.raises(BunrakuError, match="a frame is an object with a list 'people'"):
        from_keypoints([{"version": "ap10k", "animals": [], "canvas_height": 9, "canvas_width": 9}])
