"""The contribution of each source line to the F1 of mined pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.results.outcomes import Outcomes, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from otembed.mining.side import Side

MOST_EXAMPLES = 2000
"""Longer collections are split into this many groups of lines, so that a report stays small."""


def mining_outcomes(
    lines: ArrayLike,
    right: ArrayLike,
    gold_lines: ArrayLike,
    count: int,
    taken: Mapping[str, int],
    *,
    name: str,
    examples: str,
) -> tuple[Outcomes, ...]:
    r"""Return F1 as a ratio of sums over source lines.

    With :math:`t_i` correct pairs, :math:`p_i` selected pairs and :math:`g_i` known pairs of source line i,

    .. math:: F_1 = \frac{\sum_i 2 t_i}{\sum_i (p_i + g_i)}.

    With more than 2000 lines, line i belongs to example i mod 2000, and examples are resampled as a whole.

    Parameters
    ----------
    lines, right
        (p,) source row of each mined pair, best score first, and whether the pair is known.
    gold_lines
        (g,) source row of each known pair.
    count
        Source lines.
    taken
        Name of each metric to the number of pairs, best first, that it covers.
    name
        Name of the task.
    examples
        Digest of collections and known pairs.

    Examples
    --------
    >>> (found,) = mining_outcomes([0, 1], [True, False], [0, 2], 3, {"f1": 2}, name="x", examples="")
    >>> found.values, found.weights
    ((2, 0, 0), (2, 1, 1))
    """
    size = min(count, MOST_EXAMPLES)
    rows, hits = np.asarray(lines, np.int64) % size, np.asarray(right, bool)
    known = _counted(np.asarray(gold_lines, np.int64) % size, size)
    return tuple(
        Outcomes(
            "mining",
            name,
            metric,
            examples,
            tuple((2 * _counted(rows[:pairs][hits[:pairs]], size)).tolist()),
            tuple((_counted(rows[:pairs], size) + known).tolist()),
        )
        for metric, pairs in taken.items()
    )


def best_count(scores: ArrayLike, right: ArrayLike, gold: int) -> int:
    """Return how many pairs, best first, give the highest F1; pairs with equal scores are not separated."""
    values, hits = np.asarray(scores, np.float64), np.asarray(right, bool)
    if not len(values):
        return 0
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    return int(ends[(np.cumsum(hits)[ends] * 2 / (ends + 1 + gold)).argmax()]) + 1


def collections_digest(source: Side, target: Side, gold: Iterable[tuple[str, str]]) -> str:
    """Return a hash of both collections and the known pairs; for vectors without text, only their number is hashed."""
    sides = [str(len(side)) if side.lines is None else side.lines.digest() for side in (source, target)]
    return digest_of([*sides, *("\t".join(pair) for pair in sorted(gold))])


def _counted(rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.bincount(rows, minlength=size)
