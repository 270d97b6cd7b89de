"""``otembed documents`` and ``otembed eval documents`` in process."""

from __future__ import annotations

import json
import os

import pytest

from otembed.config import DocumentsConfig
from otembed.config.io import build, read_yaml
from otembed.data import read_pairs
from otembed.errors import DataError

TEXT = "the cat sat on the mat\n\nthe dog slept in the house\nthe cat slept\n"


@pytest.fixture
def files(write):
    return write("a.en.gz", TEXT), write("a.de", TEXT)


@pytest.fixture
def common(tiny_model_path, tmp_path):
    return ["--model", tiny_model_path, "--cache", tmp_path / "cache", "--device", "cpu"]


def test_links_go_to_stdout_and_the_summary_to_stderr(ended, files, common):
    code, out, err = ended("documents", "align", *files, *common)
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert [fields[1:] for fields in lines] == [[text, text] for text in TEXT.splitlines() if text]
    assert "6 sentences: 3 links (1-1 3), 0 sentences without a link" in err


def test_number_form_report_and_force(ended, files, common, tmp_path):
    output = tmp_path / "a.links"
    code, out, _ = ended("documents", "align", *files, *common, "-o", output, "--json", "--set", "max_sentences=3")
    assert code == 0
    report = json.loads(out)
    assert (report["links"], report["settings"]["max_sentences"]) == (3, 3)
    assert [line.rpartition(":")[0] for line in output.read_text().splitlines()] == [
        "[0]:[0]",
        "[2]:[2]",
        "[3]:[3]",
    ]
    code, _, err = ended("documents", "align", *files, *common, "-o", output)
    assert (code, "--force" in err) == (2, True)


@pytest.mark.parametrize("name", ["l.jsonl", "l.tsv"])
@pytest.mark.parametrize("command", ["align", "match", "mine"])
def test_documents_of_a_list_are_not_replaced(ended, write, common, command, name):
    content = '{"source_file": "x", "target_file": "a.links"}\n' if name == "l.jsonl" else "x\ta.links\n"
    pairs, document = write(name, content), write("a.links", TEXT)
    write("x", TEXT)
    collection = write("c.jsonl", '{"text": "a cat"}\n')
    arguments = [pairs] if command == "align" else [collection, collection, "--calibrate", pairs]
    # match writes another format, so a link has the name of its output.
    output = document
    if command == "match":
        output = document.with_name("out.tsv")
        output.symlink_to(document)
    code, _, err = ended("documents", command, *arguments, *common, "-o", output, "--force")
    assert (code, document.read_text()) == (2, TEXT)
    assert f"is also {'SOURCE' if command == 'align' else '--calibrate'}" in err


def test_list_of_pairs_with_unaligned_sentences(ended, write, common):
    rows = [{"id": "x", "source": TEXT, "target": TEXT}, {"id": "y", "source": TEXT, "target": []}]
    pairs = write("l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = ended("documents", "align", pairs, *common, "--unaligned")
    assert code == 0
    assert len(out.splitlines()) == 6
    assert "1 of 2 pairs" in err


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["a.de"], "a.de"),
        (["nowhere.en", "a.de"], "nowhere.en"),
        (["a.de", "a.de", "--json"], "--output"),
        (["a.de", "a.de", "-o", "x.xyz"], ".xyz"),
        (["a.de", "a.de", "-o", "x.tmx"], "--languages"),
        (["a.de", "a.de", "--set", "bamd=3"], "band"),
        (["a.de", "a.de", "--set", "band=0"], "band"),
        (["a.de", "a.de", "--threshold", "high"], "high"),
        (["a.de", "a.de", "--band", "3"], "--set band=VALUE"),
    ],
)
def test_errors_name_the_value(ended, write, monkeypatch, tmp_path, arguments, value):
    write("a.de", TEXT)
    monkeypatch.chdir(tmp_path)
    code, out, err = ended("documents", "align", *arguments, "--model", "nowhere")
    assert (code, out) == (2, "")
    assert value in err
    assert "Traceback" not in err


def test_evaluation(ended, files, common, write, tmp_path):
    gold = write("gold", "[0]:[0]\n[2]:[2]\n[3]:[3]\n")
    place = f"toy={files[0]},{files[1]},{gold}"
    model, *rest = common[1:]
    code, out, _ = ended("eval", "documents", model, "--gold", place, *rest, "-o", tmp_path / "r.json")
    assert code == 0
    assert "toy" in out
    code, out, _ = ended("eval", "documents", model, "--gold", place, *rest, "--json")
    assert json.loads(out)["total"]["f1"] == 1
    code, _, err = ended("eval", "documents", model, "--gold", "toy=x")
    assert (code, "toy=x" in err) == (2, True)


def test_template_reads_back(ended, tmp_path):
    path = tmp_path / "d.yaml"
    code, _, err = ended("config", "init", path, "--for", "documents")
    assert code == 0
    assert f"otembed documents align ... --config {path}" in err
    assert build(DocumentsConfig, read_yaml(path), "x") == DocumentsConfig()


def test_match_prints_pairs_and_writes_lists(ended, write, common, tmp_path, sentences):
    rows = [{"id": f"d{number}", "text": sentences(4, seed=number)} for number in range(5)]
    path = write("l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = ended("documents", "match", path, path, *common)
    assert code == 0
    assert {tuple(line.split("\t")[1:]) for line in out.splitlines()} == {(row["id"], row["id"]) for row in rows}
    assert "5 and 5 documents, 0 without sentences: 5 pairs" in err
    output = tmp_path / "pairs.jsonl"
    code, out, _ = ended("documents", "match", path, path, *common, "-o", output, "--json", "--set", "k=2")
    assert (code, json.loads(out)["settings"]["k"]) == (0, 2)
    code, out, _ = ended("documents", "align", output, *common)
    assert len(out.splitlines()) == 20
    for arguments, value in (
        (["--k", "3"], "--set k=VALUE"),
        (["--json"], "--output"),
        (["-o", "a.tmx"], ".tmx"),
        (["--set", "kk=3"], "k"),
    ):
        code, _, err = ended("documents", "match", path, path, *common, *arguments)
        assert (code, value in err) == (2, True)


def test_mine_writes_pairs_and_plans(ended, write, common, tmp_path, sentences):
    rows = [{"id": f"d{number}", "text": sentences(6, seed=number)} for number in range(5)]
    path = write("l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = ended("documents", "mine", path, path, *common, "--dry-run", "--json")
    assert (code, json.loads(out)["sentences_to_embed"]) == (0, 30)
    assert not (tmp_path / "cache" / "documents").exists()
    output = tmp_path / "pairs.tsv"
    code, out, err = ended(
        "documents",
        "mine",
        path,
        path,
        *common,
        "-o",
        output,
        "--json",
        "--set",
        "match.k=2",
        "--set",
        "align.band=7",
    )
    report = json.loads(out)
    assert (code, report["align"]["links"], report["align"]["threshold"]) == (0, 30, 0.3)
    assert (report["match"]["settings"]["k"], report["align"]["settings"]["band"]) == (2, 7)
    assert len(output.read_text(encoding="utf-8").splitlines()) == 30
    with pytest.raises(DataError) as caught:
        list(read_pairs(f"en-de={output}"))
    assert (caught.value.path, caught.value.line) == (str(output), 1)
    texts = sorted(text for row in rows for text in row["text"])
    assert sorted(row[:2] for row in read_pairs(f"en-de={output}?source=1&target=2")) == [
        (text, text) for text in texts
    ]
    assert "5 pairs" in err
    code, out, _ = ended("documents", "mine", path, path, *common, "--threshold", "none")
    assert (code, len(out.splitlines())) == (0, 30)
    code, _, err = ended("documents", "mine", path, path, *common, "--set", "k=2")
    assert (code, "k" in err) == (2, True)


def test_file_names_that_are_not_utf8(ended, common, tmp_path, sentences):
    for side in "st":
        (tmp_path / side).mkdir()
        for number in range(4):
            place = os.fsencode(tmp_path / side) + b"/%b\xff%d.txt" % (side.encode(), number)
            with open(place, "w", encoding="utf-8") as file:  # noqa: PTH123 - a Path is text
                file.write("\n".join(sentences(6, seed=number)))
    sides = tmp_path / "s", tmp_path / "t"
    expected = {(rf"s\udcff{number}.txt", rf"t\udcff{number}.txt") for number in range(4)}
    code, out, _ = ended("documents", "match", *sides, *common)
    assert (code, {tuple(line.split("\t")[1:]) for line in out.splitlines()}) == (0, expected)
    for command, name in (
        ("match", "m.tsv"),
        ("match", "m.jsonl"),
        ("mine", "m.links"),
        ("mine", "p.jsonl"),
        ("mine", "p.parquet"),
    ):
        assert ended("documents", command, *sides, *common, "-o", tmp_path / name)[0] == 0
    lines = (tmp_path / "m.tsv").read_text(encoding="utf-8").splitlines()
    assert {tuple(line.split("\t")[1:]) for line in lines} == expected
    lines = (tmp_path / "m.links").read_text(encoding="utf-8").splitlines()
    assert {tuple(line[2:].split("\t")) for line in lines if line.startswith("#")} == expected
    for name in ("m.jsonl", "p.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        assert {tuple(row[side].split(":")[0] for side in ("source_id", "target_id")) for row in rows} == expected


def test_split_of_plain_text(ended, write, common):
    pytest.importorskip("sentencex", reason="sentencex is not installed: otembed[split]")
    path = write("w.txt", "The cat sat. The dog\nslept.\n\nIt rained.\n")
    code, out, err = ended("documents", "align", path, path, *common, "--split", "en-de")
    assert (code, "6 sentences: 3 links" in err) == (0, True)
    assert [line.split("\t")[1] for line in out.splitlines()] == ["The cat sat.", "The dog slept.", "It rained."]
    rows = write("l.jsonl", json.dumps({"text": "The cat sat. The dog slept."}) + "\n")
    code, out, _ = ended("documents", "match", rows, rows, *common, "--split", "en-en")
    assert (code, len(out.splitlines())) == (0, 1)
    code, out, _ = ended("documents", "mine", rows, rows, *common, "--split", "en-en", "--dry-run", "--json")
    assert json.loads(out)["sentences"] == 4
    for value, told in (("en", "--split"), ("en-th", "split_source"), ("en-x", "--split")):
        code, _, err = ended("documents", "align", path, path, "--model", "nowhere", "--split", value)
        assert (code, told in err, "Traceback" in err) == (2, True, False)


def test_threshold_from_known_pairs(ended, write, common, tmp_path, sentences):
    texts = [sentences(5, seed=number) for number in range(160)]
    path, other = (
        write(name, "".join(json.dumps({"text": each}) + "\n" for each in side))
        for name, side in (("l.jsonl", texts[:60]), ("m.jsonl", [each[1:] for each in texts[20:80]]))
    )
    pairs = [{"source": each, "target": each[1:]} for each in texts[80:]]
    known = write("known.jsonl", "".join(json.dumps(row) + "\n" for row in pairs))
    arguments = ["documents", "match", path, other, *common]
    code, out, err = ended(
        *arguments, "--threshold", "auto", "--calibrate", known, "-o", tmp_path / "p.tsv", "--json"
    )
    report = json.loads(out)
    assert (code, report["calibration"]["planted"], report["calibration"]["found"]) == (0, 80, report["pairs"])
    assert "80 planted pairs" in err
    assert "documents with a translation" in err
    for more, value in (
        (["--threshold", "auto"], "--calibrate"),
        (["--calibrate", known], "auto"),
        (["--threshold", "auto", "--calibrate", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--threshold", "auto", "--calibrate", path], "source"),
    ):
        code, _, err = ended(*arguments, *more)
        assert (code, value in err) == (2, True)
    plan = ["documents", "mine", path, other, *common, "--dry-run", "--json", "--set", "match.threshold=auto"]
    code, out, _ = ended(*plan, "--calibrate", known)
    assert (code, json.loads(out)["sentences"]) == (0, 540)


def test_threshold_of_links_from_planted_stretches(ended, write, common, sentences):
    texts = [sentences(18, seed=number) for number in range(24)]
    rows = [{"source": each[:12], "target": [*each[:6], *each[12:15], *each[9:12]]} for each in texts]
    pairs = write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    arguments = [
        "documents",
        "align",
        pairs,
        *common,
        "--set",
        "deletion_quantile=0.5",
        "--threshold",
        "auto",
        "--json",
    ]
    code, out, err = ended(*arguments, "-o", pairs.parent / "links.tsv", "--set", "min_precision=0.9")
    report = json.loads(out)
    assert (code, report["calibration"]["planted"], report["calibration"]["found"]) == (0, 24, report["links"])
    assert report["threshold"] == report["calibration"]["threshold"]
    assert len((pairs.parent / "links.tsv").read_text(encoding="utf-8").splitlines()) == report["links"]
    assert "24 replaced stretches" in err
    assert "expected precision of 0.9 or more" in err
    few = write("few.jsonl", "".join(json.dumps(row) + "\n" for row in rows[:3]))
    for more, value in (
        (["documents", "align", few, *common, "--threshold", "auto"], "3"),
        (["documents", "align", few, *common, "--set", "min_precision=0.9"], "auto"),
        (["documents", "align", few, *common, "--threshold", "automatic"], "automatic"),
    ):
        code, _, err = ended(*more)
        assert (code, value in err) == (2, True)
