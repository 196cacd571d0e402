"""Muon: orthogonal steps, against singular value decomposition and torch's own on matrices."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from bunraku.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_singular_values_become_about_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    in_its_axes = left.T @ orthogonalised(matrix) @ right.T
    values = in_its_axes.diagonal()
    assert values.min() > 0.3  # the smallest of a square matrix grow last
    assert values.max() < 1.3
    torch.testing.assert_close(in_its_axes, torch.diag(values), atol=1e-6, rtol=0)


def test_iterates_as_newton_and_schulz_do():
    matrix = torch.randn(6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalised(matrix), x, atol=1e-6, rtol=1e-6)


def test_steps_like_torch_on_matrices():
    def trained(kind, **options) -> torch.Tensor:
        weight = nn.Parameter(torch.ones(6, 4))
        optimiser = kind([weight], lr=0.1, **options)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            weight.grad = torch.randn(6, 4, generator=generator)
            optimiser.step()
        return weight.detach()

    ours, theirs = trained(Muon), trained(torch.optim.Muon, weight_decay=0.0)
    torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0)  # torch iterates in bfloat16


def test_kernels_of_convolutions_count_as_matrices_in_any_memory_format():
    moved = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer = nn.Conv2d(5, 7, 3, bias=False).to(memory_format=memory_format)
        nn.init.zeros_(layer.weight)
        layer.weight.grad = torch.randn(7, 5, 3, 3, generator=torch.Generator().manual_seed(2)).to(
            memory_format=memory_format
        )
        Muon(layer.parameters(), lr=0.5).step()
        moved.append(layer.weight.detach())
    torch.testing.assert_close(moved[0], moved[1])
    values = torch.linalg.svdvals(moved[0].flatten(1))
    assert 0.3 < values.min() <= values.max() < 0.65


def test_its_state_is_saved_and_loaded():
    def fresh() -> tuple[nn.Linear, Muon]:
        layer = nn.Linear(4, 4, bias=False)
        nn.init.eye_(layer.weight)
        return layer, Muon(layer.parameters(), lr=0.1)

    def move(layer: nn.Linear, optimiser: Muon, seed: int) -> None:
        layer.weight.grad = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
        optimiser.step()

    layer, optimiser = fresh()
    move(layer, optimiser, 0)
    again, other = fresh()
    again.load_state_dict(layer.state_dict())
    other.load_state_dict(deepcopy(optimiser.state_dict()))
    move(layer, optimiser, 1)
    move(again, other, 1)
    assert torch.equal(layer.weight, again.weight)
