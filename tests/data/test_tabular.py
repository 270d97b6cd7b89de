import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otembed.data.compression import OPENERS
from otembed.errors import ConfigError, DataError

PAIRS = [("Good morning.", "Habari za asubuhi."), ('A "quoted", word', "Neno 'lenye' alama"), ("Émile", "")]
EXPECTED = [(*pair, number) for number, pair in enumerate(PAIRS, start=1)]
ENDINGS = ["", *OPENERS]


def as_csv(rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ENDINGS)
def test_tsv(write, read, ending):
    path = write(f"x.tsv{ending}", "".join(f"{a}\t{b}\n" for a, b in PAIRS))
    assert read(path) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_csv(write, read, ending):
    assert read(write(f"x.csv{ending}", as_csv(PAIRS))) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_jsonl(write, read, ending):
    text = "".join(json.dumps({"id": 1, "en": a, "sw": b}) + "\n" for a, b in PAIRS)
    assert read(write(f"x.jsonl{ending}", text)) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_two_plain_files(write, read, ending):
    en = write(f"x.en{ending}", "\n".join(a for a, _ in PAIRS))
    sw = write(f"x.sw{ending}", "".join(b + "\n" for _, b in PAIRS))
    assert read(f"{en},{sw}") == EXPECTED
    assert read(str(en).replace(".en", ".{en,sw}")) == EXPECTED


def test_parquet(tmp_path, read):
    table = pa.table({"extra": [1, 2, 3], "src": [a for a, _ in PAIRS], "tgt": [b for _, b in PAIRS]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    assert read(tmp_path / "x.parquet") == EXPECTED
    assert read(f"{tmp_path / 'x.parquet'}?source=tgt&target=src") == [(b, a, n) for a, b, n in EXPECTED]


def test_parquet_with_a_translation_column(tmp_path, read):
    pq.write_table(pa.table({"translation": [{"sw": b, "en": a} for a, b in PAIRS]}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == EXPECTED


sides = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=0, max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(sides, sides), min_size=1, max_size=8), ending=st.sampled_from(ENDINGS))
def test_tsv_round_trip(write, read, rows, ending):
    text = "\ufeff" + "".join(f"{a}\t{b}\n" for a, b in rows)
    path = write(f"x.tsv{ending}", text)
    assert read(f"{path}?header=0") == [(*row, number) for number, row in enumerate(rows, start=1)]


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(any_text, any_text), min_size=1, max_size=8))
def test_csv_round_trip(write, read, rows):
    path = write("x.csv", "\ufeff" + as_csv(rows))
    assert [row[:2] for row in read(f"{path}?header=0")] == rows


@pytest.mark.parametrize("query", ["?source=2&target=0", "?source=sw&target=en", "?header=1&source=2&target=0"])
def test_columns_of_a_tsv(write, read, query):
    path = write("x.tsv", "en\tscore\tsw\nhello\t1\thabari\n")
    expected = [("habari", "hello", 2)]
    if "=sw" not in query and "header" not in query:
        expected = [("sw", "en", 1), *expected]
    assert read(f"{path}{query}") == expected


@pytest.mark.parametrize("names", ["en,sw", "source,target", "sentence1,sentence2", "src,tgt"])
def test_usual_names_of_a_csv(write, read, names):
    path = write("x.csv", f"id,{names}\n1,hello,habari\n")
    assert read(f"{path}?header=1") == [("hello", "habari", 2)]


def test_csv_counts_lines_across_quoted_breaks(write, read, refused):
    path = write("x.csv", '"two\nlines",b\nc,d\n')
    assert read(path) == [("two\nlines", "b", 1), ("c", "d", 3)]
    path = write("y.csv", '"two\nlines",b\nc\n')
    assert refused(path).line == 3


def test_quotation_marks_are_ordinary_in_tsv(write, read):
    assert read(write("x.tsv", '"a\tb"\n"c"\td\n')) == [('"a', 'b"', 1), ('"c"', "d", 2)]


def test_translation_objects_and_null_in_jsonl(write, read):
    path = write("x.jsonl", '{"translation": {"en": "a", "sw": "b"}}\n{"translation": {"en": null, "sw": "d"}}\n')
    assert read(path) == [("a", "b", 1), ("", "d", 2)]
    path = write("y.jsonl", '{"eng": "a", "swh": "b"}\n')
    assert read(f"{path}?source=eng&target=swh") == [("a", "b", 1)]


@pytest.mark.parametrize(
    ("name", "content", "line", "message", "hint"),
    [
        ("x.tsv", "a\tb\nc\n", 2, "1 field, the first line has 2", "Mend or remove"),
        ("x.tsv", "a\tb\nc\td\te\n", 2, "3 fields, the first line has 2", "Mend or remove"),
        ("x.tsv", "a\tb\n\nc\td\n", 2, "1 field, the first line has 2", "Mend or remove"),
        ("x.tsv", "a b\n", 1, "1 field, column 1 is asked for", "counted from 0"),
        ("x.csv", "a,b\n\nc,d\n", 2, "0 fields, the first line has 2", "Mend or remove"),
        ("x.csv", 'a,b\nc,"d\n', 2, "not CSV: unexpected end of data", "quoted field"),
        ("x.csv", 'a,b\nc,"d"e\n', 2, "not CSV: ',' expected after '\"'", "quoted field"),
        ("x.tsv", "a\tb\nc\t\xe9\n".encode("latin-1"), 2, "not UTF-8: byte 0xe9 at offset 6", "UTF-8"),
        ("x.tsv.gz", "a\tb\nc\t\xe9\n".encode("latin-1"), 2, "not UTF-8: byte 0xe9 at offset 6", "UTF-8"),
        ("x.tsv", "en\tsw\nhello\thabari\n", 1, "the first line looks like a header: en, sw", "?header=1"),
        ("x.csv", "id,source,target\n", 1, "looks like a header: id, source, target", "?header=0"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n{"en": "a",\n', 2, "not JSON: Expecting property", "no empty lines"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n\n', 2, "not JSON", "no empty lines"),
        ("x.jsonl", "[" * 100_000, 1, "not JSON", "no empty lines"),
        ("x.jsonl", '["a", "b"]\n', 1, "a JSON list, not an object", "object a line"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n{"en": "a", "swa": "b"}\n', 2, "no field 'sw'", "Did you mean 'swa'?"),
        ("x.jsonl", '{"en": "a", "sw": 3}\n', 1, "field 'sw' is int, not text", "?source=COLUMN"),
        ("x.jsonl", '{"translation": "a"}\n', 1, "field 'translation' is str, not an object", "?source=COLUMN"),
        ("x.jsonl", '{"translation": {"en": "a", "fr": "b"}}\n', 1, "no field 'sw'", "There are: en, fr."),
        ("x.jsonl", '{"a": "a", "b": "b"}\n', 1, "no columns for en and sw among: a, b", "Name them"),
    ],
)
def test_malformed_lines(write, refused, name, content, line, message, hint):
    path = write(name, content)
    error = refused(path)
    assert isinstance(error, DataError)
    assert error.message.startswith(f"{path}:{line}: ")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.jsonl", "x.tsv.gz", "x.tmx.xz", "x.po", "x.mo", "x.mo.gz"])
def test_empty_files(write, refused, name):
    error = refused(write(name, ""))
    assert isinstance(error, DataError)
    assert str(error.path).endswith(name)


def test_a_header_alone_is_empty(write, refused):
    assert "no sentence pair in it" in refused(f"{write('x.csv', 'en,sw')}?header=1").message


def test_missing_column_by_name(write, refused):
    path = write("x.csv", "eng,swh\na,b\n")
    error = refused(f"{path}?source=eng&target=swa")
    assert error.message == f"{path}:1: no field 'swa'"
    assert error.hint == "Did you mean 'swh'?"


def test_names_contradict_header_0(write, refused):
    error = refused(f"{write('x.csv', 'a,b')}?source=en&target=sw&header=0")
    assert isinstance(error, ConfigError)
    assert "need a header, but header=0" in error.message


@pytest.mark.parametrize(("en", "sw", "lengths"), [("a\nb\nc\n", "a\n", (3, 1)), ("a\n", "a\nb\nc\nd\n", (1, 4))])
def test_unequal_line_counts(write, refused, en, sw, lengths):
    first, second = write("x.en", en), write("x.sw", sw)
    error = refused(f"{first},{second}")
    assert error.message == f"{first}: {lengths[0]} lines, but {second} has {lengths[1]}"
    assert "one line for each pair" in error.hint


def test_missing_second_file(write, refused):
    first = write("x.en", "a\n")
    assert refused(f"{first},{first.with_suffix('.sw')}").message.endswith("x.sw: no such file")


def test_damaged_parquet(write, refused):
    assert "not a sound Parquet file" in refused(write("x.parquet", b"PAR1 and nothing else")).message


def test_parquet_without_the_columns(tmp_path, refused):
    pq.write_table(pa.table({"a": ["x"], "sw": ["y"]}), tmp_path / "x.parquet")
    assert "no columns for en and sw among: a, sw" in refused(tmp_path / "x.parquet").message
    pq.write_table(pa.table({"en": [1], "sw": ["y"]}), tmp_path / "y.parquet")
    assert "y.parquet:1: field 'en' is int, not text" in refused(tmp_path / "y.parquet").message
