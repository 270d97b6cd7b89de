"""Export an encoder for another use: precision, layout, ONNX; and how far its vectors have moved."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError, NumericsError
from otembed.models.export import check_saveable
from otembed.models.folders import whole_folder
from otembed.models.load import load_model
from otembed.models.portable import make_portable
from otembed.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

Precision = Literal["float32", "float16", "bfloat16"]
Layout = Literal["5.3", "current"]
# Kept beside the model: the layer for word alignment.
OWN_FILES = ("otembed.json",)
ONNX_FILE = "onnx/model.onnx"
ONNX_HINT = (
    "Give the Python of an environment of its own: "
    'pip install "sentence-transformers<5.4" "transformers<4.58" "optimum-onnx[onnxruntime]".'
)

# Runs in the other environment, which has no otembed: folder, texts as JSON; prints the vectors as JSON.
ONNX_CODE = """
import json, sys
from sentence_transformers import SentenceTransformer
folder, file, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
options = {"backend": "onnx", "device": "cpu", "local_files_only": True}
provider = {"provider": "CPUExecutionProvider"}
SentenceTransformer(folder, **options, model_kwargs={**provider, "export": True}).save_pretrained(folder + "/.onnx")
import pathlib, shutil
target = pathlib.Path(folder, file)
target.parent.mkdir(exist_ok=True)
shutil.move(str(pathlib.Path(folder, ".onnx", file)), str(target))
shutil.rmtree(pathlib.Path(folder, ".onnx"))
model = SentenceTransformer(folder, **options, model_kwargs={**provider, "file_name": file})
vectors = model.encode(texts, show_progress_bar=False).tolist() if texts else []
print("VECTORS" + json.dumps(vectors))
"""


@dataclass(frozen=True)
class ExportReport(Result):
    """What was exported, and how the vectors of ``sentences`` sentences changed; ``None`` where not compared.

    ``largest_difference`` is that of single numbers of the vectors, ``lowest_cosine`` that between a sentence's vectors
    before and after; ``onnx_difference`` the first of the two for the ONNX file.
    """

    model: str
    folder: str
    precision: str
    layout: str
    megabytes: float
    sentences: int = 0
    largest_difference: float | None = None
    lowest_cosine: float | None = None
    onnx_difference: float | None = None


def export_model(
    name: str | Path,
    folder: str | Path,
    *,
    precision: Precision = "float32",
    layout: Layout = "5.3",
    onnx: str | Path | None = None,
    check: Sequence[str] = (),
) -> ExportReport:
    """Write a model to ``folder``, whole or not at all, for plain sentence-transformers.

    Parameters
    ----------
    name
        As for :func:`otembed.load_model`.
    folder
        What to write; nothing may stand there.
    precision
        Type of the weights in safetensors. Half precision halves the file; readers that keep it compute in it.
    layout
        ``5.3``: module names and settings that sentence-transformers 5.3 to 6.2 read alike. ``current``: as
        the installed version writes them.
    onnx
        Python of an environment with sentence-transformers, optimum-onnx and onnxruntime, which adds
        ``onnx/model.onnx``. It is another one, as optimum-onnx does not go with transformers 5 so far.
    check
        Sentences whose vectors are compared before and after.

    Raises
    ------
    ModelError
        If the model cannot be loaded, holds modules of others, or the folder is taken or cannot be written;
        if the other environment cannot make the ONNX file.
    NumericsError
        If weights or compared vectors are not finite: float16 ends at 65504.
    """
    target = Path(folder).expanduser().resolve()
    check_target(target)
    if onnx is not None:
        check_onnx(onnx, precision, layout)
    model = load_model(name, device="cpu")
    check_saveable(model)
    before = _encode(model, check)
    model.to(getattr(torch, precision))
    _check_finite(model, precision)
    turned: list[Any] = []
    try:
        with whole_folder(target) as fresh:
            model.save(str(fresh))
            if layout == "5.3":
                make_portable(fresh)
            _keep_own_files(Path(name), fresh)
            if onnx is not None:
                turned = _add_onnx(fresh, str(onnx), check)
            after = _encode(SentenceTransformer(str(fresh), device="cpu", local_files_only=True), check)
            figures = _compare(before, after, turned)
            size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
    except OSError as error:
        raise ModelError(
            f"cannot write the model to {target}: {error}", "Check the free space and the permissions."
        ) from error
    return ExportReport(
        model=str(name),
        folder=str(target),
        precision=precision,
        layout=layout,
        megabytes=round(size / 1e6, 1),
        **figures,
    )


def check_target(target: Path) -> None:
    """Refuse a place where something stands."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"cannot export to {target}: there is something already", "Name another folder.")


def check_onnx(python: str | Path, precision: str, layout: str) -> None:
    """Refuse what the other environment could not do, before anything is loaded."""
    if precision != "float32" or layout != "5.3":
        raise ModelError(
            f"an ONNX file cannot be made from precision {precision}, layout {layout}",
            "Leave both out: it needs float32 and the layout that older versions read.",
        )
    try:
        done = subprocess.run(
            [str(python), "-c", "import sentence_transformers, onnxruntime, optimum.onnxruntime"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ModelError(f"{python}: cannot be run: {error.strerror}", ONNX_HINT) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"{python}: its sentence-transformers cannot write ONNX: {reason}", ONNX_HINT)


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> Any:
    if not texts:
        return None
    return model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False).float().numpy()


def _check_finite(model: SentenceTransformer, precision: str) -> None:
    bad = [name for name, weights in model.state_dict().items() if not torch.isfinite(weights).all()]
    if bad:
        raise NumericsError(f"{bad[0]} is not finite in {precision}", "Export it as bfloat16 or float32.")


def _keep_own_files(source: Path, fresh: Path) -> None:
    for name in OWN_FILES:
        if (source.expanduser() / name).is_file():
            (fresh / name).write_bytes((source.expanduser() / name).read_bytes())


def _add_onnx(folder: Path, python: str, texts: Sequence[str]) -> list[Any]:
    done = subprocess.run(
        [python, "-c", ONNX_CODE, str(folder), ONNX_FILE, json.dumps(list(texts))],
        capture_output=True,
        text=True,
        check=False,
    )
    line = next((each for each in done.stdout.splitlines() if each.startswith("VECTORS")), None)
    if done.returncode or line is None:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"no ONNX file could be made by {python}: {reason}", ONNX_HINT)
    vectors: list[Any] = json.loads(line.removeprefix("VECTORS"))
    return vectors


def _compare(before: Any, after: Any, turned: list[Any]) -> dict[str, Any]:
    if before is None:
        return {}
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise NumericsError("vectors are not finite", "Check the model, or export it as bfloat16 or float32.")
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    figures = {
        "sentences": len(before),
        "largest_difference": float(np.abs(before - after).max()),
        "lowest_cosine": float(((before * after).sum(1) / norms).min()),
    }
    if turned:
        figures["onnx_difference"] = float(np.abs(before - np.asarray(turned)).max())
    return figures
