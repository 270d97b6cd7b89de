"""Access to sentence-transformers internals for all losses: token states of a running forward pass."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.losses import column_merging_disabled
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling
from torch import Tensor, nn

from otembed.errors import ModelError
from otembed.models import sliced, together
from otembed.models.architecture import depth_of, layer_index
from otembed.models.flat import is_flat, padded, padded_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Encoder = SentenceTransformer | MultiVectorEncoder
Features = dict[str, Any]


@dataclass
class Pass:
    """A recorded pass of one column: output features of the encoder, states (B, T, D) of the layer, sentence vectors (B, D)."""

    features: Features
    states: Tensor
    sentences: Tensor | None = None


Passes = list[Pass]


@dataclass(frozen=True)
class TokenStates:
    """Token states of one column: ``states`` (B, T, D), ``input_ids`` (B, T), ``content`` (B, T) bool."""

    states: Tensor
    input_ids: Tensor
    content: Tensor


def unwrap(model: nn.Module) -> Encoder:
    """Return the sentence-transformers model inside wrappers such as DDP and ``torch.compile``."""
    while not isinstance(model, Encoder):
        inner = getattr(model, "module", None) or getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            raise ModelError(
                f"expected a SentenceTransformer or a MultiVectorEncoder, got {type(model).__name__}",
                "Pass the model itself to the loss.",
            )
        model = inner
    return model


def apart(model: nn.Module, columns: Sequence[Features]) -> list[Features]:
    """Return the columns in the form in which a wrapped loss may modify them.

    A multi-vector model overwrites the attention mask, which is needed later, with the mask of scored tokens: it gets
    copies. Other models pass state to later calls in the same dicts.
    """
    return [dict(each) for each in columns] if isinstance(unwrap(model), MultiVectorEncoder) else list(columns)


def run(model: nn.Module, features: Features, column: int) -> None:
    """Run the model on one column; for a multi-vector model, the first column holds queries unless the features set a task."""
    if isinstance(unwrap(model), MultiVectorEncoder):
        model(features, task=features.get("task", "document" if column else "query"))
    else:
        model(features)


class EncoderTap:
    """Record the token states of each column while a loss runs the model, so that all terms share one pass.

    Parameters
    ----------
    model
        The SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text.
    layer
        Hidden layer as in ``hidden_states``: 0 the embeddings, L the last; negative from the end; or ``middle``. In a
        MultiVectorEncoder, -1 is the vectors used for scoring, after projection and normalization.

    Raises
    ------
    ConfigError
        The model does not have this layer.
    ModelError
        The first module does not expose token states, or the model pools its token vectors.
    """

    def __init__(self, model: Encoder, layer: int | Literal["middle"]) -> None:
        depth = depth_of(model)
        self.layer = layer_index(layer, depth)
        self._multi_vector = isinstance(model, MultiVectorEncoder)
        if any(isinstance(module, BaseTokenPooling) for module in model):
            raise ModelError(
                "the model pools its token vectors, so they do not correspond to tokens",
                "Train without token pooling, and apply it at encoding time.",
            )
        self._last = layer == -1 if self._multi_vector else self.layer == depth
        self._transformer = cast("Any", model[0])
        self._prompts = [each for each in model.prompts.values() if each and each[-1].isspace()]
        self._spaces: dict[int, int] = {}
        self._prompts_read = 0
        special = {model.tokenizer.cls_token_id, model.tokenizer.sep_token_id, model.tokenizer.bos_token_id}
        special |= {model.tokenizer.eos_token_id, model.tokenizer.pad_token_id}
        self._special = torch.tensor(sorted(each for each in special if each is not None), dtype=torch.long)

    @contextmanager
    def recording(self, model: nn.Module, columns: Sequence[Features] = ()) -> Iterator[Passes]:
        """Record every pass of the encoder while a loss is computed on ``columns``; restores ``config`` at the end."""
        plain = unwrap(model)
        observed = self.observed(plain)
        passes: Passes = []

        def record(module: nn.Module, args: tuple[Any, ...], output: Features) -> None:
            passes.append(Pass(dict(output), self._states(output)))

        def complete(module: nn.Module, args: tuple[Any, ...], output: Features) -> None:
            # As the last module computes them: wrapped losses may cut them, and DDP copies features to another device.
            passes[-1].sentences = output.get("sentence_embedding")

        handles = [observed.register_forward_hook(record)]
        if not self._multi_vector:
            handles.append(plain[-1].register_forward_hook(complete))
        try:
            with (
                sliced(plain),
                together(plain, columns),
                self._hidden_states(observed),
                column_merging_disabled(),
            ):
                yield passes
        finally:
            for handle in handles:
                handle.remove()

    def observed(self, model: Encoder) -> nn.Module:
        """Return the recorded module: the transformer, or the whole model if its output is token vectors."""
        return model if self._multi_vector else model[0]

    def states(self, features: Features, passes: Passes, column: int) -> TokenStates:
        """Return the token states of one column from the recorded passes."""
        if "input_ids" not in features:
            raise ModelError(
                "OT losses require batches of text, but this model does not take text", "Use a text encoder."
            )
        found = pass_of(features, passes, column)
        text = padded_text(features) if is_flat(features) else features
        states = None if found is None else _padded_states(found.states, features)
        if found is None or states is None or states.shape[:2] != text["input_ids"].shape:
            raise ModelError(
                f"the wrapped loss did not run the encoder on column {column} of the batch",
                "Wrap a loss that embeds both columns, or omit the wrapped loss.",
            )
        content = self.content(text)
        if self._multi_vector:
            content = content & found.features["attention_mask"].bool()
        return TokenStates(states, text["input_ids"], content)

    def reference(self, observed: nn.Module, features: Features) -> Tensor:
        """Run the :meth:`observed` module of a frozen model on the target side, without a graph: states (B, T, D)."""
        inputs = {key: value for key, value in features.items() if key not in _OUTPUTS}
        inner = observed if self._multi_vector else cast("Any", observed).model
        with sliced(cast("Any", inner)), self._hidden_states(observed), torch.no_grad():
            output = (
                observed(inputs, task=features.get("task", "document")) if self._multi_vector else observed(inputs)
            )
            return _padded_states(self._states(output), features)

    def _space(self, length: int) -> int | None:
        """Return the id of white space that is the last of the ``length`` tokens of a prompt, if there is such a prompt.

        A byte-level tokenizer joins this token with the first word of a sentence.
        """
        if length not in self._spaces:
            # sentence-transformers keeps the lengths of the prompts that this process has prepended. Workers of a data
            # loader prepend them elsewhere, so those of the model are measured here.
            for prompt in self._prompts:
                self._transformer._get_prompt_length(prompt)
            measured = self._transformer._prompt_length_mapping
            for (prompt, *_), found in islice(measured.items(), self._prompts_read, None):
                last = self._transformer.tokenizer(prompt, add_special_tokens=False)["input_ids"][-1:]
                if prompt[-1:].isspace() and self._transformer.tokenizer.decode(last).isspace():
                    self._spaces[found] = last[0]
            self._prompts_read = len(measured)
        return self._spaces.get(length)

    def _states(self, output: Features) -> Tensor:
        states: Tensor = output["token_embeddings"] if self._last else output["all_layer_embeddings"][self.layer]
        return states

    @contextmanager
    def _hidden_states(self, observed: nn.Module) -> Iterator[None]:
        """Make the transformer return all hidden layers if an inner layer is needed."""
        config = (cast("Any", observed)[0] if self._multi_vector else cast("Any", observed)).model.config
        before = config.output_hidden_states
        try:
            config.output_hidden_states = before or not self._last
            yield
        finally:
            config.output_hidden_states = before

    def content(self, features: Features) -> Tensor:
        """Return the mask (B, T) of tokens with mass: no padding, special, prompt or query expansion tokens."""
        ids, attended = features["input_ids"], features["attention_mask"].bool()
        if self._special.device != ids.device:
            self._special = self._special.to(ids.device)
        content: Tensor = attended & ~torch.isin(ids, self._special)
        prompt = features.get("prompt_length")
        if prompt is not None:
            length = int(prompt.reshape(-1)[0]) if isinstance(prompt, Tensor) else int(prompt)
            place = attended.long().cumsum(1)
            space = self._space(length)
            joined = False if space is None else (place == length) & (ids != space)
            content = content & ((place > length) | joined)
        expansion = features.get("query_expansion_positions")
        return content if expansion is None else content & ~expansion.bool()


def pass_of(features: Features, passes: Passes, column: int) -> Pass | None:
    """Return the first pass of one column of a batch, if there is one.

    It is found by the identity of its ``input_ids`` or, if a wrapper copied them to another device, by its position.
    """
    found = next((each for each in passes if each.features.get("input_ids") is features["input_ids"]), None)
    return passes[column] if found is None and column < len(passes) else found


def _padded_states(states: Tensor, features: Features) -> Tensor:
    """Return states (B, T, D) of a batch that may be flat; a multi-vector model pads those of its last layer itself."""
    flat = is_flat(features) and states.shape[:2] == features["input_ids"].shape
    return padded(states, features) if flat else states


_OUTPUTS = frozenset({"token_embeddings", "sentence_embedding", "all_layer_embeddings"})
