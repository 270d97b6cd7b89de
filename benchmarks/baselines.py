"""Baseline objectives that are not part of the library: linked words, distillation, simpler labels, and two against noise.

Axes: B sentence pairs, N source units, M target units, D dimension.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MSELoss
from torch import Tensor, nn

from otembed.losses import OTAlignmentLoss
from otembed.losses.encoder import EncoderTap
from otembed.losses.units import UnitReader, Units
from otembed.models import frozen_copy
from otembed.transport import TransportPlan, TransportStatus, center, pairwise_cost, solve
from otembed.words import WordSegmenter, pool_units


def mutual_links(similarity_BNM: Tensor, mask_BN: Tensor, mask_BM: Tensor) -> Tensor:
    """Cells (B, N, M) bool that are the largest in their row and in their column.

    >>> similarity = torch.tensor([[[0.9, 0.8], [0.7, 0.1]]])
    >>> mutual_links(similarity, torch.ones(1, 2).bool(), torch.ones(1, 2).bool()).int().tolist()
    [[[1, 0], [0, 0]]]
    """
    real = mask_BN[:, :, None] & mask_BM[:, None, :]
    scores = similarity_BNM.masked_fill(~real, -torch.inf)
    return real & (scores == scores.amax(2, keepdim=True)) & (scores == scores.amax(1, keepdim=True))


def mutual_labels(cost_BNM: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Links (B, N, M) of mutual nearest neighbors, each with the smaller of its words' masses (B, N) and (B, M)."""
    return mutual_links(-cost_BNM, a > 0, b > 0) * torch.minimum(a[:, :, None], b[:, None])


class LinkedWordsLoss(nn.Module):
    r"""Squared distance of linked words, with the target side anchored to the starting model.

    .. math:: \operatorname{mean}_{(i, j) \in A} |x_i - y_j|^2 + \operatorname{mean}_j |y_j - y^0_j|^2

    The links A are the mutual argmax of the centered cosine under the current model, without gradient.

    References
    ----------
    The objective of Cao, Kitaev and Klein, Multilingual alignment of contextual word representations, ICLR 2020, who
    sum over the links of a statistical aligner.
    """

    def __init__(self, model: SentenceTransformer, layer: int = -1) -> None:
        super().__init__()
        self.model = model
        self._tap = EncoderTap(model, layer)
        self._segment = WordSegmenter(model.tokenizer)
        self._reference = [frozen_copy(model)[0]]

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms ``links`` and ``anchor``."""
        columns = list(sentence_features)
        with self._tap.recording(self.model, columns) as passes:
            for features in columns:
                self.model(features)
        sides = [self._tap.states(columns[side], passes, side) for side in (0, 1)]
        ids = [self._segment(side.input_ids, side.content) for side in sides]
        (x, mask_x), (y, mask_y) = (pool_units(side.states, each) for side, each in zip(sides, ids, strict=True))
        with torch.no_grad():
            directions = [
                nn.functional.normalize(center(units, mask), dim=-1) for units, mask in ((x, mask_x), (y, mask_y))
            ]
            links = mutual_links(directions[0] @ directions[1].mT, mask_x, mask_y)
            start = self._tap.reference(self._reference[0].to(y.device), columns[1])
            origin, _ = pool_units(start, ids[1])
        row, i, j = links.nonzero(as_tuple=True)
        apart = (x[row, i] - y[row, j]).square().sum() / max(len(row), 1)
        moved = (y - origin).square().sum() / mask_y.sum().clamp_min(1)
        return {"links": apart, "anchor": moved}


class DistillationLoss(nn.Module):
    """Pull both sides toward the starting model's vectors of the target side (Reimers and Gurevych, EMNLP 2020)."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        self._loss = MSELoss(model)
        self._teacher = [frozen_copy(model)]

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> Tensor:
        """Mean squared error of both sides' sentence vectors, times the dimension."""
        columns = list(sentence_features)
        with torch.no_grad():
            teacher = self._teacher[0].to(columns[1]["input_ids"].device)
            wanted = teacher(dict(columns[1]))["sentence_embedding"]
        # The mean over 384 components of unit vectors is too small for AdamW's epsilon and the digits of the log.
        error: Tensor = self._loss(columns, wanted) * wanted.shape[1]
        return error


def transported(source: Units, target: Units, share: float | None) -> tuple[Tensor, TransportPlan]:
    """Return costs (B, N, M) between the centered units of each pair, and their plans; balanced, or partial by ``share``."""
    both = ((source.masses.sum(1) > 0) & (target.masses.sum(1) > 0))[:, None]
    a, b = torch.where(both, source.masses, 0), torch.where(both, target.masses, 0)
    cost = pairwise_cost(center(source.vectors, a > 0), center(target.vectors, b > 0), metric="cosine")
    return cost, solve(cost, a, b, epsilon=0.05, share=share)


class PartialTransportLoss(nn.Module):
    """Another loss plus the cost of partial transport between the words of each pair, from the same encoder pass.

    As :class:`otembed.OTAlignmentLoss`, except that only ``share`` of the mass must find a counterpart.
    """

    def __init__(self, model: SentenceTransformer, loss: nn.Module, layer: int = -1, share: float = 0.6) -> None:
        super().__init__()
        self.model, self.loss, self.share = model, loss, share
        self._reader = UnitReader(model, unit="word", word_pooling="mean", layer=layer)

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms ``sentence`` and ``alignment``."""
        columns = list(sentence_features)
        with self._reader.recording(self.model, columns) as passes:
            sentence = self.loss(columns, labels)
        source, target = (self._reader.units(columns[side], passes, side) for side in (0, 1))
        with torch.autocast(source.vectors.device.type, enabled=False):
            _, plan = transported(source, target, self.share)
            filled = (plan.status != TransportStatus.EMPTY).sum().clamp_min(1)
            return {"sentence": sentence, "alignment": plan.value.sum() / (self.share * filled)}


class LabeledWordsLoss(OTAlignmentLoss):
    """:class:`otembed.OTAlignmentLoss` with ``objective="ranking"`` and its defaults, except that labels need no transport.

    - ``mutual``: words that are each other's nearest, under the current model; a link has the smaller of their masses.
    - ``every``: each word of the other side, by its mass: the plan at infinite regularization, which knows sentences only.

    ``layer`` is the hidden layer that the labels come from. The plans are still solved, for their statistics.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        loss: nn.Module,
        labels: Literal["mutual", "every"],
        weight: float,
        layer: int = -1,
    ) -> None:
        super().__init__(model, loss, objective="ranking", weight=weight, label_layer=layer)
        self.labels = labels

    def _labels(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> TransportPlan:
        return replace(super()._labels(x, y, a, b), plan=self.plan(x, y, a, b))

    def plan(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the labels (B, N, M) of units (B, N, D) and (B, M, D) with masses (B, N) and (B, M)."""
        if self.labels == "every":
            return a[:, :, None] * b[:, None]
        return mutual_labels(pairwise_cost(x, y, metric=self.config.cost), a, b)


class WeightedRankingLoss(nn.Module):
    r"""MNRL in both directions, where a pair whose words are costly to transport counts less.

    .. math:: L = \frac{\sum_i w_i \ell_i}{\sum_i w_i}, \qquad w_i = \sigma\big((\operatorname{median}_j c_j - c_i) / t\big)

    :math:`\ell_i` is the term of pair i in :class:`MultipleNegativesRankingLoss`, and :math:`c_i` the cost of its plan per
    unit of mass under the current model, without gradient. Every pair keeps its sides as negatives of the others.

    Parameters
    ----------
    layer
        Hidden layer of the words.
    share
        Share of the mass that is transported, so that a side that was cut off in part does not cost more; ``None``: all.
    temperature
        t, in units of the cost (1 - cosine).
    scale
        Factor of the cosines between sentences, as in MNRL.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        layer: int = -1,
        share: float | None = None,
        temperature: float = 0.1,
        scale: float = 20.0,
    ) -> None:
        super().__init__()
        self.model, self.share, self.temperature, self.scale = model, share, temperature, scale
        self._reader = UnitReader(model, unit="word", word_pooling="mean", layer=layer)

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> Tensor:
        """Return the weighted mean over the pairs."""
        columns = list(sentence_features)
        with self._reader.recording(self.model, columns) as passes:
            x, y = (nn.functional.normalize(self.model(each)["sentence_embedding"], dim=1) for each in columns)
        weights = self.weights(*(self._reader.units(columns[side], passes, side) for side in (0, 1)))
        scores = self.scale * (x @ y.T).float()
        places = torch.arange(len(scores), device=scores.device)
        terms = [nn.functional.cross_entropy(each, places, reduction="none") for each in (scores, scores.T)]
        return (weights * (terms[0] + terms[1]) / 2).sum() / weights.sum()

    @torch.no_grad()
    def weights(self, source: Units, target: Units) -> Tensor:
        """Return the weights (B,) of the pairs; .5 at the median, and for a pair with an empty side."""
        with torch.autocast(source.vectors.device.type, enabled=False):
            cost, plan = transported(source, target, self.share)
            costs = (plan.plan * cost).sum((1, 2)) / (self.share or 1.0)
            filled = plan.status != TransportStatus.EMPTY
            if not filled.any():
                return torch.full_like(costs, 0.5)
            median = costs[filled].quantile(0.5)
            return torch.sigmoid((median - torch.where(filled, costs, median)) / self.temperature)
