import os
import pickle
import subprocess
import sys
import tracemalloc

import pytest

from otembed.data import PairChecks, load_pairs, parse_pair_spec, split_held_out, text_digest
from otembed.errors import ConfigError, DataError


@pytest.fixture
def load(write):
    def load(rows, key="en-sw", **options):
        path = write("x.tsv", "".join(f"{a}\t{b}\n" for a, b in rows))
        return load_pairs(parse_pair_spec(key, str(path)), **options)

    return load


def rows_of(text):
    return list(zip(text.dataset["source"], text.dataset["target"], strict=True))


NUMBERED = [(f"sentence {n}", f"sentensi {n}") for n in range(40)]


@pytest.mark.parametrize(
    ("key", "pivot", "languages", "swapped"),
    [
        ("en-sw", "en", ("sw", "en"), True),
        ("sw-en", "en", ("sw", "en"), False),
        ("ar-sw", "en", ("ar", "sw"), False),
        ("en-sw", "sw", ("en", "sw"), False),
        ("en-sw", None, ("en", "sw"), False),
        ("en_GB-sw", "en", ("sw", "en_GB"), True),
        ("en_GB-en", "en", ("en_GB", "en"), False),
        ("en-en_GB", "en", ("en_GB", "en"), True),
        ("en_US-en_GB", "en", ("en_US", "en_GB"), False),
        ("eng_Latn-swh_Latn", "en", ("swh_Latn", "eng_Latn"), True),
        ("en-sw", "eng", ("sw", "en"), True),
        ("en-sw", "EN", ("sw", "en"), True),
        ("en-sw", "en_GB", ("sw", "en"), True),
        ("zh_Hant-en", "zh_Hans", ("zh_Hant", "en"), False),
    ],
)
def test_pivot_is_the_target(load, key, pivot, languages, swapped):
    named = load([("first", "second")], key)
    assert rows_of(named) == [("first", "second")]
    assert "-".join((named.source_language, named.target_language)) == key
    text = named.with_pivot(pivot)
    assert (text.source_language, text.target_language) == languages
    assert rows_of(text) == [("second", "first") if swapped else ("first", "second")]
    assert text.dataset.column_names == ["source", "target"]
    assert text.pair == key
    assert text.path.endswith("x.tsv")
    assert rows_of(text.with_pivot(pivot)) == rows_of(text)


def test_one_string_names_pair_and_file(write):
    path = write("x.tsv", "a\tb\n")
    assert rows_of(load_pairs(f"sw-en={path}?source=1&target=0")) == [("b", "a")]
    with pytest.raises(ConfigError, match="en-sw=FILE"):
        load_pairs("en-sw")


def test_loaded_text_has_counts(load):
    text = load([("a", "b"), ("a", "b"), ("", "b"), ("c", "d")])
    assert rows_of(text) == [("a", "b"), ("c", "d")]
    assert text.counts.as_dict() == {
        "read": 4,
        "kept": 2,
        "dropped": {"duplicate": 1, "empty": 1},
        "examples": {"duplicate": [2], "empty": [3]},
    }


def test_counts_include_rows_the_format_drops(write):
    path = write("x.po", '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "Yes"\nmsgstr "Ndiyo"\n')
    text = load_pairs(parse_pair_spec("en-sw", str(path)))
    assert (text.counts.read, text.counts.kept, text.counts.dropped) == (2, 1, {"fuzzy": 1})


def test_checks_are_applied(load):
    assert len(load([("same", "same"), ("a", "b")], checks=PairChecks(drop_identical=False))) == 2
    assert len(load([("same", "same"), ("a", "b")], exclude={text_digest("same")})) == 1


def test_limit_keeps_the_first_rows_and_stops_reading(load):
    text = load([("", "x"), *NUMBERED], limit=3)
    assert [source for source, _ in rows_of(text)] == ["sentence 0", "sentence 1", "sentence 2"]
    assert (text.counts.read, text.counts.kept) == (4, 3)
    assert len(load(NUMBERED, limit=1000)) == 40


def test_limit_with_a_seed_samples(load):
    drawn = rows_of(load(NUMBERED, limit=10, seed=1))
    assert drawn == rows_of(load(NUMBERED, limit=10, seed=1))
    assert drawn != rows_of(load(NUMBERED, limit=10, seed=2))
    assert len(set(drawn)) == 10
    assert load(NUMBERED, limit=10, seed=1).counts.kept == 40
    assert rows_of(load(NUMBERED, limit=40, seed=1)) == rows_of(load(NUMBERED))


def test_changed_file_is_read_again(load):
    assert rows_of(load([("a", "b")])) == [("a", "b")]
    assert rows_of(load([("c", "d")])) == [("c", "d")]


def test_more_rows_than_a_batch_keep_their_order(load):
    rows = [(f"sentence {n}", f"sentensi {n}") for n in range(3000)]
    assert rows_of(load(rows)) == rows


def test_dataset_can_be_sent_to_workers(load):
    text = load(NUMBERED)
    assert pickle.loads(pickle.dumps(text.dataset))["source"][39] == "sentence 39"


def test_nothing_is_printed(load, capfd):
    load(NUMBERED)
    assert capfd.readouterr() == ("", "")


def test_text_without_a_kept_row_is_rejected_with_counts(load):
    with pytest.raises(DataError) as caught:
        load([("same", "same"), ("", "x"), ("same", "same")])
    assert "identical 2 (lines 1, 3), empty 1" in caught.value.message


@pytest.mark.parametrize("limit", [0, -1, 2.5, True])
def test_invalid_limit_is_rejected(load, limit):
    with pytest.raises(ConfigError, match="limit"):
        load(NUMBERED, limit=limit)


def test_invalid_seed_is_rejected(load):
    with pytest.raises(ConfigError, match="-1"):
        load(NUMBERED, limit=3, seed=-1)


def test_memory_grows_only_by_digests(write):
    def peak(rows):
        path = write("x.tsv", "".join(f"{n} {'word ' * 40}\t{n} {'neno ' * 40}\n" for n in range(rows)))
        tracemalloc.start()
        try:
            assert len(load_pairs(parse_pair_spec("en-sw", str(path)), PairChecks(drop_duplicates=False))) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(12_000) < 1.5 * peak(3_000) + 50_000


def test_temporary_files_are_removed_at_exit(tmp_path, write):
    path = write("x.tsv", "a\tb\n")
    code = (
        "from otembed.data import *; import os\n"
        f"text = load_pairs(parse_pair_spec('en-sw', {str(path)!r}))\n"
        "print(text.dataset.cache_files[0]['filename'])\n"
        "child = os.fork()\n"
        "if not child: raise SystemExit\n"
        "os.waitpid(child, 0); assert os.path.exists(text.dataset.cache_files[0]['filename'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.stdout.startswith(str(tmp_path / "otembed-"))
    assert list(tmp_path.glob("otembed-*")) == []


def test_held_out_sentences_are_not_in_train(load):
    rows = [(f"sentence {n}", f"sentensi {n // 2}") for n in range(60)]
    train, held_out = split_held_out(load(rows), 10, seed=3)
    assert len(held_out) == 10
    for column in ("source", "target"):
        assert not set(train.dataset[column]) & set(held_out.dataset[column])
    shared = 60 - 10 - len(train)
    assert shared > 0
    assert train.counts.as_dict() == {
        "read": 60,
        "kept": len(train),
        "dropped": {"split_off": 10, "held_out": shared},
        "examples": {},
    }
    assert train.counts.summary() == f"60 read, {len(train)} kept, 10 held out, dropped: held_out {shared}"
    assert (held_out.counts.read, held_out.counts.kept) == (10, 10)
    again = split_held_out(load(rows), 10, seed=3)
    assert rows_of(again[0]) == rows_of(train)
    assert rows_of(again[1]) == rows_of(held_out)
    assert rows_of(split_held_out(load(rows), 10, seed=4)[1]) != rows_of(held_out)


def test_split_does_not_change_the_text(load):
    text = load(NUMBERED)
    train, held_out = split_held_out(text, 5, seed=0)
    assert text.counts.kept == len(text) == 40
    assert train.counts.dropped == {"split_off": 5}
    assert sorted(rows_of(train) + rows_of(held_out)) == sorted(rows_of(text))


@pytest.mark.parametrize("size", [0, 40, 41, -1, 1.5])
def test_invalid_held_out_size_is_rejected(load, size):
    with pytest.raises(ConfigError, match=f"en-sw: .*{size} of 40"):
        split_held_out(load(NUMBERED), size, seed=0)


def test_held_out_set_that_leaves_no_training_text_is_rejected(load):
    with pytest.raises(DataError, match="en-sw: "):
        split_held_out(load([(f"a{n}", "same") for n in range(5)]), 1, seed=0)
