"""What changes vectors changes the fingerprint, and nothing else does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers

from otembed import load_model
from otembed.embeddings.fingerprint import model_fingerprint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_act", "relu"),
        ("num_attention_heads", 2),
        ("layer_norm_eps", 1e-5),
        ("padding_side", "left"),
        ("truncation_side", "left"),
    ],
)
def test_settings_that_change_vectors_count(tiny_model, name, value):
    other = copy.deepcopy(tiny_model)
    part = other.tokenizer if name.endswith("_side") else other.transformers_model.config
    assert getattr(part, name) != value
    setattr(part, name, value)
    assert model_fingerprint(other) != model_fingerprint(tiny_model)


def test_normalizer_of_static_word_vectors_counts():
    model, other = (static_model(normalizer) for normalizer in (normalizers.NFC(), normalizers.Lowercase()))
    assert (
        model_fingerprint(model) == model_fingerprint(static_model(normalizers.NFC())) != model_fingerprint(other)
    )


def static_model(normalizer):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "A": 1}, unk_token="a"))
    tokenizer.normalizer = normalizer
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=np.eye(2))], device="cpu")


def test_saving_loading_running_and_what_a_call_returns_do_not_count(tiny_model, tmp_path):
    expected = model_fingerprint(tiny_model)
    tiny_model.save(str(tmp_path / "copy"), create_model_card=False)
    loaded = load_model(tmp_path / "copy", device="cpu")
    assert model_fingerprint(loaded) == expected
    loaded.encode(["the cat", "the cat sat on the mat"])
    assert model_fingerprint(loaded) == expected
    transformer = loaded.transformers_model
    transformer.set_attn_implementation("eager")
    transformer.config.output_hidden_states = transformer.config.use_cache = True
    assert model_fingerprint(loaded) == expected
    # What was set in memory is found in the files, too.
    tiny_model.transformers_model.config.layer_norm_eps = 1e-5
    tiny_model.save(str(tmp_path / "changed"), create_model_card=False)
    assert model_fingerprint(load_model(tmp_path / "changed", device="cpu")) == model_fingerprint(tiny_model)
