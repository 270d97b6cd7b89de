"""The ranking of units by the labels of a plan: against a loop over units, scipy and POT."""

from __future__ import annotations

import re

import numpy as np
import ot
import pytest
import torch
from scipy.special import logsumexp
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from otembed.errors import ConfigError
from otembed.losses import GradCacheLoss, OTAlignmentLoss
from otembed.losses.ranking import plan_cross_entropy

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the cat sleeps in the house and the dog"]
EXACT = {"objective": "ranking", "unit": "token", "tol": 1e-10, "max_iter": 20_000, "weight": 1.0}


@pytest.fixture
def model(tiny_model):
    return tiny_model.eval()


def batch(model, source=SOURCE, target=TARGET):
    return [dict(model.preprocess(side)) for side in (source, target)]


def token_states(model, texts, layer):
    """Token states of each sentence on its own, without special tokens."""
    states = []
    for text in texts:
        encoded = model.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            hidden = model[0].model(**encoded, output_hidden_states=True).hidden_states[layer]
        states.append(hidden[0, 1:-1].numpy().astype(np.float64))
    return states


def expected(xs, ys, plans, metric, temperature, candidates):
    """The formula, unit by unit."""
    value, mass = 0.0, 0.0
    for place, plan in enumerate(plans):
        mass += plan.sum()
        x, y = xs[place], ys[place]
        ranked_y, ranked_x = (y, x) if candidates == "pair" else (np.concatenate(ys), np.concatenate(xs))
        for i in range(len(x)):
            for j in range(len(y)):
                own = -ot.dist(x[i : i + 1], y[j : j + 1], metric=metric)[0, 0] / temperature
                row = logsumexp(-ot.dist(x[i : i + 1], ranked_y, metric=metric)[0] / temperature)
                column = logsumexp(-ot.dist(ranked_x, y[j : j + 1], metric=metric)[:, 0] / temperature)
                value -= plan[i, j] * ((own - row) + (own - column)) / 2
    return value / mass


def pot_plan(x, y, metric, epsilon, relaxation):
    a, b, cost = ot.unif(len(x)), ot.unif(len(y)), ot.dist(x, y, metric=metric)
    if not epsilon:
        return ot.emd(a, b, cost)
    if relaxation is None:
        return ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=100_000, stopThr=1e-13)
    return ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, epsilon, relaxation, method="sinkhorn_stabilized", numItermax=100_000, stopThr=1e-13
    )


@pytest.mark.parametrize("candidates", ["batch", "pair"])
@pytest.mark.parametrize(
    ("metric", "layer", "label_layer", "epsilon", "relaxation", "temperature"),
    [
        ("cosine", -1, None, 0.2, None, 0.1),
        ("cosine", 1, None, 0.1, 0.2, 0.05),
        ("sqeuclidean", 2, None, 0, None, 3.0),
        ("cosine", -1, 1, 0.1, 0.2, 0.1),
        ("cosine", 1, -1, 0.1, 0.2, 0.1),
    ],
)
def test_value_is_the_cross_entropy_of_a_plan_by_pot(
    model, candidates, metric, layer, label_layer, epsilon, relaxation, temperature
):
    knobs = EXACT if epsilon else {key: EXACT[key] for key in ("objective", "unit", "weight")}
    loss = OTAlignmentLoss(
        model, layer=layer, cost=metric, center=False, epsilon=epsilon, relaxation=relaxation,
        temperature=temperature, candidates=candidates, label_layer=label_layer, **{**knobs, "weight": 2.0},
    )  # fmt: skip
    xs, ys = token_states(model, SOURCE, layer), token_states(model, TARGET, layer)
    labeling = layer if label_layer is None else label_layer
    clouds = zip(token_states(model, SOURCE, labeling), token_states(model, TARGET, labeling), strict=True)
    plans = [pot_plan(x, y, metric, epsilon, relaxation) for x, y in clouds]
    value = float(loss(batch(model))["alignment"].detach())
    assert value == pytest.approx(2 * expected(xs, ys, plans, metric, temperature, candidates), rel=1e-4)


def test_one_plan_of_the_batch_labels_all_units(model):
    loss = OTAlignmentLoss(model, scope="batch", center=False, epsilon=0.1, **EXACT)
    xs, ys = ([np.concatenate(token_states(model, side, -1))] for side in (SOURCE, TARGET))
    a, b = (
        np.concatenate([np.full(len(z), 1 / len(z) / 3) for z in token_states(model, side, -1)])
        for side in (SOURCE, TARGET)
    )
    plan = ot.bregman.sinkhorn_log(
        a, b, ot.dist(xs[0], ys[0], metric="cosine"), 0.1, numItermax=100_000, stopThr=1e-13
    )
    wanted = expected(xs, ys, [plan], "cosine", 0.1, "batch")
    assert float(loss(batch(model))["alignment"].detach()) == pytest.approx(wanted, rel=1e-4)


def random_problem(seed=0, count=4, n=5, m=7):
    """Vectors, masses with padding and an empty problem, and a plan, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(count, size, 6, generator=generator, dtype=torch.float64) for size in (n, m))
    a = (torch.rand(count, n, generator=generator) > 0.3).double()
    b = (torch.rand(count, m, generator=generator) > 0.3).double()
    a[1], b[1] = 0.0, 0.0
    plan = torch.rand(count, n, m, generator=generator, dtype=torch.float64) * a[:, :, None] * b[:, None]
    return x, y, a, b, plan


@pytest.mark.parametrize("candidates", ["batch", "pair"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_gradient_is_that_of_finite_differences(candidates, metric):
    x, y, *fixed = random_problem()
    settings = {"metric": metric, "temperature": 0.3, "candidates": candidates, "max_cells": 20}
    assert torch.autograd.gradcheck(
        lambda *sides: plan_cross_entropy(*sides, *fixed, **settings), (x.requires_grad_(), y.requires_grad_())
    )


@pytest.mark.parametrize("cells", [1, 12, 50])
def test_blocks_do_not_change_value_and_gradient(cells):
    found = []
    for most in (1 << 20, cells):
        x, y, *fixed = random_problem(seed=1)
        value = plan_cross_entropy(
            x.requires_grad_(), y.requires_grad_(), *fixed,
            metric="cosine", temperature=0.1, candidates="batch", max_cells=most,
        )  # fmt: skip
        value.backward()
        found.append((value.detach(), x.grad, y.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("candidates", ["batch", "pair"])
def test_units_without_mass_get_no_gradient_and_a_perfect_ranking_costs_nothing(candidates):
    x, y, a, b, plan = random_problem(seed=2)
    x.requires_grad_()
    plan_cross_entropy(
        x, y, a, b, plan, metric="cosine", temperature=0.1, candidates=candidates, max_cells=100
    ).backward()
    assert not x.grad[a == 0].any()
    assert x.grad[a > 0].any()
    same = torch.eye(6, dtype=torch.float64)[None]
    ones = torch.ones(1, 6)
    perfect = plan_cross_entropy(
        same, same, ones, ones, same, metric="cosine", temperature=0.01, candidates=candidates, max_cells=100
    )
    assert 0 <= float(perfect) < 1e-12


@pytest.mark.parametrize(("candidates", "count"), [("batch", 12), ("pair", 4)])
def test_equal_units_cost_the_log_of_their_number(candidates, count):
    units, masses = torch.ones(3, 4, 6, dtype=torch.float64), torch.ones(3, 4)
    plan = torch.rand(3, 4, 4, dtype=torch.float64)
    value = plan_cross_entropy(
        units, units, masses, masses, plan, metric="cosine", temperature=0.1, candidates=candidates, max_cells=100
    )
    assert float(value) == pytest.approx(np.log(count), rel=1e-9)


@pytest.mark.parametrize("candidates", ["batch", "pair"])
@pytest.mark.parametrize("target", [["", "", ""], ["", "the cat", ""]])
def test_sentences_without_words_are_left_out(model, candidates, target):
    loss = OTAlignmentLoss(model, objective="ranking", candidates=candidates, center=False, weight=1.0)
    value = loss(batch(model, target=target))["alignment"]
    value.backward()
    alone = [each for each, text in zip(SOURCE, target, strict=True) if text]
    wanted = torch.zeros(())
    if alone:
        wanted = loss(batch(model, alone, [text for text in target if text]))["alignment"].detach()
    torch.testing.assert_close(value.detach(), wanted, rtol=1e-4, atol=1e-6)
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert all(bool(each.isfinite().all()) for each in gradients)


def test_the_term_stands_beside_a_sentence_loss_and_counts_its_plans(model):
    inner = MultipleNegativesRankingLoss(model)
    loss = OTAlignmentLoss(model, inner, objective="ranking", layer=1, relaxation=0.2, weight=0.3)
    terms = loss(batch(model))
    assert set(terms) == {"sentence", "alignment"}
    assert float(terms["sentence"].detach()) == pytest.approx(float(inner(batch(model), None).detach()), rel=1e-5)
    assert loss.pop_statistics()["plans"] == 3


@pytest.mark.parametrize("label_layer", [None, 1])
@pytest.mark.parametrize("most", [1 << 24, 30])
def test_mini_batches_give_the_gradients_of_the_whole_batch(model, most, label_layer):
    found = []
    for cached in (False, True):
        model.zero_grad()
        loss = OTAlignmentLoss(model, objective="ranking", max_cells=most, label_layer=label_layer)
        loss = GradCacheLoss(model, loss, mini_batch_size=2) if cached else loss
        loss(batch(model))["alignment"].backward()
        found.append(torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_labels_of_a_layer_give_it_no_gradient(model):
    """Words of the first layer, labeled by the last: the layers above the first get none."""
    loss = OTAlignmentLoss(model, objective="ranking", layer=1, label_layer=-1)
    loss(batch(model))["alignment"].backward()
    layers = model[0].model.encoder.layer
    assert all(each.grad is None or not each.grad.any() for layer in layers[1:] for each in layer.parameters())
    assert any(each.grad.any() for each in layers[0].parameters())


def test_labels_of_the_ranked_layer_are_the_default(model):
    values = [
        float(OTAlignmentLoss(model, objective="ranking", label_layer=layer)(batch(model))["alignment"].detach())
        for layer in (None, -1, 3, "middle")
    ]
    assert values[:3] == [values[0]] * 3
    assert values[3] != values[0]


def test_float32_under_autocast(model):
    loss = OTAlignmentLoss(model, objective="ranking", weight=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(batch(model))["alignment"]
    assert value.dtype == torch.float32
    assert float(value.detach()) == pytest.approx(float(loss(batch(model))["alignment"].detach()), rel=0.05)


def test_a_ranking_alone_needs_no_anchor_and_cites_its_source(model, caplog):
    loss = OTAlignmentLoss(model, objective="ranking")
    assert "collapse" not in caplog.text
    assert "self-labeled word alignment" in loss.citation.lower()
    assert "self-labeled" not in OTAlignmentLoss(model).citation.lower()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"temperature": 0.2}, "temperature = 0.2 has no effect with objective = cost"),
        ({"candidates": "pair"}, "candidates = pair has no effect with objective = cost"),
        ({"label_layer": "middle"}, "label_layer = middle has no effect with objective = cost"),
        ({"objective": "ranking", "label_layer": 9}, "label_layer = 9: the model has layers 0 to 3"),
        ({"objective": "ranking", "label_layer": "top"}, "label_layer"),
        ({"objective": "ranking", "debiased": True}, "mutually exclusive"),
        ({"objective": "ranking", "candidates": "pair", "scope": "batch"}, "requires scope = pair"),
        ({"objective": "ranking", "candidates": "pair", "max_cells": 9}, "max_cells = 9 has no effect"),
        ({"objective": "ranking", "temperature": 0}, "temperature"),
        ({"objective": "rank"}, "objective"),
    ],
)
def test_contradictions_are_refused(model, knobs, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        OTAlignmentLoss(model, **knobs)
