"""Linear layers computed with oneDNN return what PyTorch's default returns."""

from __future__ import annotations

import copy
from unittest import mock

import pytest
import torch
from torch import nn

from otembed.embeddings.encode import encode_by_length
from otembed.models import fast_linear, onednn, sliced

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch lacks oneDNN")


@pytest.fixture(autouse=True)
def _faster(monkeypatch):
    """As if the probe had found it faster, and small layers worth it."""
    monkeypatch.setattr(onednn, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(onednn, "LEAST_WEIGHT", 1)


@pytest.fixture
def products(monkeypatch):
    """The products that oneDNN computes."""
    counted = mock.Mock(wraps=onednn.onednn_linear)
    monkeypatch.setattr(onednn, "onednn_linear", counted)
    return counted


def value_and_gradients(layer, x, weights):
    leaf = x.clone().requires_grad_()
    output = layer(leaf)
    (output * weights).sum().backward()
    found = [output.detach(), leaf.grad, *(each.grad.clone() for each in layer.parameters())]
    layer.zero_grad()
    return found


@pytest.mark.parametrize("shape", [(48,), (5, 48), (2, 3, 48), (1, 1, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_value_and_gradients_against_float64(products, shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(48, 7, bias=bias)
    x, weights = torch.randn(shape), torch.randn(*shape[:-1], 7)
    exact = value_and_gradients(copy.deepcopy(layer).double(), x.double(), weights.double())
    with fast_linear(layer):
        found = value_and_gradients(layer, x, weights)
    assert products.call_count == 3
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_gradients_that_nobody_wants_are_not_computed(products):
    layer = nn.Linear(4, 3)
    layer.weight.requires_grad_(False)
    with fast_linear(layer):
        layer(torch.ones(2, 4)).sum().backward()
        assert products.call_count == 1
        assert layer.bias.grad.tolist() == [2, 2, 2]
        layer.bias.requires_grad_(False)
        assert layer(torch.ones(2, 4)).grad_fn is None


def test_other_calls_are_computed_as_before(products):
    layer = nn.Linear(4, 3)
    with fast_linear(layer):
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.ones(2, 4)).dtype == torch.bfloat16
        assert layer(torch.ones(0, 4)).shape == (0, 3)
        layer.double()
        assert layer(torch.ones(2, 4).double()).dtype == torch.float64
        layer.to("meta")
        assert layer(torch.ones(2, 4, device="meta")).shape == (2, 3)
    assert not products.called


def test_subclasses_and_small_layers_are_left_alone(monkeypatch):
    class Other(nn.Linear):
        pass

    model = nn.Sequential(Other(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    monkeypatch.setattr(onednn, "LEAST_WEIGHT", 16)
    with fast_linear(model):
        assert ["forward" in vars(each) for each in model] == [False, True, False]


def test_nothing_is_left_behind_even_after_an_error():
    layer = nn.Linear(4, 3)

    def fail():
        with fast_linear(layer), fast_linear(layer):
            assert "forward" in vars(layer)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "forward" not in vars(layer)


def test_a_copy_made_inside_has_its_own_weights():
    layer = nn.Linear(4, 3)
    with fast_linear(layer):
        other = copy.deepcopy(layer)
        with torch.no_grad():
            other.weight.zero_()
            other.bias.zero_()
        assert not other(torch.ones(1, 4)).any()
        assert layer(torch.ones(1, 4)).any()


def test_a_slower_library_is_not_used(monkeypatch, products):
    monkeypatch.setattr(onednn, "onednn_is_faster", lambda: False)
    layer = nn.Linear(4, 3)
    with fast_linear(layer):
        layer(torch.ones(1, 4)).sum().backward()
    assert not products.called
    monkeypatch.setattr(onednn, "onednn_packs_bf16", lambda: False)
    with fast_linear(layer):
        assert "forward" not in vars(layer)


@pytest.fixture
def packed(monkeypatch):
    """The weights that are packed, where the processor multiplies in bfloat16."""
    if not onednn.onednn_packs_bf16():
        pytest.skip("oneDNN does not multiply in bfloat16 here")
    counted = mock.Mock(wraps=onednn.onednn_packed)
    monkeypatch.setattr(onednn, "onednn_packed", counted)
    return counted


def bf16(layer, x):
    with torch.autocast("cpu", torch.bfloat16):
        return layer(x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_give_the_products_of_autocast(packed, bias, context, dtype):
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 24, bias=bias), torch.randn(3, 5, 48).to(dtype)
    with context():
        expected = bf16(layer, x)
        with fast_linear(layer):
            found = [bf16(layer, x), bf16(layer, x)]
    assert packed.call_count == 1
    for each in found:
        assert each.dtype == torch.bfloat16
        torch.testing.assert_close(each, expected, rtol=0.01, atol=0.01)


def double(layer):
    with torch.no_grad():
        layer.weight.mul_(2)


def learn(layer):
    bf16(layer, torch.ones(2, 48)).sum().backward()
    torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True).step()


def load(layer):
    layer.load_state_dict({name: each + 1 for name, each in layer.state_dict().items()})


def assign(layer):
    layer.weight.data = layer.weight.data + 1


@pytest.mark.parametrize("change", [double, learn, load, assign])
def test_weights_that_changed_are_packed_again(packed, change):
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 24), torch.randn(4, 48)
    with fast_linear(layer):
        with torch.no_grad():
            before = bf16(layer, x)
        change(layer)
        with torch.no_grad():
            found = bf16(layer, x)
        with torch.no_grad():
            other = bf16(copy.deepcopy(layer), x)
    with torch.no_grad():
        expected = bf16(layer, x)
    assert not torch.allclose(before, expected, atol=0.1)
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)
    torch.testing.assert_close(other, expected, rtol=0.01, atol=0.01)


def test_layers_that_learn_keep_no_packed_weights(packed):
    layer = nn.Linear(48, 24)
    with fast_linear(layer):
        with torch.no_grad():
            bf16(layer, torch.ones(2, 48))
        assert layer.forward._packed is not None
        bf16(layer, torch.ones(2, 48)).sum().backward()
        assert layer.forward._packed is None
        layer.requires_grad_(False)
        bf16(layer, torch.ones(2, 48))
    assert packed.call_count == 2


def test_encoding_and_training_use_it(tiny_model, products):
    texts = ["the cat sat", "der Hund schlief im Haus", "el gato"]
    expected = tiny_model.encode(texts, normalize_embeddings=True)
    assert not products.called
    found = encode_by_length(tiny_model, texts)
    assert products.called
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    products.reset_mock()
    with sliced(tiny_model):
        features = tiny_model.preprocess(texts)
        tiny_model(features)["sentence_embedding"].sum().backward()
    linear = sum(type(each) is nn.Linear for each in tiny_model.modules())
    assert products.call_count > 2 * linear
    assert not any("forward" in vars(each) for each in tiny_model.modules())
