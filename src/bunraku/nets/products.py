"""Linear layers and convolutions of float32 on a CPU, by the library and the algorithm that are fast there."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, linear
from torch.overrides import TorchFunctionMode

from bunraku.nets.winograd import Winograd, worth_winograd

FEWEST = 1 << 12
"""Weights of the smallest layer that is worth the way round by Python."""

_WITHIN: ContextVar[bool] = ContextVar("within fast products", default=False)


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies float32 faster than MKL, which PyTorch asks: on the processors of AMD.

    There MKL leaves AVX-512 alone: on an EPYC it reaches 105 GFLOP/s a core, oneDNN 235, and with AVX2 121. PyTorch itself asks oneDNN
    for convolutions and half precision alone.
    """
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    about = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (about.read_text() if about.exists() else platform.processor())


@contextmanager
def fast_products() -> Iterator[None]:
    """Layers in here are computed the fast way: the same numbers but for the order of their sums (1e-5 of the largest at most).

    Linear layers and convolutions of one pixel by oneDNN where that is faster, forward and backward; without gradients also wide
    convolutions of 3x3 pixels by Winograd's algorithm. Half precision, GPUs and compiled networks are left alone.
    """
    token = _WITHIN.set(True)
    try:
        with _Fast():
            yield
    finally:
        _WITHIN.reset(token)


def the_same_again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For a checkpoint: where its forward pass is computed, and where again, which is during the backward pass and in no context."""
    return nullcontext(), fast_products() if _WITHIN.get() else nullcontext()


class _Fast(TorchFunctionMode):
    """Takes the layers out of what PyTorch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._winograd = Winograd(_product if onednn_is_faster() else linear)
        self._ways: dict[Any, Callable[..., Tensor | None]] = {linear: self.linear, conv2d: self.convolution}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in self._ways and not torch.compiler.is_compiling():
            made = self._ways[func](*args, **named)
            if made is not None:
                return made
        return func(*args, **named)

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        """(..., K) and (N, K) -> (..., N); None: as PyTorch does it."""
        worth = weight.numel() >= FEWEST and input.numel() > input.shape[-1]
        return _Linear.apply(input, weight, bias) if worth and onednn_is_faster() and _plain(input, weight) else None

    def convolution(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        """(B, C, h, w) and (D, C, k, k) -> (B, D, h, w); None: as PyTorch does it."""
        if groups != 1 or not _plain(input, weight) or input.ndim != 4 or not _all(stride, 1) or not _all(dilation, 1):
            return None
        kernel = tuple(weight.shape[2:])
        if kernel == (1, 1) and _all(padding, 0):
            made = self.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias)
            return None if made is None else made.permute(0, 3, 1, 2)
        learns = torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad)
        if kernel != (3, 3) or not _all(padding, 1) or learns:
            return None
        if worth_winograd(input.shape, weight.shape):
            return self._winograd(input, weight, bias)
        if weight.numel() > input.numel():  # the kernel would be rewritten for a map that has its channels last
            return conv2d(input.contiguous(), weight, bias, padding=1)
        return None


def _plain(*tensors: Tensor) -> bool:
    """Whether these are ordinary matrices of float32 in main memory, and meant to stay float32."""
    return not torch.is_autocast_enabled("cpu") and all(
        type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == torch.float32 and tensor.is_cpu for tensor in tensors
    )


def _all(sides: Any, value: int) -> bool:
    """Whether a setting of a convolution, one number or one for each side, is `value`."""
    return sides == value or (isinstance(sides, Sequence) and all(side == value for side in sides))


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows (..., K) and weight (N, K) -> (..., N) by oneDNN; contiguous, or transposes of what is."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out


class _Linear(torch.autograd.Function):
    """Rows times the transposed weights, plus a bias; forward and backward by oneDNN."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        # oneDNN takes any strides, but for most of them it has no fast kernel
        rows, weight = rows.contiguous(), weight.contiguous()
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        to_rows, to_weight, to_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()
        flat = gradient.flatten(0, -2)
        return (
            _product(gradient, weight.t()) if to_rows else None,
            _product(flat.t(), rows.flatten(0, -2).t()) if to_weight else None,
            flat.sum(0) if to_bias else None,
        )
