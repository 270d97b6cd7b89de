"""Freeze parts of an encoder, and copy a frozen reference without duplicating frozen weights."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sentence_transformers.base.modules import Router
from torch import nn

from otembed.errors import ModelError, did_you_mean
from otembed.models.architecture import count_parameters, find_embeddings, find_layers, transformer_of
from otembed.models.lora import has_adapter
from otembed.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base import BaseModel
    from transformers import PreTrainedModel

Model = TypeVar("Model", bound="BaseModel")
PARTS = ("embeddings", "layers:N")


@dataclass(frozen=True)
class FreezeSummary(Result):
    """Number of trained and frozen parameters, and the size of each frozen part."""

    trained: int
    frozen: int
    groups: dict[str, int]


def freeze(model: BaseModel | PreTrainedModel, parts: Sequence[str]) -> FreezeSummary:
    """Set ``requires_grad`` to False for the given parts of ``model``.

    Parameters
    ----------
    model
        A sentence-transformers model around a transformer, or a transformers model; changed in place.
    parts
        Any of ``"embeddings"`` (the input embedding matrix with positions, token types and their
        LayerNorm) and ``"layers:N"`` (the first ``N`` encoder layers). All parts are checked before any
        is frozen. Dropout in frozen parts follows ``train()``.

    Returns
    -------
    FreezeSummary
        Parameter counts after freezing; tied parameters count once.

    Raises
    ------
    ModelError
        If a part is unknown, the model has no transformer, no embeddings or list of layers is found, or
        ``N`` is not between 1 and the number of layers.

    Examples
    --------
    >>> freeze(model, ["embeddings", "layers:6"])  # doctest: +SKIP
    FreezeSummary(trained=10794624, frozen=106859136, groups={'embeddings': 96212352, 'layers:6': 10646784})
    """
    groups = {part: _modules_of(model, part) for part in parts}
    for modules in groups.values():
        modules.requires_grad_(False)
    total, trained = count_parameters(model), count_parameters(model, trainable_only=True)
    sizes = {part: count_parameters(modules) for part, modules in groups.items()}
    return FreezeSummary(trained=trained, frozen=total - trained, groups=sizes)


def frozen_copy(model: Model) -> Model:
    """Return a frozen copy of ``model`` in evaluation mode.

    Frozen parameters of ``model`` share their storage with the copy, so the reference model of an
    anchor needs memory only for the trained parameters, which are copied: training ``model`` does not
    change the copy. Moving ``model`` to another device or dtype, or unfreezing shared parameters,
    breaks the sharing, so copy after ``freeze`` and after placing the model. The tokenizer and the
    model card data are shared.
    """
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for parameter in model.parameters()
        if not parameter.requires_grad
    }
    # The card data refers to the trainer: a deep copy would include datasets and optimizer.
    memo[id(model.model_card_data)] = model.model_card_data
    memo[id(model.tokenizer)] = model.tokenizer
    reference = copy.deepcopy(model, memo)
    return reference.requires_grad_(False).eval()


def _modules_of(model: BaseModel | PreTrainedModel, part: str) -> nn.Module:
    """Return the modules of ``part``."""
    transformer = transformer_of(model)
    kind = type(transformer).__name__
    if part == "embeddings":
        embeddings = find_embeddings(transformer)
        if embeddings is None:
            raise ModelError(
                f"no input embeddings found in {kind}",
                "Remove 'embeddings' from freeze, or use another encoder.",
            )
        return embeddings
    match = re.fullmatch(r"layers:(\d+)", part)
    if match is None:
        raise ModelError(f"unknown part to freeze: {part!r}", did_you_mean(part, PARTS))
    layers = find_layers(transformer)
    if layers is None:
        raise ModelError(
            f"no list of layers found in {kind}",
            "Remove 'layers:N' from freeze: the architecture may share its layers.",
        )
    count = int(match.group(1))
    if not 1 <= count <= len(layers):
        raise ModelError(
            f"cannot freeze {part!r}: {kind} has {len(layers)} layers",
            f"Use layers:1 to layers:{len(layers)}.",
        )
    return layers[:count]


def check_trainable(model: SentenceTransformer) -> None:
    """Reject a model whose parts otembed cannot train, before any training starts.

    Raises
    ------
    ModelError
        The model has no transformer, a Router, which sends queries and documents through different modules, or an
        adapter, whose base weights are frozen.
    """
    transformer_of(model)
    if any(isinstance(module, Router) for module in model.modules()):
        raise ModelError(
            "the model has a Router, which requires a route for each column of the training data",
            "Train a model without a Router.",
        )
    if has_adapter(model):
        raise ModelError(
            "the model has an adapter (PEFT), and all of its weights are loaded for inference",
            "Merge the adapter first, by otembed export FOLDER MERGED, or by merge_adapter and save_model of otembed.models; then"
            " train MERGED, with model.lora for a new adapter.",
        )
