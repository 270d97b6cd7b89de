"""The one table: rows of plain text that render to the terminal, to Markdown and to LaTeX; torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otembed.results.format import encodable, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult

GAP = 2
MARKDOWN = str.maketrans({each: f"\\{each}" for each in "\\|<>*_[]`"})
LATEX = str.maketrans(
    {
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
        "→": r"$\rightarrow$",
        "←": r"$\leftarrow$",
    }
)


@dataclass(frozen=True)
class Table:
    r"""Rows of text under a heading.

    Every text is made printable (see :func:`otembed.results.format.printable`) when the table is built, and each
    rendering escapes what its format interprets. A name therefore cannot break a table or control a terminal.

    Parameters
    ----------
    columns
        The heading; empty for a table of names and values, which has none.
    rows
        As many cells a row as there are columns.
    title, notes
        A line above the table, and lines below it. Markdown renders neither; LaTeX renders them as comments.
    align
        ``l`` or ``r`` for each column; empty aligns the first column left and the others right.
    styles
        Text of a cell to its style in a terminal, such as ``{"better": "green"}``.

    Raises
    ------
    ValueError
        Rows differ in length from the heading or from each other.

    Examples
    --------
    >>> table = Table(("pair", "F1"), (("en|sw", "87.5"),), title="m")
    >>> print(table.markdown(), end="")
    | pair | F1 |
    | --- | ---: |
    | en\|sw | 87.5 |
    >>> print(table.latex(), end="")
    % m
    \begin{tabular}{lr}
    \toprule
    pair & F1 \\
    \midrule
    en|sw & 87.5 \\
    \bottomrule
    \end{tabular}
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    align: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clean = {
            "columns": tuple(map(printable, self.columns)),
            "rows": tuple(tuple(map(printable, row)) for row in self.rows),
            "title": printable(self.title),
            "notes": tuple(map(printable, self.notes)),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)
        width = len(self.columns) or max(map(len, self.rows), default=0)
        object.__setattr__(self, "align", self.align or "l" + "r" * (width - 1))
        if {len(self.align), *map(len, self.rows)} - {width}:
            raise ValueError(f"rows of {sorted(set(map(len, self.rows)))} cells, {width} columns")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, table and notes for a terminal, in its colors and in the characters of its encoding."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=bool(self.columns))
        whole = self._width_of_whole_words() <= options.max_width
        for place, side in enumerate(self.align):
            heading = Text(encodable(self.columns[place], options.encoding)) if self.columns else ""
            # Text folds in a narrow terminal, numbers do not, nor do single words if others can make room.
            single = whole and not any(" " in row[place] for row in self.rows)
            justify: JustifyMethod = "left" if side == "l" else "right"
            table.add_column(heading, justify=justify, overflow="fold", no_wrap=side == "r" or single)
        # Text, because rich would interpret brackets in a plain string as markup.
        for row in self.rows:
            cells = ((encodable(cell, options.encoding), self.styles.get(cell, "")) for cell in row)
            table.add_row(*(Text(cell, style=style) for cell, style in cells))
        # rich would wrap a title or caption of its own table at the width of the table.
        if self.title:
            yield Text(encodable(self.title, options.encoding))
        yield table
        for note in self.notes:
            yield Text(encodable(note, options.encoding), style="dim italic")

    def _width_of_whole_words(self) -> int:
        """Return the width of the narrowest table in which no word is broken."""
        from rich.cells import cell_len

        columns = zip(*((self.columns,) if self.columns else ()), *self.rows, strict=True)
        parts = (
            [part for cell in cells for part in ([cell] if side == "r" else cell.split())]
            for side, cells in zip(self.align, columns, strict=False)
        )
        return sum(max(map(cell_len, each), default=0) + GAP for each in parts) - GAP

    def markdown(self) -> str:
        """Return heading and rows as Markdown, ending in a line break; a table without a heading shows its title."""
        heading = self.columns or (self.title, *("",) * (len(self.align) - 1))
        rule = ["---" if side == "l" else "---:" for side in self.align]
        lines = [[markdown_escaped(cell) for cell in row] for row in (heading, *self.rows)]
        return "".join(f"| {' | '.join(row)} |\n" for row in (lines[0], rule, *lines[1:]))

    def _repr_markdown_(self) -> str:
        """Return the table as a notebook shows it."""
        return self.markdown()

    def latex(self, *, grouped: bool = False) -> str:
        r"""Return a ``tabular`` with booktabs rules; the preamble needs ``\usepackage{booktabs}``.

        Parameters
        ----------
        grouped
            Set a rule between rows that differ in their first cell.
        """

        def line(cells: Sequence[str]) -> str:
            return " & ".join(map(latex_escaped, cells)) + r" \\"

        body = [line(self.columns), r"\midrule"] if self.columns else []
        for before, row in zip((*self.rows[:1], *self.rows), self.rows, strict=False):
            if grouped and row[0] != before[0]:
                body.append(r"\midrule")
            body.append(line(row))
        comments = [f"% {each}" for each in (self.title, *self.notes) if each]
        start = [rf"\begin{{tabular}}{{{self.align}}}", r"\toprule"]
        return "\n".join([*comments, *start, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def stacked(tables: Sequence[Table]) -> RenderableType:
    """Return several tables for a terminal, with a blank line between them."""
    from rich.console import Group
    from rich.text import Text

    parts = [part for table in tables for part in (Text(), table)]
    return Group(*parts[1:])


def markdown_escaped(text: str) -> str:
    r"""Return text as Markdown shows it literally, in one line.

    >>> print(markdown_escaped("a|b *c*"))
    a\|b \*c\*
    """
    return printable(text).translate(MARKDOWN)


def latex_escaped(text: str) -> str:
    r"""Return text as LaTeX prints it, in one line; a minus sign before a number is set as a minus.

    >>> print(latex_escaped("50 % of a_b"), latex_escaped("-1.2 to +0.3"))
    50 \% of a\_b $-$1.2 to +0.3
    """
    words = printable(text).translate(LATEX).split(" ")
    return " ".join(f"$-${word[1:]}" if word.startswith("-") and word[1:2].isdigit() else word for word in words)
