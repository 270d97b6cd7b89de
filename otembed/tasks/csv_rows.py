"""The CSV file to which an evaluator appends a row at each evaluation."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from otembed.results import write_text


def csv_name(task: str, name: str) -> str:
    """Return the file name of an evaluator's results.

    >>> csv_name("bitext_retrieval", "../de en")
    'bitext_retrieval_.._de_en_results.csv'
    """
    safe_name = re.sub(r"[^\w.-]+", "_", name)
    return f"{task}_{safe_name}_results.csv"


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Append a row, and a header to a new file; the file is written atomically."""
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    added = io.StringIO()
    writer = csv.DictWriter(added, list(row), lineterminator="\n")
    if not earlier:
        writer.writeheader()
    writer.writerow(row)
    write_text(path, earlier + added.getvalue())
