"""The contrastive loss against a loop of POT, and its contract."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from torch.nn.functional import cosine_similarity

from otembed.config import ContrastiveConfig
from otembed.errors import ConfigError, ModelError
from otembed.losses import OTContrastiveLoss
from otembed.losses.parts import cosines

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the cat sleeps in the house and the dog"]
NEGATIVE = ["the dog sat on the mat", "the dog", "the house and the dog"]
EXACT = {"tol": 1e-6, "max_iter": 5_000}


@pytest.fixture
def model(tiny_model):
    return tiny_model.eval()


def batch(model, *columns):
    return [dict(model.preprocess(list(texts))) for texts in columns or (SOURCE, TARGET)]


def total(terms):
    return torch.stack(list(terms.values())).sum()


def token_states(model, texts):
    states = []
    for text in texts:
        encoded = model.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            states.append(model[0].model(**encoded).last_hidden_state[0, 1:-1].double().numpy())
    return states


def scores_by_pot(xs, ys, epsilon):
    """Minus <P, C> + epsilon KL(P | a b^T) of every pair, centered over each side."""
    xs, ys = ([z - np.concatenate(side).mean(0) for z in side] for side in (xs, ys))
    scores = np.zeros((len(xs), len(ys)))
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            cost, a, b = ot.dist(x, y, metric="cosine"), ot.unif(len(x)), ot.unif(len(y))
            plan = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=100_000, stopThr=1e-13)
            scores[i, j] = -(plan * cost).sum() - epsilon * (plan * np.log(plan / np.outer(a, b))).sum()
    return scores


def ranking(scores, temperature):
    """Mean negative log-softmax of the right pair, in both directions; further columns in the first one only."""
    logits = scores / temperature
    count = len(logits)
    forward = [logits[i, i] - np.log(np.exp(logits[i]).sum()) for i in range(count)]
    backward = [logits[i, i] - np.log(np.exp(logits[:, i]).sum()) for i in range(count)]
    return -(np.mean(forward) + np.mean(backward)) / 2


@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize("sentence_weight", [None, 0.5])
def test_value_matches_a_loop_over_pot(model, negatives, sentence_weight):
    texts = [SOURCE, TARGET, *([NEGATIVE] if negatives else [])]
    loss = OTContrastiveLoss(
        model, unit="token", epsilon=0.2, temperature=0.3, sentence_weight=sentence_weight, weight=2, **EXACT
    )
    candidates = [text for column in texts[1:] for text in column]
    scores = scores_by_pot(token_states(model, SOURCE), token_states(model, candidates), 0.2)
    if sentence_weight:
        scores = scores + sentence_weight * (model.encode(SOURCE) @ model.encode(candidates).T)
    assert float(loss(batch(model, *texts))["contrastive"]) == pytest.approx(2 * ranking(scores, 0.3), rel=1e-4)


@pytest.mark.parametrize("max_cells", [1, 100])
def test_blocks_do_not_change_value_or_gradient(model, max_cells):
    found = []
    for knobs in ({}, {"max_cells": max_cells}):
        model.zero_grad()
        value = total(OTContrastiveLoss(model, **knobs)(batch(model, SOURCE, TARGET, NEGATIVE)))
        value.backward()
        found.append((value.detach(), model[0].model.encoder.layer[0].output.dense.weight.grad.clone()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("relaxation", [None, 0.3])
def test_gradient_equals_finite_differences(model, relaxation):
    model = model.double()
    loss = OTContrastiveLoss(
        model, relaxation=relaxation, center=False, epsilon=0.1, sentence_weight=1.0, tol=1e-12, max_iter=50_000
    )
    weight = model[0].model.encoder.layer[1].output.dense.weight
    total(loss(batch(model))).backward()
    direction, step, values = torch.randn_like(weight), 1e-5, []
    for sign in (1, -2):
        with torch.no_grad():
            weight += sign * step * direction
        values.append(float(total(loss(batch(model)))))
    expected = (values[0] - values[1]) / (2 * step)
    assert float((weight.grad * direction).sum()) == pytest.approx(expected, rel=1e-3)


def test_cosines_hold_no_tensor_per_pair_and_equal_those_of_single_pairs():
    """The graph keeps no tensor larger than a side; zero vectors have cosine 0 and finite gradients."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(size, 40, generator=generator).half() for size in (6, 9))
    x[2] = 0
    x, y = x.requires_grad_(), y.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: saved.append(each.numel()) or each, lambda each: each
    ):
        found = cosines(x, y)
    assert max(saved) <= y.numel()
    found.square().sum().backward()
    with torch.no_grad():
        each = [[cosine_similarity(one, other, dim=0) for other in y.double()] for one in x.double()]
    torch.testing.assert_close(found.double(), torch.tensor(each, dtype=torch.float64), atol=1e-6, rtol=0)
    assert found.dtype == torch.float32
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()


def test_sentences_without_units_are_left_out(model):
    loss = OTContrastiveLoss(model, center=False, sentence_weight=None, temperature=0.05)
    holed = loss(batch(model, [*SOURCE[:2], ""], [*TARGET[:2], "the cat"]))["contrastive"]
    scores = scores_by_pot_uncentered(model, SOURCE[:2], [*TARGET[:2], "the cat"])
    logits = torch.tensor(scores) / 0.05
    forward = torch.nn.functional.cross_entropy(logits, torch.arange(2))
    backward = torch.nn.functional.cross_entropy(logits[:, :2].T, torch.arange(2))
    assert float(holed) == pytest.approx(float(forward + backward) / 2, rel=1e-3)
    nothing = loss(batch(model, ["", ""], ["", ""]))["contrastive"]
    assert float(nothing) == 0
    nothing.backward()


def scores_by_pot_uncentered(model, source, target):
    """Word by word scores, from the loss's own reader of units, plans by POT."""
    loss = OTContrastiveLoss(model, center=False)
    columns = batch(model, source, target)
    with loss._reader.recording(model) as passes:
        for column in columns:
            model(column)
    sides = [loss._reader.units(column, passes, place) for place, column in enumerate(columns)]
    scores = np.zeros((len(source), len(target)))
    for i in range(len(source)):
        for j in range(len(target)):
            x, y = (
                side.vectors[row][side.masses[row] > 0].detach().double()
                for side, row in zip(sides, (i, j), strict=True)
            )
            cost = ot.dist(x.numpy(), y.numpy(), metric="cosine")
            a, b = ot.unif(len(x)), ot.unif(len(y))
            plan = ot.bregman.sinkhorn_log(a, b, cost, 0.05, numItermax=100_000, stopThr=1e-13)
            plan = np.maximum(plan, 1e-300)
            scores[i, j] = -(plan * cost).sum() - 0.05 * (plan * np.log(plan / np.outer(a, b))).sum()
    return scores


def test_training_does_not_collapse_and_ranks_translations_first(model):
    model.train()
    loss = OTContrastiveLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    before = float(total(loss(batch(model))).detach())
    for _ in range(20):
        optimizer.zero_grad()
        total(loss(batch(model))).backward()
        optimizer.step()
    assert float(total(loss(batch(model))).detach()) < before / 2
    states = np.concatenate(token_states(model, SOURCE + TARGET))
    assert np.linalg.matrix_rank(states - states.mean(0), tol=1e-2) > 5


def test_wrapped_loss_shares_the_encoder_pass(model):
    passes = []
    handle = model[0].register_forward_hook(lambda *_: passes.append(1))
    terms = OTContrastiveLoss(model, MultipleNegativesRankingLoss(model), layer=1)(batch(model))
    handle.remove()
    assert len(passes) == 2
    expected = MultipleNegativesRankingLoss(model)(batch(model), None)
    torch.testing.assert_close(terms["sentence"], expected)


def test_scores_stay_float32_under_bf16_autocast(model):
    loss = OTContrastiveLoss(model, sentence_weight=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(batch(model))
    assert terms["contrastive"].dtype == torch.float32
    total(terms).backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


def test_sentence_with_nan_states_makes_the_loss_nan(model):
    only_there = model.tokenizer(SOURCE[2])["input_ids"][2]
    with torch.no_grad():
        model[0].model.embeddings.word_embeddings.weight[only_there] = torch.nan
    assert total(OTContrastiveLoss(model, center=False)(batch(model))).isnan()


def test_settings_citation_and_statistics(model):
    loss = OTContrastiveLoss(model, config=ContrastiveConfig(epsilon=0.2, relaxation=1.0))
    assert (loss.get_config_dict()["epsilon"], loss.get_config_dict()["relaxation"]) == (0.2, 1.0)
    assert "2110.02887" in loss.citation
    assert "1607.05816" in loss.citation
    loss(batch(model, SOURCE, TARGET, NEGATIVE))
    assert loss.pop_statistics()["plans"] == 18
    assert loss.pop_statistics() == {}
    assert {id(each) for each in loss.parameters()} == {id(each) for each in model.parameters()}


def test_invalid_input_is_rejected(model):
    with pytest.raises(ConfigError, match="temperature = 0"):
        OTContrastiveLoss(model, temperature=0)
    with pytest.raises(ConfigError, match="class MultipleNegativesRankingLoss") as caught:
        OTContrastiveLoss(model, MultipleNegativesRankingLoss)
    assert "(model)" in caught.value.hint
    with pytest.raises(ConfigError, match="Cached"):
        OTContrastiveLoss(model, CachedMultipleNegativesRankingLoss(model))
    with pytest.raises(ConfigError, match="got 1"):
        OTContrastiveLoss(model)(batch(model, SOURCE))
    words = SentenceTransformer(modules=[model[0]], device="cpu")
    with pytest.raises(ModelError, match="sentence_weight"):
        OTContrastiveLoss(words, sentence_weight=1.0)(batch(words))


@pytest.mark.parametrize("change", ["copied features", "smaller dimensions"])
def test_sentence_vectors_are_those_of_the_model_whatever_a_wrapped_loss_does(model, change):
    """DDP copies features to its device, MatryoshkaLoss cuts the vectors in them."""
    inner = MultipleNegativesRankingLoss(model)
    if change == "copied features":
        inner.forward = lambda columns, labels=None: sum(
            model(dict(column))["sentence_embedding"].sum() for column in columns
        )
    else:
        inner = MatryoshkaLoss(model, inner, matryoshka_dims=[16, 4])
    expected = OTContrastiveLoss(model)(batch(model))["contrastive"]
    torch.testing.assert_close(OTContrastiveLoss(model, inner)(batch(model))["contrastive"], expected)
