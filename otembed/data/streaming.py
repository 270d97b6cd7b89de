"""Parallel text read while it is trained on: checked, shuffled within a buffer, in batches of one language pair."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING

import numpy as np

from otembed.config.train import PairChecks
from otembed.data.checks import clean_pairs, text_digest
from otembed.data.load import is_pivot
from otembed.data.reading import read_pairs
from otembed.data.rows import PairCounts
from otembed.data.spec import PairSpec
from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from datasets.iterable_dataset import IterableDataset

logger = logging.getLogger(__name__)

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairStream:
    """The text of one language pair, and what is left out of it.

    ``exclude`` holds digests of held-out sentences; ``limit`` is the number of pairs in a pass, ``None`` for all. ``withheld``
    holds digests of sentences that were held out from this text itself: they count in ``limit``, and in duplicates.
    """

    spec: PairSpec
    checks: PairChecks
    pivot: str | None
    exclude: AbstractSet[int]
    limit: int | None = None
    withheld: AbstractSet[int] = frozenset()

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs that pass the checks once, in the order of the text, the pivot language as the target."""
        counts = PairCounts()
        rows = clean_pairs(read_pairs(self.spec, counts), self.checks, counts, exclude=self.exclude)
        swapped = is_pivot(self.spec.source_language, self.spec.target_language, self.pivot)
        for row in islice(rows, self.limit):
            if self.withheld and not self.withheld.isdisjoint(map(text_digest, (row.source, row.target))):
                continue
            yield (row.target, row.source) if swapped else (row.source, row.target)
        if not counts.kept:
            raise DataError(
                f"no sentence pair passes the checks: {counts.summary()}",
                "Fix these lines or relax the checks.",
                path=self.spec.where,
            )


def streamed(streams: Sequence[PairStream], *, batch: int, buffer: int, seed: int) -> IterableDataset:
    """Return an endless dataset of the columns ``source`` and ``target``.

    Every ``batch`` rows in a row are of one language pair, with no sentence twice on a side; language pairs take turns. A
    text that ends starts again, in another order. Pairs of a sentence that is too frequent for that are left out of a pass. The rows depend on the arguments only, so an interrupted training finds
    its place by reading again.

    Parameters
    ----------
    streams
        One for each language pair.
    batch
        Rows of a batch.
    buffer
        Pairs from which the next one is drawn at random; memory holds them for each language pair.
    seed
        Random seed.

    Raises
    ------
    DataError
        While reading, as in :func:`otembed.data.read_pairs`, or if a whole pass over a text cannot fill a batch.
    """
    from datasets import Features, Value
    from datasets.iterable_dataset import IterableDataset

    columns = Features({"source": Value("string"), "target": Value("string")})  # type: ignore[no-untyped-call, arg-type]
    dataset: IterableDataset = IterableDataset.from_generator(
        _rows,
        features=columns,
        gen_kwargs={"streams": tuple(streams), "batch": batch, "buffer": buffer, "seed": seed},
    )
    return dataset


def _rows(streams: Sequence[PairStream], batch: int, buffer: int, seed: int) -> Iterator[dict[str, str]]:
    turns = [
        _blocks(_endless(stream, buffer, (seed, place)), batch, buffer + batch, stream)
        for place, stream in enumerate(streams)
    ]
    while True:
        for blocks in turns:
            for source, target in next(blocks):
                yield {"source": source, "target": target}


def _endless(stream: PairStream, buffer: int, seed: tuple[int, int]) -> Iterator[Pair | None]:
    """Yield the pairs of one pass after another, and None after each."""
    for number in count():
        yield from _shuffled(iter(stream), buffer, np.random.default_rng((*seed, number)))
        yield None


def _shuffled(rows: Iterator[Pair], buffer: int, draw: np.random.Generator) -> Iterator[Pair]:
    """Yield the rows in random order, as far as a buffer allows."""
    held = list(islice(rows, buffer))
    for row in rows:
        place = int(draw.integers(len(held)))
        chosen, held[place] = held[place], row
        yield chosen
    draw.shuffle(held)
    yield from held


def _blocks(rows: Iterator[Pair | None], size: int, most: int, stream: PairStream) -> Iterator[list[Pair]]:
    """Yield lists of ``size`` pairs without a repeated sentence on a side; a repeated one waits for a later list.

    At most ``most`` pairs wait; more of them are left out of the pass.
    """
    waiting: list[Pair] = []
    full = False
    # The first list begins with a pass; another one may begin within it.
    ended = 1
    while True:
        block: list[Pair] = []
        seen: tuple[set[str], set[str]] = (set(), set())
        earlier, waiting = waiting, []
        # chain leaves the rows open where the loop ends; a generator around them would close them.
        for pair in chain(earlier, rows):
            if pair is None:
                ended += 1
                if ended > 1:
                    raise DataError(
                        f"too few different sentences for batches of {size}",
                        "Lower optimization.per_device_train_batch_size, or turn data.streaming off.",
                        path=stream.spec.where,
                    )
                continue
            source, target = pair
            if source in seen[0] or target in seen[1]:
                if len(waiting) < most:
                    waiting.append(pair)
                elif not full:
                    full = True
                    logger.warning(
                        "%s: more than %d pairs repeat a sentence of their batch (such as %r); those beyond are left out of a pass",
                        stream.spec.where,
                        most,
                        source if source in seen[0] else target,
                    )
                continue
            block.append((source, target))
            seen[0].add(source)
            seen[1].add(target)
            if len(block) == size:
                break
        taken = len(block) + len(waiting)
        waiting += earlier[taken:]
        yield block
        ended = 0
