"""What is written can be read back, whatever the text holds; what fails leaves the earlier file."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from otembed import mine_bitext
from otembed.data import parse_pair_spec, read_pairs
from otembed.documents.output import write_links
from otembed.errors import ConfigError, DataError, OutputError
from otembed.mining.output import NOT_XML, WRITERS, MinedPair, check_output, tsv_line, write_pairs

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
LETTERS = st.text(st.characters(categories=["L"]), min_size=1, max_size=9)
PAIRS = st.lists(
    st.builds(
        MinedPair,
        st.floats(-2, 9),
        st.floats(-1, 1, width=32),
        st.integers(1, 2**40),
        st.integers(1, 2**40),
        TEXT,
        TEXT,
    ),
    max_size=5,
)
LANGUAGES = ("sw", "zh-Hant")


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_every_output_format_round_trips(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("pairs")
    for suffix in WRITERS:
        write_pairs(iter(pairs), folder / f"x{suffix}", languages=LANGUAGES)
    lines = (folder / "x.tsv").read_bytes().decode().split("\n")[:-1]
    fields = [line.split("\t") for line in lines]
    expected = [(pair.source or str(pair.source_id), pair.target or str(pair.target_id)) for pair in pairs]
    # TSV has no way to write a tab or a line break.
    assert [each[1:] for each in fields] == [[re.sub(r"[\t\n\r]", " ", text) for text in pair] for pair in expected]
    assert [float(each[0]) for each in fields] == pytest.approx([pair.score for pair in pairs], abs=1e-6)
    records = [json.loads(line) for line in (folder / "x.jsonl").read_bytes().decode().split("\n")[:-1]]
    assert [MinedPair(**record) for record in records] == pairs
    assert [MinedPair(**record) for record in pq.read_table(folder / "x.parquet").to_pylist()] == pairs
    units = etree.parse(folder / "x.tmx").findall(".//tu")
    assert [[each.text or "" for each in unit.iter("seg")] for unit in units] == [
        # XML reads \r as \n unless it is written as a character reference, which lxml does.
        [NOT_XML.sub("\ufffd", text) for text in pair[4:]]
        for pair in pairs
    ]
    assert [unit.findtext("prop[@type='source_id']") for unit in units] == [str(pair.source_id) for pair in pairs]


def test_readers_of_otembed_read_the_output(tmp_path):
    pairs = [
        MinedPair(1.5, 0.9, "k1", "k2", "paka", "a cat"),
        MinedPair(1.25, 0.5, "k3", "k4", "mbwa & <b>", r"C:\new\temp and \\d+\t"),
    ]
    for name in ("x.tsv?source=1&target=2", "x.jsonl", "x.parquet", "x.tmx"):
        write_pairs(pairs, tmp_path / name.partition("?")[0], languages=("sw", "en"))
        rows = list(read_pairs(parse_pair_spec("sw-en", str(tmp_path / name))))
        assert [row[:2] for row in rows] == [pair[4:] for pair in pairs]
    assert pq.read_table(tmp_path / "x.parquet")["source_id"].to_pylist() == ["k1", "k3"]


@given(st.lists(st.tuples(st.floats(-2, 9), LETTERS, LETTERS), min_size=1, max_size=25))
@settings(max_examples=30, deadline=None)
def test_scores_are_never_read_as_sentences(tmp_path_factory, rows):
    pairs = [MinedPair(score, 0.5, 1, 2, source, target) for score, source, target in rows]
    path = write_pairs(pairs, tmp_path_factory.mktemp("pairs") / "x.tsv")
    with pytest.raises(DataError) as caught:
        list(read_pairs(f"sw-en={path}"))
    assert (caught.value.path, caught.value.line) == (str(path), 1)
    assert "?source=1&target=2" in caught.value.hint


@pytest.mark.parametrize("query", ["", "?text=1&id=0"])
def test_parquet_has_one_schema_with_and_without_pairs(tmp_path, query):
    lines = tmp_path / "x.tsv"
    lines.write_text("k1\tpaka\nk2\tmbwa\n")
    vectors = np.eye(2, dtype=np.float32)
    place = f"{lines}{query}"
    mined = mine_bitext(place, place, source_vectors=vectors, target_vectors=vectors, threshold=None, k=1)
    files = [
        each.write(tmp_path / "x.parquet") and pq.read_schema(tmp_path / "x.parquet")
        for each in (mined, mined.above(9))
    ]
    assert len(mined) == 2
    assert files[0] == files[1]
    assert files[0].field("source_id").type == (pa.string() if query else pa.int64())
    aligned = write_links([], tmp_path / "links.parquet")
    assert pq.read_schema(aligned).field("target_id").type == pa.string()


def test_tsv_shows_ids_where_there_is_no_text():
    assert tsv_line(MinedPair(0.5, 0.5, 7, 9, "", "")) == "0.500000\t7\t9\n"


@pytest.mark.parametrize("suffix", WRITERS)
def test_failed_write_leaves_only_the_earlier_file(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_text("earlier")

    def broken():
        yield MinedPair(1, 1, 1, 1, "a", "b")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=f"{path.name}.*No space left"):
        write_pairs(broken(), path, languages=LANGUAGES)
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("earlier", [path.name])


@pytest.mark.parametrize(
    ("name", "languages", "texts", "message"),
    [
        ("x.txt", None, True, r"'\.txt'"),
        ("x", None, True, "none"),
        ("x.tmx", None, True, "--languages"),
        ("x.tmx", LANGUAGES, False, "parquet"),
    ],
)
def test_unwritable_output_is_rejected_first(tmp_path, name, languages, texts, message):
    with pytest.raises(ConfigError, match=message):
        check_output(tmp_path / name, languages, texts=texts)
