"""Word alignment for people: scores as a table, one sentence pair as a heat map of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from otembed.results.format import percent

if TYPE_CHECKING:
    from otembed.tasks.word_alignment import AlignmentReport
    from otembed.words import SentenceAlignment

SHADES = (" ·", "░░", "▒▒", "▓▓", "██")
"""For probabilities from 0, .2, .4, .6 and .8."""
CELL = 3


def alignment_table(report: AlignmentReport) -> Table:
    """Return a row for each gold set and, with several sets, the plain mean of their shares."""
    origin = {
        "given": "",
        "stored": ", stored with the model",
        "text": ", chosen from the text",
        "default": ", default",
    }
    table = Table(
        title=Text(report.model),
        caption=f"Percent; AER: error rate. Layer {report.layer}{origin[report.layer_origin]}.",
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column("set", overflow="fold")
    for name in ("pairs", "sure", "possible", "links", "precision", "recall", "F1", "AER"):
        table.add_column(name, justify="right", no_wrap=True)
    shares = ("precision", "recall", "f1", "aer")
    for one in report.scores:
        counts = (one.sentences, one.sure, one.possible, one.links)
        table.add_row(Text(one.name), *map(str, counts), *(percent(getattr(one, key)) for key in shares))
    if len(report.scores) > 1:
        means = (sum(getattr(one, key) for one in report.scores) / len(report.scores) for key in shares)
        sums = (
            sum(getattr(one, key) for one in report.scores) for key in ("sentences", "sure", "possible", "links")
        )
        table.add_row("mean", *map(str, sums), *map(percent, means))
    return table


def alignment_map(alignment: SentenceAlignment, width: int = 100) -> Text:
    """Return the probabilities of one sentence pair as shaded cells, source words down, target words across.

    Target words are numbered and named below; behind each row stand the words it is linked to, with their
    probabilities. Links are bold green where there is color. Words are padded by their width in the terminal, so
    wide scripts stay in line. What is wider than ``width`` goes on below, in blocks of columns.

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> link = SimpleNamespace(source=0, target=1, probability=0.9)
    >>> one = SimpleNamespace(source_words=("猫",), target_words=("the", "cat"), links=(link,))
    >>> one.probabilities = np.array([[0.1, 0.9]])
    >>> print(alignment_map(one).plain)
           0  1
    0 猫   · ██  cat 0.90
    0 the  1 cat
    """
    labels = [f"{number} {word}" for number, word in enumerate(alignment.source_words)]
    margin = max(map(cell_len, labels), default=0) + 1
    linked = {(link.source, link.target): link.probability for link in alignment.links}
    columns = len(alignment.target_words)
    block = max((width - margin) // CELL, 1)
    lines: list[Text] = []
    for start in range(0, columns, block):
        numbers = range(start, min(start + block, columns))
        lines.append(Text(" " * margin + "".join(f"{number:>{CELL}}" for number in numbers)))
        for row, label in enumerate(labels):
            line = Text(label + " " * (margin - cell_len(label)))
            for column in numbers:
                probability = float(alignment.probabilities[row, column])
                shade = SHADES[min(int(probability * len(SHADES)), len(SHADES) - 1)]
                line.append(" " + shade, style="bold green" if (row, column) in linked else "dim")
            names = [
                f"{alignment.target_words[column]} {linked[row, column]:.2f}"
                for column in numbers
                if (row, column) in linked
            ]
            line.append("  " + ", ".join(names) if names else "")
            lines.append(line)
    lines += _legend(alignment.target_words, width)
    return Text("\n").join(lines)


def _legend(words: tuple[str, ...], width: int) -> list[Text]:
    lines: list[str] = []
    for number, word in enumerate(words):
        name = f"{number} {word}"
        if lines and cell_len(lines[-1]) + 2 + cell_len(name) <= width:
            lines[-1] += "  " + name
        else:
            lines.append(name)
    return [Text(line) for line in lines]
