"""In-batch contrastive learning with the score of optimal transport, as a sentence-transformers loss.

Axes: B sentence pairs, K candidates (the targets, then the hard negatives), N source units, M candidate units,
D dimension.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from otembed.config.keywords import config_or_keywords
from otembed.config.loss import ContrastiveConfig
from otembed.errors import ModelError
from otembed.losses.encoder import pass_of, unwrap
from otembed.losses.gather import gathered, mean_of_all, processes
from otembed.losses.parts import PlanLoss, cosines, pair_columns, wrapped_terms
from otembed.losses.units import Units
from otembed.transport import Metric, Relaxation, TransportStatus, all_pairs, center

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otembed.losses.encoder import Encoder, Features, Passes


class OTContrastiveLoss(PlanLoss):
    r"""Rank the translation of each sentence first in the batch, by the transport cost between their words.

    .. math:: s_{ij} = -OT_\varepsilon(\mu_i, \nu_j) \; [+\; w_s \cos(e_i, e_j)]

    .. math:: L = -\frac{w}{2B} \sum_i \Big(\log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ij} / \tau}}
        + \log \frac{e^{s_{ii} / \tau}}{\sum_k e^{s_{ki} / \tau}}\Big)

    :math:`\mu_i, \nu_j` are the contextual vectors of the units of source i and candidate j, :math:`e_i, e_j` their
    sentence vectors. Words that are translations of each other are pulled together and words of other sentences are
    pushed apart, so the space cannot collapse, and sentences are trained through their words.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    loss
        Another loss on the same columns, computed from the same encoder pass; ``None``: no other loss.
    config
        All settings below as one :class:`otembed.config.ContrastiveConfig`, instead of keywords.
    unit
        Unit that is transported: ``word``, or ``token`` for subwords.
    word_pooling
        How tokens are pooled into a word: ``mean``, ``first`` or ``last``.
    layer
        Hidden layer of the vectors: 0 the embeddings, 1 the first layer; negative from the end; ``middle``: at 7/12 of
        the depth.
    cost
        Ground cost between two units, see :func:`otembed.transport.pairwise_cost`.
    center
        Subtract the batch mean of each side before computing the cost.
    epsilon
        Entropic regularization, in units of the cost.
    relaxation
        KL penalty on the marginals (unbalanced OT), for both sides or as a pair (source, target). ``None``: balanced.
    temperature
        Divisor of the scores before they are ranked: of the sum, with ``sentence_weight``.
    sentence_weight
        Weight of the sentence vectors' cosine, added to the OT score; ``None``: words only.
    weight
        Weight of the contrastive term.
    gather_across_devices
        Rank the candidates of all processes in every process, as sentence-transformers' losses of this option do.
    max_cells
        Cost cells solved at a time: bounds memory, not the result.
    tol, max_iter
        Marginal error at which a plan counts as converged, and maximum number of Sinkhorn iterations.

    Requirements
    ------------
    1. Parallel sentences in the first two columns; further columns are hard negatives of the target side.
    2. Batches of a single language pair without duplicates (``batch_sampler="no_duplicates"``): all other targets of
       the batch count as negatives.

    Inputs
    ------
    +------------------------------------------+--------+
    | Texts                                    | Labels |
    +==========================================+========+
    | (source, target) pairs                   | none   |
    +------------------------------------------+--------+
    | (source, target, negative, ...) rows     | none   |
    +------------------------------------------+--------+

    Relations
    ---------
    :class:`OTAlignmentLoss` minimizes the transport value of each pair instead of ranking it.
    :class:`GradCacheLoss` can wrap this loss, for more negatives than memory allows.

    Notes
    -----
    ``forward`` returns a dict of weighted scalars whose sum is the loss: ``contrastive``, and the wrapped loss as
    ``sentence``. Hard negatives are ranked in the direction from source to target. All B K problems of a batch are
    solved in blocks of ``max_cells`` cost cells; the graph keeps their plans, B K N M numbers, and no vector is
    copied per pair. A sentence without units is ignored as source and as candidate. Gradients follow the envelope
    theorem. Computed in float32 under autocast. The loss has no parameters.

    With ``gather_across_devices``, each process solves the problems of its own sources against the candidates of all
    processes, and the scores are exchanged. Loss and, averaged as in DDP, gradients are those of one process with the
    whole batch; the processes must hold batches of the same language pair. Without it, negatives come from the same
    process.

    Raises
    ------
    ConfigError
        A value out of range, a layer that the model does not have, or a wrapped loss with a gradient cache.
        ConfigError is a ValueError.
    ModelError
        The model does not expose token states, or ``loss`` does not embed every column; with ``sentence_weight``, they
        compute no sentence vectors.

    References
    ----------
    In-batch negatives are ranked as in van den Oord et al., arXiv 1807.03748 (InfoNCE), by the transport value of
    Alqahtani et al., Findings of EMNLP 2021, arXiv 2110.02887.

    Examples
    --------
    ::

        model = SentenceTransformer("intfloat/multilingual-e5-small")
        loss = OTContrastiveLoss(model)
        trainer = SentenceTransformerTrainer(model, train_dataset=pairs, loss=loss)
    """

    config: ContrastiveConfig

    @config_or_keywords(ContrastiveConfig)
    def __init__(
        self,
        model: Encoder,
        loss: nn.Module | None = None,
        *,
        config: ContrastiveConfig | None = None,
        unit: Literal["word", "token"] = "word",
        word_pooling: Literal["mean", "first", "last"] = "mean",
        layer: int | Literal["middle"] = -1,
        cost: Metric = "cosine",
        center: bool = True,
        epsilon: float = 0.05,
        relaxation: Relaxation = None,
        temperature: float = 0.1,
        sentence_weight: float | None = 1.0,
        weight: float = 1.0,
        gather_across_devices: bool = False,
        max_cells: int = 2**21,
        tol: float = 1e-4,
        max_iter: int = 2000,
    ) -> None:
        assert config is not None  # config_or_keywords passes it
        super().__init__(model, loss, config)
        if config.sentence_weight is not None and isinstance(unwrap(model), MultiVectorEncoder):
            raise ModelError(
                "sentence_weight requires sentence vectors, and a MultiVectorEncoder has none",
                "Set sentence_weight to None, and temperature to half of its value.",
            )

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of one batch: a dict of weighted scalars."""
        columns = pair_columns(sentence_features)
        with self._reader.recording(self.model, columns) as passes:
            terms = wrapped_terms(self.model, self.loss, columns, labels)
        units = [self._reader.units(features, passes, place) for place, features in enumerate(columns)]
        with torch.autocast(units[0].vectors.device.type, enabled=False):
            spread = self.config.gather_across_devices and processes() > 1
            scores, missing = self._scores(units, spread)
            if self.config.sentence_weight is not None:
                scores = scores + self.config.sentence_weight * _sentence_scores(columns, passes, spread)
            if spread:
                # Rows that fill a smaller batch are missing, so that targets and sources have the same places.
                scores, missing = gathered(scores), ~gathered(~missing)
            terms["contrastive"] = self.config.weight * _ranking(scores / self.config.temperature, missing)
        return terms

    def _scores(self, units: Sequence[Units], spread: bool) -> tuple[Tensor, Tensor]:
        """Return scores (B, K), and a bool (B, K) that is True where a side has no units.

        With ``spread``, the K candidates are those of all processes: the targets of each, then the negatives of each.
        """
        settings = self.config
        if spread:
            units = [units[0], *(_from_all(each) for each in units[1:])]
        (x, a), (y, b) = _joined(units[:1]), _joined(units[1:])
        candidates = y
        if settings.center:
            y = center(y, b > 0)
            x = torch.where((a > 0)[:, :, None], x - mean_of_all(x, a), 0.0) if spread else center(x, a > 0)
        found = all_pairs(
            x,
            y,
            a,
            b,
            metric=settings.cost,
            epsilon=settings.epsilon,
            relaxation=settings.relaxation,
            tol=settings.tol,
            max_iter=settings.max_iter,
            max_cells=settings.max_cells,
        )
        self._counts.add(found.status, found.iterations)
        value = found.value
        if spread:  # every process takes part in the backward pass, also one whose sources have no units
            value = value + 0.0 * candidates.sum()
        return -value, found.status == TransportStatus.EMPTY


def _from_all(units: Units) -> Units:
    """Return the units of a column in all processes; sentences that fill a smaller batch have none."""
    return Units(gathered(units.vectors), gathered(units.masses.detach()), units.ids)


def _joined(units: Sequence[Units]) -> tuple[Tensor, Tensor]:
    """Concatenate the units of several columns: (K, U, D) and (K, U)."""
    width = max(each.vectors.shape[1] for each in units)
    vectors = [pad(each.vectors, (0, 0, 0, width - each.vectors.shape[1])) for each in units]
    masses = [pad(each.masses, (0, width - each.masses.shape[1])) for each in units]
    return torch.cat(vectors), torch.cat(masses)


def _sentence_scores(columns: Sequence[Features], passes: Passes, spread: bool) -> Tensor:
    """Return the cosine (B, K) of the sentence vectors of the recorded passes; K as in the scores."""
    found = [pass_of(features, passes, column) for column, features in enumerate(columns)]
    vectors = [each.sentences for each in found if each is not None and each.sentences is not None]
    if len(vectors) < len(columns):
        raise ModelError(
            "sentence_weight requires sentence vectors, but the model does not compute them",
            "Set sentence_weight to None, or add a pooling module to the model.",
        )
    source, *others = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in vectors)
    if spread:
        others = [gathered(each) for each in others]
    return cosines(source, torch.cat(others))


def _ranking(logits: Tensor, missing: Tensor) -> Tensor:
    """Return the mean cross-entropy of both directions, over the rows with units on both sides."""
    count = len(logits)
    logits = logits.masked_fill(missing, -math.inf)
    kept = (~missing[:, :count].diagonal()).nonzero()[:, 0]
    if not len(kept):
        return logits.new_zeros(()) * logits.masked_fill(missing, 0.0).sum()
    forward = cross_entropy(logits[kept], kept)
    backward = cross_entropy(logits[:, :count].mT[kept], kept)
    return (forward + backward) / 2.0
