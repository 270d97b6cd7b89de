"""The contribution of each example to a figure, stored with a report so that models are compared on equal examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGEST_BYTES = 16
EXACT = 2**53


def digest_of(texts: Iterable[str]) -> str:
    """Return a hash of texts in order; equal only for the same examples in the same order.

    Examples
    --------
    >>> digest_of(["a", "b"]) == digest_of(["ab", ""])
    False
    """
    state = blake2b(digest_size=DIGEST_BYTES)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()


@dataclass(frozen=True)
class Outcomes:
    r"""One figure of one model from its examples: ``sum(values) / sum(weights)``.

    Accuracy has values 0 or 1 and no weights; a mean F1 has the F1 of each example. AER has the values
    ``|A| + |S| - |A & S| - |A & P|`` and the weights ``|A| + |S|``. F1 of mined pairs has twice the number of
    correct pairs as values, and the number of mined and known pairs as weights.

    Parameters
    ----------
    suite
        ``retrieval``, ``mining``, ``alignment``, ``documents``, ``xnli``, ``xquad`` or ``tagging``.
    task
        The language, language pair or cell of a matrix within the suite, such as ``en-sw``.
    metric
        Name of the figure, such as ``accuracy``.
    examples
        :func:`digest_of` of the examples; figures of two models are compared only if it is equal.
    values
        One finite number per example.
    weights
        One finite number of at least 0 per example, not all 0; empty for weights of 1.
    higher_is_better
        False for an error rate.

    Raises
    ------
    DataError
        There are no examples, lengths differ, a number is NaN or infinite, or weights are negative or all 0.

    Examples
    --------
    >>> Outcomes("xnli", "sw", "accuracy", digest_of(["p"]), (1, 0, 1, 1)).value
    0.75
    """

    suite: str
    task: str
    metric: str
    examples: str
    values: tuple[float, ...]
    weights: tuple[float, ...] = ()
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        where = f"{self.suite} {self.task} {self.metric}"
        hint = "Evaluate the model again."
        if not self.values:
            raise DataError(f"{where}: no examples", hint)
        if self.weights and len(self.weights) != len(self.values):
            raise DataError(f"{where}: {len(self.values)} values but {len(self.weights)} weights", hint)
        if not all(math.isfinite(sum(map(abs, each))) for each in (self.values, self.weights)):
            raise DataError(f"{where}: a value or weight is NaN or infinite", hint)
        if self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise DataError(f"{where}: weights are negative or all 0", hint)

    @property
    def key(self) -> tuple[str, str, str]:
        """Suite, task and metric."""
        return self.suite, self.task, self.metric

    @property
    def value(self) -> float:
        """The figure itself."""
        return math.fsum(self.values) / (math.fsum(self.weights) if self.weights else len(self.values))

    def same_examples(self, other: Outcomes) -> bool:
        """Return whether both have the same examples, in the same order, and the same direction: they can be compared."""
        return (
            self.examples == other.examples
            and len(self.values) == len(other.values)
            and self.higher_is_better == other.higher_is_better
        )

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build outcomes from the output of ``dataclasses.asdict`` read from JSON."""
        try:
            lists = {"values": document["values"], "weights": document.get("weights", [])}
            if not all(isinstance(each, list | tuple) for each in lists.values()):
                raise TypeError("values and weights must be lists of numbers")
            numbers = {name: tuple(map(_number, each)) for name, each in lists.items()}
            found = cls(**{**document, **numbers})
            if not all(isinstance(each, str) for each in (*found.key, found.examples)):
                raise TypeError("suite, task, metric and examples must be strings")
            if not isinstance(found.higher_is_better, bool):
                raise TypeError("higher_is_better must be true or false")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"invalid outcomes: {error!r}", "Evaluate the model again.") from error
        return found


def _number(value: Any) -> float:
    """Keep integers as integers, so that a report read and written again stays the same."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def read_outcomes(document: dict[str, Any]) -> tuple[Outcomes, ...]:
    """Return the outcomes of a report as a document; empty if it was written without them."""
    listed = document.get("outcomes") or ()
    if not isinstance(listed, list | tuple):
        raise DataError(f"outcomes: expected a list, got {type(listed).__name__}", "Evaluate the model again.")
    return tuple(each if isinstance(each, Outcomes) else Outcomes.from_dict(each) for each in listed)
