"""Heat maps of the cells of a matrix of figures, as tables."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from otembed.page.marks import dot, letter
from otembed.results.format import percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]

CELL = re.compile(r"(?:(\w+)/)?(\w+)-(\w+)")
PALEST, DARKEST = 0.05, 0.6
"""Opacity of cells that contain a figure; the figure remains readable."""
TINY = 1e-9
DIRECTIONS = {"accuracy_source_to_target": "→", "accuracy_target_to_source": "←"}


def matrix_maps(tasks: Sequence[Document], names: Sequence[str], label: str) -> str:
    """Return a map per model of tasks that form a matrix, such as question language by paragraph language.

    Tasks with different names before a slash form different matrices. Empty unless the tasks of one span at least two
    rows and two columns.
    """
    groups: dict[str, dict[tuple[str, str], Document]] = {}
    for task in tasks:
        if found := CELL.fullmatch(task["task"]):
            kind, row, column = found.groups(default="")
            groups.setdefault(kind, {})[row, column] = task
    return "".join(
        _maps_of(cells, names, f"{label} of {kind}" if kind else label) for kind, cells in groups.items()
    )


def _maps_of(cells: dict[tuple[str, str], Document], names: Sequence[str], label: str) -> str:
    rows, columns = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    if len(rows) < 2 or len(columns) < 2 or len(cells) <= max(len(rows), len(columns)):
        return ""
    known = [each["value"] for task in cells.values() for each in task["figures"] if each]
    # One scale for all models: equal shades are equal figures.
    ends = (min(known), max(known))
    maps = [
        _matrix(
            f"{dot(index)}{letter(index)} {escape(name)}: {escape(label)}, %",
            rows,
            columns,
            {key: _value(task["figures"][index]) for key, task in cells.items()},
            ends,
        )
        for index, name in enumerate(names)
    ]
    for index, name in enumerate(names[1:]):
        gains = {key: _value(task["differences"][index]) for key, task in cells.items()}
        maps.append(_matrix(f"{letter(index + 1)} - A: {escape(name)}, points", rows, columns, gains, None))
    return f'<div class="panels">{"".join(maps)}</div>'


def direction_map(tasks: Sequence[Document], names: Sequence[str]) -> str:
    """Return retrieval by direction: a row per language pair, with both directions of each model."""
    table: dict[str, dict[str, Document]] = {}
    for task in tasks:
        if task["metric"] in DIRECTIONS and task["tasks"] == 1:
            table.setdefault(task["task"], {})[task["metric"]] = task
    whole = {name: row for name, row in table.items() if len(row) == len(DIRECTIONS) and ", " not in name}
    if not whole:
        return ""
    columns = [(index, metric) for index in range(len(names)) for metric in DIRECTIONS]
    cells = {
        (name, f"{letter(index)} {DIRECTIONS[metric]}"): _value(row[metric]["figures"][index])
        for name, row in whole.items()
        for index, metric in columns
    }
    heading = "Accuracy by direction, %; → queries in the first language, ← in the second"
    known = [each for each in cells.values() if each is not None]
    heads = [f"{letter(index)} {DIRECTIONS[metric]}" for index, metric in columns]
    return _matrix(heading, list(whole), heads, cells, (min(known), max(known)))


def _value(entry: Document | None) -> float | None:
    return None if entry is None else entry["value"]


def _matrix(
    heading: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: dict[Any, float | None],
    ends: tuple[float, float] | None,
) -> str:
    """Return a table shaded between the two ends; without ends, the values are differences, shaded by sign and size."""
    widest = max((abs(each) for each in values.values() if each is not None), default=0.0)

    def cell(value: float | None) -> str:
        if value is None:
            return "<td>–</td>"
        if ends is None:
            share, hue, text = abs(value) / max(widest, TINY), "--cold" if value < 0 else "--heat", points(0, value)
        else:
            share, hue = (value - ends[0]) / max(ends[1] - ends[0], TINY), "--heat"
            text = percent(value)
        return f'<td style="background:rgb(var({hue}) / {PALEST + (DARKEST - PALEST) * share:.3f})">{text}</td>'

    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in columns)
    body = "".join(
        f"<tr><th scope=row>{escape(row)}</th>{''.join(cell(values.get((row, column))) for column in columns)}</tr>"
        for row in rows
    )
    return (
        f"<figure><h4>{heading}</h4><div class=scroll><table class=heat>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )
