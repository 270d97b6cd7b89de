"""A panel of curves over training steps: SVG without text, first and last values as text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from otembed.page.marks import color, dot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Line = list[tuple[float, float]]

HEAD, TAIL = 0.06, 0.06
"""Empty shares of a panel above and below the curves."""


def three_digits(value: float) -> str:
    """Return a figure with three significant digits.

    >>> three_digits(0.12345), three_digits(2e-5)
    ('0.123', '2e-05')
    """
    return f"{value:.3g}"


def curve_panel(
    heading: str, lines: Mapping[int, Line], names: Mapping[int, str], shown: Callable[[float], str] = three_digits
) -> str:
    """Return a panel that ranges from the lowest to the highest value of its curves.

    Parameters
    ----------
    heading
        Plain text.
    lines
        Index of the color to (step, value) by step.
    names
        Index of the color to the name of the curve, as plain text; a single curve may have the name ``""``.
    shown
        How values are written.
    """
    steps = [step for line in lines.values() for step, _ in line]
    values = [value for line in lines.values() for _, value in line]
    low, high, first, last = min(values), max(values), min(steps), max(steps)
    height, width = max(high - low, 1e-9), max(last - first, 1)

    def place(step: float, value: float) -> str:
        y = 100 * (HEAD + (1 - HEAD - TAIL) * (1 - (value - low) / height))
        return f"{100 * (step - first) / width:.2f},{y:.2f}"

    drawn = "".join(
        f'<polyline points="{" ".join(place(*each) for each in line)}" fill="none" stroke="{color(index)}"'
        f' stroke-width="2" vector-effect="non-scaling-stroke" stroke-linejoin="round"/>'
        for index, line in lines.items()
    )
    ends = "".join(
        f"<li>{dot(index)}{escape(f'{names[index]}: ' if names[index] else '')}{shown(line[0][1])} → {shown(line[-1][1])}</li>"
        for index, line in lines.items()
    )
    return (
        f"<figure><h4>{escape(heading)}</h4><div class=chart>"
        f"<div class=y><span>{shown(high)}</span><span>{shown(low)}</span></div>"
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
        f"<div class=x><span>step {first:g}</span><span>{last:g}</span></div></div><ul class=ends>{ends}</ul></figure>"
    )


def panels(found: list[str]) -> str:
    """Return panels side by side; nothing without any."""
    return f'<div class="panels two">{"".join(found)}</div>' if found else ""
