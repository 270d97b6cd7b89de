"""Tensors of all processes, for losses whose batch is spread over several devices.

Axes: R rows of this process, P processes.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad
from torch.nn.parallel import DistributedDataParallel

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def processes() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(tensor: Tensor) -> Tensor:
    """Return the rows (P R', ...) of all processes, in order of their ranks.

    Every dimension is filled with zeros up to its largest size in any process, so R' >= R rows come from each. Gradients
    flow back to the process that a row comes from, summed over processes; all of them must use the result in their loss.
    """
    sizes = torch.tensor(tensor.shape, device=tensor.device)
    distributed.all_reduce(sizes, distributed.ReduceOp.MAX)
    filled = [amount for own, size in zip(tensor.shape, sizes.tolist(), strict=True) for amount in (size - own, 0)]
    padded = pad(tensor, filled[::-1])
    if not (torch.is_grad_enabled() and tensor.is_floating_point()):
        parts = [torch.empty_like(padded) for _ in range(processes())]
        distributed.all_gather(parts, padded.contiguous())
        return torch.cat(parts)
    if not padded.requires_grad:  # the other processes wait for this one in their backward pass
        padded = padded.detach().clone().requires_grad_()
    from torch.distributed.nn import all_gather  # not in every build of torch

    return torch.cat(all_gather(padded.contiguous()))  # type: ignore[no-untyped-call]


def mean_of_all(vectors: Tensor, masses: Tensor) -> Tensor:
    """Return the mean (D,) of the vectors (R, U, D) with mass over all processes, detached."""
    kept = (masses > 0)[:, :, None]
    total = torch.where(kept, vectors.detach(), 0.0).sum((0, 1))
    count = kept.sum().to(total.dtype)
    distributed.all_reduce(total)
    distributed.all_reduce(count)
    return total / count.clamp_min(1)


def replica(model: nn.Module) -> DistributedDataParallel | None:
    """Return the DDP wrapper around the model, None for a single process.

    Raises
    ------
    ConfigError
        There are several processes, but the model is not wrapped in DDP.
    """
    if processes() == 1:
        return None
    inner: nn.Module | None = model
    while inner is not None and not isinstance(inner, DistributedDataParallel):
        inner = getattr(inner, "module", None) or getattr(inner, "_orig_mod", None)
    if inner is None:
        raise ConfigError(
            f"GradCacheLoss supports several processes only with DDP, not {type(model).__name__}",
            "Remove mini_batch_size, or train with DistributedDataParallel, as the trainer does by default.",
        )
    return inner


@contextmanager
def unsynchronized(wrapper: DistributedDataParallel | None) -> Iterator[None]:
    """Let forward passes in the context leave the average of their gradients to :func:`average_gradients`."""
    with nullcontext() if wrapper is None else wrapper.no_sync():
        yield


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average the gradients of the parameters over all processes, in place.

    A parameter without a gradient in every process keeps none, as in DDP. What was averaged before and accumulated is the
    same in all processes, and stays.
    """
    if not parameters:
        return
    device = parameters[0].device
    used = torch.tensor([each.grad is not None for each in parameters], dtype=torch.int32, device=device)
    distributed.all_reduce(used, distributed.ReduceOp.MAX)
    for parameter, wanted in zip(parameters, used.tolist(), strict=True):
        if wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= processes()
