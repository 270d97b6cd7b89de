"""Hidden states of chosen layers are those of the whole encoder, and no layer above them runs."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from otembed.models import architecture, cutting, hidden, sliced
from otembed.models.hidden import hidden_states
from tests.models.test_slices import DECODERS, ENCODERS, FLAT, LENGTHS, cut_tiny_batches, padded_batch, tiny

__all__ = ["cut_tiny_batches"]  # a fixture for all tests here
LAYERS = [[0], [1], [0, 1], [2], [0, 2]]


@pytest.mark.parametrize("layers", LAYERS, ids=str)
@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS])
def test_states_and_gradients_are_those_of_the_whole_encoder(name, layers):
    model, inputs = tiny((ENCODERS | DECODERS)[name]), padded_batch()
    content = inputs["attention_mask"].bool()
    weights = model.get_input_embeddings().weight

    def read(states):
        chosen = {layer: states[layer][content] for layer in layers}
        gradient = torch.autograd.grad(sum(each.sin().sum() for each in chosen.values()), weights)
        return chosen, gradient

    expected = read(model(**inputs, output_hidden_states=True).hidden_states)
    plain = read(hidden_states(model, inputs, layers))
    with sliced(model):
        found = read(hidden_states(model, inputs, layers))
    rtol, atol = (1e-4, 1e-4) if model.config.model_type == "gemma3_text" else (1e-7, 1e-9)
    torch.testing.assert_close(plain, expected, rtol=rtol, atol=atol)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", sorted({*ENCODERS} - {"ALBERT"}))
def test_neither_padding_nor_layers_above_are_computed(name, monkeypatch):
    monkeypatch.setattr(cutting, "COMPILED_ROWS", 1)  # slices are not filled up
    model, inputs = tiny(ENCODERS[name]), padded_batch()
    stack = architecture.find_layers(model)
    computed = [0, 0]
    for number, layer in enumerate(stack):

        def count(module, args, kwargs, output, number=number):
            computed[number] += (args[0] if args else kwargs["hidden_states"]).shape[:-1].numel()

        layer.register_forward_hook(count, with_kwargs=True)
    with sliced(model):
        hidden_states(model, inputs, [0, 1])
    assert computed[1] == 0
    if name in FLAT:
        assert computed[0] == sum(LENGTHS)
    else:
        assert sum(LENGTHS) <= computed[0] < inputs["input_ids"].numel()
    assert not any(layer._forward_pre_hooks for layer in stack)


def test_encoder_whose_layers_are_not_used_by_the_list_runs_whole():
    model, inputs = tiny(ENCODERS["BERT"]), padded_batch()
    unused = torch.nn.ModuleList([torch.nn.Identity() for _ in range(2)])
    expected = model(**inputs, output_hidden_states=True).hidden_states[1]
    with mock.patch.object(hidden, "find_layers", return_value=unused):
        torch.testing.assert_close(hidden_states(model, inputs, [1])[1], expected)


def test_a_replaced_forward_is_used():
    model, inputs = tiny(ENCODERS["BERT"]), padded_batch()
    seen = []
    plain = model.forward
    model.forward = lambda **kwargs: seen.append(kwargs["input_ids"].shape) or plain(**kwargs)
    with sliced(model):
        hidden_states(model, inputs, [1])
    assert seen == [inputs["input_ids"].shape]


def test_errors_of_the_encoder_leave_no_hook():
    model = tiny(ENCODERS["BERT"])
    with sliced(model), pytest.raises(IndexError):
        hidden_states(model, padded_batch() | {"input_ids": padded_batch()["input_ids"] + 49}, [1])
    assert not any(layer._forward_pre_hooks for layer in model.encoder.layer)
