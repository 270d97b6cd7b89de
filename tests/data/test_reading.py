import os
import subprocess
import sys
import tracemalloc

import pytest

from otembed.data import PairCounts, parse_pair_spec, read_pairs
from otembed.data.reading import FORMATS
from otembed.errors import ConfigError, DataError


def test_missing_file_is_reported_before_reading(write):
    path = write("train.tsv", "a\tb\n")
    with pytest.raises(DataError) as caught:
        read_pairs(parse_pair_spec("en-sw", str(path.with_name("trein.tsv"))))
    assert "'train.tsv'" in caught.value.hint


@pytest.mark.parametrize("name", ["x.doc", "x", "x.doc.gz"])
def test_unknown_suffix_lists_known_ones(write, refused, name):
    error = refused(write(name, "a"))
    assert isinstance(error, DataError)
    assert all(suffix in error.hint for suffix in (*FORMATS, ".zst"))


def test_compressed_parquet_is_rejected(write, refused):
    assert ".gz" in refused(write("x.parquet.gz", "a")).message


def test_folder_without_a_dataset_is_rejected(tmp_path, refused):
    error = refused(tmp_path)
    assert isinstance(error, DataError)
    assert "save_to_disk" in error.hint


@pytest.mark.parametrize(
    ("name", "query", "known"),
    [
        ("x.tmx", "header=1", "none"),
        ("x.po", "source=a&target=b", "none"),
        ("x.jsonl", "header=1", "source, target"),
        ("x.tsv", "split=train", "header, source, target"),
    ],
)
def test_options_of_another_format_are_rejected(write, refused, name, query, known):
    error = refused(f"{write(name, 'a')}?{query}")
    assert isinstance(error, ConfigError)
    assert f"?{query.split('=')[0]}=" in error.message
    assert known in error.hint


def test_options_of_two_files_are_rejected(write, refused):
    value = f"{write('x.en', 'a')},{write('x.sw', 'b')}?header=1"
    assert "?header=" in refused(value).message


@pytest.mark.parametrize("suffix", [".tmx", ".html", ".jsonl", ".json.gz", ".tsv", ".tsv.gz"])
def test_two_files_are_plain_text(write, refused, suffix):
    error = refused(f"{write('x.en', 'a')},{write(f'x{suffix}', 'b')}")
    assert isinstance(error, DataError)
    assert f"x{suffix}: {suffix.removesuffix('.gz')} is not plain text" in error.message


def test_bare_cr_line_endings_are_rejected(write, read):
    assert read(write("x.tsv", "a\tb\rc\td\r")) == [("a", "b", 1), ("c", "d", 2)]
    assert read(write("x.csv", "a,b\rc,d")) == [("a", "b", 1), ("c", "d", 2)]
    assert read(write("x.jsonl", '{"en": "a", "sw": "b"}\r{"en": "c", "sw": "d"}\r')) == [
        ("a", "b", 1),
        ("c", "d", 2),
    ]
    assert read(f"{write('x.en', 'a' + chr(13) + 'c')},{write('x.sw', 'b' + chr(10) + 'd')}") == [
        ("a", "b", 1),
        ("c", "d", 2),
    ]
    assert read(write("x.po", 'msgid "a"\rmsgstr "b"\r')) == [("a", "b", 1)]
    assert read(write("y.tsv", "a\rb\tc\nd\te\n")) == [("a\rb", "c", 1), ("d", "e", 2)]


def peak_of_reading(path):
    spec = parse_pair_spec("en-sw", str(path))
    tracemalloc.start()
    try:
        rows = sum(1 for _ in read_pairs(spec, PairCounts()))
        return rows, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz", "x.csv", "x.tsv.zst"])
def test_memory_does_not_grow_with_the_file(write, name):
    mark = "," if ".csv" in name else "\t"
    # Random digits, because the decompressor's working memory depends on how well text compresses.
    lines = [f"{os.urandom(12).hex()}{mark}{os.urandom(12).hex()}\n" for _ in range(30_000)]
    small = peak_of_reading(write(f"small-{name}", "".join(lines[:3_000])))
    large = peak_of_reading(write(f"large-{name}", "".join(lines)))
    assert (small[0], large[0]) == (3_000, 30_000)
    assert large[1] < 1.5 * small[1] + 20_000


def test_data_imports_no_heavy_libraries():
    code = "import sys, otembed.data; print([m for m in ('torch', 'datasets', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
