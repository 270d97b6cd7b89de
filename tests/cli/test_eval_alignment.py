"""``otembed eval alignment``: the library's report, printed and written."""

from __future__ import annotations

import json

import pytest
from otembed.cli.evaluate import app
from typer.testing import CliRunner

import otembed
from otembed.errors import ConfigError, DataError
from otembed.tasks.word_alignment import AlignmentReport, evaluate_alignment, read_gold_set


def run(*arguments):
    return CliRunner().invoke(app, ["alignment", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text").write_text("the cat sat ||| die Katze saß\nthe dog ||| der Hund\n", encoding="utf-8")
    (tmp_path / "source").write_text("the cat sat\nthe dog\n", encoding="utf-8")
    (tmp_path / "target").write_text("die Katze saß\nder Hund\n", encoding="utf-8")
    (tmp_path / "links").write_text("1-1 2-2 3p3\n1-1 2-2\n")
    (tmp_path / "links0").write_text("0-0 1-1 2p2\n0-0 1-1\n")
    return tmp_path


@pytest.fixture
def command(files, tiny_model_path):
    return [tiny_model_path, "--device", "cpu", "--gold", f"toy={files / 'text'},{files / 'links'}"]


def figures(*arguments):
    return json.loads(run(*arguments, "--json").stdout)["scores"]


def test_json_is_the_report(command, files, tiny_model_path):
    report = AlignmentReport.from_json(run(*command, "--layer", 2, "--unit", "token", "--json").stdout)
    config = otembed.words.WordAlignmentConfig(layer=2, unit="token")
    gold = read_gold_set(files / "links", files / "text")
    expected = evaluate_alignment(otembed.load_model(tiny_model_path, device="cpu"), {"toy": gold}, config)
    assert report.scores == expected.scores
    assert (report.layer, report.layer_origin) == (2, "given")
    assert report.settings == expected.settings


def test_settings_file_is_used(command, tmp_path):
    (tmp_path / "align.yaml").write_text("layer: 2\n")
    report = AlignmentReport.from_json(run(*command, "--config", tmp_path / "align.yaml", "--json").stdout)
    assert report.layer == 2


def test_gold_from_one_or_two_files_and_both_index_bases(command, files, tiny_model_path):
    two = f"toy={files / 'source'},{files / 'target'},{files / 'links0'}"
    assert figures(*command) == figures(tiny_model_path, "--gold", two, "--index-base", 0)


def test_table_shows_every_set_and_the_mean(command, files):
    result = run(*command, "--gold", f"second={files / 'text'},{files / 'links'}", "--limit", 1)
    first, second = result.stdout.split("Word retrieval\n")
    rows = {line.split()[0]: line.split()[1:] for line in first.splitlines() if line.split()}
    (scores, _) = figures(*command, "--gold", f"second={files / 'text'},{files / 'links'}", "--limit", 1)
    shares = [f"{100 * scores['figures'][key]:.1f}" for key in ("precision", "recall", "f1", "aer")]
    assert rows["toy"] == rows["second"] == ["1", "2", "3", str(scores["links"]), *shares]
    assert rows["mean"] == ["2", "4", "6", str(2 * scores["links"]), *shares]
    assert "Layer 2, default." in first
    # Both sure links of the one pair, in six figures.
    assert [line.split()[1] for line in second.splitlines() if line.startswith(("toy", "second", "mean"))] == [
        "2",
        "2",
        "4",
    ]


def test_word_retrieval_is_optional(command):
    report = AlignmentReport.from_json(run(*command, "--no-word-retrieval", "--json").stdout)
    assert (report.retrieval, [each.metric for each in report.outcomes]) == ((), ["aer"])
    assert [each.links for each in AlignmentReport.from_json(run(*command, "--json").stdout).retrieval] == [4]


def test_output_is_not_replaced_without_force(command, tmp_path):
    path = tmp_path / "report.json"
    printed = run(*command, "--json", "-o", path).stdout
    assert path.read_text() == printed
    with pytest.raises(ConfigError, match=r"report\.json.*\n.*--force"):
        run(*command, "-o", path)
    assert run(*command, "-o", path, "--force").exit_code == 0


def test_truncated_words_are_counted_on_stderr(files, tiny_model_path):
    (files / "text").write_text("cat " * 99 + "||| Katze\n", encoding="utf-8")
    (files / "links").write_text("1-1\n")
    result = run(tiny_model_path, "--gold", f"toy={files / 'text'},{files / 'links'}")
    assert "words without a link" in result.stderr


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        (["toy"], "NAME=TEXT,LINKS"),
        (["toy=a"], "NAME=TEXT,LINKS"),
        (["=a,b"], "NAME=TEXT,LINKS"),
        (["toy=a,b,c,d"], "NAME=TEXT,LINKS"),
        (["toy=a,"], "NAME=TEXT,LINKS"),
        (["toy=a,b", "toy=a,b"], "--gold .*toy"),
    ],
)
def test_unreadable_sets_are_rejected(tiny_model_path, gold, message):
    with pytest.raises(ConfigError, match=message):
        run(tiny_model_path, *(part for value in gold for part in ("--gold", value)))


def test_malformed_gold_is_rejected_with_its_line(command, files):
    (files / "links").write_text("1-1\n9-1\n")
    with pytest.raises(DataError, match=r"links:2: .*9-1"):
        run(*command)
    with pytest.raises(DataError, match=r"links0:1: .*0-0.*\n.*--index-base 0"):
        run(command[0], "--gold", f"toy={files / 'text'},{files / 'links0'}")
