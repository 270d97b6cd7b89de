"""Streams of sentence pairs: batches of one language pair, no sentence twice, the same rows every time."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from otembed.config.train import PairChecks
from otembed.data import PairStream, parse_pair_spec, streamed, text_digest
from otembed.errors import DataError


@pytest.fixture
def stream(tmp_path):
    def make(key, count, *, exclude=(), limit=None, distinct=None):
        path = tmp_path / f"{key}.tsv"
        lines = [f"{key} source {n % (distinct or count)}\t{key} target number {n}" for n in range(count)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        digests = {text_digest(each) for each in exclude}
        return PairStream(parse_pair_spec(key, str(path)), PairChecks(), "en", digests, limit)

    return make


def drawn(streams, count, **settings):
    settings = {"batch": 4, "buffer": 10, "seed": 0} | settings
    return [(row["source"], row["target"]) for row in islice(streamed(streams, **settings), count)]


def test_batches_are_of_one_pair_in_turn_and_the_pivot_is_the_target(stream):
    rows = drawn([stream("en-sw", 40), stream("de-en", 40)], 32)
    # en is the first language of en-sw: its text is the target.
    assert [source.split()[:2] for source, _ in rows[::4]] == [["en-sw", "target"], ["de-en", "source"]] * 4
    for start in range(0, 32, 4):
        block = rows[start : start + 4]
        assert len({each.split()[0] for pair in block for each in pair}) == 1
        assert len({source for source, _ in block}) == len({target for _, target in block}) == 4


def test_every_pass_has_each_row_once_in_another_order(stream):
    rows = drawn([stream("de-en", 40)], 80)
    first, second = rows[:40], rows[40:]
    expected = {(f"de-en source {n}", f"de-en target number {n}") for n in range(40)}
    assert set(first) == set(second) == expected
    assert first != second
    assert first != sorted(first, key=lambda pair: int(pair[0].split()[-1]))
    assert drawn([stream("de-en", 40)], 80) == rows
    assert drawn([stream("de-en", 40)], 80, seed=1) != rows


def test_buffer_bounds_how_far_a_row_moves_forward(stream):
    rows = drawn([stream("de-en", 200)], 100, buffer=5)
    numbers = [int(source.split()[-1]) for source, _ in rows]
    assert all(number < place + 5 + 1 for place, number in enumerate(numbers))


def test_limit_and_held_out_sentences(stream):
    rows = drawn([stream("de-en", 40, exclude=["de-en source 3"], limit=8)], 24)
    assert {int(source.split()[-1]) for source, _ in rows} == {0, 1, 2, 4, 5, 6, 7, 8}


def test_repeated_sentences_wait_for_another_batch(stream):
    rows = drawn([stream("de-en", 40, distinct=5)], 120)
    for start in range(0, 120, 4):
        assert len({source for source, _ in rows[start : start + 4]}) == 4
    with pytest.raises(DataError, match="batches of 8") as caught:
        drawn([stream("de-en", 40, distinct=5)], 8, batch=8)
    assert "per_device_train_batch_size" in caught.value.hint


def test_text_with_a_frequent_sentence_is_read_to_its_end(tmp_path, caplog):
    path = tmp_path / "x.tsv"
    lines = [f"{'Yes.' if n % 2 else f'sentence {n}'}\tsentensi {n}" for n in range(400)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = PairStream(parse_pair_spec("en-sw", str(path)), PairChecks(), "sw", frozenset())
    rows = drawn([text], 1200)
    for start in range(0, 1200, 4):
        assert len({source for source, _ in rows[start : start + 4]}) == 4
    rare = [source for source, _ in rows if source != "Yes."]
    assert len(set(rare)) == 200
    assert [each.message for each in caplog.records if "'Yes.'" in each.message and "14" in each.message]
    assert len(caplog.records) == 1
    assert drawn([text], 1200) == rows


def test_sentences_withheld_from_the_text_itself_count_in_its_limit(stream):
    text = replace(stream("de-en", 40, limit=8), withheld={text_digest("de-en source 3")})
    assert {int(source.split()[-1]) for source, _ in drawn([text], 24)} == {0, 1, 2, 4, 5, 6, 7}


def test_text_without_a_usable_pair_is_an_error(stream):
    with pytest.raises(DataError, match="held_out 2"):
        drawn([stream("de-en", 2, exclude=["de-en source 0", "de-en source 1"])], 1)
