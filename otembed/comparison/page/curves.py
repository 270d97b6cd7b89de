"""Training curves of runs: small panels with a common step axis, first and last values as text."""

from __future__ import annotations

from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Any

from otembed.comparison.page.marks import color, dot
from otembed.comparison.tables import letter
from otembed.results.format import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, Any]
    Line = list[tuple[float, float]]

HEAD, TAIL = 0.06, 0.06
"""Empty shares of a panel above and below the curves."""


def _mean_of(suffix: str) -> Callable[[Document], float | None]:
    def read(record: Document) -> float | None:
        values = [value for key, value in record.items() if key.startswith("eval_") and key.endswith(suffix)]
        return fmean(values) if values else None

    return read


def _plain(value: float) -> str:
    return f"{value:.3g}"


PANELS: tuple[tuple[str, Callable[[Document], float | None], Callable[[float], str]], ...] = (
    ("Held-out retrieval accuracy, mean, %", _mean_of("_accuracy"), percent),
    ("Training loss", lambda record: record.get("loss"), _plain),
    ("Mean cosine of held-out vectors (near 1: collapsed)", _mean_of("_mean_cosine"), _plain),
    ("Effective rank of held-out vectors (low: collapsed)", _mean_of("_effective_rank"), _plain),
)


def curve_panels(models: Sequence[Document]) -> str:
    """Return a panel for each quantity that a run logged at least twice; empty without any."""
    panels = []
    for heading, read, shown in PANELS:
        lines = {
            index: [
                (float(record["step"]), value) for record in model["curve"] if (value := read(record)) is not None
            ]
            for index, model in enumerate(models)
        }
        lines = {index: line for index, line in lines.items() if len(line) > 1}
        if lines:
            panels.append(_panel(heading, lines, models, shown))
    return f'<div class="panels two">{"".join(panels)}</div>' if panels else ""


def _panel(heading: str, lines: dict[int, Line], models: Sequence[Document], shown: Callable[[float], str]) -> str:
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
        f"<li>{dot(index)}{letter(index)} {escape(models[index]['name'])}: {shown(line[0][1])} → {shown(line[-1][1])}</li>"
        for index, line in lines.items()
    )
    return (
        f"<figure><h4>{escape(heading)}</h4><div class=chart>"
        f"<div class=y><span>{shown(high)}</span><span>{shown(low)}</span></div>"
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
        f"<div class=x><span>step {first:g}</span><span>{last:g}</span></div></div><ul class=ends>{ends}</ul></figure>"
    )
