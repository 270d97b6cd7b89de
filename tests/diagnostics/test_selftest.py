"""The self-test passes here, and each check fails where its part is broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from otembed.diagnostics import selftest
from otembed.diagnostics.selftest import CHECKS, SelfTest, run_checks


def test_every_check_passes():
    report = SelfTest(tuple(run_checks()))
    assert [check.name for check in report.checks if not check.ok] == []
    assert [check.name for check in report.checks] == list(CHECKS)
    assert SelfTest.from_json(report.to_json()) == report


def broken_solver(monkeypatch):
    import ot

    real = ot.sinkhorn
    monkeypatch.setattr(ot, "sinkhorn", lambda *args, **options: real(*args, **options) + 1e-4)


def broken_value(monkeypatch):
    import ot

    monkeypatch.setattr(ot, "emd2", lambda *args: float("nan"))


def broken_faiss(monkeypatch):
    import faiss

    real = faiss.knn

    def knn(*args, **options):
        scores, ids = real(*args, **options)
        ids[7] = ids[7][::-1]
        return scores, ids

    monkeypatch.setattr(faiss, "knn", knn)


def broken_mining(monkeypatch):
    monkeypatch.setattr("otembed.mining.search.kernels.dot", np.dot)
    monkeypatch.setattr("otembed.mining.search.screening.slack_of", lambda dimension: -1.0)


def broken_training(monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)


def broken_saving(monkeypatch):
    from sentence_transformers.sentence_transformer.modules import Pooling

    monkeypatch.setattr(Pooling, "save", lambda *args, **options: None)


@pytest.mark.parametrize(
    ("breakage", "name", "message"),
    [
        (broken_solver, "transport solver against POT", "1.0e-04 exceeds the tolerance 1e-07"),
        (broken_value, "transport solver against POT", "nan"),
        (broken_faiss, "FAISS neighbors against numpy", "1 of 50"),
        (broken_mining, "mining search against numpy", "neighbors"),
        (broken_training, "one training step", "before the step"),
        (broken_saving, "save and load", ""),
    ],
)
def test_broken_part_fails_only_its_check(monkeypatch, breakage, name, message):
    breakage(monkeypatch)
    monkeypatch.setattr(selftest, "CHECKS", {name: CHECKS[name], "another": lambda: "fine"})
    failed, other = run_checks()
    assert not failed.ok
    assert message in failed.detail
    assert other.ok
