"""Memory of a process, as Linux counts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PROCESS = Path("/proc/self")


def resident(field: str) -> int:
    """Return ``VmRSS``, the resident memory of this process, or ``VmHWM``, its peak, in bytes."""
    status = (PROCESS / "status").read_text(encoding="ascii")
    return 1024 * int(status.partition(f"{field}:")[2].split()[0])


def growth(call: Callable[..., T], *arguments: Any) -> tuple[T, int]:
    """Return what ``call`` returns, and the peak of the resident memory in it over what is resident before it, in bytes.

    ``ru_maxrss`` would include the peak of the process that started this one.
    """
    (PROCESS / "clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    value = call(*arguments)
    return value, resident("VmHWM") - before
