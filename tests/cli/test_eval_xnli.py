"""``otembed eval xnli``: the library's report, printed and written; broken files are named and harm nothing."""

from __future__ import annotations

import gzip
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otembed.cli.evaluate import app
from typer.testing import CliRunner

import otembed
from otembed.config.xnli import ProbeConfig
from otembed.errors import ConfigError, DataError, OtembedError
from otembed.tasks.xnli import XnliReport, evaluate_xnli

LABELS = ("entailment", "neutral", "contradiction")
WORDS = ("the", "cat", "sat", "on", "mat", "dog", "slept", "in", "house", "猫", "die", "Katze", "saß")


def pairs(count, seed):
    draw = random.Random(seed)
    for number in range(count):
        premise, other = (" ".join(draw.choices(WORDS, k=5)) for _ in range(2))
        yield premise, [premise, other, "the"][number % 3], LABELS[number % 3]


def tsv(count, seed=0):
    return "premise\thypothesis\tlabel\n" + "".join("\t".join(row) + "\n" for row in pairs(count, seed))


def jsonl(count, seed=0):
    names = ("sentence1", "sentence2", "gold_label")
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in pairs(count, seed))


def run(*arguments):
    return CliRunner().invoke(app, ["xnli", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def files(tmp_path):
    for name, text in {"train.tsv": tsv(45), "dev.jsonl": jsonl(18, 1), "test.de.tsv": tsv(9, 2)}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = [("sw", *row) for row in pairs(6, 3)] + [("en", *row) for row in pairs(12, 4)]
    lines = [("language", "sentence1", "sentence2", "gold_label"), *rows]
    (tmp_path / "xnli.tsv").write_text("".join("\t".join(row) + "\n" for row in lines), encoding="utf-8")
    return tmp_path


@pytest.fixture
def command(files, tiny_model_path):
    train = ["--train", files / "train.tsv", "--dev", files / "dev.jsonl", "--device", "cpu"]
    return [tiny_model_path, *train, "--cache", files / "cache", "--test", f"de={files / 'test.de.tsv'}"]


def test_json_is_the_report(command, files, tiny_model_path):
    text = run(*command, "--json", "--limit", 30, "--prompt-name", "query", "--trained-languages", "de").stdout
    report = XnliReport.from_json(text)
    expected = evaluate_xnli(
        otembed.load_model(tiny_model_path, device="cpu"),
        {"de": files / "test.de.tsv"},
        train=files / "train.tsv",
        dev=files / "dev.jsonl",
        config=ProbeConfig(limit=30, prompt_name="query"),
    )
    assert report.scores == expected.scores
    assert report.outcomes == expected.outcomes
    assert report.settings == json.loads(expected.to_json())["settings"]
    assert (json.loads(text)["label"], report.trained_accuracy) == ("stand-in", report.scores[0].accuracy)


def test_table_names_the_stand_in_and_the_mean(command, files):
    args = ["--test", files / "xnli.tsv", "--languages", "sw,en", "--trained-languages", "en,de"]
    lines = run(*command, *args).stdout.splitlines()
    rows = {line.split("  ")[0]: line.split()[-3:] for line in lines}
    report = XnliReport.from_json(run(*command, *args, "--json").stdout)
    accuracy = {one.language: one.accuracy for one in report.scores}
    shown = {name: f"{100 * value:.1f}" for name, value in accuracy.items()}
    assert list(accuracy) == ["de", "sw", "en"]
    assert rows["sw"] == ["6", shown["sw"], "33.3"]
    assert rows["en (trained)"] == ["12", shown["en"], "33.3"]
    assert rows["mean"][-2:] == ["27", f"{100 * sum(accuracy.values()) / 3:.1f}"]
    assert rows["mean of the trained"][-1] == f"{100 * (accuracy['de'] + accuracy['en']) / 2:.1f}"
    words = " ".join(" ".join(lines).split())
    assert "unigram: probe, stand-in" in words
    assert "stand-in for MultiNLI: not comparable with published figures" in words
    pattern = ["--test", files / "test.{}.tsv", "--languages", "de"]
    assert XnliReport.from_json(run(*command[:-2], *pattern, "--json").stdout).scores == report.scores[:1]


def test_vectors_are_cached_unless_no_cache(command, files):
    cached = command.index("--cache")
    assert run(*command[:cached], *command[cached + 2 :], "--no-cache").exit_code == 0
    assert not (files / "cache").exists()
    run(*command)
    assert list((files / "cache" / "embeddings").iterdir())
    with pytest.raises(ConfigError, match="--cache and --no-cache"):
        run(*command, "--no-cache")


def test_dropped_pairs_are_counted_on_stderr(command, files):
    with (files / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("a\tb\t-\n")
    assert "no_label 1" in run(*command).stderr


def test_finetuning_keeps_its_run_and_resumes(command, files):
    short = ["--protocol", "finetune", "--max-steps", 2, "--set", "evaluations=1", "--freeze", "embeddings"]
    command = [each for each in command if each not in ("--cache", files / "cache")]
    first = XnliReport.from_json(run(*command, *short, "--run", files / "run", "--json").stdout)
    assert (first.protocol, first.settings["freeze"]) == ("finetune", ["embeddings"])
    again = XnliReport.from_json(run(*command, *short, "--run", files / "run", "--resume", "--json").stdout)
    assert again.scores == first.scores
    with pytest.raises(ConfigError, match="--resume"):
        run(*command, *short, "--run", files / "run")
    with pytest.raises(ConfigError, match="--no-cache"):
        run(*command, *short, "--no-cache")


def test_output_is_not_replaced_without_force(command, tmp_path):
    path = tmp_path / "report.json"
    assert run(*command, "--json", "-o", path).stdout == path.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"report\.json.*\n.*--force"):
        run(*command, "-o", path)
    assert run(*command, "-o", path, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "prob"], "--protocol 'prob'.*\n.*'probe'"),
        (["--languages", "sw;en"], "--languages 'sw;en'"),
        (["--languages", "sw,sw"], "'sw,sw'"),
        (["--trained-languages", "fr"], "'fr'"),
        (["--test", "de=x.tsv"], "--test de"),
        (["--test", "sw="], "--test 'sw='"),
        (["--test", "sw=no.tsv"], r"no\.tsv"),
        (["--train", "no.tsv"], r"no\.tsv"),
        (["--dev", "no.tsv"], r"no\.tsv"),
        (["--max-steps", "3"], "'max_steps'"),
        (["--set", "strengths=[]"], "a probe: strengths"),
        (["--prompt", "", "--prompt-name", "query"], "prompt and prompt_name"),
        (["--run", "x"], "--protocol finetune"),
        (["--resume"], "--protocol finetune"),
    ],
)
def test_invalid_combinations_are_rejected(command, arguments, message):
    with pytest.raises(OtembedError, match=message):
        run(*command, *arguments)


@st.composite
def broken(draw):
    """A valid file with one thing wrong, or nothing: name and bytes."""
    name, text = draw(st.sampled_from([("x.tsv", tsv(12)), ("x.jsonl", jsonl(12)), ("x.tsv.gz", tsv(12))]))
    packed = name.endswith(".gz")
    data = bytearray(text.encode())
    kind = draw(st.sampled_from(["cut", "byte", "utf8", "label", "tab", "line", "empty", "packed"]))
    place = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        del data[place:]
    elif kind == "byte":
        data[place] = draw(st.integers(0, 255))
    elif kind == "utf8":
        data[place:place] = draw(st.sampled_from([b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xfe\xff"]))
    elif kind == "label":
        word = draw(st.sampled_from(["0", "2", "-", "", "entailmen", "CONTRADICTORY", "null", "1.0", "\\ud800"]))
        data = bytearray(text.replace("neutral", word, draw(st.integers(1, 3))).encode())
    elif kind == "tab":
        data[place:place] = b"\t" * draw(st.integers(1, 3))
    elif kind == "line":
        data[place:place] = draw(st.sampled_from([b"\n", b"\r\n", b"\x00", b"\xe2\x80\xa8", b'"', b"{"]))
    elif kind == "empty":
        data = bytearray(draw(st.sampled_from([b"", b"\n", b"\xef\xbb\xbf", b"premise\thypothesis\tlabel\n"])))
    raw = gzip.compress(bytes(data)) if packed else bytes(data)
    if kind == "packed" and packed:
        raw = raw[: draw(st.integers(0, len(raw) - 1))]
    return name, raw


def ended(*arguments):
    """The error that ``otembed`` would exit with 2 for, None where it exits with 0; anything else is a traceback."""
    try:
        assert run(*arguments).exit_code == 0
    except OtembedError as error:
        return error
    return None


@given(broken(), st.sampled_from(["--train", "--dev", "--test"]))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_files_are_evaluated_or_rejected_by_name(command, files, tiny_model, monkeypatch, file, flag):
    name, data = file
    monkeypatch.setattr("otembed.tasks.xnli.evaluate.load_model", lambda *_, **__: tiny_model)
    (files / name).write_bytes(data)
    output = files / "earlier.json"
    output.write_text("earlier")
    value = f"sw={files / name}" if flag == "--test" else files / name
    quick = ["--set", "strengths=[0.01]", "--set", "max_iter=9"]
    error = ended(*command, flag, value, *quick)
    assert error is None or error.hint
    if isinstance(error, DataError):
        assert str(files / name) in str(error)
        at_a_line = ("label ", "field", "not UTF-8", "not JSON", "a test pair")
        assert error.line is not None or not error.message.startswith(at_a_line)
    assert output.read_text() == "earlier"
