"""The same results on a GPU as on the CPU: transport, losses, encoding, training, resuming.

Skipped without a GPU. ``OTEMBED_TEST_DEVICE`` names another device; with ``cpu`` the tests test themselves.
"""

from __future__ import annotations

import copy
import os
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import TrainerCallback

import otembed
from otembed.config.io import train_config
from otembed.embeddings.encode import encode_by_length
from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
from otembed.transport import all_pairs, sinkhorn, sinkhorn_divergence, solve

pytestmark = pytest.mark.gpu

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里", "el gato duerme", "der Hund"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the house and the dog", "the cat", "the dog"]


@pytest.fixture
def device():
    name = os.environ.get("OTEMBED_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)


def problems(count=16, seed=0):
    """Clouds on the unit sphere, of different sizes, with uniform masses."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 12, 16, generator=generator)
    y = torch.cat([x, x], 1)[:, :17] + 0.7 * torch.randn(count, 17, 16, generator=generator)
    masses = []
    for width in (12, 17):
        mask = torch.arange(width) < torch.randint(1, width + 1, (count, 1), generator=generator)
        masses.append(mask / mask.sum(1, keepdim=True))
    x, y = (torch.nn.functional.normalize(each, dim=2) for each in (x, y))
    return x, y, *masses


def of_costs(**settings):
    return lambda x, y, a, b: solve(1 - x @ y.mT, a, b, **settings).value


VALUES = {
    "balanced": of_costs(epsilon=0.05),
    "small epsilon": of_costs(epsilon=0.005),
    "relaxed": of_costs(epsilon=0.05, relaxation=0.3),
    "semi-relaxed": of_costs(epsilon=0.05, relaxation=(None, 0.3)),
    "free": of_costs(epsilon=0.05, relaxation=(None, 0)),
    "partial": of_costs(epsilon=0.05, share=0.6),
    "exact": of_costs(epsilon=0),
    "gradient of the plan": lambda x, y, a, b: (
        solve(1 - x @ y.mT, a, b, epsilon=0.1, tol=1e-5, plan_gradients=True).plan.square().sum((1, 2))
    ),
    "divergence": lambda x, y, a, b: sinkhorn_divergence(x, y, a, b, metric="cosine", epsilon=0.05).value,
    "all pairs": lambda x, y, a, b: all_pairs(x, y, a, b, epsilon=0.05).value,
}


@pytest.mark.parametrize("name", VALUES)
def test_transport(name, device):
    found = []
    for place in (torch.device("cpu"), device):
        x, y, a, b = (each.to(place) for each in problems())
        x.requires_grad_(), y.requires_grad_()
        values = VALUES[name](x, y, a, b)
        values.sum().backward()
        assert values.device.type == place.type
        found.append([each.cpu() for each in (values.detach(), x.grad, y.grad)])
    torch.testing.assert_close(found[1], found[0], atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("relaxation", [None, 0.2])
def test_solve_waits_a_handful_of_times(device, relaxation):
    if device.type != "cuda":
        pytest.skip("CUDA reports waits")
    x, y, a, b = (each.to(device) for each in problems(64))
    cost = (1 - x @ y.mT).requires_grad_()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sinkhorn(cost, a, b, epsilon=0.05, relaxation=relaxation).value.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(caught) <= 10, [str(each.message) for each in caught]


LOSSES = {
    "alignment": lambda model: OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), anchor={}),
    "contrastive": lambda model: OTContrastiveLoss(model, sentence_weight=1.0),
    "cached": lambda model: GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=2),
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, precision, device, loaded_tiny_model):
    found = []
    for place in (torch.device("cpu"), device):
        model = copy.deepcopy(loaded_tiny_model).to(place).eval()
        loss = LOSSES[name](model)
        columns = [
            {key: each.to(place) if isinstance(each, torch.Tensor) else each for key, each in column.items()}
            for column in (model.preprocess(SOURCE), model.preprocess(TARGET))
        ]
        with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16" and place == device):
            total = torch.stack(list(loss(columns).values())).sum()
        total.backward()
        assert total.dtype == torch.float32
        gradients = [each.grad.cpu() for each in model.parameters() if each.grad is not None]
        found.append((total.detach().cpu(), torch.cat([each.flatten() for each in gradients])))
    (expected, gradient), (value, other) = found
    torch.testing.assert_close(value, expected, rtol=1e-3 if precision == "float32" else 0.05, atol=1e-4)
    assert torch.nn.functional.cosine_similarity(gradient, other, dim=0) > (
        0.9999 if precision == "float32" else 0.95
    )


def test_encoding(device, loaded_tiny_model):
    texts = [" ".join((SOURCE + TARGET)[: 1 + row % 7]) for row in range(50)]
    expected = encode_by_length(copy.deepcopy(loaded_tiny_model), texts, prompt="query: ")
    found = encode_by_length(copy.deepcopy(loaded_tiny_model).to(device), texts, prompt="query: ")
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), atol=2e-4, rtol=0)


def test_flat_batches_of_flash_attention(device, tiny_model_path):
    pytest.importorskip("flash_attn", reason="Flash Attention 2 is not installed")
    losses = []
    for unpad in (False, True):
        model = SentenceTransformer(
            str(tiny_model_path),
            device=str(device),
            local_files_only=True,
            model_kwargs={"attn_implementation": "flash_attention_2", "dtype": torch.bfloat16},
        ).eval()
        model[0].unpad_inputs = unpad
        columns = [model.preprocess(texts) for texts in (SOURCE, TARGET)]
        assert ("cu_seq_lens_q" in columns[0]) is unpad
        columns = [
            {key: each.to(device) if isinstance(each, torch.Tensor) else each for key, each in column.items()}
            for column in columns
        ]
        losses.append(OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), weight=1.0)(columns))
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0.01, check_dtype=False)


class PowerCut(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            raise RuntimeError("power cut")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_run_trains_and_resumes(precision, device, tiny_model_path, tmp_path):
    text = tmp_path / "en-de.tsv"
    lines = [f"the cat sat on the mat {row}\tdie Katze saß auf der Matte {row}" for row in range(40)]
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = train_config(
        {
            "pairs": {"en-de": str(text)},
            "output": str(tmp_path / "run"),
            "model": {"name": str(tiny_model_path), "max_seq_length": None, "freeze": [], "device": str(device)},
            "held_out": {"size": 8, "eval_steps": 2},
            "optimization": {
                "max_steps": 4,
                "per_device_train_batch_size": 8,
                "learning_rate": 1e-3,
                "precision": precision,
            },
        }
    )
    whole = otembed.train(config)
    cut = replace(config, output=str(tmp_path / "cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(cut, callbacks=[PowerCut()])
    resumed = otembed.train(resume=cut.output)
    assert resumed.steps == whole.steps == 4
    weights = [load_file(Path(each.run) / "model" / "model.safetensors") for each in (whole, resumed)]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=2e-4)
