"""Training of adapters from end to end: the merged release, resuming, the best model, every loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import otembed
from otembed.errors import ConfigError
from otembed.models import load_model
from otembed.training import dry_run
from tests.training.test_train import PROBE, Crash, assert_same_release, records, weights

pytest.importorskip("peft")

LORA = {
    "model": {"lora": {"r": 4, "alpha": 8, "target_modules": "all-linear"}, "freeze": ["embeddings"]},
    "optimization": {"learning_rate": 0.05, "max_steps": 9},
}


def test_released_model_is_merged_and_holds_the_best_step(configure, tiny_model_path):
    config = configure(**LORA, loss={"alignment": {"anchor": {}}})
    config = replace(config, model=replace(config.model, lora=replace(config.model.lora, keep_adapter=True)))
    result = otembed.train(config)
    scores = {
        each["step"]: each["eval_sequential_score"]
        for each in records(result.run)
        if "eval_sequential_score" in each
    }
    assert result.best_step == max(scores, key=lambda step: (scores[step], -step))
    assert result.after.scores[0].accuracy == pytest.approx(scores[result.best_step])
    # 3 layers: 4 attention matrices of 32 x 32, and 32 x 64 twice; rank 4.
    pooler = 2 * 4 * 32
    assert result.trained_parameters in (3 * 4 * (4 * 64 + 2 * 96), 3 * 4 * (4 * 64 + 2 * 96) + pooler)
    assert result.parameters == sum(each.numel() for each in load_model(tiny_model_path).parameters())
    before, after = SentenceTransformer(str(tiny_model_path), device="cpu").state_dict(), weights(result.run)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.endswith("weight") and "embeddings" not in name for name in changed)
    assert not list(Path(result.model).rglob("*adapter*"))
    # The adapter on the starting model gives the same vectors.
    base = SentenceTransformer(str(tiny_model_path), device="cpu", local_files_only=True)
    base.load_adapter(str(Path(result.run) / "adapter"))
    plain = SentenceTransformer(result.model, device="cpu", local_files_only=True)
    np.testing.assert_allclose(plain.encode(PROBE), base.eval().encode(PROBE), atol=1e-5)
    assert (
        '"r": 4' in (Path(result.model) / "README.md").read_text()
        or "lora" in (Path(result.model) / "README.md").read_text()
    )


@pytest.mark.parametrize("best", [True, False])
def test_interrupted_run_resumes_to_the_same_result(configure, best):
    changes = {**LORA, "held_out": {"load_best_model_at_end": best}}
    config = configure(**changes)
    straight = otembed.train(replace(config, output=str(Path(config.output).parent / "straight" / "run")))
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(7)])
    stored = list((Path(config.output) / "checkpoints").glob("*/*.safetensors"))
    assert stored
    assert all(each.name == "adapter_model.safetensors" for each in stored)
    resumed = otembed.train(resume=config.output)
    assert_same_release(straight.run, resumed.run)


@pytest.mark.parametrize(
    "loss",
    [{}, {"mini_batch_size": 3}, {"sentence": "mnrl", "contrastive": None}, {"alignment": {"layer": 1}}],
    ids=["contrastive", "gradcache", "mnrl", "layer 1"],
)
def test_adapters_train_under_every_loss(configure, loss):
    config = configure(
        model=LORA["model"],
        loss=loss,
        held_out={"size": 0},
        optimization={"max_steps": 2, "activation_checkpointing": loss == {}},
    )
    result = otembed.train(config)
    assert result.last_log["grad_norm"] > 0


def test_dry_run_counts_the_adapters(configure):
    estimate = dry_run(configure(**LORA))
    assert 0 < estimate.trained_parameters < 7000


def test_settings_out_of_range_are_rejected(configure):
    for name, value in (("r", 0), ("dropout", 1.0), ("alpha", -1), ("rank", 4)):
        with pytest.raises(ConfigError) as caught:
            configure(model={"lora": {name: value}})
        assert name in caught.value.message
