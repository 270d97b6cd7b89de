"""The one door from losses to the internals of sentence-transformers: token states of a running forward pass."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses import column_merging_disabled
from torch import Tensor, nn

from otembed.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

Features = dict[str, Any]
Passes = list[tuple[Features, Tensor]]
"""What the encoder gave in each recorded pass: its output features, and the states (B, T, D) of the layer."""


@dataclass(frozen=True)
class TokenStates:
    """Token states of one column: ``states`` (B, T, D), ``input_ids`` (B, T), ``content`` (B, T) bool."""

    states: Tensor
    input_ids: Tensor
    content: Tensor


def unwrap(model: nn.Module) -> SentenceTransformer:
    """Return the SentenceTransformer inside wrappers of DDP, ``torch.compile`` and the like."""
    while not isinstance(model, SentenceTransformer):
        inner = getattr(model, "module", None) or getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            raise ModelError(
                f"expected a SentenceTransformer, got {type(model).__name__}", "Pass the model itself to the loss."
            )
        model = inner
    return model


class EncoderTap:
    """Record the token states of each column while a loss runs the model, so that one pass serves all.

    Parameters
    ----------
    model
        The SentenceTransformer whose first module is a transformer over text.
    layer
        Hidden layer as in ``hidden_states``: 0 the embeddings, L the last; negative from the end.

    Raises
    ------
    ConfigError
        If the model has no such layer.
    ModelError
        If its first module yields no token states.
    """

    def __init__(self, model: SentenceTransformer, layer: int) -> None:
        config = getattr(getattr(model[0], "model", None), "config", None)
        depth = getattr(config, "num_hidden_layers", None) or getattr(config, "n_layers", None)
        if depth is None:
            raise ModelError(
                f"the model's first module, {type(model[0]).__name__}, is no transformer with token states",
                "OT alignment needs a transformer encoder.",
            )
        if not -depth - 1 <= layer <= depth:
            raise ConfigError(
                f"layer = {layer}: the model has layers 0 to {depth}", f"Choose between {-depth - 1} and {depth}."
            )
        self.layer = layer if layer >= 0 else depth + 1 + layer
        self._last = self.layer == depth
        special = {model.tokenizer.cls_token_id, model.tokenizer.sep_token_id, model.tokenizer.bos_token_id}
        special |= {model.tokenizer.eos_token_id, model.tokenizer.pad_token_id}
        self._special = torch.tensor(sorted(each for each in special if each is not None), dtype=torch.long)

    @contextmanager
    def recording(self, model: nn.Module) -> Iterator[Passes]:
        """Record every pass of the encoder; columns stay apart, and ``config`` is as before at the end."""
        encoder = unwrap(model)[0]
        config = cast("Any", encoder).model.config
        passes: Passes = []

        def record(module: nn.Module, args: tuple[Any, ...], output: Features) -> None:
            states = output["token_embeddings"] if self._last else output["all_layer_embeddings"][self.layer]
            passes.append((dict(output), states))

        before = config.output_hidden_states
        handle = encoder.register_forward_hook(record)
        try:
            config.output_hidden_states = before or not self._last
            with column_merging_disabled():
                yield passes
        finally:
            config.output_hidden_states = before
            handle.remove()

    def states(self, features: Features, passes: Passes, column: int) -> TokenStates:
        """Return the token states of one column from the recorded passes.

        The pass is found by the identity of its ``input_ids`` and, where a wrapper copied them to
        another device, by its place.
        """
        if "input_ids" not in features or "cu_seq_lens_q" in features:
            raise ModelError(
                "OT alignment needs padded text batches, this model flattens them or takes no text",
                "Switch off input flattening (unpad_inputs).",
            )
        ids = features["input_ids"]
        found = next((each for each in passes if each[0].get("input_ids") is ids), None)
        if found is None and column < len(passes):
            found = passes[column]
        if found is None or found[1].shape[:2] != ids.shape:
            raise ModelError(
                f"the wrapped loss did not run the encoder on column {column} of the batch",
                "Wrap a loss that embeds both columns, or use OTAlignmentLoss alone.",
            )
        return TokenStates(found[1], ids, self.content(features))

    def reference(self, encoder: nn.Module, features: Features) -> Tensor:
        """Run a frozen transformer module on ``features`` without a graph; its states (B, T, D)."""
        config = cast("Any", encoder).model.config
        before = config.output_hidden_states
        inputs = {key: value for key, value in features.items() if key not in _OUTPUTS}
        try:
            config.output_hidden_states = before or not self._last
            with torch.no_grad():
                output = encoder(inputs)
        finally:
            config.output_hidden_states = before
        states: Tensor = output["token_embeddings"] if self._last else output["all_layer_embeddings"][self.layer]
        return states

    def content(self, features: Features) -> Tensor:
        """Mask (B, T) of the tokens that carry mass: no padding, no special token, no prompt."""
        ids, attended = features["input_ids"], features["attention_mask"].bool()
        if self._special.device != ids.device:
            self._special = self._special.to(ids.device)
        content: Tensor = attended & ~torch.isin(ids, self._special)
        prompt = features.get("prompt_length")
        if prompt is not None:
            length = prompt.reshape(-1, 1) if isinstance(prompt, Tensor) else prompt
            content = content & (attended.long().cumsum(1) > length)
        return content


_OUTPUTS = frozenset({"token_embeddings", "sentence_embedding", "all_layer_embeddings"})
