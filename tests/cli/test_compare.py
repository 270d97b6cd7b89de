"""otembed compare: what it prints and writes, its answers by exit code, and bad input that harms nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otembed.cli.main import app
from typer.testing import CliRunner

from otembed.comparison import Comparison
from otembed.errors import ConfigError, DataError, OtembedError
from otembed.results.outcomes import Outcomes

ROWS = [
    ("the cat sat on the mat", "die Katze saß auf der Matte"),
    ("the dog slept in the house", "der Hund schlief im Haus"),
    ("the cat slept", "die Katze schlief"),
]


def write(path: Path, right: int, task: str = "sw") -> str:
    outcome = Outcomes("xnli", task, "accuracy", task, (1,) * right + (0,) * (200 - right))
    path.write_text(json.dumps({"schema": 1, "kind": "XnliReport", "outcomes": [vars(outcome)]}))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [write(tmp_path / "a.json", 100), write(tmp_path / "b.json", 120)]


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_verdict_and_table_go_to_stdout(files: list[str]) -> None:
    result = run(f"old={files[0]}", f"new={files[1]}", "--resamples", "500")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith("new is better than old on xnli (sw).\n")
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("xnli"))
    assert row[:7] == ["xnli", "sw", "accuracy", "200", "50.0", "60.0", "+10.0"]


def test_outputs_are_written_and_not_replaced_without_force(files: list[str], tmp_path: Path) -> None:
    outputs = {flag: tmp_path / "new" / flag[2:] for flag in ("--output", "--html", "--markdown", "--latex")}
    given = [each for pair in outputs.items() for each in pair]
    printed = run(*files, "--json", *given).stdout
    assert outputs["--output"].read_text() == printed
    found = Comparison.from_json(printed)
    assert found.tasks[0].differences[0].value == pytest.approx(0.1)
    assert found.versions["otembed"]
    for flag, start in (("--html", "<!doctype html>"), ("--markdown", "**"), ("--latex", "% A")):
        assert outputs[flag].read_text().startswith(start)
    for flag, path in outputs.items():
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=rf"{flag} .*\n.*--force"):
            run(*files, flag, path)
        assert path.read_bytes() == before
        assert run(*files, flag, path, "--force").exit_code == 0


def test_output_that_is_an_input_or_another_output_is_rejected(files: list[str], tmp_path: Path) -> None:
    before = Path(files[1]).read_bytes()
    for model in (files[1], f"B={files[1]}", f"B={files[0]},{files[1]}"):
        with pytest.raises(ConfigError, match="--output"):
            run(files[0], model, "--output", files[1], "--force")
    with pytest.raises(ConfigError, match=r"--latex .*--html"):
        run(*files, "--html", tmp_path / "x", "--latex", tmp_path / "x")
    assert Path(files[1]).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "results.json").write_bytes(before)
    (tmp_path / "p.tsv").write_text("a\tb\n", encoding="utf-8")
    for arguments, output in (
        ((files[0], run_folder), run_folder / "results.json"),
        ((*files, "--pairs", f"en-de={tmp_path / 'p.tsv'}"), tmp_path / "p.tsv"),
        ((*files, "--gold", f"x={tmp_path / 'p.tsv'},{files[0]}"), tmp_path / "p.tsv"),
        ((*files, "--nli", tmp_path / "p.tsv"), tmp_path / "p.tsv"),
    ):
        kept = output.read_bytes()
        with pytest.raises(ConfigError, match=r"--output .* is (also|a file of)"):
            run(*arguments, "--output", output, "--force")
        assert output.read_bytes() == kept


@pytest.mark.parametrize(("least", "code"), [("-5", 0), ("10", 0), ("10.1", 1), ("50", 1)])
def test_fail_under_sets_the_exit_code(files: list[str], least: str, code: int) -> None:
    result = run(*files, "--fail-under", least)
    assert result.exit_code == code
    assert ("gains +10.0 points on xnli sw accuracy, less than" in result.stderr) == bool(code)
    assert "better" in result.stdout


def test_fail_under_of_a_worse_model(files: list[str]) -> None:
    assert run(*files[::-1], "--fail-under", "-10").exit_code == 0
    assert run(*files[::-1], "--fail-under", "-9.9", "--fail-metric", "xnli.accuracy").exit_code == 1
    with pytest.raises(ConfigError, match="--fail-under X"):
        run(*files, "--fail-metric", "xnli.accuracy")
    with pytest.raises(ConfigError, match=r"--fail-metric 'xnli\.f1'"):
        run(*files, "--fail-under", "0", "--fail-metric", "xnli.f1")


def test_tasks_not_compared_are_listed(files: list[str], tmp_path: Path) -> None:
    other = write(tmp_path / "c.json", 50, task="ar")
    result = run(files[0], f"B={files[1]},{other}")
    assert result.exit_code == 0
    assert "not compared: xnli ar accuracy, B: " in result.stderr
    assert "Not compared: 1 task" in result.stdout
    with pytest.raises(DataError, match="xnli sw accuracy: "):
        run(files[0], other)


def test_models_are_evaluated_on_text_links_and_collections(
    tiny_model_path: Path, tiny_wordpiece_model_path: Path, tmp_path: Path
) -> None:
    for side, name in enumerate(("de", "en")):
        (tmp_path / name).write_text("".join(f"{row[side]}\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "gold").write_text("1\t1\n2\t2\n")
    (tmp_path / "links").write_text("1-1 2p2\n1-1\n2-2\n")
    source, target, gold, links = (tmp_path / name for name in ("de", "en", "gold", "links"))
    result = run(
        tiny_model_path,
        f"other={tiny_wordpiece_model_path}",
        *("--pairs", f"de-en={source},{target}", "--center", "--device", "cpu", "--resamples", "200"),
        *("--cache", tmp_path / "cache"),
        *("--mining", f"de-en={source},{target},{gold}", "--gold", f"deen={source},{target},{links}"),
        *("--html", tmp_path / "page.html", "--json"),
    )
    found = Comparison.from_json(result.stdout)
    assert {(each.suite, each.task) for each in found.tasks} == {
        ("retrieval", "de-en"),
        ("retrieval", "de-en, centered"),
        ("mining", "de-en"),
        ("alignment", "deen"),
    }
    assert found.models[1].shapes[0].sentences == 6
    assert {each.model for each in found.word_maps} == {0, 1}
    assert f"evaluating {tiny_model_path}: retrieval" in result.stderr
    assert list((tmp_path / "cache" / "embeddings").iterdir())
    assert "Word links in example sentences" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--correction", "bonferroni"], "--correction 'bonferroni'"),
        (["--mining", "a-b=x,y"], "--mining XX-YY=SOURCE,TARGET,GOLD"),
        (["--pairs", "a-b"], "--pairs XX-YY=FILE"),
        (["--gold", "a=b"], "--gold NAME=TEXT,LINKS"),
        (["--xnli", "nowhere.tsv"], "--xnli XX=PLACE"),
        (["--xnli", "sw=nowhere.tsv"], "nowhere.tsv"),
        (["--xquad", "nowhere.json"], "--xquad XX=FILE"),
        (["--suite", "mining"], "mining"),
        (["--confidence", "95"], "95"),
        (["--fail-under", "nan", "--pairs", "en-de=nowhere.tsv"], "--fail-under nan"),
    ],
)
def test_invalid_options_are_rejected(files: list[str], arguments: list[str], message: str) -> None:
    with pytest.raises(OtembedError, match=message):
        run(*files, *arguments)


def test_control_characters_in_names_are_escaped(files: list[str]) -> None:
    result = run(f"old\x1b[31m={files[0]}", files[1], "--fail-under", "50")
    assert "\x1b" not in result.stdout + result.stderr
    assert "old\\x1b[31m" in result.stdout


def test_help_and_result_files_load_no_torch(files: list[str]) -> None:
    assert "--fail-under" in run("--help").stdout
    code = "import sys; from otembed.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "compare", *files], check=False, capture_output=True)
    assert done.returncode == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NUMBERS = st.lists(st.integers(-2, 2) | st.floats() | st.integers() | JSON, max_size=5)
OUTCOME = st.fixed_dictionaries(
    {
        "suite": st.just("xnli") | JSON,
        "task": st.just("sw") | st.text(max_size=3),
        "metric": st.just("accuracy") | JSON,
    },
    optional={
        "examples": st.just("d") | JSON,
        "values": NUMBERS,
        "weights": NUMBERS,
        "higher_is_better": st.booleans() | JSON,
        "more": JSON,
    },
)
GOOD = st.fixed_dictionaries(
    {
        "suite": st.just("xnli"),
        "task": st.sampled_from(["sw", "ar", "<b>|&", "en-sw, centered", ""]),
        "metric": st.sampled_from(["accuracy", "f1"]),
        "examples": st.sampled_from(["d", "e"]),
        "values": st.lists(st.floats(-1e300, 1e300) | st.integers(0, 1), min_size=3, max_size=3),
        "weights": st.just([]) | st.lists(st.floats(0, 1e300), min_size=3, max_size=3),
    }
)
DOCUMENT = JSON | st.fixed_dictionaries(
    {"kind": st.sampled_from(["XnliReport", "TrainResult", "Comparison", ""]) | JSON},
    optional={
        "outcomes": JSON | st.lists(OUTCOME, max_size=3) | st.lists(GOOD, min_size=1, max_size=3),
        "after": JSON | st.fixed_dictionaries({"outcomes": st.lists(GOOD, max_size=3)}),
        "stand_in": JSON,
    },
)
WHOLE = st.fixed_dictionaries({"kind": st.just("X"), "outcomes": st.lists(GOOD, min_size=1, max_size=3)})


@given(st.tuples(DOCUMENT | WHOLE, WHOLE | DOCUMENT), st.integers(0, 300), st.booleans())
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_documents_are_compared_or_rejected_without_losing_output(
    tmp_path: Path, documents: tuple[Any, Any], cut: int, is_cut: bool
) -> None:
    """Every document ends in a result (0) or a refusal (2, an error of otembed), never in a traceback."""
    places = [tmp_path / f"fuzz{row}.json" for row in range(2)]
    for path, document in zip(places, documents, strict=True):
        text = json.dumps(document)
        path.write_text(text[:cut] if is_cut else text, encoding="utf-8")
    before = [path.read_bytes() for path in places]
    page = tmp_path / "page.html"
    page.write_text("earlier")
    try:
        result = run(*places, "--resamples", "100", "--html", page, "--force")
    except OtembedError:
        assert page.read_text() == "earlier"
    else:
        assert result.exit_code == 0
        assert "nan" not in page.read_text().split('<script type="application/json"')[0].lower().replace(
            "finance", ""
        )
    assert [path.read_bytes() for path in places] == before
