"""Question answering for people: matrices of languages, LAReQA's figures, span scores; terminal and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from otembed.results.format import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from otembed.tasks.xquad.report import QuestionReport
    from otembed.tasks.xquad.span_report import SpanReport

Rows = list[list[str]]
TITLES = {
    "paragraph": "question → paragraph, top-1 accuracy",
    "sentence": "question → answer sentence, top-1 accuracy",
}
MEANS = {"accuracy": "accuracy", "MRR@10": "mrr", "nDCG@10": "ndcg", "recall@10": "recall"}


def matrix_rows(report: QuestionReport, task: str) -> Rows:
    """Return heading and rows of one task: languages of the questions down, of the texts across, top-1 accuracy."""
    cells = {(each.question_language, each.text_language): each for each in report.cells(task)}
    codes = list(report.data)
    rows = [[code, *(percent(cells[code, other].accuracy) for other in codes)] for code in codes]
    return [["question", *codes], *rows]


def mean_rows(report: QuestionReport) -> Rows:
    """Return the means of all cells within a language and across languages, a row each."""
    rows: Rows = []
    for task in TITLES:
        for across in (False, True):
            if report.mean(task, across=across) is not None:
                means = (report.mean(task, across=across, figure=figure) or 0 for figure in MEANS.values())
                rows.append([f"{task}, {'across' if across else 'within'} languages", *map(percent, means)])
    return [["mean", *MEANS], *rows]


def answer_rows(report: QuestionReport) -> Rows:
    """Return LAReQA's figures: mAP of each question language, and of which language the best 20 answers are."""
    codes = list(report.data)
    rows = [
        [one.language, percent(one.map), percent(one.map_20), *(percent(one.top_shares[code]) for code in codes)]
        for one in report.answers
    ]
    if len(rows) > 1:
        rows.append(["mean", percent(report.map or 0), percent(report.map_20 or 0), *[""] * len(codes)])
    return [["question", "mAP", "mAP@20", *(f"in {code}" for code in codes)], *rows]


def question_rows(report: QuestionReport) -> dict[str, Rows]:
    """Return every table of a report by its title."""
    tables = {title: matrix_rows(report, task) for task, title in TITLES.items() if report.cells(task)}
    if report.scores:
        tables["means over the cells"] = mean_rows(report)
    if report.answers:
        pool = report.answers[0].candidates
        tables[f"answers in one pool of {pool:,} sentences; shares of the best 20 by language"] = answer_rows(
            report
        )
    return tables


def question_tables(report: QuestionReport) -> list[RenderableType]:
    """Return the tables of a report for the terminal."""
    return [_table(f"{report.model}: {title}", rows) for title, rows in question_rows(report).items()]


def question_caption(report: QuestionReport) -> str:
    """Return what the figures depend on, in a line."""
    scoring = report.scoring_seconds / max(report.scoring_seconds + report.encoding_seconds, 1e-9)
    parts = [
        f"Percent. Questions with {report.query_prompt!r} before them, texts with {report.passage_prompt!r}",
        f"cut at {report.max_seq_length} tokens",
    ]
    if any(each.task == "sentence" for each in report.scores) or report.answers:
        parts.append(f"answers encoded as {report.candidate}")
    if report.limit is not None:
        parts.append(f"{report.limit} questions a language")
    return f"{', '.join(parts)}. Scoring took {scoring:.1%} of the time."


def span_rows(reports: Sequence[SpanReport]) -> Rows:
    """Return a row for each language and, with several, their mean; F1 and exact match of each report."""
    heading = ["language", "questions"]
    for report in reports:
        name = f"{report.model} " if len(reports) > 1 else ""
        heading += [f"{name}F1", f"{name}exact match"]
    rows: Rows = [heading]
    for place, one in enumerate(reports[0].scores):
        shares = (percent(share) for each in reports for share in _shares(each.scores[place]))
        rows.append([one.language, str(one.questions), *shares])
    if len(rows) > 2:
        total = sum(one.questions for one in reports[0].scores)
        rows.append(["mean", str(total), *(percent(share) for each in reports for share in _shares(each))])
    return rows


def span_table(report: SpanReport) -> RenderableType:
    """Return the scores of a report for the terminal; the title says what it was trained on."""
    return _table(f"{report.model}: spans, trained on {report.training_data}", span_rows([report]))


def span_caption(report: SpanReport) -> str:
    """Return what the figures depend on, in a line."""
    knobs = report.settings
    note = " Figures of a stand-in compare with nothing published." if report.stand_in else ""
    return (
        f"Percent; {knobs['normalization']} normalization. {report.training_questions:,} training questions, "
        f"{report.steps:,} steps of {knobs['per_device_train_batch_size'] * knobs['gradient_accumulation_steps']}, learning rate {knobs['learning_rate']:g}, windows of "
        f"{knobs['max_length']} tokens.{note}"
    )


def markdown(rows: Rows) -> str:
    """Return rows as a Markdown table that ends in a line break.

    >>> print(markdown([["question", "en"], ["ar", "87.5"]]), end="")
    | question | en |
    | --- | ---: |
    | ar | 87.5 |
    """
    heading, *others = rows
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *others]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _shares(scores: Any) -> tuple[float, float]:
    return scores.f1, scores.exact_match


def _table(title: str, rows: Rows) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    heading, *others = rows
    for place, name in enumerate(heading):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
    for row in others:
        table.add_row(*map(Text, row))
    # A title of the table's own would be broken at the table's width.
    return Group(Text(title), table, "")
