"""The networks: keys and shapes of the public files, arithmetic against float64 numpy, inputs against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from bunraku.evaluation import networks

torch.set_num_threads(1)


def meta(build):
    with torch.device("meta"):
        return build()


def floats(module):
    return sum(value.numel() for value in module.state_dict().values() if value.is_floating_point())


def frames(count=2, height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------ architectures


def test_trunks_have_the_public_keys():
    vgg, alex = meta(networks.lpips_vgg), meta(networks.lpips_alex)
    convolutions = [index for index, layer in enumerate(vgg.features) if isinstance(layer, nn.Conv2d)]
    assert convolutions == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    keys = [key for key in vgg.state_dict() if key.startswith("features.")]
    assert len(keys) == 26
    # the files hold 138,357,544 and 61,100,840 parameters, 123,642,856 and 58,631,144 of them in the classifiers
    assert sum(vgg.get_parameter(key).numel() for key in keys) == 138_357_544 - 123_642_856
    assert [tuple(alex.get_parameter(f"features.{i}.weight").shape) for i in (0, 3, 6, 8, 10)] == [
        (64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)
    ]  # fmt: skip
    assert sum(p.numel() for p in alex.features.parameters()) == 61_100_840 - 58_631_144
    for network, taps in ((vgg, networks.VGG16_TAPS), (alex, networks.ALEXNET_TAPS)):
        assert all(isinstance(network.features[index], nn.ReLU) for index in taps)
        heads = {key: tuple(value.shape) for key, value in network.state_dict().items() if key.startswith("lin")}
        channels = [network.features[index - 1].out_channels for index in taps]
        assert heads == {f"lin{i}.model.1.weight": (1, count, 1, 1) for i, count in enumerate(channels)}


def test_inception_has_the_public_keys():
    network = meta(networks.FIDInception)
    state = network.state_dict()
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1), "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3), "Mixed_6b.branch7x7dbl_5.conv.weight": (192, 128, 1, 7),
        "Mixed_6e.branch7x7_3.conv.weight": (192, 192, 7, 1), "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1), "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
    }  # fmt: skip
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert sum(key.endswith("conv.weight") for key in state) == 94
    # the file has 95,628,359 bytes: 4 per value, its classifier of 1,008 classes, and 566 names
    values = floats(network) + 2048 * 1008 + 1008
    assert 0 < 95_628_359 - 4 * values < 200 * 566


def test_resnet3d_has_the_public_keys():
    network = meta(networks.ResNet3D50)
    state = network.state_dict()
    shapes = {
        "conv1.weight": (64, 3, 7, 7, 7), "layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3, 3), "layer3.5.conv3.weight": (1024, 256, 1, 1, 1),
        "layer4.0.downsample.1.running_mean": (2048,), "layer4.2.bn3.bias": (2048,),
    }  # fmt: skip
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert [len(network.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert sum(key.endswith("downsample.0.weight") for key in state) == 4
    assert sum(p.numel() for p in network.parameters()) == 46_198_976


def test_clip_has_the_public_keys():
    with torch.device("meta"):
        state = networks.CLIPImage().model.state_dict()
    assert tuple(state["visual_projection.weight"].shape) == (512, 768)
    assert tuple(state["vision_model.embeddings.patch_embedding.weight"].shape) == (768, 3, 32, 32)
    assert tuple(state["vision_model.embeddings.position_embedding.weight"].shape) == (50, 768)
    assert "vision_model.pre_layrnorm.weight" in state
    assert "vision_model.encoder.layers.11.self_attn.q_proj.weight" in state


@pytest.mark.parametrize(
    ("build", "size", "dims"),
    [(networks.FIDInception, (3, 299, 299), 2048), (networks.ResNet3D50, (3, 16, 112, 112), 2048)],
)
def test_networks_pool_to_one_vector(build, size, dims):
    torch.manual_seed(0)
    with torch.inference_mode():
        features = build().eval()(torch.rand(1, *size))
    assert features.shape == (1, dims)
    assert features.std() > 0


def test_the_inception_blocks_pool_as_tensorflow_did():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    corner = networks._mean_pool(x)[0, 0, 0, 0]
    assert corner == (0 + 1 + 4 + 5) / 4  # the padding is not counted
    assert networks._max_pool(x)[0, 0, 0, 0] == 5
    network = meta(networks.FIDInception)
    pools = [network.get_submodule(f"Mixed_{name}").pool for name in ("5b", "5d", "6b", "6e", "7b", "7c")]
    assert pools == [networks._mean_pool] * 5 + [networks._max_pool]


# ------------------------------------------------------------------------------------------------ LPIPS


def small_lpips(seed=0):
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2))
    network = networks.LPIPS(trunk, (1, 3), (4, 6)).eval()
    for index in (0, 1):
        network.get_parameter(f"lin{index}.model.1.weight").data.uniform_(0, 1)
    return network


def convolved(x, weight, bias, stride, padding):
    """Cross-correlation of x (C, H, W), spelled out."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    k = weight.shape[-1]
    rows, columns = (x.shape[1] - k) // stride + 1, (x.shape[2] - k) // stride + 1
    out = np.empty((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            out[:, i, j] = np.einsum("ochw,chw->o", weight, patch) + bias
    return out


def numpy_lpips(network, a, b):
    """Equation 1 of the paper in float64."""
    state = {key: value.double().numpy() for key, value in network.state_dict().items()}
    distance = 0.0
    features = []
    for image in (a, b):
        x = (image - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
        first = np.maximum(convolved(x, state["features.0.weight"], state["features.0.bias"], 2, 1), 0)
        second = np.maximum(convolved(first, state["features.2.weight"], state["features.2.bias"], 1, 0), 0)
        features.append([first, second])
    for layer in (0, 1):
        p, q = (f[layer] / (np.sqrt((f[layer] ** 2).sum(0)) + 1e-10) for f in features)
        weights = state[f"lin{layer}.model.1.weight"].reshape(-1, 1, 1)
        distance += (weights * (p - q) ** 2).sum(0).mean()
    return distance


@given(st.integers(0, 999), st.floats(0.1, 2))
@settings(max_examples=10, deadline=None)
def test_lpips_equals_a_float64_reference(seed, spread):
    network = small_lpips(seed)
    a, b = np.random.default_rng(seed).normal(0, spread, (2, 3, 3, 14, 17))
    with torch.inference_mode():
        found = network.double()(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        single = network.float()(torch.from_numpy(a).float(), torch.from_numpy(b).float()).numpy()
    expected = [numpy_lpips(network.double(), x, y) for x, y in zip(a, b)]
    assert found == pytest.approx(expected, rel=1e-6)  # the scaling's constants are float32
    assert single == pytest.approx(expected, rel=1e-4)


def test_lpips_inside_masks_and_of_several_sets_equals_a_float64_reference():
    network = small_lpips(3).double()
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (2 * 2, 3, 14, 17)), random.normal(0, 1, (2, 3, 14, 17))
    where = (random.random((3, 2, 14, 17)) > 0.5).astype(float)
    where[0], where[2, 1] = 1, 0
    with torch.inference_mode():
        whole = network(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        found = network(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(where)).numpy()
    assert whole == pytest.approx([numpy_lpips(network, x, b[i % 2]) for i, x in enumerate(a)], rel=1e-6)
    assert found.shape == (3, 4)
    assert found[0] == pytest.approx(whole, rel=1e-9)
    assert np.isnan(found[2]).tolist() == [False, True, False, True]

    def layers(image):
        x = (image - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
        first = np.maximum(convolved(x, state["features.0.weight"], state["features.0.bias"], 2, 1), 0)
        second = np.maximum(convolved(first, state["features.2.weight"], state["features.2.bias"], 1, 0), 0)
        return [x / (np.sqrt((x**2).sum(0)) + 1e-10) for x in (first, second)]

    def area(mask, height, width):  # each cell the mean of the pixels that it covers
        rows = [(i * mask.shape[0] // height, -(-(i + 1) * mask.shape[0] // height)) for i in range(height)]
        columns = [(j * mask.shape[1] // width, -(-(j + 1) * mask.shape[1] // width)) for j in range(width)]
        return np.array([[mask[top:bottom, left:right].mean() for left, right in columns] for top, bottom in rows])

    for i, x in enumerate(a):
        expected = 0.0
        for layer, (p, q) in enumerate(zip(layers(x), layers(b[i % 2]))):
            local = (state[f"lin{layer}.model.1.weight"].reshape(-1, 1, 1) * (p - q) ** 2).sum(0)
            weight = area(where[1, i % 2], *local.shape)
            expected += (local * weight).sum() / weight.sum()
        assert found[1, i] == pytest.approx(expected, rel=1e-6)


def test_lpips_of_equal_images_is_zero_and_scaling_matters():
    network = small_lpips()
    a, b = frames(2), frames(2, seed=1)
    with torch.inference_mode():
        assert network(networks.signed_range(a), networks.signed_range(a)).abs().max() == 0
        scaled = network(networks.signed_range(a), networks.signed_range(b))
        unscaled = network(networks.unit_range(a), networks.unit_range(b))
    assert (scaled - unscaled).abs().min() > 1e-3


# ------------------------------------------------------------------------------------------------ inputs


def test_ranges():
    shown = frames()
    assert networks.unit_range(shown).numpy() == pytest.approx(shown.transpose(0, 3, 1, 2) / 255)
    assert networks.signed_range(shown).numpy() == pytest.approx(shown.transpose(0, 3, 1, 2) / 127.5 - 1, abs=1e-6)
    flipped = shown[:, :, ::-1]  # negative strides
    assert networks.unit_range(flipped)[0, 0, 0, 0] == pytest.approx(shown[0, 0, -1, 0] / 255)


@pytest.mark.parametrize(("height", "width"), [(50, 60), (300, 200)])
def test_bicubic_is_pillows_in_floats(height, width):
    shown = frames(1, height, width) // 3 + 80
    found = networks.bicubic(shown, 112)
    assert found.shape == (1, 112, 112, 3)
    assert found.dtype == np.float32
    bytes_only = np.asarray(Image.fromarray(shown[0]).resize((112, 112), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(found[0] - bytes_only).max() < 1.5  # the same but for rounding, twice
    assert np.abs(found - np.rint(found)).max() > 0.3
    if height == 300:  # antialiased: shrunken noise is grey
        assert found.std() < shown.std() / 1.5
    steep = networks.bicubic((frames(1, 30, 30) > 127).astype(np.uint8) * 255, 112)
    assert (steep.min(), steep.max()) == (0, 255)  # without the filter's overshoot


def test_what_each_network_is_fed():
    shown = np.full((2, 64, 48, 3), (10, 128, 255), np.uint8)
    assert networks.for_fid(shown).shape == networks.for_clean_fid(shown).shape == (2, 3, 299, 299)
    assert networks.for_fid(shown)[0, :, 5, 5].tolist() == pytest.approx([10 / 127.5 - 1, 128 / 127.5 - 1, 1], abs=1e-6)
    assert networks.for_clean_fid(shown)[0, :, 5, 5].tolist() == pytest.approx(
        [(10 - 128) / 128, 0, 127 / 128], abs=1e-6
    )
    assert networks.for_i3d(shown).shape == (2, 224, 224, 3)
    assert networks.for_i3d(shown)[1, 9, 9] == pytest.approx([10 / 127.5 - 1, 128 / 127.5 - 1, 1], abs=1e-6)
    assert networks.for_resnet3d(shown).shape == (2, 112, 112, 3)
    assert networks.for_resnet3d(shown)[1, 9, 9] == pytest.approx(
        [10 - 114.7748, 128 - 107.7354, 255 - 99.475], abs=1e-4
    )


@pytest.mark.parametrize(("height", "width"), [(64, 48), (224, 224), (301, 517), (40, 41)])
def test_clip_is_fed_as_transformers_does(height, width):
    from transformers import CLIPImageProcessorPil

    shown = frames(2, height, width)
    expected = CLIPImageProcessorPil()([Image.fromarray(frame) for frame in shown], return_tensors="pt").pixel_values
    found = networks.for_clip(shown)
    assert found.shape == expected.shape == (2, 3, 224, 224)
    assert (found - expected).abs().max() < 1e-5
