"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from otembed.errors import DataError
from otembed.results import Result

BETTER, WORSE, UNCLEAR = "better", "worse", "no clear difference"


@dataclass(frozen=True)
class Figure:
    """A figure of one model, and the percentile interval of its resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A model's figure minus the baseline's, with its interval.

    ``p`` is two-sided; ``p_adjusted`` is Holm's correction over the tasks of the same suite and metric, or ``p``
    without a correction. ``differing`` is the number of examples with different scores. ``verdict`` is ``better``,
    ``worse`` or ``no clear difference``; a lower error rate is better.
    """

    value: float
    low: float
    high: float
    p: float
    p_adjusted: float
    differing: int
    verdict: str


@dataclass(frozen=True)
class TaskComparison:
    """One task under one metric, or the plain mean over ``tasks`` of them.

    ``figures`` has one entry per model, ``differences`` one per model except the first; None if a model lacks the
    task. ``primary`` marks the metric that decides the suite.
    """

    suite: str
    task: str
    metric: str
    higher_is_better: bool
    primary: bool
    examples: int
    tasks: int
    figures: tuple[Figure | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True)
class NotCompared:
    """A task of ``model`` (its index) that could not be compared, and the reason."""

    suite: str
    task: str
    metric: str
    model: int
    reason: str


@dataclass(frozen=True)
class Shape:
    """The shape of the embedding space of one model, from ``sentences`` embeddings of a task."""

    task: str
    sentences: int
    mean_cosine: float
    effective_rank: float


@dataclass(frozen=True)
class ComparedModel:
    """A model: name, places, kind of place, notes, known commands, shapes of its space, and log of its run."""

    name: str
    places: tuple[str, ...]
    origin: str
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    curve: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class WordMap:
    """Word alignment of one example sentence by one model: (source words, target words) probabilities and links."""

    task: str
    row: int
    model: int
    layer: int
    source: tuple[str, ...]
    target: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    links: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Comparison(Result):
    """Models on the same examples; the first is the baseline.

    Parameters
    ----------
    models
        The first is the baseline of the others.
    headlines
        One sentence per model except the first.
    summary
        Sentences with the figures of each model and suite, then notes.
    means
        Plain means over the tasks that all models have.
    tasks
        Every task that the baseline shares with another model.
    not_compared
        Tasks that could not be paired.
    confidence, resamples, seed, correction
        Settings of the bootstrap and the correction.
    word_maps
        Example sentences, if models were evaluated.
    command, versions
        The command and the package versions.
    """

    models: tuple[ComparedModel, ...]
    headlines: tuple[str, ...]
    summary: tuple[str, ...]
    means: tuple[TaskComparison, ...]
    tasks: tuple[TaskComparison, ...]
    not_compared: tuple[NotCompared, ...]
    confidence: float
    resamples: int
    seed: int
    correction: str
    word_maps: tuple[WordMap, ...] = ()
    command: str = ""
    versions: dict[str, str | None] | None = None

    @property
    def decisive(self) -> tuple[TaskComparison, ...]:
        """The figures that decide each suite: the means of its primary metrics, and tasks that are in no mean."""
        return tuple(each for each in self.undivided if each.primary)

    @property
    def undivided(self) -> tuple[TaskComparison, ...]:
        """Every mean, and the tasks that are in none: the only one of its kind, and those that a model does not have."""
        groups = {_group(each) for each in self.means}
        alone = (each for each in self.tasks if None in each.figures or _group(each) not in groups)
        return (*self.means, *alone)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the comparison from the output of :meth:`to_dict`."""
        try:
            built: dict[str, Any] = {
                "models": tuple(
                    _build(ComparedModel, each, shapes=tuple(Shape(**one) for one in each["shapes"]))
                    for each in document["models"]
                ),
                "means": tuple(_task(each) for each in document["means"]),
                "tasks": tuple(_task(each) for each in document["tasks"]),
                "not_compared": tuple(NotCompared(**each) for each in document["not_compared"]),
                "word_maps": tuple(_word_map(each) for each in document["word_maps"]),
                **{name: tuple(document[name]) for name in ("headlines", "summary")},
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"incomplete {cls.__name__}: {error!r}", "Run otembed compare again.") from error
        return super().from_dict({**document, **built})


def variant(task: str) -> str:
    """Return the part of a task's name after the comma; tasks of different variants have no common mean.

    >>> variant("en-sw, centered"), variant("en-sw")
    ('centered', '')
    """
    return task.partition(", ")[2]


def _group(each: TaskComparison) -> tuple[str, str, str]:
    return each.suite, each.metric, variant(each.task)


def _build(kind: Any, document: dict[str, Any], **given: Any) -> Any:
    lists = {
        field.name: tuple(document[field.name])
        for field in fields(kind)
        if isinstance(document.get(field.name), list)
    }
    return kind(**{**document, **lists, **given})


def _task(document: dict[str, Any]) -> TaskComparison:
    figures = tuple(each and Figure(**each) for each in document["figures"])
    found = tuple(each and Difference(**each) for each in document["differences"])
    return TaskComparison(**{**document, "figures": figures, "differences": found})


def _word_map(document: dict[str, Any]) -> WordMap:
    nested = {name: tuple(tuple(each) for each in document[name]) for name in ("probabilities", "links")}
    found: WordMap = _build(WordMap, document, **nested)
    return found
