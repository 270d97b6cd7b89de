"""Hidden states of chosen layers of an encoder, without running the layers above them.

Axes: B sentences, T tokens, D dimensions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from otembed.models.architecture import find_layers
from otembed.models.slices import run_sliced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel


def hidden_states(
    transformer: PreTrainedModel, inputs: dict[str, Tensor], layers: Sequence[int]
) -> dict[int, Tensor]:
    """Return the hidden states of some layers of an encoder, as ``output_hidden_states`` returns those of all.

    Layers above the highest one do not run, where the encoder keeps its layers in a list. Inside of
    :func:`otembed.models.sliced`, padding is not computed.

    Parameters
    ----------
    transformer
        A transformers model.
    inputs
        Arguments of its ``forward``: ids and masks (B, T).
    layers
        Layers from 0, the embeddings, to the number of layers.

    Returns
    -------
    dict of torch.Tensor
        States (B, T, D) of at least these layers, differentiable; those at padding have no meaning.
    """
    # One layer runs in any case: whether attention sees the texts of a flat slice shows only when it is computed.
    wanted = sorted({*layers, 1} if max(layers) == 0 else set(layers))
    stack = find_layers(transformer)

    def forward(run: Callable[..., Any], **inputs: Any) -> BaseModelOutput:
        found = _states(run, stack, inputs, wanted)
        return BaseModelOutput(hidden_states=tuple(found[layer] for layer in wanted))

    return dict(zip(wanted, run_sliced(transformer, inputs, forward).hidden_states, strict=True))


def _states(
    run: Callable[..., Any], stack: nn.ModuleList | None, inputs: dict[str, Any], layers: list[int]
) -> dict[int, Tensor]:
    """Return the states of one padded batch or slice; ``layers`` is sorted."""
    if stack is not None and layers[-1] < len(stack):
        found = _until(stack, layers, partial(run, **inputs))
        if len(found) == len(layers):
            return found
    hidden = run(**inputs, output_hidden_states=True).hidden_states
    return {layer: hidden[layer] for layer in layers}


class _EnoughError(Exception):
    """Stops a forward pass once the highest required layer is reached."""


def _until(stack: nn.ModuleList, layers: list[int], run: Callable[[], Any]) -> dict[int, Tensor]:
    """Run an encoder up to the input of ``stack[max(layers)]``: the states of layer L are the input of stack[L]."""
    found: dict[int, Tensor] = {}

    def take(layer: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states = args[0] if args else kwargs.get("hidden_states")
            if isinstance(states, Tensor):
                found[layer] = states
            if layer == layers[-1]:
                raise _EnoughError

        return hook

    handles = [stack[layer].register_forward_pre_hook(take(layer), with_kwargs=True) for layer in layers]
    try:
        run()
    except _EnoughError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found
