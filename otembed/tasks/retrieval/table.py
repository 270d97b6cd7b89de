"""Retrieval reports as tables: for the terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otembed.errors import DataError
from otembed.results.format import percent, points
from otembed.tasks.retrieval.report import mean_scores

if TYPE_CHECKING:
    from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores

FIGURES = {
    "src→tgt": "accuracy_source_to_target",
    "tgt→src": "accuracy_target_to_source",
    "F1": "f1",
    "xSIM": "xsim",
}
"""Column headings and the attributes of RetrievalScores under them."""


def retrieval_table(
    before: RetrievalReport, after: RetrievalReport | None = None, *, centered: bool = False
) -> Table:
    """Return a table of one report, or of the change between two, fit for 80 columns of plain text.

    Parameters
    ----------
    before
        The report, or the first of two.
    after
        The second one; then every figure reads ``before→after change``, the change in points.
    centered
        Show the scores after centering instead of the plain ones.

    Returns
    -------
    rich.table.Table
        A row for each language pair and, with several pairs, their mean: top-1 accuracy in both
        directions, and F1 and xSIM as means of both. Percent with one decimal; xSIM is an error rate.

    Raises
    ------
    DataError
        Centered scores are wanted that a report does not have, or the reports differ in language pairs,
        sentences or the xSIM margin, so that their figures cannot be compared.
    """
    header, *rows = retrieval_rows(before, after, centered=centered)
    title = before.model if after is None else f"{before.model} → {after.model}"
    table = Table(
        # Text, as names may hold brackets, which a plain string would have taken for markup.
        title=Text(f"{title}, centered" if centered else title),
        caption="Percent; arrows: accuracy; xSIM: error rate.",
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column(header[0], overflow="fold")
    for name in header[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def retrieval_markdown(
    before: RetrievalReport, after: RetrievalReport | None = None, *, centered: bool = False
) -> str:
    """Return the rows of :func:`retrieval_table` as a Markdown table that ends in a line break.

    Parameters
    ----------
    before, after, centered
        As in :func:`retrieval_table`.

    Raises
    ------
    DataError
        As in :func:`retrieval_table`.
    """
    header, *rows = retrieval_rows(before, after, centered=centered)
    rule = ["---", *["---:"] * (len(header) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def retrieval_rows(
    before: RetrievalReport, after: RetrievalReport | None = None, *, centered: bool = False
) -> list[list[str]]:
    """Return heading and rows of a retrieval table as text; parameters as in :func:`retrieval_table`."""
    first = _with_mean(before, centered=centered)
    if after is None:
        rows = [
            [one.pair, str(one.sentences), *(percent(getattr(one, key)) for key in FIGURES.values())]
            for one in first
        ]
        return [["pair", "sentences", *FIGURES], *rows]
    second = _with_mean(after, centered=centered)
    _check_comparable(first, second)
    return [["pair", *FIGURES], *([one.pair, *_changes(one, two)] for one, two in zip(first, second, strict=True))]


def _with_mean(report: RetrievalReport, *, centered: bool) -> list[RetrievalScores]:
    scores = report.centered_scores if centered else report.scores
    if not scores:
        raise DataError(
            f"the report of {report.model} has no {'centered ' if centered else ''}scores",
            "Evaluate again with centering on." if centered else "Evaluate at least one language pair.",
        )
    return [*scores, mean_scores(scores)] if len(scores) > 1 else list(scores)


def _changes(before: RetrievalScores, after: RetrievalScores) -> list[str]:
    changes = ((getattr(before, key), getattr(after, key)) for key in FIGURES.values())
    return [f"{percent(old)}→{percent(new)} {points(old, new)}" for old, new in changes]


def _check_comparable(first: list[RetrievalScores], second: list[RetrievalScores]) -> None:
    kinds = [[(one.pair, one.sentences, one.margin_k) for one in scores] for scores in (first, second)]
    if kinds[0] != kinds[1]:
        described = [", ".join(f"{pair} ({count} sentences, k={k})" for pair, count, k in kind) for kind in kinds]
        raise DataError(
            f"reports of different material cannot be compared: {described[0]} and {described[1]}",
            "Evaluate both models on the same pairs with the same k.",
        )
