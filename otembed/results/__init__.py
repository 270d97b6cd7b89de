"""What otembed returns and writes: the base of results, per-example scores, files written whole; torch-free."""

from otembed.results.base import Result
from otembed.results.files import finite_or_none, json_text, whole_file, write_text
from otembed.results.outcomes import Outcomes, read_outcomes

__all__ = ["Outcomes", "Result", "finite_or_none", "json_text", "read_outcomes", "whole_file", "write_text"]
