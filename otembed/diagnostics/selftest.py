"""A self-test that takes seconds: parts of otembed against independent references, without downloads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from otembed.errors import NumericsError
from otembed.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Check(Result):
    """One check: its finding or its failure, and its wall time in seconds."""

    name: str
    ok: bool
    seconds: float
    detail: str


@dataclass(frozen=True)
class SelfTest(Result):
    """All checks of a self-test."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, with each check as a nested document."""
        return {**super().to_dict(), "ok": self.ok, "checks": [check.to_dict() for check in self.checks]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result with its checks."""
        checks = tuple(Check.from_dict(each) for each in document.get("checks", ()))
        return super().from_dict({**document, "checks": checks})


def run_checks() -> Iterator[Check]:
    """Run the checks in order; a failure does not stop the others."""
    for name, check in CHECKS.items():
        begun = time.perf_counter()
        try:
            ok, detail = True, check()
        # A self-test reports any failure.
        except Exception as error:
            ok, detail = False, f"{type(error).__name__}: {error}"
        yield Check(name, ok, round(time.perf_counter() - begun, 2), detail)


def check_solver() -> str:
    """Compare entropic and exact plans with POT's, in float64."""
    import ot
    import torch

    from otembed.transport import solve

    generator = np.random.default_rng(0)
    cost = generator.random((5, 7))
    a, b = (generator.dirichlet(np.ones(size)) for size in cost.shape)
    tensors = [torch.from_numpy(each)[None] for each in (cost, a, b)]
    entropic = solve(*tensors, epsilon=0.1, tol=1e-10).plan[0].numpy()
    exact = solve(*tensors, epsilon=0).plan[0].numpy()
    pot: Any = ot
    reference = pot.sinkhorn(a, b, cost, 0.1, stopThr=1e-13, numItermax=10_000)
    far = _close(entropic, reference, 1e-7)
    _close(np.sum(exact * cost), pot.emd2(a, b, cost), 1e-9)
    return f"plans differ by at most {far:.1e}, exact values agree"


def check_faiss() -> str:
    """Compare FAISS's nearest neighbors with brute force."""
    import faiss

    queries, base = (_unit_rows(rows, seed) for seed, rows in enumerate((50, 200)))
    scores, ids = faiss.knn(queries, base, 4, metric=faiss.METRIC_INNER_PRODUCT)
    expected, order = _neighbors(queries, base, 4)
    _equal(ids, order)
    return f"neighbors agree, scores differ by at most {_close(scores, expected, 1e-5):.1e}"


def check_mining() -> str:
    """Compare the compiled search of mining, both directions, with brute force."""
    from otembed.embeddings.rows import scan
    from otembed.embeddings.vectors import open_vectors
    from otembed.mining.search.exact import exact_neighbors

    x, y = _unit_rows(120, 2), _unit_rows(150, 3)
    with TemporaryDirectory() as folder:
        sides = []
        for name, rows in (("x", x), ("y", y)):
            np.save(Path(folder) / f"{name}.npy", rows)
            sides.append(scan(open_vectors(Path(folder) / f"{name}.npy"))[0])
        forward, backward = exact_neighbors(sides[0], sides[1], 4)
    _equal(forward.ids, _neighbors(x, y, 4)[1])
    _equal(backward.ids, _neighbors(y, x, 4)[1])
    return "neighbors agree in both directions"


def check_training() -> str:
    """Take one training step of a tiny random encoder and check that the loss on the batch decreases."""
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from otembed.diagnostics.tiny import SENTENCES, tiny_encoder
    from otembed.losses import OTAlignmentLoss

    with TemporaryDirectory() as folder:
        model = tiny_encoder(Path(folder))
    model.eval()  # no dropout, to compare the effect of the step only
    loss = OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def value() -> torch.Tensor:
        columns = [model.preprocess(list(side)) for side in zip(*SENTENCES, strict=True)]
        columns = [{key: _moved(each, model.device) for key, each in column.items()} for column in columns]
        found = loss(columns)
        return sum(found.values()) if isinstance(found, dict) else found  # type: ignore[return-value]

    first = value()
    first.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    before, after = first.item(), value().item()
    if not (np.isfinite(after) and after < before):
        raise NumericsError(f"the loss did not decrease: {before:.6f} before the step, {after:.6f} after it")
    return f"loss {before:.4f} before, {after:.4f} after, on {model.device}"


def check_saving() -> str:
    """Save a tiny encoder, load it with plain sentence-transformers and compare the embeddings."""
    from sentence_transformers import SentenceTransformer

    from otembed.diagnostics.tiny import SENTENCES, tiny_encoder
    from otembed.models import save_model

    texts = [text for pair in SENTENCES for text in pair]
    with TemporaryDirectory() as folder:
        model = tiny_encoder(Path(folder) / "made")
        saved = save_model(model, Path(folder) / "saved", model_card=False)
        loaded = SentenceTransformer(str(saved), device=str(model.device), local_files_only=True)
        found, expected = (each.encode(texts, show_progress_bar=False) for each in (loaded, model))
    return f"embeddings differ by at most {_close(found, expected, 1e-6):.1e}"


CHECKS: dict[str, Callable[[], str]] = {
    "transport solver against POT": check_solver,
    "FAISS neighbors against numpy": check_faiss,
    "mining search against numpy": check_mining,
    "one training step": check_training,
    "save and load": check_saving,
}


def _moved(value: Any, device: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def _unit_rows(rows: int, seed: int) -> Any:
    values = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _neighbors(queries: Any, base: Any, k: int) -> tuple[Any, Any]:
    scores = queries.astype(np.float64) @ base.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


def _close(found: Any, expected: Any, tolerance: float) -> float:
    far = float(np.max(np.abs(np.asarray(found) - np.asarray(expected))))
    if not far <= tolerance:
        raise NumericsError(f"difference {far:.1e} exceeds the tolerance {tolerance:.0e}")
    return far


def _equal(found: Any, expected: Any) -> None:
    wrong = int((np.asarray(found) != np.asarray(expected)).any(axis=1).sum())
    if wrong:
        raise NumericsError(f"the neighbors of {wrong} of {len(expected)} queries differ")
