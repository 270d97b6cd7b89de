"""Whether a model is good enough: what ``--fail-under`` decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from otembed.comparison.decide import OTHER_EXAMPLES
from otembed.comparison.report import variant
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.results.format import points

if TYPE_CHECKING:
    from otembed.comparison.report import Comparison, TaskComparison

ROUNDING = 1e-9


def failures(found: Comparison, least: float, *, metric: str | None = None) -> list[str]:
    """Return a sentence for each model that gains less than ``least`` points over the first one.

    A gain is the difference counted so that more is better: of an error rate it is the fall. The figures
    themselves are held against ``least``, not the ends of their intervals, so that the answer is the one that the
    table shows.

    Parameters
    ----------
    found
        The comparison.
    least
        In points (0.01 of a share); negative to allow a loss.
    metric
        ``SUITE.METRIC``; the first metric of every suite without it. The mean over tasks is looked at, and the
        task itself where there is one only.

    Raises
    ------
    ConfigError
        ``least`` is not finite, or no figure is called ``metric``.
    DataError
        A task has other examples than the first model's: the answer would be of a part only. Or a model has none
        of what is asked for.
    """
    if not math.isfinite(least):
        raise ConfigError(f"--fail-under {least} is not finite", "Give a number of points.")
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
            raise DataError(f"{model.name} has none of what decides", "Evaluate it on the same tasks.")
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


def _named(found: Comparison, metric: str) -> list[TaskComparison]:
    every = (*found.means, *found.tasks)
    names = {f"{each.suite}.{each.metric}" for each in every}
    if metric not in names:
        raise ConfigError(f"--fail-metric {metric!r} is none of the figures", did_you_mean(metric, names))
    chosen = [each for each in every if f"{each.suite}.{each.metric}" == metric]
    with_mean = {variant(each.task) for each in chosen if each.tasks > 1}
    return [each for each in chosen if each.tasks > 1 or variant(each.task) not in with_mean]
