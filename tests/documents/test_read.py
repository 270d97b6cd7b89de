"""Documents and lists of pairs: what is read, and what is refused with its place."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.documents import Document, read_document, read_pairs
from otembed.documents.read import check_places, document_of, listed_files, open_pairs, read_documents
from otembed.errors import ConfigError, DataError, OtembedError


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_blank_lines_count_but_are_no_sentences(write, suffix):
    path = write(f"a.txt{suffix}", "One.\n\n \u200b\nTwo .\r\nThree")
    assert read_document(path) == Document(str(path), ("One.", "Two .", "Three"), (0, 3, 4))


@pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
def test_document_without_sentences_is_refused(write, content):
    with pytest.raises(DataError, match=r"a\.txt"):
        read_document(write("a.txt", content))


def test_bytes_that_are_not_utf8_are_refused_with_their_line(write):
    with pytest.raises(DataError, match=r"a\.txt:2"):
        read_document(write("a.txt", b"fine\n\xff\xfe\n"))


def pairs_of(place):
    return [(each.id, each.source.sentences, each.target.sentences) for each in read_pairs(place)]


EXPECTED = [("x", ("a", "b"), ("c",)), ("y", ("d",), ("e", "f"))]


def test_lists_of_texts(write):
    rows = [{"id": "x", "source": ["a", "b"], "target": "c"}, {"id": "y", "source": "d\n", "target": "e\n\nf"}]
    path = write("list.jsonl.gz", "".join(json.dumps(row) + "\n" for row in rows))
    assert pairs_of(path) == EXPECTED
    path = write(
        "other.jsonl",
        "".join(json.dumps({"k": row["id"], "de": row["source"], "fr": row["target"]}) + "\n" for row in rows),
    )
    assert pairs_of(f"{path}?id=k&source=de&target=fr") == EXPECTED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "l.jsonl",
            '{"id": "x", "source_file": "a", "target_file": "b"}\n{"id": "y", "source_file": "c", "target_file": "d.gz"}\n',
        ),
        ("l.tsv", "x\ta\tb\ny\tc\td.gz\n"),
        ("l.tsv", "target_file\tid\tsource_file\nb\tx\ta\nd.gz\ty\tc\n"),
        ("l.csv.xz", "id,source,target\nx,a,b\ny,c,d.gz\n"),
    ],
)
def test_lists_of_files(write, name, content):
    for document, text in (("a", "a\nb\n"), ("b", "c"), ("c", "d"), ("d.gz", "e\nf")):
        write(document, text)
    assert pairs_of(write(name, content)) == EXPECTED


def test_files_named_in_a_list_are_found(write, tmp_path):
    paths = write(
        "l.jsonl", '{"id": "x", "source_file": "a", "target": "b"}\n{"id": 2, "source_file": "c", "target": ""}\n'
    )
    assert listed_files(paths) == [tmp_path / "a", tmp_path / "c"]
    assert listed_files(write("l.tsv", "x\ta\tb\n")) == [tmp_path / "a", tmp_path / "b"]
    rows = {"source": ["a"], "target": ["b"]}
    pq.write_table(pa.table(rows), tmp_path / "l.parquet")
    assert listed_files(tmp_path / "l.parquet") == []
    pq.write_table(pa.table({"source": ["a"], "target_file": ["b"]}), tmp_path / "m.parquet")
    assert listed_files(tmp_path / "m.parquet") == [tmp_path / "b"]


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        (("key", "de_path", "fr_path"), "?source_file=de_path&target_file=fr_path&id=key"),
        (("key", "de_file", "fr_file"), "?source=de_file&target=fr_file&id=key"),
        (("ID", "SOURCE_FILE", "Target_File"), ""),
    ],
)
def test_fields_of_paths_are_named_by_the_key_or_by_themselves(write, fields, query):
    for document, text in (("a", "a\nb\n"), ("b", "c"), ("c", "d"), ("d", "e\nf")):
        write(document, text)
    rows = [dict(zip(fields, row, strict=True)) for row in (("x", "a", "b"), ("y", "c", "d"))]
    path = write("l.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert pairs_of(f"{path}{query}") == EXPECTED


@pytest.mark.parametrize(
    ("query", "value", "hint"),
    [
        ("?source=de&target=fr&id=kez", r"l\.jsonl:1: no field 'kez'", "'key'"),
        ("?source=df&target=fr&id=key", r"l\.jsonl:1: no field 'df'", "Choose one of: de"),
        ("?source=de&target_file=fv&id=key", r"l\.jsonl:1: no field 'fv'", "Choose one of: de"),
        ("?source=de&target=fr&id=in", r"l\.jsonl:2: no field 'in'", "Choose one of"),
    ],
)
def test_named_field_that_is_missing_is_refused(write, query, value, hint):
    path = write("l.jsonl", '{"key": 1, "de": "a", "fr": "b", "in": 1}\n{"key": 2, "de": "a", "fr": "b"}\n')
    with pytest.raises(DataError, match=value) as caught:
        list(read_pairs(f"{path}{query}"))
    assert hint in caught.value.hint


def test_two_fields_for_a_side_are_refused(write):
    path = write("l.jsonl", '{"a": "x", "b": "y"}\n')
    with pytest.raises(ConfigError, match="both source and source_file"):
        list(read_pairs(f"{path}?source=a&source_file=b&target=b"))


@pytest.mark.parametrize("suffix", [".tmx", ".html.gz", ".HTM", ".xlf", ".po", ".json"])
def test_markup_is_no_document(write, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    path, plain = write(f"in/a{suffix}", "<p>text</p>\n"), write("b.txt", "text\n")
    pairs = write("in/l.tsv", f"1\ta{suffix}\t../b.txt\n")
    for read in (
        lambda: read_document(path),
        lambda: check_places(plain, path),
        lambda: list(open_pairs(path, plain)),
        lambda: list(read_pairs(pairs)),
        lambda: list(read_documents(tmp_path / "in")),
    ):
        with pytest.raises(DataError, match=r"is not a document"):
            read()


def test_pairs_without_ids_are_numbered(write):
    write("a", "a")
    assert [each[0] for each in pairs_of(write("l.tsv", "a\ta\na\ta\n"))] == ["1", "2"]
    assert [each[0] for each in pairs_of(write("l.jsonl", '{"source": "a", "target": "b"}\n' * 2))] == ["1", "2"]


def test_empty_documents_of_a_list_are_kept(write):
    assert pairs_of(write("l.jsonl", '{"source": [], "target": "b"}\n')) == [("1", (), ("b",))]


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("l.jsonl", '{"id": "x", "source": "a", "target": "b"}\n{"id": "x", "source": "a", "target": "b"}\n', r"l\.jsonl:2: id 'x'"),
        ("l.jsonl", '{"source": "a", "target": "b"}\n{"id": "x", "source": "a", "target": "b"}\n', r"l\.jsonl:2: field 'id' is not in the first"),
        ("l.jsonl", '{"id": 1.5, "source": "a", "target": "b"}\n', "1.5"),
        ("l.jsonl", '{"source": "a"}\n', "target"),
        ("l.jsonl", '{"source": "a", "target": 7}\n', "7"),
        ("l.jsonl", '{"source": "a", "target": ["b", null]}\n', "None"),
        ("l.jsonl", '{"source": "a", "target": "b \\ud800"}\n', "surrogate"),
        ("l.jsonl", '{"id": "\\ud800x0", "source": "a", "target": "b"}\n', r"l\.jsonl:1: id .*surrogate"),
        ("l.jsonl", '{"id": "", "source": "a", "target": "b"}\n', r"l\.jsonl:1: the id is empty"),
        ("l.jsonl", '{"source_file": "\\ud800", "target": "b"}\n', r"l\.jsonl:1"),
        ("l.jsonl", '{"source_file": "a\\u0000", "target": "b"}\n', r"l\.jsonl:1"),
        ("l.jsonl", "[1]\n", r"l\.jsonl:1"),
        ("l.tsv", "x\ta\tmissing\n", "missing"),
        ("l.tsv", "x\ta\t\n", r"l\.tsv:1"),
        ("l.tsv", "x\n", "source"),
    ],
)  # fmt: skip
def test_broken_lists_are_refused_with_value_and_place(write, name, content, value):
    write("a", "text")
    with pytest.raises(DataError, match=value):
        list(read_pairs(write(name, content)))


def test_bad_document_of_a_list_names_both_places(write):
    write("a", "text")
    write("b", b"\xff")
    with pytest.raises(DataError, match=r"l\.tsv:1: .*b:1"):
        list(read_pairs(write("l.tsv", "x\ta\tb\n")))


def test_one_document_alone_and_a_list_beside_a_document_are_refused(write):
    document, pairs = write("a.txt", "text"), write("l.jsonl", "")
    for places, value in (((document,), "a.txt"), ((pairs, document), "l.jsonl"), ((document, pairs), "l.jsonl")):
        with pytest.raises(ConfigError, match=value):
            list(open_pairs(*places))
    with pytest.raises(DataError, match="nowhere"):
        list(open_pairs(document, "nowhere"))


@pytest.mark.parametrize("lines", [["a", 3], ["a", None], "text", ["\ud800"]])
def test_texts_that_are_no_sentences(lines):
    if lines == "text":
        assert len(document_of(lines, "x")) == 0
    else:
        with pytest.raises(DataError, match="x: sentence"):
            document_of(lines, "x")


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_a_document_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        found = read_document(path)
    except OtembedError as error:
        found, place = None, str(error)
    if found is None:
        assert str(path) in place
    else:
        assert found.numbers == tuple(sorted(set(found.numbers)))
        assert all(found.sentences)


TEXTS = st.lists(st.text(max_size=6), max_size=3) | st.text(max_size=12)
VALUES = TEXTS | st.none() | st.integers() | st.just("nowhere.txt")
NAMES = ("id", "source", "target", "source_file", "target_file", "other")
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
GOOD = st.fixed_dictionaries({"id": st.integers(0, 3), "source": TEXTS, "target": TEXTS})
LINES = st.binary(max_size=40) | (ROWS | GOOD).map(lambda row: json.dumps(row).encode())


@given(
    st.lists(LINES, min_size=1, max_size=4), st.sampled_from([".jsonl", ".tsv", ".csv", ".jsonl.gz", ".parquet"])
)
@settings(max_examples=100, deadline=None)
def test_any_list_gives_pairs_or_an_error(tmp_path_factory, lines, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(b"\n".join(lines))
    try:
        found = list(open_pairs(str(path)))
    except OtembedError as error:
        found, place = [], str(error)
    else:
        place = path.name
    assert path.name in place or "nowhere.txt" in place
    assert len({pair.id for pair in found}) == len(found)
    for pair in found:
        assert all(each.strip() for side in (pair.source, pair.target) for each in side.sentences)
