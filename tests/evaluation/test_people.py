"""Metrics of several people against plain float64 references, and against crowds of the theatre whose identities are swapped."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bunraku.errors import BunrakuError
from bunraku.evaluation.metrics import psnr, score_clip, ssim_map
from bunraku.evaluation.people import LEAST_SHARE, identity_accuracy, meetings, people_masks
from bunraku.evaluation.theatre_benchmark import benchmark_clip

NAMES = ["psnr_person", "ssim_person", "identity_accuracy", "identity_accuracy_meeting"]


def scene(seed: int, people: int = 3, frames: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generated and true frames of noise, and instances: boxes that move, some of them hidden or tiny at times."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (frames, 40, 36, 3)).astype(np.uint8)
    generated = np.clip(truth + rng.normal(0, 40, truth.shape), 0, 255).astype(np.uint8)
    instances = np.zeros((frames, 40, 36), np.uint8)
    for t in range(frames):
        for person in range(people):
            y, x = rng.integers(0, 30, 2)
            height, width = rng.integers(1, 12, 2)
            instances[t, y : y + height, x : x + width] = person + 1
    return generated, truth, instances


def reference(generated: np.ndarray, truth: np.ndarray, instances: np.ndarray) -> dict[str, np.ndarray]:
    """The definitions once more, pixel by pixel in float64."""
    numbers = sorted(set(instances.ravel().tolist()) - {0})
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for made, true, who in zip(generated, truth, instances):
        pixels = {n: np.argwhere(who == n) for n in numbers}
        pixels = {n: at for n, at in pixels.items() if len(at) / who.size >= LEAST_SHARE}
        ratios, similarities = [], []
        # as OpenCV rounds, which is not always to the nearest
        grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (made, true)]
        local = ssim_map(grey[0], grey[1])
        for at in pixels.values():
            errors = [(float(made[y, x, c]) - float(true[y, x, c])) ** 2 for y, x in at for c in range(3)]
            mean = sum(errors) / len(errors)
            ratios.append(min(100.0, 10 * np.log10(255**2 / mean)) if mean else 100.0)
            similarities.append(sum(local[y, x] for y, x in at) / len(at))
        found["psnr_person"].append(np.mean(ratios) if ratios else np.nan)
        found["ssim_person"].append(np.mean(similarities) if similarities else np.nan)

        def colours(frame: np.ndarray, at: np.ndarray) -> dict[tuple[int, ...], float]:
            counts: dict[tuple[int, ...], float] = {}
            for y, x in at:
                key = tuple(int(v) // 32 for v in frame[y, x])
                counts[key] = counts.get(key, 0) + 1 / len(at)
            return counts

        right = np.nan
        if len(pixels) > 1:
            right = 1.0
            true_colours = {n: colours(true, at) for n, at in pixels.items()}
            for n, at in pixels.items():
                own = colours(made, at)
                near = {m: sum(np.sqrt(p * c.get(k, 0)) for k, p in own.items()) for m, c in true_colours.items()}
                right *= float(all(near[n] > near[m] + 1e-12 for m in near if m != n))
        close = any(
            max(abs(a - b)) <= 2
            for i, n in enumerate(pixels) for m in list(pixels)[i + 1 :] for a in pixels[n] for b in pixels[m]
        )  # fmt: skip
        found["identity_accuracy"].append(right)
        found["identity_accuracy_meeting"].append(right if close else np.nan)
    return {name: np.array(values) for name, values in found.items()}


@given(st.integers(0, 10_000))
@example(18)
@settings(max_examples=25)
def test_scores_equal_a_float64_reference(seed: int) -> None:
    generated, truth, instances = scene(seed)
    found = score_clip(generated, truth, instances=instances, metrics=NAMES)
    for name, expected in reference(generated, truth, instances).items():
        np.testing.assert_allclose(
            found[name], expected, rtol=1e-6, atol=1e-6 if name == "ssim_person" else 0, err_msg=name
        )  # the map is computed in float32


def test_one_person_alone_has_no_such_scores() -> None:
    generated, truth, instances = scene(1, people=1)
    assert not set(score_clip(generated, truth, instances=instances)) & set(NAMES)
    with pytest.raises(BunrakuError, match=r"psnr_person can only be .* at least two; got masks of 1"):
        score_clip(generated, truth, instances=instances, metrics=["psnr_person"])


def test_small_and_large_people_count_alike() -> None:
    truth = np.full((1, 40, 40, 3), 100, np.uint8)
    instances = np.zeros((1, 40, 40), np.uint8)
    instances[0, :20], instances[0, 30:34, :4] = 1, 2
    generated = truth.copy()
    generated[instances == 2] += 10
    found = score_clip(generated, truth, instances=instances)
    assert found["psnr_person"][0] == pytest.approx((100 + 20 * np.log10(25.5)) / 2)
    assert found["psnr_character"][0] > found["psnr_person"][0] - 25
    tiny = np.where(instances == 1, 1, 0).astype(np.uint8)
    tiny[0, 39, 39] = 2  # one pixel of 1600 is nobody
    assert not people_masks(tiny)[1].any()


@pytest.fixture(scope="module")
def crowd() -> tuple[np.ndarray, np.ndarray]:
    """Frames and masks of a theatre clip of two people."""
    clip = benchmark_clip("crowd", 0)
    assert clip.instances is not None
    return clip.truth, people_masks(clip.instances)


def test_the_truth_has_everybody_right_and_swapped_people_nobody(crowd: tuple[np.ndarray, np.ndarray]) -> None:
    truth, masks = crowd
    assert np.nanmean(identity_accuracy(truth, truth, masks)) == 1
    colours = [np.median(truth[mask], axis=0) for mask in masks]
    swapped, merged = truth.copy(), truth.copy()
    swapped[masks[0]], swapped[masks[1]] = colours[1], colours[0]
    merged[masks[0]] = merged[masks[1]] = colours[0]
    assert np.nanmean(identity_accuracy(swapped, truth, masks)) == 0
    assert np.nanmean(identity_accuracy(merged, truth, masks)) == 0  # both look like the first


def test_blur_and_noise_do_not_change_who_is_who(crowd: tuple[np.ndarray, np.ndarray]) -> None:
    import cv2

    truth, masks = crowd
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in truth])
    noisy = np.clip(truth + np.random.default_rng(0).normal(0, 8, truth.shape), 0, 255).astype(np.uint8)
    assert psnr(noisy, truth).mean() < 31
    for worse in (blurred, noisy):
        assert np.nanmean(identity_accuracy(worse, truth, masks)) > 0.9


def test_people_meet_in_some_frames_of_a_crowd(crowd: tuple[np.ndarray, np.ndarray]) -> None:
    _, masks = crowd
    assert 0 < meetings(masks).mean() < 1
    apart = np.zeros((2, 1, 20, 20), bool)
    apart[0, 0, :, :5], apart[1, 0, :, 8:] = True, True
    assert not meetings(apart)[0]
    apart[1, 0, :, 5:] = True
    assert meetings(apart)[0]
