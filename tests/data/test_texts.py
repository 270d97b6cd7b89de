import io
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otembed.data.compression import OPENERS
from otembed.data.texts import parse_text_place, read_texts
from otembed.embeddings.lines import read_side
from otembed.errors import ConfigError, DataError

LINES = "one\ttab\r\n\n two \nlast"
PLAIN = [(1, "one\ttab", None), (2, "", None), (3, " two ", None), (4, "last", None)]


def read(value):
    return [tuple(each) for each in read_texts(parse_text_place(value))]


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_plain_text_keeps_tabs_and_numbers(write, suffix):
    assert read(str(write(f"x.en{suffix}", LINES))) == PLAIN


def test_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINES.encode())))
    assert read("-") == PLAIN


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_jsonl_reads_the_default_or_the_named_field(write, suffix):
    path = write(f"x.jsonl{suffix}", '{"text": "a", "key": 7}\n{"text": null, "key": "8", "body": 1}\n')
    assert read(str(path)) == [(1, "a", None), (2, "", None)]
    assert read(f"{path}?text=text&id=key") == [(1, "a", "7"), (2, "", "8")]


def test_parquet_and_tsv_columns(write, tmp_path):
    pq.write_table(pa.table({"content": ["a", None], "key": [5, 6]}), tmp_path / "x.parquet")
    assert read(f"{tmp_path}/x.parquet") == [(1, "a", None), (2, "", None)]
    assert read(f"{tmp_path}/x.parquet?id=key") == [(1, "a", "5"), (2, "", "6")]
    path = write("x.tsv.gz", "de-1\teins\nde-2\tzwei\n")
    assert read(f"{path}?text=1&id=0") == [(1, "eins", "de-1"), (2, "zwei", "de-2")]
    assert read(str(path))[0] == (1, "de-1\teins", None)


@pytest.mark.parametrize(
    ("name", "content", "query", "kind", "value"),
    [
        ("x.jsonl", '{"text": "a"}\n[1]\n', "", DataError, r"x\.jsonl:2: .*list"),
        ("x.jsonl", '{"text": "a"}\n\n', "", DataError, r"x\.jsonl:2: "),
        ("x.jsonl", '{"text": 3}\n', "", DataError, "'text' is int"),
        ("x.jsonl", '{"texts": "a"}\n', "", DataError, "text, sentence, content.*texts"),
        ("x.jsonl", '{"text": "a"}\n', "?text=txt", DataError, "'txt'(.|\n)*'text'"),
        ("x.jsonl", '{"text": "a", "id": "\\ud800"}\n', "?id=id", DataError, r"x\.jsonl:1: .*surrogate"),
        ("x.jsonl", '{"text": "a", "id": 1.5}\n', "?id=id", DataError, r"1\.5"),
        (
            "x.jsonl",
            '{"text": "a", "id": 1}\n{"text": "b", "id": "\\ud800x"}\n',
            "?id=id",
            DataError,
            r"jsonl:2: .*ud800x.*surrogate",
        ),
        ("x.jsonl", '{"text": "a"}\n', "?id=text", ConfigError, "'text' is both(.|\n)*text=FIELD"),
        ("x.tsv", "de-1\teins\n", "?id=0", ConfigError, r"x\.tsv: column '0' is both(.|\n)*text=1&id=0"),
        ("x.parquet", "no parquet", "", DataError, r"x\.parquet: "),
        ("x.parquet.gz", "no parquet", "", DataError, r"\.gz"),
        ("x.tsv", "a\tb\nc\n", "?text=1", DataError, r"x\.tsv:2: .*'1'"),
        ("x.tsv", "a\tb\n", "?text=b", ConfigError, "text='b'(.|\n)*text=1"),
        ("x.tsv", "a\tb\n", "?text", ConfigError, "'text'"),
        ("x.tsv", "a\tb\n", "?text=0&text=1", ConfigError, "'text'"),
        ("x.tsv", "a\tb\n", "?split=dev", ConfigError, r"x\.tsv .*split="),
        ("x.tsv", "a\tb\n", "?txt=0", ConfigError, "'txt'(.|\n)*'text'"),
        ("x.de", "a\n", "?id=name", ConfigError, "id='name'"),
        ("x.tmx", "a\n", "", DataError, r"\.tmx"),
        ("x.html.gz", "<p>a</p>\n", "", DataError, r"\.html"),
        ("x.txt", b"a\n\xff\n", "", DataError, r"x\.txt:2: .*UTF-8"),
    ],
)
def test_unreadable_text_is_rejected(write, name, content, query, kind, value):
    with pytest.raises(kind, match=value):
        read(f"{write(name, content)}{query}")


def test_missing_field_folder_and_file_are_rejected(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="'key'"):
        read(f"{tmp_path}/x.parquet?id=key")
    with pytest.raises(DataError, match="save_to_disk"):
        read(str(tmp_path))
    with pytest.raises(DataError, match="nothing"):
        read(str(tmp_path / "nothing"))


SENTENCES = {
    "key": [7, 8],
    "sentence": ["a", None],
    "translation": [{"en": "b", "sw": "c"}, {"en": "d", "sw": "e"}],
}


@pytest.fixture
def saved(tmp_path):
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict(SENTENCES)
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "parts")
    datasets.enable_progress_bars()
    return tmp_path


def test_saved_datasets(saved):
    assert read(str(saved / "one")) == [(1, "a", None), (2, "", None)]
    assert read(f"{saved}/one?id=key") == [(1, "a", "7"), (2, "", "8")]
    assert read(f"{saved}/parts?split=test&text=translation.sw") == [(1, "e", None)]
    assert len(read(str(saved / "parts"))) == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("one?text=sentense", "one: .*'sentense'\n.*'sentence'"),
        ("one?text=translation.de", "one:1: .*'translation.de'"),
        ("one?text=translation", "'translation' is dict"),
        ("one?split=test", "split="),
        ("parts?split=tst", "'tst'(.|\n)*'test'"),
    ],
)
def test_missing_parts_of_a_saved_dataset_are_rejected(saved, place, message):
    with pytest.raises(DataError, match=message):
        read(f"{saved}/{place}")


def test_hub_datasets(monkeypatch):
    calls = []

    def load(name, config=None, *, split, streaming):
        calls.append((name, config, split, streaming))
        return [dict(zip(SENTENCES, row, strict=True)) for row in zip(*SENTENCES.values(), strict=True)]

    monkeypatch.setattr("datasets.load.load_dataset", load)
    assert read("hub:a/b") == [(1, "a", None), (2, "", None)]
    assert read("hub:a/b:x@dev?text=translation.en&id=key") == [(1, "b", "7"), (2, "d", "8")]
    assert read("hub:a/b?split=dev")[0] == (1, "a", None)
    assert calls == [("a/b", None, "train", True), ("a/b", "x", "dev", True), ("a/b", None, "dev", True)]
    lines = read_side("hub:a/b:x@dev?text=translation.en")
    assert (lines.name, len(lines)) == ("hub:a/b:x@dev", 2)
    with pytest.raises(DataError, match=r"hub:a/b@train:1: .*'body'"):
        read("hub:a/b?text=body")
    with pytest.raises(ConfigError, match="@SPLIT"):
        read("hub:a/b@dev?split=test")
    with pytest.raises(ConfigError, match="'a/b/c'"):
        read("hub:a/b/c")
    monkeypatch.setattr("datasets.load.load_dataset", lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match="hub:a/b@train: division by zero"):
        read("hub:a/b")


def test_file_name_may_contain_a_question_mark(write):
    assert read(str(write("what?.txt", json.dumps("a"))))[0].__getitem__(1) == '"a"'
    with pytest.raises(ConfigError):
        parse_text_place("nowhere?.txt")
