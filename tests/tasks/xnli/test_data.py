from __future__ import annotations

import json

import datasets
import pytest

from otembed.errors import ConfigError, DataError
from otembed.tasks.xnli.data import MNLI_GENRES, NliExample, NliSet, read_nli
from otembed.tasks.xnli.formats import LABELS

PAIRS = [("A cat sat.", "A cat.", 0), ("A dog slept.", "A red dog.", 1), ("He ran.", 'He "sat".', 2)]
SNLI = "gold_label\tsentence1_binary_parse\tsentence1\tsentence2\tpairID\tlabel1\tlabel2\n"


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def pairs(path, **options):
    return [tuple(each[:3]) for each in read_nli(path, **options).examples]


def rows(pattern, names=LABELS):
    return "".join(pattern.format(p=p, h=h, label=names[gold]) for p, h, gold in PAIRS)


FILES = {
    "plain.tsv": "premise\thypothesis\tlabel\tgenre\n" + rows("{p}\t{h}\t{label}\tfiction\n"),
    "test-sw.tsv": rows("{p}\t{h}\t{label}\n", ("Entailment", " NEUTRAL", "contradictory")),
    "snli_1.0_train.txt": SNLI + rows("{label}\t( x )\t{p}\t{h}\t7\t{label}\t\n"),
    "votes_left_out.txt": SNLI + rows("{label}\t( x )\t{p}\t{h}\t7\n"),
    "multinli.train.sw.tsv": "premise\thypo\tlabel\n" + rows("{p}\t{h}\t{label}\n", ("entailment", "neutral", "contradictory")),
    "crlf.tsv": "\ufeffpremise\thypothesis\tlabel\r\n" + rows("{p}\t{h}\t{label}\r\n"),
    "one.csv": "label,premise,hypothesis\n" + "".join(f'{LABELS[g]},"{p}","{h.replace(chr(34), chr(34) * 2)}"\n' for p, h, g in PAIRS),
    "snli.jsonl": "".join(
        json.dumps({"gold_label": LABELS[g], "annotator_labels": ["x"], "sentence1": p, "sentence2": h, "label": "?"}) + "\n"
        for p, h, g in PAIRS
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", FILES)
def test_published_formats_are_read(write, name, suffix):
    read = read_nli(write(name + suffix, FILES[name]), for_test=True)
    assert [tuple(each[:3]) for each in read.examples] == PAIRS
    assert (read.counts.read, read.is_mnli) == (3, False)


def test_lines_match_the_file(write):
    assert [each.line for each in read_nli(write("a.tsv", FILES["plain.tsv"])).examples] == [2, 3, 4]
    assert [each.line for each in read_nli(write("b.tsv", FILES["test-sw.tsv"])).examples] == [1, 2, 3]


def test_xnli_file_holds_several_languages(write):
    header = "language\tgold_label\tsentence1_binary_parse\tsentence1\tsentence2\tlabel1\n"
    lines = "sw\tneutral\t\tp\tq\tneutral\nen\tentailment\t\tp\tq\tentailment\nsw\tcontradiction\t\tr\ts\tx\n"
    path = write("xnli.test.tsv", header + lines)
    assert pairs(path, language="sw", for_test=True) == [("p", "q", 1), ("r", "s", 2)]
    assert pairs(path, language="en") == [("p", "q", 0)]
    with pytest.raises(DataError, match="en, sw"):
        read_nli(path)
    with pytest.raises(DataError, match=r"de\n.*en, sw"):
        read_nli(path, language="de")


def test_pairs_without_a_label_are_counted_in_training_and_rejected_in_tests(write):
    text = SNLI + "-\t\tp\tq\t1\t\t\nneutral\t\tp\tq\t1\t\t\n\t\tp\tq\t1\t\t\nneutral\t\tp\t \t1\t\t\n"
    path = write("train.tsv", text)
    read = read_nli(path)
    assert [tuple(each) for each in read.examples] == [("p", "q", 1, 3)]
    assert read.counts.summary() == "4 read, 1 kept, dropped: no_label 2 (lines 2, 4), empty 1 (line 5)"
    with pytest.raises(DataError, match=r"train\.tsv:2: "):
        read_nli(path, for_test=True)
    surrogate = write(
        "s.jsonl", '{"sentence1": "a\\ud800", "sentence2": "b", "gold_label": "neutral"}\n' + FILES["snli.jsonl"]
    )
    assert read_nli(surrogate).counts.dropped == {"unpaired_surrogate": 1}
    with pytest.raises(DataError, match=r"s\.jsonl:1: .*surrogate"):
        read_nli(surrogate, for_test=True)
    with pytest.raises(DataError, match="1 read, 0 kept"):
        read_nli(write("none.tsv", SNLI + "-\t\tp\tq\t1\t\t\n"))


BROKEN = {
    "0\tq\t0\n": "1: 3 fields",
    "premise\thypothesis\tlabel\np\tq\t0\n": "2: label '0'",
    "premise\thypothesis\tlabel\np\tq\tneutrl\n": "2: unknown label 'neutrl'",
    "premise\thypothesis\tlabel\np\tq\tneutral\n\n": "3: 1 field",
    "premise\thypothesis\tlabel\np\tq\tneutral\tx\n": "2: 4 fields",
    "premise\tlabel\np\tneutral\n": "2: no field 'hypothesis'",
    "premise\tlabel\tlabel\np\tneutral\tneutral\n": "1: two columns",
    "p\tq\n": "1: 2 fields",
    "": " ",
    "premise\thypothesis\tlabel\n": " ",
}


@pytest.mark.parametrize("text", BROKEN)
def test_faults_are_reported_with_file_and_line(write, text):
    with pytest.raises(DataError) as caught:
        read_nli(write("x.tsv", text))
    assert f"x.tsv:{BROKEN[text]}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "a JSON list"),
        ("{", "not JSON"),
        ('{"premise": {"en": "x"}, "hypothesis": "y", "label": "neutral"}', "field 'premise' is dict"),
        ('{"premise": 3, "hypothesis": "y", "label": "neutral"}', "field 'premise' is int"),
        ('{"premise": "x", "hypothesis": "y", "label": 1}', "label '1'"),
        ('{"premise": "x", "label": "neutral"}', "no field 'hypothesis'"),
    ],
)  # fmt: skip
def test_jsonl_faults_are_reported(write, line, message):
    path = write("x.jsonl", '{"premise": "x", "hypothesis": "y", "label": "neutral"}\n' * 3 + line + "\n")
    with pytest.raises(DataError) as caught:
        read_nli(path)
    assert f"x.jsonl:4: {message}" in str(caught.value)


def test_missing_and_empty_places_are_rejected(write, tmp_path):
    with pytest.raises(DataError, match=r"'\.doc'"):
        read_nli(write("x.doc", "x"))
    with pytest.raises(DataError, match=r"x\.tsv"):
        read_nli(tmp_path / "x.tsv")
    with pytest.raises(DataError, match="save_to_disk"):
        read_nli(tmp_path)
    with pytest.raises(ConfigError, match="'xnli'"):
        read_nli("xnli")
    with pytest.raises(ConfigError, match="'a/b/c'"):
        read_nli("hub:a/b/c")


def numbered(names):
    features = datasets.Features(
        {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )  # fmt: skip
    columns = {"premise": ["p", "q", "r"], "hypothesis": ["s", "t", "u"], "label": [0, 2, -1]}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize(
    "names", [["entailment", "neutral", "contradiction"], ["contradiction", "entailment", "neutral"]]
)
def test_numeric_labels_follow_the_dataset_features(tmp_path, names):
    datasets.DatasetDict(test=numbered(names)).save_to_disk(tmp_path / "saved")
    expected = [("p", "s", LABELS.index(names[0])), ("q", "t", LABELS.index(names[2]))]
    assert pairs(f"{tmp_path / 'saved'}?split=test") == expected
    assert read_nli(f"{tmp_path / 'saved'}?split=test").counts.dropped == {"no_label": 1}
    with pytest.raises(DataError, match="'train'"):
        read_nli(tmp_path / "saved")


@pytest.mark.parametrize(
    ("place", "language", "asked", "mnli"),
    [
        ("mnli", None, ("nyu-mll/glue", "mnli", "train"), True),
        ("hub:nyu-mll/multi_nli", None, ("nyu-mll/multi_nli", None, "train"), True),
        ("mnli@validation_matched", None, ("nyu-mll/glue", "mnli", "validation_matched"), False),
        ("xnli", "sw", ("facebook/xnli", "sw", "test"), False),
        ("xnli@validation", "en", ("facebook/xnli", "en", "validation"), False),
        ("hub:stanfordnlp/snli", None, ("stanfordnlp/snli", None, "train"), False),
    ],
)
def test_hub_request_names_configuration_and_split(monkeypatch, place, language, asked, mnli):
    calls = []

    def load_dataset(name, config, *, split, streaming):
        calls.append((name, config, split))
        return numbered(list(LABELS)).to_iterable_dataset()

    monkeypatch.setattr("datasets.load.load_dataset", load_dataset)
    read = read_nli(place, language=language)
    assert calls == [asked]
    assert [each.label for each in read.examples] == [0, 2]
    assert read.is_mnli == mnli


def test_unreachable_hub_is_reported(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load.load_dataset", load_dataset)
    with pytest.raises(DataError, match="hub:facebook/xnli:sw@test: no network"):
        read_nli("xnli", language="sw")


def test_mnli_is_recognized_by_genres_and_size(write, monkeypatch):
    lines = "".join(f"p\tq\tneutral\t{genre}\n" for genre in sorted(MNLI_GENRES))
    path = write("train.tsv", "premise\thypothesis\tlabel\tgenre\n" + lines)
    assert not read_nli(path).is_mnli
    monkeypatch.setattr("otembed.tasks.xnli.data.MNLI_ROWS", 5)
    assert read_nli(path).is_mnli
    assert read_nli(path).sample(2).is_mnli


def test_sample_is_drawn_over_the_whole_file_by_the_seed():
    whole = NliSet("x", tuple(NliExample("p", "q", 0, line) for line in range(100)))
    lines = [each.line for each in whole.sample(10, seed=1).examples]
    assert (len(lines), lines == sorted(lines), max(lines) > 50) == (10, True, True)
    assert whole.sample(10, seed=1) == whole.sample(10, seed=1) != whole.sample(10, seed=2)
    assert whole.sample(100) is whole.sample(None) is whole


@pytest.mark.parametrize("label", ["not_entailment", "non-entailment", "neutrl"])
def test_hint_for_an_unknown_label_names_all_three(write, label):
    with pytest.raises(DataError) as caught:
        read_nli(write("x.tsv", f"premise\thypothesis\tlabel\np\tq\t{label}\n"))
    assert all(each in caught.value.hint for each in LABELS)


def test_text_of_invisible_characters_is_empty(write):
    path = write("x.tsv", "premise\thypothesis\tlabel\n\u200b\tq\tneutral\np\tq\tneutral\n")
    assert read_nli(path).counts.dropped == {"empty": 1}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_query_names_fields_with_dots_for_nested_ones(tmp_path, form):
    records = [{"pair": {"a": p, "b": h}, "gold": LABELS[g]} for p, h, g in PAIRS]
    path = tmp_path / f"x.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(each) + "\n" for each in records))
    else:
        datasets.Dataset.from_list(records).to_parquet(path)
    assert pairs(f"{path}?premise=pair.a&hypothesis=pair.b&label=gold") == PAIRS


def test_numeric_labels_follow_the_parquet_metadata(tmp_path):
    numbered(["contradiction", "entailment", "neutral"]).to_parquet(tmp_path / "x.parquet")
    assert pairs(tmp_path / "x.parquet") == [("p", "s", 2), ("q", "t", 1)]
