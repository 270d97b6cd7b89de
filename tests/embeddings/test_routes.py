"""Models centered by language: everything that encodes text passes its language as the task."""

from __future__ import annotations

import copy
import logging
import sys

import numpy as np
import pytest
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Normalize

from otembed.data import parse_pair_spec
from otembed.embeddings.encode import encode_by_length
from otembed.embeddings.routes import language_task
from otembed.embeddings.texts import embed_sides
from otembed.mining import mine_bitext, score_bitext
from otembed.models.center import center, routes_of
from otembed.tasks.retrieval import BitextRetrievalEvaluator, evaluate_retrieval, mean_cosine

ENGLISH = ["the cat sat on the mat", "the dog slept in the house", "a cat", "the house"]
GERMAN = ["die Katze saß auf der Matte", "der Hund schlief im Haus", "a cat", "das Haus"]
PLAIN = {"batch_size": None, "prompt": "", "prompt_name": None, "truncate_dim": None, "show_progress_bar": False}


@pytest.fixture
def model(tiny_model):
    """A model with routes for en, de and pt_BR, whose vectors are shifted in different directions."""
    draw = np.random.default_rng(0)
    means = {code: draw.normal(size=32) / 8 for code in ("en", "de", "pt_BR")}
    center(tiny_model, np.mean(list(means.values()), axis=0), means)
    return tiny_model


def encoded(model, texts, task):
    return model.encode(texts, task=task, prompt="", normalize_embeddings=True)


def test_routes_are_those_of_languages(model, tiny_wordpiece_model, caplog):
    assert set(routes_of(model)) == {"all", "query", "document", "en", "de", "pt_BR"}
    assert [language_task(model, code) for code in ("en", "en_GB", "pt", "pt_BR")] == ["en", "en", "pt_BR", "pt_BR"]
    with caplog.at_level(logging.WARNING, "otembed"):
        assert [language_task(model, code, "FILE") for code in ("sw", None, "query", "all")] == [None] * 4
    assert len(caplog.records) == 4
    assert "FILE" in caplog.text
    assert "none for sw" in caplog.text
    caplog.clear()
    assert language_task(tiny_wordpiece_model, "en") is None
    # A Router for queries and documents says nothing about languages.
    tiny_wordpiece_model.append(
        Router({"query": [Normalize()], "document": [Normalize()]}, default_route="document")
    )
    assert [language_task(tiny_wordpiece_model, code) for code in ("en", "query")] == [None, None]
    assert not caplog.records


@pytest.mark.parametrize("cached", [False, True])
def test_each_side_is_encoded_as_its_language(model, tmp_path, cached):
    """'a cat' occurs on both sides, with another vector on each."""
    cache = tmp_path if cached else None
    sides = [ENGLISH, GERMAN, ["a cat", "die Katze"]]
    found = embed_sides(model, sides, cache=cache, languages=["en", "de", None], **PLAIN)
    for vectors, texts, task in zip(found, sides, ("en", "de", None), strict=True):
        np.testing.assert_allclose(vectors, encoded(model, texts, task), atol=2e-6)
    assert np.abs(found[0][2] - found[1][2]).max() > 0.01
    np.testing.assert_allclose(
        encode_by_length(model, ENGLISH, task="de"), encoded(model, ENGLISH, "de"), atol=2e-6
    )
    # The cache tells the languages apart, and knows both again.
    other = embed_sides(model, [ENGLISH, GERMAN], cache=cache, languages=["de", "en"], **PLAIN)
    np.testing.assert_allclose(other[0], encoded(model, ENGLISH, "de"), atol=2e-6)
    if cached:
        model.encode = None
        again = embed_sides(model, sides, cache=cache, languages=["en", "de", None], **PLAIN)
        for one, two in zip(found, again, strict=True):
            np.testing.assert_array_equal(one, two)


def test_retrieval_reads_the_languages_in_the_name_of_the_pair(model, tmp_path, monkeypatch):
    evaluate = sys.modules["otembed.tasks.retrieval.evaluate"]
    seen, score = [], evaluate.score_vectors
    monkeypatch.setattr(
        evaluate,
        "score_vectors",
        lambda pairs, vectors, **rest: (seen.append(vectors), score(pairs, vectors, **rest))[1],
    )
    pairs = {"en-de": (ENGLISH, GERMAN), "news": (ENGLISH, GERMAN)}
    tasks = ("en", "de", None, None)
    for cache in (None, tmp_path):
        evaluate_retrieval(model, pairs, prompt="", cache=cache)
        for vectors, texts, task in zip(seen.pop(), (ENGLISH, GERMAN) * 2, tasks, strict=True):
            np.testing.assert_allclose(vectors, encoded(model, texts, task), atol=2e-6)
    metrics = BitextRetrievalEvaluator(ENGLISH, GERMAN, name="en-de", prompt="")(model)
    both = np.concatenate([encoded(model, ENGLISH, "en"), encoded(model, GERMAN, "de")])
    assert metrics["en-de_mean_cosine"] == pytest.approx(mean_cosine(both), abs=1e-5)


@pytest.mark.parametrize("named", [{"languages": ("en", "de")}, {"source_language": "en", "target_language": "de"}])
def test_mining_encodes_each_side_as_its_language(model, tmp_path, named, monkeypatch):
    monkeypatch.setattr(
        sys.modules["otembed.mining.side"], "LanguageFilter", lambda code, minimum: None
    )  # all lines are kept
    mined = mine_bitext(ENGLISH, GERMAN, model, cache=tmp_path, prompt="", threshold=None, **named)
    for each, texts, task in ((mined.source, ENGLISH, "en"), (mined.target, GERMAN, "de")):
        np.testing.assert_allclose(each.known_vectors.read(0, 4), encoded(model, texts, task), atol=2e-6)


def test_scores_of_a_bitext_are_those_of_its_languages(model, tmp_path):
    given = {"prompt": "", "margin": "absolute", "center": False}
    found = score_bitext(
        list(zip(ENGLISH, GERMAN, strict=True)), model, cache=tmp_path, languages=("en", "de"), **given
    )
    expected = (encoded(model, ENGLISH, "en") * encoded(model, GERMAN, "de")).sum(axis=1)
    np.testing.assert_allclose(found.cosines, expected, atol=2e-6)
    (tmp_path / "pairs.tsv").write_text("".join(f"{x}\t{y}\n" for x, y in zip(ENGLISH, GERMAN, strict=True)))
    spec = parse_pair_spec("en-de", str(tmp_path / "pairs.tsv"))
    np.testing.assert_allclose(score_bitext(spec, model, cache=tmp_path, **given).cosines, expected, atol=2e-6)


def test_models_without_routes_ignore_languages(tiny_wordpiece_model):
    plain = copy.deepcopy(tiny_wordpiece_model)
    found = embed_sides(tiny_wordpiece_model, [ENGLISH, GERMAN], languages=["en", "de"], **PLAIN)
    expected = embed_sides(plain, [ENGLISH, GERMAN], **PLAIN)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)
