"""Muon: momentum whose every step is orthogonalised, for the kernels of convolutions and linear layers."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Steps of which all singular values are about 1 (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

    A kernel (out, in, ...) counts as a matrix (out, rest). `torch.optim.Muon` takes matrices alone, and iterates in bfloat16,
    which many CPUs cannot. Biases, and what is no matrix by nature, are for AdamW.

    Args:
        parameters: each of two or more dimensions; or groups of them, as every optimiser takes them.
        lr: length of a step: the largest change of a layer's output, relative to its input.
        momentum: of the average over gradients (Nesterov).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 0.01, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(average, group["momentum"]).flatten(1)
                alike.setdefault((direction.shape[0], direction.shape[1]), []).append((parameter, direction))
            for (rows, columns), kernels in alike.items():
                steps = orthogonalised(torch.stack([direction for _, direction in kernels]))
                for (parameter, _), step in zip(kernels, steps * max(1, rows / columns) ** 0.5):
                    parameter.add_(step.view(parameter.shape), alpha=-group["lr"])
        return loss


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Matrices (..., M, N) with the singular vectors of `matrix` and singular values of about 1 (0.7 to 1.2), by Newton-Schulz.

    Each iteration X <- (a + b A + c A A) X, A = X X^T, is a polynomial in the first A. So only that small square matrix is
    iterated on, and X is multiplied once at the end.
    """
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonalised(matrix.mT, steps).mT
    a, b, c = _COEFFICIENTS
    scaled = matrix / (torch.linalg.matrix_norm(matrix, keepdim=True) + 1e-7)
    square = scaled @ scaled.mT
    product = torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
    for _ in range(steps):
        factor = b * square + c * (square @ square)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor @ product
        square = factor @ square @ factor
    return product @ scaled
