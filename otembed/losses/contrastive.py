"""In-batch contrastive learning with the score of optimal transport, as a sentence-transformers loss.

Axes: B sentence pairs, K candidates (the targets, then the hard negatives), N source units, M candidate units,
D dimension.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, pad

from otembed.config.loss import ContrastiveConfig
from otembed.errors import ConfigError, ModelError
from otembed.losses.citations import citations_of
from otembed.losses.parts import PlanCounts, refuse_cached, wrapped_terms
from otembed.losses.units import UnitReader
from otembed.transport import TransportStatus, all_pairs, center

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otembed.losses.encoder import Encoder, Features
    from otembed.losses.units import Units


class OTContrastiveLoss(nn.Module):
    r"""Rank each sentence's translation first among the batch, by what its words cost to carry over.

    .. math:: s_{ij} = -OT_\varepsilon(\mu_i, \nu_j) \; [+\; w_s \cos(e_i, e_j)]

    .. math:: L = -\frac{w}{2B} \sum_i \Big(\log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ij} / \tau}}
        + \log \frac{e^{s_{ii} / \tau}}{\sum_k e^{s_{ki} / \tau}}\Big)

    :math:`\mu_i, \nu_j` are the contextual vectors of the units of source i and candidate j, :math:`e_i, e_j`
    their sentence vectors. Words that translate each other are drawn together and those of other sentences
    apart, so the space cannot collapse, and sentences are trained through their words.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    loss
        Any other loss on the same columns, which shares one encoder pass; ``None``: none.
    config
        All knobs; see :class:`otembed.config.ContrastiveConfig`, where each is explained once.
    idf_sentences
        Sentences to count document frequencies in (marginals: idf).
    **knobs
        Single knobs in place of, or on top of ``config``.

    Requirements
    ------------
    1. Parallel sentences in the first two columns; further columns are hard negatives of the target side.
    2. Batches of one language pair, without a sentence twice (``batch_sampler="no_duplicates"``): every other
       target counts as wrong.

    Inputs
    ------
    (source, target) pairs or (source, target, negative, ...) rows; no labels.

    Notes
    -----
    ``forward`` returns a dict of weighted scalars whose sum is the loss: ``contrastive``, and the wrapped loss as
    ``sentence``. Hard negatives are ranked in the direction from source to target. All B K problems of a batch
    are solved in blocks of ``max_cells`` cost cells; the graph keeps their plans, B K N M numbers, and no vector
    is copied for each pair. A sentence without units is left out, as source and as candidate. Gradients follow
    the envelope theorem. In float32 under any autocast. Negatives are those of the same process. The loss has no
    parameters.

    Raises
    ------
    ConfigError
        Unknown knob, value out of range, missing layer, cached inner loss, idf without sentences.
    ModelError
        The model has no token states, or ``loss`` does not embed every column.

    References
    ----------
    The ranking of in-batch negatives is that of van den Oord et al., arXiv 1807.03748 (InfoNCE); the score is the
    transport value of Alqahtani et al., Findings of EMNLP 2021, arXiv 2110.02887.

    Examples
    --------
    ::

        loss = OTContrastiveLoss(model, temperature=0.05, sentence_weight=1.0)
    """

    def __init__(
        self,
        model: Encoder,
        loss: nn.Module | None = None,
        *,
        config: ContrastiveConfig | None = None,
        idf_sentences: Sequence[str] | None = None,
        **knobs: Any,
    ) -> None:
        super().__init__()
        self.config = replace(config or ContrastiveConfig(), **knobs)
        refuse_cached(loss)
        self.model = model
        self.loss = loss
        self._reader = UnitReader(
            model,
            unit=self.config.unit,
            word_pooling=self.config.word_pooling,
            layer=self.config.layer,
            marginals=self.config.marginals,
            idf_sentences=idf_sentences,
        )
        self._counts = PlanCounts()

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of one batch: a dict of weighted scalars."""
        columns = list(sentence_features)
        if len(columns) < 2:
            raise ConfigError(f"expected two columns of sentences, got {len(columns)}", "Give source and target.")
        with self._reader.recording(self.model) as passes:
            terms = wrapped_terms(self.model, self.loss, columns, labels)
        units = [self._reader.units(features, passes, place) for place, features in enumerate(columns)]
        with torch.autocast(units[0].vectors.device.type, enabled=False):
            scores, missing = self._scores(units)
            if self.config.sentence_weight is not None:
                scores = scores + self.config.sentence_weight * _sentence_scores(columns)
            terms["contrastive"] = self.config.weight * _ranking(scores / self.config.temperature, missing)
        return terms

    def pop_statistics(self) -> dict[str, float]:
        """Return and reset what was seen of the plans; see :meth:`otembed.losses.parts.PlanCounts.pop`."""
        return self._counts.pop()

    def get_config_dict(self) -> dict[str, Any]:
        """Return the knobs and the wrapped loss for the model card."""
        return {**asdict(self.config), "loss": self.loss}

    @property
    def citation(self) -> str:
        """BibTeX of the method and of the solvers in use."""
        return citations_of(self.config)

    def _scores(self, units: Sequence[Units]) -> tuple[Tensor, Tensor]:
        """Scores (B, K), and a bool (B, K) that is True where a side has no units."""
        knobs = self.config
        (x, a), (y, b) = _joined(units[:1]), _joined(units[1:])
        if knobs.center:
            x, y = center(x, a > 0), center(y, b > 0)
        found = all_pairs(
            x,
            y,
            a,
            b,
            metric=knobs.cost,
            epsilon=knobs.epsilon,
            relaxation=knobs.relaxation,
            tol=knobs.tol,
            max_iter=knobs.max_iter,
            max_cells=knobs.max_cells,
        )
        self._counts.add(found.status, found.iterations)
        return -found.value, found.status == TransportStatus.EMPTY


def _joined(units: Sequence[Units]) -> tuple[Tensor, Tensor]:
    """Units of several columns below one another: (K, U, D) and (K, U)."""
    width = max(each.vectors.shape[1] for each in units)
    vectors = [pad(each.vectors, (0, 0, 0, width - each.vectors.shape[1])) for each in units]
    masses = [pad(each.masses, (0, width - each.masses.shape[1])) for each in units]
    return torch.cat(vectors), torch.cat(masses)


def _sentence_scores(columns: Sequence[Features]) -> Tensor:
    """Cosine (B, K) of the sentence vectors that the model has left in the features."""
    if any("sentence_embedding" not in features for features in columns):
        raise ModelError(
            "sentence_weight needs sentence vectors, and the wrapped loss left none in its columns",
            "Leave out sentence_weight, or the wrapped loss.",
        )
    vectors = [features["sentence_embedding"] for features in columns]
    source, *others = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in vectors)
    return cosine_similarity(source[:, None, :], torch.cat(others)[None, :, :], dim=2)


def _ranking(logits: Tensor, missing: Tensor) -> Tensor:
    """Mean cross-entropy of both directions, over the rows whose own pair is there."""
    count = len(logits)
    logits = logits.masked_fill(missing, -math.inf)
    kept = (~missing[:, :count].diagonal()).nonzero()[:, 0]
    if not len(kept):
        return logits.new_zeros(()) * logits.masked_fill(missing, 0.0).sum()
    forward = cross_entropy(logits[kept], kept)
    backward = cross_entropy(logits[:, :count].mT[kept], kept)
    return (forward + backward) / 2.0
