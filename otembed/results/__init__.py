"""Results: their base class, per-example outcomes, tables, plots, and atomic writing of files; torch-free."""

from otembed.results.base import Result
from otembed.results.files import (
    finite_or_none,
    is_stream,
    json_text,
    output_error,
    whole_file,
    write_text,
    writing,
)
from otembed.results.outcomes import Outcomes, read_outcomes
from otembed.results.table import Table

__all__ = [
    "Outcomes",
    "Result",
    "Table",
    "finite_or_none",
    "is_stream",
    "json_text",
    "output_error",
    "read_outcomes",
    "whole_file",
    "write_text",
    "writing",
]
