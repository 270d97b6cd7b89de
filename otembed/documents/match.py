"""Which document translates which: candidates by pooled vectors, transport between sentences, one-to-one pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from otembed.config.documents import MatchConfig
from otembed.config.keywords import checked_settings
from otembed.config.mining import MiningConfig
from otembed.documents.calibrate import calibrate_matches, check_calibration, open_known_pairs, pooled_rows
from otembed.documents.clouds import Clouds, clouds_of, transport_similarity
from otembed.documents.read import Document, read_documents
from otembed.documents.split import splitters_of
from otembed.embeddings.cache import cache_home
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, DataError
from otembed.mining.calibration.calibrate import CalibratedReport, Calibration
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.search.neighbors import Neighbors
from otembed.mining.search.search import search
from otembed.runtime.clock import StageClock
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.documents.read import DocumentPair
    from otembed.runtime.work import Executor

# Peak of a transport problem for each pair of sentences, measured with 1,000 to 4,000 sentences on each side.
PAIR_BYTES = 28


@dataclass(frozen=True)
class MatchedPair:
    """Two documents that may translate each other: their margin score, their similarity, and both documents."""

    score: float
    similarity: float
    source: Document
    target: Document


@dataclass(frozen=True)
class MatchReport(CalibratedReport):
    """The report of a run: documents of both sides, those without sentences, candidates compared, pairs.

    ``calibration`` describes how known pairs determined the threshold.
    """

    schema: ClassVar[int] = 2

    model: str
    sources: int
    targets: int
    empty: int
    sentences: int
    candidates: int
    pairs: int
    threshold: float | None
    calibration: Calibration | None
    settings: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class MatchedDocuments:
    """Pairs of documents, best first; iterating yields :class:`MatchedPair`."""

    pairs: tuple[MatchedPair, ...]
    report: MatchReport

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[MatchedPair]:
        """Yield the pairs, best first."""
        return iter(self.pairs)


def match_documents(
    source: str | Path | Iterable[Document],
    target: str | Path | Iterable[Document],
    model: SentenceTransformer | str,
    *,
    config: MatchConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    calibrate: str | Path | Iterable[DocumentPair] | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> MatchedDocuments:
    """Find the documents of two collections that translate each other.

    Parameters
    ----------
    source, target
        A folder of text files or a list, see :func:`otembed.documents.read.read_documents`, or the documents; names are
        unique on each side.
    model, cache, device, progress
        As for :func:`otembed.documents.align_documents`.
    config
        Settings; alternatively, pass individual settings as keywords, such as ``k=4``.
    calibrate
        Known pairs from which ``threshold="auto"`` chooses the threshold: a list, see
        :func:`otembed.documents.read.read_pairs`, or the pairs. They are never part of the result.

    Returns
    -------
    MatchedDocuments
        Pairs, best first; each document is in at most one. Documents without sentences are in none.

    Raises
    ------
    DataError
        A place cannot be read, a name is given twice, a side has no document with sentences, or no threshold can be
        chosen; see :func:`otembed.mining.calibration.calibrate.calibrate`.
    ConfigError, ModelError, NumericsError, OutputError
        As for :func:`otembed.documents.align_documents`.

    Notes
    -----
    Candidates are the ``k`` nearest documents in both directions by the mean vector of their sentences, weighted by
    length. Candidates are compared by optimal transport between their sentences, with masses by length, and scored by
    the margin of this similarity, as lines are in mining. The vectors of all sentences are held in memory.
    """
    checked = checked_settings(MatchConfig, config, settings)
    check_calibration(checked, calibrate)
    clock = StageClock()
    with clock("read"):
        sides, full = read_sides(source, target, checked)
        known = None if calibrate is None else open_known_pairs(calibrate, full, checked)
    with clock("embed"):
        with open_executor(checked) as executor:
            every = full if known is None else [*full, *known.sides]
            vectors = embedded(
                every, model, checked, cache=cache, executor=executor, device=device, progress=progress
            )
        left, right = (
            clouds_of(side, rows, center=checked.center) for side, rows in zip(full, vectors[:2], strict=True)
        )
    with clock("search"):
        lists = candidates(left, right, checked, cache=cache)
    with clock("compare"):
        threshold = None if isinstance(checked.threshold, str) else checked.threshold
        compared, count = transported(lists, left, right, checked, progress=progress)
        found, _ = pair_up(
            *compared,
            MiningConfig(margin=checked.margin, k=checked.k),
            threshold=threshold,
            cosines=(compared[0].scores, compared[1].scores),
        )
        calibration = None
        if known is not None:
            calibration = calibrate_matches(
                found, (left, right), lists, compared, known, (vectors[2], vectors[3]), checked
            )
            threshold = calibration.threshold
            found = found.take(found.score >= threshold)
    pairs = tuple(
        MatchedPair(round(score, 6), round(similarity, 6), full[0][i], full[1][j])
        for score, similarity, i, j in zip(
            found.score.tolist(), found.cosine.tolist(), found.source.tolist(), found.target.tolist(), strict=True
        )
    )
    return MatchedDocuments(
        pairs,
        MatchReport(
            model=model if isinstance(model, str) else type(model).__name__,
            sources=len(sides[0]),
            targets=len(sides[1]),
            empty=sum(map(len, sides)) - sum(map(len, full)),
            sentences=sum(len(document) for side in full for document in side),
            candidates=count,
            pairs=len(pairs),
            threshold=threshold,
            calibration=calibration,
            settings=asdict(checked),
            seconds=clock.seconds,
        ),
    )


def read_sides(
    source: str | Path | Iterable[Document], target: str | Path | Iterable[Document], config: MatchConfig
) -> tuple[list[list[Document]], list[list[Document]]]:
    """Return the documents of both sides, all of them and those with sentences; errors as for :func:`match_documents`."""
    sides = [
        list(read_documents(place, split)) if isinstance(place, str | Path) else list(place)
        for place, split in zip((source, target), splitters_of(config), strict=True)
    ]
    names = ("source", "target")
    return sides, [_with_sentences(documents, name) for documents, name in zip(sides, names, strict=True)]


def matching_bytes(sides: list[list[Document]], dimension: int) -> int:
    """Return the memory of matching: vectors of all sentences with centered copies, and the longest two documents compared.

    ``sides`` are sources and targets by turns, as for :func:`embedded`.
    """
    vectors = 2 * 4 * dimension * sum(len(document) for side in sides for document in side)
    longest, other = (
        max((len(document) for side in sides[place::2] for document in side), default=0) for place in (0, 1)
    )
    return vectors + PAIR_BYTES * longest * other


def _with_sentences(documents: list[Document], side: str) -> list[Document]:
    seen: set[str] = set()
    for document in documents:
        if document.name in seen:
            raise DataError(
                f"the {side} has two documents {document.name!r}", "Use a unique id for every document."
            )
        seen.add(document.name)
    found = [document for document in documents if document.sentences]
    if not found:
        raise DataError(f"the {side} has no document with sentences", "Pass at least one.")
    return found


def embedded(
    sides: list[list[Document]],
    model: SentenceTransformer | str,
    config: MatchConfig,
    *,
    cache: str | Path | None,
    executor: Executor,
    device: str | None,
    progress: Progress,
) -> list[NDArray[np.float32]]:
    """Return the unit vectors (n, d) of the sentences of each side, document after document."""
    encoder = model
    if isinstance(encoder, str):
        from otembed.models import load_model

        encoder = load_model(encoder, device="cpu" if executor.remote else device)
    dimension = config.truncate_dim or encoder.get_embedding_dimension() or 0
    needed = matching_bytes(sides, dimension)
    if config.memory_gb is not None and needed > config.memory_gb * 1e9:
        raise ConfigError(
            f"matching needs {needed / 1e9:.3g} GB, but memory_gb is {config.memory_gb:g}",
            "Raise memory_gb, lower truncate_dim, or match parts of the collections.",
        )
    return embed_sides(
        encoder,
        [[text for document in side for text in document.sentences] for side in sides],
        batch_size=config.batch_size,
        prompt=resolve_prompt(encoder, config.prompt, config.prompt_name),
        prompt_name=None,
        truncate_dim=config.truncate_dim,
        show_progress_bar=False,
        cache=cache_home(cache),
        names=("source", "target", "known source", "known target")[: len(sides)],
        precision=config.precision,
        arithmetic=config.arithmetic,
        fingerprint=model_fingerprint(encoder),
        executor=executor,
        load_as=model if isinstance(model, str) else None,
        device=device,
        progress=progress,
    )


def candidates(
    left: Clouds, right: Clouds, config: MatchConfig, *, cache: str | Path | None
) -> tuple[Neighbors, Neighbors]:
    """Return the nearest documents of each document by mean vector, in both directions."""
    source, target = (pooled_rows(each, name) for each, name in ((left, "source"), (right, "target")))
    found = search(source, target, MiningConfig(k=config.k, workers=config.workers), cache=cache)
    return found.forward, found.backward


def transported(
    lists: tuple[Neighbors, Neighbors],
    left: Clouds,
    right: Clouds,
    config: MatchConfig,
    *,
    progress: Progress = silent,
) -> tuple[tuple[Neighbors, Neighbors], int]:
    """Return the lists with the transport similarity of :func:`otembed.documents.clouds.transport_similarity`.

    The second value is the number of pairs that were compared; a pair in the lists of both directions is compared once.
    """
    forward, backward = lists
    there = np.stack([np.repeat(np.arange(len(left)), forward.ids.shape[1]), forward.ids.ravel()], 1)
    back = np.stack([backward.ids.ravel(), np.repeat(np.arange(len(right)), backward.ids.shape[1])], 1)
    pairs, place = np.unique(np.concatenate([there, back]), axis=0, return_inverse=True)
    place = place.ravel()
    values = transport_similarity(
        left,
        right,
        pairs[:, 0],
        pairs[:, 1],
        epsilon=config.epsilon,
        relaxation=config.relaxation,
        advance=counting(progress, "comparing", len(pairs)),
    )
    return (
        Neighbors(values[place[: len(there)]].reshape(forward.ids.shape), forward.ids),
        Neighbors(values[place[len(there) :]].reshape(backward.ids.shape), backward.ids),
    ), len(pairs)
