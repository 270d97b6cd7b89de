"""The peak memory of a dry run, counted where the module ``resource`` does not exist."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch

from otembed.training import estimate

if TYPE_CHECKING:
    import pytest


def test_peak_memory_is_counted_without_the_modules_of_unix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.01 < estimate.peak_memory_gb(torch.device("cpu")) < 1000
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(estimate, "sys", SimpleNamespace(platform="win32"))
    memory = SimpleNamespace(peak_wset=2_500_000_000)
    monkeypatch.setattr(estimate.psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: memory))
    assert estimate.peak_memory_gb(torch.device("cpu")) == 2.5
