"""``otembed mine``, ``embed`` and ``score`` in this process, and broken inputs from end to end."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otembed.cli.main import app
from otembed.cli.options import language_pair, number_or_none
from otembed.cli.stages import StageProgress
from typer.testing import CliRunner

from otembed.data import read_pairs
from otembed.errors import ConfigError, DataError, OtembedError
from otembed.mining.mine import mine_bitext
from otembed.mining.mined import MiningReport
from otembed.models.center import center

SOURCE = ["the cat sat on the mat", "the dog slept in the house", "the cat", "", "a mat", "the cat", "in the house"]
TARGET = ["a mat", "in the house", "the cat sat on the mat", "the dog slept in the house", "no"]
FOUND = [(1, 3), (2, 4), (5, 1), (7, 2)]


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    for name, lines in (("a.txt", SOURCE), ("b.txt", TARGET)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


@pytest.fixture
def options(tiny_model_path: Path, tmp_path: Path) -> list[str]:
    return ["--model", str(tiny_model_path), "--device", "cpu", "--cache", str(tmp_path / "cache")]


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def test_pairs_go_to_stdout_as_tsv_and_messages_to_stderr(places: list[str], options: list[str]) -> None:
    result = run("mine", *places, *options, "--set", "min_cosine=0.999", "--threshold", "none")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert {tuple(row[1:]) for row in rows} == {(SOURCE[a - 1], TARGET[b - 1]) for a, b in FOUND}
    assert "a.txt: 7 read, 5 used, dropped: empty 1, repeated 1" in result.stderr
    assert f"{len(FOUND)} pairs of " in result.stderr
    assert "no threshold" in result.stderr


def test_languages_choose_the_routes_of_a_model(
    places: list[str], options: list[str], tmp_path: Path, tiny_model: Any
) -> None:
    """After ``mine --languages``, nothing is left to embed for the same languages, and all lines for others."""
    center(tiny_model, np.full(32, 0.1), {"en": np.linspace(0, 0.1, 32), "sw": np.linspace(0.1, 0, 32)})
    tiny_model.save(str(tmp_path / "centered"), create_model_card=False)
    options[1] = str(tmp_path / "centered")
    assert run("mine", *places, *options, "--languages", "en-sw").exit_code == 0
    plan = ["mine", *places, *options, "--dry-run", "--json"]
    left = [
        json.loads(run(*plan, *more).stdout)["lines_to_embed"]
        for more in (["--languages", "en-sw"], ["--set", "languages=[en, sw]"], ["--languages", "sw-en"], [])
    ]
    assert left == [0, 0, 10, 10]
    for language in ("sw", None):
        named = [] if language is None else ["--language", language]
        written = tmp_path / f"{language}.npy"
        assert run("embed", places[0], *options, *named, "-o", written).exit_code == 0
        expected = tiny_model.encode(SOURCE[:3], task=language, normalize_embeddings=True)
        np.testing.assert_allclose(np.load(written)[:3], expected, atol=2e-6)
    with pytest.raises(ConfigError, match="--languages"):
        run("mine", *places, *options, "--languages", "sw")


def test_default_threshold_is_reported_with_its_reliability(places: list[str], options: list[str]) -> None:
    assert "unreliable" in run("mine", *places, *options).stderr
    centered = run("mine", *places, *options, "--set", "center=true").stderr
    assert "default threshold" in centered
    assert "unreliable" not in centered
    assert "default threshold" not in run("mine", *places, *options, "--threshold", "0.05").stderr


def test_page_is_checked_as_other_outputs_are(places: list[str], options: list[str], tmp_path: Path) -> None:
    page, pairs = tmp_path / "page.html", tmp_path / "pairs.tsv"
    plan = [*places, *options, "--dry-run"]
    assert run("mine", *plan, "--html", page).exit_code == 0
    assert not page.exists()
    assert run("mine", *places, *options, "-o", pairs, "--html", page, "--threshold", "none").exit_code == 0
    data = json.loads(page.read_text(encoding="utf-8").split('id="mining">')[1].split("</script>")[0])
    assert data["kept"] == len(pairs.read_text().splitlines())
    for refused, hint in ((page, "--force"), (tmp_path, "folder"), (places[0], "SOURCE")):
        for dry in ([], ["--dry-run"]):
            with pytest.raises(ConfigError, match=hint):
                run("mine", *places, *options, "--html", refused, *dry)
    with pytest.raises(ConfigError, match="--output"):
        run("mine", *places, *options, "--html", pairs, "-o", pairs, "--force")
    with pytest.raises(ConfigError, match="--force"):
        run("mine", *places, *options, "--set", f"html={page}")
    assert run("mine", *places, *options, "--html", page, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("command", "outputs", "message"),
    [
        ("embed {a}", "-o {new}.npy --offset own --write-offset {new}.npy", "--write-offset .* is also --output"),
        ("embed {a}", "-o {mean} --offset {mean}", "--output .* is also --offset"),
        ("mine {a}?text=0 {b}", "--html {a}", "--html .* is also SOURCE"),
        ("mine {a} {b}", "-o {b}", "--output .* is also TARGET"),
        ("mine {a} {b} --threshold auto --calibrate de-en={dev}", "--html {dev}", "--html .* is also --calibrate"),
        ("mine {a} {b} --config {yaml}", "--html {yaml}", "--html .* is also --config"),
        ("mine {a} {b} --source-vectors {mean}", "--set html={mean}", "--html .* is also --source-vectors"),
        ("mine {a} {b}", "-o {new}.tsv --html {folder}/../new.tsv", "--html .* is also --output"),
        ("score de-en={dev}?source=0&target=1", "-o {dev}", "--output .* is also PAIRS"),
        ("negatives de-en={dev}", "-o {dev}", "--output .* is also PAIRS"),
        ("eval mining {a} {b} --gold {dev}", "-o {dev}", "--output .* is also --gold"),
        ("eval mining {a} {b} --gold {dev} --train {a} {b} {yaml}", "--plot {yaml}", "--plot .* is also --train"),
        ("documents align {a} {b}", "-o {b}", "--output .* is also TARGET"),
        ("documents mine {folder} {folder}", "--html {folder}/one", "--html .* is also SOURCES"),
        ("documents match {folder} {folder} --calibrate {dev}", "-o {dev}", "--output .* is also --calibrate"),
        ("align --pairs de-en={dev}", "-o {dev}", "--output .* is also --pairs"),
        ("eval retrieval m --pairs de-en={dev}?source=0&target=1", "-o {dev}", "--output .* is also --pairs"),
        ("eval alignment m --gold x={a},{b}", "-o {b}", "--output .* is also --gold"),
        ("eval documents m --gold x={a},{b},{dev}", "-o {dev}", "--output .* is also --gold"),
        ("eval tagging m --train {a} --test de={dev}", "-o {a}", "--output .* is also --train"),
        (
            "eval xnli m --train {a} --test {folder}/../{{}}.tsv --languages dev",
            "-o {dev}",
            "--output .* is also --test",
        ),
    ],
)
def test_no_output_replaces_another_file_of_the_command(
    tmp_path: Path, command: str, outputs: str, message: str
) -> None:
    """Even with --force, and whatever the query of the input or the spelling of the path."""
    names = {"a": "a.tsv", "b": "b.tsv", "dev": "dev.tsv", "yaml": "settings.yaml", "mean": "mean.npy"}
    files = {key: tmp_path / name for key, name in names.items()}
    (tmp_path / "folder").mkdir()
    files |= {"folder": tmp_path / "folder", "new": tmp_path / "new", "one": tmp_path / "folder" / "one"}
    for key in ("a", "b", "dev", "one"):
        files[key].write_text("the cat\tdie Katze\n", encoding="utf-8")
    files["yaml"].write_text("k: 2\n", encoding="utf-8")
    np.save(files["mean"], np.ones((1, 32), np.float32))
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    arguments = [each.format(**files) for each in f"{command} {outputs}".split()]
    with pytest.raises(ConfigError, match=message):
        run(*arguments, "--force")
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


@pytest.mark.parametrize(
    "command",
    [
        "embed {a} -o {own}.npy --model {model}",
        "mine {a} {a} -o {own}.tsv --model {model}",
        "mine {a} {a} --html {link}.tsv --model {model}",
        "score de-en={a} -o {own}.tsv --model {model}",
        "negatives de-en={a} -o {own}.tsv --model {model}",
        "documents align {a} {a} -o {own}.tsv --model {model}",
        "documents match {a} {a} -o {own}.tsv --model {model}",
        "documents mine {a} {a} -o {own}.tsv --model {model}",
        "eval mining {a} {a} --gold {a} -o {own}.tsv --model {model}",
        "eval retrieval {model} --pairs de-en={a} -o {own}.tsv",
        "eval alignment {model} --gold x={a},{a} -o {own}.tsv",
        "eval documents {model} --gold x={a},{a},{a} -o {own}.tsv",
        "eval tagging {model} --train {a} --test de={a} -o {own}.tsv",
        "align --pairs de-en={a} -o {own}.tsv --model {model}",
    ],
)
def test_no_output_replaces_a_file_of_the_model(tmp_path: Path, command: str) -> None:
    """Nor one that a model folder links to, as in the cache of the hub."""
    model, own, link = tmp_path / "model", tmp_path / "model" / "own", tmp_path / "model" / "link"
    model.mkdir()
    for file in (own.with_suffix(".npy"), own.with_suffix(".tsv"), tmp_path / "blob", tmp_path / "a.tsv"):
        file.write_text("the cat\tdie Katze\n", encoding="utf-8")
    link.with_suffix(".tsv").symlink_to(tmp_path / "blob")
    with pytest.raises(ConfigError, match="is a file of the model"):
        run(*command.format(a=tmp_path / "a.tsv", model=model, own=own, link=link).split(), "--force")


def test_tmx_of_vectors_is_rejected_before_the_search(
    places: list[str], options: list[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", np.eye(5, dtype=np.float32))
    output = tmp_path / "pairs.tmx"
    for sides in ((tmp_path / "v.npy", tmp_path / "v.npy"), (places[0], tmp_path / "v.npy")):
        with pytest.raises(ConfigError, match="TMX requires texts"):
            run("mine", *sides, "--languages", "sw-en", "-o", output)
    eye = np.eye(3, dtype=np.float32)
    with pytest.raises(ConfigError, match="TMX requires texts"):
        mine_bitext(eye, eye, k=1, threshold=None).write(output, languages=("sw", "en"))
    assert not output.exists()
    vectors = ["--source-vectors", tmp_path / "v.npy", "--target-vectors", tmp_path / "v.npy"]
    flags = ["--languages", "sw-en", "--threshold", "none", "-o", output, "--cache", tmp_path / "cache"]
    assert run("mine", places[1], places[1], *vectors, *flags).exit_code == 0
    assert "<seg>the cat sat on the mat</seg>" in output.read_text(encoding="utf-8")


def test_settings_merge_file_set_and_options(places: list[str], options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mining.yaml"
    file.write_text("k: 2\nmargin: ratio\nthreshold: null\n", encoding="utf-8")
    flags = ["--config", file, "-o", tmp_path / "x.tsv", "--json"]
    report = json.loads(run("mine", *places, *options, *flags, "--set", "k=3").stdout)
    assert (report["k"], report["margin"], report["threshold"]) == (3, "ratio", None)
    report = json.loads(run("mine", *places, *options, *flags, "--margin", "absolute", "--force").stdout)
    assert (report["k"], report["margin"]) == (2, "absolute")
    file.write_text("kk: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mining\.yaml.*'kk'"):
        run("mine", *places, *options, "--config", file)


@pytest.mark.parametrize(
    ("flag", "setting"), [("--min-cosine", "min_cosine"), ("--no-center", "center"), ("--k=3", "k")]
)
def test_setting_without_an_option_is_pointed_to_set(places: list[str], flag: str, setting: str) -> None:
    for command in (["mine"], ["eval", "mining"]):
        with pytest.raises(ConfigError, match=f"--set {setting}=VALUE"):
            run(*command, *places, flag)
    result = CliRunner().invoke(app, ["mine", *places, "--nonsense"])
    assert (result.exit_code, isinstance(result.exception, OtembedError)) == (2, False)


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("embed {0} -o {out}.npy", "html=page.html"),
        ("embed {0} -o {out}.npy", "source_language=sw"),
        ("embed {0} -o {out}.npy", "rescore=ot"),
        ("embed {0} -o {out}.npy", "threshold=0.5"),
        ("embed {0} -o {out}.npy", "languages=[sw, en]"),
        ("score en-de={0},{1}", "html=page.html"),
        ("score en-de={0},{1}", "vector_dimension=8"),
        ("eval mining {0} {1} --gold {0}", "html=page.html"),
    ],
)
def test_setting_without_effect_is_rejected_and_not_suggested(
    places: list[str], tmp_path: Path, command: str, setting: str
) -> None:
    arguments = [each.format(*places, out=tmp_path / "out") for each in command.split()]
    name = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{name} = .* no effect in otembed {arguments[0]}"):
        run(*arguments, "--set", setting)
    result = CliRunner().invoke(app, [*arguments, f"--{name.replace('_', '-')}", "1"])
    assert (result.exit_code, isinstance(result.exception, OtembedError)) == (2, False)
    assert not (tmp_path / "out.npy").exists()


def test_lines_of_other_languages_are_dropped_and_counted(
    places: list[str], options: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("py3langid")
    with Path(places[0]).open("a", encoding="utf-8") as file:
        file.write("Der Hund hat die ganze Nacht in unserem Haus geschlafen.\n42\n")
    found = run("mine", *places, *options, "--threshold", "none", "--set", "source_language=en")
    assert "a.txt: 9 read, 6 used, dropped: empty 1, other_language 1, repeated 1" in found.stderr
    assert "b.txt: 5 read, 5 used\n" in found.stderr
    assert "Hund" not in found.stdout
    flags = ["--set", "source_language=de", "--set", "target_language=en", "--dry-run", "--json"]
    plan = json.loads(run("mine", *places, *options, *flags).stdout)
    assert plan["source"]["dropped"]["other_language"] >= 3
    assert "other_language" not in plan["target"]["dropped"]


def test_calibrated_threshold_reports_expected_figures(options: list[str], tmp_path: Path) -> None:
    lines = [f"{number} the cat {number % 7} on {number % 5}" for number in range(200)]
    turned = [f"{line} the" for line in lines]
    for name, rows in (("a", lines[:100]), ("b", turned[30:60] + turned[100:140])):
        (tmp_path / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    known = [*zip(lines[140:], turned[140:], strict=True), (lines[0], "x")]
    (tmp_path / "dev.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in known), encoding="utf-8")
    flags = [tmp_path / "a", tmp_path / "b", *options, "--threshold", "auto", "--calibrate"]
    output = tmp_path / "pairs.tsv"
    result = run("mine", *flags, f"en-de={tmp_path / 'dev.tsv'}", "-o", output, "--json")
    chosen = json.loads(result.stdout)["calibration"]
    pairs = [line.split("\t") for line in output.read_text().splitlines()]
    assert len(pairs) == chosen["found"]
    assert {pair[1] for pair in pairs} <= set(lines[:100])
    for figure in (
        f"threshold {chosen['threshold']:.5f}",
        "60 planted pairs, in collection 1",
        f"precision {chosen['precision']:.3f} ± {chosen['precision_error']:.3f}",
        f"F1 {chosen['f1']:.3f} ± {chosen['f1_error']:.3f}; {len(pairs):,} pairs",
        f"{chosen['translations']:,.0f} ± ",
    ):
        assert figure in result.stderr
    plan = json.loads(run("mine", *flags, f"en-de={tmp_path / 'dev.tsv'}", "--dry-run", "--json").stdout)
    assert plan["lines_to_embed"] == 0
    precise = run("mine", *flags, f"en-de={tmp_path / 'dev.tsv'}", "--set", "min_precision=0.6")
    assert "expected precision of 0.6" in precise.stderr


@pytest.mark.parametrize(
    "flags",
    [["--languages", "zh_Hant-en"], *(["--set", f"languages=[{code}, en]"] for code in ("zh-Hant", "zh_Hant"))],
)
def test_languages_with_a_script_are_accepted(
    places: list[str], options: list[str], tmp_path: Path, flags: list[str]
) -> None:
    run("mine", *places, *options, *flags, "-o", tmp_path / "pairs.tmx", "--threshold", "none")
    assert 'srclang="zh-Hant"' in (tmp_path / "pairs.tmx").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="languages: 'chinese' is not"):
        run("mine", *places, *options, "--set", "languages=[chinese, en]")


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet", ".tmx"])
def test_output_format_follows_the_suffix(
    places: list[str], options: list[str], tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / "new" / f"pairs{suffix}"
    result = run("mine", *places, *options, "-o", output, "--json", "--languages", "en-de")
    report = MiningReport.from_json(result.stdout)
    assert (report.margin, report.k) == ("distance", 4)
    assert output.stat().st_size > 0
    with pytest.raises(ConfigError, match="--force"):
        run("mine", *places, *options, "-o", output, "--languages", "en-de")


def test_stdin_dry_run_and_vector_files(places: list[str], options: list[str], tmp_path: Path) -> None:
    plan = json.loads(run("mine", *places, *options, "--dry-run", "--json", "--set", "memory_gb=1").stdout)
    assert (plan["lines_to_embed"], plan["tiles"], plan["dimension"]) == (10, 1, 32)
    assert "to embed: 10 lines, 32 dimensions" in run("mine", *places, *options, "--dry-run").stdout
    assert not (tmp_path / "cache").exists()
    flags = ["--threshold", "none", "-o"]
    run("mine", *places, *options, *flags, tmp_path / "text.tsv")
    text = "\n".join(SOURCE) + "\n"
    result = CliRunner().invoke(app, ["mine", "-", places[1], *options, "--threshold", "none"], input=text)
    assert result.stdout == (tmp_path / "text.tsv").read_text()
    for place, name in zip(places, ("a.NPY", "b.f32"), strict=True):
        assert "rows of 32 float32" in run("embed", place, "-o", tmp_path / name, *options).stderr
    alone = run("mine", *[tmp_path / "a.NPY"] * 2, "--threshold", "none").stdout
    assert {tuple(line.split("\t")[1:]) for line in alone.splitlines()} >= {("1", "1"), ("2", "2")}
    beside = ["--source-vectors", tmp_path / "a.NPY", "--target-vectors", tmp_path / "b.f32"]
    beside += ["--set", "vector_dimension=32"]
    run("mine", *places, *beside, "--cache", tmp_path / "other", *flags, tmp_path / "vectors.tsv")
    assert (tmp_path / "vectors.tsv").read_bytes() == (tmp_path / "text.tsv").read_bytes()


def test_embed_subtracts_an_offset(places: list[str], options: list[str], tmp_path: Path) -> None:
    run("embed", places[0], "-o", tmp_path / "plain.npy", *options)
    flags = ["--offset", "own", "--write-offset", tmp_path / "mean.npy"]
    told = run("embed", places[0], "-o", tmp_path / "own.npy", *options, *flags).stderr
    plain, own, mean = (np.load(tmp_path / f"{name}.npy") for name in ("plain", "own", "mean"))
    filled = np.abs(plain).sum(1) > 0
    distinct = np.unique(plain[filled], axis=0)
    assert f"the mean of {len(distinct)} distinct lines" in told
    np.testing.assert_allclose(mean[0], distinct.mean(0), atol=1e-6)
    expected = plain[filled] - mean
    np.testing.assert_allclose(own[filled], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert not own[~filled].any()
    run("embed", places[0], "-o", tmp_path / "file.npy", *options, "--offset", tmp_path / "mean.npy")
    np.testing.assert_allclose(np.load(tmp_path / "file.npy"), own, atol=1e-6)
    with pytest.raises(ConfigError, match="--force"):
        run("embed", places[0], "-o", tmp_path / "again.npy", *options, *flags)
    short = [*options[:-1], tmp_path / "empty", "--set", "truncate_dim=8", "--offset", tmp_path / "mean.npy"]
    with pytest.raises(DataError, match=r"the offset has 32 dimensions, .* have 8"):
        run("embed", places[0], "-o", tmp_path / "again.npy", *short)
    assert not (tmp_path / "empty").exists()


def test_rescore_option_compares_words(places: list[str], options: list[str], tmp_path: Path) -> None:
    flags = [*places, *options, "--rescore", "ot", "--threshold", "none"]
    plan = run("mine", *flags, "--dry-run").stdout
    assert re.search(r"words: 37; 10 lines .* 40 pairs", plan)
    assert not (tmp_path / "cache").exists()
    result = run("mine", *flags, "--set", "rescore_layer=1", "--set", "rescore_epsilon=0", "-o", tmp_path / "x.tsv",
                 "--json")  # fmt: skip
    assert MiningReport.from_json(result.stdout).rescore == "ot"
    (tmp_path / "gold").write_text("".join(f"{a}\t{b}\n" for a, b in FOUND))
    scores = run("eval", "mining", *flags, "--gold", tmp_path / "gold", "--json").stdout
    assert json.loads(scores)["best_f1"] == 1.0
    bitext = tmp_path / "x.tsv"
    bitext.write_text("".join(f"{line}\t{line}\n" for line in SOURCE if line))
    scored = [run("score", f"en-de={bitext}", *options, "--rescore", each).stdout for each in ("ot", "none")]
    assert scored[0] != scored[1]


class Here:
    """A remote executor that does its tasks in this process."""

    workers = 1
    remote = True

    def __init__(self) -> None:
        self.done: list[str] = []

    def run(self, work: Any, tasks: Any, advance: Any = None) -> Iterator[Any]:
        perform = work.open(1)
        for task in tasks:
            self.done.append(type(task).__name__)
            yield perform(task)


def test_embed_and_mine_use_the_engine(
    places: list[str], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run("embed", places[0], "-o", tmp_path / "a.npy", *options)
    run("mine", *places, *options, "--threshold", "none", "-o", tmp_path / "a.tsv")
    here, settings = Here(), []

    @contextmanager
    def open_executor(config: Any) -> Iterator[Here]:
        settings.append((config.engine, config.ray_address, config.workers))
        yield here

    monkeypatch.setattr("otembed.runtime.executors.open_executor", open_executor)
    monkeypatch.setattr("otembed.mining.mine.open_executor", open_executor)
    flags = [*options[:-1], tmp_path / "other", "--engine", "ray", "--set", "ray_address=head:1", "--workers", "3"]
    run("embed", places[0], "-o", tmp_path / "b.npy", *flags)
    assert here.done == ["EmbedTask"]
    run("mine", *places, *flags, "--threshold", "none", "-o", tmp_path / "b.tsv")
    torch.set_num_threads(before)
    assert here.done == ["EmbedTask", "EmbedTask", "SearchTask"]
    assert settings == [("ray", "head:1", 3)] * 2
    for suffix in (".npy", ".tsv"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_score_keeps_order_and_filters(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in [*zip(SOURCE, SOURCE, strict=True), ("the cat", "no")]))
    with pytest.raises(ConfigError, match="auto"):
        run("score", f"en-de={path}", *options, "--threshold", "auto")
    result = run("score", f"en-de={path}", *options, "--margin", "ratio")
    texts = [line for line in SOURCE if line]
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == [*texts, "the cat"]
    assert "8 pairs, 1 without a score; ratio margin: mean " in result.stderr
    scores = [float(line.split("\t")[0]) for line in result.stdout.splitlines()]
    kept = run("score", f"en-de={path}", *options, "--margin", "ratio", "--threshold", str(scores[0]))
    assert [line.split("\t")[1] for line in kept.stdout.splitlines()][-1] != "no"
    assert f"{len(kept.stdout.splitlines())} at " in kept.stderr
    output = tmp_path / "y.jsonl"
    report = json.loads(run("score", f"en-de={path}", *options, "-o", output, "--json").stdout)
    assert (report["pairs"], report["unusable"]) == (8, 1)
    assert len(output.read_text().splitlines()) == 7


def test_written_pairs_are_input_once_their_columns_are_chosen(
    places: list[str], options: list[str], tmp_path: Path
) -> None:
    mined, scored = tmp_path / "mined.tsv", tmp_path / "scored.tsv"
    run("mine", *places, *options, "--threshold", "none", "--set", "min_cosine=0.999", "-o", mined)
    with pytest.raises(DataError) as caught:
        run("score", f"en-de={mined}", *options, "-o", scored)
    assert (caught.value.path, caught.value.line) == (str(mined), 1)
    assert "?source=1&target=2" in caught.value.hint
    run("score", f"en-de={mined}?source=1&target=2", *options, "-o", scored)
    for path in (mined, scored):
        with pytest.raises(DataError):
            list(read_pairs(f"en-de={path}"))
        found = {row[:2] for row in read_pairs(f"en-de={path}?source=1&target=2")}
        assert found == {(SOURCE[a - 1], TARGET[b - 1]) for a, b in FOUND}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--json"], "--output"),
        (["-o", "x.doc"], "'.doc'"),
        (["-o", "x.tmx"], "--languages"),
        (["--languages", "english"], "'english'"),
        (["--threshold", "high"], "--threshold 'high'"),
        (["--threshold", "nan"], "--threshold 'nan'"),
        (["--threshold", "auto"], "--calibrate"),
        (["--threshold", "auto", "--dry-run"], "--calibrate"),
        (["--calibrate", "en-de=x.tsv"], "threshold is default"),
        (["--threshold", "auto", "--calibrate", "x.tsv"], "--calibrate 'x.tsv'"),
        (["--threshold", "auto", "--calibrate", "en-de=nowhere.tsv"], "nowhere.tsv"),
        (["--threshold", "auto", "--rescore", "ot"], "rescore"),
        (["--rescore", "words"], "rescore = 'words'"),
        (["--rescore", "ot", "--set", "rescore_weight=2"], "rescore_weight = 2"),
        (["--rescore", "ot", "--set", "rescore_layer=4"], "0 to 3"),
        (["--set", "rescore_layer=top"], "rescore_layer"),
        (["--set", "min_precision=0.9"], "min_precision"),
        (["--set", "min_precision=2", "--threshold", "auto"], "min_precision = 2"),
        (["--engine", "rai"], "engine = 'rai'"),
        (["--set", "ray_address=head:1"], "engine"),
        (["--set", "memory_gb=1e-6"], "memory_gb is 1e-06"),
        (["--margin", "rato"], "margin = 'rato'"),
        (["--set", "max_characters=1.5"], "max_characters"),
        (["--set", "match=union"], "'match'"),
        (["--set", "search=ivf"], "search = 'ivf'"),
        (["--set", "kk=3"], "'kk'"),
        (["--set", "prompt_name=qury"], "'qury'"),
        (["--source-vectors", "nowhere.npy"], "nowhere.npy"),
        (["--set", "truncate_dim=99"], "truncate_dim is 99"),
        (["--set", "threshold=true"], "threshold = True: input should be a number"),
        (["--set", "memory_gb=yes"], "memory_gb"),
        (["--set", "threshold=none"], "threshold=null"),
        (["--set", "margin=none"], "Correct the value of margin"),
    ],
)
def test_invalid_flags_are_rejected(places: list[str], options: list[str], flags: list[str], message: str) -> None:
    with pytest.raises(OtembedError, match=message):
        run("mine", *places, *options, *flags)


def test_unreadable_and_unwritable_files_are_rejected(
    places: list[str], options: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="stdin"):
        run("mine", "-", "-", *options)
    with pytest.raises(DataError, match="nothing"):
        run("mine", tmp_path / "nothing", places[1], *options)
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.npy"):
        run("embed", places[0], "-o", tmp_path / "folder.npy", *options)
    with pytest.raises(ConfigError, match=r"a\.txt"):
        run("mine", *places, *options, "-o", tmp_path / "a.txt" / "pairs.tsv")
    with pytest.raises(ConfigError, match=r"'\.txt'"):
        run("embed", places[0], "-o", tmp_path / "x.txt", *options)


def test_language_pair_and_number_options_are_parsed() -> None:
    assert language_pair("zh_Hant-en", "--languages") == ("zh-Hant", "en")
    for value in ("zh-Hant-en", "zh_hant-en", "en"):
        with pytest.raises(ConfigError, match=f"--languages '{value}'"):
            language_pair(value, "--languages")
    assert (number_or_none("None", "--threshold"), number_or_none("1e-3", "--threshold")) == (None, 0.001)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_share_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 20))
    monkeypatch.setattr("otembed.cli.stages.monotonic", lambda: next(now))
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        progress = StageProgress(stream)
        for done in (100, 300, 1100):
            progress("searching", done, 1100)
    assert plain.getvalue().splitlines() == [
        "searching: 300 of 1,100 tiles, 27 %, 10 tiles/s, 1 min 20 s left",
        "searching: 1,100 of 1,100 tiles, 100 %, 25 tiles/s, 0 s left",
    ]
    assert terminal.getvalue().endswith("0 s left\r\x1b[K")
    short = io.StringIO()
    StageProgress(short)("embedding x", 5, 5)
    assert short.getvalue() == ""


# Pieces of which files are made: text, damage, and other formats.
PIECES = [
    b"the cat\n",
    b"\n",
    b"a\tb\n",
    b"\r\n",
    b"\xff\xfe",
    b"\x00",
    b'{"text": "a"}\n',
    b"{",
    b"x" * 3000,
    b"PAR1",
]
PIECES += [b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00", np.float32([np.nan, 1, 0, 2]).tobytes(), "ü\u2028\n".encode()]
NAMES = ["x", "x.txt", "x.gz", "x.zst", "x.jsonl", "x.tsv?text=1", "x.parquet", "x.npy", "x.f32", "x.jsonl?id=text"]


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_inputs_are_rejected_without_losing_output(
    data: st.DataObject, tiny_model: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0 or 2, no traceback, and the output is whole: the earlier one, or a new one."""
    monkeypatch.setattr("otembed.models.load_model", lambda *_, **__: tiny_model)
    folder = tmp_path_factory.mktemp("broken")
    arguments = ["mine"]
    for side in ("a", "b"):
        name = data.draw(st.sampled_from(NAMES))
        content = b"".join(data.draw(st.lists(st.sampled_from(PIECES), max_size=5)))
        place, mark, query = f"{side}{name}".partition("?")
        if data.draw(st.integers(0, 9)):
            (folder / place).write_bytes(content)
        arguments.append(str(folder / place) + mark + query)
    if data.draw(st.booleans()):
        arguments += ["--source-vectors", arguments[1].partition("?")[0], "--set", "vector_dimension=4"]
    output = folder / data.draw(st.sampled_from(["o.tsv", "o.jsonl", "o.parquet", "o.tmx"]))
    output.write_bytes(b"earlier")
    arguments += ["-o", str(output), "--force", "--threshold", "none", "--cache", str(folder / "cache")]
    arguments += ["--languages", "en-de"] if data.draw(st.booleans()) else []
    result = CliRunner().invoke(app, arguments)
    # main() turns these errors, and nothing else, into a message and exit code 2.
    refused = isinstance(result.exception, OtembedError)
    assert refused or result.exit_code == 0, (arguments, result.exception)
    assert (output.read_bytes() == b"earlier") == refused
    assert not list(folder.glob(".o.*"))


def test_help_shows_the_model_option() -> None:
    for command in ("mine", "embed", "score"):
        assert "--model" in run(command, "--help").stdout
