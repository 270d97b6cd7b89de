"""The result of an XNLI evaluation; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from otembed.results import Result
from otembed.results.outcomes import Outcomes, read_outcomes

STAND_IN = "stand-in"


@dataclass(frozen=True)
class XnliScore(Result):
    """Accuracy in one language; ``majority`` is the share of the most frequent label, what guessing it would score."""

    language: str
    examples: int
    accuracy: float
    majority: float


@dataclass(frozen=True)
class XnliReport(Result):
    """Zero-shot XNLI of one model: a head trained on English, tested in each language.

    Parameters
    ----------
    model
        Name of the model.
    protocol
        ``probe`` or ``finetune``.
    scores
        One entry a language, in the order asked for.
    dev_accuracy
        Accuracy on the English development pairs of the head that was chosen on them.
    training
        Where training and development pairs come from, how many there are and were used, what was left out; and
        ``mnli``: whether they are MultiNLI's training part.
    settings
        Every setting of the protocol, and what was chosen.
    seconds
        Wall time.
    trained_languages
        Languages whose parallel text the model was trained on, as the caller says.
    outcomes
        Right (1) or wrong (0) of each test pair, an entry a language.
    """

    model: str
    protocol: str
    scores: tuple[XnliScore, ...]
    dev_accuracy: float
    training: dict[str, Any]
    settings: dict[str, Any]
    seconds: float
    trained_languages: tuple[str, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def label(self) -> str:
        """``stand-in`` if the training pairs are not MultiNLI's: then no published figure compares. Else empty."""
        return "" if self.training.get("mnli") else STAND_IN

    @property
    def accuracy(self) -> float:
        """Plain mean over all languages tested."""
        return fmean(one.accuracy for one in self.scores)

    @property
    def trained_accuracy(self) -> float | None:
        """Plain mean over the trained languages; None if none is named."""
        chosen = [one.accuracy for one in self.scores if one.language in self.trained_languages]
        return fmean(chosen) if chosen else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values; label and means are added."""
        means = {"accuracy": self.accuracy, "trained_accuracy": self.trained_accuracy}
        document = {**super().to_dict(), "scores": [one.to_dict() for one in self.scores]}
        return {**document, "label": self.label, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from :meth:`to_dict`'s output; label and means are computed anew."""
        changed = {
            "scores": tuple(XnliScore.from_dict(one) for one in document.get("scores", ())),
            "trained_languages": tuple(document.get("trained_languages", ())),
            "outcomes": read_outcomes(document),
        }
        return super().from_dict({**document, **changed})
