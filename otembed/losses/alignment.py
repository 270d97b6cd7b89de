"""Optimal-transport alignment of the units of parallel sentences, as a sentence-transformers loss.

Axes: B sentence pairs, T tokens, N source units, M target units, D dimension.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from otembed.config.keywords import config_or_keywords
from otembed.config.loss import AlignmentConfig, AnchorConfig
from otembed.losses.encoder import Encoder, Features, unwrap
from otembed.losses.parts import PlanLoss, pair_columns, wrapped_terms
from otembed.losses.ranking import plan_cross_entropy
from otembed.losses.transport import UnitTransport
from otembed.losses.units import UnitReader, Units
from otembed.models.architecture import depth_of, layer_index
from otembed.transport import CostScale, Metric, Relaxation, TransportPlan, TransportStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger(__name__)


class OTAlignmentLoss(PlanLoss):
    r"""Align the two columns of parallel sentences unit by unit through an optimal-transport plan.

    .. math:: w \cdot \frac{1}{B} \sum_i OT_\varepsilon(\mu_i, \nu_i)
        \; [+\; w_a \cdot \mathrm{mean}\,|c - c_0|^2] \; [+\; \text{wrapped loss}]

    :math:`\mu_i, \nu_i` are the contextual vectors of the source and target units (words or tokens) of pair *i*;
    :math:`c, c_0` are the target units under the trained and the starting model. OT is entropic or exact, balanced
    or relaxed on one or both sides, optionally debiased or with an order prior.

    With ``objective="ranking"``, the plans :math:`P_i` are labels, without gradient, and the first term is

    .. math:: -\frac{w}{2 \sum P} \sum_{i,m,n} P_{imn} \Big(\log \frac{e^{-c_{im,in} / \tau}}{\sum_k e^{-c_{im,k} / \tau}}
        + \log \frac{e^{-c_{im,in} / \tau}}{\sum_k e^{-c_{k,in} / \tau}}\Big)

    where c is the cost between source unit m and target unit n, and k goes over the candidates. The plans may be those of
    another layer. A unit that a relaxed plan leaves unmatched contributes nothing. Unlike the cost, the ranking loss does
    not fall as all units become alike, so it cannot collapse the space.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    loss
        Another loss on the same columns (``MultipleNegativesRankingLoss``, ``MatryoshkaLoss``, ``MSELoss``,
        ``MultiVectorMultipleNegativesRankingLoss``, ...), computed from the same encoder pass. ``None``: alignment
        only.
    config
        All settings below as one :class:`otembed.config.AlignmentConfig`, instead of keywords.
    unit
        Unit that is transported: ``word``, or ``token`` for subwords.
    word_pooling
        How tokens are pooled into a word: ``mean``, ``first`` or ``last``.
    layer
        Hidden layer of the vectors: 0 the embeddings, 1 the first layer; negative from the end; ``middle``: at 7/12 of
        the depth.
    objective
        ``cost``: minimize the cost of the plans. ``ranking``: each unit ranks its counterpart in the plan first.
    temperature
        Divisor of the costs before the softmax, for ``objective="ranking"``.
    candidates
        What each unit ranks, for ``objective="ranking"``: the units of the other side in the whole ``batch``, or in
        its ``pair``.
    label_layer
        Hidden layer of the vectors that the plans are computed from, for ``objective="ranking"``; ``None``: ``layer``. A middle
        layer often tells counterparts more reliably than the last.
    max_cells
        Costs between the units of a batch that are computed at a time, for ``candidates="batch"``: more are computed in
        blocks, and again in the backward pass. Bounds memory, not the result.
    scope
        ``pair``: one OT problem per sentence pair; ``batch``: one over all units of the batch, as in the paper;
        each sentence has the same mass, shared equally by its units.
    cost
        Ground cost between two units, see :func:`otembed.transport.pairwise_cost`.
    center
        Subtract the batch mean of each side before computing the cost.
    cost_scale
        Divide the cost by its standard deviation (``std``) or maximum (``max``); ``None``: no scaling.
    epsilon
        Entropic regularization, in units of the (scaled) cost; 0 for exact transport on the CPU.
    relaxation
        KL penalty on the marginals (unbalanced OT), for both sides or as a pair (source, target), where ``None`` is a
        constraint and 0 a free side. ``None``: balanced.
    order_prior
        Weight of the distance between relative positions, added to the (scaled) cost; requires ``scope="pair"``.
    debiased
        Use the Sinkhorn divergence, which subtracts the transport cost of each side to itself.
    weight
        Weight of the alignment term.
    tol, max_iter
        Marginal error at which a plan counts as converged, and maximum number of Sinkhorn iterations.
    anchor
        Keep the target units near those of the starting model: an :class:`otembed.config.AnchorConfig` or a dict of its
        settings, ``{}`` for the defaults. ``None``: no anchor.

    Requirements
    ------------
    1. Parallel sentences in the first two columns; the second is the target side, which the anchor applies to.
    2. Batches of a single language pair, since ``center`` subtracts the mean of each side.

    Inputs
    ------
    +------------------------------------------+-----------------------------+
    | Texts                                    | Labels                      |
    +==========================================+=============================+
    | (source, target) pairs                   | none                        |
    +------------------------------------------+-----------------------------+
    | further columns that ``loss`` requires   | as ``loss`` requires        |
    +------------------------------------------+-----------------------------+

    Recommendations
    ---------------
    - Wrap a sentence-level loss or set ``anchor``: the cost alone can collapse the space, and logs a warning.
    - Freeze parameters before creating the loss: the frozen starting model of the anchor shares their storage.

    Relations
    ---------
    :class:`OTContrastiveLoss` uses the same transport value to rank the batch, and cannot collapse.
    :class:`GradCacheLoss` can wrap this loss, to train with larger batches.

    Notes
    -----
    ``forward`` returns a dict of weighted scalars whose sum is the loss: ``alignment``, ``anchor`` if set, and the
    wrapped loss as ``sentence`` (its components as ``sentence_<name>``). Gradients reach the encoder by the envelope
    theorem; the Sinkhorn iterations are not recorded. Transport is computed in float32 under autocast. Special,
    prompt and padding tokens have no mass. A pair without units on one side is left out of the mean. In a
    MultiVectorEncoder, layer -1 is the vectors used for scoring, after projection and normalization; query expansion
    tokens and tokens that are not scored have no mass. With several processes, each one centers and ranks the units of
    its own batch. The loss has no parameters.

    Raises
    ------
    ConfigError
        A value out of range, mutually exclusive settings, a layer that the model does not have, or a wrapped loss
        with a gradient cache. ConfigError is a ValueError.
    ModelError
        The model does not expose token states, or ``loss`` does not embed both columns.

    References
    ----------
    Alqahtani et al., Findings of EMNLP 2021, arXiv 2110.02887. Plans as labels: Chi et al., Improving pretrained cross-lingual
    language models via self-labeled word alignment, ACL 2021, arXiv 2106.06381, who classify the masked words of a pair.

    Examples
    --------
    ::

        model = SentenceTransformer("intfloat/multilingual-e5-small")
        inner = MultipleNegativesRankingLoss(model)
        loss = OTAlignmentLoss(model, inner, unit="word", epsilon=0.05, weight=0.5)
        trainer = SentenceTransformerTrainer(model, train_dataset=pairs, loss=loss)
    """

    config: AlignmentConfig

    @config_or_keywords(AlignmentConfig)
    def __init__(
        self,
        model: Encoder,
        loss: nn.Module | None = None,
        *,
        config: AlignmentConfig | None = None,
        unit: Literal["word", "token"] = "word",
        word_pooling: Literal["mean", "first", "last"] = "mean",
        layer: int | Literal["middle"] = -1,
        objective: Literal["cost", "ranking"] = "cost",
        temperature: float = 0.1,
        candidates: Literal["batch", "pair"] = "batch",
        label_layer: int | Literal["middle"] | None = None,
        max_cells: int = 2**24,
        scope: Literal["pair", "batch"] = "pair",
        cost: Metric = "cosine",
        center: bool = True,
        cost_scale: CostScale | None = None,
        epsilon: float = 0.05,
        relaxation: Relaxation = None,
        order_prior: float = 0.0,
        debiased: bool = False,
        weight: float = 0.1,
        tol: float = 1e-4,
        max_iter: int = 2000,
        anchor: AnchorConfig | dict[str, Any] | None = None,
    ) -> None:
        assert config is not None  # config_or_keywords passes it
        super().__init__(model, loss, config)
        self._transport = UnitTransport(self.config)
        self._readers = [self._reader]  # of the units, and of those that label them if they are of another layer
        if self.config.label_layer is not None:
            layer_index(self.config.label_layer, depth_of(unwrap(model)), name="label_layer")
            self._readers.append(
                UnitReader(
                    model,
                    unit=self.config.unit,
                    word_pooling=self.config.word_pooling,
                    layer=self.config.label_layer,
                )
            )
        # In a list, so that its weights are not parameters or state of this module.
        self._reference = [self._reader.frozen(model)] if self.config.anchor else []
        if self.config.objective == "cost" and loss is None and self.config.anchor is None:
            logger.warning(
                "Alignment alone, without an anchor, can collapse the space: wrap a loss or set `anchor`."
            )

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of one batch: a dict of weighted scalars."""
        columns = pair_columns(sentence_features)
        with ExitStack() as recording:
            passes = [recording.enter_context(each.recording(self.model, columns)) for each in self._readers]
            terms = wrapped_terms(self.model, self.loss, columns, labels)
        sides = [
            [reader.units(columns[side], found, side) for side in (0, 1)]
            for reader, found in zip(self._readers, passes, strict=True)
        ]
        target = sides[0][1]
        with torch.autocast(target.vectors.device.type, enabled=False):
            value, plan = self._ranked(sides) if self.config.objective == "ranking" else self._cost(*sides[0])
            terms["alignment"] = self.config.weight * value
        if self.config.anchor is not None:
            terms["anchor"] = self._anchored(self.config.anchor, columns[1], target)
        self._counts.add(plan.status, plan.iterations)
        return terms

    def _cost(self, source: Units, target: Units) -> tuple[Tensor, TransportPlan]:
        """Return the mean cost of the plans, and the plans."""
        plan = self._transport(source, target)
        filled = plan.status != TransportStatus.EMPTY
        return plan.value.sum() / filled.sum().clamp_min(1), plan

    def _ranked(self, sides: Sequence[Sequence[Units]]) -> tuple[Tensor, TransportPlan]:
        """Return the cross-entropy of the first units of both sides, and the plans between the last, which label them."""
        clouds = [self._transport.clouds(*each) for each in sides]
        with torch.no_grad():
            plan = self._labels(*clouds[-1])
        value = plan_cross_entropy(
            *clouds[0],
            plan.plan,
            metric=self.config.cost,
            temperature=self.config.temperature,
            candidates=self.config.candidates,
            max_cells=self.config.max_cells,
        )
        return value, plan

    def _labels(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> TransportPlan:
        """Return the plans between clouds that say which units are counterparts."""
        return self._transport.solve(x, y, a, b)

    def _anchored(self, anchor: AnchorConfig, features: Features, target: Units) -> Tensor:
        """Return the weighted squared distance of the target units to those of the starting model."""
        reference = self._reference[0].to(features["input_ids"].device)
        origin = self._reader.reference(reference, features, target.ids)
        with torch.autocast(origin.device.type, enabled=False):
            moved = (target.vectors - origin.to(target.vectors.dtype)).square().sum()
            if anchor.reduction == "mean":
                moved = moved / (target.ids.amax(1) + 1).sum().clamp_min(1)
            return anchor.weight * moved
