"""The alignment loss against a loop over pairs with POT, and every promise of its contract."""

from __future__ import annotations

import copy
import inspect
from dataclasses import fields

import numpy as np
import ot
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    AdaptiveLayerLoss,
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MSELoss,
    MultipleNegativesRankingLoss,
)

from otembed.config import AlignmentConfig, ContrastiveConfig
from otembed.errors import ConfigError, ModelError
from otembed.losses import OTAlignmentLoss, OTContrastiveLoss

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the cat sleeps in the house and the dog"]
EXACT = {"tol": 1e-6, "max_iter": 5_000, "weight": 1.0}


def features(model, texts, prompt=None):
    return dict(model.preprocess(texts, prompt=prompt))


def batch(model, prompt=None):
    return [features(model, SOURCE, prompt), features(model, TARGET, prompt)]


def total(terms):
    return torch.stack(list(terms.values())).sum()


def token_states(model, texts, layer=-1):
    """Token states of each sentence on its own, content tokens only, straight from the transformer."""
    states = []
    for text in texts:
        encoded = model.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            hidden = model[0].model(**encoded, output_hidden_states=True).hidden_states[layer]
        states.append(hidden[0, 1:-1].numpy().astype(np.float64))
    return states


def pot_alignment(xs, ys, *, epsilon, center=False, metric="cosine"):
    """Mean over pairs of <P, C> + epsilon KL(P | a b^T), plans by POT in float64."""
    if center:
        xs, ys = ([z - np.mean([row for each in side for row in each], axis=0) for z in side] for side in (xs, ys))
    values = []
    for x, y in zip(xs, ys, strict=True):
        cost = ot.dist(x, y, metric=metric)
        a, b = ot.unif(len(x)), ot.unif(len(y))
        plan = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=100_000, stopThr=1e-13)
        values.append((plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum())
    return float(np.mean(values))


@pytest.fixture
def model(tiny_model):
    return tiny_model.eval()


@pytest.mark.parametrize("layer", [-1, 1, 0])
@pytest.mark.parametrize(("cost", "epsilon"), [("cosine", 0.3), ("sqeuclidean", 5.0), ("euclidean", 0.3)])
def test_token_alignment_matches_a_loop_over_pot(model, layer, cost, epsilon):
    loss = OTAlignmentLoss(
        model, unit="token", layer=layer, cost=cost, center=False, epsilon=epsilon, **{**EXACT, "weight": 2}
    )
    expected = pot_alignment(
        token_states(model, SOURCE, layer), token_states(model, TARGET, layer), epsilon=epsilon, metric=cost
    )
    assert float(loss(batch(model))["alignment"]) == pytest.approx(2 * expected, rel=1e-4)


def test_centering_subtracts_the_mean_of_each_side(model):
    loss = OTAlignmentLoss(model, unit="token", epsilon=0.1, **EXACT)
    expected = pot_alignment(token_states(model, SOURCE), token_states(model, TARGET), epsilon=0.1, center=True)
    assert float(loss(batch(model))["alignment"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_words_are_pooled_tokens(model, pooling):
    loss = OTAlignmentLoss(model, word_pooling=pooling, center=False, epsilon=0.2, **EXACT)
    pick = {"mean": lambda z: z.mean(0), "first": lambda z: z[0], "last": lambda z: z[-1]}[pooling]
    sides = []
    for texts in (SOURCE[:1], TARGET[:1]):
        states = token_states(model, texts)[0]
        pieces = model.tokenizer.tokenize(texts[0])
        starts = [index for index, piece in enumerate(pieces) if piece.startswith("▁")]
        ends = [*starts[1:], len(pieces)]
        sides.append([np.stack([pick(states[i:j]) for i, j in zip(starts, ends, strict=True)])])
    expected = pot_alignment(*sides, epsilon=0.2)
    value = loss([features(model, SOURCE[:1]), features(model, TARGET[:1])])["alignment"]
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_batch_scope_is_one_problem_over_all_units(model):
    loss = OTAlignmentLoss(
        model, unit="token", scope="batch", center=False, epsilon=0.2, cost="sqeuclidean", **EXACT
    )
    x, y = (np.concatenate(token_states(model, side)) for side in (SOURCE, TARGET))
    # Uniform over the tokens of a sentence, sentences alike.
    a, b = (
        np.concatenate([np.full(len(z), 1 / len(z) / 3) for z in token_states(model, side)])
        for side in (SOURCE, TARGET)
    )
    cost = ot.dist(x, y)
    plan = ot.bregman.sinkhorn_log(a, b, cost, 0.2, numItermax=100_000, stopThr=1e-13)
    expected = (plan * cost).sum() + 0.2 * (plan * np.log(plan / np.outer(a, b))).sum()
    assert float(loss(batch(model))["alignment"]) == pytest.approx(expected, rel=1e-4)


def test_debiased_is_zero_between_equal_columns(model):
    loss = OTAlignmentLoss(model, debiased=True, cost="sqeuclidean", epsilon=0.5, **EXACT)
    same = [features(model, SOURCE), features(model, SOURCE)]
    assert float(loss(same)["alignment"]) == pytest.approx(0, abs=1e-5)
    assert float(loss(batch(model))["alignment"]) > 1e-3


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("relaxation", [None, 0.5])
@pytest.mark.parametrize("how", ["std", "max"])
def test_cost_scale_makes_the_value_scale_invariant(model, debiased, relaxation, how):
    knobs = {
        "debiased": debiased,
        "relaxation": relaxation,
        "cost_scale": how,
        "cost": "sqeuclidean",
        "epsilon": 0.2,
    }
    once = float(OTAlignmentLoss(model, **knobs, **EXACT)(batch(model))["alignment"])
    last = model[0].model.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        last.weight *= 3
        last.bias *= 3
    assert float(OTAlignmentLoss(model, **knobs, **EXACT)(batch(model))["alignment"]) == pytest.approx(
        once, rel=1e-3
    )


def test_padding_and_other_rows_do_not_change_the_value(model):
    loss = OTAlignmentLoss(model, center=False, epsilon=0.1, **EXACT)
    alone = [
        float(loss([features(model, [s]), features(model, [t])])["alignment"])
        for s, t in zip(SOURCE, TARGET, strict=True)
    ]
    assert float(loss(batch(model))["alignment"]) == pytest.approx(np.mean(alone), rel=1e-4)


def test_pair_without_units_adds_zero(model):
    loss = OTAlignmentLoss(model, center=False, **EXACT)
    full = loss([features(model, SOURCE[:2]), features(model, TARGET[:2])])["alignment"]
    holed = loss([features(model, [*SOURCE[:2], ""]), features(model, [*TARGET[:2], "the cat"])])["alignment"]
    torch.testing.assert_close(full, holed, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("relaxation", [None, 0.3])
def test_gradient_equals_finite_differences(model, unit, relaxation):
    model = model.double()
    loss = OTAlignmentLoss(
        model, unit=unit, epsilon=0.1, relaxation=relaxation, center=False, tol=1e-12, max_iter=50_000
    )
    weight = model[0].model.encoder.layer[1].output.dense.weight
    total(loss(batch(model))).backward()
    direction = torch.randn_like(weight)
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
        values.append(float(total(loss(batch(model))).detach()))
        with torch.no_grad():
            weight -= sign * step * direction
    assert float((weight.grad * direction).sum()) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_wordpiece_models_are_supported(tiny_wordpiece_model):
    terms = OTAlignmentLoss(tiny_wordpiece_model)(batch(tiny_wordpiece_model))
    assert terms["alignment"].isfinite()


def inner_losses(model):
    return {
        "mnrl": MultipleNegativesRankingLoss(model),
        "matryoshka": MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), matryoshka_dims=[32, 8]),
        "adaptive": AdaptiveLayerLoss(model, MultipleNegativesRankingLoss(model), n_layers_per_step=2),
        "mse": MSELoss(model),
    }


@pytest.mark.parametrize("name", ["mnrl", "matryoshka", "mse"])
@pytest.mark.parametrize("layer", [-1, 2])
def test_wrapped_loss_keeps_its_value_and_shares_one_pass(model, name, layer):
    inner = inner_losses(model)[name]
    labels = torch.randn(3, 32) if name == "mse" else None
    apart = inner(batch(model), labels)
    passes = []
    handle = model[0].register_forward_hook(lambda *_: passes.append(1))
    terms = OTAlignmentLoss(model, inner, layer=layer, epsilon=0.2)(batch(model), labels)
    handle.remove()
    assert len(passes) == 2
    torch.testing.assert_close(terms["sentence"], apart)
    alone = OTAlignmentLoss(model, layer=layer, epsilon=0.2)(batch(model))
    torch.testing.assert_close(terms["alignment"], alone["alignment"])


def test_middle_layer_is_at_seven_twelfths_of_the_depth(model):
    for loss in (OTAlignmentLoss, OTContrastiveLoss):
        found, expected = (total(loss(model, layer=layer)(batch(model))) for layer in ("middle", 2))
        torch.testing.assert_close(found, expected)


def test_wrapped_adaptive_layer_loss_works(model):
    torch.manual_seed(0)
    loss = OTAlignmentLoss(model, inner_losses(model)["adaptive"], layer=2)
    terms = loss(batch(model))
    torch.testing.assert_close(terms["alignment"], OTAlignmentLoss(model, layer=2)(batch(model))["alignment"])
    total(terms).backward()


def test_components_of_a_wrapped_dict_loss_are_kept(model):
    inner = MultipleNegativesRankingLoss(model)
    inner_forward = inner.forward
    inner.forward = lambda columns, labels=None: {"rank": inner_forward(columns, labels)}
    assert list(OTAlignmentLoss(model, inner)(batch(model))) == ["sentence_rank", "alignment"]


def test_hidden_states_setting_is_restored(model):
    config = model[0].model.config
    OTAlignmentLoss(model, layer=1)(batch(model))
    assert config.output_hidden_states is False
    loss = OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), layer=1)
    loss.loss.forward = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        loss(batch(model))
    assert config.output_hidden_states is False
    assert not model[0]._forward_hooks


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_anchor_measures_the_distance_from_the_starting_model(model, reduction):
    start = copy.deepcopy(model)
    loss = OTAlignmentLoss(model, unit="token", anchor={"weight": 0.5, "reduction": reduction})
    assert float(loss(batch(model))["anchor"].detach()) == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    moved = [
        ((now - then) ** 2).sum()
        for now, then in zip(token_states(model, TARGET), token_states(start, TARGET), strict=True)
    ]
    tokens = sum(len(each) for each in token_states(model, TARGET))
    expected = 0.5 * sum(moved) / (tokens if reduction == "mean" else 1)
    assert float(loss(batch(model))["anchor"].detach()) == pytest.approx(expected, rel=1e-4)


def test_anchor_of_a_middle_layer_uses_that_layer(model):
    loss = OTAlignmentLoss(model, layer=1, anchor={})
    with torch.no_grad():
        model[0].model.encoder.layer[2].output.dense.weight += 1
    assert float(loss(batch(model))["anchor"]) == pytest.approx(0, abs=1e-9)


def test_anchor_shares_frozen_weights_and_owns_no_parameters(model):
    for parameter in model[0].model.embeddings.parameters():
        parameter.requires_grad_(False)
    loss = OTAlignmentLoss(model, anchor={})
    reference = loss._reference[0].model
    assert (
        reference.embeddings.word_embeddings.weight.data_ptr()
        == model[0].model.embeddings.word_embeddings.weight.data_ptr()
    )
    assert {id(each) for each in loss.parameters()} == {id(each) for each in model.parameters()}
    assert not any("reference" in name for name in loss.state_dict())


def test_loss_alone_without_anchor_warns_of_collapse(model, caplog):
    OTAlignmentLoss(model)
    assert "collapse" in caplog.text
    caplog.clear()
    OTAlignmentLoss(model, anchor={})
    OTAlignmentLoss(model, MultipleNegativesRankingLoss(model))
    assert not caplog.text


def test_transport_stays_float32_under_bf16_autocast(model):
    loss = OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), epsilon=0.1)
    full = loss(batch(model))["alignment"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(batch(model))
    assert terms["alignment"].dtype == torch.float32
    assert float(terms["alignment"]) == pytest.approx(float(full), rel=0.05)
    total(terms).backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


def test_activation_checkpointing_gives_the_same_gradients(model):
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model[0].model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        loss = OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), layer=2, anchor={})
        total(loss(batch(model))).backward()
        gradients.append(model[0].model.encoder.layer[0].output.dense.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_statistics_count_plans_and_are_reset(model):
    loss = OTAlignmentLoss(model, epsilon=0.1)
    loss(batch(model))
    loss(batch(model))
    statistics = loss.pop_statistics()
    assert statistics["plans"] == 6
    assert statistics["converged"] == 1
    assert statistics["iterations"] > 0
    assert loss.pop_statistics() == {}


def test_plans_that_do_not_converge_are_counted(model):
    loss = OTAlignmentLoss(model, epsilon=1e-3, tol=1e-9, max_iter=1)
    loss(batch(model))
    assert loss.pop_statistics()["converged"] == 0


def test_settings_are_listed_in_the_model_card(model):
    config = AlignmentConfig(epsilon=0.2, weight=3)
    for loss in (
        OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), config=config),
        OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), epsilon=0.2, weight=3),
    ):
        assert loss.config == config
        listed = loss.get_config_dict()
        assert (listed["epsilon"], listed["weight"], listed["anchor"]) == (0.2, 3, None)
        assert listed["loss"] is loss.loss
        assert "2110.02887" in loss.citation


@pytest.mark.parametrize(
    ("loss", "kind"), [(OTAlignmentLoss, AlignmentConfig), (OTContrastiveLoss, ContrastiveConfig)]
)
def test_signature_has_every_setting_with_its_default(loss, kind):
    parameters = inspect.signature(loss).parameters
    settings = {name: each.default for name, each in parameters.items() if name not in ("model", "loss", "config")}
    assert settings == {each.name: getattr(kind(), each.name) for each in fields(kind)}


@pytest.mark.parametrize(
    ("loss", "kind"), [(OTAlignmentLoss, AlignmentConfig), (OTContrastiveLoss, ContrastiveConfig)]
)
def test_config_and_keywords_are_mutually_exclusive(model, loss, kind):
    with pytest.raises(ConfigError) as caught:
        loss(model, config=kind(epsilon=0.2), epsilon=0.05)
    assert "epsilon = 0.05" in caught.value.message
    assert "epsilon" in caught.value.hint


@pytest.mark.parametrize(
    ("knobs", "sources"),
    [
        ({}, {"1306.0895"}),
        ({"relaxation": 1.0}, {"1306.0895", "1607.05816", "2306.04116"}),
        ({"epsilon": 0}, {"20-451"}),
        ({"debiased": True}, {"1306.0895", "1810.08278"}),
    ],
)
def test_used_methods_are_cited(model, knobs, sources):
    citation = OTAlignmentLoss(model, anchor={}, **knobs).citation
    known = {"1306.0895", "1607.05816", "2306.04116", "20-451", "1810.08278"}
    assert {each for each in known if each in citation} == sources
    assert "2110.02887" in citation


@pytest.mark.parametrize(
    "knobs",
    [
        {"relaxation": (None, 0.2)},
        {"relaxation": (0, None)},
        {"epsilon": 0},
        {"order_prior": 0.3},
    ],
    ids=str,
)
def test_every_variant_trains_a_model(model, knobs):
    loss = OTAlignmentLoss(model, anchor={}, **knobs)
    total(loss(batch(model))).backward()
    gradient = model[0].model.encoder.layer[0].output.dense.weight.grad
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().sum()) > 0
    assert loss.pop_statistics()["converged"] == 1


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"epsilon": -1}, "epsilon = -1"),
        ({"layer": 4}, "layer = 4"),
        ({"layer": -5}, "layer = -5"),
        ({"epsilon": 0, "relaxation": 1.0}, "relaxation"),
        ({"anchor": {"weigth": 1}}, "weigth"),
    ],
)
def test_invalid_settings_raise_a_value_error(model, knobs, message):
    with pytest.raises(ValueError, match=message) as caught:
        OTAlignmentLoss(model, **knobs)
    assert isinstance(caught.value, ConfigError)


def test_unknown_settings_are_rejected(model):
    with pytest.raises(TypeError, match="epsilom"):
        OTAlignmentLoss(model, epsilom=1)


def test_cached_losses_are_rejected(model):
    with pytest.raises(ConfigError, match="CachedMultipleNegativesRankingLoss"):
        OTAlignmentLoss(model, CachedMultipleNegativesRankingLoss(model))


def test_single_column_is_rejected(model):
    with pytest.raises(ConfigError, match="got 1"):
        OTAlignmentLoss(model, anchor={})([features(model, SOURCE)])


def test_inner_loss_that_skips_a_column_is_rejected(model):
    inner = MultipleNegativesRankingLoss(model)
    inner.forward = lambda columns, labels=None: model(columns[0])["sentence_embedding"].sum()
    with pytest.raises(ModelError, match="column 1"):
        OTAlignmentLoss(model, inner)(batch(model))


def test_module_that_is_not_a_model_is_rejected():
    with pytest.raises(ModelError, match="Linear"):
        OTAlignmentLoss(torch.nn.Linear(2, 2))
