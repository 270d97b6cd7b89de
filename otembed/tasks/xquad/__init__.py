"""Question answering across languages (XQuAD, XQuAD-R): retrieval and extractive answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import SpanConfig
    from otembed.tasks.xquad.data import QuestionSet
    from otembed.tasks.xquad.files import parse_question_place, read_questions
    from otembed.tasks.xquad.report import QuestionReport, SpanReport, SpanScores
    from otembed.tasks.xquad.retrieval import evaluate_xquad
    from otembed.tasks.xquad.spans import evaluate_xquad_span

__all__ = [
    "QuestionReport",
    "QuestionSet",
    "SpanConfig",
    "SpanReport",
    "SpanScores",
    "evaluate_xquad",
    "evaluate_xquad_span",
    "parse_question_place",
    "read_questions",
]

_MODULES = {
    "QuestionReport": "report",
    "QuestionSet": "data",
    "SpanConfig": "otembed.config",
    "SpanReport": "report",
    "SpanScores": "report",
    "evaluate_xquad": "retrieval",
    "evaluate_xquad_span": "spans",
    "parse_question_place": "files",
    "read_questions": "files",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
