"""Linear layers and convolutions computed the fast way are what PyTorch computes; oneDNN is asked even where MKL would do as well."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from bunraku.nets import products
from bunraku.nets.products import fast_products, onednn_is_faster, the_same_again
from bunraku.nets.winograd import Winograd, worth_winograd

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="a PyTorch without oneDNN")


@pytest.fixture
def onednn(monkeypatch):
    """Every linear layer that oneDNN may compute is computed by it; the shapes of their products are written down."""
    seen: list[tuple[int, ...]] = []
    product = products._product

    def noted(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        seen.append((*rows.shape, *weight.shape))
        return product(rows, weight, bias)

    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "_product", noted)
    return seen


def learnt(layer: nn.Module, rows: Tensor, fast: bool) -> list[Tensor]:
    """The layer's output and all gradients of a loss."""
    rows = rows.detach().requires_grad_()
    layer.zero_grad()
    with fast_products() if fast else torch.enable_grad():
        out = layer(rows)
        (out.sin() * torch.arange(out.numel()).view(out.shape).cos()).sum().backward()
    return [out.detach(), *(g for g in (rows.grad, *(p.grad for p in layer.parameters())) if g is not None)]


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 96), (2, 5, 96), (2, 3, 4, 96)])
def test_a_linear_layer_and_its_gradients(onednn, shape, bias):
    layer = nn.Linear(96, 64, bias)
    rows = torch.randn(shape)
    for strided in (rows, torch.randn(96, *shape[:-1]).movedim(0, -1)):
        for plain, fast in zip(learnt(layer, strided, False), learnt(layer, strided, True), strict=True):
            torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    assert len(onednn) == 2 * 3  # forward, to the rows, to the weights


@needs_onednn
def test_a_gradient_that_is_one_number_spread_out(onednn):
    layer, rows = nn.Linear(96, 64), torch.randn(5, 96)
    with fast_products():
        layer(rows).sum().backward()
    torch.testing.assert_close(layer.weight.grad, rows.sum(0).expand(64, -1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.bias.grad, torch.full((64,), 5.0))


@needs_onednn
def test_a_convolution_of_one_pixel(onednn):
    layer, maps = nn.Conv2d(96, 64, 1), torch.randn(2, 96, 5, 6)
    for plain, fast in zip(learnt(layer, maps, False), learnt(layer, maps, True), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    assert onednn


@needs_onednn
@pytest.mark.parametrize(
    "call",
    [
        lambda: F.linear(torch.randn(7, 96).double(), torch.randn(64, 96).double()),
        lambda: F.linear(torch.randn(7, 96).bfloat16(), torch.randn(64, 96).bfloat16()),
        lambda: F.linear(torch.randn(96), torch.randn(64, 96)),
        lambda: F.linear(torch.randn(7, 8), torch.randn(9, 8)),
        lambda: F.conv2d(torch.randn(2, 96, 5, 5), torch.randn(64, 96, 1, 1), stride=2),
        lambda: F.conv2d(torch.randn(2, 96, 5, 5), torch.randn(64, 96, 1, 1), padding=1),
        lambda: F.conv2d(torch.randn(2, 96, 5, 5), torch.randn(64, 48, 1, 1), groups=2),
        lambda: F.conv2d(torch.randn(96, 5, 5), torch.randn(64, 96, 1, 1)),
    ],
)
def test_what_is_left_to_pytorch(onednn, call):
    torch.manual_seed(0)
    plain = call()
    torch.manual_seed(0)
    with fast_products():
        assert torch.equal(call(), plain)
    assert not onednn


@needs_onednn
def test_autocast_is_left_its_precision(onednn):
    layer = nn.Linear(96, 64)
    with fast_products(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(7, 96)).dtype == torch.bfloat16
    assert not onednn


@needs_onednn
def test_nothing_is_changed_outside(onednn):
    with fast_products():
        pass
    nn.Linear(96, 64)(torch.randn(7, 96))
    assert not onednn


@needs_onednn
@pytest.mark.parametrize("within", [True, False])
def test_a_checkpoint_is_computed_again_as_it_was(onednn, within):
    layer, rows = nn.Sequential(nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 64)), torch.randn(7, 96, requires_grad=True)
    with fast_products() if within else torch.enable_grad():
        checkpoint(layer, rows, use_reentrant=False, context_fn=the_same_again).sum().backward()
    assert len(onednn) == (2 * 2 + 2 * 2 if within else 0)  # two layers, twice forward and twice backward


def test_onednn_is_asked_on_the_processors_of_amd_alone(monkeypatch, tmp_path):
    about = tmp_path / "cpuinfo"
    monkeypatch.setattr(products, "Path", lambda _: about)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for vendor, capability, expected in (
        ("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", True), ("AuthenticAMD", "DEFAULT", False), ("GenuineIntel", "AVX512", False),
    ):  # fmt: skip
        about.write_text(f"vendor_id\t: {vendor}\n")
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda found=capability: found)
        onednn_is_faster.cache_clear()
        assert onednn_is_faster() == expected
    onednn_is_faster.cache_clear()


@pytest.mark.parametrize("size", [(3, 8, 8), (1, 7, 12), (2, 5, 9), (40, 2, 2), (1, 1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_winograd_is_the_convolution(size, bias, monkeypatch):
    """Against float64, for whole maps, for bands of them, and with channels last."""
    torch.manual_seed(0)
    batch, height, width = size
    maps, kernel = torch.randn(batch, 20, height, width), torch.randn(12, 20, 3, 3) / 180**0.5
    added = torch.randn(12) if bias else None
    expected = F.conv2d(maps.double(), kernel.double(), None if added is None else added.double(), padding=1)
    winograd = Winograd()
    for piece in (1 << 22, 16 * 20 * 3):
        monkeypatch.setattr("bunraku.nets.winograd.PIECE", piece)
        for given in (maps, maps.contiguous(memory_format=torch.channels_last)):
            found = winograd(given, kernel, added)
            assert found.shape == expected.shape
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=5e-6)


def test_a_kernel_is_not_mistaken_for_the_one_before():
    winograd, maps = Winograd(), torch.randn(2, 8, 6, 6)
    for wide in (16, 4, 16):
        kernel = torch.randn(wide, 8, 3, 3)
        torch.testing.assert_close(winograd(maps, kernel), F.conv2d(maps, kernel, padding=1), rtol=1e-5, atol=1e-4)


def test_wide_convolutions_without_gradients_go_by_winograd(monkeypatch):
    calls = []
    whole = Winograd.__call__
    monkeypatch.setattr(Winograd, "__call__", lambda self, *given: (calls.append(1), whole(self, *given))[1])
    layer, maps = nn.Conv2d(256, 256, 3, padding=1), torch.randn(8, 256, 8, 8)
    assert worth_winograd(maps.shape, layer.weight.shape)
    expected = layer(maps).detach()
    with fast_products():
        layer(maps)
        assert not calls
        with torch.no_grad():
            torch.testing.assert_close(layer(maps), expected, rtol=1e-5, atol=1e-5)
            assert len(calls) == 1
            nn.Conv2d(256, 256, 3, stride=2, padding=1)(maps)
            nn.Conv2d(256, 256, 3)(maps)
            nn.Conv2d(256, 64, 3, padding=1)(maps)
            layer(maps[:1])
    assert len(calls) == 1
