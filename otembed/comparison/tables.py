"""A comparison as a table, with its legend and caption; in Markdown and LaTeX with its summary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otembed.page.marks import letter
from otembed.results import Table
from otembed.results.format import percent, points, printable
from otembed.results.table import markdown_escaped

if TYPE_CHECKING:
    from otembed.comparison.report import Comparison, Difference, Figure, TaskComparison

METRICS = {"aer": "AER", "f1": "F1", "xsim": "xSIM", "best_f1": "best F1", "link_f1": "F1 of links"}
"""Displayed names of metrics; in others, underscores become spaces."""
LEFT = {"suite", "task", "metric", "model", "verdict"}
"""Columns of text; the others are numbers."""
STYLES = {"better": "green", "worse": "red"}


def metric_name(metric: str) -> str:
    """Return the displayed name of a metric.

    >>> metric_name("aer"), metric_name("exact_match")
    ('AER', 'exact match')
    """
    return METRICS.get(metric, metric.replace("_", " "))


def comparison_rows(found: Comparison, *, every: bool = False) -> list[list[str]]:
    """Return heading and rows as text: a row per task and compared model, followed by the means of its suite and metric.

    Parameters
    ----------
    every
        Include all metrics, not only the one that decides a suite.
    """
    many = len(found.models) > 2
    heading = ["suite", "task", "metric", "n", "A", *(["model"] if many else []), "B" if not many else "figure"]
    rows = [[*heading, "minus A" if many else "B - A", f"{100 * found.confidence:g} % interval", "verdict"]]
    for each in ordered(found):
        if not (each.primary or every):
            continue
        for index, difference in enumerate(each.differences):
            figure = each.figures[index + 1]
            if difference is None or figure is None:
                continue
            rows.append(_row(each, index, figure, difference, many=many))
    return rows


def ordered(found: Comparison) -> list[TaskComparison]:
    """Return all tasks, each group followed by its means."""
    groups: dict[tuple[str, str, str], list[TaskComparison]] = {}
    for each in (*found.tasks, *found.means):
        groups.setdefault((each.suite, each.metric, each.task.partition(", ")[2]), []).append(each)
    return [each for group in groups.values() for each in group]


def _row(each: TaskComparison, index: int, figure: Figure, difference: Difference, *, many: bool) -> list[str]:
    first = each.figures[0]
    assert first is not None, "the first model has every task"
    return [
        each.suite,
        each.task,
        each.metric if each.higher_is_better else f"{each.metric} ↓",
        str(each.examples),
        percent(first.value),
        *([letter(index + 1)] if many else []),
        percent(figure.value),
        points(0, difference.value),
        f"{points(0, difference.low)} to {points(0, difference.high)}",
        difference.verdict,
    ]


def legend(found: Comparison) -> list[str]:
    """Return the model of each letter; the table uses letters because names can be long."""
    return [
        f"{letter(index)}  {printable(model.name)}"
        + (f"  [{printable('; '.join(model.notes))}]" if model.notes else "")
        for index, model in enumerate(found.models)
    ]


def caption(found: Comparison) -> str:
    """Return the legend of the table."""
    lower = "" if all(each.higher_is_better for each in found.tasks) else "; ↓: lower is better"
    text = (
        f"Percent, differences to A in points{lower}; paired bootstrap, {found.resamples:,} resamples of the examples,"
        f" seed {found.seed}."
    )
    return text + (
        " Verdicts on tasks use Holm's correction." if found.correction == "holm" else _uncorrected(found)
    )


def _uncorrected(found: Comparison) -> str:
    share = round(1 / (1 - found.confidence))
    return f" No correction: about one in {share} tasks without a true difference shows one by chance."


def comparison_table(found: Comparison, *, every: bool = False) -> Table:
    """Return the table; parameters as in :func:`comparison_rows`."""
    heading, *rows = comparison_rows(found, every=every)
    align = "".join("l" if name in LEFT else "r" for name in heading)
    return Table(heading, rows, notes=(caption(found),), align=align, styles=STYLES)


def comparison_markdown(found: Comparison, *, every: bool = False) -> str:
    """Return summary, table and tasks that were not compared as Markdown."""
    parts = [
        *(f"**{markdown_escaped(each)}**" for each in found.headlines),
        *(markdown_escaped(each) for each in found.summary),
        "\n".join(f"- {markdown_escaped(each)}" for each in legend(found)),
        comparison_table(found, every=every).markdown().rstrip("\n"),
        caption(found),
    ]
    if found.not_compared:
        listed = (f"- {markdown_escaped(each)}" for each in not_compared(found))
        parts.append("\n".join(["Not compared:", "", *listed]))
    return "\n\n".join(parts) + "\n"


def not_compared(found: Comparison) -> list[str]:
    """Return a line for each task that could not be compared, with the reason."""
    return [
        printable(f"{each.suite} {each.task} {each.metric}, {letter(each.model)}: {each.reason}")
        for each in found.not_compared
    ]


def comparison_latex(found: Comparison, *, every: bool = False) -> str:
    r"""Return a ``tabular`` with booktabs rules between the suites; the preamble requires ``\usepackage{booktabs}``."""
    table = comparison_table(found, every=every)
    notes = (*legend(found), *found.headlines, *found.summary, *table.notes)
    return replace(table, notes=notes).latex(grouped=True)
