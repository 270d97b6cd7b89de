"""``otembed eval xquad``: what is printed and written, and what is refused before anything is changed."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otembed.cli.evaluate import app
from typer.testing import CliRunner

import otembed.models
from otembed.errors import ConfigError, DataError, OtembedError
from otembed.tasks.xquad import SpanReport
from otembed.tasks.xquad.report import QuestionReport

SPAN = ["--set", "max_length=48", "--set", "stride=8", "--set", "max_question_length=16", "--max-steps", "2"]


@pytest.fixture
def common(tiny_model_path, xquad_files):
    data = [part for code, path in xquad_files.items() for part in ("--data", f"{code}={path}")]
    return ["xquad", str(tiny_model_path), *data, "--device", "cpu"]


@pytest.fixture
def command(common, tmp_path):
    return [*common, "--cache", str(tmp_path / "cache")]


@pytest.fixture
def span(common, xquad_files):
    return [*common, "--protocol", "span", "--train", str(xquad_files["en"]), *SPAN]


def run(arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_tables_name_languages_prompts_and_scoring(command):
    lines = run(command).stdout.splitlines()
    assert sum(line.split()[:3] == ["question", "en", "de"] for line in lines) == 2
    assert any(line.split() == ["question", "mAP", "mAP@20", "in", "en", "in", "de"] for line in lines)
    text = " ".join(lines)
    assert "prompt 'query: '" in text
    assert "answers in one pool of 16 sentences" in text
    assert "Scoring took" in text


def test_json_output_and_plot_contain_the_report(command, tmp_path):
    output, plot = tmp_path / "report.json", tmp_path / "maps.svg"
    result = run([*command, "--json", "-o", str(output), "--plot", str(plot), "--task", "answers", "--limit", "2"])
    report = QuestionReport.from_json(result.stdout)
    assert output.read_text(encoding="utf-8") == result.stdout
    assert [one.questions for one in report.answers] == [2, 2]
    assert report.data == {"en": "xquad.en.json", "de": "xquad.de.json"}
    assert "language of the top 20" in plot.read_text(encoding="utf-8")


def test_stand_in_training_data_is_marked_in_every_output(span, tmp_path):
    output = tmp_path / "report.json"
    result = run([*span, "-o", str(output), "--predictions", str(tmp_path / "answers")])
    assert "spans, trained on stand-in: xquad.en.json" in result.stdout.replace("\n", " ")
    assert "stand-in for SQuAD" in result.stdout.replace("\n", " ")
    report = SpanReport.from_json(output.read_text(encoding="utf-8"))
    assert report.to_dict()["stand_in"] is True
    assert json.loads((tmp_path / "answers" / "de.json").read_text(encoding="utf-8")).keys() == {
        "q0",
        "q1",
        "q2",
        "q3",
    }
    with pytest.raises(ConfigError, match=r"--predictions .*en\.json.*\n.*--force"):
        run([*span, "--predictions", str(tmp_path / "answers")])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--protocol", "spans"], "--protocol 'spans'.*\nDid you mean 'span'"),
        (["--max-steps", "3"], "--max-steps .*--protocol retrieval"),
        (["--protocol", "span", "--plot", "x.png"], "--plot .*--protocol span"),
        (["--protocol", "span"], "--train FILE"),
        (["--protocol", "span", "--train", "x", "--resume"], "--run FOLDER"),
        (["--protocol", "span", "--train", "x", "--no-cache"], "--no-cache .*--protocol span"),
        (["--cache", "c", "--no-cache"], "--cache and --no-cache"),
        (["--protocol", "span", "--train", "x", "--set", "epochs=1"], "num_train_epochs"),
        (["--data", "en=other.json"], "--data .*en"),
        (["--plot", "x.pdf"], "x.pdf"),
        (["--task", "answer"], "'answer'.*\nDid you mean 'answers'"),
    ],
)
def test_flags_without_effect_are_rejected(common, more, message):
    with pytest.raises(ConfigError, match=message):
        run([*common, *more])


def test_vectors_are_cached_and_reused_unless_no_cache(command, common, tmp_path):
    kept = tmp_path / "cache" / "embeddings"
    first = run([*command, "--json"])

    def written():
        return {each: each.stat().st_mtime_ns for each in kept.rglob("*") if each.is_file()}

    times = written()
    again = run([*command, "--json"])
    assert times
    assert written() == times
    without = run([*common, "--no-cache", "--json"])
    reports = [QuestionReport.from_json(each.stdout) for each in (first, again, without)]
    assert [each.scores for each in reports[1:]] == [reports[0].scores] * 2
    assert [each.answers for each in reports[1:]] == [reports[0].answers] * 2


def test_moved_answers_are_reported_on_stderr(command, xquad_files):
    text = xquad_files["de"].read_text(encoding="utf-8")
    xquad_files["de"].write_text(text.replace('"answer_start": 3', '"answer_start": 30', 1), encoding="utf-8")
    result = run([*command, "--task", "paragraph"])
    assert f"{xquad_files['de']}: 1 answers moved" in result.stderr.replace("\n", "")


@pytest.mark.slow
@settings(
    max_examples=35,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_malformed_files_are_evaluated_or_rejected_without_losing_output(
    monkeypatch, tiny_model, command, xquad_files, tmp_path, data
):
    """Exit 0 or 2 for any damage, never a traceback; an earlier report stays when the run fails."""
    path, output = xquad_files["de"], tmp_path / "report.json"
    if not output.exists():
        output.with_suffix(".whole").write_bytes(path.read_bytes())
        monkeypatch.setattr(otembed.models, "load_model", lambda *_, **__: tiny_model)
    whole = output.with_suffix(".whole").read_bytes()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(begin + 60, len(whole))))
    new = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"null", b"[]", b'"', b"\xff", b"{"])))
    path.write_bytes(whole[:begin] + new + whole[end:])
    output.write_text("earlier", encoding="utf-8")
    try:
        run([*command, "--limit", "1", "--task", "paragraph", "-o", str(output), "--force"])
    except OtembedError as error:
        refused = error
    else:
        assert QuestionReport.from_json(output.read_text(encoding="utf-8")).scores
        return
    assert isinstance(refused, DataError)
    assert str(path) in str(refused)
    assert output.read_text(encoding="utf-8") == "earlier"
