from __future__ import annotations

import numpy as np
import pytest

from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import read_side
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, NumericsError

SIDES = [["the cat sat", "dog", "the cat sat", ""], ["dog", "die Katze saß auf der Matte"], ["dog", "the cat sat"]]
PLAIN = {
    "batch_size": None,
    "prompt": None,
    "prompt_name": "query",
    "truncate_dim": None,
    "show_progress_bar": False,
}


@pytest.fixture
def encoded(tiny_model, monkeypatch):
    """How often each text was encoded."""
    seen, encode = [], tiny_model.encode
    monkeypatch.setattr(tiny_model, "encode", lambda part, **rest: (seen.extend(part), encode(part, **rest))[1])
    return seen


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("change", [{}, {"truncate_dim": 8}, {"prompt": "", "prompt_name": None}])
def test_sides_match_encode_with_each_text_once(tiny_model, tmp_path, encoded, cached, change):
    options = PLAIN | change
    cache = tmp_path / "cache" if cached else None
    found = embed_sides(tiny_model, SIDES, cache=cache, **options)
    assert sorted(encoded) == sorted({text for side in SIDES for text in side})
    for side, vectors in zip(SIDES, found, strict=True):
        prompt = {key: options[key] for key in ("prompt", "prompt_name", "truncate_dim")}
        np.testing.assert_allclose(vectors, tiny_model.encode(side, normalize_embeddings=True, **prompt), atol=1e-6)
    encoded.clear()
    again = embed_sides(tiny_model, SIDES, cache=cache, **options)
    assert (encoded == []) == cached
    assert [each.tobytes() for each in again] == [each.tobytes() for each in found]


def test_cache_is_shared_with_mining_for_any_order_and_repeats(tiny_model, tmp_path, encoded):
    texts = ["a cat", "the dog", "the cat sat"]  # shortest first, as the cache keeps them
    lines = embed_lines(read_side(texts), tiny_model, cache=tmp_path, prompt_name="query")
    encoded.clear()
    (found,) = embed_sides(tiny_model, [[*texts[::-1], "a cat"]], cache=tmp_path, **PLAIN)
    assert encoded == []
    assert found.tobytes() == lines.read(0, 3)[[2, 1, 0, 0]].tobytes()


def test_progress_counts_distinct_texts(tiny_model, tmp_path):
    told = []
    embed_sides(tiny_model, SIDES, progress=lambda *each: told.append(each), **PLAIN)
    assert told[-1] == ("embedding", 4, 4)
    told.clear()
    names = ["en", "de", "more"]
    embed_sides(tiny_model, SIDES, cache=tmp_path, names=names, progress=lambda *each: told.append(each), **PLAIN)
    assert told == [("embedding en", 3, 3), ("embedding de", 1, 1)]


def test_faults_are_reported(tiny_model, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        embed_sides(tiny_model, SIDES, **PLAIN | {"batch_size": 0})
    with pytest.raises(ConfigError, match="prompt_name"):
        embed_sides(tiny_model, SIDES, **PLAIN | {"prompt": ""})
    monkeypatch.setattr(tiny_model, "encode", lambda texts, **_: np.full((len(texts), 32), np.nan))
    with pytest.raises(NumericsError, match=r"en: .* line \d"):
        embed_sides(tiny_model, SIDES, cache=tmp_path, names=["en", "de", "more"], **PLAIN)
