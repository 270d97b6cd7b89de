"""``otembed align``: what it reads, writes, draws and refuses."""

from __future__ import annotations

import json
import sys

import pytest
from otembed.cli.main import app
from typer.testing import CliRunner

import otembed
from otembed.errors import ConfigError, DataError, ModelError

SOURCES = ["the cat sat on the mat", "", "猫 睡 in the house"]
TARGETS = ["die Katze saß auf der Matte", "Hund", "Haus 猫 睡"]


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, ["align", *map(str, arguments)], catch_exceptions=False, input=stdin)


@pytest.fixture
def barred(tmp_path):
    path = tmp_path / "text"
    path.write_text("".join(f"{x} ||| {y}\n" for x, y in zip(SOURCES, TARGETS, strict=True)), encoding="utf-8")
    return path


@pytest.fixture
def model(tiny_model_path):
    return ["--model", str(tiny_model_path), "--device", "cpu"]


def expected(model, **settings):
    return otembed.align(SOURCES, TARGETS, model=otembed.load_model(model[1], device="cpu"), **settings)


def test_links_match_the_library(barred, model):
    result = run("--pairs", barred, *model, "--layer", 2)
    assert result.stdout.splitlines() == [each.to_pharaoh() for each in expected(model, layer=2)]
    assert result.stdout.splitlines()[1] == ""
    assert "3 pairs in" in result.stderr
    assert "pairs/s; layer 2, given" in result.stderr


def test_dash_reads_stdin_as_argument_and_as_pairs(barred, model):
    by_file = run("--pairs", barred, *model).stdout
    for arguments in (["-"], ["--pairs", "-"]):
        assert run(*arguments, *model, stdin=barred.read_bytes()).stdout == by_file


def test_pairs_of_other_formats_name_their_languages(tmp_path, barred, model):
    path = tmp_path / "text.tsv"
    path.write_text("".join(f"{x}\t{y}\n" for x, y in zip(SOURCES, TARGETS, strict=True)), encoding="utf-8")
    assert run("--pairs", f"en-de={path}", *model).stdout == run("--pairs", barred, *model).stdout


def test_settings_file_comes_before_assignments_and_options(barred, model, tmp_path):
    path = tmp_path / "align.yaml"
    written = CliRunner().invoke(app, ["config", "init", str(path), "--for", "align"], catch_exceptions=False)
    assert f"otembed align ... --config {path}" in written.stderr
    assert run("--pairs", barred, *model, "--config", path).stdout == run("--pairs", barred, *model).stdout
    path.write_text("layer: 1\nepsilon: 0.5\ndecoding: mutual\n")
    found = json.loads(
        run("--pairs", barred, *model, "--config", path, "--set", "epsilon=0.3", "--layer", 2, "--json").stdout
    )
    assert [found["settings"][name] for name in ("layer", "epsilon", "decoding")] == [2, 0.3, "mutual"]
    path.write_text("epsilom: 1\n")
    with pytest.raises(ConfigError, match=r"align.yaml and command line: unknown setting 'epsilom'"):
        run("--pairs", barred, *model, "--config", path)


def test_settings_reach_the_aligner(barred, model):
    options = ["--decoding", "mutual", "--layer", "-1", "--set", "epsilon=0.02", "--set", "relaxation=null"]
    found = run("--pairs", barred, *model, *options, "--probabilities", "--index-base", 1, "--limit", 1).stdout
    (first, *_) = expected(model, decoding="mutual", layer=3, epsilon=0.02, relaxation=None)
    one = run("--pairs", barred, *model, *options, "--limit", 1).stdout
    links = [tuple(map(int, link.split("-"))) for link in one.split()]
    assert [f"{i + 1}-{j + 1}" for i, j in links] == [link.split(":")[0] for link in found.split()]
    assert all(0 < float(link.split(":")[1]) <= 1 for link in found.split())
    assert first.source_words == tuple(SOURCES[0].split())


def test_links_are_at_least_the_threshold(barred, model):
    options = ["--decoding", "threshold", "--threshold", 0.25, "--json"]
    document = json.loads(run("--pairs", barred, *model, *options).stdout)
    assert (document["settings"]["decoding"], document["settings"]["threshold"]) == ("threshold", 0.25)
    assert all(link[2] >= 0.25 for pair in document["pairs"] for link in pair["links"])


def test_json_is_one_document_with_one_pair_per_line(barred, model):
    text = run("--pairs", barred, *model, "--json", "--index-base", 1).stdout
    document = json.loads(text)
    assert [json.loads(line.removesuffix(",")) for line in text.splitlines()[1:4]] == document["pairs"]
    assert document["pairs"] == [each.to_dict(index_base=1) for each in expected(model)]
    assert (document["kind"], document["layer"], document["layer_origin"]) == ("WordAlignments", 2, "default")
    assert document["unseen"] == 0


def test_tokenized_text_is_split_at_spaces_only(tmp_path, model):
    path = tmp_path / "text"
    path.write_text("猫睡 \u3000 在 ||| 猫睡 在\n", encoding="utf-8")
    pieces, words = (
        json.loads(run("--pairs", path, *model, *more, "--json").stdout)["pairs"][0]["source"]
        for more in ([], ["--tokenized"])
    )
    assert pieces == ["猫", "睡", "在"]
    assert words == ["猫睡", "\u3000", "在"]
    tokens = json.loads(run("--pairs", path, *model, "--unit", "token", "--tokenized", "--json").stdout)
    assert tokens["pairs"][0]["source"] == words


def test_truncated_words_are_counted(model):
    result = run(" ".join(["cat"] * 100), "cat", *model)
    assert "words without a link" in result.stderr


def test_output_is_not_replaced_without_force(barred, model, tmp_path):
    path = tmp_path / "new" / "links"
    assert run("--pairs", barred, *model, "-o", path).stdout == ""
    before = path.read_text()
    assert before == run("--pairs", barred, *model).stdout
    with pytest.raises(ConfigError, match=r"links.* already"):
        run("--pairs", barred, *model, "-o", path)
    with barred.open("a") as file:
        file.write("no bars\n")
    with pytest.raises(DataError, match=r"text:4: (.|\n)*source \|\|\| target"):
        run("--pairs", barred, *model, "-o", path, "--force")
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == ["links"]


def test_map_option_prints_the_matrix(model):
    plain = run(SOURCES[2], TARGETS[2], *model, "--set", "words=space")
    drawn = run(SOURCES[2], TARGETS[2], *model, "--set", "words=space", "--map")
    assert plain.stdout.count("\n") == 1
    lines = drawn.stdout.splitlines()
    assert lines[-1] == plain.stdout.strip()
    assert lines[-2] == "0 Haus  1 猫  2 睡"
    assert [line.split()[1] for line in lines[1:6]] == SOURCES[2].split()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_option_writes_the_matrix_to_a_file(model, tmp_path, suffix):
    pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")
    path = tmp_path / f"map.{suffix}"
    result = run("the cat", "die Katze", *model, "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    assert len(result.stdout.splitlines()) == 1
    with pytest.raises(ConfigError, match=rf"--plot .*map\.{suffix}.* already"):
        run("the cat", "die Katze", *model, "--plot", path)


def test_characters_without_a_glyph_are_reported(model, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")
    monkeypatch.setattr("otembed.results.plot.FONTS", ("DejaVu Sans",))
    assert "猫" in run("猫", "cat", *model, "--plot", tmp_path / "map.png").stderr
    assert "font" not in run("猫", "cat", *model, "--plot", tmp_path / "map.svg").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one"], "--pairs FILE"),
        (["one", "two", "--pairs", "x"], "--pairs FILE"),
        (["-", "--pairs", "x"], "--pairs FILE"),
        (["--layer", "2"], "--pairs FILE"),
        (["--pairs", "x", "--map"], "--map "),
        (["--pairs", "x", "--plot", "x.png"], "--plot "),
        (["a", "b", "--map", "--json"], "--map and --json"),
        (["a", "b", "--plot", "x.pdf"], r"x\.pdf"),
        (["a", "b", "--plot", "."], r"--plot \. .*folder"),
        (["a", "b", "--unit", "words"], r"--unit 'words'.*\n.*'word'"),
        (["a", "b", "--decoding", "grow"], r"--decoding 'grow'.*\n.*'grow-diag'"),
        (["a", "b", "--threshold", "2"], r"threshold.* = 2"),
        (
            ["a", "b", "--threshold", ".2", "--decoding", "mutual"],
            r"threshold = 0\.2",
        ),
        (["a", "b", "--layer", "middle"], "--layer 'middle'"),
        (["a", "b", "--set", "epsilon=0"], "epsilon = 0 .*relaxation"),
        (["a", "b", "--set", "epsilom=1"], "'epsilom'.*\n.*'epsilon'"),
        (["--pairs", "nowhere"], "nowhere: "),
        (["--pairs", "english=nowhere"], "'english'"),
        (["a", "b", "--model", "./nowhere"], r"\./nowhere"),
    ],
)
def test_unsupported_requests_are_rejected(arguments, message):
    with pytest.raises((ConfigError, DataError, ModelError), match=message):
        run(*arguments)


def test_plot_of_an_empty_side_is_rejected(model, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")
    with pytest.raises(ConfigError, match=r"map\.png.*words"):
        run("", "cat", *model, "--plot", tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


def test_plot_without_matplotlib_is_rejected(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"matplotlib\n.*otembed\[plots\]"):
        run("a", "b", "--plot", tmp_path / "map.png")


def test_bad_input_exits_with_2_and_no_traceback(model, tmp_path, ended):
    (tmp_path / "text").write_bytes(b"a ||| b\n\xff ||| b\n")
    code, _, stderr = ended("align", "--pairs", tmp_path / "text", *model)
    assert code == 2
    assert "text:2: not UTF-8" in stderr
    assert "Traceback" not in stderr
