"""Held-out pairs are evaluated once for each state of the weights, and each of their sentences encoded once."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers.base.evaluation import SequentialEvaluator

import otembed
from otembed.models import cutting, sliced, slices
from otembed.tasks.retrieval import BitextRetrievalEvaluator, evaluate_retrieval
from otembed.training import held_out
from otembed.training.held_out import HeldOutEvaluator


@pytest.fixture
def pairs(sentences):
    english = sentences(30)
    return {f"en-{code}": (english, sentences(30, seed)) for seed, code in enumerate(("de", "es", "sw"), 1)}


@pytest.fixture
def encoded(monkeypatch):
    """The number of distinct texts of every evaluation."""
    calls = []
    encode = held_out.embed_sides

    def counted(model, sides, **settings):
        calls.append(len({text for side in sides for text in side}))
        return encode(model, sides, **settings)

    monkeypatch.setattr(held_out, "embed_sides", counted)
    return calls


def test_metrics_are_those_of_an_evaluator_for_each_pair(tiny_model, pairs):
    judges = [BitextRetrievalEvaluator(*sides, name=pair, write_csv=False) for pair, sides in pairs.items()]
    expected = SequentialEvaluator(judges, main_score_function=np.mean)(tiny_model, steps=5)
    found = HeldOutEvaluator(pairs)(tiny_model, steps=5)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5)
        assert not name.endswith(("accuracy", "f1", "xsim")) or found[name] == value


def test_sentences_shared_by_pairs_are_encoded_once(tiny_model, pairs, monkeypatch):
    texts = []
    encode = tiny_model.encode
    monkeypatch.setattr(tiny_model, "encode", lambda batch, **rest: texts.extend(batch) or encode(batch, **rest))
    HeldOutEvaluator(pairs)(tiny_model)
    assert sorted(texts) == sorted({text for sides in pairs.values() for side in sides for text in side})


def test_evaluation_has_the_same_bits_while_training_computes_in_slices(tiny_model, pairs, monkeypatch):
    monkeypatch.setattr(cutting, "OVERHEAD_ON_CPU", 3)
    evaluator = HeldOutEvaluator(pairs)
    expected = evaluator.evaluate(tiny_model).vectors
    with sliced(tiny_model):
        found = evaluator.evaluate(tiny_model).vectors
        assert isinstance(tiny_model[0].model.forward, slices._Sliced)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_first_best_and_last_evaluation_are_kept(tiny_model, pairs, encoded):
    evaluator = HeldOutEvaluator(pairs)
    before = evaluator.report_of(evaluator.start(tiny_model), "before")
    first = evaluator(tiny_model, steps=1)
    worse = copy.deepcopy(tiny_model)
    worse[0].model.embeddings.word_embeddings.weight.data[10:60] = 0
    for step in (2, 3):
        assert evaluator(worse, steps=step)["sequential_score"] < first["sequential_score"]
    assert [evaluator.known(step) is not None for step in range(5)] == [True, True, False, True, False]
    report = evaluator.release(tiny_model, evaluator.known(1), "m")
    assert report.scores == before.scores
    assert report.outcomes == before.outcomes
    assert report.accuracy == pytest.approx(first["sequential_score"])
    last = evaluator.release(worse, evaluator.known(3), "m")
    assert last.accuracy < report.accuracy
    assert len(encoded) == 4
    assert evaluator.report(worse, "m").outcomes == last.outcomes
    stored = worse.model_card_data.eval_results_dict
    assert {judge.name: metrics for judge, metrics in stored.items()}["en-de"] == evaluator.known(3).metrics[0]


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ({"optimization": {"max_steps": 6}}, 3),
        ({"optimization": {"max_steps": 7}, "held_out": {"load_best_model_at_end": False}}, 4),
        ({"optimization": {"max_steps": 6}, "held_out": {"load_best_model_at_end": False}}, 3),
        ({"optimization": {"max_steps": 6, "precision": "bf16"}}, 3),
        ({"optimization": {"max_steps": 2}}, 2),
    ],
    ids=["best", "last, not evaluated", "last, evaluated", "bf16", "never evaluated"],
)
def test_run_evaluates_no_state_twice(configure, encoded, monkeypatch, changes, evaluations):
    fresh = []
    release = HeldOutEvaluator.release

    def checked(self, model, found, name):
        report = release(self, model, found, name)
        fresh.append(self.report(model, name))
        return report

    monkeypatch.setattr(HeldOutEvaluator, "release", checked)
    result = otembed.train(configure(**changes))
    assert len(encoded) == evaluations + 1  # one by this test
    (expected,) = fresh
    assert result.after.scores == expected.scores
    assert result.after.centered_scores == expected.centered_scores
    assert result.after.outcomes == expected.outcomes


def test_report_and_card_have_the_figures_of_the_released_model(configure, text_path):
    rows = [line.split("\t") for line in text_path.read_text(encoding="utf-8").splitlines()[:20]]
    held = text_path.with_name("held.tsv")
    held.write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    result = otembed.train(configure(held_out={"pairs": {"en-de": str(held)}}))
    texts = {"en-de": tuple(map(list, zip(*rows, strict=True)))}
    model = otembed.load_model(result.model, device="cpu")
    expected = evaluate_retrieval(model, texts, centered=True)
    assert result.after.scores == expected.scores
    assert result.after.outcomes == expected.outcomes
    card = (Path(result.model) / "README.md").read_text(encoding="utf-8")
    metrics = BitextRetrievalEvaluator(*texts["en-de"], name="en-de", write_csv=False)(model)
    for name in ("accuracy", "xsim"):
        value = card.split(f"type: {name}\n")[1].split("value: ")[1].split("\n")[0]
        assert float(value) == pytest.approx(metrics[f"en-de_{name}"], rel=1e-5)
