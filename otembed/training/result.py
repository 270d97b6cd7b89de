"""Results of a training run and of a dry run; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from otembed.results import Result
from otembed.tasks.retrieval.report import RetrievalReport
from otembed.training.curve import InterpolationCurve

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class WordFigures:
    """Contextual retrieval of words on held-out text, before and after training.

    A word finds the nearest word of the other language by the centered cosine on the last layer, and is correct if that is
    its translation. ``links`` counts the translations, which the text itself gives
    (:func:`otembed.tasks.word_alignment.occurrence_links`); ``before`` and ``after`` are accuracies, means over ``pairs`` and
    both directions.
    """

    pairs: tuple[str, ...]
    links: int
    before: float
    after: float


@dataclass(frozen=True)
class TrainResult(Result):
    """Outcome of a training run.

    ``best_step`` is the step of the best evaluation, whose model was saved, ``None`` if the last model was
    saved. ``averaged_steps`` are the steps of the checkpoints whose mean the released weights are, ``None`` if there is only one.
    ``interpolation`` has the figures by share of the way from the starting weights, ``None`` if the trained weights
    were released as they are, or nothing was held out. ``mean_lengths`` has the lengths of the mean vectors that the released
    model subtracts, ``None`` without centering. ``pairs`` holds the counts of the data checks, ``last_log`` the means of the last log interval
    (the loss and its terms, share of converged plans). ``words`` are figures of words, None if there are no held-out pairs or
    the model has no hidden layers. Times are in seconds.
    """

    run: str
    model: str
    steps: int
    epochs: float
    best_step: int | None
    seconds: float
    training_seconds: float
    parameters: int
    trained_parameters: int
    pairs: dict[str, dict[str, Any]]
    last_log: dict[str, float]
    before: RetrievalReport | None = None
    after: RetrievalReport | None = None
    interpolation: InterpolationCurve | None = None
    mean_lengths: dict[str, float] | None = None
    averaged_steps: tuple[int, ...] | None = None
    words: WordFigures | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, with each report as a nested document."""
        reports = {"before": self.before, "after": self.after, "interpolation": self.interpolation}
        return {**super().to_dict(), **{key: one and one.to_dict() for key, one in reports.items()}}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result with its two reports and its curve."""
        kinds: dict[str, type[Any]] = {
            "before": RetrievalReport,
            "after": RetrievalReport,
            "interpolation": InterpolationCurve,
        }
        reports: dict[str, Any] = {
            key: None if document.get(key) is None else kind.from_dict(document[key]) for key, kind in kinds.items()
        }
        averaged = document.get("averaged_steps")
        steps = None if averaged is None else tuple(map(int, averaged))
        found = document.get("words")
        words = None if found is None else WordFigures(**{**found, "pairs": tuple(found["pairs"])})
        return super().from_dict({**document, **reports, "averaged_steps": steps, "words": words})


def weights_from(best_step: int | None, averaged_steps: Sequence[int] | None) -> str:
    """Return the step of the trained weights as the end of a sentence; empty if it is the last one.

    >>> weights_from(9, None), weights_from(None, (6, 9))
    ('; the trained weights are those of step 9, the best evaluation', '; the trained weights are the mean of those of steps 6, 9')
    """
    if averaged_steps:
        return f"; the trained weights are the mean of those of steps {', '.join(map(str, averaged_steps))}"
    return "" if best_step is None else f"; the trained weights are those of step {best_step}, the best evaluation"


@dataclass(frozen=True)
class DryRun(Result):
    """Estimates of ``otembed train --dry-run``.

    Token counts include special and prompt tokens; ``truncated`` is the share of sentences truncated to
    the model's limit. ``seconds_per_step`` is the median of three steps after a warm-up step;
    ``peak_memory_gb`` is the peak memory of the process (of the GPU, if used) in 1e9 bytes.
    """

    pairs: dict[str, dict[str, Any]]
    held_out: dict[str, int]
    tokens_mean: float
    tokens_p95: float
    tokens_max: int
    truncated: float
    steps: int
    seconds_per_step: float
    evaluation_seconds: float
    total_seconds: float
    peak_memory_gb: float
    parameters: int
    trained_parameters: int
