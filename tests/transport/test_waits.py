"""How often the host waits for the device during a solve: counted on a CPU, where the same calls are free."""

from __future__ import annotations

import pytest
import torch
from torch.overrides import TorchFunctionMode

from otembed.transport import sinkhorn
from otembed.transport.kernels.iteration import window
from otembed.transport.solvers import sinkhorn as sinkhorn_solver

READS = {"__bool__", "__int__", "__float__", "__index__", "item", "tolist", "numpy", "cpu", "equal"}
SIZED_BY_VALUES = {"nonzero", "argwhere", "masked_select", "unique", "bincount"}
INDEXING = {"__getitem__", "__setitem__", "index_put", "index_put_"}


class Waits(TorchFunctionMode):
    """Count the calls that return a value of a tensor, or a tensor whose size depends on values."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        waits = name in READS | SIZED_BY_VALUES
        if name in INDEXING:
            places = args[1] if isinstance(args[1], tuple | list) else (args[1],)
            waits = any(isinstance(place, torch.Tensor) and place.dtype == torch.bool for place in places)
        if name == "repeat_interleave" and "output_size" not in (kwargs or {}):
            waits = True
        self.count += waits
        return func(*args, **(kwargs or {}))


def test_instrument_counts_what_waits():
    mask = torch.tensor([True, False])
    calls = [
        lambda: bool(mask.any()),
        lambda: int(mask.sum()),
        lambda: float(mask.sum()),
        lambda: mask.tolist(),
        lambda: mask.nonzero(),
        lambda: mask[mask],
        lambda: mask.clone().__setitem__(mask, False),
        lambda: mask.repeat_interleave(torch.tensor([1, 2])),
    ]
    for call in calls:
        with Waits() as waits:
            call()
        assert waits.count == 1


@pytest.mark.parametrize("relaxation", [None, 0.2])
@pytest.mark.parametrize(("epsilon", "most"), [(0.1, 6), (0.05, 8), (0.01, 13)])
def test_solve_with_its_gradient_waits_a_handful_of_times(batch_of, monkeypatch, epsilon, most, relaxation):
    monkeypatch.setattr(sinkhorn_solver, "TENSORS_ONLY", True)
    cost, a, b = batch_of(sizes=(32, 24, 20), dtype=torch.float32)
    cost.requires_grad_()
    with Waits() as waits:
        result = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation)
        result.value.sum().backward()
    assert bool(result.converged.all())
    windows = done = 0
    while done < int(result.iterations.max()):
        done += window(done)
        windows += 1
    # Once per convergence test, and a few times before and after the iteration.
    assert windows <= waits.count <= min(most, windows + 4)
