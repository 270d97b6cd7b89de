"""The page of mined documents: the scores of all links, and links around the threshold and of each score."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.changes import changed_settings
from otembed.mining.page.document import mining_page, page_document
from otembed.results import write_text
from otembed.results.format import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from otembed.config.documents import DocumentMiningConfig
    from otembed.documents.aligned import AlignedDocuments
    from otembed.documents.match import MatchReport
    from otembed.mining.output import MinedPair


def write_page(
    place: str | Path,
    aligned: AlignedDocuments,
    matched: MatchReport,
    encoder: SentenceTransformer,
    config: DocumentMiningConfig,
) -> Path:
    """Write the page of all links, those below the threshold included; they are read from the cache, twice.

    Parameters
    ----------
    place
        The file, replaced atomically.
    aligned, matched, config
        The links of the run, the report of the first stage, and the settings.
    encoder
        The model that links words.
    """

    def links() -> Iterator[MinedPair]:
        for each in aligned:
            yield from each.pairs()

    def pairs_at(places: Sequence[int]) -> list[MinedPair]:
        wanted = set(places)
        found = {number: pair for number, pair in enumerate(links()) if number in wanted}
        return [found[number] for number in places]

    report = aligned.report
    facts = [
        f"{matched.sources:,} and {counted(matched.targets, 'document')}, {counted(matched.pairs, 'pair')} of them, by {report.model}.",
        "A score of 0 is that of random sentences of both documents, 1 that of equal meaning.",
    ]
    steps: list[tuple[str, ...]] = [
        ("documents without sentences", f"{matched.empty:,}"),
        ("pairs of documents", f"{matched.pairs:,} of {counted(matched.candidates, 'candidate')}"),
        ("links at or above the threshold" if report.threshold is not None else "links", f"{report.links:,}"),
        ("sentences in none of them", f"{report.unaligned:,}"),
        *((f"links of {kind} sentences", f"{count:,}") for kind, count in report.kinds.items()),
    ]
    document: dict[str, Any] = page_document(
        np.array(array("d", (pair.score for pair in links()))),
        aligned.threshold,
        pairs_at,
        encoder,
        score="score",
        facts=facts,
        left_out=[("From documents to links", ("step", "number"), steps)],
        calibration=report.calibration and {**report.calibration.to_dict(), "from": "replaced stretches"},
        settings=[each for each in changed_settings(config) if each[0] != "html"],
    )
    return write_text(place, mining_page(document))
