from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from otembed.cli.evaluate import app
from typer.testing import CliRunner

from otembed.errors import ConfigError, DataError, ModelError
from otembed.tasks.mining.evaluate import MiningScores
from otembed.tasks.retrieval.report import RetrievalReport

ROWS = [
    ("the cat sat on the mat", "die Katze saß auf der Matte"),
    ("the dog slept in the house", "der Hund schlief im Haus"),
    ("the cat", "die Katze"),
    ("the cat", "die Katze"),
    ("no", "no"),
]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def command(tiny_model_path: Path, text: Path) -> list[str]:
    return ["retrieval", str(tiny_model_path), "--pairs", f"en-de={text}", "--device", "cpu"]


def run(arguments: list[str]) -> Any:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_table_on_stdout_has_every_row(command: list[str], tiny_model_path: Path) -> None:
    result = run(command)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2].split()[:2] == ["en-de", "5"]
    assert str(tiny_model_path) in result.stdout.replace("\n", "")
    assert result.stderr.splitlines() == [f"loaded {tiny_model_path} on cpu"]


def test_json_is_one_document_of_the_report(command: list[str]) -> None:
    result = run([*command, "--json", "--k", "2", "--center"])
    report = RetrievalReport.from_json(result.stdout)
    assert [one.pair for one in report.scores] == [one.pair for one in report.centered_scores] == ["en-de"]
    assert report.scores[0].margin_k == 2


def test_source_is_the_first_language_of_the_pair(command: list[str], tiny_model_path: Path, text: Path) -> None:
    there = RetrievalReport.from_json(run([*command, "--json"]).stdout).scores[0]
    other = ["retrieval", str(tiny_model_path), "--pairs", f"de-en={text}?source=1&target=0", "--json"]
    back = RetrievalReport.from_json(run(other).stdout).scores[0]
    assert there.accuracy_source_to_target == back.accuracy_target_to_source
    assert there.f1_target_to_source == back.f1_source_to_target


def test_several_pairs_add_a_mean_and_center_adds_a_table(command: list[str], text: Path) -> None:
    result = run([*command, "--pairs", f"en-es={text}", "--center", "--limit", "3"])
    rows = [line.split()[:2] for line in result.stdout.splitlines()]
    assert rows.count(["en-es", "3"]) == rows.count(["mean", "6"]) == 2
    assert result.stdout.replace("\n", " ").split().count("centered") == 1


def test_prompt_and_prompt_name_give_the_same_figures(command: list[str]) -> None:
    by_text = json.loads(run([*command, "--json", "--prompt", "query: "]).stdout)
    by_name = json.loads(run([*command, "--json", "--prompt-name", "query"]).stdout)
    assert by_text["scores"] == by_name["scores"]


def test_rows_with_an_empty_side_are_counted_on_stderr(command: list[str], text: Path) -> None:
    text.write_text(text.read_text(encoding="utf-8") + "the dog\t\n", encoding="utf-8")
    result = run(command)
    assert "en-de: 6 read, 5 kept, dropped: empty 1 (line 6)" in result.stderr
    assert "dropped" not in result.stdout


def test_output_is_not_replaced_without_force(command: list[str], tmp_path: Path) -> None:
    report = tmp_path / "new" / "report.json"
    printed = run([*command, "--json", "-o", str(report)]).stdout
    assert report.read_text(encoding="utf-8") == printed
    with pytest.raises(ConfigError, match=r"report\.json.*\n.*--force"):
        run([*command, "-o", str(report)])
    assert run([*command, "-o", str(report), "--force"]).exit_code == 0
    with pytest.raises(ConfigError, match="--output"):
        run([*command, "-o", str(tmp_path), "--force"])


def test_missing_model_is_reported(text: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        run(["retrieval", "./nowhere", "--pairs", f"en-de={text}"])


def test_missing_file_is_reported(tiny_model_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.tsv"):
        run(["retrieval", str(tiny_model_path), "--pairs", "en-de=nowhere.tsv"])


@pytest.mark.parametrize("pairs", ["en-de", "=x.tsv", "english=x.tsv"])
def test_unreadable_pair_is_reported(tiny_model_path: Path, pairs: str) -> None:
    with pytest.raises(ConfigError):
        run(["retrieval", str(tiny_model_path), "--pairs", pairs])


def test_duplicate_pair_is_reported(command: list[str], text: Path) -> None:
    with pytest.raises(ConfigError, match=r"--pairs .*en-de"):
        run([*command, "--pairs", f"en-de={text}"])


@pytest.mark.parametrize("flag", ["--k", "--batch-size", "--limit"])
def test_counts_below_one_are_usage_errors(command: list[str], flag: str) -> None:
    result = run([*command, flag, "0"])
    assert result.exit_code == 2
    assert result.stdout == ""


def test_help_shows_defaults() -> None:
    assert "[default: 4" in run(["retrieval", "--help"]).stdout


def test_mining_against_gold(tiny_model_path: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines = [f"{name}-{row}\t{text}" for row, (text, _) in enumerate(ROWS[:3])]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "gold").write_text("".join(f"a-{row}\tb-{row}\n" for row in range(3)))
    files = [f"{tmp_path / name}?text=1&id=0" for name in ("a", "b")]
    options = [
        "--model",
        str(tiny_model_path),
        "--gold",
        str(tmp_path / "gold"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    train = ["--train", *files, str(tmp_path / "gold")]
    report = MiningScores.from_json(run(["mining", *files, *options, *train, "--json"]).stdout)
    assert (report.gold, report.f1, report.best_f1, report.name) == (3, 1.0, 1.0, "gold")
    result = run(["mining", *files, *options, "-o", str(tmp_path / "report.json"), "--threshold", "none"])
    assert "average precision" in result.stdout
    assert "100.0" in result.stdout
    assert MiningScores.from_json((tmp_path / "report.json").read_text()).threshold is None
    with pytest.raises(ConfigError, match="--force"):
        run(["mining", *files, *options, "-o", str(tmp_path / "report.json")])
    with pytest.raises(ConfigError, match=r"\.svg"):
        run(["mining", *files, *options, "--plot", str(tmp_path / "curve.pdf")])
    pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")
    assert run(["mining", *files, *options, "--plot", str(tmp_path / "curve.svg")]).stdout.startswith("gold")
    assert "average precision 1.000" in (tmp_path / "curve.svg").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--plot .*curve\.svg.*\n.*--force"):
        run(["mining", *files, *options, "--plot", str(tmp_path / "curve.svg")])
