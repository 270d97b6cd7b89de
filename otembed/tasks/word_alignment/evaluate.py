"""Word alignment of a model against gold links: over several sets at once, and as an evaluator while it trains."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.config import WordAlignmentConfig
from otembed.errors import DataError
from otembed.results import Result
from otembed.results.outcomes import Outcomes, read_outcomes
from otembed.tasks.csv_rows import add_row, csv_name
from otembed.tasks.word_alignment.gold import GoldSentence, GoldSet
from otembed.tasks.word_alignment.scores import AlignmentScores, alignment_outcomes, alignment_scores
from otembed.words import LayerChoice, WordAligner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignmentReport(Result):
    """Word alignment of one model over several gold sets.

    Parameters
    ----------
    model
        Name of the model.
    layer, layer_origin
        The layer in use, and how it was chosen: given, stored, text or default.
    scores
        One entry a set.
    settings
        Those of :class:`otembed.words.WordAlignmentConfig`.
    seconds
        Wall time of encoding, choosing the layer and linking.
    unseen
        Words that the encoder did not see, behind its length limit for the most part: they take no link.
    outcomes
        What each sentence pair contributed, for :func:`otembed.compare`.
    """

    model: str
    layer: int
    layer_origin: str
    scores: tuple[AlignmentScores, ...]
    settings: dict[str, Any]
    seconds: float
    unseen: int = 0
    outcomes: tuple[Outcomes, ...] = ()

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
        return super().from_dict({**document, "scores": scores, "outcomes": read_outcomes(document)})


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
        As :class:`otembed.words.WordAligner` and :func:`alignment_scores`.
    """
    if not sets:
        raise DataError("no gold set to score on", "Give one set at least.")
    for key, gold_set in sets.items():
        _check_set(gold_set, key)
    config = config or WordAlignmentConfig()
    begun = perf_counter()
    choice: LayerChoice | None = None
    unseen = 0
    scores = []
    outcomes: list[Outcomes] = []
    for key, (source, target, gold) in sets.items():
        aligner = WordAligner(model, config)
        aligner.choice = choice or aligner.choice
        found = aligner.align(zip(source, target, strict=True), batch_size=batch_size)
        links = [[(link.source, link.target) for link in each.links] for each in found]
        scores.append(alignment_scores(links, gold, name=key))
        outcomes += alignment_outcomes(links, zip(source, target, strict=True), gold, name=key)
        choice = aligner.choice
        unseen += aligner.unseen
    assert choice is not None, "a set holds a pair, so a layer was chosen"
    return AlignmentReport(
        model=name,
        layer=choice.layer,
        layer_origin=choice.origin,
        scores=tuple(scores),
        settings=asdict(config),
        seconds=round(perf_counter() - begun, 2),
        unseen=unseen,
        outcomes=tuple(outcomes),
    )


def _check_set(gold_set: GoldSet, name: str) -> None:
    source, target, gold = gold_set
    if not gold or not len(source) == len(target) == len(gold):
        raise DataError(
            f"{name}: {len(source)} source sentences, {len(target)} target sentences, gold links of {len(gold)}",
            "Give as many of each, and one at least.",
        )
    texts = [row for side in (source, target) for row, words in enumerate(side) if isinstance(words, str)]
    if texts:
        raise DataError(f"{name}: sentence {texts[0] + 1} is a text", "Give each sentence as a list of its words.")


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
        When called with an output folder, as the trainer does, add a row to
        ``word_alignment_<name>_results.csv`` there.

    Raises
    ------
    DataError
        No sentences, sides or links of different length, or a sentence that is no list of words.

    Notes
    -----
    Metrics are ``precision``, ``recall``, ``f1``, ``aer`` and the primary one, ``alignment_accuracy`` = 1 - AER,
    so that greater is better. It communicates with no other process, so it may run on the first one alone, as in
    the trainer.
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
        self.gold_set: GoldSet = (source, target, gold)
        _check_set(self.gold_set, name)
        self.config = config or WordAlignmentConfig()
        self.batch_size = batch_size
        self.write_csv = write_csv
        self.csv_file = csv_name("word_alignment", name)
        self.primary_metric = "alignment_accuracy"

    def __call__(  # type: ignore[override]
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of ``model``, store them for its model card and, if asked, in the CSV file."""
        report = evaluate_alignment(model, {self.name: self.gold_set}, self.config, batch_size=self.batch_size)
        (scores,) = report.scores
        values = {key: float(getattr(scores, key)) for key in ("precision", "recall", "f1", "aer")}
        values = {"alignment_accuracy": 1.0 - scores.aer, **values}
        logger.info("%s: AER %.4f on layer %d", self.name, scores.aer, report.layer)
        if output_path is not None and self.write_csv:
            add_row(Path(output_path) / self.csv_file, {"epoch": epoch, "steps": steps, **values})
        metrics: dict[str, float] = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings that change the figures, for the model card."""
        return asdict(self.config)
