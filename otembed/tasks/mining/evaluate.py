"""Bitext mining against known pairs: precision, recall and F1 by threshold, average precision, the BUCC protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from otembed.config.mining import MiningConfig
from otembed.data.compression import read_lines
from otembed.errors import ConfigError, DataError
from otembed.mining import MinedPairs, mine_bitext
from otembed.mining.side import Side, check_run, load_encoder, load_once, open_sides
from otembed.results import Table
from otembed.results.format import counted, percent
from otembed.results.outcomes import Outcomes
from otembed.tasks.mining.outcomes import best_count, collections_digest, mining_outcomes
from otembed.tasks.report import Report

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.lines import Lines

    Gold = set[tuple[int | str, int | str]]

CURVE_POINTS = 200


@dataclass(frozen=True)
class MiningScores(Report):
    """Scores of mined pairs against known ones, between 0 and 1.

    ``precision``, ``recall`` and ``f1`` refer to the pairs at ``threshold`` or above: ``found`` pairs, of which
    ``right`` are in gold. ``best_f1`` is the highest F1 of any threshold, reached at ``best_threshold``; this threshold
    is chosen on gold, so ``best_f1`` is an upper bound. ``gold`` counts distinct known pairs, ``gold_unusable`` the
    known pairs with a line that was left out. ``curve`` has at most 200 points ``(threshold, precision, recall)``,
    including the point of the best F1. ``outcomes`` are the contributions of each source line to ``f1`` and ``best_f1``.
    """

    name: str
    gold: int
    gold_unusable: int
    found: int
    right: int
    threshold: float | None
    precision: float
    recall: float
    f1: float
    best_f1: float
    best_threshold: float | None
    average_precision: float
    curve: tuple[tuple[float, float, float], ...] = ()
    outcomes: tuple[Outcomes, ...] = ()

    def table(self) -> Table:
        """Return the figures as names and values: percent, except thresholds and counts."""

        def threshold(value: float | None) -> str:
            return "none" if value is None else f"{value:.4f}"

        rows = [
            ("known pairs", f"{self.gold:,}"),
            ("known pairs with a dropped line", f"{self.gold_unusable:,}"),
            ("threshold", threshold(self.threshold)),
            ("pairs found", f"{self.found:,}"),
            ("correct", f"{self.right:,}"),
            ("precision", percent(self.precision)),
            ("recall", percent(self.recall)),
            ("F1", percent(self.f1)),
            ("best F1 of any threshold", percent(self.best_f1)),
            ("threshold of the best F1", threshold(self.best_threshold)),
            ("average precision", percent(self.average_precision)),
        ]
        return Table((), rows, title=self.name)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the scores and their outcomes from :meth:`to_dict`'s output."""
        curve = tuple(tuple(point) for point in document.get("curve") or ())
        return super().from_dict({**document, "curve": curve})


def mining_scores(
    scores: ArrayLike,
    right: ArrayLike,
    gold: int,
    *,
    threshold: float | None = None,
    name: str = "mining",
    gold_unusable: int = 0,
) -> MiningScores:
    r"""Score mined pairs against known ones.

    With the pairs in order of score, :math:`P_t` and :math:`R_t` precision and recall of all pairs with score t or
    above, and t over the different scores:

    - :math:`F_1(t) = 2 P_t R_t / (P_t + R_t)`, 0 if no right pair is found,
    - average precision :math:`\sum_t (R_t - R_{t'}) P_t`, with :math:`t'` the next higher score; known pairs that
      were not found at any score count as misses.

    Parameters
    ----------
    scores, right
        (p,) scores of the mined pairs in any order, and whether each is in gold.
    gold
        Number of known pairs.
    threshold
        The threshold in use; ``None``: every pair.
    name, gold_unusable
        Copied to the result.

    Returns
    -------
    MiningScores
        ``best_threshold`` is half-way to the next lower score, as in the scripts of BUCC; ties go to the higher
        threshold.

    Raises
    ------
    DataError
        There are no known pairs, or fewer than correct ones.

    Examples
    --------
    >>> found = mining_scores([3.0, 2.0, 1.0], [True, False, True], 2)
    >>> found.best_f1, found.best_threshold, round(found.average_precision, 4)
    (0.8, 1.0, 0.8333)
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    values, hits = np.asarray(scores, np.float64)[order], np.asarray(right, bool)[order]
    if gold < 1 or hits.sum() > gold:
        raise DataError(
            f"{name}: {counted(gold, 'known pair')}, but {counted(int(hits.sum()), 'correct one')}",
            "Pass every known pair.",
        )
    # A threshold cannot separate pairs with equal scores, so figures are computed after the last of each score.
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.empty(0, np.int64)
    reached = np.cumsum(hits)[ends] if len(values) else np.empty(0)
    precision, recall = reached / (ends + 1), reached / gold
    f1 = 2 * reached / (ends + 1 + gold)
    steps = np.diff(recall, prepend=0.0)
    best = int(f1.argmax()) if len(f1) else None
    best_threshold = None
    if best is not None:
        cut = values[ends[best]]
        best_threshold = float((cut + values[ends[best] + 1]) / 2 if best + 1 < len(ends) else cut)
    found = len(values) if threshold is None else int((values >= threshold).sum())
    good = int(hits[:found].sum())
    shown = np.linspace(0, len(ends) - 1, min(CURVE_POINTS - 1, len(ends))).round().astype(np.int64)
    shown = np.unique(shown if best is None else np.append(shown, best))
    return MiningScores(
        name=name,
        gold=gold,
        gold_unusable=gold_unusable,
        found=found,
        right=good,
        threshold=threshold,
        precision=good / found if found else 0.0,
        recall=good / gold,
        f1=2 * good / (found + gold),
        best_f1=float(f1[best]) if best is not None else 0.0,
        best_threshold=best_threshold,
        average_precision=float((steps * precision).sum()),
        curve=tuple((float(values[ends[i]]), float(precision[i]), float(recall[i])) for i in shown),
    )


def read_gold(path: str | Path) -> Gold:
    """Read known pairs: two tab-separated ids on each line (BUCC).

    Raises
    ------
    DataError
        A line does not have two ids, or there are no pairs.
    """
    path = Path(path)
    pairs: Gold = set()
    for number, line in read_lines(path):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise DataError(
                f"{counted(len(fields), 'field')}, not two ids",
                "Write source id, tab, target id.",
                path=path,
                line=number,
            )
        pairs.add((fields[0], fields[1]))
    if not pairs:
        raise DataError("the file has no known pairs", "Write source id, tab, target id on each line.", path=path)
    return pairs


def score_mined(
    mined: MinedPairs, gold: Iterable[tuple[int | str, int | str]], *, threshold: float | None, name: str = "mining"
) -> MiningScores:
    """Score a mining run without a threshold against known pairs.

    The id of a repeated line is replaced by the id of the first line with the same text, so a pair is correct for any
    copy in gold. Known pairs with a line that was left out count as not found.

    Raises
    ------
    DataError
        No known pair is in the collections, which indicates ids of a different kind.
    """
    first = [_ids(side) for side in (mined.source, mined.target)]
    known: set[tuple[str, str]] = set()
    unusable: set[tuple[str, str]] = set()
    for pair in gold:
        source, target = (str(each) for each in pair)
        if source in first[0] and target in first[1]:
            known.add((first[0][source], first[1][target]))
        else:
            unusable.add((source, target))
    if not known:
        raise _unknown(unusable, name)
    right = [(str(pair.source_id), str(pair.target_id)) in known for pair in mined]
    scores = mining_scores(
        mined.pairs.score,
        right,
        len(known) + len(unusable),
        threshold=threshold,
        name=name,
        gold_unusable=len(unusable),
    )
    row_of = {str(mined.source.id_of(row)): row for row in range(len(mined.source))}
    # Known pairs without a usable source line count too: they are distributed over the lines in turn.
    gold_lines = [row_of.get(pair[0], turn) for turn, pair in enumerate(sorted(known | unusable))]
    taken = {"f1": scores.found, "best_f1": best_count(mined.pairs.score, right, scores.gold)}
    examples = collections_digest(mined.source, mined.target, known | unusable)
    outcomes = mining_outcomes(
        mined.pairs.source, right, gold_lines, len(row_of), taken, name=name, examples=examples
    )
    return replace(scores, outcomes=outcomes)


def _unknown(pairs: set[tuple[str, str]], name: str) -> DataError:
    known = counted(len(pairs), "known pair")
    if not pairs:
        return DataError(f"{name}: {known}", "Pass at least one pair of ids.")
    return DataError(
        f"{name}: no known pair is in the collections ({known}, such as {min(pairs)})",
        "Use line numbers counted from 1, or the ids of FILE?text=1&id=0.",
    )


def _ids(side: Side | Lines) -> dict[str, str]:
    """Return the id of the first line with the same text, by id."""
    ids = {str(side.id_of(row)): str(side.id_of(row)) for row in range(len(side))}
    lines = side.lines if isinstance(side, Side) else side
    repeats = {} if lines is None else lines.first_ids()
    return ids | {str(repeat): str(original) for repeat, original in repeats.items()}


def evaluate_mining(
    source: Any,
    target: Any,
    gold: Iterable[tuple[int | str, int | str]],
    model: SentenceTransformer | str | None = None,
    *,
    train: tuple[Any, Any, Iterable[tuple[int | str, int | str]]] | None = None,
    config: MiningConfig | None = None,
    name: str = "mining",
    **options: Any,
) -> MiningScores:
    """Mine two collections and score the pairs against known ones.

    Parameters
    ----------
    source, target, model, options
        As for :func:`otembed.mine_bitext`.
    gold
        Known pairs of ids: line numbers from 1, or the file's own.
    train
        Source, target and gold of a training part: the threshold is the one with the best F1 there (BUCC).
        Without it, the threshold of ``config`` is used.
    config
        Settings; margin and k are the same for both parts.

    Raises
    ------
    DataError
        As for mining, or no known pair is in the collections.
    ConfigError
        A training part is given together with a threshold or with precomputed vectors.
    """
    config = MiningConfig() if config is None else config
    config.refuse_unused("otembed eval mining")
    every = _without_threshold(config)
    if train is not None and config.threshold != "default":
        raise ConfigError("threshold and the training part are mutually exclusive", "Remove one of them.")
    if train is not None and any(options.get(each) is not None for each in ("source_vectors", "target_vectors")):
        raise ConfigError(
            "source_vectors and target_vectors are those of one part, but there is a training part, too",
            "Pass the vectors of each part in place of its lines.",
        )
    threshold: float | None = None
    shared: Any = model
    gold = set(gold)
    vectors = options.get("source_vectors"), options.get("target_vectors")
    sides = open_sides(source, target, *vectors, every)
    _check_known(sides, gold, name)
    if train is not None:
        part, its_gold = f"{name}, training part", set(train[2])
        its_sides = open_sides(train[0], train[1], None, None, every)
        _check_known(its_sides, its_gold, part)
        shared = load_once(model, (*sides, *its_sides), every, options.get("device"))
        check_run(sides, load_encoder(shared, sides), every)
        left, right = _places(train[:2], its_sides)
        tuned = mine_bitext(left, right, shared, config=every, **options)
        threshold = score_mined(tuned, its_gold, threshold=None, name=part).best_threshold
    left, right = _places((source, target), sides)
    mined = mine_bitext(left, right, shared, config=every, **options)
    if train is None:
        threshold = config.lowest_score(centered=mined.report.centered)
    return score_mined(mined, gold, threshold=threshold, name=name)


def _check_known(sides: Sequence[Side], gold: Gold, name: str) -> None:
    """Raise the error of :func:`score_mined` before mining, where lines have been read."""
    lines = [side.lines for side in sides]
    ids = [None if each is None else _ids(each) for each in lines]
    pairs = {(str(source), str(target)) for source, target in gold}
    if not any(
        all(known is None or each in known for each, known in zip(pair, ids, strict=True)) for pair in pairs
    ):
        raise _unknown(pairs, name)


def _places(places: Sequence[Any], sides: Sequence[Side]) -> list[Any]:
    """Return the lines of each side, so that they are not read again, or its vectors."""
    return [place if side.lines is None else side.lines for place, side in zip(places, sides, strict=True)]


def _without_threshold(config: MiningConfig) -> MiningConfig:
    return MiningConfig(**{**vars(config), "threshold": None})
