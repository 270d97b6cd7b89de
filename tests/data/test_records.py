"""Every format of records, as sentence pairs: what is read, and what is refused with its line."""

import csv
import io
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otembed.data import load_pairs, parse_pair_spec, parse_place, read_pairs, records
from otembed.data.compression import OPENERS
from otembed.data.texts import read_texts
from otembed.errors import ConfigError, DataError

PAIRS = [("Good morning.", "Habari za asubuhi."), ('A "quoted", word', "Neno 'lenye' alama"), ("Émile", "")]
EXPECTED = [(*pair, number) for number, pair in enumerate(PAIRS, start=1)]
ENDINGS = ["", *OPENERS]


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def as_csv(rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ENDINGS)
def test_tsv_is_read(write, read, ending):
    path = write(f"x.tsv{ending}", "".join(f"{a}\t{b}\n" for a, b in PAIRS))
    assert read(path) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_csv_is_read(write, read, ending):
    assert read(write(f"x.csv{ending}", as_csv(PAIRS))) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_jsonl_is_read(write, read, ending):
    text = "".join(json.dumps({"id": 1, "en": a, "sw": b}) + "\n" for a, b in PAIRS)
    assert read(write(f"x.jsonl{ending}", text)) == EXPECTED


@pytest.mark.parametrize("ending", ENDINGS)
def test_two_plain_files_are_read(write, read, ending):
    en = write(f"x.en{ending}", "\n".join(a for a, _ in PAIRS))
    sw = write(f"x.sw{ending}", "".join(b + "\n" for _, b in PAIRS))
    assert read(f"{en},{sw}") == EXPECTED
    assert read(str(en).replace(".en", ".{en,sw}")) == EXPECTED


def test_parquet_is_read(tmp_path, read):
    table = pa.table({"extra": [1, 2, 3], "src": [a for a, _ in PAIRS], "tgt": [b for _, b in PAIRS]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    assert read(tmp_path / "x.parquet") == EXPECTED
    assert read(f"{tmp_path / 'x.parquet'}?source=tgt&target=src") == [(b, a, n) for a, b, n in EXPECTED]


def test_parquet_translation_column_is_read(tmp_path, read):
    pq.write_table(pa.table({"translation": [{"sw": b, "en": a} for a, b in PAIRS]}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == EXPECTED


sides = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=0, max_size=30)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(sides, sides), min_size=1, max_size=8), ending=st.sampled_from(ENDINGS))
def test_tsv_round_trip(write, read, rows, ending):
    text = "\ufeff" + "".join(f"{a}\t{b}\n" for a, b in rows)
    path = write(f"x.tsv{ending}", text)
    assert read(f"{path}?header=0") == [(*row, number) for number, row in enumerate(rows, start=1)]


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(any_text, any_text), min_size=1, max_size=8))
def test_csv_round_trip(write, read, rows):
    path = write("x.csv", "\ufeff" + as_csv(rows))
    assert [row[:2] for row in read(f"{path}?header=0")] == rows


@pytest.mark.parametrize("query", ["?source=sw&target=en", "?header=1&source=2&target=0"])
def test_tsv_columns_are_selected(write, read, query):
    path = write("x.tsv", "en\tscore\tsw\nhello\t1\thabari\n")
    assert read(f"{path}{query}") == [("habari", "hello", 2)]


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("id source target negative_1", True),
        ("0 Swahili English x", True),
        # Mined pairs have no header, and other columns may hold the languages.
        ("0.9 hello habari x", False),
        ("en hello habari sw", False),
    ],
)
def test_columns_chosen_by_number_do_not_hide_a_header(write, read, refused, suffix, header, found):
    mark = "\t" if suffix == "tsv" else ","
    fields = header.split()
    path = write(f"x.{suffix}", f"{mark.join(fields)}\n{mark.join(['1', 'yes', 'ndiyo', 'x'])}\n")
    query = f"{path}?source=1&target=2"
    first, second = (fields[1], fields[2], 1), ("yes", "ndiyo", 2)
    if found:
        assert "&header=1" in refused(query).hint
        assert read(f"{query}&header=1") == [second]
    else:
        assert read(query) == [first, second]
    assert read(f"{query}&header=0") == [first, second]


@pytest.mark.parametrize("names", ["en,sw", "source,target", "sentence1,sentence2", "src,tgt", "English,Swahili"])
def test_common_csv_column_names_are_recognized(write, read, names):
    path = write("x.csv", f"id,{names}\n1,hello,habari\n")
    assert read(f"{path}?header=1") == [("hello", "habari", 2)]


def test_fields_may_have_codes_with_hyphens(write, read):
    path = write("x.tsv", "pt-BR\ten\noi\thello\n")
    assert read(f"{path}?header=1", "pt_BR-en") == [("oi", "hello", 2)]
    path = write("x.jsonl", '{"translation": {"pt-BR": "oi", "en": "hello"}}\n')
    assert read(path, "pt_BR-en") == [("oi", "hello", 1)]


@pytest.mark.parametrize(
    "first", ["Cancel\tGhairi", "English\tKiingereza", "English words\tSwahili words", "en\tSwahili"]
)
def test_sentences_of_one_word_are_not_a_header(write, read, first):
    assert read(write("x.tsv", f"{first}\nhello\thabari\n"))[0] == (*first.split("\t"), 1)


def test_jsonl_fields_may_be_named_after_the_languages(write, read):
    assert read(write("x.jsonl", '{"Swahili": "habari", "English": "hello"}\n')) == [("hello", "habari", 1)]


def test_other_jsonl_fields_may_differ(write, read):
    lines = (
        {"en": "a", "sw": "b"},
        {"en": "c", "sw": "d", "source": "x", "n": 1},
        {"sw": "f", "m": {"en": 1}, "en": "e"},
    )
    path = write("x.jsonl", "".join(json.dumps(each) + "\n" for each in lines))
    assert read(path) == [("a", "b", 1), ("c", "d", 2), ("e", "f", 3)]


def test_two_regions_of_a_language_do_not_share_a_field(write):
    place = write("x.jsonl", '{"English": "hello", "note": "greeting"}\n')
    with pytest.raises(DataError, match="English, note"):
        load_pairs(f"en_GB-en_US={place}")


def test_csv_line_numbers_count_quoted_line_breaks(write, read, refused):
    path = write("x.csv", '"two\nlines",b\nc,d\n')
    assert read(path) == [("two\nlines", "b", 1), ("c", "d", 3)]
    path = write("y.csv", '"two\nlines",b\nc\n')
    assert refused(path).line == 3


def test_tsv_quotation_marks_are_plain_characters(write, read):
    assert read(write("x.tsv", '"a\tb"\n"c"\td\n')) == [('"a', 'b"', 1), ('"c"', "d", 2)]


def test_jsonl_translation_objects_and_null(write, read):
    path = write("x.jsonl", '{"translation": {"en": "a", "sw": "b"}}\n{"translation": {"en": null, "sw": "d"}}\n')
    assert read(path) == [("a", "b", 1), ("", "d", 2)]
    path = write("y.jsonl", '{"eng": "a", "swh": "b"}\n')
    assert read(f"{path}?source=eng&target=swh") == [("a", "b", 1)]


@pytest.mark.parametrize(
    ("name", "content", "line", "value", "hint"),
    [
        ("x.tsv", "a\tb\nc\n", 2, "1 field", "line"),
        ("x.tsv", "a\tb\nc\td\te\n", 2, "3 fields", "line"),
        ("x.tsv", "a\tb\n\nc\td\n", 2, "1 field", "line"),
        ("x.tsv", "a b\n", 1, "column 1", "?source=0&target=1"),
        ("x.csv", "a,b\n\nc,d\n", 2, "0 fields", "line"),
        ("x.csv", 'a,b\nc,"d\n', 2, "CSV", "quoted field"),
        ("x.csv", 'a,b\nc,"d"e\n', 2, "CSV", "quoted field"),
        ("x.tsv", "a\tb\nc\t\xe9\n".encode("latin-1"), 2, "byte 0xe9 at offset 6", "UTF-8"),
        ("x.tsv.gz", "a\tb\nc\t\xe9\n".encode("latin-1"), 2, "byte 0xe9 at offset 6", "UTF-8"),
        ("x.tsv", "en\tsw\nhello\thabari\n", 1, "en, sw", "?header=1"),
        ("x.csv", "EN,SW\nhello,habari\n", 1, "EN, SW", "?header=1"),
        ("x.csv", "id,source,target\n", 1, "id, source, target", "?header=0"),
        ("x.tsv", "English\tSwahili\nhello\thabari\n", 1, "English, Swahili", "?header=1"),
        ("x.csv", "id,swahili,english\n1,habari,hello\n", 1, "id, swahili, english", "?header=1"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n{"en": "a",\n', 2, "JSON", "JSON object"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n\n', 2, "JSON", "empty lines"),
        ("x.jsonl", "[" * 100_000, 1, "JSON", "JSON object"),
        ("x.jsonl", '["a", "b"]\n', 1, "list", "JSON object"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n{"en": "a", "swa": "b"}\n', 2, "'sw'", "'swa'"),
        ("x.jsonl", '{"en": "a", "sw": 3}\n', 1, "'sw' is int", "?source=COLUMN"),
        ("x.jsonl", '{"translation": "a"}\n', 1, "'translation' is str", "'translation.en'"),
        ("x.jsonl", '{"translation": {"en": "a", "fr": "b"}}\n', 1, "'translation.sw'", "translation.fr"),
        ("x.jsonl", '{"a": "a", "b": "b"}\n', 1, "a, b", "?source=COLUMN"),
        ("x.jsonl", '{"en": "a", "sw": "b"}\n{"en": "a", "en": "b", "sw": "c"}\n', 2, "'en' twice", "Remove"),
    ],
)
def test_malformed_lines_are_rejected(write, refused, name, content, line, value, hint):
    path = write(name, content)
    error = refused(path)
    assert isinstance(error, DataError)
    assert error.message.startswith(f"{path}:{line}: ")
    assert value in error.message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.tsv.gz"])
@pytest.mark.parametrize("query", ["", "?header=0"])
@pytest.mark.parametrize(
    "rows",
    [
        [("1.250000", "paka", "a cat")],
        [("1.35", "2003", "2003"), ("1.3", "7", "7"), ("-2e-1", "mbwa", "a dog")],
        [("0.000000", "", "a cat")],
        [("41", "paka", "77", "a cat")],
        [(str(number), "paka", "a cat") for number in range(20)] + [("paka", "a cat", "x")],
    ],
)
def test_numbers_in_place_of_sentences_are_rejected(write, read, refused, name, query, rows):
    separator = "," if ".csv" in name else "\t"
    path = write(name, "".join(separator.join(row) + "\n" for row in rows))
    error = refused(f"{path}{query}")
    assert isinstance(error, DataError)
    assert error.message.startswith(f"{path}:1: ")
    assert repr(rows[0][0]) in error.message
    assert "?source=1&target=2" in error.hint
    for first, second in ((1, 2), (0, 1)):
        assert read(f"{path}?source={first}&target={second}") == [
            (row[first], row[second], line) for line, row in enumerate(rows, start=1)
        ]


@pytest.mark.parametrize(
    "rows",
    [
        [("12", "12"), ("1.5", "kumi")],
        [("12", "12", "a"), ("1990", "1990", "b"), ("7", "saba", "c")],
        [("nan", "x", "a")],
        [("inf", "x", "a")],
        [(str(number), "paka", "x") for number in range(19)] + [("paka", "a cat", "x")],
    ],
)
def test_bitexts_that_begin_with_numbers_are_read(write, read, rows):
    path = write("x.tsv", "".join("\t".join(row) + "\n" for row in rows))
    assert [row[:2] for row in read(path)] == [row[:2] for row in rows]


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.jsonl", "x.tsv.gz", "x.tmx.xz", "x.po", "x.mo", "x.mo.gz"])
def test_empty_files_are_rejected(write, refused, name):
    error = refused(write(name, ""))
    assert isinstance(error, DataError)
    assert str(error.path).endswith(name)


def test_file_with_only_a_header_is_rejected(write, refused):
    assert isinstance(refused(f"{write('x.csv', 'en,sw')}?header=1"), DataError)


def test_missing_column_is_rejected_by_name(write, refused):
    path = write("x.csv", "eng,swh\na,b\n")
    error = refused(f"{path}?source=eng&target=swa")
    assert error.message.startswith(f"{path}:1: ")
    assert ("'swa'" in error.message, "'swh'" in error.hint) == (True, True)


def test_column_names_without_a_header_are_rejected(write, refused):
    error = refused(f"{write('x.csv', 'a,b')}?source=en&target=sw&header=0")
    assert isinstance(error, ConfigError)
    assert "header=0" in error.message


@pytest.mark.parametrize(("en", "sw", "lengths"), [("a\nb\nc\n", "a\n", (3, 1)), ("a\n", "a\nb\nc\nd\n", (1, 4))])
def test_unequal_line_counts_are_rejected(write, refused, en, sw, lengths):
    first, second = write("x.en", en), write("x.sw", sw)
    error = refused(f"{first},{second}")
    assert error.message.startswith(f"{first}: {lengths[0]} ")
    assert error.message.endswith(f"{second} has {lengths[1]}")


def test_missing_second_file_is_rejected(write, refused):
    first = write("x.en", "a\n")
    assert str(refused(f"{first},{first.with_suffix('.sw')}").path).endswith("x.sw")


def test_corrupt_parquet_is_rejected(write, refused):
    path = write("x.parquet", b"PAR1 and nothing else")
    error = refused(path)
    assert (type(error), error.path) == (DataError, str(path))


def test_parquet_without_the_columns_is_rejected(tmp_path, refused):
    pq.write_table(pa.table({"a": ["x"], "sw": ["y"]}), tmp_path / "x.parquet")
    assert "a, sw" in refused(tmp_path / "x.parquet").message
    pq.write_table(pa.table({"en": [1], "sw": ["y"]}), tmp_path / "y.parquet")
    error = refused(tmp_path / "y.parquet")
    assert (error.line, "'en' is int" in error.message) == (1, True)


def test_column_number_of_5000_digits_is_rejected(write, refused):
    assert isinstance(refused(f"{write('x.tsv', 'a')}?source={'9' * 5000}&target=1"), DataError)


def test_header_may_be_upper_case_and_repeat_a_name(write, read):
    path = write("x.csv", "EN,Sw\nhello,habari\n")
    assert read(f"{path}?header=1") == [("hello", "habari", 2)]
    path = write("y.tsv", "a\ta\ten\nx\ty\tz\n")
    assert read(f"{path}?source=1&target=2&header=1") == [("y", "z", 2)]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("query", ["", "?source=en&target=sw"])
def test_name_of_two_columns_is_rejected(write, refused, read, tmp_path, suffix, query):
    if suffix == "parquet":
        path = tmp_path / "x.parquet"
        pq.write_table(pa.Table.from_arrays([pa.array([each]) for each in "abcd"], ["en", "en", "sw", "n"]), path)
        assert read(f"{path}?source=n&target=sw") == [("d", "c", 1)]
        assert "'en'" in refused(f"{path}{query}").message
        return
    mark = "," if suffix == "csv" else "\t"
    path = write(f"x.{suffix}", f"en{mark}en{mark}sw\na{mark}b{mark}c\n")
    error = refused(f"{path}{query or '?header=1'}")
    assert isinstance(error, DataError)
    assert "en (column 0), en (column 1)" in f"{error.message} {error.hint}"
    assert read(f"{path}?source=1&target=2&header=1") == [("b", "c", 2)]


def test_records_that_arrow_cannot_convert_are_rejected(tmp_path, refused):
    inner = pa.StructArray.from_arrays([pa.array([each]) for each in "abc"], ["en", "sw", "sw"])
    pq.write_table(pa.table({"translation": inner}), tmp_path / "x.parquet")
    error = refused(tmp_path / "x.parquet")
    assert isinstance(error, DataError)
    assert "duplicate" in error.message


def test_csv_field_may_exceed_131072_characters(write):
    rows = f'"good morning","habari"\n"{"x" * 200_000}","y"\nyes,ndiyo\n'
    text = load_pairs(f"en-sw={write('x.csv', rows)}")
    assert (len(text), text.counts.dropped) == (2, {"too_long": 1})


# One pair, one pair with a missing side, one with a missing object.
NESTED_ROWS = [
    {"translation": {"en": "a", "sw": "b"}},
    {"translation": {"en": None, "sw": "d"}},
    {"translation": None},
]


@pytest.mark.parametrize("form", ["jsonl", "parquet", "saved"])
@pytest.mark.parametrize("depth", [0, 1])
def test_dotted_names_select_nested_fields_in_every_format(tmp_path, write, read, form, depth):
    rows = [{"row": each} for each in NESTED_ROWS] if depth else NESTED_ROWS
    path = tmp_path / f"x.{form}"
    if form == "jsonl":
        write(path.name, "".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        datasets.Dataset.from_list(rows).save_to_disk(path)
    prefix = "row." * depth + "translation"
    expected = [("a", "b", 1), ("", "d", 2), ("", "", 3)]
    assert read(f"{path}?source={prefix}.en&target={prefix}.sw") == expected
    texts = list(read_texts(parse_place(f"{path}?text={prefix}.sw", ("text",))))
    assert [each.text for each in texts] == ["b", "d", ""]
    if not depth:
        assert read(path) == expected


def test_literal_dotted_name_precedes_a_nested_field(write, read):
    path = write("x.jsonl", '{"t.en": "flat", "t": {"en": "nested", "sw": "b"}}\n')
    assert read(f"{path}?source=t.en&target=t.sw") == [("flat", "b", 1)]


def not_utf8(column):
    """Make an Arrow string array whose second value is the byte FF."""
    return pa.Array.from_buffers(
        pa.string(), 3, [None, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(column)]
    )


@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_strings_that_are_not_utf8_are_rejected_with_their_row(tmp_path, refused, form):
    table = pa.table({"en": not_utf8(b"a\xffc"), "sw": not_utf8(b"abc")})
    path = tmp_path / f"x.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    else:
        datasets.Dataset(table).save_to_disk(path)
    error = refused(path)
    assert (type(error), error.line) == (DataError, 2)


def test_class_names_are_read_from_a_parquet_file_of_datasets(tmp_path):
    features = datasets.Features({"x": datasets.Value("string"), "y": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"x": ["a", "b"], "y": [1, -1]}, features=features)
    data.to_parquet(tmp_path / "x.parquet")
    found = list(records(parse_place(tmp_path / "x.parquet"), lambda names, line: {name: name for name in names}))
    assert found == [(1, {"x": "a", "y": "yes"}), (2, {"x": "b", "y": None})]


EN, SW = ["Yes", "No", None], ["Ndiyo", "Hapana", "x"]
SAVED_ROWS = [("Yes", "Ndiyo", 1), ("No", "Hapana", 2), ("", "x", 3)]


@pytest.fixture
def saved(tmp_path):
    def saved(data, name="saved"):
        data.save_to_disk(tmp_path / name)
        return tmp_path / name

    return saved


def table(**columns):
    return datasets.Dataset.from_dict(columns)


@pytest.mark.parametrize("names", [("en", "sw"), ("source", "target"), ("sentence1", "sentence2")])
def test_saved_dataset_is_read(saved, read, names):
    assert read(saved(table(id=[1, 2, 3], **dict(zip(names, (EN, SW), strict=True))))) == SAVED_ROWS


def test_saved_dataset_with_chosen_columns(saved, read, refused):
    folder = saved(table(eng=EN, swh=SW))
    assert read(f"{folder}?source=eng&target=swh") == SAVED_ROWS
    assert "eng, swh" in refused(folder).message
    error = refused(f"{folder}?source=eng&target=swa")
    assert ("'swa'" in error.message, "'swh'" in error.hint) == (True, True)


def test_saved_translation_set_is_read(saved, read):
    rows = [{"en": a, "sw": b} for a, b in zip(EN, SW, strict=True)]
    assert read(saved(table(translation=rows))) == SAVED_ROWS


def test_saved_dataset_dict_is_read(saved, read, refused):
    folder = saved(datasets.DatasetDict(train=table(en=EN, sw=SW), validation=table(en=["a"], sw=["b"])))
    assert read(folder) == SAVED_ROWS
    assert read(f"{folder}?split=validation") == [("a", "b", 1)]
    error = refused(f"{folder}?split=test")
    assert ("'test'" in error.message, "?split=: train, validation" in error.hint) == (True, True)
    assert "'validation'" in refused(f"{folder}?split=valdation").hint


def test_split_of_a_dataset_without_splits_is_rejected(saved, refused):
    assert "?split=" in refused(f"{saved(table(en=EN, sw=SW))}?split=train").hint


def test_corrupt_saved_dataset_is_rejected(saved, refused):
    folder = saved(table(en=EN, sw=SW))
    next(folder.glob("*.arrow")).write_bytes(b"nothing")
    error = refused(folder)
    assert (type(error), error.path) == (DataError, folder)


def test_empty_saved_dataset_is_rejected(saved, refused):
    assert isinstance(refused(saved(table(en=[], sw=[]))), DataError)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Let the loader of ``datasets`` find a folder of this machine under the hub name."""
    real, calls = datasets.load_dataset, []

    def load(path, name=None, **options):
        calls.append((path, name, options))
        return real(str(tmp_path / "repository"), name, cache_dir=str(tmp_path / "cache"), **options)

    monkeypatch.setattr("datasets.load.load_dataset", load)
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository", calls


def test_hub_streams_a_split(hub, read):
    folder, calls = hub
    (folder / "train.jsonl").write_text('{"translation": {"en": "Yes", "sw": "Ndiyo"}}\n' * 2)
    (folder / "test.jsonl").write_text('{"translation": {"en": "No", "sw": "Hapana"}}\n')
    assert read("hub:a/b") == [("Yes", "Ndiyo", 1), ("Yes", "Ndiyo", 2)]
    assert read("hub:a/b@test") == [("No", "Hapana", 1)]
    assert calls[0] == ("a/b", None, {"split": "train", "streaming": True})


def test_hub_passes_the_configuration(monkeypatch, read):
    def load(path, name=None, *, split, streaming):
        assert (path, name, split, streaming) == ("a/b", "en-sw", "dev", True)
        return [{"eng": "Yes", "swh": "Ndiyo"}]

    monkeypatch.setattr("datasets.load.load_dataset", load)
    assert read("hub:a/b:en-sw@dev?source=eng&target=swh") == [("Yes", "Ndiyo", 1)]


def test_hub_dataset_without_the_split_or_columns_is_rejected(hub, refused):
    folder, _ = hub
    (folder / "train.jsonl").write_text('{"a": "Yes"}\n')
    error = refused("hub:a/b@dev")
    assert isinstance(error, DataError)
    assert error.message.startswith("cannot read hub:a/b@dev: ")
    assert "save_to_disk" in error.hint
    error = refused("hub:a/b")
    assert (error.path, error.line, error.message.endswith(": a")) == ("hub:a/b@train", 1, True)


def test_unreachable_hub_is_reported(monkeypatch, refused):
    def load(*_, **__):
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\ndetails")

    monkeypatch.setattr("datasets.load.load_dataset", load)
    monkeypatch.setattr("otembed.runtime.hub.hub_failure", lambda: "ConnectError: no route")
    error = refused("hub:a/b")
    assert error.message.endswith(
        "hub:a/b@train: Couldn't reach 'a/b' on the Hub; the hub cannot be reached: ConnectError: no route"
    )
    assert "save_to_disk" in error.hint


def test_interrupted_hub_stream_is_reported(monkeypatch):
    def rows():
        yield {"en": "Yes", "sw": "Ndiyo"}
        raise RuntimeError

    monkeypatch.setattr("datasets.load.load_dataset", lambda *_, **__: rows())
    read = read_pairs(parse_pair_spec("en-sw", "hub:a/b"))
    assert next(read)[:3] == ("Yes", "Ndiyo", 1)
    with pytest.raises(DataError, match="hub:a/b@train: RuntimeError"):
        next(read)
