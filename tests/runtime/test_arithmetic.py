"""precision: auto becomes what the device computes faster."""

from __future__ import annotations

import logging

import pytest
import torch

from otembed.config import OptimizationConfig
from otembed.errors import ConfigError
from otembed.runtime import arithmetic, trainer

CPU = torch.device("cpu")


def test_probe_divides_the_times(monkeypatch):
    seconds = {torch.float32: 0.006, torch.bfloat16: 0.002}
    monkeypatch.setattr(arithmetic, "onednn_is_faster", lambda: False)
    monkeypatch.setattr(arithmetic, "_product_seconds", lambda rows, width, dtype, *others: seconds[dtype])
    assert arithmetic.bf16_speedup(CPU) == pytest.approx(3.0)


def test_probe_runs_on_this_processor():
    assert 0 < arithmetic.bf16_speedup(CPU) < 1000


def test_device_without_bfloat16_has_no_speedup(monkeypatch):
    def missing(rows, width, dtype, *others):
        raise RuntimeError("not implemented for 'BFloat16'")

    monkeypatch.setattr(arithmetic, "_product_seconds", missing)
    assert arithmetic.bf16_speedup(CPU) == 0


@pytest.mark.parametrize(
    ("speedup", "chosen"), [(3.2, "bf16"), (1.4, "float32"), (0.2, "float32"), (0.0, "float32")]
)
def test_auto_is_resolved_and_logged(monkeypatch, caplog, speedup, chosen):
    monkeypatch.setattr(arithmetic, "bf16_speedup", lambda device: speedup)
    with caplog.at_level(logging.INFO):
        resolved = trainer.resolve_precision(OptimizationConfig(precision="auto", max_steps=7), CPU)
    assert resolved == OptimizationConfig(precision=chosen, max_steps=7)
    assert arithmetic.resolve_arithmetic("auto", CPU) == chosen
    assert chosen in caplog.text


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_given_precision_is_kept_without_a_probe(monkeypatch, precision):
    monkeypatch.delattr(arithmetic, "bf16_speedup")
    assert arithmetic.resolve_arithmetic(precision, CPU) == precision
    assert trainer.resolve_precision(OptimizationConfig(precision=precision), CPU).precision == precision


def test_unknown_arithmetic_is_an_error():
    with pytest.raises(ConfigError, match="'fp8'"):
        arithmetic.resolve_arithmetic("fp8", CPU)


def test_fp16_requires_a_gpu():
    with pytest.raises(ConfigError, match="fp16"):
        trainer.resolve_precision(OptimizationConfig(precision="fp16"), CPU)


@pytest.fixture
def fresh_probe():
    arithmetic.onednn_is_faster.cache_clear()
    yield
    arithmetic.onednn_is_faster.cache_clear()


@pytest.mark.parametrize(("seconds", "chosen"), [(0.002, True), (0.005, False)])
@pytest.mark.usefixtures("fresh_probe")
def test_float32_products_by_the_faster_library(monkeypatch, caplog, seconds, chosen):
    def probe(rows, width, dtype, device, product):
        return seconds if product is arithmetic.onednn_linear else 0.006

    monkeypatch.setattr(arithmetic, "_product_seconds", probe)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    with caplog.at_level(logging.INFO):
        assert arithmetic.onednn_is_faster() is chosen
    assert ("oneDNN" in caplog.text) is chosen
    assert arithmetic.onednn_speedup() == pytest.approx(0.006 / seconds)


@pytest.mark.usefixtures("fresh_probe")
def test_bf16_is_compared_with_the_faster_float32(monkeypatch):
    def probe(rows, width, dtype, device, product=torch.nn.functional.linear):
        if dtype == torch.bfloat16:
            return 0.001
        return 0.002 if product is arithmetic.onednn_linear else 0.006

    monkeypatch.setattr(arithmetic, "_product_seconds", probe)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert arithmetic.bf16_speedup(CPU) == pytest.approx(2.0)


def test_pytorch_without_onednn_uses_its_default(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert arithmetic.onednn_speedup() == 0
