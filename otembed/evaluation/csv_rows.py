"""The CSV file that an evaluator adds a row to at each evaluation."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from otembed.results import write_text


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row, below a header if the file is new; the file is written whole or not at all."""
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    added = io.StringIO()
    writer = csv.DictWriter(added, list(row), lineterminator="\n")
    if not earlier:
        writer.writeheader()
    writer.writerow(row)
    write_text(path, earlier + added.getvalue())
