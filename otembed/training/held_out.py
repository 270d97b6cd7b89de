"""Evaluation on the held-out pairs of a run; no sentence is encoded twice by the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from sentence_transformers.base.evaluation import SequentialEvaluator

from otembed.embeddings.texts import embed_sides
from otembed.tasks.retrieval import BitextRetrievalEvaluator
from otembed.tasks.retrieval.evaluate import score_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.tasks.retrieval.report import RetrievalReport
    from otembed.training.preparation import Sentences

BATCH_SIZE = 32
# The step of weights that no step of training had.
NO_STEP = -1


@dataclass(frozen=True)
class Evaluation:
    """Vectors of the held-out sentences, one (n, d) array a side, and what was computed from them."""

    step: int
    score: float
    vectors: list[NDArray[np.float32]]
    metrics: list[dict[str, float]]
    seconds: float


class HeldOutEvaluator(SequentialEvaluator):
    """Retrieval on all held-out pairs, for the trainer and for the reports before and after training.

    The main score, ``sequential_score``, is the mean accuracy of the pairs. Each distinct sentence is encoded once per
    evaluation, although English sentences often occur in several pairs. The best and the last evaluation are kept, so
    the released model need not be evaluated again.

    Parameters
    ----------
    pairs
        Name of the language pair to its source sentences and their translations.
    """

    def __init__(self, pairs: Mapping[str, Sentences]) -> None:
        self.pairs = dict(pairs)
        self._judges = [
            BitextRetrievalEvaluator(source, target, name=pair, write_csv=False)
            for pair, (source, target) in self.pairs.items()
        ]
        super().__init__(self._judges)
        self.primary_metric = "sequential_score"
        self._start: Evaluation | None = None
        self._best: Evaluation | None = None
        self._last: Evaluation | None = None

    def __call__(  # type: ignore[override]  # a sentence encoder, as for every evaluator of this family
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of every pair and their main score, and store them for the model card."""
        found = self.evaluate(model, epoch, steps)
        self._last = found
        # The trainer, too, keeps the first of several equal evaluations.
        if self._best is None or found.score > self._best.score:
            self._best = found
        results = {name: value for each in found.metrics for name, value in each.items()}
        return results | {"sequential_score": found.score}

    def evaluate(
        self,
        model: SentenceTransformer,
        epoch: int = -1,
        steps: int = NO_STEP,
        vectors: list[NDArray[np.float32]] | None = None,
    ) -> Evaluation:
        """Encode the held-out sentences, unless ``vectors`` are given, and compute and store the metrics of every pair."""
        started = perf_counter()
        if vectors is None:
            vectors = self.encode(model)
        metrics = [
            each.score(model, source, target, epoch=epoch, steps=steps)
            for each, source, target in zip(self._judges, vectors[::2], vectors[1::2], strict=True)
        ]
        score = np.mean(
            [each[str(judge.primary_metric)] for judge, each in zip(self._judges, metrics, strict=True)]
        )
        return Evaluation(steps, float(score), vectors, metrics, perf_counter() - started)

    def start(self, model: SentenceTransformer) -> Evaluation:
        """Evaluate the starting model, and keep the evaluation as that of step 0."""
        self._start = self.evaluate(model, steps=0)
        return self._start

    def report(self, model: SentenceTransformer, name: str) -> RetrievalReport:
        """Evaluate ``model``, plain and centered; ``name`` is its name in the report."""
        started = perf_counter()
        report = score_vectors(self.pairs, self.encode(model), centered=True, name=name)
        return replace(report, seconds=perf_counter() - started)

    def report_of(self, found: Evaluation, name: str) -> RetrievalReport:
        """Return the report, plain and centered, of an evaluation."""
        report = score_vectors(self.pairs, found.vectors, centered=True, name=name)
        return replace(report, seconds=found.seconds + report.seconds)

    def known(self, step: int | None) -> Evaluation | None:
        """Return the first, the best or the last evaluation of this process if it is that of ``step``, None: of no step."""
        kept = (self._start, self._best, self._last)
        return next((each for each in kept if each is not None and each.step == step), None)

    def release(self, model: SentenceTransformer, found: Evaluation, name: str) -> RetrievalReport:
        """Return the report of the released model, and put the same figures into its card."""
        for judge, metrics in zip(self._judges, found.metrics, strict=True):
            judge.store_metrics_in_model_card_data(model, metrics, -1, -1)
        return self.report_of(found, name)

    def encode(self, model: SentenceTransformer, languages: Sequence[str | None] = ()) -> list[NDArray[np.float32]]:
        """Return the vectors of the held-out sentences, one (n, d) array a side; ``languages`` are those of the sides."""
        sides = [side for pair in self.pairs.values() for side in pair]
        return embed_sides(
            model,
            sides,
            batch_size=BATCH_SIZE,
            prompt=None,
            prompt_name=None,
            truncate_dim=None,
            show_progress_bar=False,
            languages=languages,
        )
