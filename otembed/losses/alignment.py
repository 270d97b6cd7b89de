"""Optimal-transport alignment of the units of parallel sentences, as a sentence-transformers loss.

Axes: B sentence pairs, T tokens, N source units, M target units, D dimension.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from otembed.config.loss import AlignmentConfig, AnchorConfig
from otembed.errors import ConfigError
from otembed.losses.citations import citations_of
from otembed.losses.encoder import Encoder, Features
from otembed.losses.parts import PlanCounts, refuse_cached, wrapped_terms
from otembed.losses.transport import UnitTransport
from otembed.losses.units import UnitReader, Units
from otembed.transport import TransportStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger(__name__)


class OTAlignmentLoss(nn.Module):
    r"""Align the two columns of parallel sentences unit by unit through an optimal-transport plan.

    .. math:: w \cdot \frac{1}{B} \sum_i OT_\varepsilon(\mu_i, \nu_i)
        \; [+\; w_a \cdot \mathrm{mean}\,|c - c_0|^2] \; [+\; \text{inner loss}]

    :math:`\mu_i, \nu_i` are the contextual vectors of the source and the target units (words or tokens)
    of pair *i*; :math:`c, c_0` the target units under the trained and under the starting model. OT is any
    problem of :func:`otembed.transport.solve`: entropic or exact, balanced, relaxed on one side or both,
    partial, with an order prior or with null units (:func:`otembed.transport.add_null_units`).

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    loss
        Any other loss on the same columns (``MultipleNegativesRankingLoss``, ``MatryoshkaLoss``,
        ``MSELoss``, ``MultiVectorMultipleNegativesRankingLoss``, ...); it shares one encoder pass with the
        alignment. ``None``: alignment alone.
    config
        All knobs; see :class:`otembed.config.AlignmentConfig`, where each is explained once.
    idf_sentences
        Sentences to count document frequencies in (marginals: idf).
    **knobs
        Single knobs in place of, or on top of ``config``.

    Requirements
    ------------
    1. Parallel sentences in the first two columns; the second is the target side, the one anchored.
    2. Batches of one language pair (``center`` subtracts each side's mean).

    Inputs
    ------
    (source, target) pairs, any further columns and labels that ``loss`` takes.

    Notes
    -----
    ``forward`` returns a dict of weighted scalars whose sum is the loss: ``alignment``, ``anchor`` if it
    is on, and the wrapped loss as ``sentence`` (its own components as ``sentence_<name>``). Gradients
    reach the encoder by the envelope theorem; the Sinkhorn loop is not recorded. Transport is computed
    in float32 under any autocast. Special, prompt and padding tokens carry no mass. A pair without units
    on one side adds nothing. In a MultiVectorEncoder the last layer (-1) means the vectors that it scores with,
    after projection and normalization; query expansion tokens and tokens that it does not score carry no mass.
    The loss has no parameters. The anchor's frozen starting model shares the storage of every parameter that is
    frozen when the loss is made, so freeze first. Alone and without an anchor the space can collapse; a warning
    says so.

    Raises
    ------
    ConfigError
        Unknown knob, value out of range, knobs that exclude each other, missing layer, cached inner loss, idf
        without sentences.
    ModelError
        The model has no token states, or ``loss`` does not embed both columns.

    References
    ----------
    Alqahtani et al., Findings of EMNLP 2021, arXiv 2110.02887.

    Examples
    --------
    ::

        inner = MultipleNegativesRankingLoss(model)
        loss = OTAlignmentLoss(model, inner, unit="word", epsilon=0.05, weight=0.5)
    """

    def __init__(
        self,
        model: Encoder,
        loss: nn.Module | None = None,
        *,
        config: AlignmentConfig | None = None,
        idf_sentences: Sequence[str] | None = None,
        **knobs: Any,
    ) -> None:
        super().__init__()
        self.config = replace(config or AlignmentConfig(), **knobs)
        refuse_cached(loss)
        self.model = model
        self.loss = loss
        self._transport = UnitTransport(self.config)
        self._reader = UnitReader(
            model,
            unit=self.config.unit,
            word_pooling=self.config.word_pooling,
            layer=self.config.layer,
            marginals=self.config.marginals,
            idf_sentences=idf_sentences,
        )
        # In a list, so that its weights are no parameters or state of this module.
        self._reference = [self._reader.frozen(model)] if self.config.anchor else []
        self._counts = PlanCounts()
        if loss is None and self.config.anchor is None:
            logger.warning(
                "Alignment alone, without an anchor, can collapse the space: wrap a loss or set `anchor`."
            )

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of one batch: a dict of weighted scalars."""
        columns = list(sentence_features)
        if len(columns) < 2:
            raise ConfigError(f"expected two columns of sentences, got {len(columns)}", "Give source and target.")
        with self._reader.recording(self.model) as passes:
            terms = wrapped_terms(self.model, self.loss, columns, labels)
        source, target = (self._reader.units(columns[side], passes, side) for side in (0, 1))
        with torch.autocast(source.vectors.device.type, enabled=False):
            plan = self._transport(source, target)
            filled = plan.status != TransportStatus.EMPTY
            terms["alignment"] = self.config.weight * plan.value.sum() / filled.sum().clamp_min(1)
        if self.config.anchor is not None:
            terms["anchor"] = self._anchored(self.config.anchor, columns[1], target)
        self._counts.add(plan.status, plan.iterations)
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

    def _anchored(self, anchor: AnchorConfig, features: Features, target: Units) -> Tensor:
        """Squared distance of the target units to where the starting model puts them, weighted."""
        reference = self._reference[0].to(features["input_ids"].device)
        origin = self._reader.reference(reference, features, target.ids)
        with torch.autocast(origin.device.type, enabled=False):
            moved = (target.vectors - origin.to(target.vectors.dtype)).square().sum()
            if anchor.reduction == "mean":
                moved = moved / (target.ids.amax(1) + 1).sum().clamp_min(1)
            return anchor.weight * moved
