from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Router
from transformers import AlbertConfig, XLMRobertaConfig

from otembed.errors import ModelError
from otembed.models import FreezeSummary, check_trainable, freeze, frozen_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentence_transformers import SentenceTransformer

TEXTS = ["the cat sat on the mat", "кошка спит в доме"]
SIZES = {"vocab_size": 200, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


def frozen_names(model: SentenceTransformer) -> set[str]:
    return {name for name, parameter in model[0].model.named_parameters() if not parameter.requires_grad}


def train(model: SentenceTransformer) -> None:
    """Three steps that move every trainable parameter far."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    model.train()
    for _ in range(3):
        states = model(model.preprocess(TEXTS))["sentence_embedding"]
        optimizer.zero_grad()
        (states @ torch.linspace(-1, 1, 32)).sum().backward()
        optimizer.step()
    model.eval()


def test_embeddings_are_frozen(tiny_model: SentenceTransformer) -> None:
    summary = freeze(tiny_model, ["embeddings"])
    assert {name.split(".")[0] for name in frozen_names(tiny_model)} == {"embeddings"}
    assert len(frozen_names(tiny_model)) == 5
    assert summary.groups == {"embeddings": summary.frozen}


def test_first_layers_are_frozen(tiny_model: SentenceTransformer) -> None:
    freeze(tiny_model, ["layers:2"])
    assert {".".join(name.split(".")[:3]) for name in frozen_names(tiny_model)} == {
        "encoder.layer.0",
        "encoder.layer.1",
    }


def test_freezing_accumulates_and_is_idempotent(tiny_wordpiece_model: SentenceTransformer) -> None:
    both = freeze(tiny_wordpiece_model, ["embeddings", "layers:3", "embeddings"])
    assert both.frozen == sum(both.groups.values())
    assert freeze(tiny_wordpiece_model, []) == FreezeSummary(both.trained, both.frozen, {})
    assert FreezeSummary.from_json(both.to_json()) == both


def test_xlm_roberta_parts_are_frozen(build: Callable[[Any], SentenceTransformer]) -> None:
    model = build(XLMRobertaConfig(**SIZES, num_hidden_layers=2, max_position_embeddings=66, pad_token_id=1))
    summary = freeze(model, ["embeddings", "layers:1"])
    assert summary.groups["embeddings"] == (200 + 66 + 2) * 32 + 64
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("encoder.layer.1" in name or "pooler" in name for name in trained)


def test_frozen_parts_do_not_change_in_training(tiny_model: SentenceTransformer) -> None:
    freeze(tiny_model, ["embeddings", "layers:2"])
    before = {name: tensor.clone() for name, tensor in tiny_model[0].model.named_parameters()}
    train(tiny_model)
    for name, tensor in tiny_model[0].model.named_parameters():
        moved = not torch.equal(tensor, before[name])
        assert moved == name.startswith("encoder.layer.2"), name


def test_unknown_parts_are_rejected_before_freezing(tiny_model: SentenceTransformer) -> None:
    with pytest.raises(ModelError, match=r"'embedings'\n.*'embeddings'"):
        freeze(tiny_model, ["layers:1", "embedings"])
    assert not frozen_names(tiny_model)
    with pytest.raises(ModelError, match=r"'layers'\n.*'layers:N'"):
        freeze(tiny_model, ["layers"])


@pytest.mark.parametrize("part", ["layers:0", "layers:4"])
def test_layers_out_of_range_are_rejected(tiny_model: SentenceTransformer, part: str) -> None:
    with pytest.raises(ModelError, match=rf"'{part}'.* 3 layers\n.*layers:1 to layers:3"):
        freeze(tiny_model, [part])


def test_shared_layers_are_rejected(build: Callable[[Any], SentenceTransformer]) -> None:
    model = build(AlbertConfig(**SIZES, embedding_size=32, num_hidden_layers=2, max_position_embeddings=64))
    with pytest.raises(ModelError, match=r"AlbertModel\n.*layers:N"):
        freeze(model, ["layers:1"])


def test_missing_embeddings_are_rejected(tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(tiny_model[0].model), "get_input_embeddings", lambda self: None)
    with pytest.raises(ModelError, match="BertModel"):
        freeze(tiny_model, ["embeddings"])


def test_copy_shares_frozen_parameters_and_owns_the_rest(tiny_model: SentenceTransformer) -> None:
    freeze(tiny_model, ["embeddings", "layers:1"])
    reference = frozen_copy(tiny_model)
    originals = dict(tiny_model.named_parameters())
    assert set(originals) == {name for name, _ in reference.named_parameters()}
    for name, parameter in reference.named_parameters():
        shared = parameter.data_ptr() == originals[name].data_ptr()
        assert shared == (not originals[name].requires_grad), name
        assert not parameter.requires_grad
    assert not any(module.training for module in reference.modules())


def test_training_the_original_does_not_change_the_copy(tiny_model: SentenceTransformer) -> None:
    freeze(tiny_model, ["embeddings"])
    reference, before = frozen_copy(tiny_model), tiny_model.encode(TEXTS)
    train(tiny_model)
    np.testing.assert_array_equal(reference.encode(TEXTS), before)
    assert np.abs(tiny_model.encode(TEXTS) - before).max() > 0.01


def test_original_stays_trainable_and_keeps_its_mode(tiny_model: SentenceTransformer) -> None:
    tiny_model.train()
    frozen_copy(tiny_model)
    assert tiny_model.training
    assert not frozen_names(tiny_model)


def test_unfreezing_the_original_leaves_the_copy_frozen(tiny_model: SentenceTransformer) -> None:
    freeze(tiny_model, ["embeddings"])
    reference = frozen_copy(tiny_model)
    tiny_model.requires_grad_(True)
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_router_and_adapter_are_rejected(tiny_model: SentenceTransformer) -> None:
    check_trainable(tiny_model)
    tiny_model[0].model._hf_peft_config_loaded = True  # what transformers sets when it loads an adapter
    with pytest.raises(ModelError, match=r"adapter(.|\n)*Merge"):
        check_trainable(tiny_model)
    tiny_model[0].model._hf_peft_config_loaded = False
    tiny_model.append(Router.for_query_document([Dense(32, 8)], [Dense(32, 8)]))
    with pytest.raises(ModelError, match="Router"):
        check_trainable(tiny_model)
