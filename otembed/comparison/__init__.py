"""Comparison of models: paired statistics on the same examples, tables and an HTML page."""

from otembed.comparison.bootstrap import resampled_figures
from otembed.comparison.comparing import compare
from otembed.comparison.report import Comparison, Difference, Figure, TaskComparison

__all__ = [
    "Comparison",
    "Difference",
    "Figure",
    "TaskComparison",
    "compare",
    "resampled_figures",
]
