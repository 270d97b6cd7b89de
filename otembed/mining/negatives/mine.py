"""From parallel text to rows with hard negatives: lines, embeddings, nearest candidates, choice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.keywords import checked_settings
from otembed.config.negatives import NegativesConfig
from otembed.data import PairCounts, PairSpec, Row, clean_pairs, load_pairs
from otembed.data.load import refuse_idle_pivot, store_rows
from otembed.embeddings.lines import Lines, read_side
from otembed.embeddings.rows import paired_cosines
from otembed.embeddings.vectors import DTYPES
from otembed.errors import DataError
from otembed.mining.mine import name_of
from otembed.mining.negatives.choose import Candidates, Chosen, choose_negatives
from otembed.mining.negatives.output import NegativesRow, write_negatives
from otembed.mining.negatives.translations import largest_overlap, translation_groups
from otembed.mining.plan import MiningPlan, plan_mining
from otembed.mining.search.search import search
from otembed.mining.side import Side, center_both, load_encoder, name_to_load
from otembed.results import Result
from otembed.results.format import counted
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from datasets.arrow_dataset import Dataset
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.vectors import Floats, Ids

logger = logging.getLogger(__name__)

SIDES = ("source", "target")
Pairs = PairSpec | Sequence[tuple[str, str]]
# The search looks for this many translations of a sentence beside its candidates. A sentence with more of them, such as a
# dash, has fewer candidates.
MOST_TRANSLATIONS = 64


@dataclass(frozen=True)
class NegativesReport(Result):
    """Report of mining hard negatives.

    ``pairs`` counts the pairs that were read and kept, ``written`` those with enough negatives. ``considered`` counts the
    candidates of all sources, ``skipped`` those ruled out, by reason. ``mean_score`` is the mean cosine of the written
    pairs, ``mean_negative_score`` that of their negatives; None without pairs.
    """

    model: str | None
    source_language: str | None
    target_language: str | None
    counts: dict[str, Any]
    pairs: int
    written: int
    side: str
    num_negatives: int
    centered: bool
    search: str
    recall: float | None
    considered: int
    skipped: dict[str, int]
    mean_score: float | None
    mean_negative_score: float | None


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Pairs with their hard negatives, in the order of the text; iterating yields :class:`NegativesRow`."""

    report: NegativesReport
    _text: _Bitext
    _chosen: Chosen
    _scores: Floats
    _kept: Ids

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._kept)

    def __iter__(self) -> Iterator[NegativesRow]:
        """Yield the rows."""
        source, target = self._text.lines
        for pair in self._kept.tolist():
            row, column = int(self._text.rows[pair]), int(self._text.columns[pair])
            found = self._chosen.ids[row].tolist()
            yield NegativesRow(
                source[row],
                target[column],
                tuple(target[each] if each < len(target) else source[each - len(target)] for each in found),
                float(self._scores[pair]),
                tuple(self._chosen.scores[row].tolist()),
            )

    def to_dataset(self) -> Dataset:
        """Return a dataset of the columns ``source``, ``target``, ``negative_1``, ... for a trainer.

        Its file is in a temporary folder, which is removed when the process ends.
        """
        return store_rows(Row(row.source, row.target, 0, row.negatives) for row in self)

    def write(self, path: str | Path, *, scores: bool = False) -> Path:
        """Write the rows in the format of the suffix; see :func:`otembed.mining.negatives.output.write_negatives`."""
        return write_negatives(self, path, self.report.num_negatives, scores=scores)


def mine_negatives(
    pairs: Pairs,
    model: SentenceTransformer | str | Path,
    *,
    config: NegativesConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> HardNegatives:
    """Find hard negatives for the pairs of a bitext: similar sentences that are not translations.

    Parameters
    ----------
    pairs
        From :func:`otembed.data.parse_pair_spec`, or a list of pairs of texts.
    model
        A sentence-transformers encoder, or any argument of :func:`otembed.load_model`.
    config
        Settings; alternatively, pass individual settings as keywords, such as ``num_negatives=5``.
    cache, device, progress
        As for :func:`otembed.mine_bitext`; the vectors are those of mining and evaluation.

    Returns
    -------
    HardNegatives
        Rows for :class:`OTContrastiveLoss` and ``MultipleNegativesRankingLoss``, and the report.

    Raises
    ------
    DataError
        The text cannot be read, or no pair has enough negatives.
    ConfigError
        A setting is out of range.
    ModelError
        The model cannot be loaded.

    Notes
    -----
    Scores are cosines, of vectors centered on each side by default. Settings have the names and, unless said otherwise, the
    meaning of those of ``mine_hard_negatives`` of sentence-transformers. In addition, sentences with the same translation,
    their other translations and copies that differ in case or punctuation only are not negatives, candidates of the source's
    own language are possible, and vectors are cached under the weights of the model. Memory holds 12 bytes for each
    candidate of each source.

    Examples
    --------
    ::

        found = mine_negatives([("the cat", "die Katze"), ...], "offline:multilingual-e5-small", num_negatives=2)
        trainer = SentenceTransformerTrainer(model, train_dataset=found.to_dataset(), loss=loss)
    """
    config = checked_settings(NegativesConfig, config, settings)
    text = _read(pairs, config)
    reach = text.reach(config)
    settled = config.searching(max(reach.values()))
    with open_executor(settled) as executor:
        encoder = load_encoder(model, text.sides, "cpu" if executor.remote else device)
        load_as = name_to_load(model)
        left, right = (
            side.embedded(
                encoder, settled, cache=cache, executor=executor, load_as=load_as, device=device, progress=progress
            ).scanned()
            for side in text.sides
        )
        left, right = center_both(left, right, config.center)
        scores = paired_cosines(left.rows, right.rows, text.rows, text.columns)
        found, method = [], "exact"
        recalls: list[float] = []
        for name, k in reach.items():
            other = {"source": left, "target": right}[name]
            lists = search(
                left.rows, other.rows, config.searching(k), cache=cache, executor=executor, progress=progress
            )
            method = lists.method
            if lists.recall is not None:
                recalls.append(lists.recall)
            found.append((name, lists.forward))
    positives = np.full(len(left), np.inf, np.float32)
    np.minimum.at(positives, text.rows, scores)
    candidates = [_candidates(name, each.ids, each.scores, text) for name, each in found]
    chosen = choose_negatives(_merged(candidates), positives, config)
    complete: NDArray[np.bool_] = np.logical_and.reduce(chosen.ids >= 0, axis=1)
    kept = np.flatnonzero(complete[text.rows])
    if not len(kept):
        raise DataError(
            f"no pair has {counted(config.num_negatives, 'hard negative')}: {counted(chosen.considered, 'candidate')}, skipped: "
            f"{', '.join(f'{reason} {number:,}' for reason, number in chosen.skipped.items()) or 'none'}",
            "Lower num_negatives or the margins, raise range_max, or add text.",
            path=text.name,
        )
    report = NegativesReport(
        model=name_of(model),
        source_language=text.languages[0],
        target_language=text.languages[1],
        counts=text.counts,
        pairs=len(text.rows),
        written=len(kept),
        side=config.side,
        num_negatives=config.num_negatives,
        centered=left.rows.centered,
        search=method,
        recall=min(recalls, default=None),
        considered=chosen.considered,
        skipped=chosen.skipped,
        mean_score=float(scores[kept].mean(dtype=np.float64)),
        mean_negative_score=float(chosen.scores[text.rows[kept]].mean(dtype=np.float64)),
    )
    return HardNegatives(report, text, chosen, scores, kept)


def plan_negatives(
    pairs: Pairs,
    model: SentenceTransformer | str | Path,
    *,
    config: NegativesConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
) -> MiningPlan:
    """Return the work that :func:`mine_negatives` would do, for ``--dry-run``; nothing is written."""
    config = config or NegativesConfig()
    text = _read(pairs, config)
    encoder = load_encoder(model, text.sides, device)
    source, target = text.sides

    def plan(other: Side, k: int) -> MiningPlan:
        return plan_mining((source, other), encoder, config.searching(k), cache=cache, device=device)

    def vector_bytes(found: MiningPlan) -> int:
        return found.lines_to_embed * found.dimension * DTYPES[config.precision].itemsize

    plans = [plan({"source": source, "target": target}[name], k) for name, k in text.reach(config).items()]
    # Both sides are embedded, whichever is searched.
    both = plan(target, 1)
    return replace(
        plans[-1],
        source=both.source,
        target=both.target,
        lines_to_embed=both.lines_to_embed,
        disk_bytes=vector_bytes(both) + sum(each.disk_bytes - vector_bytes(each) for each in plans),
        tiles=sum(each.tiles for each in plans),
        indexes=sum(each.indexes for each in plans),
        memory_bytes=max(each.memory_bytes for each in plans),
    )


@dataclass(frozen=True, eq=False)
class _Bitext:
    """Distinct lines of both sides, the rows and columns (p,) of the pairs, and the groups of translations."""

    name: str
    lines: tuple[Lines, Lines]
    rows: Ids
    columns: Ids
    groups: tuple[Ids, Ids]
    counts: dict[str, Any]
    languages: tuple[str | None, str | None]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both sides, before embedding."""
        left, right = (
            Side(lines, language=language) for lines, language in zip(self.lines, self.languages, strict=True)
        )
        return left, right

    def reach(self, config: NegativesConfig) -> dict[str, int]:
        """Return the side or sides to search, and the number of neighbors."""
        names = ("target", "source") if config.side == "both" else (config.side,)
        reach = {}
        for name in names:
            most = largest_overlap(self.groups[0], self.groups[SIDES.index(name)])
            if most > MOST_TRANSLATIONS:
                logger.info(
                    "a sentence has %d translations or copies on the %s side: those beyond %d take the place of candidates",
                    most,
                    name,
                    MOST_TRANSLATIONS,
                )
            reach[name] = config.candidates + min(most, MOST_TRANSLATIONS)
        return reach


def _read(pairs: Pairs, config: NegativesConfig) -> _Bitext:
    languages: tuple[str | None, str | None] = (None, None)
    if isinstance(pairs, PairSpec):
        refuse_idle_pivot("pivot", config.pivot, [pairs])
        text = load_pairs(pairs, config.checks, config.limit).with_pivot(config.pivot)
        dataset, counts, name = text.dataset, text.counts, text.path
        languages = (text.source_language, text.target_language)
    else:
        counts, name = PairCounts(), "pairs"
        rows = (Row(*_two(pair, number), number) for number, pair in enumerate(pairs, start=1))
        dataset = store_rows(islice(clean_pairs(rows, config.checks, counts), config.limit))
    if len(dataset) < 2:
        raise DataError(
            f"{counted(len(dataset), 'pair')}: {counts.summary()}",
            "Pass at least two, or relax the checks.",
            path=name,
        )
    source, target = (read_side(dataset[side], name=f"{name} ({side})", max_characters=None) for side in SIDES)
    places, columns = source.rows_by_number(), target.rows_by_number()
    groups = translation_groups(source.texts(0, len(source)), target.texts(0, len(target)), places, columns)
    return _Bitext(name, (source, target), places, columns, groups, counts.as_dict(), languages)


def _two(pair: tuple[str, str], number: int) -> tuple[str, str]:
    if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise DataError(f"pair {number} is {pair!r}", "Pass pairs of two strings.")
    return pair


def _candidates(name: str, ids: Ids, scores: Floats, text: _Bitext) -> Candidates:
    """Return the candidates of one side, those of the source side numbered after all targets."""
    source, target = text.groups
    own = target if name == "target" else source
    translations = own[ids] == source[:, None]
    shifted = ids if name == "target" else np.where(ids < 0, -1, ids + len(target))
    return Candidates(shifted, scores, translations)


def _merged(found: list[Candidates]) -> Candidates:
    """Return the candidates of both sides in one order, those of the target side first among equal scores."""
    if len(found) == 1:
        return found[0]
    ids, scores, translations = (
        np.concatenate([getattr(each, name) for each in found], axis=1)
        for name in ("ids", "scores", "translations")
    )
    order = np.argsort(np.where(ids < 0, np.inf, -scores), axis=1, kind="stable")
    return Candidates(*(np.take_along_axis(each, order, 1) for each in (ids, scores, translations)))
