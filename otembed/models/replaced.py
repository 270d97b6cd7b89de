"""Replace the ``forward`` of modules for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import nn


@contextmanager
def replaced_forward(modules: Iterable[nn.Module], stand_in: Callable[[Any], Callable[..., Any]]) -> Iterator[None]:
    """Call ``stand_in(module)`` in place of the ``forward`` of each module while the context is open.

    Modules whose ``forward`` is replaced already are left as they are, so contexts may be nested. A copy of a module
    made in the context gets a copy of its stand-in, so a stand-in that reads the module reads the copy there.
    """
    replaced = [each for each in modules if "forward" not in vars(each)]
    for each in replaced:
        each.forward = stand_in(each)
    try:
        yield
    finally:
        for each in replaced:
            del each.forward
