"""Rewrite a saved folder so that sentence-transformers 5.3, 5.4 and 6.2 load it identically.

Version 6.2 writes module paths and settings that versions up to 5.3 do not support, while all three read
the older names. Modules without an older form (several modalities, residual dense layers) are left
unchanged: such a folder loads in 6.2 only, and a warning is logged.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from otembed.results import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

Settings = dict[str, Any]

MODULES_FILE = "modules.json"
ENCODER_SETTINGS_FILE = "sentence_bert_config.json"
SETTINGS_FILES = {"Transformer": ENCODER_SETTINGS_FILE, "Router": "router_config.json"}

POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
TEXT_ENCODER: Settings = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
SENTENCE_TO_SENTENCE: Settings = {
    "module_input_name": "sentence_embedding",
    "module_output_name": "sentence_embedding",
}
UNLIMITED = 10**9
"""Tokenizers without a length limit store a huge number instead."""


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def module_entry(index: int, name: str, path: str) -> Settings:
    """Return the ``modules.json`` entry of a module with its name in all versions."""
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}


def pooling_settings(dimension: int, modes: str | Sequence[str], *, include_prompt: bool = True) -> Settings:
    """Return the settings of a pooling module, one boolean per mode."""
    chosen = {modes} if isinstance(modes, str) else set(modes)
    switches = {key: mode in chosen for mode, key in POOLING_KEYS.items()}
    return {"word_embedding_dimension": dimension, **switches, "include_prompt": include_prompt}


def make_portable(folder: Path) -> None:
    """Rewrite ``modules.json``, module settings and tokenizer settings of a folder saved by 6.2.

    ``output_hidden_states``, set during training, is removed from ``config.json`` unless a module needs
    all layers, to avoid the cost of unused hidden states.
    """
    modules = read_json(folder / MODULES_FILE)
    kinds = [entry["type"].rpartition(".")[2] for entry in modules]
    _rewrite_tokenizer(folder / "tokenizer_config.json")
    for entry, kind in zip(modules, kinds, strict=True):
        path = folder / entry["path"] / SETTINGS_FILES.get(kind, "config.json")
        older = _older_settings(kind, path)
        if older is None:
            logger.warning(
                "module %s has no older form: the model loads in current versions of sentence-transformers only",
                kind,
            )
            continue
        if older or path.exists():
            write_json(path, older)
        entry["type"] = module_entry(0, kind, "")["type"]
    write_json(folder / MODULES_FILE, modules)
    if "WeightedLayerPooling" not in kinds:
        _switch_off_hidden_states(folder / "config.json")


def _older_settings(kind: str, path: Path) -> Settings | None:
    """Return the older form of a module's settings, or None if there is none."""
    rewrite = _REWRITES.get(kind)
    if rewrite is None:
        return None
    settings = read_json(path) if path.exists() else {}
    older = rewrite(settings)
    if older is not None and kind == "Router":
        return _older_routes(older, path.parent)
    if older is not None and kind == "Transformer":
        tokenizer_path = path.parent / "tokenizer_config.json"
        limit = read_json(tokenizer_path).get("model_max_length") if tokenizer_path.exists() else None
        if limit is not None and limit < UNLIMITED:
            older = {"max_seq_length": limit, **older}
    return older


def _older_transformer(settings: Settings) -> Settings | None:
    return {"do_lower_case": False} if settings == TEXT_ENCODER else None


def _older_pooling(settings: Settings) -> Settings | None:
    return pooling_settings(
        settings["embedding_dimension"], settings["pooling_mode"], include_prompt=settings["include_prompt"]
    )


def _older_normalize(settings: Settings) -> Settings | None:
    return {} if settings == SENTENCE_TO_SENTENCE else None


def _older_dense(settings: Settings) -> Settings | None:
    defaults = {**SENTENCE_TO_SENTENCE, "use_residual": False}
    if any(settings.get(key, value) != value for key, value in defaults.items()):
        return None
    return {key: value for key, value in settings.items() if key not in defaults}


def _older_router(settings: Settings) -> Settings | None:
    """Return the settings without mappings of routes, which versions up to 5.3 do not have."""
    parameters = dict(settings["parameters"])
    return None if parameters.pop("route_mappings", None) else {**settings, "parameters": parameters}


def _older_routes(settings: Settings, folder: Path) -> Settings | None:
    """Rewrite the modules of a Router, and return its settings with their older names; None if one has no older form."""
    older = {}
    for name, kind in settings["types"].items():
        path = folder / name / "config.json"
        older[path] = _older_settings(kind.rpartition(".")[2], path)
    if any(each is None for each in older.values()):
        return None
    for path, each in older.items():
        if each or path.exists():
            write_json(path, each)
    kinds = {name: module_entry(0, kind.rpartition(".")[2], "")["type"] for name, kind in settings["types"].items()}
    return {**settings, "types": kinds}


_REWRITES: dict[str, Callable[[Settings], Settings | None]] = {
    "Transformer": _older_transformer,
    "Pooling": _older_pooling,
    "Normalize": _older_normalize,
    "Dense": _older_dense,
    "Dropout": dict,
    "LayerNorm": dict,
    "Router": _older_router,
}


def _rewrite_tokenizer(path: Path) -> None:
    """Use the tokenizer class name of all transformers versions, and drop keys added by loading."""
    if not path.exists():
        return
    settings = read_json(path)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("backend", "is_local", "local_files_only"):
        settings.pop(key, None)
    write_json(path, settings)


def _switch_off_hidden_states(path: Path) -> None:
    if path.exists():
        settings = read_json(path)
        if settings.pop("output_hidden_states", False):
            write_json(path, settings)
