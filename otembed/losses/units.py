"""From the features of a batch to its unit clouds: what every loss on units shares.

Axes: B sentences, T tokens, U units of the fullest sentence, D dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from otembed.losses.encoder import EncoderTap, Features, TokenStates, unwrap
from otembed.losses.idf import inverse_document_frequencies
from otembed.models import frozen_copy
from otembed.transport import norm_marginals, uniform_marginals, weighted_marginals
from otembed.words import WordSegmenter, pool_units, token_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from otembed.losses.encoder import Passes


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one column of sentences.

    Parameters
    ----------
    vectors
        (B, U, D) in float32, or float64 from a float64 model; zero at padding. Differentiable.
    masses
        (B, U), each row summing to 1; zero marks padding, and a sentence without units is zero throughout.
    ids
        (B, T) int64, the unit of each token; -1 for tokens that carry no mass.
    """

    vectors: Tensor
    masses: Tensor
    ids: Tensor


class UnitReader:
    """Read the units of each column while a loss runs the model, so that one encoder pass serves all.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    unit
        ``word``, or ``token`` for sub-words.
    word_pooling
        How a word is made of its tokens: their ``mean``, the ``first`` or the ``last``.
    layer
        Hidden layer: 0 the embeddings, L the last; negative from the end. In a MultiVectorEncoder, -1 means
        the vectors that it scores with.
    marginals
        Masses: ``uniform``, by vector ``norm``, or by the ``idf`` of the unit's rarest token.
    idf_sentences
        Sentences to count document frequencies in (marginals: idf).

    Raises
    ------
    ConfigError
        If the model has no such layer, or idf has no sentences.
    ModelError
        If the model has no token states, or its vocabulary no word boundaries.

    Examples
    --------
    ::

        reader = UnitReader(model, unit="word", word_pooling="mean", layer=-1, marginals="uniform")
        with reader.recording(model) as passes:
            value = inner_loss(columns, labels)
        source, target = (reader.units(columns[side], passes, side) for side in (0, 1))
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        unit: Literal["word", "token"],
        word_pooling: Literal["mean", "first", "last"],
        layer: int,
        marginals: Literal["uniform", "norm", "idf"],
        idf_sentences: Sequence[str] | None = None,
    ) -> None:
        plain = unwrap(model)
        self._tap = EncoderTap(plain, layer)
        self._pooling = word_pooling
        self._marginals = marginals
        self._segment = WordSegmenter(plain.tokenizer) if unit == "word" else None
        self._idf: Tensor | None = None
        if marginals == "idf":
            self._idf = inverse_document_frequencies(plain.tokenizer, idf_sentences or ())

    def recording(self, model: nn.Module) -> AbstractContextManager[Passes]:
        """Record every pass of ``model``'s encoder while the context is open."""
        return self._tap.recording(model)

    def units(self, features: Features, passes: Passes, column: int) -> Units:
        """Return the units of one column of the batch from the recorded passes.

        Computed outside autocast. Special, prompt, padding and query expansion tokens carry no mass, nor do
        those that a MultiVectorEncoder does not score.

        Raises
        ------
        ModelError
            If no recorded pass belongs to the column, or the batch is no padded text.
        """
        side = self._tap.states(features, passes, column)
        with torch.autocast(side.states.device.type, enabled=False):
            ids = self._segment(side.input_ids, side.content) if self._segment else token_units(side.content)
            vectors, mask = pool_units(side.states, ids, self._pooling)
            return Units(vectors, self._masses(vectors, mask, side, ids), ids)

    def frozen(self, model: nn.Module) -> nn.Module:
        """Return a frozen copy of what this reads of ``model``, for :meth:`reference`."""
        return self._tap.observed(frozen_copy(unwrap(model)))

    def reference(self, frozen: nn.Module, features: Features, ids: Tensor) -> Tensor:
        """Return the vectors (B, U, D) of the units ``ids`` of the target side under a frozen copy, without a graph."""
        states = self._tap.reference(frozen, features)
        with torch.autocast(states.device.type, enabled=False):
            return pool_units(states, ids, self._pooling)[0]

    def _masses(self, vectors: Tensor, mask: Tensor, side: TokenStates, ids: Tensor) -> Tensor:
        if self._marginals == "norm":
            return norm_marginals(vectors, mask)
        if self._idf is None:
            return uniform_marginals(mask)
        # A word is as rare as its rarest token.
        self._idf = self._idf.to(vectors.device)
        rarity = vectors.new_zeros(ids.shape[0], vectors.shape[1] + 1)
        rarity = rarity.scatter_reduce(1, ids + 1, self._idf[side.input_ids].to(vectors.dtype), "amax")
        return weighted_marginals(rarity[:, 1:], mask)
