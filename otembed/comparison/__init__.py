"""Comparison of models: paired statistics on the same examples, tables and an HTML page."""

from otembed.comparison.comparing import compare
from otembed.comparison.report import Comparison, Difference, Figure, TaskComparison
from otembed.comparison.tables import comparison_table
from otembed.results.bootstrap import resampled_figures

__all__ = [
    "Comparison",
    "Difference",
    "Figure",
    "TaskComparison",
    "compare",
    "comparison_table",
    "resampled_figures",
]
