"""Find the parts of an encoder without knowing its architecture: transformer, embeddings, layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn
from transformers import PreTrainedModel

from otembed.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base import BaseModel


def transformer_of(model: BaseModel | PreTrainedModel) -> PreTrainedModel:
    """Return the transformers model inside ``model``, or ``model`` if it is one.

    Raises
    ------
    ModelError
        There is none, as in a bag of static word vectors.
    """
    if isinstance(model, PreTrainedModel):
        return model
    transformer = model.transformers_model
    if transformer is None:
        kinds = ", ".join(type(module).__name__ for module in model.children())
        raise ModelError(
            f"the model does not contain a transformer: its modules are {kinds or 'none'}",
            "Use a transformer encoder, such as offline:multilingual-e5-small.",
        )
    return transformer


def length_limit(model: BaseModel) -> int | None:
    """Return the number of tokens at which ``model`` truncates a text; None if it does not, as a bag of static word vectors."""
    length = model.max_seq_length
    return None if length == math.inf else length


def full_dimension(model: SentenceTransformer) -> int | None:
    """Return the dimension of the vectors that the modules compute, of which ``truncate_dim`` keeps the first ones."""
    truncated, model.truncate_dim = model.truncate_dim, None
    try:
        return model.get_embedding_dimension()
    finally:
        model.truncate_dim = truncated


def find_embeddings(transformer: nn.Module) -> nn.Module | None:
    """Return the block that turns token ids into the first hidden states, or None.

    This is the module that contains the input embedding matrix together with positions, token types and
    their LayerNorm (``BertEmbeddings`` and similar classes). If the matrix is a direct child of a module
    that also contains the layers, as in T5, only the matrix is returned.
    """
    try:
        # The method exists in transformers' models, but not in the type of a plain module.
        matrix: Any = transformer.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(matrix, nn.Module):
        return None
    for module in transformer.modules():
        if any(child is matrix for child in module.children()):
            owns_layers = any(isinstance(inner, nn.ModuleList) for inner in module.modules())
            return matrix if module is transformer or owns_layers else module
    return matrix


def find_layers(transformer: nn.Module) -> nn.ModuleList | None:
    """Return the stack of encoder layers in order, or None where layers are shared or not a list.

    It is the first ``ModuleList`` with ``num_hidden_layers`` entries of the same class, where
    ``num_hidden_layers`` is from the configuration.
    """
    count = getattr(getattr(transformer, "config", None), "num_hidden_layers", None)
    for module in transformer.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and len({*map(type, module)}) == 1:
            return module
    return None


def depth_of(model: BaseModel) -> int:
    """Return the number of layers of the transformer that is the model's first module.

    Raises
    ------
    ModelError
        The first module is not a transformer with hidden layers.
    """
    first: Any = cast("Any", model)[0]
    config = getattr(getattr(first, "model", None), "config", None)
    depth = getattr(config, "num_hidden_layers", None) or getattr(config, "n_layers", None)
    if depth is None:
        raise ModelError(
            f"the model's first module, {type(first).__name__}, is not a transformer with hidden layers",
            "Use a transformer encoder.",
        )
    return int(depth)


def middle_layer(depth: int) -> int:
    """Return the layer at 7/12 of the depth, rounded: where words of encoders like XLM-R align best untrained.

    >>> [middle_layer(depth) for depth in (1, 6, 12, 24)]
    [1, 4, 7, 14]
    """
    return round(7 / 12 * depth)


def layer_index(layer: int | Literal["middle"], depth: int, *, name: str = "layer") -> int:
    """Return the index of a layer in ``hidden_states``, where 0 is the embeddings; negative numbers count from the end.

    Raises
    ------
    ConfigError
        There is no such layer; ``name`` is that of the setting.
    """
    if layer == "middle":
        return middle_layer(depth)
    if not -depth - 1 <= layer <= depth:
        raise ConfigError(
            f"{name} = {layer}: the model has layers 0 to {depth}", f"Choose between {-depth - 1} and {depth}."
        )
    return layer if layer >= 0 else depth + 1 + layer


def position_limit(transformer: PreTrainedModel) -> int | None:
    """Return the number of tokens for which the model has positions, or None if it has no such limit.

    RoBERTa and related models count positions from ``padding_idx + 1``: 512 of 514 rows are usable.
    """
    rows: int | None = getattr(transformer.config, "max_position_embeddings", None)
    if rows is None:
        return None
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return rows if module.padding_idx is None else rows - module.padding_idx - 1
    return rows


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Return the number of scalars in the parameters of ``module``, shared ones counted once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)
