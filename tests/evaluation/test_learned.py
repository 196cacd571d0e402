"""Metrics with weights, on small random networks: what is missing is said, what is there is read from files and adds up."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from bunraku.errors import BunrakuError
from bunraku.evaluation import learned, networks
from bunraku.evaluation.distribution import FeatureStatistics, frechet_distance
from bunraku.evaluation.learned import LEARNED_METRICS, LearnedMetrics, examine
from bunraku.evaluation.metrics import METRICS
from bunraku.weights import registry
from bunraku.weights.registry import File

torch.set_num_threads(1)


class Pooled(nn.Module):
    """In place of Inception and 3D ResNet: features of images or clips that depend on everything."""

    def __init__(self, dims=3, channels=5):
        super().__init__()
        self.conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(3, channels, 3, stride=8)

    def forward(self, x):
        return self.conv(x).relu().flatten(2).mean(-1)


class ScriptedI3D(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, stride=8)

    def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = False):
        if rescale or resize or not return_features:
            raise ValueError("the public file would resize and scale once more")
        return self.conv(x).mean((2, 3, 4))


SMALL_CLIP = {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 224, "patch_size": 32,
    "projection_dim": 6,
}  # fmt: skip


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("BUNRAKU_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def weights(nowhere, monkeypatch):
    """Small files under the public names, in the public layouts, and a registry that knows their checksums."""
    torch.manual_seed(1)

    def vgg():
        trunk = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU())
        return networks.LPIPS(trunk, (1, 3), (4, 6))

    def alex():
        return networks.LPIPS(nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.ReLU()), (1,), (4,))

    monkeypatch.setattr(networks, "lpips_vgg", vgg)
    monkeypatch.setattr(networks, "lpips_alex", alex)
    monkeypatch.setattr(networks, "FIDInception", lambda: Pooled(2))
    monkeypatch.setattr(networks, "ResNet3D50", Pooled)
    clip = networks.CLIPImage(SMALL_CLIP)
    monkeypatch.setattr(networks, "CLIPImage", partial(networks.CLIPImage, SMALL_CLIP))

    def lpips(network, names):
        state = {key: value.abs() if "lin" in key else value for key, value in network.state_dict().items()}
        trunk = {key: value for key, value in state.items() if key.startswith("features")}
        heads = {key: value for key, value in state.items() if key.startswith("lin")}
        return dict(zip(names, (trunk | {"classifier.6.bias": torch.zeros(9)}, heads)))

    files = {
        "lpips-vgg": lpips(vgg(), ["vgg16-397923af.pth", "vgg.pth"]),
        "lpips-alex": lpips(alex(), ["alexnet-owt-7be5be79.pth", "alex.pth"]),
        "fid-inception": {
            "pt_inception-2015-12-05-6726825d.pth": Pooled(2).state_dict() | {"fc.weight": torch.zeros(2, 2)}
        },
        "clip-vit-b32": {
            "pytorch_model.bin": clip.model.state_dict() | {"text_model.x": torch.zeros(2), "logit_scale": torch.zeros(1)}
        },
        "fid-vid-resnet50": {
            "resnet-50-kinetics.pth": {
                "arch": "resnet-50", "epoch": 66,
                "state_dict": {f"module.{key}": value for key, value in Pooled().state_dict().items()} | {"module.fc.bias": torch.zeros(4)},
            }
        },
    }  # fmt: skip
    for name, contents in files.items():
        (nowhere / name).mkdir()
        for file, content in contents.items():
            torch.save(content, nowhere / name / file)
    (nowhere / "fvd-i3d").mkdir()
    torch.jit.script(ScriptedI3D()).save(nowhere / "fvd-i3d" / "i3d_torchscript.pt")
    models = []
    for model in registry.MODELS:
        if model.kind == "metric":
            contents = [(nowhere / model.name / file.path).read_bytes() for file in model.files]
            model = replace(model, files=tuple(
                File(file.path, hashlib.sha256(content).hexdigest(), len(content), file.url)
                for file, content in zip(model.files, contents)
            ))  # fmt: skip
        models.append(model)
    monkeypatch.setattr(registry, "MODELS", tuple(models))
    return nowhere


def clip(seed, frames=18, height=32, width=40):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------ what is missing


def test_without_weights_every_metric_says_how_to_get_them(nowhere):
    opened = LearnedMetrics()
    assert opened.available == ()
    assert opened.weights == {}
    assert tuple(opened.unavailable) == LEARNED_METRICS
    for name, reason in opened.unavailable.items():
        weights = METRICS[name].weights
        if name == "fid_vid":
            assert reason == (
                "unavailable: weights fid-vid-resnet50, put resnet-50-kinetics.pth from "
                f"https://github.com/kenshohara/video-classification-3d-cnn-pytorch into {nowhere / weights}"
            )
        else:
            assert registry.get(weights).kind == "metric"
            assert reason == f"unavailable: weights {weights}, run `bunraku models pull {weights}`"
    scorer = opened.scorer()
    assert scorer.update({"a": clip(0)}, clip(1)) == {"a": {}}
    assert scorer.result("a") == learned.SetScores()


def test_looking_for_weights_imports_no_torch(nowhere):
    code = "import sys; from bunraku.evaluation.learned import LearnedMetrics; LearnedMetrics(); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def test_a_damaged_file_is_not_used(weights):
    path = weights / "lpips-alex" / "alex.pth"
    path.write_bytes(path.read_bytes()[:-1])
    path = weights / "fid-vid-resnet50" / "resnet-50-kinetics.pth"
    path.write_bytes(path.read_bytes()[:-500])
    opened = LearnedMetrics(["lpips_alex", "lpips_vgg", "fid_vid"], device="cpu")
    assert opened.available == ("lpips_vgg",)
    assert "alex.pth has" in opened.unavailable["lpips_alex"]
    assert opened.unavailable["lpips_alex"].endswith("run `bunraku models pull lpips-alex`")
    assert opened.unavailable["fid_vid"].startswith("unavailable: weights fid-vid-resnet50, ")
    assert "resnet-50-kinetics.pth is damaged" in opened.unavailable["fid_vid"]


def test_a_torchscript_with_another_checksum_is_never_opened(weights, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("it was opened"))
    path = weights / "fvd-i3d" / "i3d_torchscript.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "has the wrong checksum" in LearnedMetrics(["fvd"], device="cpu").unavailable["fvd"]


def test_a_network_that_does_not_fit_its_file_is_left_out(weights, monkeypatch):
    monkeypatch.setattr(networks, "FIDInception", lambda: Pooled(2, channels=7))
    reason = LearnedMetrics(["fid"], device="cpu").unavailable["fid"]
    assert reason.startswith("unavailable: weights fid-inception, The weights do not fit the fid-inception")
    assert "conv.weight is (5, 3, 3, 3), expected (7, 3, 3, 3)" in reason


def test_a_device_that_is_not_there(weights):
    with pytest.raises(BunrakuError, match="Device 'cuda:77' cannot be used here"):
        LearnedMetrics(["fid"], device="cuda:77")


def test_names_and_strides_that_do_not_exist(nowhere):
    with pytest.raises(BunrakuError, match=r"ssim: no metric with weights; known: lpips_person, lpips_vgg, "):
        LearnedMetrics(["fvd", "ssim"])
    with pytest.raises(BunrakuError, match="window_stride is 0"):
        LearnedMetrics(window_stride=0)


# ------------------------------------------------------------------------------------------------ what is there


def test_everything_is_scored_and_names_its_weights(weights):
    opened = LearnedMetrics(device="cpu")
    assert opened.unavailable == {}
    assert opened.available == LEARNED_METRICS
    for key, digest in opened.weights.items():
        assert hashlib.sha256((weights / key).read_bytes()).hexdigest() == digest
    assert len(opened.weights) == 8
    scorer = opened.scorer()
    scores = scorer.update({"a": clip(0)}, clip(1), clip(2)[0])["a"]
    frame_level = [name for name in LEARNED_METRICS if METRICS[name].level == "frame" and name != "lpips_person"]
    assert list(scores) == frame_level
    assert all(
        values.shape == (18,) and values.dtype == np.float64 and np.isfinite(values).all() for values in scores.values()
    )
    scorer.update({"a": clip(3, frames=20)}, clip(4, frames=20))
    found = scorer.result("a")
    assert list(found.scores) == ["fid", "clean_fid", "fid_vid", "fvd"]
    assert all(np.isfinite(value) and value > 0 for value in found.scores.values())
    assert found.notes["fid"] == "38 frames of 2 clips"
    assert found.notes["fvd"] == "8 windows, stride 1, of 2 clips"
    assert found.unavailable == {}
    assert "clip_i" not in scorer.update({"a": clip(0)}, clip(1))["a"]


def test_lpips_of_frames_is_the_networks(weights):
    opened = LearnedMetrics(["lpips_vgg", "lpips_vgg_unscaled"], device="cpu")
    generated, truth = clip(0, 5, 400, 700), clip(1, 5, 400, 700)  # more than one batch
    network = opened._networks["lpips-vgg"]
    with torch.inference_mode():
        for name, scale in (("lpips_vgg", networks.signed_range), ("lpips_vgg_unscaled", networks.unit_range)):
            expected = [network(scale(a[None]), scale(b[None])).item() for a, b in zip(generated, truth)]
            assert opened.lpips(name, [generated], truth)[0, 0] == pytest.approx(expected, rel=1e-4)
    assert opened.lpips("lpips_vgg", [truth], truth) == pytest.approx(0)


def test_each_person_has_a_distance_of_their_own(weights):
    opened = LearnedMetrics(["lpips_vgg", "lpips_person"], device="cpu")
    truth, made = clip(0, 4), {"a": clip(1, 4), "b": clip(0, 4)}
    people = np.zeros((2, *truth.shape[:3]), bool)
    people[0, :, :, :20], people[1, :3, :, 20:] = True, True
    found = opened.scorer().update(made, truth, people=people)
    left, right = opened.lpips("lpips_vgg", [made["a"]], truth, people)[1:, 0]
    assert found["a"]["lpips_person"][:3] == pytest.approx((left + right)[:3] / 2)
    assert found["a"]["lpips_person"][3] == pytest.approx(left[3])  # the other is not in sight
    assert found["b"]["lpips_person"] == pytest.approx(0)
    assert list(found["a"]) == ["lpips_person", "lpips_vgg"]
    alone = LearnedMetrics(["lpips_person"], device="cpu").scorer().update(made, truth, people=people)
    assert alone["a"]["lpips_person"] == pytest.approx(found["a"]["lpips_person"])
    assert opened.scorer().update(made, truth)["a"].keys() == {"lpips_vgg"}


def test_clip_i_is_the_cosine_with_the_still(weights):
    opened = LearnedMetrics(["clip_i"], device="cpu")
    generated, still = clip(0, 20), clip(1)[0]
    with torch.inference_mode():
        network = opened._networks["clip-vit-b32"]
        a, b = network(networks.for_clip(generated)), network(networks.for_clip(still[None]))
    assert opened.clip_i(generated, still) == pytest.approx(torch.cosine_similarity(a, b).double().numpy(), abs=1e-6)
    assert opened.clip_i(np.stack([still, still]), still) == pytest.approx([1, 1])


def test_distances_are_those_of_all_features_together(weights):
    opened = LearnedMetrics(["fid", "clean_fid", "fid_vid", "fvd"], device="cpu", window_stride=2)
    clips = [(clip(seed, frames), clip(seed + 50, frames)) for seed, frames in ((1, 22), (2, 17), (3, 9))]
    scorer = opened.scorer()
    for generated, truth in clips:
        scorer.update({"a": generated}, truth)
    found = scorer.result("a")
    for name, expected in (("fid", 48), ("clean_fid", 48), ("fid_vid", 4 + 1 + 1), ("fvd", 4 + 1)):
        both = []
        for side in (0, 1):
            parts = [opened.features(name, pair[side]) for pair in clips]
            values = np.concatenate([part for part in parts if len(part)])
            assert len(values) == expected
            both.append(FeatureStatistics())
            both[-1].update(values)
        assert found.scores[name] == pytest.approx(frechet_distance(*both), rel=1e-6)
    assert found.notes["fvd"] == "5 windows, stride 2, of 2 clips, 1 shorter than 16 frames left out"
    assert found.notes["fid_vid"] == (
        "6 windows, stride 2, of 3 clips, 1 shorter than 16 frames filled up with their last frame"
    )


def test_the_video_networks_see_their_windows(weights):
    opened = LearnedMetrics(["fid_vid", "fvd"], device="cpu")
    shown = clip(5, 18)
    features = opened.features("fvd", shown)
    assert features.shape == (3, 4)
    with torch.inference_mode():
        window = torch.from_numpy(networks.for_i3d(shown[1:17])).permute(3, 0, 1, 2)[None]
        assert features[1] == pytest.approx(opened._networks["fvd-i3d"](window)[0].double().numpy(), rel=1e-4, abs=1e-6)
        padded = torch.from_numpy(networks.for_resnet3d(shown[[0, 1, *[2] * 14]])).permute(3, 0, 1, 2)[None]
        expected = opened._networks["fid-vid-resnet50"](padded).double().numpy()
    assert opened.features("fid_vid", shown[:3]) == pytest.approx(expected, rel=1e-4)
    assert opened.features("fvd", shown[:3]).shape[0] == 0


def test_few_clips(weights):
    opened = LearnedMetrics(["fid", "fvd"], device="cpu")
    scorer = opened.scorer()
    assert scorer.result("a").unavailable["fid"] == (
        "FID compares distributions of clips and needs at least 2; there is none"
    )
    scorer.update({"a": clip(0)}, clip(1))
    assert scorer.result("a").scores == {}
    assert scorer.result("a").unavailable["fvd"].endswith("needs at least 2; there is 1")
    scorer.update({"a": clip(2, 15)}, clip(3, 15))
    assert scorer.result("a").unavailable["fvd"].endswith("needs at least 2; there is 1 (1 shorter than 16 frames)")
    assert scorer.result("a").scores.keys() == {"fid"}
    scorer = opened.scorer()
    for seed in (0, 2):
        scorer.update({"a": clip(seed, 2)}, clip(seed + 1, 2))
    assert scorer.result("a").notes["fid"] == (
        "4 frames of 2 clips; not more than the 5 dimensions: too high, comparable only at equal numbers"
    )


def test_systems_and_threads_do_not_mix(weights):
    opened = LearnedMetrics(["fid", "lpips_alex"], device="cpu")
    clips = [({"a": clip(seed, 3), "b": clip(seed + 20, 3)}, clip(seed + 50, 3)) for seed in range(8)]
    scorer, threaded, alone = opened.scorer(), opened.scorer(), opened.scorer()
    in_turn = [scorer.update(*both) for both in clips]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda both: threaded.update(*both), clips))
    for a, b in zip(in_turn, together):
        for system in ("a", "b"):
            assert np.array_equal(a[system]["lpips_alex"], b[system]["lpips_alex"])
    for made, truth in clips:
        alone.update({"b": made["b"]}, truth)
    for system in ("a", "b"):
        assert threaded.result(system).scores["fid"] == pytest.approx(scorer.result(system).scores["fid"], rel=1e-9)
    assert scorer.result("b").scores == alone.result("b").scores
    assert scorer.result("a").scores != scorer.result("b").scores


def test_the_truth_is_looked_at_once_however_many_systems_there_are(weights, monkeypatch):
    opened = LearnedMetrics(["fid", "fvd"], device="cpu")
    looked = []
    features = opened.features
    monkeypatch.setattr(opened, "features", lambda name, frames: looked.append(id(frames)) or features(name, frames))
    truth, made = clip(0), {name: clip(seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))}
    opened.scorer().update(made, truth)
    assert looked.count(id(truth)) == 2  # once per metric
    assert len(looked) == 2 * 4


def test_a_clip_that_one_system_spoils_is_not_taken_in_at_all(weights):
    scorer = LearnedMetrics(["fid"], device="cpu").scorer()
    with pytest.raises(BunrakuError, match="The generated clip has"):
        scorer.update({"a": clip(0), "b": clip(1, 5)}, clip(2))
    assert scorer.result("a").unavailable["fid"].endswith("there is none")


def test_frames_that_cannot_be_compared_are_refused(weights):
    with pytest.raises(BunrakuError, match="float64 with 1 NaN"):
        LearnedMetrics(["fid"], device="cpu").scorer().update({"a": np.full((1, 1, 1, 1), np.nan)}, clip(0))


def test_an_abbreviated_checksum_still_gives_the_whole_digest(weights, monkeypatch):
    model = registry.get("fid-inception")
    whole = model.files[0].sha256
    short = replace(model, files=(replace(model.files[0], sha256=whole[:8]),))
    monkeypatch.setattr(registry, "MODELS", (short,))
    assert examine("fid-inception") == (None, {f"fid-inception/{model.files[0].path}": whole})
