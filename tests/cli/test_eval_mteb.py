"""``otembed eval mteb`` and ``--mteb``: what they write and refuse."""

from __future__ import annotations

import json

import pytest

mteb = pytest.importorskip("mteb", reason="otembed[mteb] is not installed")


def test_retrieval_is_also_written_in_mtebs_form(ended, tiny_model_path, tmp_path, sentences):
    text = tmp_path / "en-de.tsv"
    sides = zip(sentences(12), sentences(12, seed=1), strict=True)
    text.write_text("".join("\t".join(pair) + "\n" for pair in sides))
    arguments = (
        "eval",
        "retrieval",
        tiny_model_path,
        "--pairs",
        f"en-de={text}",
        "--json",
        "--mteb",
        tmp_path / "out",
    )
    code, stdout, _ = ended(*arguments)
    result = mteb.TaskResult.from_disk(tmp_path / "out" / "OtembedRetrieval.json")
    assert code == 0
    assert result.get_score() == pytest.approx(json.loads(stdout)["means"]["f1"], abs=1e-6)
    code, _, stderr = ended(*arguments)
    assert (code, "already exists" in stderr) == (2, True)
    code, _, stderr = ended(*arguments[:2], "me/other", *arguments[3:], "--force")
    assert (code, "results of another model" in stderr) == (2, True)


def test_a_folder_that_cannot_be_written_is_found_before_the_model_is_loaded(ended, tmp_path):
    text = tmp_path / "en-de.tsv"
    text.write_text("a\tb\n")
    code, _, stderr = ended("eval", "retrieval", "me/none", "--pairs", f"en-de={text}", "--mteb", text)
    assert (code, "not a writable folder" in stderr) == (2, True)


def test_unknown_tasks_are_errors(ended, tiny_model_path, tmp_path):
    code, stdout, stderr = ended("eval", "mteb", tiny_model_path, "--tasks", "Tateoba")
    assert (code, stdout) == (2, "")
    assert "Did you mean 'Tatoeba'?" in stderr
