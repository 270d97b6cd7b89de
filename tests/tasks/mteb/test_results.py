"""Reports in MTEB's form are read by its own class, with the figures of the report."""

from __future__ import annotations

import json

import pytest

from otembed.errors import ConfigError
from otembed.tasks.mining.evaluate import mining_scores
from otembed.tasks.mteb.results import check_mteb_folder, language_script, task_results, write_task_results
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
from otembed.tasks.xnli.report import XnliReport, XnliScore

mteb = pytest.importorskip("mteb", reason="otembed[mteb] is not installed")

ONE = RetrievalScores("sw-en", 9, 0.5, 0.25, 0.4, 0.2, 0.1, 0.3)
TWO = RetrievalScores("zh_Hant-en", 9, 1.0, 0.75, 0.9, 0.7, 0.0, 0.1)


def read(path):
    return mteb.TaskResult.from_disk(path)


def test_retrieval_has_a_subset_for_each_direction(tmp_path):
    report = RetrievalReport("m", (ONE, TWO), 1.5, centered_scores=(TWO,))
    first, second = map(read, write_task_results(task_results(report), tmp_path, model="m"))
    assert (first.task_name, second.task_name) == ("OtembedRetrieval", "OtembedRetrievalCentered")
    subsets = {each["hf_subset"]: each for each in first.scores["test"]}
    assert list(subsets) == ["sw-en", "en-sw", "zh_Hant-en", "en-zh_Hant"]
    assert (subsets["sw-en"]["main_score"], subsets["en-sw"]["main_score"]) == (0.4, 0.2)
    assert (subsets["sw-en"]["accuracy"], subsets["en-sw"]["xsim"]) == (0.5, 0.3)
    assert subsets["en-zh_Hant"]["languages"] == ["eng-Latn", "zho-Hant"]
    assert first.get_score() == pytest.approx((0.4 + 0.2 + 0.9 + 0.7) / 4)
    assert first.get_score(languages=["zho"]) == pytest.approx(0.8)
    assert first.evaluation_time == 1.5


def test_mining_and_xnli_have_their_main_scores(tmp_path):
    scores = mining_scores([0.9, 0.8, 0.1], [True, False, True], 4, threshold=0.5, name="de-en")
    report = XnliReport(
        "m", "probe", (XnliScore("de", 9, 0.5, 0.4), XnliScore("sw", 9, 0.25, 0.4)), 0.5, {}, {}, 2.0
    )
    mining, xnli = (
        read(write_task_results(task_results(each), tmp_path, model="m")[0]) for each in (scores, report)
    )
    assert (mining.task_name, mining.get_score()) == ("OtembedMining", pytest.approx(scores.f1))
    assert mining.scores["test"][0]["average_precision"] == pytest.approx(scores.average_precision)
    assert sorted(mining.languages) == ["deu", "eng"]
    assert (xnli.task_name, xnli.get_score()) == ("OtembedXNLI", pytest.approx(0.375))
    assert {each["hf_subset"]: each["languages"] for each in xnli.scores["test"]}["sw"] == [language_script("sw")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("en", "eng-Latn"), ("deu", "deu-Latn"), ("zh", "zho-Hans"), ("sr_Latn", "srp-Latn"), ("qqq", "qqq")],
)
def test_languages_are_written_as_mteb_does(code, expected):
    assert language_script(code) == expected


def test_files_are_not_replaced_without_force(tmp_path):
    results = task_results(RetrievalReport("m", (ONE,), 1.0))
    write_task_results(results, tmp_path, model="m")
    with pytest.raises(ConfigError, match=r"OtembedRetrieval\.json already exists(.|\n)*--force"):
        write_task_results(results, tmp_path, model="m")
    assert (
        json.loads(write_task_results(results, tmp_path, model="m", force=True)[0].read_text())["task_name"]
        == "OtembedRetrieval"
    )


def test_a_folder_has_the_results_of_one_model(tmp_path):
    results = task_results(RetrievalReport("m", (ONE,), 1.0))
    write_task_results(results, tmp_path / "out", model=str(tmp_path))
    document = json.loads((tmp_path / "out" / "model_meta.json").read_text())
    assert (document["name"], document["revision"]) == (str(tmp_path), "local")
    for force in (False, True):
        with pytest.raises(ConfigError, match="results of another model"):
            check_mteb_folder(tmp_path / "out", ["OtembedXNLI"], model="me/other", force=force)
    check_mteb_folder(tmp_path / "out", ["OtembedXNLI"], model=f"{tmp_path}/.")


def test_reports_without_a_form_are_rejected():
    with pytest.raises(ConfigError, match="object has no form in MTEB"):
        task_results(object())


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("otembed.tasks.mteb.results.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"otembed\[mteb\]"):
        check_mteb_folder(tmp_path, ["x"], model="m")
