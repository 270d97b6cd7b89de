"""XNLI by a probe as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError
from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.base import TaskOptions
    from otembed.tasks.xnli.data import NliSet
    from otembed.tasks.xnli.report import XnliReport


class XnliTask(Task):
    """Data maps a language to test pairs, in the form of :func:`otembed.tasks.xnli.evaluate_xnli`; scored by a probe."""

    name = "xnli"
    question = "XNLI: does one sentence follow from another?"
    primary_metrics = ("accuracy",)
    option, key, metavar = "--xnli", "language", "XX=PLACE"
    help = "XNLI with a probe: test pairs of a language; repeat for more."

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, str]:
        """Check the language and the place of each test set."""
        from otembed.data.spec import LANGUAGE_CODE
        from otembed.tasks.xnli.formats import check_nli_place

        for language, place in places.items():
            if not LANGUAGE_CODE.fullmatch(language):
                raise ConfigError(
                    f"{option} {language}={place}: {language!r} is not a language code", f"Write {option} sw=FILE."
                )
            check_nli_place(place, language)
        return dict(places)

    def check(self, options: TaskOptions) -> None:
        """Check the place of the training pairs."""
        from otembed.tasks.xnli.formats import check_nli_place

        check_nli_place(str(options.nli), "en")

    def load(self, data: Mapping[str, Any], options: TaskOptions) -> tuple[dict[str, NliSet], TaskOptions]:
        """Read the test pairs of all languages, and the training pairs."""
        from otembed.tasks.xnli.data import read_nli

        tests = {language: read_nli(place, language=language, for_test=True) for language, place in data.items()}
        return tests, replace(options, nli=read_nli(options.nli, language="en"))

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[XnliReport, ...]:
        """Evaluate all languages with one probe."""
        from otembed.tasks.xnli.evaluate import evaluate_xnli

        return (evaluate_xnli(model, data, train=options.nli, cache=options.cache),)
