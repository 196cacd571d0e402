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


def test_kernels_of_one_shape_step_together_as_each_would_by_itself():
    shapes = [(6, 18), (18, 6), (6, 2, 3, 3), (6, 18), (18, 2, 3), (4, 4), (6, 18, 1, 1)]

    def kernels() -> list[nn.Parameter]:
        generator = torch.Generator().manual_seed(0)
        return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]

    together, alone = kernels(), kernels()
    optimisers = [Muon(together, lr=0.1)], [Muon([kernel], lr=0.1) for kernel in alone]
    for step in range(3):
        generator = torch.Generator().manual_seed(1 + step)
        for index, pair in enumerate(zip(together, alone)):
            gradient = torch.randn(shapes[index], generator=generator) * 10.0 ** (index - 3)
            for kernel in pair:
                # one learns nothing in the second step
                kernel.grad = None if (step, index) == (1, 3) else gradient.clone()
        before = [kernel.detach().clone() for kernel in together]
        for optimiser in [*optimisers[0], *optimisers[1]]:
            optimiser.step()
        for kernel, other in zip(together, alone):
            torch.testing.assert_close(kernel, other, atol=1e-5, rtol=0)
        for kernel, was in zip(together, before):
            if step == 0:
                direction = (kernel.grad * (0.05 + 0.95 * 0.05)).flatten(1)  # type: ignore[operator]
                scale = max(1, direction.shape[0] / direction.shape[1]) ** 0.5
                wanted = was - 0.1 * scale * orthogonalised(direction).view(kernel.shape)
                torch.testing.assert_close(kernel.detach(), wanted, atol=1e-5, rtol=0)
        assert torch.equal(together[3], before[3]) == (step == 1)
    stack = torch.stack([torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(s)) for s in range(2)])
    each = torch.stack([torch.stack([orthogonalised(matrix) for matrix in part]) for part in stack])
    torch.testing.assert_close(orthogonalised(stack), each, atol=1e-5, rtol=0)
    torch.testing.assert_close(orthogonalised(stack.mT), each.mT, atol=1e-5, rtol=0)


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
