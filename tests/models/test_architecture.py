from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import nn
from transformers import AlbertConfig, DistilBertConfig, ModernBertConfig, T5Config, XLMRobertaConfig

from otembed.errors import ConfigError, ModelError
from otembed.models.architecture import (
    depth_of,
    find_embeddings,
    find_layers,
    layer_index,
    position_limit,
    transformer_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[Any], SentenceTransformer]

SIZES = {"vocab_size": 200, "pad_token_id": 1}
BERT_SIZES = {
    **SIZES,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
}
CONFIGS = {
    "xlm-roberta": XLMRobertaConfig(**BERT_SIZES, max_position_embeddings=66),
    "distilbert": DistilBertConfig(
        **SIZES, dim=32, n_heads=4, n_layers=2, hidden_dim=64, max_position_embeddings=64
    ),
    "modernbert": ModernBertConfig(
        **BERT_SIZES, max_position_embeddings=64, bos_token_id=0, eos_token_id=2, cls_token_id=0, sep_token_id=2
    ),
    "t5": T5Config(**SIZES, d_model=32, d_kv=8, num_heads=4, num_layers=2, d_ff=64),
}
WORDS = 200 * 32
EMBEDDINGS = {
    "xlm-roberta": WORDS + 66 * 32 + 2 * 32 + 64,
    "distilbert": WORDS + 64 * 32 + 64,
    "modernbert": WORDS + 32,
    "t5": WORDS,
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_embeddings_and_layers_are_found(kind: str, build: Build) -> None:
    transformer = transformer_of(build(CONFIGS[kind]))
    embeddings, layers = find_embeddings(transformer), find_layers(transformer)
    assert embeddings is not None
    assert layers is not None
    assert sum(parameter.numel() for parameter in embeddings.parameters()) == EMBEDDINGS[kind]
    assert len(layers) == 2


def test_shared_layers_are_not_listed(build: Build) -> None:
    model = build(AlbertConfig(**BERT_SIZES, embedding_size=32, max_position_embeddings=64))
    assert find_layers(transformer_of(model)) is None


def test_plain_module_has_no_embeddings() -> None:
    assert find_embeddings(nn.Linear(2, 2)) is None


@pytest.mark.parametrize(
    ("kind", "limit"), [("xlm-roberta", 64), ("distilbert", 64), ("modernbert", 64), ("t5", None)]
)
def test_position_limit(kind: str, limit: int | None, build: Build) -> None:
    assert position_limit(transformer_of(build(CONFIGS[kind]))) == limit


def test_model_without_transformer_is_rejected(tiny_model: SentenceTransformer) -> None:
    static = SentenceTransformer(
        modules=[StaticEmbedding(tiny_model.tokenizer, embedding_dim=8)], device="cpu", local_files_only=True
    )
    with pytest.raises(ModelError, match=r"StaticEmbedding\n.*offline:"):
        transformer_of(static)
    with pytest.raises(ModelError, match=r"StaticEmbedding"):
        depth_of(static)


def test_layers_count_from_either_end(tiny_model: SentenceTransformer) -> None:
    depth = depth_of(tiny_model)
    assert depth == tiny_model[0].model.config.num_hidden_layers
    assert [layer_index(layer, 3) for layer in (0, 3, -1, -4, "middle")] == [0, 3, 3, 0, 2]
    for layer in (4, -5):
        with pytest.raises(ConfigError, match=f"layer = {layer}"):
            layer_index(layer, 3)
