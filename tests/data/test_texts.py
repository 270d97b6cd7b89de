import io
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otembed.data.compression import OPENERS
from otembed.data.texts import parse_text_place, read_texts
from otembed.embeddings.lines import read_side
from otembed.errors import ConfigError, DataError, OtembedError

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
def test_jsonl_takes_the_usual_field_or_the_named_one(write, suffix):
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
    ("name", "content", "query", "message"),
    [
        ("x.jsonl", '{"text": "a"}\n[1]\n', "", r"x\.jsonl:2: a JSON list, not an object"),
        ("x.jsonl", '{"text": "a"}\n\n', "", r"x\.jsonl:2: not JSON"),
        ("x.jsonl", '{"text": 3}\n', "", "field 'text' is int, not text"),
        ("x.jsonl", '{"texts": "a"}\n', "", "none of the fields text, sentence, content among: texts"),
        ("x.jsonl", '{"text": "a"}\n', "?text=txt", "no field 'txt'"),
        ("x.jsonl", '{"text": "a", "id": 1.5}\n', "?id=id", "id 1.5 is neither text nor a whole number"),
        ("x.parquet", "no parquet", "", "not a sound Parquet file"),
        ("x.parquet.gz", "no parquet", "", "is not read another way"),
        ("x.tsv", "a\tb\nc\n", "?text=1", r"x\.tsv:2: no column 1: the line has 1"),
        ("x.tsv", "a\tb\n", "?text=b", "text='b' is no column number"),
        ("x.tsv", "a\tb\n", "?text", "cannot read the query"),
        ("x.tsv", "a\tb\n", "?text=0&text=1", "give 'text' one value"),
        ("x.tsv", "a\tb\n", "?split=dev", r"x\.tsv takes no \?split="),
        ("x.tsv", "a\tb\n", "?txt=0", "unknown query key 'txt'"),
        ("x.de", "a\n", "?id=name", "id='name' is no column number"),
        ("x.tmx", "a\n", "", r"\.tmx is no format of one-sided text"),
        ("x.txt", b"a\n\xff\n", "", r"x\.txt:2: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused(write, name, content, query, message):
    with pytest.raises(OtembedError, match=message):
        read(f"{write(name, content)}{query}")


def test_missing_field_of_parquet_and_folder_and_missing_file(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no field 'key'"):
        read(f"{tmp_path}/x.parquet?id=key")
    with pytest.raises(DataError, match="a folder, not a file"):
        read(str(tmp_path))
    with pytest.raises(DataError, match="no such file"):
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
        ("one?text=sentense", "one: no field 'sentense'\nDid you mean 'sentence'?"),
        ("one?text=translation.de", "one:1: no field 'translation.de'"),
        ("one?text=translation", "field 'translation' is dict, not text"),
        ("one?split=test", "the dataset has no splits"),
        ("parts?split=tst", "no split 'tst'"),
    ],
)
def test_what_a_saved_dataset_lacks_is_refused(saved, place, message):
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
    with pytest.raises(DataError, match="hub:a/b@train:1: no field 'body'"):
        read("hub:a/b?text=body")
    with pytest.raises(ConfigError, match="the split is named twice"):
        read("hub:a/b@dev?split=test")
    with pytest.raises(ConfigError, match="'a/b/c' is no dataset name"):
        read("hub:a/b/c")
    monkeypatch.setattr("datasets.load.load_dataset", lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match="cannot read hub:a/b@train: division by zero"):
        read("hub:a/b")


def test_a_file_may_have_a_question_mark_in_its_name(write):
    assert read(str(write("what?.txt", json.dumps("a"))))[0].__getitem__(1) == '"a"'
    with pytest.raises(ConfigError):
        parse_text_place("nowhere?.txt")
