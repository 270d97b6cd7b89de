"""``otembed negatives``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from otembed.data import load_pairs, parse_pair_spec
from otembed.errors import ConfigError


@pytest.fixture
def text(tmp_path, sentences):
    path = tmp_path / "en-de.tsv"
    sides = zip(
        [f"the cat {line}" for line in sentences(30, seed=0)],
        [f"die Katze {line}" for line in sentences(30, seed=1)],
        strict=True,
    )
    path.write_text("".join("\t".join(pair) + "\n" for pair in sides), encoding="utf-8")
    return path


@pytest.fixture
def negatives(ended, text, tiny_model_path, tmp_path):
    def run(*arguments):
        cache = tmp_path / "cache"
        return ended("negatives", f"en-de={text}", "--model", tiny_model_path, "--cache", cache, *arguments)

    return run


def test_file_report_and_usage(negatives, tmp_path):
    out = tmp_path / "hard.jsonl"
    code, stdout, stderr = negatives("-o", out, "-n", 2, "--set", "relative_margin=null", "--json")
    assert code == 0
    report = json.loads(stdout)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert report["kind"] == "NegativesReport"
    assert report["written"] == len(rows) == 30
    assert list(rows[0]) == ["source", "target", "negative_1", "negative_2"]
    assert "30 pairs with 2 negatives each; left out, with fewer: 0" in stderr
    assert f"--pairs 'de-en={out}'" in stderr
    assert negatives("-o", out)[0] == 2
    assert negatives("-o", out, "--force", "--set", "relative_margin=null")[0] == 0


def test_printed_training_command_keeps_the_sides(negatives, tmp_path):
    """With English as the source, training would make it the target, which negatives replace."""
    out = tmp_path / "hard.tsv"
    _, _, told = negatives("-o", out, "-n", 1, "--set", "relative_margin=null", "--set", "pivot=null")
    assert f"--pairs 'en-de={out}?header=1' --set data.pivot=de\n" in told
    text = load_pairs(replace(parse_pair_spec(f"en-de={out}?header=1"), num_negatives=None))
    assert text.with_pivot("de") is text
    with pytest.raises(ConfigError) as caught:
        text.with_pivot("en")
    assert caught.value.hint.index("--set data.pivot=de") < caught.value.hint.index("write de-en=FILE")
    _, _, told = negatives("-o", out, "-n", 1, "--set", "relative_margin=null", "--force")
    assert f"--pairs 'de-en={out}?header=1'\n" in told


def test_tsv_on_stdout_with_both_sides(negatives):
    code, stdout, _ = negatives(
        "--side", "both", "-n", 1, "--set", "relative_margin=null", "--set", "output_scores=true"
    )
    lines = [line.split("\t") for line in stdout.splitlines()]
    assert code == 0
    assert lines[0] == ["source", "target", "negative_1", "score", "score_1"]
    assert len(lines) == 31
    assert all(float(line[4]) <= 1 for line in lines[1:])


def test_settings_file_and_dry_run(negatives, ended, tmp_path):
    file, out = tmp_path / "settings.yaml", tmp_path / "hard.parquet"
    assert ended("config", "init", "--for", "negatives", file)[0] == 0
    code, stdout, _ = negatives("-o", out, "--config", file, "--dry-run")
    assert (code, "to embed: 60 lines" in stdout) == (0, True)
    assert json.loads(negatives("--dry-run", "--json")[1])["lines_to_embed"] == 60
    assert sorted(each.name for each in tmp_path.iterdir()) == ["en-de.tsv", "settings.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--side", "left"], "side"),
        (["-n", "0"], "num_negatives"),
        (["--set", "margin=ratio"], "unknown setting 'margin'"),
        (["--range-min", "3"], "--set range_min=VALUE"),
        (["-o", "x.tmx"], "unknown suffix '.tmx'"),
        (["--json"], "--output"),
    ],
)
def test_bad_requests_are_errors(negatives, arguments, message):
    code, stdout, stderr = negatives(*arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ")
    assert message in stderr
