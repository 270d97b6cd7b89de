"""Each headline figure is that of its outcomes, and a report comes back with them."""

import json

import numpy as np
import pytest

from otembed.config.mining import MiningConfig
from otembed.documents.read import document_of
from otembed.results import json_text
from otembed.tasks.documents import DocumentsEvaluation, GoldDocuments, evaluate_documents
from otembed.tasks.mining import MiningScores, evaluate_mining
from otembed.tasks.mining.outcomes import MOST_EXAMPLES, mining_outcomes
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.tasks.retrieval.report import RetrievalReport
from otembed.tasks.word_alignment import AlignmentReport, GoldSentence, alignment_scores, evaluate_alignment
from otembed.tasks.word_alignment.scores import alignment_outcomes

SENTENCES = ["the cat sat on the mat", "the dog slept", "in the house", "a cat", "the mat", "no"]
OTHERS = ["die Katze saß auf der Matte", "der Hund schlief", "im Haus", "die Katze", "a cat", "no"]


def by_key(outcomes):
    found = {(each.task, each.metric): each for each in outcomes}
    assert len(found) == len(outcomes)
    return found


def test_retrieval_outcomes_match_the_report(tiny_model):
    pairs = {"en-de": (SENTENCES, OTHERS), "de-en": (OTHERS, SENTENCES)}
    report = evaluate_retrieval(tiny_model, pairs, k=2, centered=True)
    found = by_key(report.outcomes)
    metrics = ("accuracy", "accuracy_source_to_target", "accuracy_target_to_source", "xsim")
    for scores, suffix in ((report.scores, ""), (report.centered_scores, ", centered")):
        for one in scores:
            for metric in metrics:
                outcome = found.pop((one.pair + suffix, metric))
                assert outcome.value == pytest.approx(getattr(one, metric), abs=1e-15)
                assert outcome.higher_is_better == (metric != "xsim")
                assert len(outcome.values) == len(SENTENCES)
    assert not found
    assert RetrievalReport.from_json(report.to_json()) == report


def test_retrieval_outcomes_distinguish_examples_and_margins(tiny_model):
    def digests(pairs, k=2):
        return {each.metric: each.examples for each in evaluate_retrieval(tiny_model, pairs, k=k).outcomes}

    first = digests({"en-de": (SENTENCES, OTHERS)})
    assert digests({"en-de": (SENTENCES, OTHERS)}) == first
    assert not set(digests({"en-de": (SENTENCES[:-1], OTHERS[:-1])}).values()) & set(first.values())
    other_margin = digests({"en-de": (SENTENCES, OTHERS)}, k=3)
    assert other_margin["accuracy"] == first["accuracy"]
    assert other_margin["xsim"] != first["xsim"]


@pytest.mark.parametrize("threshold", [None, "default", 0.5])
def test_mining_outcomes_match_the_report(threshold):
    draw = np.random.default_rng(0)
    shared = draw.normal(size=(40, 32))
    x, y = (
        np.concatenate([shared + 0.9 * draw.normal(size=shared.shape), draw.normal(size=(40, 32))]) for _ in "xy"
    )
    gold = [(row + 1, row + 1) for row in range(40)] + [(3, 90), (99, 5)]  # the last two name no line
    scores = evaluate_mining(
        x.astype(np.float32), y.astype(np.float32), gold, config=MiningConfig(threshold=threshold), name="x"
    )
    found = by_key(scores.outcomes)
    assert scores.gold_unusable == 2
    assert found["x", "f1"].value == scores.f1
    assert found["x", "best_f1"].value == scores.best_f1
    assert sum(found["x", "f1"].weights) == scores.gold + scores.found
    assert len(found["x", "f1"].values) == 80
    assert MiningScores.from_json(scores.to_json()) == scores


def test_mining_outcomes_of_a_long_collection_are_grouped():
    draw = np.random.default_rng(1)
    lines, right = draw.integers(0, 9000, 500), draw.random(500) < 0.5
    (one,) = mining_outcomes(lines, right, np.arange(700), 9000, {"f1": 500}, name="x", examples="")
    assert len(one.values) == MOST_EXAMPLES
    assert one.value == 2 * right.sum() / (500 + 700)


def test_alignment_outcomes_match_the_report(tiny_model):
    sides = [[text.split() for text in side[:4]] for side in (SENTENCES, OTHERS)]
    gold = [GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)})) for _ in range(4)]
    report = evaluate_alignment(tiny_model, {"one": (*sides, gold)})
    found = by_key(report.outcomes)
    outcome = found["one", "aer"]
    assert outcome.value == pytest.approx(report.scores[0].aer, abs=1e-15)
    assert (outcome.suite, outcome.higher_is_better) == ("alignment", False)
    assert found["one", "word_retrieval"].value == pytest.approx(report.retrieval[0].accuracy)
    assert found["one", "word_retrieval_centered"].value == pytest.approx(report.retrieval[0].centered_accuracy)
    assert AlignmentReport.from_json(report.to_json()) == report


def test_alignment_outcomes_match_a_hand_count():
    gold = [GoldSentence(frozenset({(0, 0), (2, 2)}), frozenset({(0, 0), (1, 1), (2, 2)}))] * 2
    links = [[(0, 0), (1, 1)], [(2, 2), (0, 1)]]
    (outcome,) = alignment_outcomes(links, [(["a"], ["b"])] * 2, gold)
    assert (outcome.values, outcome.weights) == ((4 - 1 - 2, 4 - 1 - 1), (4, 4))
    assert outcome.value == alignment_scores(links, gold).aer
    assert alignment_outcomes([[]], [(["a"], ["b"])], [GoldSentence(frozenset(), frozenset())]) == ()


def test_json_has_number_lists_on_one_line():
    document = {
        "values": [1, 0.5, -2e-9],
        "text": "[\n  1\n]",
        "empty": [],
        "nested": [[1, 2], [3]],
        "mixed": [1, "a"],
    }
    text = json_text(document)
    assert json.loads(text) == document
    assert '"values": [1, 0.5, -2e-09],\n' in text
    assert "    [1, 2],\n" in text


def test_documents_outcomes_match_the_report(tiny_model, tmp_path):
    source, target = document_of(SENTENCES, "en"), document_of(OTHERS, "de")
    gold = tuple(((number,), (number,)) for number in range(6))
    report = evaluate_documents(tiny_model, {"x": GoldDocuments(source, target, gold)}, cache=tmp_path)
    found = by_key(report.outcomes)
    assert found["x", "link_f1"].value == report.total.link_f1 > 0
    assert sum(found["x", "link_f1"].weights) == report.total.pairs + report.total.gold
    assert DocumentsEvaluation.from_json(report.to_json()) == report
