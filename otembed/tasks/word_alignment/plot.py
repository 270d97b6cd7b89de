"""A heat map of the link probabilities of a sentence pair: text for the terminal, or an image."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from otembed.errors import ConfigError
from otembed.results.format import encodable, printable
from otembed.results.plot import check_plot, drawing, literal, save_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.words import SentenceAlignment

SHADES = (" ·", "░░", "▒▒", "▓▓", "██")
"""For probabilities from 0, .2, .4, .6 and .8."""
PLAIN_SHADES = (" .", "--", "++", "%%", "##")
"""For encodings without blocks."""
CELL = 3


def alignment_map(alignment: SentenceAlignment, width: int = 100, encoding: str = "utf-8") -> Text:
    """Return the probabilities of one sentence pair as shaded cells, source words down, target words across.

    Target words are numbered and listed below; each row ends with its linked words and their probabilities. Links
    are bold green if colors are supported. Words are padded by their display width, so wide scripts stay aligned.
    A map wider than ``width`` is continued below, in blocks of columns. Characters that ``encoding`` lacks are escaped.

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
    source, target = (
        [encodable(printable(word), encoding) for word in words]
        for words in (alignment.source_words, alignment.target_words)
    )
    shades = SHADES if encodable("".join(SHADES), encoding) == "".join(SHADES) else PLAIN_SHADES
    labels = [f"{number} {word}" for number, word in enumerate(source)]
    margin = max(map(cell_len, labels), default=0) + 1
    linked = {(link.source, link.target): link.probability for link in alignment.links}
    columns = len(target)
    block = max((width - margin) // CELL, 1)
    lines: list[Text] = []
    for start in range(0, columns, block):
        numbers = range(start, min(start + block, columns))
        lines.append(Text(" " * margin + "".join(f"{number:>{CELL}}" for number in numbers)))
        for row, label in enumerate(labels):
            line = Text(label + " " * (margin - cell_len(label)))
            for column in numbers:
                probability = float(alignment.probabilities[row, column])
                shade = shades[min(int(probability * len(shades)), len(shades) - 1)]
                line.append(" " + shade, style="bold green" if (row, column) in linked else "dim")
            names = [f"{target[column]} {linked[row, column]:.2f}" for column in numbers if (row, column) in linked]
            line.append("  " + ", ".join(names) if names else "")
            lines.append(line)
    lines += _legend(target, width)
    return Text("\n").join(lines)


def _legend(words: Sequence[str], width: int) -> list[Text]:
    lines: list[str] = []
    for number, word in enumerate(words):
        name = f"{number} {word}"
        if lines and cell_len(lines[-1]) + 2 + cell_len(name) <= width:
            lines[-1] += "  " + name
        else:
            lines.append(name)
    return [Text(line) for line in lines]


def plot_alignment(alignment: SentenceAlignment, path: str | Path) -> str:
    """Draw the probability of every possible link: source words in rows, target words in columns, links framed.

    Parameters
    ----------
    alignment
        One sentence pair with at least one word on each side.
    path
        ``.png`` (150 dots per inch) or ``.svg``, which stores words as text in the viewer's fonts. The file is
        written atomically.

    Returns
    -------
    str
        Characters that no installed font can draw, which appear as boxes in a PNG; usually empty.

    Raises
    ------
    ConfigError
        As :func:`otembed.results.plot.check_plot`, or a side has no words.
    """
    path = Path(path)
    check_plot(path)
    if not alignment.probabilities.size:
        raise ConfigError(f"{path}: nothing to plot: one side has no words", "Pass two sentences.")
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, columns = alignment.probabilities.shape
    with drawing(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = Figure(figsize=(2.5 + 0.35 * columns, 1.8 + 0.3 * rows), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(alignment.probabilities, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(
            range(columns), [*map(literal, alignment.target_words)], rotation=60, ha="left", rotation_mode="anchor"
        )
        axes.set_yticks(range(rows), [*map(literal, alignment.source_words)])
        axes.xaxis.tick_top()
        for link in alignment.links:
            corner = (link.target - 0.5, link.source - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="tab:orange", linewidth=1.5))
        figure.colorbar(image, label="link probability")
        save_plot(figure, path)
    missing = [str(each.message) for each in caught if "missing from font" in str(each.message)]
    return "".join(sorted({chr(int(text.split()[1])) for text in missing})) if path.suffix.lower() == ".png" else ""
