import math
from collections import Counter
from itertools import pairwise

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.data import resample, temperature_sizes
from otembed.errors import ConfigError


@pytest.mark.parametrize(
    ("sizes", "temperature", "expected"),
    [
        ({"a": 90, "b": 10}, 1, {"a": 90, "b": 10}),
        # Roots 3 and 1 of the ratio 9:1 share 100 as 75 and 25.
        ({"a": 90, "b": 10}, 2, {"a": 75, "b": 25}),
        # Cube roots 4, 2, 1 of 64, 8, 1 share 73 as 41.7, 20.9, 10.4.
        ({"a": 64, "b": 8, "c": 1}, 3, {"a": 42, "b": 21, "c": 10}),
        ({"a": 90, "b": 10}, math.inf, {"a": 50, "b": 50}),
        ({"a": 5, "b": 1, "c": 1}, math.inf, {"a": 3, "b": 2, "c": 2}),
        ({"a": 7}, 5.0, {"a": 7}),
        ({}, 5.0, {}),
    ],
)
def test_shares_by_hand(sizes, temperature, expected):
    assert temperature_sizes(sizes, temperature) == expected


sizes_of_pairs = st.dictionaries(st.text(max_size=3), st.integers(1, 10**7), min_size=1, max_size=6)


@given(sizes_of_pairs, st.floats(1, 100))
def test_shares_sum_to_the_total_and_keep_the_order(sizes, temperature):
    shares = temperature_sizes(sizes, temperature)
    assert sum(shares.values()) == sum(sizes.values())
    assert all(share >= 1 for share in shares.values())
    order = sorted(sizes, key=sizes.get)
    assert all(shares[small] <= shares[big] + 1 for small, big in pairwise(order))


@given(sizes_of_pairs)
def test_temperature_1_is_proportional_and_infinity_uniform(sizes):
    assert temperature_sizes(sizes, 1) == sizes
    uniform = temperature_sizes(sizes, math.inf).values()
    assert max(uniform) - min(uniform) <= 1


@pytest.mark.parametrize("temperature", [0.5, 0, -1, math.nan, "2", True])
def test_invalid_temperature_is_rejected(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        temperature_sizes({"a": 1}, temperature)


def test_pair_without_text_is_rejected():
    with pytest.raises(ConfigError, match="en-sw"):
        temperature_sizes({"en-sw": 0, "en-ar": 3}, 2)


@pytest.fixture
def dataset():
    return datasets.Dataset.from_dict(
        {"source": [f"s{n}" for n in range(10)], "target": [f"t{n}" for n in range(10)]}
    )


def test_fewer_rows_are_sampled_without_replacement(dataset):
    rows = resample(dataset, 4, seed=1)["source"]
    assert len(set(rows)) == 4
    assert list(rows) == sorted(rows)
    assert list(resample(dataset, 4, seed=1)["source"]) == list(rows)
    assert any(list(resample(dataset, 4, seed=seed)["source"]) != list(rows) for seed in range(2, 6))


def test_more_rows_are_whole_passes_plus_a_sample(dataset):
    rows = list(resample(dataset, 23, seed=1)["source"])
    assert rows[:20] == [f"s{n}" for n in range(10)] * 2
    assert sorted(Counter(rows).values()) == [2] * 7 + [3] * 3
    assert list(resample(dataset, 20, seed=1)["source"]) == rows[:20]


def test_sampling_keeps_source_and_target_together(dataset):
    assert all(row["source"][1:] == row["target"][1:] for row in resample(dataset, 33, seed=0))


def test_same_size_is_the_same_dataset(dataset):
    assert resample(dataset, 10, seed=1) is dataset


@pytest.mark.parametrize(("n", "seed", "message"), [(0, 0, "0 rows .*10"), (3, -1, "-1")])
def test_invalid_sizes_are_rejected(dataset, n, seed, message):
    with pytest.raises(ConfigError, match=message):
        resample(dataset, n, seed)


def test_empty_dataset_is_rejected():
    with pytest.raises(ConfigError, match=r"5 rows .*0"):
        resample(datasets.Dataset.from_dict({"source": []}), 5, seed=0)
