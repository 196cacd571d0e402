"""Objects: clicks, boxes, a detector of the real class, and the theatre's props followed through a clip."""

from pathlib import Path

import numpy as np
import pytest

from bunraku.errors import BunrakuError
from bunraku.media import write_image
from bunraku.perception.objects import Click, Masked, Named, ObjectDetector, follow_object, object_at, parse_thing


def ball(x: float, y: float, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A picture with texture and a red ball on it, and the ball's mask."""
    rng = np.random.default_rng(1)
    picture = np.repeat(np.repeat(rng.integers(60, 150, (size // 8, size // 8, 3), np.uint8), 8, 0), 8, 1)
    rows, columns = np.mgrid[:size, :size]
    inside = np.hypot(columns + 0.5 - x, rows + 0.5 - y) < 9
    picture[inside] = (225, 40, 30)
    return picture, inside


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_things_are_read() -> None:
    assert parse_thing("12,34") == Click((12.0, 34.0), 0)
    assert parse_thing("12.5,34@7") == Click((12.5, 34.0), 7)
    assert parse_thing("1,2,30,40@3") == Click((1.0, 2.0, 30.0, 40.0), 3)
    assert parse_thing("masks/ball.PNG@3") == Masked(Path("masks/ball.PNG"), 3)
    assert parse_thing("sports ball@2") == Named("sports ball", 2)
    for text in ("", "1", "1,2,3", "a,b", "1,2@", "-1,2", "@3"):
        with pytest.raises(BunrakuError, match="names no thing"):
            parse_thing(text)


def test_things_in_a_reduced_frame(tmp_path: Path) -> None:
    """Places and masks are in pixels of the clip."""
    picture, truth = ball(60, 70)
    write_image(
        tmp_path / "ball.png", np.repeat(np.uint8(255) * np.kron(truth, np.ones((2, 2), bool))[..., None], 3, -1)
    )
    for thing in (Click((120, 140)), Click((92, 112, 150, 170)), Masked(tmp_path / "ball.png")):
        thing.check((256, 256))
        assert overlap(thing.find(picture, (256, 256)), truth) > 0.9, thing
    with pytest.raises(BunrakuError, match=r"has 256x256 px, the clip 128x128: .* \(--object\)"):
        Masked(tmp_path / "ball.png").check((128, 128))
    for place in ((128, 3), (3, 128), (0, 0, 129, 12), (5, 5, 5, 9)):
        with pytest.raises(BunrakuError, match="is no part of a frame of 128x128"):
            Click(tuple(map(float, place))).check((128, 128))


def test_a_thing_by_name_is_the_surest_box() -> None:
    picture, truth = ball(60, 70)

    class Finder:
        def check(self, name: str) -> None:
            assert name == "ball"

        def __call__(self, frame: np.ndarray, name: str) -> list[Click]:
            return [Click((46, 56, 75, 85)), Click((0, 0, 9, 9))] if frame.any() else []

    thing = Named("ball", 0, [Finder()])  # type: ignore[list-item]
    thing.check((128, 128))
    assert overlap(thing.find(picture, (128, 128)), truth) > 0.9  # type: ignore[arg-type]
    assert thing.find(0 * picture, (128, 128)) is None


def test_a_click_and_a_box_find_the_thing() -> None:
    picture, truth = ball(60, 70)
    assert overlap(object_at(picture, Click((60, 70))), truth) > 0.9
    assert overlap(object_at(picture, Click((46, 56, 75, 85))), truth) > 0.9


def test_places_without_a_thing() -> None:
    picture, _ = ball(60, 70)
    for place in ((500, 3), (50, 50, 40, 60)):
        with pytest.raises(BunrakuError, match="is no part of a frame of 128x128 px"):
            object_at(picture, Click(tuple(map(float, place))))


def test_a_thrown_ball_is_followed() -> None:
    path = [(20 + 3 * t, 80 - 6 * t + 0.5 * t * t) for t in range(14)]
    frames, truth = zip(*(ball(x, y) for x, y in path))
    found = list(follow_object(frames, truth[0]))
    assert len(found) == len(frames)
    assert min(overlap(a, b) for a, b in zip(found, truth)) > 0.8


def test_what_is_gone_stays_gone() -> None:
    picture, truth = ball(60, 70)
    assert not any(mask.any() for mask in follow_object([picture] * 3, truth & False))


def test_a_detector_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import YolosConfig, YolosForObjectDetection

    torch.manual_seed(0)
    config = YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64], patch_size=32,
        num_detection_tokens=5, id2label={0: "ball", 1: "chair"}, label2id={"ball": 0, "chair": 1}, use_mid_position_embeddings=False,
    )  # fmt: skip
    YolosForObjectDetection(config).save_pretrained(tmp_path / "yolos-tiny")
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    detector = ObjectDetector(device="cpu")
    assert detector.names == ["ball", "chair"]
    boxes = detector(ball(60, 70)[0], "ball", threshold=0.0)
    assert len(boxes) == 5
    assert all(0 <= box.place[0] <= box.place[2] <= 128 for box in boxes)
    with pytest.raises(BunrakuError, match=r"knows no 'sword' .* ball, chair"):
        detector(ball(60, 70)[0], "sword")
    with pytest.raises(BunrakuError, match=r"cannot be loaded .*`bunraku models pull yolos-tiny`"):
        ObjectDetector(tmp_path / "nothing")
