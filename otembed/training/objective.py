"""From the loss configuration to the loss module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from otembed.errors import ConfigError
from otembed.losses import OTAlignmentLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer
    from torch import nn

    from otembed.config import LossConfig


def build_loss(model: SentenceTransformer, config: LossConfig, idf_sentences: Sequence[str] = ()) -> nn.Module:
    """Build the loss that ``config`` names around ``model``.

    Raises
    ------
    ConfigError
        If a Matryoshka dimension exceeds the model's.
    """
    sentence = _sentence_loss(model, config) if config.sentence != "none" else None
    if config.alignment is None:
        assert sentence is not None, "LossConfig refuses a loss without terms"
        return sentence
    return OTAlignmentLoss(model, sentence, config=config.alignment, idf_sentences=idf_sentences)


def _sentence_loss(model: SentenceTransformer, config: LossConfig) -> nn.Module:
    both_ways: tuple[Literal["query_to_doc", "doc_to_query"], ...] = ("query_to_doc", "doc_to_query")
    loss: nn.Module = MultipleNegativesRankingLoss(
        model,
        scale=config.scale,
        directions=both_ways if config.symmetric else both_ways[:1],
        partition_mode="per_direction" if config.symmetric else "joint",
    )
    if config.matryoshka:
        full = model.get_embedding_dimension() or 0
        if max(config.matryoshka) > full:
            raise ConfigError(
                f"loss.matryoshka = {list(config.matryoshka)}: the model has {full} dimensions",
                f"Use dimensions up to {full}.",
            )
        dimensions = sorted({full, *config.matryoshka}, reverse=True)
        loss = MatryoshkaLoss(model, loss, matryoshka_dims=dimensions)
    return loss
