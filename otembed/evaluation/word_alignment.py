"""Word alignment against gold links: precision, recall, AER; over several sets, and while a model trains."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.alignment import WordAligner, WordAlignmentConfig
from otembed.errors import DataError
from otembed.evaluation.csv_rows import add_row
from otembed.evaluation.gold_links import GoldSentence, GoldSet
from otembed.results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignmentScores(Result):
    """Links of one set against gold, counted over the whole corpus.

    Parameters
    ----------
    name
        Of the set.
    sentences
        Sentence pairs.
    links, sure, possible
        How many links were made, are sure in the gold, and are possible in it, the sure ones among them.
    correct_sure, correct_possible
        How many of the links made are sure, and possible.
    """

    name: str
    sentences: int
    links: int
    sure: int
    possible: int
    correct_sure: int
    correct_possible: int

    @property
    def precision(self) -> float:
        """Share of the links made that are possible; 0 without links."""
        return self.correct_possible / self.links if self.links else 0.0

    @property
    def recall(self) -> float:
        """Share of the sure links that were made; 0 where there are none."""
        return self.correct_sure / self.sure if self.sure else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def aer(self) -> float:
        r"""Alignment error rate :math:`1 - (|A \cap S| + |A \cap P|) / (|A| + |S|)`; lower is better."""
        total = self.links + self.sure
        return 1.0 - (self.correct_sure + self.correct_possible) / total if total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, the four figures with them."""
        figures = {name: getattr(self, name) for name in ("precision", "recall", "f1", "aer")}
        return {**super().to_dict(), "figures": figures}


@dataclass(frozen=True)
class AlignmentReport(Result):
    """Word alignment of one model over several gold sets."""

    model: str
    layer: int
    scores: tuple[AlignmentScores, ...]
    settings: dict[str, Any]
    seconds: float

    @property
    def aer(self) -> float:
        """Plain mean over the sets."""
        return fmean(each.aer for each in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, the mean error rate with them."""
        return {**super().to_dict(), "scores": [each.to_dict() for each in self.scores], "means": {"aer": self.aer}}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from :meth:`to_dict`'s output."""
        scores = tuple(AlignmentScores.from_dict(each) for each in document.get("scores", ()))
        return super().from_dict({**document, "scores": scores})


def alignment_scores(
    links: Iterable[Iterable[tuple[int, int]]], gold: Sequence[GoldSentence], *, name: str = "gold"
) -> AlignmentScores:
    """Count links of every sentence against gold.

    Parameters
    ----------
    links
        For each sentence pair its (source, target) words, counted from 0.
    gold
        As many sentences.

    Raises
    ------
    DataError
        If the numbers of sentences differ or there are none.

    References
    ----------
    Och and Ney, A systematic comparison of various statistical alignment models, Computational Linguistics 2003.

    Examples
    --------
    Two links, of which one is sure and both are possible; two are sure: 1 - (1 + 2) / (2 + 2).

    >>> gold = [GoldSentence(frozenset({(0, 0), (2, 2)}), frozenset({(0, 0), (1, 1), (2, 2)}))]
    >>> alignment_scores([[(0, 0), (1, 1)]], gold).aer
    0.25
    """
    made = [set(each) for each in links]
    if not gold or len(made) != len(gold):
        raise DataError(
            f"{name}: links of {len(made)} sentence pairs, gold of {len(gold)}", "Give one entry a sentence pair."
        )
    return AlignmentScores(
        name=name,
        sentences=len(gold),
        links=sum(map(len, made)),
        sure=sum(len(each.sure) for each in gold),
        possible=sum(len(each.possible) for each in gold),
        correct_sure=sum(len(found & each.sure) for found, each in zip(made, gold, strict=True)),
        correct_possible=sum(len(found & each.possible) for found, each in zip(made, gold, strict=True)),
    )


def evaluate_alignment(
    model: SentenceTransformer,
    sets: Mapping[str, GoldSet],
    config: WordAlignmentConfig | None = None,
    *,
    batch_size: int = 32,
    name: str = "model",
) -> AlignmentReport:
    """Align the words of gold sets and score the links.

    Words are those of the gold file, each taken as it is.

    Parameters
    ----------
    model
        The encoder.
    sets
        Name of the set to its source sentences, target sentences (lists of words) and gold links.
    config
        How words are aligned. Under ``layer="auto"`` the layer that is chosen for the first set serves all.
    batch_size
        Sentences encoded at a time.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError, ModelError, NumericsError, DataError
        As :class:`otembed.alignment.WordAligner` and :func:`alignment_scores`.
    """
    if not sets:
        raise DataError("no gold set to score on", "Give one set at least.")
    config = config or WordAlignmentConfig()
    begun = perf_counter()
    layer: int | None = None
    scores = []
    for key, (source, target, gold) in sets.items():
        aligner = WordAligner(model, config) if layer is None else WordAligner(model, config, layer=layer)
        found = list(aligner.align(zip(source, target, strict=True), batch_size=batch_size))
        assert aligner.choice is not None
        layer = aligner.choice.layer
        links = [[(link.source, link.target) for link in each.links] for each in found]
        scores.append(alignment_scores(links, gold, name=key))
    assert layer is not None
    settings = {key: value for key, value in vars(config).items() if not key.startswith("_")}
    return AlignmentReport(name, layer, tuple(scores), settings, round(perf_counter() - begun, 2))


class WordAlignmentEvaluator(BaseEvaluator):
    """Score word alignment while a model trains; the trainer can choose the best checkpoint by it.

    Parameters
    ----------
    source, target
        Sentences as lists of words.
    gold
        Links of each pair, see :func:`otembed.evaluation.read_gold`.
    name
        Of the set; prefix of the metrics.
    config
        How words are aligned; a fixed ``layer`` makes figures of different steps comparable.
    batch_size
        Sentences encoded at a time.
    write_csv
        Append each result to ``word_alignment_<name>_results.csv`` in the output folder.

    Notes
    -----
    Metrics are ``precision``, ``recall``, ``f1``, ``aer`` and the primary one, ``alignment_accuracy`` = 1 - AER,
    so that greater is better.
    """

    def __init__(
        self,
        source: Sequence[Sequence[str]],
        target: Sequence[Sequence[str]],
        gold: Sequence[GoldSentence],
        *,
        name: str = "gold",
        config: WordAlignmentConfig | None = None,
        batch_size: int = 32,
        write_csv: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.primary_metric = "alignment_accuracy"
        self._set: GoldSet = (source, target, gold)
        self._config = config
        self._batch_size = batch_size
        self._csv = f"word_alignment_{name}_results.csv" if write_csv else None

    def __call__(  # type: ignore[override]
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Align and score; return the metrics with the set's name before them."""
        report = evaluate_alignment(model, {self.name: self._set}, self._config, batch_size=self._batch_size)
        (scores,) = report.scores
        metrics = {key: float(getattr(scores, key)) for key in ("precision", "recall", "f1", "aer")}
        metrics = {"alignment_accuracy": 1.0 - scores.aer, **metrics}
        logger.info("%s: AER %.3f on layer %d", self.name, scores.aer, report.layer)
        if output_path is not None and self._csv is not None:
            add_row(Path(output_path) / self._csv, {"epoch": epoch, "steps": steps, **metrics})
        prefixed: dict[str, float] = self.prefix_name_to_metrics(metrics, self.name)
        self.store_metrics_in_model_card_data(model, prefixed, epoch, steps)
        return prefixed
