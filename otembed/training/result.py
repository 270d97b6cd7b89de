"""Results of a training run and of a dry run; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from otembed.results import Result
from otembed.tasks.retrieval.report import RetrievalReport
from otembed.training.curve import InterpolationCurve


@dataclass(frozen=True)
class TrainResult(Result):
    """Outcome of a training run.

    ``best_step`` is the step of the best evaluation, whose model was saved, ``None`` if the last model was
    saved. ``interpolation`` has the figures by share of the way from the starting weights, ``None`` if the trained weights
    were released as they are, or nothing was held out. ``mean_lengths`` has the lengths of the mean vectors that the released
    model subtracts, ``None`` without centering. ``pairs`` holds the counts of the data checks, ``last_log`` the means of the last log interval
    (the loss and its terms, share of converged plans). Times are in seconds.
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
        return super().from_dict({**document, **reports})


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
