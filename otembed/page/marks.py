"""Colors and letters of models; bars and differences with their intervals, as tables with the numbers as text."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from otembed.results.format import percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]

SIGNS = {"better": "▲", "worse": "▼", "no clear difference": "="}
CLASSES = {"better": "better", "worse": "worse", "no clear difference": "unclear"}
COLORS = 6
BAR, GAP = 9, 4
REACH = 14
"""How far the zero line extends beyond the marks of a row, to join the line of the next row."""


def letter(index: int) -> str:
    """Return the letter of a model in the tables.

    >>> letter(0), letter(25), letter(26)
    ('A', 'Z', 'A1')
    """
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def color(index: int) -> str:
    """Return the CSS color of a model."""
    return f"var(--m{index % COLORS})"


def dot(index: int) -> str:
    """Return the colored square of a model."""
    return f'<span class="dot" style="background:{color(index)}"></span>'


def rounded_up(value: float) -> float:
    """Return the next round number, 1 to 8 times a power of ten, as the end of an axis.

    >>> rounded_up(0.031), rounded_up(0.2), rounded_up(0)
    (0.04, 0.2, 0.01)
    """
    if value <= 0:
        return 0.01
    power: float = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return next(
        round(step * power, 12)
        for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
        if step * power >= value * (1 - 1e-9)
    )


def bar_table(tasks: Sequence[Document], names: Sequence[str], label: str) -> str:
    """Return one metric of a suite: a row per task, with figures, differences to A, intervals and verdicts."""
    figures = [each for task in tasks for each in task["figures"] if each]
    found = [each for task in tasks for each in task["differences"] if each]
    top = min(1.0, rounded_up(max([each["high"] for each in figures] + [each["value"] for each in figures])))
    top = top if top > 0 else 1.0
    widest = rounded_up(max(abs(each[key]) for each in found for key in ("low", "high", "value")))
    others = ", ".join(letter(index + 1) for index in range(len(names) - 1))
    lower = "" if tasks[0]["higher_is_better"] else ", lower is better"
    head = (
        f"<thead><tr><th scope=col>task</th>"
        f"<th scope=col class=plot>{escape(label)}, %{lower}{_scale('0', f'{50 * top:g}', f'{100 * top:g}')}</th>"
        f"<th scope=col class=num>%</th>"
        f"<th scope=col class=plot>{others} - A, points"
        f"{_scale(f'{-100 * widest:g}', '0', f'+{100 * widest:g}')}</th>"
        f"<th scope=col class=num>points [interval]</th><th scope=col>verdict</th></tr></thead>"
    )
    rows = "".join(_row(task, top, widest) for task in tasks)
    # The ranges of the axes, for narrow windows and screen readers.
    hidden = (
        f"{label}{lower}: bars from 0 to {100 * top:g} %; differences to A from"
        f" -{100 * widest:g} to +{100 * widest:g} points"
    )
    return f'<table class="bars"><caption>{escape(hidden)}</caption>{head}<tbody>{rows}</tbody></table>'


def _scale(*ticks: str) -> str:
    return f'<span class="scale">{"".join(f"<span>{each}</span>" for each in ticks)}</span>'


def _row(task: Document, top: float, widest: float) -> str:
    values, gains, verdicts = [], [], []
    for index, each in enumerate(task["figures"]):
        values.append(f"<span>{dot(index)}{percent(each['value']) if each else '–'}</span>")
    for index, each in enumerate(task["differences"], 1):
        # With several models a row has several lines, each marked with its model.
        which = dot(index) if len(task["differences"]) > 1 else ""
        if each is None:
            gains.append("<span>–</span>")
            verdicts.append("<span>–</span>")
            continue
        low, high = points(0, each["low"]), points(0, each["high"])
        gains.append(f'<span>{which}{points(0, each["value"])} <span class="range">[{low}, {high}]</span></span>')
        verdict = each["verdict"]
        verdicts.append(f'<span class="{CLASSES[verdict]}">{SIGNS[verdict]} {escape(verdict)}</span>')
    kind = ' class="mean"' if task["tasks"] > 1 else ""
    size = f"{task['tasks']} tasks" if task["tasks"] > 1 else f"n = {task['examples']}"
    return (
        f'<tr{kind}><th scope=row>{escape(task["task"])} <span class="soft n">{size}</span></th>'
        f'<td class="plot">{_figures(task["figures"], top)}</td>'
        f'<td class="num values">{"".join(values)}</td>'
        f'<td class="plot">{_differences(task, widest)}</td>'
        f'<td class="num gain">{"".join(gains)}</td><td class="verdict">{"".join(verdicts)}</td></tr>'
    )


def _figures(figures: Sequence[Document | None], top: float) -> str:
    """Return bars from 0, each with the interval of its figure."""
    parts = []
    for index, each in enumerate(figures):
        if each is None:
            continue
        y = index * (BAR + GAP)
        middle = y + BAR / 2
        low, high, end = (100 * min(each[key], top) / top for key in ("low", "high", "value"))
        parts.append(
            f'<rect x="0" y="{y}" width="{end:.2f}%" height="{BAR}" fill="{color(index)}"/>'
            f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="{middle}" y2="{middle}" stroke="var(--ink)" stroke-width="1.5"/>'
        )
    return _svg(parts, len(figures) * (BAR + GAP) - GAP)


def _differences(task: Document, widest: float) -> str:
    """Return a dot and its interval for each difference, and the zero line."""
    height = max(len(task["differences"]) * (BAR + GAP) - GAP, BAR * 2)
    parts = [f'<line x1="50%" x2="50%" y1="{-REACH}" y2="{height + REACH}" stroke="var(--soft)" stroke-width="1"/>']
    shift = (height - (len(task["differences"]) * (BAR + GAP) - GAP)) / 2
    for index, each in enumerate(task["differences"]):
        if each is None:
            continue
        y = shift + index * (BAR + GAP) + BAR / 2
        low, high, at = (50 + 50 * each[key] / widest for key in ("low", "high", "value"))
        ink = f"var(--{CLASSES[each['verdict']]})"
        parts.append(
            f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="{y}" y2="{y}" stroke="{ink}" stroke-width="2.5"/>'
            f'<circle cx="{at:.2f}%" cy="{y}" r="4.5" fill="{ink}"/>'
        )
    return _svg(parts, height)


def _svg(parts: Sequence[str], height: float) -> str:
    return f'<svg height="{height}" aria-hidden="true">{"".join(parts)}</svg>'
