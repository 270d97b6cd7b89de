"""Heat maps of question retrieval by language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otembed.results.plot import check_plot, drawing, save_plot

if TYPE_CHECKING:
    from otembed.tasks.xquad.report import QuestionReport


def plot_questions(report: QuestionReport, path: str | Path) -> None:
    """Draw heat maps of a report: accuracy by pair of languages, and the languages of the best answers.

    Parameters
    ----------
    report
        Result of :func:`otembed.tasks.xquad.evaluate_xquad`. With LAReQA's figures, the last map shows the share of each
        language in the best 20 answers of the mixed pool: even columns mean no language bias.
    path
        ``.png`` (150 dots per inch) or ``.svg``. Written atomically.

    Raises
    ------
    ConfigError
        As :func:`otembed.results.plot.check_plot`.
    """
    path = Path(path)
    check_plot(path)
    from matplotlib.figure import Figure

    codes = list(report.data)
    maps = {
        f"{task}: top-1 accuracy": {
            (each.question_language, each.text_language): each.accuracy for each in report.cells(task)
        }
        for task in ("paragraph", "sentence")
        if report.cells(task)
    }
    if report.answers:
        maps["language of the top 20"] = {
            (each.language, code): share for each in report.answers for code, share in each.top_shares.items()
        }
    size = 1.6 + 0.6 * len(codes)
    with drawing():
        figure = Figure(figsize=(len(maps) * size, size), layout="constrained")
        for axes, (title, shares) in zip(
            figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True
        ):
            axes.imshow([[shares[row, column] for column in codes] for row in codes], cmap="Blues", vmin=0, vmax=1)
            axes.set(title=title, xlabel="text", ylabel="question")
            axes.set_xticks(range(len(codes)), codes)
            axes.set_yticks(range(len(codes)), codes)
            for (row, column), share in shares.items():
                place = (codes.index(column), codes.index(row))
                axes.text(*place, f"{100 * share:.0f}", ha="center", va="center", color="wk"[share < 0.6])
        save_plot(figure, path)
