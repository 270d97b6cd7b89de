"""Planted outcomes: models whose difference is known."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from otembed.results.outcomes import Outcomes, digest_of


def _planted(
    task="en-sw", share=0.7, *, suite="xnli", metric="accuracy", size=300, seed=0, base_seed=1, higher=True
):
    """Outcomes of a model that is right on ``share`` of the examples; the same draw for all shares."""
    easy = np.random.default_rng(base_seed).random(size) + 0.05 * np.random.default_rng(seed).normal(size=size)
    values = tuple((easy < share).astype(int).tolist())
    return Outcomes(suite, task, metric, digest_of([suite, task, str(size)]), values, higher_is_better=higher)


def _write_result(path, *outcomes, kind="XnliReport", **more):
    document = {"schema": 1, "kind": kind, "outcomes": [asdict(each) for each in outcomes], **more}
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def planted():
    return _planted


@pytest.fixture(scope="session")
def write_result():
    return _write_result


@pytest.fixture
def results(tmp_path):
    """Three result files on two tasks: base, a clearly better one, one that is hardly different."""
    shares = {"base": (0.6, 0.5), "good": (0.8, 0.7), "like": (0.6, 0.51)}
    return {
        name: _write_result(
            tmp_path / f"{name}.json",
            *(_planted(task, share, seed=3) for task, share in zip(("sw", "ar"), both, strict=True)),
        )
        for name, both in shares.items()
    }
