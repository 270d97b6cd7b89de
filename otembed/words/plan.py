"""Transport plans between the words of sentence pairs.

Axes: B sentence pairs, N source words, M target words, D dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from otembed.config.words import WordAlignmentConfig
from otembed.errors import NumericsError
from otembed.transport import order_prior, pairwise_cost, solve, uniform_marginals
from otembed.words.vectors import WordVectors

FEWEST_WORDS = 100
"""Minimum number of words for a separate mean per side; the mean of a few words is too close to the words themselves."""


class RunningMean:
    """Running mean of the word vectors of one side, summed in float64, without unseen words."""

    def __init__(self) -> None:
        self.total: Tensor = torch.zeros((), dtype=torch.float64)
        self.count = 0

    def add(self, sentences: Sequence[WordVectors], layer: int) -> None:
        """Add the seen words of further sentences."""
        for each in sentences:
            words = each.layers[layer][each.seen]
            self.total = self.total + words.double().sum(0)
            self.count += len(words)


def centers(source: RunningMean, target: RunningMean) -> tuple[Tensor, Tensor]:
    """Return the mean to subtract from each side; the joint mean if a side has fewer than 100 words.

    Returns
    -------
    tuple of Tensor
        (D,) float32 each, or scalars 0 if there are no words yet.
    """
    if min(source.count, target.count) < FEWEST_WORDS:
        joint = ((source.total + target.total) / max(source.count + target.count, 1)).float()
        return joint, joint
    return (source.total / source.count).float(), (target.total / target.count).float()


def word_plans(
    source: Sequence[WordVectors],
    target: Sequence[WordVectors],
    layer: int,
    config: WordAlignmentConfig,
    means: tuple[Tensor, Tensor] | None = None,
) -> list[Tensor]:
    r"""Return the transport plan between the words of each sentence pair.

    The cost of a link is one minus the cosine of the two word vectors, centered by ``means``, plus
    ``order_prior`` times :math:`|i / (n - 1) - j / (m - 1)|`; the mass 1 is distributed uniformly over seen words.

    Parameters
    ----------
    source, target
        Word vectors of the same number of sentences, with ``layer`` among their layers.
    layer
        Layer of the vectors.
    config
        ``epsilon``, ``relaxation`` and ``order_prior`` are used; epsilon 0 is solved exactly.
    means
        (D,) vectors, or scalars, subtracted from each side's words; ``None`` subtracts nothing.

    Returns
    -------
    list of Tensor
        (N, M) float32 each; 0 for unseen words, and 0 throughout if a side has no seen word.

    Raises
    ------
    NumericsError
        A vector or a mean is NaN or infinite.
    """
    shifts: tuple[Tensor | float, Tensor | float] = means or (0.0, 0.0)
    vectors = [
        pad_sequence([each.layers[layer] - shift for each in side], batch_first=True)
        for side, shift in zip((source, target), shifts, strict=True)
    ]
    if not all(bool(each.isfinite().all()) for each in vectors):
        raise NumericsError("word vectors hold NaN or infinity", "Check the model's weights.")
    seen = [pad_sequence([each.seen for each in side], batch_first=True) for side in (source, target)]
    shape = [(len(x.seen), len(y.seen)) for x, y in zip(source, target, strict=True)]
    a, b = (uniform_marginals(each) for each in seen)
    if not a.numel() or not b.numel():
        return [torch.zeros(size) for size in shape]
    cost = pairwise_cost(vectors[0], vectors[1])
    if config.order_prior:
        cost = cost + config.order_prior * order_prior(a, b)
    both = ((a.sum(1) > 0) & (b.sum(1) > 0))[:, None]
    a, b = torch.where(both, a, 0.0), torch.where(both, b, 0.0)
    result = solve(cost, a, b, epsilon=config.epsilon, relaxation=config.relaxation)
    return [plan[:n, :m] for plan, (n, m) in zip(result.plan, shape, strict=True)]
