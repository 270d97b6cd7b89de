"""Read the unit vectors of a batch from its features, for every loss on units.

Axes: B sentences, T tokens, U units of the longest sentence, D dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from otembed.losses.encoder import EncoderTap, Features, unwrap
from otembed.models import frozen_copy
from otembed.transport import uniform_marginals
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
        (B, U), each row summing to 1; zero marks padding; the row of a sentence without units is zero.
    ids
        (B, T) int64, the unit of each token; -1 for tokens without mass.
    """

    vectors: Tensor
    masses: Tensor
    ids: Tensor


class UnitReader:
    """Read the units of each column while a loss runs the model, so that all terms share one encoder pass.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    unit
        ``word``, or ``token`` for subwords.
    word_pooling
        How tokens are pooled into a word: ``mean``, ``first`` or ``last``.
    layer
        Hidden layer: 0 the embeddings, L the last; negative from the end; or ``middle``. In a MultiVectorEncoder, -1 is
        the vectors used for scoring.

    Raises
    ------
    ConfigError
        The model does not have this layer.
    ModelError
        The model does not expose token states, or its vocabulary does not mark word boundaries.

    Examples
    --------
    ::

        reader = UnitReader(model, unit="word", word_pooling="mean", layer=-1)
        with reader.recording(model, columns) as passes:
            value = inner_loss(columns, labels)
        source, target = (reader.units(columns[side], passes, side) for side in (0, 1))
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        unit: Literal["word", "token"],
        word_pooling: Literal["mean", "first", "last"],
        layer: int | Literal["middle"],
    ) -> None:
        plain = unwrap(model)
        self._tap = EncoderTap(plain, layer)
        self._pooling = word_pooling
        self._segment = WordSegmenter(plain.tokenizer) if unit == "word" else None

    def recording(self, model: nn.Module, columns: Sequence[Features] = ()) -> AbstractContextManager[Passes]:
        """Record every pass of ``model``'s encoder while a loss is computed on ``columns``."""
        return self._tap.recording(model, columns)

    def units(self, features: Features, passes: Passes, column: int) -> Units:
        """Return the units of one column of the batch from the recorded passes.

        Computed outside autocast. Special, prompt, padding and query expansion tokens have no mass, nor do
        tokens that a MultiVectorEncoder does not score.

        Raises
        ------
        ModelError
            No recorded pass belongs to the column, or the batch is not text.
        """
        side = self._tap.states(features, passes, column)
        with torch.autocast(side.states.device.type, enabled=False):
            ids = self._segment(side.input_ids, side.content) if self._segment else token_units(side.content)
            vectors, mask = pool_units(side.states, ids, self._pooling)
            return Units(vectors, uniform_marginals(mask).to(vectors.dtype), ids)

    def frozen(self, model: nn.Module) -> nn.Module:
        """Return a frozen copy of the part of ``model`` that is read, for :meth:`reference`."""
        return self._tap.observed(frozen_copy(unwrap(model)))

    def reference(self, frozen: nn.Module, features: Features, ids: Tensor) -> Tensor:
        """Return the vectors (B, U, D) of the units ``ids`` of the target side under a frozen copy, without a graph."""
        states = self._tap.reference(frozen, features)
        with torch.autocast(states.device.type, enabled=False):
            return pool_units(states, ids, self._pooling)[0]
