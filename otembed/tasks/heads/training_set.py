"""Development examples split off from training examples."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from otembed.errors import DataError

DEV_SHARE, MOST_DEV = 10, 2_000


class Examples(Protocol):
    """A data set that can be sampled, such as sentence pairs or tagged sentences."""

    @property
    def where(self) -> str:
        """The file or dataset."""

    def __len__(self) -> int: ...

    def sample(self, limit: int | None, seed: int = 0) -> Self:
        """Return ``limit`` examples sampled with the seed."""

    def without(self, other: Self) -> Self:
        """Return the examples that are not in ``other``."""


Set = TypeVar("Set", bound=Examples)


def hold_out(whole: Set, seed: int, *, what: str) -> tuple[Set, Set]:
    """Return a tenth of the examples, at most 2,000, sampled with the seed, and the rest.

    Raises
    ------
    DataError
        There are fewer than ten examples; ``what`` names them.
    """
    size = min(len(whole) // DEV_SHARE, MOST_DEV)
    if size < 1:
        raise DataError(
            f"{len(whole)} training {what} are too few to split off development {what}",
            "Set dev (--dev PLACE).",
            path=whole.where,
        )
    held = whole.sample(size, seed)
    return held, whole.without(held)
