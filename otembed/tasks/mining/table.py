"""Mining scores as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otembed.results.format import percent

if TYPE_CHECKING:
    from otembed.tasks.mining.evaluate import MiningScores


def mining_table(scores: MiningScores) -> Table:
    """Return figures of a mining run against known pairs: two columns, percent but for thresholds and counts."""

    def threshold(value: float | None) -> str:
        return "none" if value is None else f"{value:.4f}"

    rows = [
        ("known pairs", f"{scores.gold:,}"),
        ("of them with a line left out", f"{scores.gold_unusable:,}"),
        ("threshold in use", threshold(scores.threshold)),
        ("pairs found", f"{scores.found:,}"),
        ("right", f"{scores.right:,}"),
        ("precision", percent(scores.precision)),
        ("recall", percent(scores.recall)),
        ("F1", percent(scores.f1)),
        ("best F1 of any threshold", percent(scores.best_f1)),
        ("its threshold", threshold(scores.best_threshold)),
        ("average precision", percent(scores.average_precision)),
    ]
    table = Table(
        title=Text(scores.name),
        title_justify="left",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
