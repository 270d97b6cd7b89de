"""Curves of precision, recall and F1 of mined pairs against known ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otembed.errors import ConfigError
from otembed.results.plot import check_plot, drawing, literal, save_plot

if TYPE_CHECKING:
    from otembed.tasks.mining.evaluate import MiningScores


def plot_mining(scores: MiningScores, path: str | Path) -> None:
    """Draw precision against recall, and precision, recall and F1 against the threshold, side by side.

    Both plots mark the threshold in use and the threshold of the best F1. Lines are steps between the points of
    ``scores.curve``: a threshold has the figures of the next higher score on the curve.

    Parameters
    ----------
    scores
        With at least one mined pair.
    path
        ``.png`` (150 dots per inch) or ``.svg``. Written atomically.

    Raises
    ------
    ConfigError
        As :func:`otembed.results.plot.check_plot`, or no pair was mined.
    """
    path = Path(path)
    check_plot(path)
    if not scores.curve:
        raise ConfigError(f"{path}: nothing to plot: no pair was mined", "Lower --min-cosine, or check the input.")
    from matplotlib.figure import Figure

    cuts, precision, recall = zip(*scores.curve, strict=True)
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
    with drawing():
        figure = Figure(figsize=(11.5, 4.8), layout="constrained")
        figure.suptitle(literal(scores.name))
        left, right = figure.subplots(1, 2)
        left.step((0, *recall), (precision[0], *precision), where="pre", color="tab:blue", linewidth=1.8)
        left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        left.set_title(f"average precision {scores.average_precision:.3f}", fontsize="medium")
        low, high = _span(
            (*cuts, *(each for each in (scores.threshold, scores.best_threshold) if each is not None))
        )
        for name, values, color, width in (
            ("precision", precision, "tab:blue", 1.4),
            ("recall", recall, "tab:green", 1.4),
            ("F1", f1, "tab:orange", 2.2),
        ):
            # Below the last score every pair is found.
            right.step((*cuts, low), (*values, values[-1]), where="post", color=color, linewidth=width, label=name)
        right.set(xlabel="threshold", ylim=(0, 1.02), xlim=(low, high))
        right.set_title(f"F1 {scores.f1:.3f}, best {scores.best_f1:.3f}", fontsize="medium")
        best = max(range(len(f1)), key=f1.__getitem__)
        points = (
            ("of best F1", scores.best_threshold, recall[best], precision[best], "tab:orange", "D", ":"),
            ("in use", scores.threshold, scores.recall, scores.precision, "black", "o", "--"),
        )
        for label, threshold, x, y, color, marker, line in points:
            size = 10 if marker == "D" else 6
            left.plot(x, y, marker, color=color, markersize=size, clip_on=False, label=_at(label, threshold))
            if threshold is not None:
                right.axvline(threshold, color=color, linestyle=line, linewidth=1.4, label=f"threshold {label}")
        for axes, columns in ((left, 2), (right, 5)):
            axes.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.13),
                ncols=columns,
                frameon=False,
                fontsize="small",
                columnspacing=1.2,
            )
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        save_plot(figure, path)


def _at(label: str, threshold: float | None) -> str:
    return f"{label}: every pair" if threshold is None else f"{label}: {threshold:.4f}"


def _span(places: tuple[float, ...]) -> tuple[float, float]:
    low, high = min(places), max(places)
    margin = 0.02 * (high - low) or 0.01
    return low - margin, high + margin
