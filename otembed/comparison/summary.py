"""The answer in plain sentences."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from otembed.comparison.report import BETTER, UNCLEAR, WORSE, variant
from otembed.reporting.tables import percent, points

if TYPE_CHECKING:
    from otembed.comparison.report import Comparison, Difference, TaskComparison

HEADS = {
    BETTER: "{model} is better than {baseline} on {what}",
    WORSE: "{model} is worse than {baseline} on {what}",
    UNCLEAR: "No clear difference between {model} and {baseline} on {what}",
}
METRICS = {"aer": "AER", "f1": "F1", "xsim": "xSIM", "best_f1": "best F1"}
"""How a person writes a metric; underscores are spaces in the others."""


def metric_name(metric: str) -> str:
    """Return a metric as a person writes it.

    >>> metric_name("aer"), metric_name("exact_match")
    ('AER', 'exact match')
    """
    return METRICS.get(metric, metric.replace("_", " "))


def summary_sentences(found: Comparison) -> tuple[str, ...]:
    """Return one sentence for each model and suite, then what qualifies them all."""
    baseline = found.models[0].name
    sentences = []
    for index, model in enumerate(found.models[1:]):
        for each in found.decisive:
            difference = each.differences[index]
            if difference is not None:
                sentences.append(_sentence(found, each, difference, model.name, baseline, index))
    for model in found.models:
        sentences += [f"Note on {model.name}: {note}." for note in model.notes]
    if found.not_compared:
        count = len({(each.suite, each.task) for each in found.not_compared})
        sentences.append(
            f"Not compared: {count} task{'s' if count > 1 else ''}, as only one side has the examples."
        )
    return tuple(sentences)


def _sentence(
    found: Comparison, each: TaskComparison, difference: Difference, model: str, baseline: str, index: int
) -> str:
    extra = variant(each.task)
    what = f"{each.suite}{f' ({extra})' if extra else f' ({each.task})' if each.tasks == 1 else ''}"
    head = HEADS[difference.verdict].format(model=model, baseline=baseline, what=what)
    first, second = each.figures[0], each.figures[index + 1]
    assert first is not None, "a difference has both its figures"
    assert second is not None, "a difference has both its figures"
    mean = f", mean of {each.tasks} tasks," if each.tasks > 1 else ""
    text = (
        f"{head}: {metric_name(each.metric)}{mean} {percent(second.value)} % against {percent(first.value)} %,"
        f" {points(0, difference.value)} points ({100 * found.confidence:g} % interval"
        f" {points(0, difference.low)} to {points(0, difference.high)}"
        f"{'' if each.higher_is_better else '; lower is better'})"
    )
    if each.tasks > 1:
        text += f". Of the tasks: {_by_task(found, each, index)}"
    return text + "."


def _by_task(found: Comparison, mean: TaskComparison, index: int) -> str:
    verdicts = Counter(
        one.verdict
        for each in found.tasks
        if (each.suite, each.metric, variant(each.task)) == (mean.suite, mean.metric, variant(mean.task))
        for one in (each.differences[index],)
        if one is not None
    )
    return ", ".join(
        f"{verdict} on {verdicts[verdict]}" for verdict in (BETTER, WORSE, UNCLEAR) if verdicts[verdict]
    )
