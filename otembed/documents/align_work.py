"""The work of aligning documents: a file of pairs in, a file of their links out, in this process or in another."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.documents.links import AlignedPair, Link
from otembed.documents.monotone import Sides, Step, align_monotone, prepare, unit, unlinked
from otembed.documents.moved import align_reordered
from otembed.documents.planting import plant, score_of
from otembed.documents.read import Document, DocumentPair
from otembed.embeddings.cache import KEPT, OPTION
from otembed.embeddings.embed_work import EncoderWork
from otembed.embeddings.texts import embed_sides
from otembed.errors import NumericsError
from otembed.results import write_text, writing
from otembed.results.outcomes import digest_of
from otembed.results.temporary import fresh_folder
from otembed.runtime.sealed import DIGEST_BYTES, is_sound, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.config.documents import DocumentsConfig
    from otembed.runtime.progress import Progress
    from otembed.runtime.work import Advance

    Floats = NDArray[np.float32]

# Sentences that are encoded together; a longer pair is a task alone.
GROUP_SENTENCES = 2048


@dataclass(frozen=True)
class AlignTask:
    """The sealed file for the links of some pairs of documents, their sentences, and the JSON file of the pairs.

    All runs share the first, and each writes its own of the last: others on the same documents remove theirs.
    """

    links: Path
    sentences: int
    pairs: Path | None = None

    @classmethod
    def of(cls, folder: Path, key: str, pairs: Sequence[DocumentPair]) -> AlignTask:
        """Return the task of some pairs; its name is a hash of ``key`` and of the pairs."""
        name = digest_of([key, *(json.dumps(asdict(each)) for each in pairs)])
        count = sum(len(each.source) + len(each.target) for each in pairs)
        return cls(folder / f"links-{name}.json", count)

    @property
    def done(self) -> bool:
        """Whether the links were computed by an earlier run, or by another one at the same time."""
        return self.links.is_file() and is_sound(self.links)

    def written(self, run: Path, pairs: Sequence[DocumentPair]) -> AlignTask:
        """Write the pairs for a worker to the folder of a run, and return the task with them; OutputError if that fails."""
        path = run / self.links.name
        with writing(path, option=OPTION, kept=KEPT):
            write_text(path, json.dumps([asdict(each) for each in pairs]))
        return replace(self, pairs=path)

    def read(self) -> list[DocumentPair]:
        """Return the pairs that :meth:`written` wrote."""
        if self.pairs is None:
            raise ValueError("the pairs of the task are not written")
        return [read_pair(each) for each in json.loads(self.pairs.read_text(encoding="utf-8"))]

    def remove(self) -> None:
        """Remove the pairs; links stay."""
        if self.pairs is not None:
            self.pairs.unlink(missing_ok=True)


@contextmanager
def run_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder in ``folder`` for the pairs of a run, removed at the end; those of killed runs are removed first."""
    with fresh_folder(folder / "pairs") as run:
        try:
            yield run
        finally:
            shutil.rmtree(run, ignore_errors=True)


def groups(pairs: Iterator[DocumentPair]) -> Iterator[list[DocumentPair]]:
    """Yield consecutive pairs, of about ``GROUP_SENTENCES`` sentences in all."""
    group: list[DocumentPair] = []
    sentences = 0
    for pair in pairs:
        size = len(pair.source) + len(pair.target)
        if group and sentences + size > GROUP_SENTENCES:
            yield group
            group, sentences = [], 0
        group.append(pair)
        sentences += size
    if group:
        yield group


@dataclass(frozen=True, eq=False)
class AlignWork(EncoderWork):
    """The alignment tasks of a run.

    Parameters
    ----------
    model, device, fingerprint
        As for :class:`otembed.embeddings.embed_work.EncoderWork`.
    prompt
        Text to prepend to every run of sentences.
    config
        The settings.
    cache
        Folder of the cache of embeddings.
    """

    prompt: str
    config: DocumentsConfig
    cache: Path

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[AlignTask], AlignTask]:
        """Load the model."""
        return partial(self._align, self.encoder(threads), advance)

    def units(self, answer: AlignTask) -> int:
        """Return the sentences of a task."""
        return answer.sentences

    def _align(self, model: SentenceTransformer, advance: Advance | None, task: AlignTask) -> AlignTask:
        progress = _Share(advance, task.sentences)
        if task.done:
            progress.finish()
            return task
        pairs = task.read()
        vectors = run_vectors(
            self, model, [side for pair in pairs for side in (pair.source, pair.target)], progress
        )
        aligned, solved = [], []
        for pair, x, y in zip(pairs, vectors[::2], vectors[1::2], strict=True):
            check_finite(pair, x, y)
            sides, steps = solve_pair(pair, x, y, self.config)
            aligned.append(AlignedPair(pair.id, pair.source, pair.target, links_of(pair, steps, x, y)))
            if self.config.threshold == "auto" and sides is not None:
                solved.append((sides, steps))
        planted = plant(solved, partial(program, self.config))
        document = json.dumps(
            {"pairs": [asdict(each) for each in aligned], "planted": planted},
            allow_nan=False,
        )
        write_sealed(task.links, lambda path: path.write_text(document, encoding="utf-8"), option=OPTION, kept=KEPT)
        progress.finish()
        return task


class _Share:
    """Passes on the progress of encoding as a share of the sentences of a task.

    Longer runs take longer: by their number, not by their length, the progress is about right.
    """

    def __init__(self, advance: Advance | None, sentences: int) -> None:
        self.advance, self.sentences = advance, sentences
        self.lengths, self.length, self.told, self.stage = 1, 0, 0, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Pass on what the encoder reports, for each length of runs in turn."""
        if stage != self.stage:
            self.stage, self.length = stage, self.length + (self.stage != "")
        share = (self.length + done / max(total, 1)) / self.lengths
        self._tell(min(int(share * self.sentences), self.sentences))

    def finish(self) -> None:
        """Report the rest."""
        self._tell(self.sentences)

    def _tell(self, count: int) -> None:
        if self.advance is not None and count > self.told:
            self.advance(count - self.told)
            self.told = count


def run_vectors(
    work: AlignWork, model: SentenceTransformer, documents: Sequence[Document], progress: Progress
) -> list[Floats]:
    """Return (A, N, D) unit vectors of the runs of each document; zero for runs beyond the end.

    All runs of one length are one entry of the cache, so that other limits of the length reuse them.
    """
    lengths = work.config.max_sentences - 1
    encoded = 1 if work.config.runs == "mean" else lengths
    if isinstance(progress, _Share):
        progress.lengths = encoded
    texts = [[text for each in documents for text in runs_of(each, length)] for length in range(1, encoded + 1)]
    filled = [each for each in texts if each]
    if not filled:
        return [np.zeros((lengths, 0, 1), np.float32) for _ in documents]
    found = embed_sides(
        model,
        filled,
        batch_size=work.config.batch_size,
        prompt=work.prompt,
        prompt_name=None,
        truncate_dim=work.config.truncate_dim,
        show_progress_bar=False,
        cache=work.cache,
        names=[f"runs of {length}" for length in range(1, len(filled) + 1)],
        precision=work.config.precision,
        arithmetic=work.config.arithmetic,
        fingerprint=work.fingerprint,
        progress=progress,
    )
    vectors = [np.zeros((lengths, len(each), found[0].shape[1]), np.float32) for each in documents]
    for length, rows in enumerate(found):
        start = 0
        for each in vectors:
            count = max(each.shape[1] - length, 0)
            each[length, :count] = rows[start : start + count]
            start += count
    if work.config.runs == "mean":
        for each in vectors:
            add_mean_runs(each)
    return vectors


def add_mean_runs(vectors: Floats) -> None:
    """Fill in the unit means of longer runs from single sentences, in place."""
    for length in range(1, len(vectors)):
        count = max(vectors.shape[1] - length, 0)
        vectors[length, :count] = unit(
            np.sum([vectors[0, start : start + count] for start in range(length + 1)], axis=0)
        )


def runs_of(document: Document, length: int) -> list[str]:
    """Return the texts of all runs of consecutive sentences of a length.

    >>> runs_of(Document("text", ("a", "b", "c"), (0, 1, 2)), 2)
    ['a b', 'b c']
    """
    sentences = document.sentences
    return [" ".join(sentences[start : start + length]) for start in range(len(sentences) - length + 1)]


def check_finite(pair: DocumentPair, x: Floats, y: Floats) -> None:
    """Reject vectors with NaN or infinity; NumericsError names the document."""
    for document, vectors in ((pair.source, x), (pair.target, y)):
        if not np.isfinite(vectors).all():
            raise NumericsError(f"{document.name}: a vector holds NaN or infinity", "Check the model's weights.")


def solve_pair(
    pair: DocumentPair, x: Floats, y: Floats, config: DocumentsConfig
) -> tuple[Sides | None, list[Step]]:
    """Align two documents by the vectors of their runs (A, N, D) and (A, M, D); no sides if a document is empty."""
    if not (pair.source and pair.target):
        return None, unlinked(len(pair.source), len(pair.target))
    lengths = (np.array([len(text) for text in side.sentences], np.float64) for side in (pair.source, pair.target))
    sides = prepare(
        x,
        y,
        *lengths,
        deletion_quantile=config.deletion_quantile,
        length_weight=config.length_weight,
        center=config.center,
    )
    return sides, program(config, sides)


def program(config: DocumentsConfig, sides: Sides) -> list[Step]:
    """Return the alignment of two documents with the settings of a run."""
    align = align_reordered if config.reorder else align_monotone
    return align(sides, max_sentences=config.max_sentences, band=config.band)


def links_of(pair: DocumentPair, steps: list[Step], x: Floats, y: Floats) -> tuple[Link, ...]:
    """Return the steps of an alignment as links of numbered sentences."""
    links = []
    for step in steps:
        (i, end), (j, stop) = step.source, step.target
        numbers = tuple(pair.source.numbers[i:end]), tuple(pair.target.numbers[j:stop])
        if not step.is_link:
            links.append(Link(*numbers, 0.0, 0.0))
            continue
        cosine = float(x[end - i - 1, i].astype(np.float64) @ y[stop - j - 1, j].astype(np.float64))
        links.append(Link(*numbers, score_of(step), round(cosine, 6)))
    return tuple(links)


def read_links(path: Path) -> Iterator[AlignedPair]:
    """Yield the pairs of a file of links that :class:`AlignWork` wrote."""
    for each in _document(path)["pairs"]:
        pair = read_pair(each)
        links = tuple(
            Link(tuple(link["source"]), tuple(link["target"]), link["score"], link["cosine"])
            for link in each["links"]
        )
        yield AlignedPair(pair.id, pair.source, pair.target, links)


def read_planted(path: Path) -> list[list[float]]:
    """Return the scores of the wrong links of each planted stretch; there are some only with the threshold ``auto``."""
    planted: list[list[float]] = _document(path)["planted"]
    return planted


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes()[:-DIGEST_BYTES])
    return document


def read_pair(document: dict[str, Any]) -> DocumentPair:
    """Return a pair from its JSON form."""
    sides = (
        Document(side["name"], tuple(side["sentences"]), tuple(side["numbers"]))
        for side in (document["source"], document["target"])
    )
    return DocumentPair(document["id"], *sides)
