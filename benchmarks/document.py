"""What the benchmark scripts share: the document of a measurement, the file it is kept in, and the options for both."""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from otembed.results import write_text
from otembed.training.environment import environment

RESULTS = Path(__file__).parent / "results"


def claim(text: str | None) -> str:
    """Return the first line of the docstring of a script, without ``Claim:``."""
    return str(text).splitlines()[0].removeprefix("Claim: ")


def machine(*, command: bool = True) -> dict[str, Any]:
    """Return the environment, with the names of files but not the folders of this machine in the command.

    A document that several commands contribute to has no command.
    """
    found = environment()
    arguments = found.pop("command")
    return found | ({"command": [re.sub(r"[^=,]*/", "", each) for each in arguments]} if command else {})


def head(text: str | None, *, command: bool = True) -> dict[str, Any]:
    """Return how a document begins: the claim of the script with this docstring, and the environment."""
    return {"claim": claim(text), "environment": machine(command=command)}


def command_line(text: str | None, name: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with ``--output``, by default the result of that name, and ``--table``."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    output = Path(f"benchmarks/results/{name}.json") if name else None
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", default=output)
    parser.add_argument("--table", type=Path, metavar="FILE", help="render this document and stop")
    return parser


def named(values: Iterable[str]) -> dict[str, str]:
    """Split ``NAME=PLACE`` values of an option."""
    return dict(value.split("=", 1) for value in values)


def mean_and_spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    """Return the mean as text, with the standard deviation if there are several values."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{unit}{spread}"


def read_document(path: Path) -> dict[str, Any]:
    """Read a document."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write_document(path: Path | None, document: dict[str, Any]) -> dict[str, Any]:
    """Write a document, unless there is no place for it, and return it."""
    if path is not None:
        write_text(path, json.dumps(document, indent=1) + "\n")
    return document


def resumed(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document that an interrupted measurement with the same settings left, or this one."""
    if not path.exists():
        return document
    earlier = read_document(path)
    if earlier["settings"] != document["settings"]:
        raise SystemExit(f"{path}: written with other settings; choose another file with -o")
    return earlier
