"""Two processes that share a batch compute what one process computes with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from otembed.errors import ConfigError
from otembed.losses import GradCacheLoss, OTContrastiveLoss
from tests.losses import spread

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tiny_model_path, tmp_path_factory):
    output = tmp_path_factory.mktemp("spread") / "found"
    outcome = subprocess.run(
        [sys.executable, spread.__file__, str(tiny_model_path), str(output)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr[:3000]
    return [torch.load(f"{output}.{rank}") for rank in (0, 1)]


@pytest.mark.parametrize("name", spread.CASES)
def test_loss_and_gradients_equal_those_of_the_whole_batch(shared, tiny_model_path, name):
    value, expected = spread.step(str(tiny_model_path), name, lambda model: model, slice(0, None))
    for rank in (0, 1):
        found, gradients = shared[rank][name]
        assert found == pytest.approx(value, rel=1e-5)
        assert gradients.keys() == expected.keys()
        for key, gradient in gradients.items():
            assert (gradient - expected[key]).norm() <= 1e-5 * max(expected[key].norm(), 1e-3), key


def test_gradcache_without_ddp_is_rejected(tiny_model, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    loss = GradCacheLoss(tiny_model, OTContrastiveLoss(tiny_model), mini_batch_size=2)
    with pytest.raises(ConfigError, match="DDP") as caught:
        loss([dict(tiny_model.preprocess(column[:2])) for column in spread.COLUMNS[:2]])
    assert "mini_batch_size" in caught.value.hint
