"""What each example contributed to a figure: kept with a report, so that two models are compared on the same examples."""

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
    """Return a hash of texts in their order: equal only where the same examples stand in the same places.

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
    r"""One figure of one model as its examples make it: ``sum(values) / sum(weights)``.

    Accuracy has 0 or 1 as values and no weights; a mean F1 has each example's F1. AER has the links
    missed, ``|A| + |S| - |A & S| - |A & P|``, as values and ``|A| + |S|`` as weights; F1 of mined pairs has
    twice the right ones and the sum of mined and known ones.

    Parameters
    ----------
    suite
        ``retrieval``, ``mining``, ``xnli``, ``xquad`` or ``alignment``.
    task
        The language, language pair or cell of a matrix within the suite, such as ``en-sw``.
    metric
        The figure's name, such as ``accuracy``.
    examples
        :func:`digest_of` of the examples: figures of two models are compared only where it is equal.
    values
        One finite number an example.
    weights
        One finite number of at least 0 an example, some of them above 0; empty where each counts 1.
    higher_is_better
        False for an error rate.

    Raises
    ------
    DataError
        No examples, lengths that differ, NaN or infinity, or weights that sum to 0.

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
            raise DataError(f"{where}: {len(self.values)} values, but {len(self.weights)} weights", hint)
        if not all(math.isfinite(sum(map(abs, each))) for each in (self.values, self.weights)):
            raise DataError(f"{where}: an example counts NaN or infinity", hint)
        if self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise DataError(f"{where}: weights below 0, or all of them 0", hint)

    @property
    def key(self) -> tuple[str, str, str]:
        """Suite, task and metric."""
        return self.suite, self.task, self.metric

    @property
    def value(self) -> float:
        """The figure itself."""
        return math.fsum(self.values) / (math.fsum(self.weights) if self.weights else len(self.values))

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build it from ``dataclasses.asdict``'s output as JSON gives it back."""
        try:
            numbers = {name: tuple(_number(each) for each in document[name]) for name in ("values", "weights")}
            found = cls(**{**document, **numbers})
            if not all(isinstance(each, str) for each in (*found.key, found.examples)):
                raise TypeError("suite, task, metric and examples are texts")
            if not isinstance(found.higher_is_better, bool):
                raise TypeError("higher_is_better is true or false")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"no whole outcomes: {error!r}", "Evaluate the model again.") from error
        return found


def _number(value: Any) -> float:
    """Whole numbers stay whole, so that a report read and written again stays as short as it was."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def read_outcomes(document: dict[str, Any]) -> tuple[Outcomes, ...]:
    """Return the outcomes of a report's document; none where it was written without them."""
    listed = document.get("outcomes") or ()
    if not isinstance(listed, list | tuple):
        raise DataError(f"outcomes are {type(listed).__name__}, no list", "Evaluate the model again.")
    return tuple(each if isinstance(each, Outcomes) else Outcomes.from_dict(each) for each in listed)
