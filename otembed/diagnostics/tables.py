"""What a person reads of an installation: tables for the terminal, Markdown for a bug report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from otembed.diagnostics.installation import Installation

Rows = list[tuple[str, str]]


def installation_table(found: Installation) -> RenderableType:
    """Render one block a topic."""
    blocks: list[RenderableType] = []
    for title, rows in installation_rows(found).items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        blocks += [table, Text()]
    return Group(*blocks[:-1])


def installation_markdown(found: Installation) -> str:
    """Return the same as Markdown tables."""
    parts = []
    for title, rows in installation_rows(found).items():
        lines = [f"| {title} | |", "| --- | --- |"]
        lines += [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def installation_rows(found: Installation) -> dict[str, Rows]:
    """Return names and values by topic."""
    misfit = {name: f" (otembed needs {wanted})" for name, wanted in found.misfits.items()}
    versions = [(name, (one or "missing") + misfit.get(name, "")) for name, one in found.packages.items()]
    return {
        "versions": [("Python", found.python), ("platform", found.platform), *versions],
        "devices": _devices(found.devices),
        "threads": _threads(found.threads),
        "extras": [
            (name, f"lacks {', '.join(lacking)}" if lacking else "installed")
            for name, lacking in found.extras.items()
        ],
        "caches": [
            *((name, f"{_size(one)}  {one['path']}") for name, one in found.caches.items()),
            ("offline encoders", ", ".join(found.encoders) or "none converted yet"),
        ],
    }


def _devices(found: dict[str, Any]) -> Rows:
    usable = found["usable_processors"]
    count = f"{found['cores']} cores, {found['processors']} processors"
    gpus = [
        (f"cuda:{index}", f"{one['name']}, {one['memory_gb']:g} GB, capability {one['capability']}")
        for index, one in enumerate(found["gpus"])
    ]
    none = "no GPU is visible" if found["cuda"] else "torch was built without CUDA"
    return [
        ("processor", f"{found['cpu']} ({found['instructions']})"),
        ("cores", count if usable in (None, found["processors"]) else f"{count}, {usable} usable by this process"),
        ("memory", f"{found['memory_gb']:g} GB, {found['available_gb']:g} GB available"),
        *(gpus or [("CUDA", none)]),
        ("MPS", "available" if found["mps"] else "not available"),
    ]


def _threads(found: dict[str, Any]) -> Rows:
    return [
        ("torch", f"{found['torch']} within an operation, {found['torch_interop']} between operations"),
        ("numba", str(found["numba"])),
        *((name, str(count)) for name, count in found["pools"].items()),
        *found["environment"].items(),
    ]


def _size(cache: dict[str, Any]) -> str:
    return "not there" if cache["bytes"] is None else f"{cache['bytes'] / 1e6:,.1f} MB in {cache['files']:,} files"
