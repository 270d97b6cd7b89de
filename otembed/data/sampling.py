"""Sampling of rows per language pair; only indices are stored, no copies of the text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets.arrow_dataset import Dataset
    from numpy.typing import NDArray


def temperature_sizes(sizes: Mapping[str, int], temperature: float) -> dict[str, int]:
    r"""Return how many rows each language pair gets; the total stays the same.

    .. math:: p_i \propto \left(\frac{n_i}{\sum_j n_j}\right)^{1/T}

    Sizes are rounded by largest remainder, so their sum does not change.

    Parameters
    ----------
    sizes
        Number of rows of each pair, at least 1.
    temperature
        ``T >= 1``: 1 is proportional, infinity uniform.

    Raises
    ------
    ConfigError
        The temperature is below 1, or a size below 1.

    References
    ----------
    Arivazhagan et al. (2019), Massively Multilingual Neural Machine Translation in the Wild, section 4.2.

    >>> temperature_sizes({"en-de": 90, "en-sw": 10}, 2)
    {'en-de': 75, 'en-sw': 25}
    """
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not temperature >= 1:
        raise ConfigError(f"temperature is {temperature!r}", "Use a number of at least 1 (1 is proportional).")
    for pair, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{pair} has {size} sentence pairs", "Remove pairs without text.")
    if not sizes:
        return {}
    total = sum(sizes.values())
    weights = {pair: (size / total) ** (1 / temperature) for pair, size in sizes.items()}
    scale = total / math.fsum(weights.values())
    quotas = {pair: weight * scale for pair, weight in weights.items()}
    rounded = {pair: math.floor(quota) for pair, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda pair: rounded[pair] - quotas[pair])
    for pair in by_remainder[: total - sum(rounded.values())]:
        rounded[pair] += 1
    return rounded


def resample(dataset: Dataset, n: int, seed: int) -> Dataset:
    """Return ``n`` rows of a dataset: every row ``n // len`` times, and a random subset one additional time.

    The rows come in whole passes, each in the order of the dataset. Only indices are stored (8 bytes per
    row); with ``n == len(dataset)``, the dataset itself is returned.

    Raises
    ------
    ConfigError
        ``n`` is below 1, the dataset is empty, or the seed is negative.
    """
    length = len(dataset)
    if n < 1 or length < 1:
        raise ConfigError(f"cannot draw {n} rows from {length}", "Draw at least 1 row from a non-empty dataset.")
    if n == length:
        return dataset
    passes, rest = divmod(n, length)
    indices = np.concatenate([np.tile(np.arange(length), passes), draw(length, rest, seed)])
    chosen: Dataset = dataset.select(indices)
    return chosen


def draw(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """Return ``n`` different indices below ``total``, drawn uniformly with the seed, in ascending order."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}", "Use a whole number of at least 0.")
    return np.sort(np.random.default_rng(seed).choice(total, size=n, replace=False)).astype(np.int64)
