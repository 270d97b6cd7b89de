"""The result of an XNLI evaluation and its table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

from otembed.errors import DataError
from otembed.results import Outcomes, Result, Table
from otembed.results.format import change, percent
from otembed.tasks.report import STAND_IN, Report, check_same_examples


@dataclass(frozen=True)
class XnliScore(Result):
    """Accuracy in one language; ``majority`` is the accuracy of always predicting the most frequent label."""

    language: str
    examples: int
    accuracy: float
    majority: float


@dataclass(frozen=True)
class XnliReport(Report):
    """Zero-shot XNLI of one model: a head trained on English, tested in each language.

    Parameters
    ----------
    model
        Name of the model.
    protocol
        ``probe`` or ``finetune``.
    scores
        One entry per language, in the requested order.
    dev_accuracy
        Accuracy on the English development pairs of the head that was chosen on them.
    training
        Source and number of the training and development pairs, number of dropped pairs, and ``mnli``: whether
        they are MultiNLI's training part.
    settings
        All settings of the protocol, and the values that it selected.
    seconds
        Wall time.
    trained_languages
        Languages of the parallel text that the model was trained on, as given by the caller.
    outcomes
        Correct (1) or wrong (0) for each test pair, one entry per language.
    """

    schema: ClassVar[int] = 2

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
        """``stand-in`` if the training pairs are not MultiNLI's, which makes published figures incomparable; else empty."""
        return "" if self.training.get("mnli") else STAND_IN

    @property
    def accuracy(self) -> float:
        """Plain mean over all languages tested."""
        return fmean(one.accuracy for one in self.scores)

    @property
    def trained_accuracy(self) -> float | None:
        """Plain mean over the trained languages; None without trained languages."""
        chosen = [one.accuracy for one in self.scores if one.language in self.trained_languages]
        return fmean(chosen) if chosen else None

    def table(self, after: XnliReport | None = None) -> Table:
        """Return accuracy by language and its means, or the change to a second report.

        Parameters
        ----------
        after
            A second report; each accuracy then reads ``before→after change``, with the change in points.

        Raises
        ------
        DataError
            The reports differ in protocol, training pairs or test pairs.
        """
        last = after or self
        _check_comparable(self, last)
        later = {one.language: one.accuracy for one in after.scores} if after else {}
        rows = [
            [
                one.language + (" (trained)" if one.language in last.trained_languages else ""),
                f"{one.examples:,}",
                change(one.accuracy, later.get(one.language)),
                percent(one.majority),
            ]
            for one in self.scores
        ]
        if len(self.scores) > 1:
            total = sum(one.examples for one in self.scores)
            rows.append(["mean", f"{total:,}", change(self.accuracy, after.accuracy if after else None), ""])
        trained = [one.accuracy for one in self.scores if one.language in last.trained_languages]
        if trained and len(trained) < len(self.scores):
            mean = change(fmean(trained), after.trained_accuracy if after else None)
            rows.append(["mean of the trained", "", mean, ""])
        dev = change(self.dev_accuracy, after.dev_accuracy if after else None)
        rows.append(["development", f"{self.training['dev_pairs']:,}", dev, ""])
        label = f", {self.label}" if self.label else ""
        return Table(
            ("language", "pairs", f"accuracy{label}", "majority"),
            rows,
            title=f"{self.model} → {after.model}" if after else f"{self.model}: {self.protocol}{label}",
            notes=self._notes(),
        )

    def _notes(self) -> list[str]:
        notes = ["Percent; majority: accuracy of always predicting the most frequent label."]
        if "source" in self.training:
            notes.append(f"Head trained on {self.training['pairs']:,} pairs of {self.training['source']}.")
        if self.label:
            notes.append("The training pairs are a stand-in for MultiNLI: not comparable with published figures.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the label and the means."""
        means = {"accuracy": self.accuracy, "trained_accuracy": self.trained_accuracy}
        document = {**super().to_dict(), "scores": [one.to_dict() for one in self.scores]}
        return {**document, "label": self.label, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from the output of :meth:`to_dict`; label and means are recomputed."""
        changed = {
            "scores": tuple(XnliScore.from_dict(one) for one in document.get("scores", ())),
            "trained_languages": tuple(document.get("trained_languages", ())),
        }
        return super().from_dict({**document, **changed})


def _check_comparable(before: XnliReport, after: XnliReport) -> None:
    kinds = [
        (one.protocol, one.training, [(each.language, each.examples, each.majority) for each in one.scores])
        for one in (before, after)
    ]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"cannot compare reports on different data: {before.model} and {after.model}",
            "Evaluate both models with the same protocol, training pairs and test pairs.",
        )
    check_same_examples(before, after)
