from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import SequentialEvaluator

from otembed.errors import ConfigError, DataError, NumericsError
from otembed.tasks.retrieval import (
    BitextRetrievalEvaluator,
    bitext_scores,
    effective_rank,
    evaluate_retrieval,
    mean_cosine,
)
from otembed.tasks.retrieval.report import RetrievalReport
from tests.tasks.selecting import train_selecting

Pairs = dict[str, tuple[list[str], list[str]]]

METRICS = {
    "accuracy",
    "accuracy_source_to_target",
    "accuracy_target_to_source",
    "f1",
    "f1_source_to_target",
    "f1_target_to_source",
    "xsim",
    "xsim_source_to_target",
    "xsim_target_to_source",
    "mean_cosine",
    "effective_rank",
}


def evaluator(pairs: Pairs, pair: str = "de-en", **settings: object) -> BitextRetrievalEvaluator:
    source, target = pairs[pair]
    return BitextRetrievalEvaluator(source, target, name=pair, **settings)  # type: ignore[arg-type]


def test_report_holds_the_scores_of_the_encoded_sentences(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    report = evaluate_retrieval(tiny_model, pairs, k=2, name="tiny")
    expected = [
        bitext_scores(tiny_model.encode(source), tiny_model.encode(target), pair=pair, k=2)
        for pair, (source, target) in pairs.items()
    ]
    assert report.scores == tuple(expected)
    assert report.model == "tiny"
    assert report.seconds > 0
    assert report.centered_scores == ()
    assert RetrievalReport.from_json(report.to_json()) == report


def test_centered_scores_are_added_to_plain_scores(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    report = evaluate_retrieval(tiny_model, pairs, centered=True)
    source, target = (tiny_model.encode(side) for side in pairs["de-en"])
    expected = bitext_scores(source - source.mean(axis=0), target - target.mean(axis=0), pair="de-en")
    assert report.centered_scores[0] == expected
    assert report.scores == evaluate_retrieval(tiny_model, pairs).scores


def test_each_sentence_is_encoded_once(
    tiny_model: SentenceTransformer, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    encode = tiny_model.encode

    def counting(inputs: list[str], **settings: object) -> np.ndarray:
        seen.extend(inputs)
        return encode(inputs, **settings)

    monkeypatch.setattr(tiny_model, "encode", counting)
    evaluate_retrieval(tiny_model, pairs)
    assert len(seen) == len(set(seen)) == 15


@pytest.mark.parametrize("settings", [{"prompt": "query: "}, {"prompt_name": "query"}])
def test_prompt_is_put_before_every_sentence(
    tiny_model: SentenceTransformer, pairs: Pairs, settings: dict[str, str]
) -> None:
    prefixed = {pair: tuple([f"query: {text}" for text in side] for side in sides) for pair, sides in pairs.items()}
    with_prompt = evaluate_retrieval(tiny_model, pairs, **settings)  # type: ignore[arg-type]
    assert with_prompt.scores == evaluate_retrieval(tiny_model, prefixed).scores  # type: ignore[arg-type]


def test_truncated_vectors_are_scored(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    source, target = (tiny_model.encode(side)[:, :8] for side in pairs["de-en"])
    report = evaluate_retrieval(tiny_model, pairs, truncate_dim=8)
    assert report.scores[0] == bitext_scores(source, target, pair="de-en")


def test_no_pairs_are_rejected(tiny_model: SentenceTransformer) -> None:
    with pytest.raises(DataError, match="at least one pair"):
        evaluate_retrieval(tiny_model, {})


@pytest.mark.parametrize("setting", ["k", "batch_size"])
def test_counts_out_of_range_are_rejected(tiny_model: SentenceTransformer, pairs: Pairs, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting} is 0"):
        evaluate_retrieval(tiny_model, pairs, **{setting: 0})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{setting} is 0"):
        evaluator(pairs, **{setting: 0})


def test_unknown_prompt_name_is_rejected(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    with pytest.raises(ConfigError, match=r"'querry'.*\nDid you mean 'query'"):
        evaluate_retrieval(tiny_model, pairs, prompt_name="querry")


def test_prompt_and_its_name_together_are_rejected(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    with pytest.raises(ConfigError, match="'query'"):
        evaluate_retrieval(tiny_model, pairs, prompt="a", prompt_name="query")
    with pytest.raises(ConfigError, match="'query'"):
        evaluator(pairs, prompt="a", prompt_name="query")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (["a"], ["b", "c"], "de-en: 1 .*2 "),
        ([], [], "de-en: .*source"),
        ("text", ["b"], "de-en: .*source"),
        (["a"], [None], "de-en: target .*0.*None"),
    ],
)
def test_sides_of_different_length_are_rejected(source: list[str], target: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        BitextRetrievalEvaluator(source, target, name="de-en")


def test_diverged_model_is_rejected(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    next(tiny_model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NumericsError, match=r"de-en: source: .*5 of 5"):
        evaluate_retrieval(tiny_model, pairs)


def test_evaluator_follows_the_contract(tiny_model: SentenceTransformer, pairs: Pairs, tmp_path: Path) -> None:
    judge = evaluator(pairs, k=2)
    assert (judge.primary_metric, judge.greater_is_better, judge.description) == (
        "accuracy",
        True,
        "Bitext Retrieval",
    )
    metrics = judge(tiny_model, str(tmp_path), epoch=1, steps=10)
    assert set(metrics) == {f"de-en_{name}" for name in METRICS}
    assert all(type(value) is float for value in metrics.values())
    assert judge.primary_metric == "de-en_accuracy"
    assert tiny_model.model_card_data.eval_results_dict[judge] == metrics
    assert judge.get_config_dict() == {"k": 2}


def test_evaluator_and_report_agree(tiny_model: SentenceTransformer, pairs: Pairs) -> None:
    report = evaluate_retrieval(tiny_model, {"de-en": pairs["de-en"]})
    metrics = evaluator(pairs)(tiny_model)
    both = np.concatenate([tiny_model.encode(side) for side in pairs["de-en"]])
    assert metrics["de-en_accuracy"] == report.accuracy
    assert metrics["de-en_xsim"] == report.xsim
    assert metrics["de-en_mean_cosine"] == pytest.approx(mean_cosine(both), abs=1e-6)
    assert metrics["de-en_effective_rank"] == pytest.approx(effective_rank(both), rel=1e-5)


def test_each_call_appends_a_row_to_the_csv_file(
    tiny_model: SentenceTransformer, pairs: Pairs, tmp_path: Path
) -> None:
    judge = evaluator(pairs)
    metrics = [judge(tiny_model, str(tmp_path / "new"), epoch=epoch, steps=5) for epoch in (1, 2)]
    with (tmp_path / "new" / "bitext_retrieval_de-en_results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == METRICS | {"epoch", "steps"}
    assert float(rows[1]["accuracy"]) == metrics[1]["de-en_accuracy"]


def test_csv_file_is_optional_and_its_name_is_valid(
    tiny_model: SentenceTransformer, pairs: Pairs, tmp_path: Path
) -> None:
    evaluator(pairs, write_csv=False)(tiny_model, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert (
        BitextRetrievalEvaluator(["a"], ["b"], name="../de en").csv_file == "bitext_retrieval_.._de_en_results.csv"
    )


def test_settings_that_affect_figures_are_in_the_model_card(pairs: Pairs) -> None:
    judge = evaluator(pairs, prompt="query: ", truncate_dim=8, batch_size=7)
    assert judge.get_config_dict() == {"k": 4, "prompt": "query: ", "truncate_dim": 8}


def test_trainer_selects_on_several_pairs(tiny_model: SentenceTransformer, pairs: Pairs, tmp_path: Path) -> None:
    judges = SequentialEvaluator(
        [evaluator(pairs, pair) for pair in pairs], main_score_function=lambda scores: float(np.mean(scores))
    )
    trainer = train_selecting(tiny_model, pairs["de-en"], judges, "eval_sequential_score", tmp_path)
    logged = next(entry for entry in trainer.state.log_history if "eval_sequential_score" in entry)
    mean = (logged["eval_de-en_accuracy"] + logged["eval_es-en_accuracy"]) / 2
    assert logged["eval_sequential_score"] == pytest.approx(mean)
    assert trainer.state.best_metric is not None
    tiny_model.save_pretrained(str(tmp_path / "final"))
    assert "Bitext Retrieval" in (tmp_path / "final" / "README.md").read_text(encoding="utf-8")
