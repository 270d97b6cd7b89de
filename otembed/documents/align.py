"""From documents to links between their sentences: runs of sentences, vectors, a monotone program."""

from __future__ import annotations

import json
import logging
from array import array
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.documents import DocumentsConfig
from otembed.config.keywords import checked_settings
from otembed.documents.align_work import AlignTask, AlignWork, groups, read_links, read_planted, run_folder
from otembed.documents.aligned import AlignedDocuments, DocumentsReport
from otembed.documents.link_threshold import LinkCalibration, calibrate_links
from otembed.documents.links import AlignedPair, kinds_of
from otembed.documents.read import DocumentPair, document_of, open_pairs, read_document
from otembed.documents.split import splitters_of
from otembed.embeddings.cache import OPTION, cache_home, make_cache_folder
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.errors import ConfigError, DataError
from otembed.results import writing
from otembed.runtime.arithmetic import resolve_arithmetic
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

FOLDER = "documents"
# Where the work runs, what its texts were, and what is done with its result, change nothing about the links.
NOT_IN_KEY = (
    "engine", "ray_address", "workers", "batch_size", "threshold", "min_precision", "prompt", "prompt_name",
    "split_source", "split_target",
)  # fmt: skip
# Version of the files of links.
LINKS_SCHEMA = 2


def align_documents(
    source: str | Path | Iterable[str],
    target: str | Path | Iterable[str],
    model: SentenceTransformer | str,
    *,
    config: DocumentsConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> AlignedPair:
    """Align the sentences of two documents that translate each other.

    Parameters
    ----------
    source, target
        A plain text file with one sentence per line, or the sentences. Blank lines are not sentences, but count in the
        numbers of the links. With ``split_source`` or ``split_target``, a file is any plain text of that language, and
        links have the numbers of its sentences; see :class:`otembed.documents.split.Splitter`.
    model
        A sentence-transformers encoder, or any argument of :func:`otembed.load_model`.
    config
        Settings; alternatively, pass individual settings as keywords, such as ``max_sentences=4``.
    cache
        Folder in which embeddings and links are stored, and from which an interrupted run resumes; by default
        ``mining`` in the cache of otembed.
    device
        Device for a model given by name.
    progress
        Called with the stage, the finished sentences and the total.

    Returns
    -------
    AlignedPair
        The links of all sentences, each with a score; iterating yields those with both sides. A document without
        sentences has no links. Settings that select links, such as ``threshold``, apply when links are written or
        iterated by :meth:`AlignedPair.pairs`.

    Raises
    ------
    DataError
        A file is missing, not UTF-8 or has no sentences; a sentence is not a string.
    ConfigError, ModelError, NumericsError, OutputError
        A setting is out of range; the model cannot be loaded or returns NaN; the cache cannot be written.

    Notes
    -----
    See :func:`otembed.documents.monotone.align_monotone` for the method.
    """
    checked = checked_settings(DocumentsConfig, config, settings)
    if checked.threshold == "auto":
        raise ConfigError(
            "threshold auto works only for collections of documents",
            "Use align_collection, or set threshold to a number.",
        )
    sides = [
        read_document(place, split) if isinstance(place, str | Path) else document_of(place, name)
        for place, name, split in zip((source, target), ("source", "target"), splitters_of(checked), strict=True)
    ]
    found = align_collection(
        [DocumentPair("1", *sides)], model, config=checked, cache=cache, device=device, progress=progress
    )
    return next(iter(found))


def align_collection(
    pairs: str | Path | Iterable[DocumentPair],
    model: SentenceTransformer | str,
    *,
    config: DocumentsConfig | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> AlignedDocuments:
    """Align many pairs of documents; finished ones are stored, so that an interrupted run resumes.

    Parameters
    ----------
    pairs
        A list of pairs, see :func:`otembed.documents.read.read_pairs`, or the pairs.
    model, config, cache, device, progress, settings
        As for :func:`align_documents`.

    Returns
    -------
    AlignedDocuments
        The pairs in the order of the input, and a report. They are read from the cache one by one.

    Raises
    ------
    DataError
        There are no pairs, the threshold cannot be chosen, see
        :func:`otembed.documents.link_threshold.calibrate_links`, and as for :func:`align_documents`.
    """
    begun = perf_counter()
    checked = checked_settings(DocumentsConfig, config, settings)
    split = splitters_of(checked)
    read = groups(open_pairs(pairs, split=split) if isinstance(pairs, str | Path) else iter(pairs))
    # Before the model is loaded: what is wrong with the first documents is reported at once.
    first = list(islice(read, 1))
    if not first:
        raise DataError("there are no pairs of documents", "Pass at least one pair.")
    if isinstance(model, str):
        from otembed.models import load_model

        encoder = load_model(model, device="cpu" if checked.engine != "local" else device)
    else:
        encoder = model
    prompt, fingerprint = resolve_prompt(encoder, checked.prompt, checked.prompt_name), model_fingerprint(encoder)
    # Absolute, because workers may have another working directory.
    folder = make_cache_folder(cache, FOLDER).absolute()
    tasks: list[AlignTask] = []
    todo: list[AlignTask] = []
    documents = empty = resumed = 0
    key = run_key(checked, fingerprint, prompt, resolve_arithmetic(checked.arithmetic, encoder.device))
    with ExitStack() as stack:
        run: Path | None = None
        for group in chain(first, read):
            task = AlignTask.of(folder, key, group)
            tasks.append(task)
            documents += len(group)
            empty += sum(not (pair.source and pair.target) for pair in group)
            if task.done:
                resumed += len(group)
                continue
            if run is None:
                with writing(folder, option=OPTION):
                    run = stack.enter_context(run_folder(folder))
            todo.append(task.written(run, group))
        if resumed:
            logger.info("%d of %d pairs of documents are in the cache (%s)", resumed, documents, folder)
        executor = stack.enter_context(open_executor(checked))
        work = AlignWork(
            model=model if executor.remote and isinstance(model, str) else encoder,
            device=device,
            fingerprint=fingerprint,
            prompt=prompt,
            config=checked,
            cache=cache_home(cache).absolute(),
        )
        total, left = (sum(task.sentences for task in each) for each in (tasks, todo))
        advance = counting(progress, "aligning", total, total - left)
        for done in executor.run(work, todo, advance):
            done.remove()
    report = _report(tasks, checked, _name_of(model), documents, empty, resumed, begun)
    aligned = AlignedDocuments(report, report.threshold, lambda: _read(tasks))
    if empty:
        logger.warning("%d of %d pairs have a document without sentences; they have no links", empty, documents)
    return aligned


def run_key(config: DocumentsConfig, fingerprint: str, prompt: str, arithmetic: str) -> str:
    """Return everything but the documents that the links depend on, as text."""
    chosen = {name: value for name, value in asdict(config).items() if name not in NOT_IN_KEY}
    chosen |= {"links": LINKS_SCHEMA, "planted": config.threshold == "auto"}
    return json.dumps({**chosen, "model": fingerprint, "prompt": prompt, "arithmetic": arithmetic}, sort_keys=True)


def _read(tasks: list[AlignTask]) -> Iterator[AlignedPair]:
    for task in tasks:
        yield from read_links(task.links)


def _calibration(tasks: list[AlignTask], min_precision: float | None) -> LinkCalibration:
    scores = np.array(array("d", (link.score for pair in _read(tasks) for link in pair)))
    planted = list(chain.from_iterable(read_planted(task.links) for task in tasks))
    return calibrate_links(scores, planted, min_precision=min_precision)


def _report(
    tasks: list[AlignTask],
    config: DocumentsConfig,
    model: str,
    documents: int,
    empty: int,
    resumed: int,
    begun: float,
) -> DocumentsReport:
    threshold, calibration = config.threshold, None
    if isinstance(threshold, str):
        calibration = _calibration(tasks, config.min_precision)
        threshold = calibration.threshold
    kinds: Counter[str] = Counter()
    links = 0
    linked = 0
    for pair in _read(tasks):
        chosen = list(pair.chosen(threshold=threshold))
        kinds += kinds_of(chosen)
        links += len(chosen)
        linked += sum(len(each.source) + len(each.target) for each in chosen)
    sentences = sum(task.sentences for task in tasks)
    return DocumentsReport(
        model=model,
        documents=documents,
        sentences=sentences,
        links=links,
        unaligned=sentences - linked,
        empty=empty,
        resumed=resumed,
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        threshold=threshold,
        calibration=calibration,
        settings=asdict(config),
        seconds=round(perf_counter() - begun, 3),
    )


def _name_of(model: SentenceTransformer | str) -> str:
    return model if isinstance(model, str) else type(model).__name__
