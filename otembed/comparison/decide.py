"""From outcomes of several models to figures, differences with intervals, and verdicts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from otembed.comparison.report import (
    BETTER,
    UNCLEAR,
    WORSE,
    Difference,
    Figure,
    NotCompared,
    TaskComparison,
    variant,
)
from otembed.errors import DataError
from otembed.results.bootstrap import differences, differing, holm, interval, resampled_figures, two_sided_p
from otembed.tasks.registry import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.results.outcomes import Outcomes

    Key = tuple[str, str, str]
    Resampled = NDArray[np.float64]

LEAST_DIFFERING = 6
"""With fewer differing examples, an exact sign test cannot reach 5 % either (2 * 0.5**5 > 0.05)."""
NO_BASELINE, NOT_HERE, OTHER_EXAMPLES = (
    "the first model does not have this task",
    "this model does not have this task",
    "examples or settings of the metric differ from the first model",
)


def pair_up(models: Sequence[Sequence[Outcomes]]) -> tuple[dict[Key, list[Outcomes | None]], list[NotCompared]]:
    """Return the outcomes of all models by task, None if a model cannot be paired, and the tasks without pairing.

    Raises
    ------
    DataError
        No task can be paired.
    """
    tables = [{each.key: each for each in outcomes} for outcomes in models]
    paired: dict[Key, list[Outcomes | None]] = {}
    left: list[NotCompared] = []
    for key, base in tables[0].items():
        row: list[Outcomes | None] = [base]
        for index, table in enumerate(tables[1:], 1):
            other = table.get(key)
            reason = NOT_HERE if other is None else OTHER_EXAMPLES
            fits = other is not None and base.same_examples(other)
            if not fits:
                left.append(NotCompared(*key, index, reason))
            row.append(other if fits else None)
        if any(row[1:]):
            paired[key] = row
    for index, table in enumerate(tables[1:], 1):
        left += [NotCompared(*key, index, NO_BASELINE) for key in table if key not in tables[0]]
    if not paired:
        shown = "; ".join(f"{one.suite} {one.task} {one.metric}: {one.reason}" for one in left[:3])
        raise DataError(
            f"no task can be compared: {shown or 'there are no tasks'}{' ...' if len(left) > 3 else ''}",
            "Evaluate the models on the same examples.",
        )
    return paired, left


def decide(
    paired: dict[Key, list[Outcomes | None]],
    *,
    resamples: int,
    confidence: float,
    correction: str,
    seed: int,
) -> tuple[list[TaskComparison], list[TaskComparison]]:
    """Return every task, and the means over the tasks that all models have.

    A mean resamples the examples of each task separately and averages the resampled figures.
    """
    metrics: dict[str, list[str]] = {}
    for suite, _, metric in paired:
        metrics.setdefault(suite, []).append(metric)
    primary = {
        suite: set(TASKS[suite].primary_metrics if suite in TASKS else ()).intersection(each) or {each[0]}
        for suite, each in metrics.items()
    }
    tasks = []
    groups: dict[tuple[str, str, str], list[tuple[list[Outcomes], Resampled]]] = defaultdict(list)
    for key, row in paired.items():
        whole = [each for each in row if each is not None]
        drawn = resampled_figures(whole, resamples=resamples, seed=seed)
        columns = iter(drawn)
        resampled = [None if each is None else next(columns) for each in row]
        values = [None if each is None else each.value for each in row]
        base = whole[0]
        counts = [0 if each is None else differing(base, each) for each in row]
        tasks.append(
            _task(key, base, 1, len(base.values), values, resampled, counts, confidence, key[2] in primary[key[0]])
        )
        if len(whole) == len(row):
            groups[key[0], key[2], variant(key[1])].append((whole, drawn))
    means = []
    for (suite, metric, kind), members in groups.items():
        if len(members) < 2:
            continue
        rows = [row for row, _ in members]
        means.append(
            _task(
                (suite, f"mean, {kind}" if kind else "mean", metric),
                rows[0][0],
                len(members),
                sum(len(row[0].values) for row in rows),
                np.mean([[each.value for each in row] for row in rows], axis=0).tolist(),
                list(np.mean([drawn for _, drawn in members], axis=0)),
                [sum(differing(row[0], row[index]) for row in rows) for index in range(len(rows[0]))],
                confidence,
                metric in primary[suite],
            )
        )
    return (_corrected(tasks, confidence) if correction == "holm" else tasks), means


def _task(
    key: Key,
    base: Outcomes,
    tasks: int,
    examples: int,
    values: Sequence[float | None],
    resampled: Sequence[Resampled | None],
    counts: Sequence[int],
    confidence: float,
    primary: bool,
) -> TaskComparison:
    figures = tuple(
        None if value is None or drawn is None else Figure(value, *interval(drawn, confidence))
        for value, drawn in zip(values, resampled, strict=True)
    )
    return TaskComparison(
        *key,
        higher_is_better=base.higher_is_better,
        primary=primary,
        examples=examples,
        tasks=tasks,
        figures=figures,
        differences=tuple(
            None
            if value is None or drawn is None
            else _difference(
                float(differences(np.array(value), np.array(values[0]))),
                differences(drawn, resampled[0]),  # type: ignore[arg-type]  # the first model always has the task
                count,
                confidence,
                base.higher_is_better,
            )
            for value, drawn, count in zip(values[1:], resampled[1:], counts[1:], strict=True)
        ),
    )


def _difference(value: float, drawn: Resampled, count: int, confidence: float, higher: bool) -> Difference:
    low, high = interval(drawn, confidence)
    p = two_sided_p(drawn)
    verdict = UNCLEAR
    if count >= LEAST_DIFFERING and (low > 0 or high < 0):
        verdict = BETTER if (low > 0) == higher else WORSE
    return Difference(value, low, high, p, p, count, verdict)


def _corrected(tasks: list[TaskComparison], confidence: float) -> list[TaskComparison]:
    """Adjust p-values over the tasks of a suite and metric, per model, and revise verdicts."""
    families: dict[tuple[str, str, str, int], list[tuple[int, float]]] = defaultdict(list)
    for place, task in enumerate(tasks):
        for index, each in enumerate(task.differences):
            if each is not None:
                families[task.suite, task.metric, variant(task.task), index].append((place, each.p))
    found = [list(task.differences) for task in tasks]
    for (*_, index), members in families.items():
        for (place, _), p in zip(members, holm([p for _, p in members]), strict=True):
            one = found[place][index]
            assert one is not None, "families contain differences only"
            verdict = one.verdict if p < 1 - confidence else UNCLEAR
            found[place][index] = replace(one, p_adjusted=p, verdict=verdict)
    return [replace(task, differences=tuple(each)) for task, each in zip(tasks, found, strict=True)]
