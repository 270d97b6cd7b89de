"""A transformers model with a new head on a copy of the encoder of a sentence-transformers model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from otembed.errors import ConfigError, ModelError
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.freeze import freeze
from otembed.tasks.heads.training import POOLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel


def with_head(
    model: SentenceTransformer,
    architecture: Any,
    *,
    head: str,
    max_length: int,
    seed: int,
    frozen: Sequence[str],
    labels: Sequence[str] = (),
) -> PreTrainedModel:
    """Return a model of an auto class of transformers with the encoder's weights, and a head initialized by the seed.

    Parameters
    ----------
    model
        The encoder; it is not modified. Pooling and later modules are not used.
    architecture
        Such as ``AutoModelForTokenClassification``.
    head
        Name of the head, for messages.
    max_length
        Maximum number of tokens of its inputs.
    frozen
        Parts to freeze, as for :func:`otembed.models.freeze.freeze`.
    labels
        Names of the classes; empty for the classes of the architecture.

    Raises
    ------
    ConfigError
        ``max_length`` exceeds the number of positions of the encoder.
    ModelError
        The architecture has no such head in transformers, or a frozen part is unknown.
    """
    encoder = transformer_of(model)
    limit = position_limit(encoder)
    if limit is not None and max_length > limit:
        raise ConfigError(
            f"max_length {max_length} exceeds the {limit} positions of the encoder", "Lower max_length."
        )
    config = copy.deepcopy(encoder.config)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: index for index, name in enumerate(labels)}
    set_seed(seed)
    try:
        made: Any = architecture.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ModelError(
            f"transformers has no {head} for {type(encoder).__name__}", "Choose a BERT-like encoder."
        ) from error
    inner = getattr(made, made.base_model_prefix)
    missing, unexpected = inner.load_state_dict(encoder.state_dict(), strict=False)
    strange = [*missing, *(name for name in unexpected if not name.startswith(POOLER))]
    if strange:
        raise ModelError(
            f"the weights of {type(encoder).__name__} do not match {type(made).__name__}: {strange[0]}",
            "Choose a BERT-like encoder.",
        )
    freeze(made, frozen)
    placed: PreTrainedModel = made.to(model.device)
    return placed
