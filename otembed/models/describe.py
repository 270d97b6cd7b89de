"""Size and settings of a loaded encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.models.architecture import count_parameters, find_embeddings, find_layers, transformer_of
from otembed.results import Result

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class ModelDescription(Result):
    """Size and settings of an encoder.

    ``embedding_parameters`` counts the input embedding block (words, positions, types, LayerNorm),
    ``layers`` is None if no list of layers is found, ``max_seq_length`` counts special tokens, and ``default_prompt`` names the entry of ``prompts`` that plain ``encode`` uses.
    """

    parameters: int
    trainable_parameters: int
    embedding_parameters: int
    dimension: int
    layers: int | None
    vocabulary_size: int
    max_seq_length: int | None
    prompts: dict[str, str]
    default_prompt: str | None
    tokenizer: str


def describe_model(model: SentenceTransformer) -> ModelDescription:
    """Return the size and settings of ``model`` without running it.

    Raises
    ------
    ModelError
        If the model does not contain a transformer.
    """
    transformer = transformer_of(model)
    embeddings, layers = find_embeddings(transformer), find_layers(transformer)
    # A transformer without pooling has no sentence dimension: its token dimension is the model's.
    dimension = model.get_embedding_dimension() or transformer.config.hidden_size
    return ModelDescription(
        parameters=count_parameters(model),
        trainable_parameters=count_parameters(model, trainable_only=True),
        embedding_parameters=0 if embeddings is None else count_parameters(embeddings),
        dimension=dimension,
        layers=None if layers is None else len(layers),
        vocabulary_size=len(model.tokenizer),
        max_seq_length=model.max_seq_length,
        prompts={key: prompt or "" for key, prompt in model.prompts.items()},
        default_prompt=model.default_prompt_name,
        tokenizer=type(model.tokenizer).__name__,
    )


def public_name(name: str) -> str:
    """Return a model's name as it may be published; a local path is reduced to its last part."""
    local = name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).exists()
    return Path(name).name if local else name
