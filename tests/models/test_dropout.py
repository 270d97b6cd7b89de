"""Dropout from 16 random bits per entry."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from otembed.models import sliced
from otembed.models.dropout import fast_dropout, has_levels, keep_mask

SIZE = 100_000


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9, 1 / 65536, 1 - 1 / 65536])
def test_share_that_is_kept(probability):
    torch.manual_seed(0)
    mask, scale = keep_mask(SIZE, probability, torch.float32)
    assert set(mask.tolist()) <= {0.0, 1.0}
    kept = 1 / scale
    assert abs(kept - (1 - probability)) <= 0.5 / 65536
    error = (kept * (1 - kept) / SIZE) ** 0.5
    assert abs(float(mask.mean()) - kept) < 5 * error


def test_entries_are_independent():
    """Four of them share one number of 64 bits."""
    torch.manual_seed(0)
    mask, scale = keep_mask(SIZE, 0.3, torch.float64)
    words = mask.view(-1, 4)
    # Of a Bernoulli variable's mean over n, and of the correlation of two that are independent: 1 / sqrt(n).
    assert ((words.mean(0) - 1 / scale).abs() < 5 * (0.21 / len(words)) ** 0.5).all()
    correlations = torch.corrcoef(torch.cat([words[1:], words[:-1]], 1).T) - torch.eye(8)
    assert correlations.abs().max() < 5 / len(words) ** 0.5


@pytest.mark.parametrize("entries", [1, 2, 3, 5, 4096])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_any_number_of_entries(entries, dtype):
    mask, _ = keep_mask(entries, 0.5, dtype)
    assert (mask.shape, mask.dtype) == ((entries,), dtype)


def test_probabilities_that_round_to_0_or_1():
    assert [has_levels(each) for each in (0.0, 7e-6, 8e-6, 0.1, 1 - 8e-6, 1 - 7e-6, 1.0)] == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_output_is_the_scaled_input_or_0_and_the_gradient_has_the_same_zeros(dtype):
    torch.manual_seed(0)
    layer = nn.Dropout(0.25)
    input = torch.randn(7, 1000, dtype=dtype, requires_grad=True)
    with fast_dropout(layer):
        output = layer(input)
    output.sum().backward()
    kept = output != 0
    torch.testing.assert_close(output, torch.where(kept, input / 0.75, 0.0))
    torch.testing.assert_close(input.grad, torch.where(kept, 1 / 0.75, 0.0).to(dtype))
    assert 0.7 < kept.float().mean() < 0.8


def test_seeds_and_recomputed_activations_repeat_it():
    layer = nn.Sequential(nn.Dropout(0.5), nn.Tanh())
    input = torch.randn(5000, requires_grad=True)

    def gradient(run):
        torch.manual_seed(3)
        (found,) = torch.autograd.grad(run(input).sum(), input)
        return found

    with fast_dropout(layer):
        once, again = gradient(layer), gradient(lambda x: checkpoint(layer, x, use_reentrant=False))
        assert not torch.equal(layer(input), layer(input))
    assert torch.equal(once, again)


def test_everything_else_is_computed_as_before():
    class Other(nn.Dropout):
        pass

    layers = [nn.Dropout(0.0), nn.Dropout(1.0), nn.Dropout(0.5, inplace=True), Other(0.5), nn.AlphaDropout(0.5)]
    usual = nn.Dropout(0.5)
    with fast_dropout(nn.ModuleList([*layers, usual])), fast_dropout(usual):
        assert not any("forward" in vars(each) for each in layers)
        inputs = torch.ones(9), torch.ones(5000, device="meta")
        for input in inputs:
            torch.manual_seed(0)
            found = usual(input)
            torch.manual_seed(0)
            expected = nn.functional.dropout(input, 0.5)
            assert found.shape == expected.shape
            assert input.is_meta or torch.equal(found, expected)
        usual.p = 1.0
        assert not usual(torch.ones(5000)).any()
        usual.eval()
        assert usual(torch.ones(5000)).all()
    assert "forward" not in vars(usual)


def test_slices_use_it_and_copies_have_their_own_probability(tiny_model):
    layers = [each for each in tiny_model.modules() if type(each) is nn.Dropout and each.p]
    assert layers
    with sliced(tiny_model):
        assert all("forward" in vars(each) for each in layers)
        other = copy.deepcopy(layers[0])
        other.p = 1.0
        assert not other.train()(torch.ones(5000)).any()
    assert not any("forward" in vars(each) for each in layers)
