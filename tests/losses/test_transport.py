"""Every variant of the alignment's transport against POT and linear programming on problems made by hand."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

from otembed.config import AlignmentConfig
from otembed.errors import ConfigError
from otembed.losses.transport import UnitTransport
from otembed.losses.units import Units
from otembed.transport import TransportStatus

EXACT = {"tol": 1e-10, "max_iter": 50_000, "center": False}


def units_of(seed, counts, dimensions=6):
    """Random units; masses uniform over ``counts`` of them a row."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(counts), max(counts), dimensions, generator=generator, dtype=torch.float64)
    real = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    masses = real / torch.tensor(counts).clamp_min(1)[:, None].double()
    return Units(torch.where(real[:, :, None], vectors, 0.0), masses, torch.zeros(0))


SOURCE, TARGET = units_of(0, [4, 3, 1]), units_of(1, [3, 5, 2])


def entropic(plan, cost, a, b, epsilon):
    return (plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(a, b)) - plan + np.outer(a, b)).sum()


def balanced(a, b, cost, epsilon):
    if not epsilon:
        return ot.emd2(a, b, cost)
    plan = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=200_000, stopThr=1e-14)
    return entropic(plan, cost, a, b, epsilon)


def semi_relaxed(a, b, cost, epsilon, rho):
    plan = ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, epsilon, (np.inf, rho), reg_type="kl", numItermax=200_000, stopThr=1e-14
    )
    free = plan.sum(0)
    return entropic(plan, cost, a, b, epsilon) + rho * (free * np.log(free / b) - free + b).sum()


def with_order(a, b, cost, epsilon, weight):
    places = [np.arange(n) / (n - 1) if n > 1 else np.array([0.5]) for n in cost.shape]
    return balanced(a, b, cost + weight * abs(places[0][:, None] - places[1]), epsilon)


VARIANTS = {
    "exact": ({"epsilon": 0}, lambda a, b, c: balanced(a, b, c, 0)),
    "semi-relaxed": (
        {"epsilon": 0.2, "relaxation": (None, 0.3)},
        lambda a, b, c: semi_relaxed(a, b, c, 0.2, 0.3),
    ),
    "source relaxed": (
        {"epsilon": 0.2, "relaxation": (0.3, None)},
        lambda a, b, c: semi_relaxed(b, a, c.T, 0.2, 0.3),
    ),
    "target free": ({"epsilon": 0, "relaxation": (None, 0)}, lambda a, b, c: (a * c.min(1)).sum()),
    "order prior": ({"epsilon": 0.1, "order_prior": 0.4}, lambda a, b, c: with_order(a, b, c, 0.1, 0.4)),
}


def config_of(knobs, **options):
    """The settings of a variant; those that are solved without iterating take no tolerance."""
    iterates = knobs["epsilon"] and 0 not in knobs.get("relaxation", ())
    return AlignmentConfig(**knobs, **options, **(EXACT if iterates else {"center": False}))


@pytest.mark.parametrize("name", VARIANTS)
def test_values_match_pot(name):
    knobs, reference = VARIANTS[name]
    result = UnitTransport(config_of(knobs))(SOURCE, TARGET)
    assert bool(result.converged.all())
    for row in range(3):
        (x, a), (y, b) = (
            (side.vectors[row][side.masses[row] > 0].numpy(), side.masses[row][side.masses[row] > 0].numpy())
            for side in (SOURCE, TARGET)
        )
        expected = reference(a, b, ot.dist(x, y, metric="cosine"))
        assert float(result.value[row]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_pass_gradcheck(name):
    knobs, _ = VARIANTS[name]
    transport = UnitTransport(config_of(knobs))

    def value(x, y):
        sides = (Units(z, side.masses, side.ids) for z, side in ((x, SOURCE), (y, TARGET)))
        return transport(*sides).value

    inputs = tuple(side.vectors.clone().requires_grad_() for side in (SOURCE, TARGET))
    assert torch.autograd.gradcheck(value, inputs, atol=1e-5)


@pytest.mark.parametrize("name", [*VARIANTS, "debiased"])
def test_scaled_costs_make_every_setting_scale_invariant(name):
    knobs = VARIANTS[name][0] if name in VARIANTS else {"epsilon": 0.2, "debiased": True}
    config = config_of(knobs, cost="sqeuclidean", cost_scale="std")
    large = (Units(7 * side.vectors, side.masses, side.ids) for side in (SOURCE, TARGET))
    transport = UnitTransport(config)
    torch.testing.assert_close(transport(*large).value, transport(SOURCE, TARGET).value, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", VARIANTS)
def test_pair_without_units_is_empty_and_does_not_affect_others(name):
    transport = UnitTransport(config_of(VARIANTS[name][0]))
    masses = torch.where(torch.tensor([True, False, True])[:, None], SOURCE.masses, 0.0)
    result = transport(Units(SOURCE.vectors, masses, SOURCE.ids), TARGET)
    assert result.status.tolist()[1] == TransportStatus.EMPTY
    torch.testing.assert_close(result.value[[0, 2]], transport(SOURCE, TARGET).value[[0, 2]])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"epsilon": 0, "relaxation": 1.0}, "relaxation"),
        ({"relaxation": (0, 0.5)}, "relaxation = (0, 0.5)"),
        ({"order_prior": 0.5, "scope": "batch"}, "order_prior = 0.5"),
        ({"debiased": True, "order_prior": 0.5}, "order_prior = 0.5"),
        ({"debiased": True, "relaxation": (None, 0.2)}, "(None, 0.2)"),
        ({"debiased": True, "epsilon": 0}, "epsilon"),
    ],
)
def test_mutually_exclusive_settings_are_rejected_at_construction(settings, named):
    with pytest.raises(ConfigError) as caught:
        UnitTransport(AlignmentConfig(**settings))
    assert named in caught.value.message
