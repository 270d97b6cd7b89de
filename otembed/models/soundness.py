"""Checks of a loaded encoder that loading leaves out: it can encode, and no part was replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sentence_transformers.sentence_transformer.modules import Dense, Router
from sentence_transformers.util import load_file_path

from otembed.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TRUSTED = "torch."
SAMPLE = "a 1."


def require_sound(model: SentenceTransformer, source: str, revision: str | None, cache_dir: str | None) -> None:
    """Raise a :class:`ModelError` if the model cannot encode, or has another activation than its files name."""
    _refuse_replaced_activation(model, source, revision, cache_dir)
    # The route of a Router may depend on the task of a text.
    if any(isinstance(module, Router) for module in model):
        return
    try:
        model.encode([SAMPLE], show_progress_bar=False)
    # Damaged settings of the tokenizer, the pooling or the architecture fail in many ways.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ModelError(
            f"the model {source!r} loads, but cannot encode a text: {type(error).__name__}: {reason}",
            "Check that tokenizer, settings and weights belong to one model, or download it again.",
        ) from error


def _refuse_replaced_activation(
    model: SentenceTransformer, source: str, revision: str | None, cache_dir: str | None
) -> None:
    """Reject an activation outside torch: sentence-transformers does not import it, but silently uses tanh."""
    if not any(isinstance(module, Dense) for module in model):
        return

    def read(name: str, folder: str = "") -> object:
        path = load_file_path(source, name, folder, None, cache_dir, revision, local_files_only=True)
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))

    modules = read("modules.json")
    for entry in modules if isinstance(modules, list) else []:
        settings = read("config.json", entry["path"]) if entry["type"].endswith(".Dense") else None
        activation = settings.get("activation_function", TRUSTED) if isinstance(settings, dict) else TRUSTED
        if not str(activation).startswith(TRUSTED):
            raise ModelError(
                f"{source}: the activation function {activation} is not part of torch, and code from elsewhere is not run",
                "Use a model whose Dense module has an activation of torch.nn.",
            )
