"""Checks of a loaded encoder that loading leaves out: it can encode, and no part was replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sentence_transformers.sentence_transformer.modules import Dense, Router
from sentence_transformers.util import batch_to_device, load_file_path

from otembed.errors import DataError, ModelError
from otembed.models.architecture import length_limit
from otembed.results.reading import read_json, require_files

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MOST_LAYERS = 1000
LAYERS = (
    "num_hidden_layers",
    "num_layers",
    "n_layers",
    "n_layer",
    "encoder_layers",
    "num_hidden_groups",
    "inner_group_num",
)
TRUSTED = "torch."
SAMPLE = "a 1."


def require_plausible(folder: Path) -> None:
    """Raise a :class:`ModelError` for files and settings with which loading would not end."""
    hint = "Write the model again, or download it again."
    try:
        require_files(folder)
        settings = read_json(folder / "config.json", hint) if (folder / "config.json").exists() else {}
    except DataError as error:
        raise ModelError(f"cannot load the model in {folder}: {error.message}", error.hint) from error
    for key in LAYERS:
        count = settings.get(key) if isinstance(settings, dict) else None
        if isinstance(count, int) and count > MOST_LAYERS:
            raise ModelError(f"{folder / 'config.json'}: {key} is {count}, more than {MOST_LAYERS}", hint)


def require_length(model: SentenceTransformer, source: str) -> None:
    """Raise a :class:`ModelError` if the maximum length of a text is neither a whole number nor unlimited."""
    length = length_limit(model)
    if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
        raise ModelError(
            f"{source}: max_seq_length is {length!r}, not a whole number",
            "Correct it in sentence_bert_config.json, or model_max_length in tokenizer_config.json.",
        )


def require_sound(model: SentenceTransformer, source: str, revision: str | None, cache_dir: str | None) -> None:
    """Raise a :class:`ModelError` if the model cannot encode, or has another activation than its files name."""
    _refuse_replaced_activation(model, source, revision, cache_dir)
    # The route of a Router may depend on the task of a text.
    if any(isinstance(module, Router) for module in model):
        return
    try:
        with torch.inference_mode():
            model(batch_to_device(model.preprocess([SAMPLE]), model.device))["sentence_embedding"].cpu()
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
