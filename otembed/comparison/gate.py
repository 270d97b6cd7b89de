"""The decision of ``--fail-under``: whether each model gains enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from otembed.comparison.decide import NOT_HERE, OTHER_EXAMPLES
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.results.format import points

if TYPE_CHECKING:
    from otembed.comparison.report import Comparison, TaskComparison

ROUNDING = 1e-9


def failures(found: Comparison, least: float, *, metric: str | None = None) -> list[str]:
    """Return a sentence for each model that gains less than ``least`` points over the first one.

    A gain is a difference where more is better; for an error rate it is the decrease. The decision uses the figures
    themselves, as shown in the table, and not the ends of their intervals.

    Parameters
    ----------
    found
        The comparison.
    least
        In points (0.01 of a share); negative to allow a loss.
    metric
        ``SUITE.METRIC``; None for the primary metrics of every suite. The mean over the tasks that all models have decides,
        and each task that is in no mean.

    Raises
    ------
    ConfigError
        ``least`` is not finite, or ``metric`` is unknown.
    DataError
        The examples of a task differ between a model and the first model, so the decision would be incomplete, or a
        model has none of the metrics, or nothing of a suite that the first model has.
    """
    check_least(least)
    torn = [each for each in found.not_compared if each.reason == OTHER_EXAMPLES]
    if torn:
        one = torn[0]
        raise DataError(
            f"{one.suite} {one.task} {one.metric} of {found.models[one.model].name}: {one.reason}",
            "Evaluate all models on the same examples.",
        )
    looked_at = found.decisive if metric is None else _named(found, metric)
    failed = []
    for index, model in enumerate(found.models[1:]):
        given = [(each, each.differences[index]) for each in looked_at]
        if not any(difference is not None for _, difference in given):
            raise DataError(f"{model.name} has no outcomes to decide on", "Evaluate it on the same tasks.")
        lacking = {each.suite for each in found.not_compared if (each.model, each.reason) == (index + 1, NOT_HERE)}
        lacking -= {each.suite for each, difference in given if difference is not None}
        if metric is None and lacking:
            raise DataError(
                f"{model.name} has no results of {', '.join(sorted(lacking))}, which {found.models[0].name} has",
                "Evaluate it on the same tasks, or decide by one of its metrics with --fail-metric.",
            )
        for each, difference in given:
            if difference is None:
                continue
            gain = difference.value if each.higher_is_better else -difference.value
            if 100 * gain < least - ROUNDING:
                failed.append(
                    f"{model.name} gains {points(0, gain)} points on {each.suite} {each.task} {each.metric},"
                    f" less than {least:g} (against {found.models[0].name})"
                )
    return failed


def check_least(least: float) -> None:
    """Raise a :class:`ConfigError` if the least gain is NaN or infinite."""
    if not math.isfinite(least):
        raise ConfigError(f"--fail-under {least} is not finite", "Use a finite number of points.")


def _named(found: Comparison, metric: str) -> list[TaskComparison]:
    every = found.undivided
    names = {f"{each.suite}.{each.metric}" for each in every}
    if metric not in names:
        raise ConfigError(f"--fail-metric {metric!r} is unknown", did_you_mean(metric, names))
    return [each for each in every if f"{each.suite}.{each.metric}" == metric]
