"""Sentence vectors in batches with a limited number of tokens; sentences of similar length share a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.arithmetic import Arithmetic

# Number of texts tokenized in one call, which pads them to the longest.
COUNTED = 1024


def check_one_prompt(prompt: str | None, prompt_name: str | None) -> None:
    """Raise ConfigError if a prompt and the name of a prompt are both given."""
    if prompt is not None and prompt_name is not None:
        raise ConfigError(
            f"prompt {prompt!r} and prompt_name {prompt_name!r} are mutually exclusive", "Remove one of them."
        )


def resolve_prompt(model: SentenceTransformer, prompt: str | None, prompt_name: str | None) -> str:
    """Return the text to prepend to every line; ConfigError for an unknown name, or if both are given."""
    check_one_prompt(prompt, prompt_name)
    if prompt is not None:
        return prompt
    if prompt_name is not None and prompt_name not in model.prompts:
        raise ConfigError(f"the model has no prompt {prompt_name!r}", did_you_mean(prompt_name, model.prompts))
    name = prompt_name or model.default_prompt_name
    return (model.prompts.get(name) or "") if name else ""


def encode_by_length(
    model: SentenceTransformer,
    texts: Sequence[str],
    *,
    prompt: str = "",
    task: str | None = None,
    truncate_dim: int | None = None,
    batch_tokens: int | None = None,
    batch_size: int | None = None,
    arithmetic: Arithmetic = "float32",
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.float32]:
    """Return the unit vectors of texts, equal to the output of ``model.encode`` up to rounding.

    ``model.encode`` sorts texts by characters and uses batches of a fixed size. Here tokens are counted first, and a
    batch contains as many texts as their padded length allows, longest first.

    Parameters
    ----------
    model
        The encoder; it is put into evaluation mode.
    texts
        At least one text; duplicates are encoded separately.
    prompt
        Text to prepend to every text; see :func:`resolve_prompt`.
    task
        Route of a model with a Router; see :func:`otembed.embeddings.routes.language_task`.
    truncate_dim
        Keep this many leading dimensions; ``None``: the model's default.
    batch_tokens
        Maximum number of tokens in a batch, prompt and padding included; a longer text forms a batch alone.
        ``None``: 512 on a CPU, or 2,048 in batches without padding; 16,384 elsewhere.
    batch_size
        Maximum number of texts in a batch; ``None``: no limit.
    arithmetic
        ``bf16`` runs the encoder under autocast; the mean over tokens and the norm stay in float32. In both, batches are
        computed as :func:`otembed.models.sliced` does.
    progress
        Called after each batch with the number of texts in it.

    Returns
    -------
    numpy.ndarray
        (n, d) float32. The last bits of a row depend on the other texts of its batch, as with ``model.encode``.

    Raises
    ------
    ConfigError
        A limit is below 1.
    """
    import torch

    from otembed.models.batches import default_tokens, token_batches
    from otembed.models.slices import sliced

    if batch_tokens is None:
        batch_tokens = default_tokens(model)
    for name, value in (("batch_tokens", batch_tokens), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", "Use an integer >= 1.")
    vectors: NDArray[np.float32] | None = None
    with sliced(model):
        for rows in token_batches(token_counts(model, texts, prompt), batch_tokens, batch_size):
            with torch.autocast(model.device.type, torch.bfloat16, enabled=arithmetic == "bf16"):
                encoded = model.encode(
                    [texts[row] for row in rows],
                    prompt=prompt,
                    task=task,
                    batch_size=len(rows),
                    truncate_dim=truncate_dim,
                    normalize_embeddings=True,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                )
            if vectors is None:
                vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
            vectors[rows] = encoded
            if progress is not None:
                progress(len(rows))
    assert vectors is not None, "callers pass at least one text"
    return vectors


def token_counts(model: SentenceTransformer, texts: Sequence[str], prompt: str = "") -> NDArray[np.int64]:
    """Return the number of tokens of each text as the model sees it, with the prompt and after truncation.

    For a model without attention masks, such as a bag of static word vectors, characters are counted instead.
    """
    from otembed.models.flat import is_flat, text_lengths

    counts = []
    for start in range(0, len(texts), COUNTED):
        part = list(texts[start : start + COUNTED])
        features = model.preprocess(part, prompt=prompt or None)
        if is_flat(features):
            counts.append(text_lengths(features).cpu().numpy())
        elif "attention_mask" in features:
            counts.append(features["attention_mask"].sum(1).cpu().numpy())
        else:
            counts.append(np.array([len(text) for text in part]))
    return np.concatenate(counts).astype(np.int64)
