"""A comparison as a table: for the terminal, in Markdown, in LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otembed.results.format import percent, points

if TYPE_CHECKING:
    from otembed.comparison.report import Comparison, Difference, Figure, TaskComparison

METRICS = {"aer": "AER", "f1": "F1", "xsim": "xSIM", "best_f1": "best F1"}
"""How a person writes a metric; underscores are spaces in the others."""
LEFT = {"suite", "task", "metric", "model", "verdict"}
"""Columns of words."""
STYLES = {"better": "green", "worse": "red"}
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "↓": r"$\downarrow$",
}


def metric_name(metric: str) -> str:
    """Return a metric as a person writes it.

    >>> metric_name("aer"), metric_name("exact_match")
    ('AER', 'exact match')
    """
    return METRICS.get(metric, metric.replace("_", " "))


def letter(index: int) -> str:
    """Return the letter of a model in the tables.

    >>> letter(0), letter(25), letter(26)
    ('A', 'Z', 'A1')
    """
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def comparison_rows(found: Comparison, *, every: bool = False) -> list[list[str]]:
    """Return heading and rows as text: one row a task and compared model, means last of each suite and metric.

    Parameters
    ----------
    every
        All metrics, not just the one that decides a suite.
    """
    many = len(found.models) > 2
    heading = ["suite", "task", "metric", "n", "A", *(["model"] if many else []), "B" if not many else "figure"]
    rows = [[*heading, "less A" if many else "B - A", f"{100 * found.confidence:g} % interval", "verdict"]]
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
    """Return tasks, with the means behind the tasks that they are of."""
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
    """Return which letter is which model.

    Letters rather than names stand in the table, as places are long.
    """
    return [
        f"{letter(index)}  {model.name}" + (f"  [{'; '.join(model.notes)}]" if model.notes else "")
        for index, model in enumerate(found.models)
    ]


def caption(found: Comparison) -> str:
    """Return how the table is to be read."""
    lower = "" if all(each.higher_is_better for each in found.tasks) else "; ↓: lower is better"
    text = (
        f"Percent, differences to A in points{lower}; paired bootstrap, {found.resamples:,} resamples of the examples,"
        f" seed {found.seed}."
    )
    return text + (
        " Verdicts on tasks after Holm's correction." if found.correction == "holm" else _uncorrected(found)
    )


def _uncorrected(found: Comparison) -> str:
    share = round(1 / (1 - found.confidence))
    return f" Of tasks without any difference one in {share} shows one by chance; a correction was not asked for."


def comparison_table(found: Comparison, *, every: bool = False) -> Table:
    """Return the table for the terminal; parameters as in :func:`comparison_rows`."""
    heading, *rows = comparison_rows(found, every=every)
    table = Table(caption=caption(found), caption_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in heading:
        table.add_column(
            name, justify="left" if name in {"suite", "task", "metric", "model", "verdict"} else "right"
        )
    for row in rows:
        table.add_row(*map(Text, row[:-1]), Text(row[-1], style=STYLES.get(row[-1], "")))
    return table


def comparison_markdown(found: Comparison, *, every: bool = False) -> str:
    """Return summary, table and what was not compared as Markdown."""
    heading, *rows = comparison_rows(found, every=every)
    rule = ["---" if name in LEFT else "---:" for name in heading]
    escaped = [[_markdown(cell) for cell in row] for row in (heading, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])]
    parts = [
        *(f"**{_markdown(each)}**" for each in found.headlines),
        *(_markdown(each) for each in found.summary),
        "\n".join(f"- {_markdown(each)}" for each in legend(found)),
        "\n".join(lines),
        caption(found),
    ]
    if found.not_compared:
        parts.append("\n".join(["Not compared:", "", *(f"- {_markdown(each)}" for each in not_compared(found))]))
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    for each in "\\|<>*_[]`":
        text = text.replace(each, f"\\{each}")
    return " ".join(text.split())


def not_compared(found: Comparison) -> list[str]:
    """Return a line for each task that stands beside nothing."""
    return [
        f"{each.suite} {each.task} {each.metric}, {letter(each.model)}: {each.reason}"
        for each in found.not_compared
    ]


def comparison_latex(found: Comparison, *, every: bool = False) -> str:
    r"""Return a ``tabular`` with booktabs rules; the preamble needs ``\usepackage{booktabs}``."""
    heading, *rows = comparison_rows(found, every=every)
    columns = "".join("l" if name in LEFT else "r" for name in heading)

    def line(cells: list[str]) -> str:
        return " & ".join(map(latex_escaped, cells)) + r" \\"

    notes = [f"% {each}" for each in (*legend(found), *found.headlines, *found.summary, caption(found))]
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(heading), r"\midrule"]
    for before, row in zip([rows[0], *rows], rows, strict=False):
        if row[0] != before[0]:
            body.append(r"\midrule")
        body.append(line(row))
    return "\n".join([*(" ".join(each.split()) for each in notes), *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_escaped(text: str) -> str:
    r"""Return text as LaTeX prints it; a sign before a number is set as a minus.

    >>> print(latex_escaped("50 % of a_b"), latex_escaped("-1.2 to +0.3"))
    50 \% of a\_b $-$1.2 to +0.3
    """
    escaped = "".join(LATEX.get(each, each) for each in " ".join(text.split()))
    return " ".join(
        f"$-${word[1:]}" if word.startswith("-") and word[1:2].isdigit() else word for word in escaped.split(" ")
    )
