"""An installation as tables, for the terminal and for bug reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otembed.results import Table

if TYPE_CHECKING:
    from otembed.diagnostics.installation import Installation

Rows = list[tuple[str, str]]


def installation_tables(found: Installation) -> list[Table]:
    """Return one table of names and values per topic."""
    return [Table((), rows, title=title, align="ll") for title, rows in installation_rows(found).items()]


def installation_rows(found: Installation) -> dict[str, Rows]:
    """Return names and values by topic."""
    misfit = {name: f" (otembed requires {wanted})" for name, wanted in found.misfits.items()}
    versions = [(name, (one or "missing") + misfit.get(name, "")) for name, one in found.packages.items()]
    return {
        "versions": [("Python", found.python), ("platform", found.platform), *versions],
        "devices": _devices(found.devices),
        "threads": _threads(found.threads),
        "extras": [
            (name, f"missing {', '.join(lacking)}" if lacking else "installed")
            for name, lacking in found.extras.items()
        ],
        "caches": [
            *((name, f"{_size(one)}, {one['path']}") for name, one in found.caches.items()),
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
        (
            "float32 products",
            f"oneDNN is {found['onednn_speedup']:g} times as fast as PyTorch's default, and is {'' if found['onednn'] else 'not '}used",
        ),
        ("bf16 products", f"{found['bf16_speedup']:g} times as fast as float32"),
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
    return "not found" if cache["bytes"] is None else f"{cache['bytes'] / 1e6:,.1f} MB in {cache['files']:,} files"
