"""What a person reads of a result: tables for the terminal and in Markdown, pictures; loads no torch."""

from otembed.reporting.alignment import alignment_map, alignment_table
from otembed.reporting.plots import check_plot, plot_alignment, plot_questions
from otembed.reporting.run import dry_run_table, train_summary
from otembed.reporting.tables import retrieval_markdown, retrieval_table
from otembed.reporting.xnli import xnli_markdown, xnli_table

__all__ = [
    "alignment_map",
    "alignment_table",
    "check_plot",
    "dry_run_table",
    "plot_alignment",
    "plot_questions",
    "retrieval_markdown",
    "retrieval_table",
    "train_summary",
    "xnli_markdown",
    "xnli_table",
]
