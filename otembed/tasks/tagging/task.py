"""Part-of-speech tagging by a probe as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from otembed.errors import ConfigError
from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.base import TaskOptions
    from otembed.tasks.tagging.data import TaggedSet
    from otembed.tasks.tagging.report import TaggingReport


class TaggingTask(Task):
    """Data maps a language to its test sentences, in the form of :func:`otembed.tasks.tagging.evaluate_tagging`.

    Scored by a probe on the layer that is best in development.
    """

    name = "tagging"
    question = "Part-of-speech tagging: does a tagger learned in English work in other languages?"
    primary_metrics = ("accuracy",)
    option, key, metavar = "--tagging", "language", "XX=FILE"
    help = "Part-of-speech tagging with a probe: CoNLL-U of a language; repeat for more."

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, str]:
        """Check the language and the file of each test set."""
        from otembed.data.spec import LANGUAGE_CODE
        from otembed.tasks.tagging.conllu import check_treebank

        for language, place in places.items():
            if not LANGUAGE_CODE.fullmatch(language):
                raise ConfigError(
                    f"{option} {language}={place}: {language!r} is not a language code", f"Write {option} sw=FILE."
                )
            check_treebank(place)
        return dict(places)

    def check(self, options: TaskOptions) -> None:
        """Check the file of the training sentences."""
        from otembed.tasks.tagging.conllu import check_treebank

        check_treebank(_training(options))

    def read(
        self, places: Mapping[str, Any], *, limit: int | None, index_base: Literal[0, 1]
    ) -> dict[str, TaggedSet]:
        """Read the test sentences, ``limit`` of each language, evenly spaced."""
        from otembed.tasks.tagging.data import read_tagged

        return {language: read_tagged(place).spread(limit) for language, place in places.items()}

    def load(self, data: Mapping[str, Any], options: TaskOptions) -> tuple[dict[str, TaggedSet], TaskOptions]:
        """Read the test sentences of all languages, and the training sentences."""
        from otembed.tasks.tagging.data import read_tagged

        tests = {language: read_tagged(place) for language, place in data.items()}
        return tests, replace(options, tagging=read_tagged(_training(options)))

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[TaggingReport, ...]:
        """Evaluate all languages with one probe."""
        from otembed.tasks.tagging.evaluate import evaluate_tagging

        return (evaluate_tagging(model, data, train=_training(options)),)


def _training(options: TaskOptions) -> Any:
    if options.tagging is None:
        raise ConfigError("tagging requires training sentences", "Add --tagging-train FILE (tagging_train).")
    return options.tagging
