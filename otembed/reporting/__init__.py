"""What a person reads of a result: tables for the terminal and in Markdown; loads no torch."""

from otembed.reporting.run import dry_run_table, train_summary
from otembed.reporting.tables import retrieval_markdown, retrieval_table

__all__ = ["dry_run_table", "retrieval_markdown", "retrieval_table", "train_summary"]
