"""Sentence alignment of documents by a model against gold links."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otembed.config.documents import DocumentsConfig
from otembed.config.keywords import checked_settings
from otembed.documents.align import align_collection
from otembed.documents.read import Document, DocumentPair, read_document
from otembed.errors import ConfigError, DataError
from otembed.results import Outcomes
from otembed.runtime.progress import Progress, silent
from otembed.tasks.documents.gold import GoldLink, read_gold
from otembed.tasks.documents.report import DocumentScores, DocumentsEvaluation
from otembed.tasks.documents.scores import link_outcomes, link_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class GoldDocuments:
    """Two documents and their gold links; sentence numbers are lines, from 0."""

    source: Document
    target: Document
    links: tuple[GoldLink, ...]

    @classmethod
    def read(cls, source: str | Path, target: str | Path, links: str | Path) -> GoldDocuments:
        """Read the files of one pair; DataError if one cannot be read, or a link names a line that does not exist."""
        sides = read_document(source), read_document(target)
        gold = tuple(read_gold(links))
        for place, (side, path) in enumerate(zip(sides, (source, target), strict=True)):
            known = set(side.numbers)
            for link in gold:
                strange = next((number for number in link[place] if number not in known), None)
                if strange is not None:
                    raise DataError(
                        f"a link has sentence {strange} of {path}, which is blank or does not exist",
                        "Sentence numbers are line numbers from 0; pass source and target in the order of the links.",
                        path=links,
                    )
        return cls(*sides, gold)


def evaluate_documents(
    model: SentenceTransformer | str,
    sets: Mapping[str, GoldDocuments],
    config: DocumentsConfig | None = None,
    *,
    name: str = "model",
    cache: str | Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> DocumentsEvaluation:
    """Align documents and score the links against gold.

    Parameters
    ----------
    model, config, cache, device, progress, settings
        As for :func:`otembed.documents.align_documents`. A threshold applies: the sentences of a link below it count as
        not linked.
    sets
        Name to documents and gold links.
    name
        The model's name in the report.

    Raises
    ------
    DataError
        There are no sets, or as for :func:`otembed.tasks.documents.link_scores`.
    ConfigError, ModelError, NumericsError, OutputError
        As for aligning.
    """
    if not sets:
        raise DataError("no gold documents to evaluate on", "Pass at least one set.")
    begun = perf_counter()
    checked = checked_settings(DocumentsConfig, config, settings)
    if split := checked.split_source or checked.split_target:
        raise ConfigError(
            f"documents are split into sentences ({split}), but gold links have the numbers of lines",
            "Remove split_source and split_target.",
        )
    pairs = [DocumentPair(key, each.source, each.target) for key, each in sets.items()]
    found = align_collection(pairs, model, config=checked, cache=cache, device=device, progress=progress)
    scores: list[DocumentScores] = []
    outcomes: list[Outcomes] = []
    for pair in found:
        gold = sets[pair.id]
        links = [(each.source, each.target) for each in pair.chosen(unaligned=True, threshold=found.threshold)]
        scores.append(link_scores(links, gold.links, name=pair.id))
        texts = [*gold.source.sentences, "", *gold.target.sentences]
        lines = max(gold.source.numbers, default=-1) + 1
        outcomes += link_outcomes(links, gold.links, texts, lines, name=pair.id)
    return DocumentsEvaluation(
        model=name,
        scores=tuple(scores),
        settings=asdict(checked),
        seconds=round(perf_counter() - begun, 2),
        outcomes=tuple(outcomes),
    )
