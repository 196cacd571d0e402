"""Frame metrics against scikit-image, torchmetrics and plain float64 arithmetic, and everything that is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from bunraku.errors import BunrakuError
from bunraku.evaluation import metrics as m


def pair(frames=2, height=40, width=33, noise=20.0, seed=0):
    """Blotches, and the same with noise."""
    random = np.random.default_rng(seed)
    truth = np.stack([
        cv2.resize(random.integers(0, 256, (6, 5, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(frames)
    ])  # fmt: skip
    return np.clip(truth + random.normal(0, noise, truth.shape), 0, 255).astype(np.uint8), truth


def boxes(frames, height, width):
    """Characters 1 and 2 in the left half."""
    instances = np.zeros((frames, height, width), np.uint8)
    instances[:, 2 : height // 2, 1 : width // 2] = 1
    instances[:, height // 2 : -3, 4 : width // 2] = 2
    return instances


pairs = st.builds(
    pair, frames=st.integers(1, 3), height=st.integers(11, 60), width=st.integers(11, 60), noise=st.floats(0.2, 90),
    seed=st.integers(0, 9999),
)  # fmt: skip


@given(pairs)
@settings(max_examples=25, deadline=None)
def test_errors_and_similarities_equal_scikit_image(clips):
    generated, truth = clips
    for t, (a, b) in enumerate(zip(generated, truth)):
        grey = cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), cv2.cvtColor(b, cv2.COLOR_RGB2GRAY)
        expected = {
            "l1": np.abs(a.astype(float) - b).mean() / 255,
            "l1_disco": (np.abs(a.astype(float) - b) / (a.shape[0] * a.shape[1])).mean(),
            "psnr": 100 if (a == b).all() else peak_signal_noise_ratio(b, a),
            "ssim": structural_similarity(*grey),
            "ssim_rgb": structural_similarity(a, b, channel_axis=-1),
        }
        for name, value in expected.items():
            assert getattr(m, name)(generated, truth)[t] == pytest.approx(value, rel=1e-9, abs=1e-9), name
        full = structural_similarity(*grey, full=True)[1]
        assert np.abs(m.ssim_map(*grey) - full).max() < 1e-6
        assert np.abs(m.ssim_map(a, b) - structural_similarity(a, b, channel_axis=-1, full=True)[1]).max() < 1e-6


@pytest.mark.parametrize(
    ("height", "width", "scales"), [(177, 180, 5), (99, 121, 4), (50, 70, 3), (24, 40, 2), (21, 90, 1)]
)  # fmt: skip
def test_ms_ssim_equals_torchmetrics(height, width, scales):
    assert m.ms_ssim_scales(height, width) == m.ms_ssim_scales(width, height) == scales
    generated, truth = (np.concatenate(clips) for clips in zip(pair(1, height, width, 2), pair(1, height, width, 40)))
    weights = np.array(m.MS_SSIM_WEIGHTS[:scales])
    if scales < 5:
        weights /= weights.sum()
    images = (torch.from_numpy(x).permute(0, 3, 1, 2).double() for x in (generated, truth))
    expected = multiscale_structural_similarity_index_measure(
        *images, data_range=255.0, betas=tuple(weights), reduction="none"
    )
    assert m.ms_ssim(generated, truth) == pytest.approx(expected.numpy(), abs=1e-6)


def test_ms_ssim_of_frames_of_any_size():
    scales = [m.ms_ssim_scales(side, 500) for side in range(11, 200)]
    assert scales == sorted(scales)
    assert [11 + scales.index(n) for n in (1, 2, 3, 4, 5)] == [11, 22, 44, 88, 176]
    generated, truth = pair(1, 11, 300)
    assert m.ms_ssim(truth, truth) == pytest.approx([1])
    assert 0 < m.ms_ssim(generated, truth)[0] < 1
    assert m.ms_ssim(255 - truth, truth)[0] == 0  # torchmetrics' "relu": a negative term counts as 0


def test_psnr_with_the_historical_overflow():
    """The published code, on uint8 arrays as it ran; a pair of 22.5 dB comes out at 28 to 29."""
    generated, truth = pair(3, 64, 64, noise=19.5)
    for t, (a, b) in enumerate(zip(generated, truth)):
        error = np.mean((a - b) ** 2)
        assert m.psnr_uint8_wrap(generated, truth)[t] == pytest.approx(20 * np.log10(255 / np.sqrt(error)), abs=1e-9)
    assert m.psnr(generated, truth).mean() == pytest.approx(22.5, abs=0.3)
    assert 28 < m.psnr_uint8_wrap(generated, truth).mean() < 29.5
    random = np.random.default_rng(1).integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8)
    assert m.psnr(*random)[0] < 8
    assert m.psnr_uint8_wrap(*random)[0] == pytest.approx(27.9, abs=0.2)


def test_equal_frames():
    _, truth = pair()
    scores = m.score_clip(truth.copy(), truth, instances=boxes(*truth.shape[:3]))
    for name, values in scores.items():
        perfect = {"l": 0, "p": 100, "s": 1, "m": 1}.get(name[0])
        if perfect is not None:
            assert values == pytest.approx([perfect] * 2), name


@given(pairs)
@settings(max_examples=20, deadline=None)
def test_masked_metrics_are_those_of_the_pixels_in_the_mask(clips):
    generated, truth = clips
    instances = boxes(*truth.shape[:3])
    scores = m.score_clip(generated, truth, instances=instances)
    for part, mask in (("character", instances > 0), ("background", instances == 0)):
        for t in range(len(truth)):
            a, b = generated[t][mask[t]].astype(float), truth[t][mask[t]].astype(float)
            assert scores[f"l1_{part}"][t] == pytest.approx(np.abs(a - b).mean() / 255, abs=1e-12)
            error = np.square(a - b).mean()
            assert scores[f"psnr_{part}"][t] == pytest.approx(10 * np.log10(255**2 / error) if error else 100)
            grey = (cv2.cvtColor(x[t], cv2.COLOR_RGB2GRAY) for x in clips)
            full = structural_similarity(*grey, full=True)[1]
            assert scores[f"ssim_{part}"][t] == pytest.approx(full[mask[t]].mean(), abs=1e-9)
        for name in ("l1", "psnr", "ssim"):
            assert getattr(m, name)(generated, truth, mask) == pytest.approx(scores[f"{name}_{part}"])
    share = (instances > 0).mean((1, 2))
    mixed = share * scores["l1_character"] + (1 - share) * scores["l1_background"]
    assert mixed == pytest.approx(scores["l1"], abs=1e-12)


def test_a_frame_without_a_character_has_no_character_score():
    generated, truth = pair(3)
    instances = boxes(*truth.shape[:3])
    instances[1] = 0
    scores = m.score_clip(generated, truth, instances=instances)
    for name in ("l1", "psnr", "ssim"):
        assert np.isnan(scores[f"{name}_character"]).tolist() == [False, True, False]
        assert scores[f"{name}_background"][1] == pytest.approx(scores[name][1], rel=0.05)


def test_flicker_counts_what_the_truth_keeps_still():
    truth = np.full((4, 20, 20, 3), 100, np.uint8)
    truth[:, 5:10, 5:10] = np.arange(4, dtype=np.uint8)[:, None, None, None] * 40  # moves in the truth
    truth[2, 0, 0] += m.STATIC  # noise of a codec
    generated = truth.copy()
    generated[1::2] += 10
    generated[3, 5:10, 5:10] = 255
    scores = m.score_clip(generated, truth, metrics=["flicker", "flicker_truth"])
    assert np.isnan(scores["flicker"][0])
    noise = m.STATIC / 375 / 255  # up towards frame 2 and down again, against the steps of 10
    assert scores["flicker"][1:] == pytest.approx([10 / 255, 10 / 255 - noise, 10 / 255 - noise])
    assert scores["flicker_truth"][1:] == pytest.approx([0, noise, noise])
    instances = np.zeros(truth.shape[:3], np.int32)
    instances[2, :, :10] = 3
    still = m.static_pixels(truth, instances)
    assert still.sum((1, 2)).tolist() == [0, 375, 200, 200]
    given = m.score_clip(generated, truth, static=np.zeros(truth.shape[:3], bool), metrics=["flicker"])
    assert np.isnan(given["flicker"]).all()


def test_sharpness_is_the_energy_of_edges_beside_the_truths():
    truth = np.zeros((2, 16, 16, 3), np.uint8)
    truth[:, :, 8:] = 100
    soft = truth.copy()
    soft[0, :, 7], soft[0, :, 8] = 25, 75  # 25, 50, 25 instead of 100
    assert m.sharpness(soft, truth) == pytest.approx([(25**2 + 50**2 + 25**2) / 100**2, 1])
    assert np.isnan(m.sharpness(truth, np.full_like(truth, 7))).all()


def test_score_clip_computes_what_the_functions_do():
    generated, truth = pair(3, 48, 64)
    scores = m.score_clip(generated, truth)
    assert list(scores) == [name for name in m.CLIP_METRICS if not m.METRICS[name].needs]
    still = m.static_pixels(truth)
    for name, values in scores.items():
        assert values.shape == (3,)
        assert values.dtype == np.float64
        if name == "flicker":
            expected = m.flicker(generated, still)
        else:
            expected = m.flicker(truth, still) if name == "flicker_truth" else getattr(m, name)(generated, truth)
        assert np.array_equal(values, expected, equal_nan=True), name
    assert list(m.score_clip(generated, truth, metrics=["ssim", "l1"])) == ["l1", "ssim"]
    copied = np.broadcast_to(truth[0], truth.shape)
    assert m.score_clip(copied, truth)["psnr"][0] == 100


def test_threads_do_not_disturb_each_other():
    clips = [pair(2, 32, 32, seed=seed) for seed in range(16)]
    alone = [m.score_clip(*clip) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: m.score_clip(*clip), clips))
    for a, b in zip(alone, together):
        assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def test_the_table_is_complete():
    labels = [metric.label for metric in m.METRICS.values()]
    assert len(set(labels)) == len(labels)
    for name, metric in m.METRICS.items():
        assert metric.summary
        assert metric.definition.endswith(".")
        learned = metric.group in ("perceptual", "distribution") or name == "lpips_person"
        assert (metric.weights is not None) == learned, name
        assert (metric.level == "set") == (metric.group == "distribution"), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(np.float32) / 255, r"generated frames are float32; convert a 0 to 1 scale"),
        (lambda x: np.where(x > 200, np.nan, x), r"generated frames are float64 with \d+ NaN or infinite values"),
        (lambda x: x.astype(np.int32), r"generated frames are int32, expected uint8"),
        (list, r"generated frames are a list, expected uint8"),
        (lambda x: x[..., 0], r"shape \(2, 40, 33\), expected \(frames, height, width, 3\)"),
        (lambda x: x[:0], r"shape \(0, 40, 33, 3\); at least one frame of 11x11"),
        (lambda x: x[:, :10], r"shape \(2, 10, 33, 3\); at least one frame of 11x11"),
        (lambda x: x[:1], r"generated clip has 1 frames of 33x40, the true one 2 frames of 33x40.*trim"),
        (lambda x: x[:, :, :20], r"generated clip has 2 frames of 20x40, the true one 2 frames of 33x40.*resize"),
    ],
)  # fmt: skip
def test_frames_that_cannot_be_compared_are_refused(change, message):
    generated, truth = pair()
    for function in (m.score_clip, m.l1, m.psnr, m.psnr_uint8_wrap, m.ssim, m.ssim_rgb, m.ms_ssim):
        with pytest.raises(BunrakuError, match=message):
            function(change(generated), truth)


def test_masks_and_names_that_do_not_fit_are_refused():
    generated, truth = pair()
    with pytest.raises(BunrakuError, match=r"`instances` is uint8 of shape \(1, 40, 33\).*shape \(2, 40, 33\)"):
        m.score_clip(generated, truth, instances=boxes(1, 40, 33))
    with pytest.raises(BunrakuError, match=r"`static` is float64"):
        m.score_clip(generated, truth, static=np.zeros(truth.shape[:3]))
    with pytest.raises(BunrakuError, match=r"`where` is bool of shape \(2, 4, 4\)"):
        m.psnr(generated, truth, np.ones((2, 4, 4), bool))
    with pytest.raises(BunrakuError, match=r"fvd, ssmi: no metric of a clip without weights; known: l1, "):
        m.score_clip(generated, truth, metrics=["l1", "fvd", "ssmi"])
    with pytest.raises(BunrakuError, match=r"psnr_character can only be computed with masks"):
        m.score_clip(generated, truth, metrics=["l1", "psnr_character"])


def test_the_table_is_cheap_to_import():
    code = "import sys, bunraku.evaluation.metrics; print(sorted({'torch', 'skimage', 'scipy', 'torchmetrics'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_leakage_is_scored_inside_outside_and_where_the_driver_is_left():
    truth = np.full((1, 12, 12, 3), 100, np.uint8)
    character, driver = np.zeros((2, 1, 12, 12), bool)
    character[:, :, 2:6], driver[:, :, 4:8] = True, True
    made = truth.copy()
    made[..., 2:4, :] += 1
    made[..., 4:6, :] += 2
    made[..., 6:8, :] += 4
    scores = m.score_clip(made, truth, instances=character.astype(np.uint8), driver=driver)
    for name, error in (("outside", 1), ("inside", 2), ("left", 4)):
        assert scores[f"psnr_{name}"] == pytest.approx(20 * np.log10(255 / error))
    assert "psnr_outside" not in m.score_clip(made, truth, instances=character.astype(np.uint8))
    same = m.score_clip(made, truth, instances=driver.astype(np.uint8), driver=driver)
    assert np.isnan(same["psnr_outside"]).all()
