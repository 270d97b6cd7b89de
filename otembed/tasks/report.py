"""The base of the results of a task: per-example outcomes and tables; torch-free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from otembed.errors import DataError
from otembed.results import Outcomes, Result, Table, read_outcomes

STAND_IN = "stand-in"
"""Label of figures whose training data is not that of published figures."""


class Report(Result, ABC):
    """Base class of task results; ``outcomes`` holds the contribution of each example, for comparisons."""

    outcomes: tuple[Outcomes, ...]

    @abstractmethod
    def table(self) -> Table:
        """Return the figures as one table."""

    def tables(self) -> tuple[Table, ...]:
        """Return every table of the report; just :meth:`table` unless a task has several."""
        return (self.table(),)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its outcomes from the output of :meth:`to_dict`."""
        return super().from_dict({**document, "outcomes": read_outcomes(document)})


def check_same_examples(first: Report, second: Report) -> None:
    """Reject two reports that have a figure in common of different examples; reports without outcomes have none.

    Raises
    ------
    DataError
        The sentences, their order or a setting of a metric differ.
    """
    known = {each.key: each for each in first.outcomes}
    for each in second.outcomes:
        if each.key in known and not each.same_examples(known[each.key]):
            raise DataError(
                f"cannot compare reports on different data: {each.suite} {each.task} has other examples",
                "Evaluate both models on the same examples, in the same order.",
            )
