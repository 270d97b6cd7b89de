"""The report of a run: its figures are those of the run's files, it loses no run, and a browser shows it."""

import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from otembed.cli.main import app
from rich.console import Console
from typer.testing import CliRunner

import otembed
from otembed.errors import ConfigError, DataError, ModelError
from otembed.results.format import percent, points
from otembed.tasks.word_alignment import text_word_retrieval
from otembed.training import RunFolder
from otembed.training.page import run_page, write_report
from otembed.training.preparation import load_material
from otembed.training.report import run_report
from otembed.training.result import TrainResult, WordFigures
from otembed.training.summary import train_summary
from otembed.training.views import ModelView, Views
from tests.browser import CHROMIUM, REASON, browser

NASTY = "</script><script>alert(1)</script><img src=x> & \"'"


class Text(HTMLParser):
    """The data of a page, its text and its tags."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.inside, self.data = [], "", "", ""
        self.feed(page)
        self.data = json.loads(self.data)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside = tag

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.data += data
        elif not self.inside:
            self.text += f" {data} "


def check(page):
    """Compare what a page shows with its data; return the data."""
    found = Text(page)
    data, text = found.data, " ".join(found.text.split())
    for each in [*data["retrieval"]["tasks"], *data["retrieval"]["means"]] if data["retrieval"] else ():
        assert all(percent(one["value"]) in text for one in each["figures"])
        gain = each["differences"][0]
        shown = " ".join((points(0, gain["value"]), f"[{points(0, gain['low'])}, {points(0, gain['high'])}]"))
        assert shown in text
    for view in (data["views"]["before"], data["views"]["after"]):
        for key, value in view["metrics"].items() if view else ():
            if key.endswith(("_mean_cosine", "_effective_rank")):
                assert (f"{value:.3f}" if key.endswith("cosine") else f"{value:.1f}") in text
    words = [view["words"] if view else {} for view in (data["views"]["before"], data["views"]["after"])]
    for pair in words[0].keys() & words[1].keys():
        figures = [percent(each[pair]["figures"]["centered_accuracy"]) for each in words]
        assert f"{pair} {words[0][pair]['links']:,} {figures[0]} {figures[1]}" in text
    for key in ("loss", "sentence", "alignment", "contrastive", "anchor"):
        line = [each[key] for each in data["curve"] if key in each]
        if len(line) > 1:
            assert f"{line[0]:.3g} → {line[-1]:.3g}" in text
    for each in data["settings"]:
        assert each["setting"] in text
    return data


def test_report_shows_what_the_files_of_the_run_say(trained):
    folder = RunFolder(Path(trained.run))
    page = folder.report.read_text(encoding="utf-8")
    data = check(page)
    assert data["retrieval"]["tasks"][0]["figures"][0]["value"] == pytest.approx(trained.before.scores[0].accuracy)
    assert data["retrieval"]["tasks"][0]["figures"][1]["value"] == pytest.approx(trained.after.scores[0].accuracy)
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [{**each, "seconds": 0} for each in data["curve"]] == [{**each, "seconds": 0} for each in records]
    evaluated = next(
        each for each in records if each["step"] == trained.best_step and "eval_en-de_accuracy" in each
    )
    for name, value in data["views"]["after"]["metrics"].items():
        assert evaluated[f"eval_{name}"] == pytest.approx(value)
    for view in (data["views"]["before"], data["views"]["after"]):
        assert view["reason"] is None
        for example in view["links"]["en-de"]:
            assert 4 <= len(example["source"]) <= 12
            assert len(example["probabilities"]) == len(example["source"])
    rows = [[each["row"] for each in data["views"][name]["links"]["en-de"]] for name in ("before", "after")]
    assert rows[0] == rows[1]
    changed = {each["setting"]: (each["value"], each["default"]) for each in data["settings"]}
    assert changed["optimization.max_steps"] == ("9", "null")
    assert changed["loss.alignment"] == ("on", "null")
    assert "seconds" not in json.dumps(data)
    assert "pair read held out trained on en-de 72 12 60" in " ".join(Text(page).text.split())


def test_same_files_give_the_same_page(trained, finished):
    stored = RunFolder(Path(trained.run)).report.read_bytes()
    assert RunFolder(finished).report.read_bytes() == stored
    write_report(finished)
    assert RunFolder(finished).report.read_bytes() == stored


def test_words_of_held_out_text_are_retrieved_before_and_after(trained, tiny_model_path):
    config = RunFolder.read_config(trained.run)
    held_out = load_material(config).held_out
    found = []
    for place in (tiny_model_path, trained.model):
        model = otembed.load_model(str(place), device="cpu", max_seq_length=config.model.max_seq_length)
        (each,) = text_word_retrieval(model, held_out)
        found.append(each)
    assert found[0].links == found[1].links > 0
    expected = WordFigures(("en-de",), found[0].links, *(each.centered_accuracy for each in found))
    assert trained.words == expected
    assert TrainResult.read(RunFolder(Path(trained.run)).results).words == expected
    console = Console(width=80, file=io.StringIO())
    console.print(train_summary(trained))
    lines = console.file.getvalue().splitlines()
    summary = lines[next(n for n, line in enumerate(lines) if line.startswith("words ")) :]
    assert {line[11] for line in summary} == {" "}, summary
    assert " " not in {line[12] for line in summary}, summary
    shown = " ".join(" ".join(summary).split())
    assert (
        f"{100 * expected.before:.1f} % before, {100 * expected.after:.1f} % after ({expected.links} words" in shown
    )
    # Runs of earlier versions, and damaged files, have no figures.
    assert Views().word_figures() is None
    empty = ModelView({}, {}, words={"en-de": {**found[0].to_dict(), "links": 0}})
    assert Views(empty, empty).word_figures() is None


def test_texts_of_a_run_are_escaped(trained):
    data = run_report(trained.run)
    data["name"] = data["model"] = NASTY
    data["settings"].append({"setting": NASTY, "value": NASTY, "default": NASTY})
    data["command"] = ["otembed", NASTY]
    data["pairs"] = {NASTY: {**data["pairs"]["en-de"], "dropped": {NASTY: 1}}}
    data["views"]["before"]["links"] = {NASTY: data["views"]["before"]["links"]["en-de"]}
    data["views"]["before"]["links"][NASTY][0]["source"][0] = NASTY
    tags = Text(run_page(data)).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert "img" not in {tag for tag, _ in tags}


def test_a_failure_to_render_loses_no_run(configure, monkeypatch, caplog):
    def fail(*args):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("otembed.training.recipe.write_report", fail)
    with caplog.at_level(logging.WARNING, logger="otembed"):
        result = otembed.train(configure(optimization={"max_steps": 1}))
    folder = RunFolder(Path(result.run))
    assert folder.finished
    assert not folder.report.exists()
    assert "planted" in caplog.text
    ended = CliRunner().invoke(app, ["report", result.run], catch_exceptions=False)
    assert (ended.exit_code, ended.stdout.strip()) == (0, str(folder.report))
    check(folder.report.read_text(encoding="utf-8"))


def test_runs_without_words_or_held_out_pairs_have_a_report(configure, monkeypatch):
    def refuse(*args, **options):
        raise ModelError("no hidden layers here")

    monkeypatch.setattr("otembed.words.examples.linked_examples", refuse)
    result = otembed.train(configure(optimization={"max_steps": 2}))
    page = RunFolder(Path(result.run)).report.read_text(encoding="utf-8")
    assert "no hidden layers here" in Text(page).text
    assert check(page)["views"]["after"]["links"] == {}
    result = otembed.train(configure(optimization={"max_steps": 2}, held_out={"size": 0}), overwrite=True)
    data = check(RunFolder(Path(result.run)).report.read_text(encoding="utf-8"))
    assert data["retrieval"] is data["views"]["before"] is data["views"]["after"] is None


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 1, "kind": "Views", "before": 3}'])
def test_damaged_views_leave_the_rest_of_the_report(finished, content):
    RunFolder(finished).views.write_text(content)
    assert Views.known(RunFolder(finished).views) == Views()
    write_report(finished)
    assert check(RunFolder(finished).report.read_text(encoding="utf-8"))["retrieval"]


def test_report_command(finished, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)

    found = run(finished, "-o", tmp_path / "x.html", "--json")
    assert json.loads(found.stdout) == run_report(finished)
    assert (tmp_path / "x.html").read_bytes() == RunFolder(finished).report.read_bytes()
    with pytest.raises(ConfigError, match="--force"):
        run(finished, "-o", tmp_path / "x.html")
    assert run(finished, "-o", tmp_path / "x.html", "--force").exit_code == 0
    with pytest.raises(ConfigError, match="not a run folder"):
        run(tmp_path)
    RunFolder(finished).results.unlink()
    with pytest.raises(ConfigError, match="--resume"):
        run(finished)
    RunFolder(finished).results.write_text("{}")
    with pytest.raises(DataError, match="TrainResult"):
        run(finished)


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_browser_shows_the_report_at_every_width(trained, tmp_path):
    place = RunFolder(Path(trained.run)).report
    with browser(tmp_path / "profile") as page:
        for width, dark in ((390, False), (1440, False), (390, True), (1440, True)):
            page.open(place, width=width, dark=dark)
            assert page.overflow() == []
            background = page.value("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", background)[0]) < 128) == dark
            check(page.value("document.documentElement.outerHTML"))
        assert page.errors == []
