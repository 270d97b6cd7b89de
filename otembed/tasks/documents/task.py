"""Sentence alignment within documents as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from otembed.errors import ConfigError
from otembed.results.paths import expand
from otembed.results.reading import require_file
from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.base import TaskOptions
    from otembed.tasks.documents.evaluate import GoldDocuments
    from otembed.tasks.documents.report import DocumentsEvaluation


class DocumentsTask(Task):
    """Data maps a name to two documents and their gold links."""

    name = "documents"
    question = "Sentence alignment: are the sentences of documents linked to their translations?"
    primary_metrics = ("link_f1",)
    option, key, metavar = "--documents", "pair of documents", "NAME=SOURCE,TARGET,LINKS"
    help = "Sentence alignment: as for otembed eval documents; repeat for more."

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, list[str]]:
        """Split each place into its three files."""
        found = {name: place.split(",") for name, place in places.items()}
        for name, files in found.items():
            if len(files) != 3 or not all(files):
                raise ConfigError(
                    f"{option} {name}={places[name]}: expected three files",
                    f"Write {option} NAME=SOURCE,TARGET,LINKS.",
                )
            for each in files:
                require_file(expand(each))
        return {name: [str(expand(each)) for each in files] for name, files in found.items()}

    def read(
        self, places: Mapping[str, list[str]], *, limit: int | None, index_base: Literal[0, 1]
    ) -> dict[str, GoldDocuments]:
        """Read the documents and links; ``limit`` and ``index_base`` concern word links only."""
        from otembed.tasks.documents.evaluate import GoldDocuments

        return {name: GoldDocuments.read(*files) for name, files in places.items()}

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[DocumentsEvaluation, ...]:
        """Evaluate all documents in one report."""
        from otembed.tasks.documents.evaluate import evaluate_documents

        return (evaluate_documents(model, data, batch_size=options.batch_size, cache=options.cache),)
