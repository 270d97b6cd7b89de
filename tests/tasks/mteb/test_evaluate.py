"""MTEB's tasks, with a task on local data: its score is the one of otembed's own evaluation."""

from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from otembed.errors import ConfigError, DataError
from otembed.tasks.mteb.evaluate import evaluate_mteb, mteb_tasks
from otembed.tasks.mteb.report import MtebReport
from otembed.tasks.mteb.results import write_task_results
from otembed.tasks.retrieval import evaluate_retrieval

mteb = pytest.importorskip("mteb", reason="otembed[mteb] is not installed")
from mteb.abstasks import AbsTaskBitextMining  # noqa: E402


@pytest.fixture
def sides(sentences):
    return sentences(30, seed=0), [f"{text} Hund" for text in sentences(30, seed=1)]


@pytest.fixture
def task(sides):
    class LocalBitext(AbsTaskBitextMining):
        metadata = mteb.TaskMetadata(
            name="LocalBitext",
            description="Sentences in memory.",
            dataset={"path": "local/bitext", "revision": "1"},
            type="BitextMining",
            eval_langs={"eng-deu": ["eng-Latn", "deu-Latn"]},
            eval_splits=["test"],
            main_score="f1",
        )

        def load_data(self, **_options):
            table = Dataset.from_dict({"sentence1": sides[0], "sentence2": sides[1]})
            self.dataset = {"eng-deu": DatasetDict({"test": table})}
            self.data_loaded = True

    return LocalBitext()


def test_a_task_runs_and_agrees_with_the_own_evaluation(task, sides, tiny_model, tmp_path):
    report, results = evaluate_mteb(tiny_model, [task], name="tiny")
    own = evaluate_retrieval(tiny_model, {"en-de": sides}).scores[0]
    (score,) = report.scores
    assert score.main_score == pytest.approx(own.f1_source_to_target, abs=1e-6)
    assert (score.task, score.split, score.subset) == ("LocalBitext", "test", "eng-deu")
    assert report.results[0]["scores"]["test"][0]["accuracy"] == pytest.approx(
        own.accuracy_source_to_target, abs=1e-6
    )
    assert MtebReport.from_json(report.to_json()) == report
    assert report.table().rows[0][3] == "eng-Latn deu-Latn"
    (path,) = write_task_results(results, tmp_path)
    assert mteb.TaskResult.from_disk(path).get_score() == pytest.approx(score.main_score, abs=1e-6)


def test_data_that_cannot_be_loaded_is_an_error_with_the_task(task, tiny_model, monkeypatch):
    def offline(**_options):
        raise ConnectionError("no route to the hub\nmore")

    monkeypatch.setattr(task, "load_data", offline)
    with pytest.raises(DataError, match=r"LocalBitext: ConnectionError: no route to the hub\n"):
        evaluate_mteb(tiny_model, [task])


def test_tasks_are_found_by_name_and_language():
    (task,) = mteb_tasks(["Tatoeba"], ["swh"])
    assert list(task.hf_subsets) == ["swh-eng"]
    with pytest.raises(ConfigError, match=r"'Tateoba'\n.*'Tatoeba'"):
        mteb_tasks(["Tateoba"])
    for code in ("qqqq", "bod"):
        with pytest.raises(ConfigError, match="Tatoeba"):
            mteb_tasks(["Tatoeba"], [code])
