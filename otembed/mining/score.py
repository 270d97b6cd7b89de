"""Margin scores of the pairs of an existing bitext, to sort or filter it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from otembed.config.mining import MiningConfig
from otembed.data import PairSpec, Row, read_pairs
from otembed.embeddings.lines import read_side
from otembed.embeddings.rows import paired_cosines
from otembed.errors import DataError
from otembed.mining.mine import make_config
from otembed.mining.output import MinedPair
from otembed.mining.pairing.margin import margin_scores, mean_similarity
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.search import search
from otembed.mining.side import Side, center_both, load_encoder
from otembed.results import Result
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class ScoreReport(Result):
    """Report of scoring a bitext; ``unusable`` pairs have an empty or too long side, and no score."""

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


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Pairs in the order of the bitext, with their scores.

    Iterating yields :class:`MinedPair` of each usable pair; both ids are its line.

    Parameters
    ----------
    scores, cosines
        (pairs,) float64 and float32; NaN where a pair is not usable.
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
        """Yield the usable pairs in order."""
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
        From :func:`otembed.data.parse_pair_spec` (read several times), or a list of texts.
    model
        A sentence-transformers encoder, or any argument of :func:`otembed.load_model`.
    config, settings
        As for :func:`otembed.mine_bitext`; ``margin``, ``k``, ``center``, ``rescore`` and the settings of embedding
        and search have an effect.
    cache, device, progress
        As for :func:`otembed.mine_bitext`.

    Raises
    ------
    DataError
        The text cannot be read, or no pair is usable.

    Notes
    -----
    A score measures how much closer the two sides are to each other than to other lines *of this bitext*. In a small or
    narrow bitext the neighbors are distant, and scores are higher than in a large one.
    """
    config = make_config(config, settings)
    config.refuse_page()
    if isinstance(pairs, PairSpec):
        spec = pairs
        name = spec.where
        languages: tuple[str | None, str | None] = (spec.source_language, spec.target_language)

        def rows() -> Iterator[Row]:
            return read_pairs(spec)

    else:
        listed = [_row(pair, number) for number, pair in enumerate(pairs, start=1)]
        name, languages = "pairs", config.side_languages

        def rows() -> Iterator[Row]:
            return iter(listed)

    texts: tuple[Iterable[str], Iterable[str]] = (row.source for row in rows()), (row.target for row in rows())
    lines = [
        read_side(side, name=f"{name} ({label})", max_characters=config.max_characters)
        for side, label in zip(texts, ("source", "target"), strict=True)
    ]
    sides = [Side(each, language=language) for each, language in zip(lines, languages, strict=True)]
    with open_executor(config) as executor:
        encoder = load_encoder(model, sides, "cpu" if executor.remote else device)
        rescorer = open_rescorer(sides, encoder, config, cache=cache)
        load_as = str(model) if isinstance(model, str | Path) else None
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
            "Check the columns, or raise max_characters.",
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
    )
    return ScoredPairs(scores, cosines, report, rows)


def _row(pair: tuple[str, str], number: int) -> Row:
    if len(pair) != 2:
        raise DataError(f"pair {number} has {len(pair)} sides", "Pass pairs of two texts.")
    return Row(*pair, number)
