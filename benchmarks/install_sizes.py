"""Claim: what an installation of otembed and of each extra takes on disk.

Follows the requirements of the installed packages, and sums the sizes of the files that pip has installed for them. Run
it in an environment with all extras; the table is in ``docs/install.md``.

    python benchmarks/install_sizes.py -o benchmarks/results/install_sizes.json
    python benchmarks/install_sizes.py --table benchmarks/results/install_sizes.json
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from document import claim, command_line, read_document, write_document
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from otembed.results import Table

# dev is for work on otembed itself, not for its use.
LEFT_OUT = ("dev",)


def closure(requirement: str) -> set[str]:
    """Return the normalized names of everything that a requirement installs.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        A package is not installed.
    """
    found: dict[str, set[str]] = {}
    waiting = [Requirement(requirement)]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        extras = each.extras | {""}
        new = extras - found.get(name, set())
        if not new:
            continue
        found[name] = found.get(name, set()) | extras
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in new):
                waiting.append(needed)
    return set(found)


def size(name: str) -> int:
    """Return the bytes of the files of an installed package, its compiled modules included."""
    places = {Path(str(file.locate())) for file in distribution(name).files or ()}
    return sum(place.stat().st_size for place in places if place.is_file())


def measure() -> dict[str, Any]:
    """Return the sizes of the core and of what each extra adds to it."""
    core = closure("otembed") - {"otembed"}
    sizes = {name: size(name) for name in core}
    extras: dict[str, Any] = {}
    for extra in sorted(distribution("otembed").metadata.get_all("Provides-Extra") or ()):
        if extra not in LEFT_OUT:
            added = {name: size(name) for name in closure(f"otembed[{extra}]") - core - {"otembed"}}
            extras[extra] = added
    return {
        "claim": claim(__doc__),
        "environment": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "torch": distribution("torch").version,
        },
        "core": sizes,
        "extras": extras,
    }


def table(document: dict[str, Any]) -> str:
    """Return the sizes in units of 1e6 bytes, with the largest packages of each row."""

    def row(name: str, sizes: dict[str, int]) -> tuple[str, ...]:
        largest = sorted(sizes, key=lambda each: -sizes[each])[:3]
        parts = ", ".join(f"{each} {sizes[each] / 1e6:,.0f}" for each in largest)
        return name, str(len(sizes)), f"{sum(sizes.values()) / 1e6:,.0f}", parts

    rows = [row("otembed", document["core"])]
    rows += [row(f"+ {extra}", sizes) for extra, sizes in document["extras"].items()]
    return Table(("installation", "packages", "MB", "largest, MB"), rows, align="lrrl").markdown()


def main() -> None:
    """Measure, or render the table of a measurement."""
    options = command_line(__doc__).parse_args()
    document = read_document(options.table) if options.table else write_document(options.output, measure())
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
