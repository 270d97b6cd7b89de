"""Whether a device multiplies bfloat16 matrices faster than float32 ones, found by a short probe."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Literal

import torch

from otembed.errors import ConfigError

logger = logging.getLogger(__name__)

Arithmetic = Literal["float32", "bf16"]

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
    the shortest of five times each, with the threads in use.
    """
    on_cpu = device.type == "cpu"
    rows, width = (ROWS_ON_CPU, WIDTH_ON_CPU) if on_cpu else (ROWS_ELSEWHERE, WIDTH_ELSEWHERE)
    try:
        single, half = (_product_seconds(rows, width, dtype, device) for dtype in (torch.float32, torch.bfloat16))
    except (RuntimeError, TypeError):  # not implemented on this device
        return 0.0
    return single / half


def _product_seconds(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> float:
    x, weight = (
        torch.ones(rows, width, dtype=dtype, device=device),
        torch.ones(width, width, dtype=dtype, device=device),
    )
    seconds = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            begun = perf_counter()
            float(torch.nn.functional.linear(x, weight)[-1, -1])  # waits for the device
            seconds.append(perf_counter() - begun)
    return min(seconds[1:])
