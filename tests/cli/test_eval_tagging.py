"""``otembed eval tagging``: what is printed and written, and what is refused before anything slow."""

from __future__ import annotations

import json

import pytest
from otembed.cli.evaluate import app
from otembed.cli.main import app as main_app
from typer.testing import CliRunner

from otembed.errors import ConfigError, DataError
from otembed.tasks.tagging import TaggingReport

REST = "_\t_\t_\t_\t_\t_"
SENTENCE = "".join(
    f"{number}\t{word}\t_\t{tag}\t{REST}\n"
    for number, (word, tag) in enumerate((("the", "DET"), ("cat", "NOUN"), ("sat", "VERB"), ("\u3000", "PUNCT")), 1)
)


@pytest.fixture
def command(tiny_model_path, tmp_path):
    for name, count in (("train", 20), ("de", 4), ("en", 3)):
        (tmp_path / f"{name}.conllu").write_text((SENTENCE + "\n") * count, encoding="utf-8")
    tests = [part for code in ("en", "de") for part in ("--test", f"{code}={tmp_path / code}.conllu")]
    train = ["--train", str(tmp_path / "train.conllu")]
    return ["tagging", str(tiny_model_path), *tests, *train, "--device", "cpu", "--set", "strengths=[1.0]"]


def run(arguments, program=app):
    return CliRunner().invoke(program, list(map(str, arguments)), catch_exceptions=False)


def test_tables_have_languages_layers_and_the_label(command):
    result = run([*command, "--layer", "all"])
    rows = [line.split() for line in result.stdout.splitlines() if line.split()]
    assert ["de", "4", "16", "75.0"] in [row[:4] for row in rows]
    assert [row[0] for row in rows if row[0].isdigit()] == ["0", "1", "2", "3"]
    assert "stand-in for XTREME" in " ".join(result.stdout.split())
    assert "7 test words have no prediction" in result.stderr


def test_json_and_output_are_the_report(command, tmp_path):
    output = tmp_path / "report.json"
    result = run([*command, "--layer", "-1", "--json", "-o", output, "--limit", "2", "--train-limit", "9"])
    report = TaggingReport.from_json(result.stdout)
    assert output.read_text(encoding="utf-8") == result.stdout
    assert (report.layer, report.settings["limit"], report.training["sentences"]) == (3, 2, 9)
    assert [each.sentences for each in report.scores] == [2, 2]
    assert report.data["de"].endswith("de.conllu")
    with pytest.raises(ConfigError, match=r"report\.json.*\n.*--force"):
        run([*command, "-o", output])


def test_fine_tuning_runs_and_resumes(command, tmp_path):
    options = ["--protocol", "finetune", "--max-steps", "2", "--run", tmp_path / "run", "--set", "max_length=32"]
    command = command[:-2]
    first = run([*command, *options, "--json"])
    again = run([*command, *options, "--resume", "--json"])
    reports = [TaggingReport.from_json(each.stdout) for each in (first, again)]
    assert reports[0].scores == reports[1].scores
    assert reports[0].protocol == "finetune"
    assert "settings.json" in {each.name for each in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--protocol", "probing"], "--protocol 'probing'.*\nDid you mean 'probe'"),
        (["--protocol", "finetune", "--layer", "3"], "unknown setting 'layer'"),
        (["--max-steps", "3"], "unknown setting 'max_steps'"),
        (["--layer", "top"], "--layer 'top'"),
        (["--resume"], "--protocol finetune"),
        (["--test", "de=other.conllu"], "--test .*de"),
        (["--test", "not a code=x"], "not a language code"),
        (["--set", "strength=1"], "'strengths'"),
    ],
)
def test_options_without_effect_are_rejected(command, more, message):
    with pytest.raises(ConfigError, match=message):
        run([*(command[:-2] if "finetune" in more else command), *more])


def test_malformed_and_missing_files_are_rejected_with_their_line(command, tmp_path):
    (tmp_path / "de.conllu").write_text(SENTENCE + "5\tdog\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"de\.conllu:5: 2 columns"):
        run(command)
    with pytest.raises(DataError, match=r"trian\.conllu: no such file.*\n.*train\.conllu"):
        run([*command, "--train", tmp_path / "trian.conllu"])
    with pytest.raises(DataError, match=r"dve\.conllu: no such file"):
        run([*command, "--dev", tmp_path / "dve.conllu"])


def test_compare_evaluates_models_on_treebanks(command, tmp_path, tiny_model_path, tiny_wordpiece_model_path):
    compare = ["compare", tiny_model_path, tiny_wordpiece_model_path, "--device", "cpu", "--resamples", "100"]
    compare += ["--tagging", f"de={tmp_path / 'de.conllu'}", "--limit", "3", "--json"]
    with pytest.raises(ConfigError, match="--tagging-train"):
        run(compare, main_app)
    found = json.loads(run([*compare, "--tagging-train", tmp_path / "train.conllu"], main_app).stdout)
    (task,) = found["tasks"]
    assert (task["suite"], task["task"], task["metric"], task["examples"]) == ("tagging", "de", "accuracy", 3)
    assert any("stand-in" in note for model in found["models"] for note in model["notes"])
