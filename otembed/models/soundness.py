"""Checks of a loaded encoder that loading leaves out: it can encode, and no part was replaced."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from sentence_transformers.sentence_transformer.modules import Dense, Router
from sentence_transformers.util import batch_to_device, load_file_path
from transformers import PreTrainedTokenizerBase

from otembed.errors import DataError, ModelError, named_line
from otembed.models.architecture import length_limit
from otembed.results.format import counted
from otembed.results.reading import read_json, require_files

if TYPE_CHECKING:
    from collections.abc import Callable

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
# The settings in these files, and in those of the modules, are read by libraries whose errors do not name the file.
SETTINGS = (
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
)
# What Python says of a module whose settings are missing.
LACKS_ARGUMENTS = re.compile(r"(\w+)\.__init__\(\) missing \d+ required")
OWN_KIND = "SentenceTransformer"
# transformers marks the parameters that it has read from a checkpoint.
READ_MARK = "_is_hf_initialized"


def require_plausible(folder: Path) -> None:
    """Raise a :class:`ModelError` for settings that are not JSON, and files and settings with which loading would not end."""
    hint = "Write the model again, or download it again."
    try:
        require_files(folder)
        files = [*(folder / name for name in SETTINGS), *sorted(folder.glob("*/config.json"))]
        documents = {path: read_json(path, hint) for path in files if path.exists()}
    except DataError as error:
        raise ModelError(f"cannot load the model in {folder}: {error.message}", error.hint) from error
    for path, settings in documents.items():
        for key in LAYERS:
            count = settings.get(key) if isinstance(settings, dict) else None
            if isinstance(count, int) and count > MOST_LAYERS:
                raise ModelError(f"{path}: {key} is {count}, more than {MOST_LAYERS}", hint)


def damaged_weights(folder: Path) -> Path | None:
    """Return the first file of weights that cannot be opened; None if there is none."""
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except (OSError, SafetensorError):
            return path
    return None


def missing_settings(folder: Path, reason: str) -> Path | None:
    """Return the file that has the arguments of a module, if it is missing and ``reason`` is the TypeError of its class."""
    found = LACKS_ARGUMENTS.match(reason)
    listed = folder / "modules.json"
    if found is None or not listed.is_file():
        return None
    for module in read_json(listed, ""):
        path = folder / str(module["path"]) / "config.json"
        if str(module["type"]).endswith(f".{found[1]}") and not path.exists():
            return path
    return None


def require_length(model: SentenceTransformer, source: str) -> None:
    """Raise a :class:`ModelError` if the maximum length of a text is neither a whole number nor unlimited."""
    length = length_limit(model)
    if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
        raise ModelError(
            f"{source}: max_seq_length is {length!r}, not a whole number",
            "Correct it in sentence_bert_config.json, or model_max_length in tokenizer_config.json.",
        )


def require_sound(model: SentenceTransformer, source: str, revision: str | None, cache_dir: str | None) -> None:
    """Raise a :class:`ModelError` if the model cannot encode, or would encode otherwise than its files say."""

    def read(name: str, folder: str = "") -> object:
        path = load_file_path(source, name, folder, None, cache_dir, revision, local_files_only=True)
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))

    _refuse_other_kind(source, read)
    _refuse_replaced_activation(model, source, read)
    _require_vocabulary(model, source)
    # Without a default route, the route of a Router depends on the task of a text.
    if any(isinstance(module, Router) and module.default_route is None for module in model):
        return
    random = _random_parameters(model)
    try:
        with torch.inference_mode(not random):
            features = batch_to_device(model.preprocess([SAMPLE]), model.device)
            vector = model(features)["sentence_embedding"].cpu()
    # Damaged settings of the tokenizer, the pooling or the architecture fail in many ways.
    except Exception as error:
        raise ModelError(
            f"the model {source!r} loads, but cannot encode a text: {named_line(error)}",
            "Check that tokenizer, settings and weights belong to one model, or download it again.",
        ) from error
    _refuse_random(vector, random, source)


def _refuse_other_kind(source: str, read: Callable[..., object]) -> None:
    """Reject a model of another class: sentence-transformers keeps its transformer alone, and averages token states."""
    settings = read("config_sentence_transformers.json")
    kind = settings.get("model_type", OWN_KIND) if isinstance(settings, dict) else OWN_KIND
    if kind != OWN_KIND:
        raise ModelError(
            f"{source} is a {kind}, not a sentence encoder",
            f"Use a sentence encoder. To use its transformer with mean pooling, save {OWN_KIND}({source!r}) in a new folder.",
        )


def _require_vocabulary(model: SentenceTransformer, source: str) -> None:
    """Reject a tokenizer without words: transformers makes one if the files of the tokenizer are missing."""
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    # A tokenizer of SentencePiece without files has the space, too.
    if len(tokenizer) - len({*tokenizer.all_special_ids}) <= 1:
        raise ModelError(
            f"the model {source!r} cannot encode a text: the vocabulary of its tokenizer is empty",
            "Add the files of the tokenizer, such as tokenizer.json, or download the model again.",
        )


def _random_parameters(model: SentenceTransformer) -> dict[str, torch.nn.Parameter]:
    """Return the parameters of the transformer that are not in its files; transformers gives them random values.

    Those that its class computes, such as sinusoidal positions, need not be in the files.
    """
    transformer = model.transformers_model
    if transformer is None or not any(hasattr(each, READ_MARK) for each in transformer.modules()):
        return {}
    computed = [re.compile(each) for each in transformer._keys_to_ignore_on_load_missing or ()]
    return {
        name: each
        for name, each in transformer.named_parameters()
        if not getattr(each, READ_MARK, False) and not any(pattern.search(name) for pattern in computed)
    }


def _refuse_random(vector: torch.Tensor, random: dict[str, torch.nn.Parameter], source: str) -> None:
    """Reject random parameters on which the vector of a text depends: those of an unused pooler may be missing."""
    if not random or not vector.requires_grad:
        return
    trained = {name: each for name, each in random.items() if each.requires_grad}
    gradients = torch.autograd.grad(vector.sum(), [*trained.values()], allow_unused=True)
    used = [name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None]
    if used:
        others = f" and {counted(len(used) - 1, 'other tensor')}" if len(used) > 1 else ""
        raise ModelError(
            f"cannot load the model {source!r}: its weights lack {used[0]}{others}",
            "Check that settings and weights belong to one model, or download it again.",
        )


def _refuse_replaced_activation(model: SentenceTransformer, source: str, read: Callable[..., object]) -> None:
    """Reject an activation outside torch: sentence-transformers does not import it, but silently uses tanh."""
    if not any(isinstance(module, Dense) for module in model):
        return
    modules = read("modules.json")
    for entry in modules if isinstance(modules, list) else []:
        settings = read("config.json", entry["path"]) if entry["type"].endswith(".Dense") else None
        activation = settings.get("activation_function", TRUSTED) if isinstance(settings, dict) else TRUSTED
        if not str(activation).startswith(TRUSTED):
            raise ModelError(
                f"{source}: the activation function {activation} is not part of torch, and code from elsewhere is not run",
                "Use a model whose Dense module has an activation of torch.nn.",
            )
