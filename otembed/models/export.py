"""Export an encoder in another precision or file layout, and measure how its embeddings change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError, NumericsError
from otembed.models.folders import whole_folder
from otembed.models.load import load_model
from otembed.models.lora import without_adapter
from otembed.models.portable import make_portable
from otembed.models.save import check_saveable, weight_bytes
from otembed.results import Result
from otembed.results.paths import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

Precision = Literal["float32", "float16", "bfloat16"]
Layout = Literal["5.3", "current"]
# Copied with the model: the layer for word alignment.
OWN_FILES = ("otembed.json",)


@dataclass(frozen=True)
class ExportReport(Result):
    """Report of an export, and the change of the embeddings of ``sentences`` sentences; ``None`` if not compared.

    ``largest_difference`` is the largest absolute difference between embedding components, ``lowest_cosine`` the
    lowest cosine between a sentence's embeddings before and after.
    """

    schema: ClassVar[int] = 2

    model: str
    folder: str
    precision: str
    layout: str
    megabytes: float
    sentences: int = 0
    largest_difference: float | None = None
    lowest_cosine: float | None = None


def export_model(
    name: str | Path,
    folder: str | Path,
    *,
    precision: Precision = "float32",
    layout: Layout = "5.3",
    check: Sequence[str] = (),
) -> ExportReport:
    """Write a model atomically to ``folder`` for plain sentence-transformers; an adapter is merged into its weights.

    Parameters
    ----------
    name
        As for :func:`otembed.load_model`.
    folder
        The folder to write; it must not exist or be empty.
    precision
        Type of the saved weights. Half precision halves the file size.
    layout
        ``5.3``: module names and settings that sentence-transformers 5.3 to 6.2 read identically. ``current``: the
        layout of the installed version.
    check
        Sentences to compare embeddings of, before and after.

    Raises
    ------
    ModelError
        If the model cannot be loaded or contains custom modules, or the folder is in use.
    OutputError
        If the folder cannot be written.
    NumericsError
        If weights or compared embeddings are not finite; the largest float16 is 65504.
    """
    target = expand(folder).resolve()
    check_target(target)
    model = without_adapter(load_model(name, device="cpu"))
    check_saveable(model)
    _check_finite(model, "float32", "Check the weights of the model, or download it again.")
    before = _encode(model, check)
    model.to(getattr(torch, precision))
    _check_finite(model, precision, "Export it as bfloat16 or float32.")
    with whole_folder(target, needed=weight_bytes(model)) as fresh:
        model.save(str(fresh))
        if layout == "5.3":
            make_portable(fresh)
        _keep_own_files(expand(name), fresh)
        after = _encode(SentenceTransformer(str(fresh), device="cpu", local_files_only=True), check)
        figures = _compare(before, after)
        size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
    return ExportReport(
        model=str(name),
        folder=str(target),
        precision=precision,
        layout=layout,
        megabytes=round(size / 1e6, 1),
        **figures,
    )


def check_target(target: Path) -> None:
    """Reject a path that is in use."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"cannot export to {target}: it is not an empty folder", "Choose another folder.")


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> Any:
    if not texts:
        return None
    return model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False).float().numpy()


def _check_finite(model: SentenceTransformer, precision: str, hint: str) -> None:
    bad = [name for name, weights in model.state_dict().items() if not torch.isfinite(weights).all()]
    if bad:
        raise NumericsError(f"{bad[0]} is not finite in {precision}", hint)


def _keep_own_files(source: Path, fresh: Path) -> None:
    for name in OWN_FILES:
        if (source / name).is_file():
            (fresh / name).write_bytes((source / name).read_bytes())


def change_of(before: Any, after: Any, hint: str) -> tuple[float, float]:
    """Return the largest difference between components of two sets of vectors (N, D), and the lowest cosine of two rows.

    The cosine of a zero vector is 1 to another zero vector, and 0 to any other vector.

    Raises
    ------
    NumericsError
        Vectors are not finite; ``hint`` says what to do.

    Examples
    --------
    >>> change_of(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [4.0, 3.0]]), "")
    (1.0, 0.96)
    """
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise NumericsError("embeddings are not finite", hint)
    x, y = (np.asarray(each, np.float64) for each in (before, after))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    same = (x == y).all(1).astype(np.float64)
    cosines = np.divide((x * y).sum(1), norms, out=same, where=norms > 0)
    return float(np.abs(x - y).max()), float(cosines.min())


def _compare(before: Any, after: Any) -> dict[str, Any]:
    if before is None:
        return {}
    difference, cosine = change_of(before, after, "Check the model, or export it as bfloat16 or float32.")
    return {"sentences": len(before), "largest_difference": difference, "lowest_cosine": cosine}
