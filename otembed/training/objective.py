"""From the loss configuration to the loss module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from sentence_transformers.sentence_transformer.losses import (
    GISTEmbedLoss,
    MatryoshkaLoss,
    MSELoss,
    MultipleNegativesRankingLoss,
)

from otembed.errors import ConfigError
from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
from otembed.losses.distillation import ProjectedMSELoss, SimilarityDistillationLoss
from otembed.losses.gather import processes
from otembed.training.teacher import LABEL, has_projection

if TYPE_CHECKING:
    from datasets.arrow_dataset import Dataset
    from sentence_transformers import SentenceTransformer
    from torch import nn

    from otembed.config.train import LossConfig


def build_loss(
    model: SentenceTransformer, config: LossConfig, guide: SentenceTransformer | None = None
) -> nn.Module:
    """Build the loss of ``config`` for ``model``; ``guide`` is the teacher of gist.

    Raises
    ------
    ConfigError
        A Matryoshka dimension exceeds the embedding dimension, or the guide has no usual tokenizer.
    """
    loss = _sentence_loss(model, config, guide) if config.sentence != "none" else None
    if config.alignment is not None:
        loss = OTAlignmentLoss(model, loss, config=config.alignment)
    elif config.contrastive is not None:
        loss = OTContrastiveLoss(model, loss, config=config.contrastive)
    assert loss is not None, "LossConfig rejects a loss without terms"
    if config.mini_batch_size is not None:
        loss = GradCacheLoss(model, loss, mini_batch_size=config.mini_batch_size)
    return loss


def pop_statistics(loss: nn.Module) -> dict[str, float]:
    """Return and reset the statistics of a loss's transport plans; empty for losses without plans."""
    found: dict[str, float] = getattr(loss, "pop_statistics", dict)()
    return found


def refuse_idle_terms(model: SentenceTransformer, loss: nn.Module, dataset: Dataset, prompt: str | None) -> None:
    """Run two pairs through the loss and reject a term that does not depend on any trained parameter.

    Raises
    ------
    ConfigError
        All parameters that a term depends on are frozen.
    """
    if isinstance(loss, GradCacheLoss):
        loss = loss.loss
    rows = dataset[:2]
    columns = [model.preprocess(texts, prompt=prompt) for name, texts in rows.items() if name != LABEL]
    labels = torch.tensor(rows[LABEL], device=model.device) if LABEL in rows else None
    value = loss([{key: _to(each, model.device) for key, each in column.items()} for column in columns], labels)
    terms = value if isinstance(value, dict) else {"sentence": value}
    pop_statistics(loss)
    for name, term in terms.items():
        if not term.requires_grad:
            raise ConfigError(
                f"the {name} term of the loss does not depend on any trained parameter",
                "Freeze fewer parts (model.freeze), or choose a layer above them (loss.alignment.layer, loss.contrastive.layer).",
            )


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _sentence_loss(model: SentenceTransformer, config: LossConfig, guide: SentenceTransformer | None) -> nn.Module:
    # Without other processes, the library warns.
    spread = config.gather_across_devices and processes() > 1
    if config.sentence == "mse":
        return (ProjectedMSELoss if has_projection(model) else MSELoss)(model)
    if config.sentence == "distill":
        return SimilarityDistillationLoss(model, temperature=config.temperature, symmetric=config.symmetric)
    if config.sentence == "gist":
        assert guide is not None, "the recipe loads the teacher"
        try:
            return GISTEmbedLoss(model, guide, temperature=config.temperature, gather_across_devices=spread)
        except ValueError as error:
            raise ConfigError(
                f"loss.teacher cannot guide: {error}", "Choose a transformer as the teacher."
            ) from error
    both_ways: tuple[Literal["query_to_doc", "doc_to_query"], ...] = ("query_to_doc", "doc_to_query")
    loss: nn.Module = MultipleNegativesRankingLoss(
        model,
        scale=1 / config.temperature,
        directions=both_ways if config.symmetric else both_ways[:1],
        partition_mode="per_direction" if config.symmetric else "joint",
        gather_across_devices=spread,
    )
    if config.matryoshka_dims:
        full = model.get_embedding_dimension() or 0
        if max(config.matryoshka_dims) > full:
            raise ConfigError(
                f"loss.matryoshka_dims = {list(config.matryoshka_dims)}: the model has {full} dimensions",
                f"Use dimensions of at most {full}.",
            )
        dimensions = sorted({full, *config.matryoshka_dims}, reverse=True)
        loss = MatryoshkaLoss(model, loss, matryoshka_dims=dimensions)
    return loss
