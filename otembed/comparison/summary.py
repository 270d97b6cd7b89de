"""The result of a comparison in sentences."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from otembed.comparison.report import BETTER, UNCLEAR, WORSE, variant
from otembed.comparison.tables import metric_name
from otembed.results.format import counted, percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.comparison.report import Comparison, Difference, TaskComparison

WORDS = {
    BETTER: "is better{against} on {what}",
    WORSE: "is worse{against} on {what}",
    UNCLEAR: "shows no clear difference{against} on {what}",
}


def headline(found: Comparison, index: int) -> str:
    """Return one sentence about a model: the suites where it is better, worse, or not clearly different.

    Parameters
    ----------
    found
        The comparison.
    index
        Index of the model, not counting the first.
    """
    suites: dict[str, list[str]] = {BETTER: [], WORSE: [], UNCLEAR: []}
    for each in found.decisive:
        difference = each.differences[index]
        if difference is not None:
            suites[difference.verdict].append(_what(found, each))
    model, baseline = found.models[index + 1].name, found.models[0].name
    parts: list[str] = []
    for verdict, names in suites.items():
        if names:
            against = "" if parts else f" {'from' if verdict == UNCLEAR else 'than'} {baseline}"
            parts.append(WORDS[verdict].format(against=against, what=_listed(names)))
    return f"{model} {_listed(parts)}." if parts else f"{model} has no suite in common with {baseline}."


def _listed(parts: Sequence[str]) -> str:
    """Join words as in a sentence.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _what(found: Comparison, each: TaskComparison) -> str:
    """Return the suite, with what tells the figure from others of the suite."""
    extras = [variant(each.task) or ("" if each.tasks > 1 else each.task)]
    if len({one.metric for one in found.decisive if one.suite == each.suite}) > 1:
        extras.insert(0, metric_name(each.metric))
    extra = ", ".join(filter(None, extras))
    return f"{each.suite} ({extra})" if extra else each.suite


def summary_sentences(found: Comparison) -> tuple[str, ...]:
    """Return a sentence about the figures of each model and suite, then notes."""
    sentences = []
    for index, model in enumerate(found.models[1:]):
        for each in found.decisive:
            difference = each.differences[index]
            if difference is not None:
                sentences.append(
                    f"{model.name} on {_what(found, each)}: {_figures(found, each, difference, index)}"
                )
    for model in found.models:
        sentences += [f"Note on {model.name}: {note}." for note in model.notes]
    if found.not_compared:
        count = len({(each.suite, each.task) for each in found.not_compared})
        sentences.append(f"Not compared: {counted(count, 'task')}; the reasons are listed.")
    return tuple(sentences)


def _figures(found: Comparison, each: TaskComparison, difference: Difference, index: int) -> str:
    first, second = each.figures[0], each.figures[index + 1]
    assert first is not None, "a difference has both its figures"
    assert second is not None, "a difference has both its figures"
    mean = f", mean of {each.tasks} tasks," if each.tasks > 1 else ""
    text = (
        f"{difference.verdict}. {capitalized(metric_name(each.metric))}{mean} {percent(second.value)} % against"
        f" {percent(first.value)} %: {points(0, difference.value)} points ({100 * found.confidence:g} % interval"
        f" {points(0, difference.low)} to {points(0, difference.high)}"
        f"{'' if each.higher_is_better else '; lower is better'})."
    )
    return f"{text} By task: {_by_task(found, each, index)}." if each.tasks > 1 else text


def capitalized(text: str) -> str:
    """Return text with a capital first letter, except for xSIM."""
    return text[:1].upper() + text[1:] if not text.startswith("xSIM") else text


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
