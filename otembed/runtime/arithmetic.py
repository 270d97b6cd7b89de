"""Which arithmetic, and in float32 which library, multiplies matrices faster on a device, found by short probes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from time import perf_counter, thread_time
from typing import Literal

import torch
from torch import Tensor

from otembed.errors import ConfigError

logger = logging.getLogger(__name__)

Arithmetic = Literal["float32", "bf16"]
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

# A product of this size takes milliseconds on a CPU; on a GPU, a smaller one would time the launch.
ROWS_ON_CPU, ROWS_ELSEWHERE = 256, 4096
WIDTH_ON_CPU, WIDTH_ELSEWHERE = 768, 4096
REPEATS = 5
# Casts of weights and the layers that stay in float32 consume smaller gains.
LEAST_SPEEDUP = 1.5


def faster_arithmetic(device: torch.device) -> Arithmetic:
    """Return ``bf16`` where a device computes it at least 1.5 times as fast as float32, else ``float32``; logged."""
    speedup = bf16_speedup(device)
    chosen: Arithmetic = "bf16" if speedup >= LEAST_SPEEDUP else "float32"
    logger.info("arithmetic: %s (bf16 products take %.2f of the time of float32)", chosen, 1 / max(speedup, 1e-9))
    return chosen


def resolve_arithmetic(arithmetic: str, device: torch.device) -> Arithmetic:
    """Return ``arithmetic`` with ``auto`` replaced by what the device computes faster; ConfigError if it is unknown."""
    if arithmetic == "auto":
        return faster_arithmetic(device)
    if arithmetic == "float32":
        return "float32"
    if arithmetic == "bf16":
        return "bf16"
    raise ConfigError(f"arithmetic is {arithmetic!r}", "Choose one of: float32, bf16, auto.")


def bf16_speedup(device: torch.device) -> float:
    """Return the time of a float32 product over the time of the same product in bfloat16; 0 if unsupported.

    Processors without instructions for bfloat16 emulate it and are slower than in float32. The result is the ratio of
    the shortest of five times each, on one thread; float32 by the library that otembed uses for it.
    """
    on_cpu = device.type == "cpu"
    rows, width = (ROWS_ON_CPU, WIDTH_ON_CPU) if on_cpu else (ROWS_ELSEWHERE, WIDTH_ELSEWHERE)
    try:
        half = _product_seconds(rows, width, torch.bfloat16, device)
        product = onednn_linear if on_cpu and onednn_is_faster() else torch.nn.functional.linear
        return _product_seconds(rows, width, torch.float32, device, product) / half
    except (RuntimeError, TypeError):  # not implemented on this device
        return 0.0


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x (..., n) times the transpose of weight (m, n), plus bias (m,), on a CPU; not differentiable.

    In float32, or in bfloat16 with packed weights.
    """
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def onednn_packed(weight: Tensor) -> Tensor:
    """Return a weight (m, n) of :func:`onednn_linear` in bfloat16, packed for it."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return packed


@cache
def onednn_packs_bf16() -> bool:
    """Return whether oneDNN multiplies in bfloat16 on this CPU, with packed weights."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    names = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    if not available or not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def onednn_is_faster() -> bool:
    """Return whether oneDNN multiplies float32 matrices at least 1.5 times as fast as PyTorch's default on the CPU; logged."""
    speedup = onednn_speedup()
    if speedup >= LEAST_SPEEDUP:
        logger.info("float32 products: oneDNN (%.2f of the time of the default)", 1 / speedup)
    return speedup >= LEAST_SPEEDUP


def onednn_speedup() -> float:
    """Return the time of a float32 product on the CPU over its time by oneDNN; 0 where PyTorch lacks oneDNN.

    The default is MKL on x86 processors, which uses AVX-512 on Intel's processors only. Measured as :func:`bf16_speedup`.
    """
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return 0.0
    device = torch.device("cpu")
    try:
        default, onednn = (
            _product_seconds(ROWS_ON_CPU, WIDTH_ON_CPU, torch.float32, device, product)
            for product in (torch.nn.functional.linear, onednn_linear)
        )
    except RuntimeError:  # built without it
        return 0.0
    return default / onednn


def _product_seconds(
    rows: int, width: int, dtype: torch.dtype, device: torch.device, product: Product = torch.nn.functional.linear
) -> float:
    x, weight = (
        torch.ones(rows, width, dtype=dtype, device=device),
        torch.ones(width, width, dtype=dtype, device=device),
    )
    with torch.inference_mode():
        return shortest(lambda: float(product(x, weight, None)[-1, -1]), device)  # waits for the device


def shortest(compute: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of five times of ``compute``, in seconds.

    On a CPU, with one thread of torch and its own time, so that other processes do not decide; Windows counts it in
    steps of 16 ms.
    """
    clock = thread_time if device.type == "cpu" and sys.platform != "win32" else perf_counter
    seconds = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(REPEATS + 1):
            begun = clock()
            compute()
            seconds.append(clock() - begun)
    finally:
        torch.set_num_threads(threads)
    return min(seconds[1:])
