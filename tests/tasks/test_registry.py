"""Every task keeps the contract of a task: checked before anything slow, evaluated into reports with a table."""

from __future__ import annotations

import json

import pytest

from otembed.documents.read import document_of
from otembed.errors import ConfigError, DataError
from otembed.results import Table
from otembed.tasks.base import TaskOptions
from otembed.tasks.documents import GoldDocuments
from otembed.tasks.registry import TASKS
from otembed.tasks.report import Report
from otembed.tasks.word_alignment.gold import GoldSentence

SOURCE = ["the cat sat on the mat", "the dog slept in the house", "a dog sat in the house"]
TARGET = ["die Katze saß auf der Matte", "der Hund schlief im Haus", "ein Hund saß im Haus"]
WORDS = tuple([text.split() for text in side] for side in (SOURCE, TARGET))
DOCUMENTS = (document_of(SOURCE, "en"), document_of(TARGET, "de"))
GOLD = [GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)}))] * len(SOURCE)


def data_of(name, xquad_files, tmp_path):
    if name == "xnli":
        path = tmp_path / "nli.tsv"
        labels = ("entailment", "neutral", "contradiction")
        rows = [f"the cat {row}\tthe dog {row % 3}\t{labels[row % 3]}\n" for row in range(60)]
        path.write_text("premise\thypothesis\tlabel\n" + "".join(rows))
        return {"de": path}, TaskOptions(nli=path)
    if name == "tagging":
        path = tmp_path / "en.conllu"
        rest = "_\t_\t_\t_\t_\t_"
        sentence = f"1\tthe\t_\tDET\t{rest}\n2\tcat\t_\tNOUN\t{rest}\n\n"
        path.write_text(sentence * 20)
        return {"de": path}, TaskOptions(tagging=path)
    data = {
        "retrieval": {"en-de": (SOURCE, TARGET)},
        "mining": {"en-de": (SOURCE, TARGET, {(1, 1), (2, 2)})},
        "alignment": {"ende": (*WORDS, GOLD)},
        "documents": {"ende": GoldDocuments(*DOCUMENTS, (((0,), (0,)), ((1, 2), (1,))))},
        "xquad": xquad_files,
    }
    return data[name], TaskOptions()


@pytest.mark.parametrize("name", TASKS)
def test_task_returns_reports_with_outcomes_and_tables(name, tiny_model, xquad_files, tmp_path):
    task = TASKS[name]
    data, options = data_of(name, xquad_files, tmp_path)
    reports = task.evaluate(tiny_model, data, options)
    assert reports
    for report in reports:
        assert isinstance(report, Report)
        assert {each.suite for each in report.outcomes} == {name}
        assert isinstance(report.table(), Table)
        assert all(table.rows for table in report.tables())
        assert json.loads(type(report).from_json(report.to_json()).to_json()) == json.loads(report.to_json())


@pytest.mark.parametrize("name", TASKS)
def test_invalid_place_is_rejected_with_the_option(name):
    task = TASKS[name]
    with pytest.raises((ConfigError, DataError)) as caught:
        task.parse({"not a code!": ""}, task.option)
    assert task.option in str(caught.value) or "not a code!" in str(caught.value)


def test_task_options_are_unique_and_every_task_has_a_command():
    from otembed.cli.evaluate import app

    assert len({task.option for task in TASKS.values()}) == len(TASKS)
    # MTEB brings its own tasks.
    assert [command.name for command in app.registered_commands] == [*TASKS, "mteb"]
    assert {task.parallel for task in TASKS.values()} == {None, "sentences", "words"}


def test_home_folder_is_expanded_in_every_file_of_a_place(tmp_path, monkeypatch):
    """The shell leaves ~ alone after NAME= and after a comma."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x\n")
    files = [str(tmp_path / name) for name in ("a", "b", "c")]
    assert TASKS["alignment"].parse({"x": "~/a,~/b"}, "--gold") == {"x": files[:2]}
    assert TASKS["documents"].parse({"x": "~/a,~/b,~/c"}, "--gold") == {"x": files}
    assert str(TASKS["mining"].parse({"de-en": "~/a,~/b,~/c"}, "--mining")["de-en"][2]) == files[2]
    with pytest.raises(ConfigError, match="expected three files"):
        TASKS["documents"].parse({"x": "~/a,,~/b,~/c"}, "--gold")
