"""Retrieval with questions of XQuAD-R's layout: a brute-force count from the definitions, planted vectors, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from otembed.errors import ConfigError, DataError
from otembed.tasks.xquad import evaluate_xquad
from otembed.tasks.xquad.files import read_questions
from otembed.tasks.xquad.report import QuestionReport


def encode(model, texts, prompt):
    return model.encode(texts, prompt=prompt, normalize_embeddings=True).astype(np.float64)


@pytest.fixture
def report(tiny_model, xquad_files):
    return evaluate_xquad(tiny_model, xquad_files, passage_prompt="passage: ")


def brute_force(model, files, prefix=True):
    """Every figure by a loop over the JSON documents."""
    documents = {code: json.loads(path.read_text(encoding="utf-8")) for code, path in files.items()}
    paragraphs = {code: one["data"][0]["paragraphs"] for code, one in documents.items()}
    asked = {code: [(q["id"], q["question"]) for p in each for q in p["qas"]] for code, each in paragraphs.items()}
    found = {}
    pool = []
    for code, each in paragraphs.items():
        for p in each:
            for start, end in p["sentence_breaks"]:
                ids = [q["id"] for q in p["qas"] if start <= q["answers"][0]["answer_start"] < end]
                text = p["context"][start:end]
                pool.append((code, ids, f"{text}\n{p['context']}" if prefix else text))
    vectors = encode(model, [text for _, _, text in pool], "passage: ")
    for code, questions in asked.items():
        scores = encode(model, [text for _, text in questions], "query: ") @ vectors.T
        truth = np.array([[key in ids for _, ids, _ in pool] for key, _ in questions])
        found["map", code] = np.mean([average_precision_score(t, s) for t, s in zip(truth, scores, strict=True)])
        for other, those in paragraphs.items():
            chosen = [index for index, (language, _, _) in enumerate(pool) if language == other]
            best = scores[:, chosen].argmax(1)
            found["sentence", code, other] = truth[:, chosen][np.arange(len(best)), best].mean()
            contexts = encode(model, [p["context"] for p in those], "passage: ")
            nearest = (encode(model, [text for _, text in questions], "query: ") @ contexts.T).argmax(1)
            right = [
                key in [q["id"] for q in those[n]["qas"]] for (key, _), n in zip(questions, nearest, strict=True)
            ]
            found["paragraph", code, other] = np.mean(right)
    return found


@pytest.mark.parametrize("candidate", ["sentence+paragraph", "sentence"])
def test_figures_match_a_brute_force_count(tiny_model, xquad_files, candidate):
    report = evaluate_xquad(tiny_model, xquad_files, passage_prompt="passage: ", candidate=candidate)
    wanted = brute_force(tiny_model, xquad_files, prefix=candidate != "sentence")
    for one in report.scores:
        assert one.accuracy == pytest.approx(wanted[one.task, one.question_language, one.text_language])
    if candidate != "sentence":  # equal sentences tie there, which scikit-learn treats in its own way
        for one in report.answers:
            assert one.map == pytest.approx(wanted["map", one.language], abs=1e-6)
    assert [one.candidates for one in report.answers] == [16, 16]


def test_headline_figures_match_their_outcomes_and_round_trip(report):
    figures = {each.key[1:]: each.value for each in report.outcomes}
    for one in report.scores:
        assert figures[f"{one.task}/{one.pair}", "accuracy"] == one.accuracy
        assert figures[f"{one.task}/{one.pair}", "mrr"] == one.mrr
    for one in report.answers:
        assert (figures[f"answers/{one.language}", "map"], figures[f"answers/{one.language}", "map_20"]) == (
            one.map,
            one.map_20,
        )
        assert sum(one.top_shares.values()) == pytest.approx(1)
    assert QuestionReport.from_json(report.to_json()) == report
    assert {each.suite for each in report.outcomes} == {"xquad"}


def test_default_prompts_match_encode_query_and_encode_document(tiny_model, xquad_files):
    tiny_model.prompts = {"query": "query: ", "passage": "passage: "}
    report = evaluate_xquad(tiny_model, xquad_files, tasks=["paragraph"])
    assert (report.query_prompt, report.passage_prompt) == ("query: ", "passage: ")
    data = read_questions(xquad_files["en"])
    query = tiny_model.encode_query([each.text for each in data.questions])
    passage = tiny_model.encode_document([each.text for each in data.paragraphs])
    nearest = (query @ passage.T).argmax(1)
    accuracy = np.mean(nearest == [each.paragraph for each in data.questions])
    assert report.scores[0].accuracy == pytest.approx(accuracy)


def test_limit_keeps_fewer_questions_and_all_texts(tiny_model, xquad_files):
    report = evaluate_xquad(tiny_model, xquad_files, limit=2)
    assert {(one.questions, one.candidates) for one in report.cells("sentence")} == {(2, 8)}


def test_files_without_sentences_give_only_paragraphs(tiny_model, xquad_files):
    document = json.loads(xquad_files["de"].read_text(encoding="utf-8"))
    for each in document["data"][0]["paragraphs"]:
        del each["sentence_breaks"]
    xquad_files["de"].write_text(json.dumps(document), encoding="utf-8")
    report = evaluate_xquad(tiny_model, xquad_files)
    assert {one.task for one in report.scores} == {"paragraph"}
    assert not report.answers
    with pytest.raises(DataError, match=r"de: .*sentence_breaks"):
        evaluate_xquad(tiny_model, xquad_files, tasks=["answers"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ["answer"]}, "'answer'.*\nDid you mean 'answers'"),
        ({"tasks": []}, "paragraph, sentence, answers"),
        ({"candidate": "both"}, "candidate 'both'"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": True}, "limit is True"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_rejected(tiny_model, xquad_files, settings, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_xquad(tiny_model, xquad_files, **settings)


def test_languages_without_a_common_question_are_rejected(tiny_model, xquad_files):
    text = xquad_files["de"].read_text(encoding="utf-8")
    xquad_files["de"].write_text(text.replace('"id": "q', '"id": "r'), encoding="utf-8")
    with pytest.raises(DataError, match="en and de "):
        evaluate_xquad(tiny_model, xquad_files)
    with pytest.raises(DataError, match="at least one language"):
        evaluate_xquad(tiny_model, {})
