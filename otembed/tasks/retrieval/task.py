"""Bitext retrieval as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.data import PairSpec
    from otembed.tasks.base import TaskOptions
    from otembed.tasks.retrieval.report import RetrievalReport

logger = logging.getLogger(__name__)


class RetrievalTask(Task):
    """Data maps a language pair to its source sentences and their translations."""

    name = "retrieval"
    question = "Retrieval: does each sentence find its translation?"
    primary_metrics = ("accuracy",)
    option, key, metavar = "--pairs", "language pair", "XX-YY=FILE"
    help = "Retrieval: as for otembed eval retrieval; repeat for more."
    parallel = "sentences"

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, PairSpec]:
        """Check places of parallel text, as :func:`otembed.load_pairs` reads them."""
        from otembed.data import parse_pair_spec

        return {pair: parse_pair_spec(pair, place) for pair, place in places.items()}

    def read(
        self, places: Mapping[str, PairSpec], *, limit: int | None, index_base: Literal[0, 1] = 1
    ) -> dict[str, tuple[list[str], list[str]]]:
        """Read both sides in file order; dropped rows are counted in the log."""
        from otembed.data import PairChecks, load_pairs

        found = {}
        for pair, spec in places.items():
            # No pivot: the report uses the user's names of pairs, so the source must be the first language of the name.
            text = load_pairs(spec, PairChecks.off(), limit)
            if text.counts.dropped:
                logger.info("%s: %s", text.pair, text.counts.summary())
            found[pair] = list(text.dataset["source"]), list(text.dataset["target"])
        return found

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[RetrievalReport, ...]:
        """Evaluate all language pairs in one report."""
        from otembed.tasks.retrieval.evaluate import evaluate_retrieval

        chosen = {"batch_size": options.batch_size, "centered": options.centered, "cache": options.cache}
        return (evaluate_retrieval(model, data, **chosen),)  # type: ignore[arg-type]
