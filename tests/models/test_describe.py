from __future__ import annotations

from typing import TYPE_CHECKING

from otembed.models import ModelDescription, describe_model, freeze

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def test_description(tiny_model: SentenceTransformer) -> None:
    words = len(tiny_model.tokenizer)
    embeddings = (words + 64 + 2) * 32 + 64
    layer = 4 * (32 * 32 + 32) + 64 + (32 * 64 + 64) + (64 * 32 + 32) + 64
    pooler = 32 * 32 + 32
    total = embeddings + 3 * layer + pooler
    assert describe_model(tiny_model) == ModelDescription(
        parameters=total,
        trainable_parameters=total,
        embedding_parameters=embeddings,
        dimension=32,
        layers=3,
        vocabulary_size=words,
        max_seq_length=64,
        prompts={"query": "query: ", "document": ""},
        default_prompt=None,
        tokenizer="TokenizersBackend",
    )


def test_frozen_parameters_are_not_trainable(tiny_model: SentenceTransformer) -> None:
    summary = freeze(tiny_model, ["embeddings"])
    description = describe_model(tiny_model)
    assert description.trainable_parameters == summary.trained
    assert description.parameters == summary.trained + summary.frozen


def test_json_round_trip(tiny_wordpiece_model: SentenceTransformer) -> None:
    description = describe_model(tiny_wordpiece_model)
    assert ModelDescription.from_json(description.to_json()) == description
