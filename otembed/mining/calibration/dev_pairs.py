"""Development pairs for the threshold of a run: read, checked, and planted in the finished run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from otembed.config.train import PairChecks
from otembed.data import PairCounts, PairSpec, Row, clean_pairs, read_pairs
from otembed.embeddings.lines import read_side
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, DataError
from otembed.mining.calibration.calibrate import Calibration, calibrate, require_pairs
from otembed.mining.calibration.planting import mined_sides, plant
from otembed.mining.pairing.lengths import lengths_fit
from otembed.mining.search.plan import plan_search
from otembed.mining.side import Side
from otembed.results.format import counted
from otembed.runtime.processors import available_workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import TypeIs

    from otembed.config.mining import MiningConfig
    from otembed.embeddings.vectors import Vectors
    from otembed.mining.pairing.pairing import Candidates
    from otembed.mining.search.neighbors import Neighbors

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Hashable)
DevPlace = PairSpec | Sequence[tuple[str, str]] | tuple[np.ndarray, np.ndarray]
# More pairs would take longer without a better estimate: the error of a share of 2,000 pairs is .01.
MOST_PAIRS = 2000
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class DevPairs:
    """Pairs to plant: both sides row by row, without repeated lines and without lines of the collections."""

    sides: tuple[Side, Side]
    counts: PairCounts

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.counts.kept


def check_calibration(config: MiningConfig, calibrate: object) -> None:
    """Reject development pairs without ``threshold="auto"``, and ``auto`` without development pairs."""
    if (calibrate is None) == (config.threshold == "auto"):
        raise ConfigError(
            "threshold is auto, but there are no development pairs"
            if calibrate is None
            else f"development pairs are given, but threshold is {config.threshold}",
            "Use both: --threshold auto --calibrate XX-YY=FILE.",
        )


def open_dev_pairs(place: DevPlace, collections: Sequence[Side], config: MiningConfig) -> DevPairs:
    """Read development pairs and keep those that can be planted.

    Left out and counted: pairs that :func:`otembed.data.clean_pairs` drops; lines that occur twice on their side
    (``repeated``); lines that are in the collections (``in_collection``), because they would not be true orphans; and
    pairs beyond 2,000, evenly spread (``not_needed``).

    Parameters
    ----------
    place
        From :func:`otembed.data.parse_pair_spec`, a list of pairs of texts, or vectors of both sides (d, dimension).
    collections
        Both sides of the run.
    config
        ``max_characters``.

    Raises
    ------
    DataError
        The file cannot be read, or fewer than 50 pairs are left.

    Notes
    -----
    Texts are compared with the lines of a collection, vectors with its vectors if it has no lines. Texts cannot be
    compared with vectors.
    """
    if _are_vectors(place):
        return _open_vectors(place, collections)
    counts = PairCounts()
    rows = read_pairs(place, counts) if isinstance(place, PairSpec) else _listed(place)
    kept = list(clean_pairs(rows, PairChecks(max_characters=config.max_characters), counts))
    sides = [[row.source for row in kept], [row.target for row in kept]]
    held = [
        _held(set(side), (each.lines[row] for row in range(len(each.lines)))) if each.lines is not None else set()
        for side, each in zip(sides, collections, strict=True)
    ]
    chosen = choose_pairs(sides, held, counts)
    made = tuple(
        Side(read_side([side[row] for row in chosen], name=name, max_characters=None), language=each.language)
        for side, name, each in zip(sides, _names(), collections, strict=True)
    )
    return DevPairs((made[0], made[1]), counts)


def calibrate_run(
    pairs: Candidates,
    collections: tuple[Side, Side],
    found: tuple[Neighbors, Neighbors],
    planted: tuple[Side, Side],
    counts: PairCounts,
    config: MiningConfig,
) -> Calibration:
    """Choose the threshold of a run.

    Parameters
    ----------
    pairs
        One-to-one pairs without a threshold.
    collections
        Both sides.
    found
        Their neighbors.
    planted
        Both sides of the development pairs, row by row.
    counts
        Counts of the development pairs.
    config
        The settings of the run.

    Raises
    ------
    DataError
        A planted line has a zero vector, or as in :func:`otembed.mining.calibration.calibrate.calibrate`.
    """
    if any(len(each) != counts.kept for each in planted):
        raise DataError("a development pair has a zero vector", "Remove the pair.")
    rows, columns = map(len, collections)
    dimension, workers = collections[0].rows.vectors.dimension, config.workers or available_workers()
    plan = plan_search(rows, columns, dimension, config.k, workers=workers, memory_gb=config.memory_gb)
    # Planted rows are centered by the mean of the collection that they join.
    joined = [
        own.centered(side.rows.mean) if side.rows.centered else own
        for own, side in zip(planted, collections, strict=True)
    ]
    where = plant(
        collections,
        mined_sides(pairs, found),
        (joined[0], joined[1]),
        config,
        fits=None
        if config.max_length_ratio is None
        else partial(
            lengths_fit, ratio=config.max_length_ratio, from_characters=PairChecks().ratio_from_characters
        ),
        tiling=plan.tiling,
    )
    result = calibrate(
        pairs.score,
        where,
        rows,
        columns,
        min_precision=config.min_precision,
        left_out=dict(counts.dropped),
    )
    warn_of_misfit(result)
    return result


def warn_of_misfit(result: Calibration) -> None:
    """Log a warning if the development pairs differ from the collections."""
    if result.misfit > result.misfit_bound:
        logger.warning(
            "calibration: the development pairs differ from the collections, so the figures may be wrong "
            "(misfit %.2f, at most %.2f by chance)",
            result.misfit,
            result.misfit_bound,
        )


def _names() -> tuple[str, str]:
    return "development pairs (source)", "development pairs (target)"


def _are_vectors(place: DevPlace) -> TypeIs[tuple[np.ndarray, np.ndarray]]:
    return isinstance(place, tuple) and len(place) == 2 and all(isinstance(side, np.ndarray) for side in place)


def _listed(pairs: Iterable[tuple[str, str]]) -> Iterator[Row]:
    for number, pair in enumerate(pairs, start=1):
        if len(pair) != 2 or not all(isinstance(side, str) for side in pair):
            raise DataError(f"development pair {number} is not a pair of texts", "Pass pairs of strings.")
        yield Row(*pair, number)


def _open_vectors(place: tuple[np.ndarray, np.ndarray], collections: Sequence[Side]) -> DevPairs:
    matrices = [array_vectors(np.asarray(side), name) for side, name in zip(place, _names(), strict=True)]
    if len(matrices[0]) != len(matrices[1]):
        raise DataError(
            f"development pairs: {counted(len(matrices[0]), 'source row')}, {counted(len(matrices[1]), 'target row')}",
            "Pass one source row and one target row per pair.",
        )
    counts = PairCounts()
    for _ in range(len(matrices[0])):
        counts.keep()
    rows = [list(_row_bytes(each)) for each in matrices]
    held = [
        _held(set(side), _row_bytes(each.vectors)) if each.lines is None and each.vectors is not None else set()
        for side, each in zip(rows, collections, strict=True)
    ]
    chosen = np.array(choose_pairs(rows, held, counts), np.int64)
    made = tuple(Side(None, each.choose(chosen)) for each in matrices)
    return DevPairs((made[0], made[1]), counts)


def _row_bytes(vectors: Vectors) -> Iterator[bytes]:
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        for row in vectors.read(start, start + ROWS_AT_ONCE):
            yield row.tobytes()


def _held(wanted: set[T], lines: Iterable[T]) -> set[T]:
    return {line for line in lines if line in wanted}


def choose_pairs(sides: Sequence[Sequence[T]], held: Sequence[set[T]], counts: PairCounts) -> list[int]:
    """Return the indices of the pairs to plant; the others are removed from the counts; DataError if fewer than 50 stay."""
    seen: tuple[set[T], set[T]] = (set(), set())
    chosen, dropped = [], Counter[str]()
    for place, pair in enumerate(zip(*sides, strict=True)):
        if any(line in known for line, known in zip(pair, held, strict=True)):
            dropped["in_collection"] += 1
        elif any(line in known for line, known in zip(pair, seen, strict=True)):
            dropped["repeated"] += 1
        else:
            chosen.append(place)
            for line, known in zip(pair, seen, strict=True):
                known.add(line)
    for reason, number in dropped.items():
        counts.withdraw(reason, number)
    require_pairs(len(chosen), f" ({counts.summary()})")
    if len(chosen) > MOST_PAIRS:
        counts.withdraw("not_needed", len(chosen) - MOST_PAIRS)
        chosen = [chosen[place] for place in np.linspace(0, len(chosen) - 1, MOST_PAIRS).astype(int)]
    return chosen
