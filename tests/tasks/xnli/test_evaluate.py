"""The probe is scikit-learn's regression over vectors taken by hand, and the report counts what it should."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otembed.config.xnli import FinetuneConfig, ProbeConfig
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.models.center import center
from otembed.tasks.xnli import XnliReport, evaluate_xnli
from otembed.tasks.xnli.data import read_nli


@pytest.fixture
def places(file):
    tests = {"en": file("test.en.tsv", 60, seed=2), "de": file("test.de.tsv", 31, seed=3)}
    return {"train": file("train.tsv", 150), "dev": file("dev.tsv", 60, seed=1), "tests": tests}


def by_hand(model, path, prompt, task=None):
    """Features and labels, without otembed."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    u, v = (
        model.encode([row[side] for row in rows], prompt=prompt, task=task, normalize_embeddings=True)
        for side in (0, 1)
    )
    order = ["entailment", "neutral", "contradiction"]
    return np.hstack([u, v, np.abs(u - v), u * v]), [order.index(row[2]) for row in rows]


@pytest.mark.parametrize("prompt", ["", "query: "])
def test_probe_matches_scikit_learn(tiny_model, places, prompt):
    config = ProbeConfig(prompt=prompt, strengths=(1.0, 0.001, 0.03))
    report = evaluate_xnli(tiny_model, **places, config=config)
    train, dev = (by_hand(tiny_model, places[name], prompt) for name in ("train", "dev"))
    fitted = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(*train)
        for c in (0.001, 0.03, 1.0)
    }
    reached = {c: each.score(*dev) for c, each in fitted.items()}
    best = max(reached, key=reached.get)
    assert list(report.settings["dev_accuracies"].values()) == pytest.approx(list(reached.values()))
    assert (report.settings["strength"], report.settings["prompt"]) == (best, prompt)
    assert report.settings["converged"]
    assert report.dev_accuracy == pytest.approx(reached[best])
    for score, outcome, path in zip(report.scores, report.outcomes, places["tests"].values(), strict=True):
        features, labels = by_hand(tiny_model, path, prompt)
        right = fitted[best].predict(features) == labels
        assert list(outcome.values) == right.tolist()
        assert score.accuracy == outcome.value == right.mean()
        assert outcome.key == ("xnli", score.language, "accuracy")
        assert score.majority == pytest.approx(np.bincount(labels).max() / len(labels))
    assert report.accuracy == pytest.approx(np.mean([each.accuracy for each in report.scores]))
    assert report.scores[0].accuracy > 0.7 > 0.4 > report.scores[0].majority


def test_model_centered_by_language_encodes_each_set_in_its_language(tiny_model, places, caplog):
    draw = np.random.default_rng(0)
    means = {code: draw.normal(size=32) / 8 for code in ("en", "de")}
    center(tiny_model, np.mean(list(means.values()), axis=0), means)
    with caplog.at_level(logging.WARNING, "otembed.embeddings"):
        report = evaluate_xnli(tiny_model, **places, config=ProbeConfig(strengths=(0.03,), prompt=""))
    assert not caplog.records
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
    fitted.fit(*by_hand(tiny_model, places["train"], "", "en"))
    assert report.dev_accuracy == fitted.score(*by_hand(tiny_model, places["dev"], "", "en"))
    for score, (language, path) in zip(report.scores, places["tests"].items(), strict=True):
        assert score.accuracy == fitted.score(*by_hand(tiny_model, path, "", language))


def test_ties_in_development_accuracy_prefer_the_stronger_penalty(tiny_model, places):
    config = ProbeConfig(strengths=(1e-9, 1e-8))
    report = evaluate_xnli(tiny_model, **places, config=config)
    first, second = report.settings["dev_accuracies"].values()
    assert first == second
    assert report.settings["strength"] == 1e-9


def test_report_names_its_protocol_and_round_trips(tiny_model, places, tmp_path):
    report = evaluate_xnli(tiny_model, **places, trained_languages=["de"], name="tiny", cache=tmp_path / "c")
    assert (report.model, report.protocol, report.label) == ("tiny", "probe", "stand-in")
    assert report.trained_accuracy == report.scores[1].accuracy
    assert report.training["source"].endswith("train.tsv")
    assert (report.training["pairs"], report.training["dev_pairs"], report.training["read"]) == (150, 60, 150)
    assert XnliReport.from_json(report.to_json()) == XnliReport.from_json(
        XnliReport.from_json(report.to_json()).to_json()
    )
    document = json.loads(report.to_json())
    assert (document["label"], document["means"]["accuracy"]) == ("stand-in", report.accuracy)
    assert document["settings"]["seed"] == 42
    again = evaluate_xnli(tiny_model, **places, cache=tmp_path / "c")
    assert (again.scores, again.trained_accuracy) == (report.scores, None)


def test_a_tenth_of_the_training_pairs_replaces_missing_development_pairs(tiny_model, places):
    report = evaluate_xnli(tiny_model, **places | {"dev": None}, config=ProbeConfig(limit=99, dev_limit=9))
    assert (report.training["pairs"], report.training["dev_pairs"]) == (99, 9)
    assert report.training["dev"] == "15 of the training pairs"
    one, other = (evaluate_xnli(tiny_model, **places, config=ProbeConfig(limit=50, seed=seed)) for seed in (1, 2))
    assert one.settings["dev_accuracies"] != other.settings["dev_accuracies"]


def test_mnli_is_not_a_stand_in_and_uses_english_xnli_for_development(tiny_model, places, monkeypatch):
    import dataclasses

    asked = []

    def read(place, *, language=None, for_test=False):
        asked.append((place, language, for_test))
        if place in ("mnli", "xnli@validation"):
            hub = dataclasses.replace(read_nli(places["train"]), where="hub:nyu-mll/glue:mnli@train")
            return dataclasses.replace(hub, is_mnli=place == "mnli")
        return read_nli(place, language=language, for_test=for_test)

    monkeypatch.setattr("otembed.tasks.xnli.evaluate.read_nli", read)
    report = evaluate_xnli(tiny_model, places["tests"])
    assert asked[-2:] == [("mnli", "en", False), ("xnli@validation", "en", False)]
    assert asked[0] == (places["tests"]["en"], "en", True)
    assert (report.label, report.to_dict()["label"]) == ("", "")


def test_invalid_combinations_are_rejected(tiny_model, places, tmp_path):
    with pytest.raises(ConfigError, match="'sw'"):
        evaluate_xnli(tiny_model, **places, trained_languages=["sw"])
    with pytest.raises(ConfigError, match="at least one language"):
        evaluate_xnli(tiny_model, {}, train=places["train"])
    with pytest.raises(ConfigError, match="--protocol finetune"):
        evaluate_xnli(tiny_model, **places, run=tmp_path / "run")
    with pytest.raises(ConfigError, match="--run FOLDER"):
        evaluate_xnli(tiny_model, **places, config=FinetuneConfig(), resume=True)
    with pytest.raises(ConfigError, match="prompt_name"):
        ProbeConfig(prompt="", prompt_name="query")
    with pytest.raises(ConfigError, match="gradient_accumulation_steps"):
        FinetuneConfig(accumulate=3)
    with pytest.raises(ConfigError, match=r"strengths\.0 = 0"):
        ProbeConfig(strengths=(0,))


def test_insufficient_training_pairs_are_rejected(tiny_model, places, tmp_path):
    (tmp_path / "two.tsv").write_text("a\tb\tneutral\nc\td\tentailment\n")
    with pytest.raises(DataError, match=r"two\.tsv: .*contradiction"):
        evaluate_xnli(tiny_model, **places | {"train": tmp_path / "two.tsv"})
    with pytest.raises(DataError, match=r"2 training pairs.*\n.*--dev"):
        evaluate_xnli(tiny_model, **places | {"train": tmp_path / "two.tsv", "dev": None})


def test_model_with_nan_is_rejected(tiny_model, places, monkeypatch):
    monkeypatch.setattr(tiny_model, "encode", lambda texts, **_: np.full((len(texts), 32), np.nan))
    with pytest.raises(NumericsError, match="training sentence"):
        evaluate_xnli(tiny_model, **places)


def test_solver_that_did_not_converge_is_reported(tiny_model, places, caplog):
    config = ProbeConfig(max_iter=1, strengths=(1.0,))
    with caplog.at_level("WARNING", "otembed"), pytest.warns(Warning, match="converge"):
        report = evaluate_xnli(tiny_model, **places, config=config)
    assert not report.settings["converged"]
    assert "1 iterations" in caplog.text
