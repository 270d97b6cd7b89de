"""From two collections of documents to sentence pairs: match documents, align sentences, filter links by score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from otembed.config.documents import DocumentMiningConfig
from otembed.documents.align import align_collection
from otembed.documents.aligned import AlignedDocuments
from otembed.documents.calibrate import check_calibration, open_known_pairs
from otembed.documents.match import MatchReport, match_documents, matching_bytes, read_sides
from otembed.documents.page import write_page
from otembed.documents.read import DocumentPair
from otembed.embeddings.embed import embedding_key, shard_folder
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.listed import ListedTexts
from otembed.errors import DataError
from otembed.mining.page.write import check_page
from otembed.mining.search.neighbors import list_places
from otembed.results import Result
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentence_transformers import SentenceTransformer

    from otembed.documents.links import AlignedPair
    from otembed.documents.read import Document


@dataclass(frozen=True)
class DocumentMiningReport(Result):
    """The reports of both stages."""

    schema: ClassVar[int] = 1

    match: dict[str, Any]
    align: dict[str, Any]


@dataclass(frozen=True, eq=False)
class MinedDocuments:
    """The links of all pairs of documents, and the reports of both stages; ids are those of the source and the target."""

    aligned: AlignedDocuments
    matched: MatchReport

    @property
    def report(self) -> DocumentMiningReport:
        """The reports of both stages."""
        return DocumentMiningReport(self.matched.to_dict(), self.aligned.report.to_dict())


@dataclass(frozen=True)
class DocumentMiningPlan(Result):
    """The work of a run, for ``--dry-run``.

    ``sentences_to_embed`` are the distinct sentences that are not in the cache, for matching, known pairs included; the runs of several
    sentences, which are encoded for alignment, depend on the pairs that are found. ``candidates`` is the maximum number of
    pairs of documents that are compared, ``memory_bytes`` the memory of matching, see
    :func:`otembed.documents.match.matching_bytes`.
    """

    schema: ClassVar[int] = 1

    sources: int
    targets: int
    empty: int
    sentences: int
    sentences_to_embed: int
    candidates: int
    memory_bytes: int


def mine_documents(
    source: str | Path | Iterable[Document],
    target: str | Path | Iterable[Document],
    model: SentenceTransformer | str,
    *,
    config: DocumentMiningConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    calibrate: str | Path | Iterable[DocumentPair] | None = None,
    progress: Progress = silent,
) -> MinedDocuments:
    """Find sentence pairs in two collections of documents.

    Parameters
    ----------
    source, target, model, cache, device, calibrate, progress
        As for :func:`otembed.documents.match_documents`.
    config
        Settings of both stages; links below ``align.threshold``, 0.3 by default, are dropped.

    Returns
    -------
    MinedDocuments
        The links of each pair of documents, by the score of the pair. An interrupted run resumes from the cache.

    Raises
    ------
    DataError
        No documents match, and as for :func:`otembed.documents.match_documents`.
    ConfigError, ModelError, NumericsError, OutputError
        As for both stages.
    """
    config = DocumentMiningConfig() if config is None else config
    if config.html is not None:
        check_page(config.html)
    # Loaded once for both stages, except where workers load it themselves by its name.
    remote = "local" not in (config.match.engine, config.align.engine)
    encoder = model if remote else _loaded(model, device)
    matched = match_documents(
        source,
        target,
        encoder,
        config=config.match,
        cache=cache,
        device=device,
        calibrate=calibrate,
        progress=progress,
    )
    if not matched.pairs:
        raise DataError("no documents match", "Lower match.threshold.")
    # A source document is in one pair, so its name is unique.
    pairs = [DocumentPair(pair.source.name, pair.source, pair.target) for pair in matched]
    found = align_collection(pairs, encoder, config=config.align, cache=cache, device=device, progress=progress)
    aligned = AlignedDocuments(found.report, found.threshold, lambda: map(_with_own_ids, found))
    if config.html is not None:
        write_page(config.html, aligned, matched.report, _loaded(encoder, device), config)
    return MinedDocuments(aligned, matched.report)


def plan_document_mining(
    source: str | Path | Iterable[Document],
    target: str | Path | Iterable[Document],
    model: SentenceTransformer | str,
    *,
    config: DocumentMiningConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    calibrate: str | Path | Iterable[DocumentPair] | None = None,
) -> DocumentMiningPlan:
    """Return the work of :func:`mine_documents`; nothing is encoded and nothing is written."""
    chosen = (DocumentMiningConfig() if config is None else config).match
    every, full = read_sides(source, target, chosen)
    check_calibration(chosen, calibrate)
    known = [] if calibrate is None else open_known_pairs(calibrate, full, chosen).sides
    encoder = _loaded(model, device)
    prompt = resolve_prompt(encoder, chosen.prompt, chosen.prompt_name)
    missing, dimension = 0, 0
    seen: set[str] = set()
    for side in (*full, *known):
        # As the vectors are stored: a sentence of both sides is an entry of the source.
        texts = [text for document in side for text in document.sentences if text not in seen]
        seen.update(texts)
        if not texts:
            continue
        lines = ListedTexts("plan", texts)
        key = embedding_key(lines, encoder, prompt, chosen.truncate_dim, chosen.precision, chosen.arithmetic)
        dimension = key.dimension
        missing += len(lines) - shard_folder(key, lines, cache).finished
    sizes = [len(side) for side in full]
    return DocumentMiningPlan(
        sources=len(every[0]),
        targets=len(every[1]),
        empty=sum(map(len, every)) - sum(sizes),
        sentences=sum(len(document) for side in full for document in side),
        sentences_to_embed=missing,
        candidates=list_places(sizes[0], sizes[1], chosen.k),
        memory_bytes=matching_bytes([*full, *known], dimension),
    )


def _with_own_ids(pair: AlignedPair) -> AlignedPair:
    """Return the pair with the ids of both documents, which come from two collections."""
    return replace(pair, ids=(pair.source.name, pair.target.name))


def _loaded(model: SentenceTransformer | str, device: str | None) -> SentenceTransformer:
    if not isinstance(model, str):
        return model
    from otembed.models import load_model

    return load_model(model, device=device)
