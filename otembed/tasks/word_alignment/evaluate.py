"""Word alignment of a model against gold links: over several sets, and as an evaluator during training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.config import WordAlignmentConfig
from otembed.errors import DataError
from otembed.results import Outcomes
from otembed.tasks.csv_rows import add_row, csv_name
from otembed.tasks.word_alignment.gold import GoldSentence, GoldSet
from otembed.tasks.word_alignment.report import AlignmentReport
from otembed.tasks.word_alignment.scores import WordRetrievalScores, alignment_outcomes, alignment_scores
from otembed.tasks.word_alignment.word_retrieval import score_word_retrieval
from otembed.words import LayerChoice, WordAligner
from otembed.words.segment import joined
from otembed.words.vectors import WordEncoder, WordVectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def evaluate_alignment(
    model: SentenceTransformer,
    sets: Mapping[str, GoldSet],
    config: WordAlignmentConfig | None = None,
    *,
    batch_size: int = 32,
    retrieval: bool = True,
    name: str = "model",
) -> AlignmentReport:
    """Align the words of gold sets and score the links; by default, also score contextual word retrieval.

    Words are used as in the gold file, without further segmentation.

    Parameters
    ----------
    model
        The encoder.
    sets
        Name of the set to its source sentences, target sentences (lists of words) and gold links.
    config
        Settings of word alignment. With ``layer="auto"``, the layer chosen for the first set is used for all.
    batch_size
        Number of sentences encoded at a time.
    retrieval
        Also score :func:`otembed.tasks.word_alignment.score_word_retrieval`, on the vectors of the same layer.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError, ModelError, NumericsError, DataError
        As in :class:`otembed.words.WordAligner` and :func:`alignment_scores`.
    """
    if not sets:
        raise DataError("no gold sets to evaluate on", "Pass at least one set.")
    for key, gold_set in sets.items():
        _check_set(gold_set, key)
    config = config or WordAlignmentConfig()
    begun = perf_counter()
    choice: LayerChoice | None = None
    unseen = 0
    scores = []
    retrievals: list[WordRetrievalScores] = []
    outcomes: list[Outcomes] = []
    for key, (source, target, gold) in sets.items():
        aligner = WordAligner(model, config)
        aligner.choice = choice or aligner.choice
        links, vectors = _aligned(aligner, source, target, batch_size, keep=retrieval and config.unit == "word")
        scores.append(alignment_scores(links, gold, name=key))
        outcomes += alignment_outcomes(links, zip(source, target, strict=True), gold, name=key)
        choice = aligner.choice
        unseen += aligner.unseen
        if retrieval:
            assert choice is not None, "aligning has chosen a layer"
            if config.unit != "word":
                # The aligner has the vectors of tokens.
                encoder = WordEncoder(model, config.word_pooling)
                for kept, side in zip(vectors, (source, target), strict=True):
                    kept += encoder.encode(list(map(joined, side)), [choice.layer], batch_size=batch_size)
            retrieved, more = score_word_retrieval((source, target, gold), *vectors, choice.layer, name=key)
            retrievals.append(retrieved)
            outcomes += more
    assert choice is not None, "a set has at least one pair, so a layer was chosen"
    return AlignmentReport(
        model=name,
        layer=choice.layer,
        layer_origin=choice.origin,
        scores=tuple(scores),
        settings=asdict(config),
        seconds=round(perf_counter() - begun, 2),
        unseen=unseen,
        retrieval=tuple(retrievals),
        outcomes=tuple(outcomes),
    )


def _aligned(
    aligner: WordAligner,
    source: Sequence[Sequence[str]],
    target: Sequence[Sequence[str]],
    batch_size: int,
    *,
    keep: bool,
) -> tuple[list[list[tuple[int, int]]], tuple[list[WordVectors], list[WordVectors]]]:
    """Return the links of each pair and, if they are to be kept, the vectors of both sides."""
    kept: tuple[list[WordVectors], list[WordVectors]] = ([], [])

    def collect(first: list[WordVectors], second: list[WordVectors]) -> None:
        kept[0].extend(first)
        kept[1].extend(second)

    pairs = zip(source, target, strict=True)
    found = aligner.align(pairs, batch_size=batch_size, on_vectors=collect if keep else None)
    return [[(link.source, link.target) for link in each.links] for each in found], kept


def _check_set(gold_set: GoldSet, name: str) -> None:
    source, target, gold = gold_set
    if not gold or not len(source) == len(target) == len(gold):
        raise DataError(
            f"{name}: {len(source)} source sentences, {len(target)} target sentences, gold links of {len(gold)}",
            "Pass the same number of each, at least one.",
        )
    texts = [row for side in (source, target) for row, words in enumerate(side) if isinstance(words, str)]
    if texts:
        raise DataError(f"{name}: sentence {texts[0] + 1} is a string", "Pass each sentence as a list of words.")


class WordAlignmentEvaluator(BaseEvaluator):
    """Score word alignment during training; the trainer can select the best checkpoint by it.

    Parameters
    ----------
    source, target
        Sentences as lists of words.
    gold
        Links of each pair, see :func:`otembed.tasks.word_alignment.read_gold`.
    name
        Name of the set; prefix of the metrics.
    config
        Settings of word alignment; a fixed ``layer`` makes figures of different steps comparable.
    batch_size
        Number of sentences encoded at a time.
    write_csv
        When called with an output folder, as in the trainer, append a row to
        ``word_alignment_<name>_results.csv`` there.

    Raises
    ------
    DataError
        There are no sentences, sides or links differ in length, or a sentence is not a list of words.

    Notes
    -----
    Metrics are ``precision``, ``recall``, ``f1``, ``aer`` and the primary one, ``alignment_accuracy`` = 1 - AER,
    so that greater is better. The evaluator does not communicate with other processes, so it can run on rank 0
    only, as in the trainer.
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
        """Return the metrics of ``model``, store them for its model card and, with ``write_csv``, in the CSV file."""
        report = evaluate_alignment(
            model, {self.name: self.gold_set}, self.config, batch_size=self.batch_size, retrieval=False
        )
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
