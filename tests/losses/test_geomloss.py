"""The paper's loss against the solver that the paper used: GeomLoss, p = 2, blur = .05, debiased.

C = |x - y|^2 / 2 and epsilon = blur^2 = 0.0025. GeomLoss has no test for convergence: it lowers epsilon by a factor
of ``scaling`` (squared) each step and stops there, so it comes closer as ``scaling`` nears 1.
"""

from __future__ import annotations

import pytest
import torch

from otembed.config.io import read_preset, train_config
from otembed.losses import OTAlignmentLoss
from otembed.losses.units import UnitReader
from otembed.transport import sinkhorn_divergence

geomloss = pytest.importorskip("geomloss", reason="the dev extra has geomloss")

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the cat sleeps in the house and the dog"]


def samples_loss(scaling=0.999):
    return geomloss.SamplesLoss("sinkhorn", p=2, blur=0.05, scaling=scaling, debias=True)


def cloud(generator, count, size):
    vectors = size * torch.rand(count, 4, generator=generator, dtype=torch.float64)
    masses = torch.rand(count, generator=generator, dtype=torch.float64) + 0.2
    return vectors.requires_grad_(), masses / masses.sum()


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("size", [0.2, 0.3])
def test_value_and_gradients_agree(seed, size):
    """Within 1e-4 and 1 %, and GeomLoss ten times as far off with a hundred times larger steps (scaling .9)."""
    generator = torch.Generator().manual_seed(seed)
    (x, a), (y, b) = cloud(generator, 8, size), cloud(generator, 6, size)
    ours = sinkhorn_divergence(
        x[None], y[None], a[None], b[None], metric="half_sqeuclidean", epsilon=0.0025, tol=1e-7, max_iter=20_000
    )
    assert bool(ours.converged.all())
    gradients = torch.autograd.grad(ours.value.sum(), (x, y))
    errors = {}
    for scaling in (0.9, 0.999):
        theirs = samples_loss(scaling)(a, x, b, y)
        moved = torch.autograd.grad(theirs, (x, y))
        errors[scaling] = max(relative(found, wanted) for found, wanted in zip(moved, gradients, strict=True))
        if scaling == 0.999:
            assert float(theirs.detach()) == pytest.approx(float(ours.value.detach()), rel=1e-4)
    assert errors[0.999] < 0.01
    assert errors[0.9] > 10 * errors[0.999]


def test_preset_of_the_paper_matches_samples_loss_on_the_units_of_the_batch(tiny_model):
    """Within 1e-4; the gradient of a weight within 2 %, which is GeomLoss's own error at this scaling."""
    model = tiny_model.eval()
    preset = train_config({"pairs": {"en-sw": "a.tsv"}}, read_preset("paper-geomloss")).loss.alignment
    columns = [dict(model.preprocess(texts)) for texts in (SOURCE, TARGET)]
    loss = OTAlignmentLoss(model, config=preset)
    value = loss(columns)["alignment"]
    assert loss.pop_statistics()["converged"] == 1
    reader = UnitReader(model, unit="word", word_pooling="last", layer=-1)
    with reader.recording(model) as passes:
        for column in columns:
            model(column)
    sides = []
    for place, column in enumerate(columns):
        units = reader.units(column, passes, place)
        sides += [units.masses[units.masses > 0] / 3, units.vectors[units.masses > 0]]
    theirs = samples_loss()(*sides)
    assert float(value.detach()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    weight = model[0].model.encoder.layer[1].output.dense.weight
    ours, paper = (torch.autograd.grad(each, weight)[0] for each in (value, theirs))
    assert relative(paper, ours) < 0.02
