"""What is kept on disk of frozen networks: it is the same, it is made once, and it is never another network's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bunraku.training.remembered import Remembered

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8))


class Counted:
    def __init__(self, network: nn.Module) -> None:
        self.network, self.seen = network, 0

    def __call__(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        return self.network(pictures.flatten(1).float())


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(8 * 6 * 3, 4).requires_grad_(False)


def test_each_picture_is_computed_once_and_comes_back_bit_for_bit(network: nn.Module, tmp_path: Path) -> None:
    compute, rows = Counted(network), [0, 1, 1, 2]
    first = Remembered(tmp_path, network)(PICTURES[rows], compute)
    assert compute.seen == 3
    again = Remembered(tmp_path, network)(PICTURES[[3, *rows]], compute)
    assert compute.seen == 4
    assert torch.equal(again[1:], first)
    torch.testing.assert_close(again, network(PICTURES[[3, *rows]].flatten(1).float()), atol=1e-4, rtol=1e-5)
    assert again.dtype == torch.float32


def test_of_another_network_shape_or_precision_nothing_is_known(network: nn.Module, tmp_path: Path) -> None:
    Remembered(tmp_path, network)(PICTURES, Counted(network))
    other = nn.Linear(8 * 6 * 3, 4).requires_grad_(False)
    for asked, context, shape in (
        (other, "", (5, 8, 6, 3)),
        (network, "bf16", (5, 8, 6, 3)),
        (network, "", (5, 6, 8, 3)),
    ):
        compute = Counted(asked)
        Remembered(tmp_path, asked, context)(PICTURES.reshape(shape), compute)
        assert compute.seen == 5


def test_networks_with_single_numbers_among_their_weights(network: nn.Module, tmp_path: Path) -> None:
    network.register_buffer("count", torch.tensor(3))
    assert Remembered(tmp_path, network)(PICTURES, Counted(network)).shape == (5, 4)


def test_a_damaged_file_is_made_again(network: nn.Module, tmp_path: Path) -> None:
    compute, remembered = Counted(network), Remembered(tmp_path, network)
    first = remembered(PICTURES, compute)
    files = sorted(tmp_path.rglob("*.npy"))
    files[0].write_bytes(files[0].read_bytes()[:-3])
    files[1].write_bytes(b"")
    assert torch.equal(remembered(PICTURES, compute), first)
    assert compute.seen == 7
