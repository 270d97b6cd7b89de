from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from otembed.embeddings.encode import encode_by_length, resolve_prompt, token_counts
from otembed.errors import ConfigError

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "slept", "in", "die", "Katze", "saß", "Hund", "猫", "睡"]


@pytest.fixture
def texts():
    draw = np.random.default_rng(0)
    made = [" ".join(draw.choice(WORDS, draw.integers(1, 30))) for _ in range(40)]
    return ["", *made, made[0], "cat " * 99]


@pytest.fixture
def batches(tiny_model, monkeypatch):
    """Texts of each call of ``encode``."""
    seen, encode = [], tiny_model.encode
    monkeypatch.setattr(tiny_model, "encode", lambda part, **rest: (seen.append(part), encode(part, **rest))[1])
    return seen


@pytest.mark.parametrize("limits", [{}, {"batch_tokens": 1}, {"batch_tokens": 100}, {"batch_size": 3}])
@pytest.mark.parametrize("dimension", [None, 8])
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_vectors_match_encode(tiny_model, texts, limits, dimension, prompt):
    found = encode_by_length(tiny_model, texts, prompt=prompt, truncate_dim=dimension, **limits)
    expected = tiny_model.encode(texts, prompt=prompt, truncate_dim=dimension, normalize_embeddings=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_batches_hold_at_most_the_allowed_tokens_longest_first(tiny_model, texts, batches):
    encode_by_length(tiny_model, texts, batch_tokens=100)
    counts = [token_counts(tiny_model, part) for part in batches]
    assert sorted(text for part in batches for text in part) == sorted(texts)
    assert all(each.max() * len(each) <= 100 or len(each) == 1 for each in counts)
    assert all(before.min() >= after.max() for before, after in pairwise(counts))
    # One text more would not have fitted: no batch is smaller than it must be.
    assert all((len(each) + 1) * each.max() > 100 for each in counts[:-1])


def test_batches_hold_at_most_the_allowed_texts(tiny_model, texts, batches):
    told = []
    encode_by_length(tiny_model, texts, batch_tokens=10_000, batch_size=5, progress=told.append)
    assert told == [len(part) for part in batches] == [5] * 8 + [3]


def test_tokens_are_counted_as_the_model_sees_them(tiny_model, texts):
    """Prompt and special tokens included, cut at 64."""
    expected = [min(len(tiny_model.tokenizer("query: " + text)["input_ids"]), 64) for text in texts]
    assert token_counts(tiny_model, texts, "query: ").tolist() == expected
    assert max(expected) == 64


def test_model_without_attention_masks_is_batched_by_characters(tiny_model):
    words = SentenceTransformer(modules=[StaticEmbedding(tiny_model.tokenizer, embedding_dim=8)], device="cpu")
    texts = ["the cat", "the dog slept", "cat"]
    assert token_counts(words, texts).tolist() == [7, 13, 3]
    expected = words.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encode_by_length(words, texts, batch_tokens=13), expected, atol=1e-6)


def test_half_precision_weights_give_float32(tiny_model):
    assert encode_by_length(tiny_model.to(torch.bfloat16), ["the cat"]).dtype == np.float32


def test_settings_out_of_range_are_rejected(tiny_model):
    for name in ("batch_tokens", "batch_size"):
        with pytest.raises(ConfigError, match=f"{name} is 0"):
            encode_by_length(tiny_model, ["a"], **{name: 0})
    with pytest.raises(ConfigError, match="'qury'"):
        resolve_prompt(tiny_model, None, "qury")
