"""Margin scores of the pairs of an existing bitext, to sort or filter it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from otembed.config.keywords import checked_settings
from otembed.config.mining import MiningConfig
from otembed.config.train import PairChecks
from otembed.data import PairSpec, Row, read_pairs
from otembed.data.spooling import spool_rows
from otembed.embeddings.lines import read_side
from otembed.embeddings.rows import paired_cosines
from otembed.errors import ConfigError, DataError
from otembed.mining.output import MinedPair
from otembed.mining.pairing.lengths import lengths_fit
from otembed.mining.pairing.margin import margin_scores, mean_similarity
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.search import search
from otembed.mining.side import Side, center_both, language_filters, load_encoder, name_to_load
from otembed.results import Result
from otembed.results.format import counted
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class ScoreReport(Result):
    """Report of scoring a bitext; ``mean`` and ``median`` are those of all scores.

    ``unusable`` pairs have no score: a side is empty, too long or in another language. ``filtered`` pairs are left out by
    ``min_cosine`` or ``max_length_ratio``.
    """

    schema: ClassVar[int] = 2

    pairs: int
    unusable: int
    source: dict[str, Any]
    target: dict[str, Any]
    centered: bool
    k: int
    margin: str
    mean: float
    median: float
    rescore: str = "none"
    filtered: int = 0


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Pairs in the order of the bitext, with their scores.

    Iterating yields :class:`MinedPair` of each pair with a score; both ids are its line.

    Parameters
    ----------
    scores, cosines
        (pairs,) float64 and float32; NaN where a pair is not usable, scores also where it is filtered.
    report
        Counts, settings, and mean and median of the scores.
    """

    scores: NDArray[np.float64]
    cosines: NDArray[np.float32]
    report: ScoreReport
    _rows: Callable[[], Iterator[Row]]

    def __len__(self) -> int:
        """Return the number of pairs, usable or not."""
        return len(self.scores)

    def __iter__(self) -> Iterator[MinedPair]:
        """Yield the pairs with a score in order."""
        return self.above(-np.inf)

    def above(self, threshold: float) -> Iterator[MinedPair]:
        """Yield the pairs with at least this score, in the order of the bitext."""
        for score, cosine, row in zip(self.scores.tolist(), self.cosines.tolist(), self._rows(), strict=True):
            if score >= threshold:
                yield MinedPair(score, cosine, row.line, row.line, row.source, row.target)


def score_bitext(
    pairs: PairSpec | Sequence[tuple[str, str]],
    model: SentenceTransformer | str,
    *,
    config: MiningConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> ScoredPairs:
    """Return the margin score of every pair of a bitext; the neighbors are the other lines of the bitext.

    Parameters
    ----------
    pairs
        From :func:`otembed.data.parse_pair_spec` (read once, so a pipe works), or a list of texts.
    model
        A sentence-transformers encoder, or any argument of :func:`otembed.load_model`.
    config, settings
        As for :func:`otembed.mine_bitext`. ``min_cosine``, ``max_length_ratio``, ``source_language`` and
        ``target_language`` leave out pairs; ``threshold`` is for :meth:`ScoredPairs.above`.
    cache, device, progress
        As for :func:`otembed.mine_bitext`.

    Returns
    -------
    ScoredPairs
        The scores of all pairs in the order of the bitext, NaN where a pair is unusable, and the report.

    Raises
    ------
    DataError
        The text cannot be read, or no pair is usable.
    ConfigError
        A setting has no effect here, such as ``html``, or ``languages`` for pairs whose languages are known.

    Notes
    -----
    A score measures how much closer the two sides are to each other than to other lines *of this bitext*. In a small or
    narrow bitext the neighbors are distant, and scores are higher than in a large one.
    """
    config = checked_settings(MiningConfig, config, settings)
    config.refuse_unused("otembed score")
    rows: Callable[[], Iterator[Row]]
    languages: tuple[str | None, str | None]
    if isinstance(pairs, PairSpec):
        if config.languages is not None:
            raise ConfigError(
                f"languages is {'-'.join(config.languages)}, but the pairs are {pairs.key}", "Leave languages out."
            )
        name, languages = pairs.where, (pairs.source_language, pairs.target_language)
        rows = spool_rows(read_pairs(pairs))
    else:
        listed = [_row(pair, number) for number, pair in enumerate(pairs, start=1)]
        name, languages = "pairs", config.side_languages
        rows = partial(iter, listed)
    texts: tuple[Iterable[str], Iterable[str]] = (row.source for row in rows()), (row.target for row in rows())
    lines = [
        read_side(side, name=f"{name} ({label})", max_characters=config.max_characters, language=language)
        for side, label, language in zip(texts, ("source", "target"), language_filters(config), strict=True)
    ]
    sides = [Side(each, language=language) for each, language in zip(lines, languages, strict=True)]
    with open_executor(config) as executor:
        encoder = load_encoder(model, sides, "cpu" if executor.remote else device)
        rescorer = open_rescorer(sides, encoder, config, cache=cache)
        load_as = name_to_load(model)
        left, right = (
            side.embedded(
                encoder, config, cache=cache, executor=executor, load_as=load_as, device=device, progress=progress
            ).scanned()
            for side in sides
        )
        left, right = center_both(left, right, config.center)
        centered = left.rows.centered
        found = search(left.rows, right.rows, config, cache=cache, executor=executor, progress=progress)
    x, y = (side.rows_by_number() for side in lines)
    usable = (x >= 0) & (y >= 0)
    if not usable.any():
        raise DataError(
            f"{name}: no pair has two usable sides: {lines[0].counts.summary()}; {lines[1].counts.summary()}",
            "Check the columns and the languages, or raise max_characters.",
        )
    cosines = np.full(len(x), np.nan, np.float32)
    cosines[usable] = paired_cosines(left.rows, right.rows, x[usable], y[usable])
    scores = np.full(len(x), np.nan)
    lists, similarity = (found.forward, found.backward), cosines[usable]
    if rescorer is not None:
        rescored = rescorer.lists(*lists, center=centered, progress=progress)
        lists = rescored.forward, rescored.backward
        similarity = rescored.pairs(x[usable], y[usable], similarity)
    means = mean_similarity(lists[0])[x[usable]], mean_similarity(lists[1])[y[usable]]
    scores[usable] = margin_scores(similarity, *means, config.margin)
    kept = usable.copy()
    kept[usable] = _kept(cosines[usable], (lines[0].lengths[x[usable]], lines[1].lengths[y[usable]]), config)
    report = ScoreReport(
        pairs=len(x),
        unusable=int((~usable).sum()),
        source=left.counts,
        target=right.counts,
        centered=centered,
        k=config.k,
        margin=config.margin,
        mean=float(scores[usable].mean()),
        median=float(np.median(scores[usable])),
        rescore=config.rescore,
        filtered=int((usable & ~kept).sum()),
    )
    scores[~kept] = np.nan
    return ScoredPairs(scores, cosines, report, rows)


def _kept(
    cosines: NDArray[np.float32], lengths: tuple[NDArray[np.int32], NDArray[np.int32]], config: MiningConfig
) -> NDArray[np.bool_]:
    """Return which pairs are kept by ``min_cosine`` and ``max_length_ratio``."""
    kept = np.ones(len(cosines), bool)
    if config.min_cosine is not None:
        kept &= cosines >= config.min_cosine
    if config.max_length_ratio is not None:
        kept &= lengths_fit(
            *lengths, ratio=config.max_length_ratio, from_characters=PairChecks().ratio_from_characters
        )
    return kept


def _row(pair: tuple[str, str], number: int) -> Row:
    if len(pair) != 2:
        raise DataError(f"pair {number} has {counted(len(pair), 'side')}", "Pass pairs of two texts.")
    return Row(*pair, number)
