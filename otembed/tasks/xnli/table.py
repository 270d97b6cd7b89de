"""XNLI reports as tables: for the terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otembed.errors import DataError
from otembed.results.format import percent, points

if TYPE_CHECKING:
    from otembed.tasks.xnli.report import XnliReport


def xnli_table(report: XnliReport) -> Table:
    """Return a row for each language, the mean over all and, if some are named, that over the trained ones."""
    training = report.training
    source = f"{training['pairs']:,} pairs of {training['source']}"
    caption = f"Percent; majority: always the most frequent label. Head trained on {source}."
    if report.label:
        caption += " These are a stand-in for MultiNLI: not comparable with published figures."
    table = Table(
        title=Text(f"{report.model}: {report.protocol}" + (f", {report.label}" if report.label else "")),
        caption=Text(caption),
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    header, *rows = xnli_rows(report)
    table.add_column(header[0], overflow="fold")
    for name in header[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def xnli_markdown(before: XnliReport, after: XnliReport | None = None) -> str:
    """Return the rows of one report, or of the change between two, as a Markdown table that ends in a line break.

    Raises
    ------
    DataError
        The reports differ in protocol, training pairs or test pairs.
    """
    header, *rows = xnli_rows(before, after)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *rows))


def xnli_rows(before: XnliReport, after: XnliReport | None = None) -> list[list[str]]:
    """Return heading and rows as text; with two reports each accuracy reads ``before→after change``."""
    if after is not None:
        _check_comparable(before, after)
    corner = f"accuracy{', ' + before.label if before.label else ''}"
    pairs = {one.language: one for one in before.scores}
    later = {} if after is None else {one.language: one for one in after.scores}
    rows = [
        [
            one.language + (" (trained)" if one.language in (after or before).trained_languages else ""),
            f"{one.examples:,}",
            _change(one.accuracy, later[language].accuracy if after is not None else None),
            percent(one.majority),
        ]
        for language, one in pairs.items()
    ]
    total = sum(one.examples for one in before.scores)
    if len(pairs) > 1:
        rows.append(["mean", f"{total:,}", _change(before.accuracy, after.accuracy if after else None), ""])
    trained = (after or before).trained_languages
    if trained and len(trained) < len(pairs):
        chosen = [one.accuracy for language, one in pairs.items() if language in trained]
        first = sum(chosen) / len(chosen)
        second = None if after is None else after.trained_accuracy
        rows.append(["mean of the trained", "", _change(first, second), ""])
    rows.append(["development", f"{before.training['dev_pairs']:,}", _change(before.dev_accuracy, after.dev_accuracy if after else None), ""])  # fmt: skip
    return [["language", "pairs", corner, "majority"], *rows]


def _change(before: float, after: float | None) -> str:
    return percent(before) if after is None else f"{percent(before)}→{percent(after)} {points(before, after)}"


def _check_comparable(before: XnliReport, after: XnliReport) -> None:
    kinds = [
        (one.protocol, one.training, [(each.language, each.examples, each.majority) for each in one.scores])
        for one in (before, after)
    ]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"reports of different material cannot be compared: {before.model} and {after.model}",
            "Evaluate both models by the same protocol on the same training and test pairs.",
        )
