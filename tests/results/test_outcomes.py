"""A figure from its examples: value, checks, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.errors import DataError
from otembed.results.outcomes import Outcomes, digest_of, read_outcomes


def outcomes(values=(1, 0, 1, 1), weights=(), **changes):
    return Outcomes("xnli", "sw", "accuracy", digest_of(["a"]), tuple(values), tuple(weights), **changes)


def test_value_matches_a_hand_count():
    assert outcomes().value == 0.75
    assert outcomes((2, 1), (4, 2)).value == 0.5  # (2 + 1) / (4 + 2)


def test_document_round_trip():
    one = outcomes((2, 1), (4, 2), higher_is_better=False)
    assert read_outcomes(json.loads(json.dumps({"outcomes": [asdict(one)]}))) == (one,)
    assert read_outcomes({}) == ()


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ((), (), "xnli sw accuracy: "),
        ((1, 0), (1,), "2 values .*1 weights"),
        ((1, float("nan")), (), "NaN"),
        ((1, 0), (1, float("inf")), "NaN"),
        ((1, 0), (0, 0), "weights"),
        ((1, 0), (2, -1), "weights"),
        ((1e308, 1e308), (), "NaN"),
    ],
)
def test_invalid_outcomes_are_rejected(values, weights, message):
    with pytest.raises(DataError, match=message):
        outcomes(values, weights)


@pytest.mark.parametrize(
    "change",
    [
        {"values": ["x"]},
        {"values": None},
        {"values": [10**400]},
        {"unknown": 1},
        {"task": []},
        {"higher_is_better": "yes"},
    ],
)
def test_malformed_document_is_rejected(change):
    with pytest.raises(DataError, match="outcomes"):
        Outcomes.from_dict({**asdict(outcomes()), **change})


def test_weights_may_be_left_out_but_numbers_are_lists():
    document = {"suite": "s", "task": "t", "metric": "m", "examples": "x", "values": [1, 0]}
    assert Outcomes.from_dict(document).weights == ()
    with pytest.raises(DataError, match="lists of numbers"):
        Outcomes.from_dict({**document, "values": "10110110"})


def test_whole_numbers_round_trip_without_decimals():
    document = json.loads(json.dumps(asdict(outcomes((1, 0.5, 0.0)))))
    assert json.dumps(asdict(Outcomes.from_dict(document))["values"]) == "[1, 0.5, 0]"


def test_outcomes_that_are_not_a_list_are_rejected():
    with pytest.raises(DataError, match="int"):
        read_outcomes({"outcomes": 5})


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_digest_distinguishes_lists(first, second):
    assert (digest_of(first) == digest_of(second)) == (first == second)
