"""Training curves of runs: which quantities of a run's log are drawn."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from otembed.page.curves import curve_panel, panels, three_digits
from otembed.page.marks import letter
from otembed.results.format import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, Any]


def _mean_of(suffix: str) -> Callable[[Document], float | None]:
    def read(record: Document) -> float | None:
        values = [value for key, value in record.items() if key.startswith("eval_") and key.endswith(suffix)]
        return fmean(values) if values else None

    return read


PANELS: tuple[tuple[str, Callable[[Document], float | None], Callable[[float], str]], ...] = (
    ("Held-out retrieval accuracy, mean, %", _mean_of("_accuracy"), percent),
    ("Training loss", lambda record: record.get("loss"), three_digits),
    ("Mean cosine of held-out vectors (near 1: collapsed)", _mean_of("_mean_cosine"), three_digits),
    ("Effective rank of held-out vectors (low: collapsed)", _mean_of("_effective_rank"), three_digits),
)


def curve_panels(models: Sequence[Document]) -> str:
    """Return a panel for each quantity that a run logged at least twice; empty without any."""
    found = []
    names = {index: f"{letter(index)} {model['name']}" for index, model in enumerate(models)}
    for heading, read, shown in PANELS:
        lines = {
            index: [
                (float(record["step"]), value) for record in model["curve"] if (value := read(record)) is not None
            ]
            for index, model in enumerate(models)
        }
        lines = {index: line for index, line in lines.items() if len(line) > 1}
        if lines:
            found.append(curve_panel(heading, lines, names, shown))
    return panels(found)
