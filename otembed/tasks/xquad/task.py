"""Question retrieval as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.data import Place
    from otembed.tasks.base import TaskOptions
    from otembed.tasks.xquad.data import QuestionSet
    from otembed.tasks.xquad.report import QuestionReport


class XquadTask(Task):
    """Data maps a language to its questions, in the form of :func:`otembed.tasks.xquad.evaluate_xquad`; scored by retrieval."""

    name = "xquad"
    question = "XQuAD: is the answer found in the paragraph?"
    primary_metrics = ("f1", "accuracy")
    option, key, metavar = "--xquad", "language", "XX=FILE"
    help = "Retrieval with questions of a language; repeat for more."

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, Place]:
        """Parse each place of questions."""
        from otembed.tasks.xquad.files import parse_question_places

        return parse_question_places([f"{language}={place}" for language, place in places.items()], option)

    def load(self, data: Mapping[str, Any], options: TaskOptions) -> tuple[dict[str, QuestionSet], TaskOptions]:
        """Read the questions of all languages."""
        from otembed.tasks.xquad.files import read_questions

        return {language: read_questions(place) for language, place in data.items()}, options

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[QuestionReport, ...]:
        """Evaluate all languages in one report."""
        from otembed.tasks.xquad.retrieval import evaluate_xquad

        return (evaluate_xquad(model, data, batch_size=options.batch_size, cache=options.cache),)
