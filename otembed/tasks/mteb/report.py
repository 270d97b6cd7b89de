"""Scores of MTEB's tasks and their table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from otembed.results import Result, Table
from otembed.results.format import percent


@dataclass(frozen=True)
class MtebScore(Result):
    """The main score of a task on one subset of a split."""

    task: str
    split: str
    subset: str
    languages: tuple[str, ...]
    main_score: float


@dataclass(frozen=True)
class MtebReport(Result):
    """Scores of one model on tasks of MTEB, one entry per task, split and subset.

    ``results`` holds MTEB's own documents, with every metric, as its ``TaskResult`` writes them.
    """

    model: str
    mteb_version: str
    scores: tuple[MtebScore, ...]
    results: tuple[dict[str, Any], ...] = ()

    def table(self) -> Table:
        """Return a row for each subset, in percent."""
        rows = [
            [each.task, each.split, each.subset, " ".join(each.languages), percent(each.main_score)]
            for each in self.scores
        ]
        notes = (f"Percent; the main score of each task. mteb {self.mteb_version}.",)
        return Table(("task", "split", "subset", "languages", "score"), rows, title=self.model, notes=notes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including each score as a document."""
        return {**super().to_dict(), "scores": [each.to_dict() for each in self.scores]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from the output of :meth:`to_dict`."""
        scores = tuple(
            MtebScore.from_dict({**each, "languages": tuple(each["languages"])}) for each in document["scores"]
        )
        return super().from_dict({**document, "scores": scores, "results": tuple(document.get("results", ()))})
