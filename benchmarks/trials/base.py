"""What every kind of trial returns, and what they share."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Trial:
    """One fault, tried several times.

    Parameters
    ----------
    kind
        ``kills``, ``disk``, ``fuzz`` or ``environment``.
    fault
        What was done, as a noun phrase: ``"kill -9 during otembed train"``.
    expected
        What has to hold: ``"same bytes after resuming"``.
    tries
        Number of attempts.
    failures
        One line for each attempt after which ``expected`` did not hold.
    """

    kind: str
    fault: str
    expected: str
    tries: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, held: bool, what: str) -> None:
        """Count one attempt; ``what`` describes the failure."""
        self.tries += 1
        if not held:
            self.failures.append(what)

    @property
    def held(self) -> int:
        """Attempts after which the expectation held."""
        return self.tries - len(self.failures)
