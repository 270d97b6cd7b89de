"""Documents as clouds of sentences: vectors with masses by length, and the transport between two clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from otembed.documents.monotone import CENTER_FROM, unit
from otembed.mining.rescoring.word_scores import batches
from otembed.transport import pairwise_cost, solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.documents.read import Document
    from otembed.runtime.work import Advance
    from otembed.transport import Relaxation

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clouds:
    """The sentences of the documents of one side.

    Parameters
    ----------
    vectors
        (n, d) unit vectors of all sentences, document after document.
    masses
        (n,) shares of the characters of a document; they sum to 1 in each.
    bounds
        (documents + 1,) first sentence of each document, and n.
    mean
        (d,) vector that was subtracted; None: none.
    """

    vectors: Floats
    masses: Floats
    bounds: Ids
    mean: Floats | None = None

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.bounds) - 1

    @property
    def lengths(self) -> Ids:
        """(documents,) numbers of sentences."""
        return np.diff(self.bounds)

    def pooled(self) -> Floats:
        """Return the (documents, d) unit means of the sentences, weighted by mass."""
        weighted = self.vectors * self.masses[:, None]
        return unit(np.add.reduceat(weighted, self.bounds[:-1], axis=0))

    def padded(self, documents: Ids) -> tuple[torch.Tensor, torch.Tensor]:
        """Return vectors (B, N, D) and masses (B, N) of some documents, padded with zeros."""
        longest = int(self.lengths[documents].max())
        vectors = np.zeros((len(documents), longest, self.vectors.shape[1]), np.float32)
        masses = np.zeros((len(documents), longest), np.float32)
        for row, document in enumerate(documents):
            start, stop = self.bounds[document], self.bounds[document + 1]
            vectors[row, : stop - start] = self.vectors[start:stop]
            masses[row, : stop - start] = self.masses[start:stop]
        return torch.from_numpy(vectors), torch.from_numpy(masses)


def clouds_of(
    documents: Sequence[Document], vectors: Floats, *, center: bool | None = None, mean: Floats | None = None
) -> Clouds:
    """Return the clouds of documents with at least one sentence each.

    Parameters
    ----------
    documents
        The documents of one side.
    vectors
        (n, d) unit vectors of their sentences, document after document.
    center
        Subtract the mean of all sentences of the side; None: if there are at least 10, and no document vanishes.
    mean
        Subtract this vector (d,) instead.
    """
    lengths = np.array([len(text) for document in documents for text in document.sentences], np.float64)
    bounds = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    totals = np.add.reduceat(lengths, bounds[:-1])
    masses = (lengths / np.repeat(totals, np.diff(bounds))).astype(np.float32)
    plain = Clouds(vectors, masses, bounds, None)
    choose = mean is None and center is None and len(vectors) >= CENTER_FROM
    if mean is None and (center or choose):
        mean = vectors.mean(0, dtype=np.float64).astype(np.float32)
    if mean is None:
        return plain
    centered = Clouds(unit(vectors - mean), masses, bounds, mean)
    # Nothing is left of a side with one sentence again and again.
    return plain if choose and not centered.pooled().any(axis=1).all() else centered


def transport_similarity(
    source: Clouds,
    target: Clouds,
    rows: Ids,
    columns: Ids,
    *,
    epsilon: float,
    relaxation: Relaxation,
    advance: Advance | None = None,
) -> Floats:
    r"""Return :math:`1 - \mathrm{OT}_\varepsilon` between pairs of documents (p,), with cosine costs.

    Parameters
    ----------
    source, target
        Both sides.
    rows, columns
        (p,) documents of each pair.
    epsilon, relaxation
        As in :func:`otembed.transport.solve`; with a relaxation, sentences of one document need no counterpart.
    advance
        Called with the number of pairs that are done.
    """
    values = np.empty(len(rows), np.float32)
    for batch in batches(source.lengths[rows], target.lengths[columns]):
        x, a = source.padded(rows[batch])
        y, b = target.padded(columns[batch])
        found = solve(pairwise_cost(x, y, metric="cosine"), a, b, epsilon=epsilon, relaxation=relaxation)
        values[batch] = 1.0 - found.value.numpy()
        if advance is not None:
            advance(len(batch))
    return values
