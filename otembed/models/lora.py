"""Low-rank adapters (LoRA) on an encoder: add, store, restore and merge them, through PEFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors.torch import load_file
from sentence_transformers.base.modules import Module
from torch import nn

from otembed.errors import ConfigError, ModelError, did_you_mean, first_line
from otembed.models.architecture import transformer_of
from otembed.models.folders import whole_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base import BaseModel

    from otembed.config.train import LoraConfig

    Model = TypeVar("Model", bound=BaseModel)

# PEFT stores the weights of an adapter under the names that they have inside its own wrapper.
PREFIX = "base_model.model."
WEIGHTS = "adapter_model.safetensors"


def has_adapter(model: BaseModel) -> bool:
    """Return whether the transformer of ``model`` has an adapter of PEFT."""
    return bool(getattr(model.transformers_model, "_hf_peft_config_loaded", False))


def add_lora(model: SentenceTransformer, config: LoraConfig) -> None:
    """Add an untrained adapter to the transformer of ``model``, and freeze everything in it but the adapter.

    The adapter starts as zero: the model computes the same as before. Modules after the transformer stay as they are.

    Raises
    ------
    ConfigError
        PEFT is not installed, or the transformer has no modules of the names in ``target_modules``.
    ModelError
        PEFT does not know which modules of this architecture to adapt.
    """
    try:
        from peft import LoraConfig as PeftConfig
        from peft import TaskType
    except ImportError as error:
        raise ConfigError("model.lora requires peft", 'pip install "otembed[peft]"') from error

    transformer = transformer_of(model)
    linear = sorted({name.rpartition(".")[2] for name, each in transformer.named_modules() if _is_linear(each)})
    targets = config.target_modules
    for name in targets if isinstance(targets, tuple) else ():
        if not any(each == name or each.endswith(f".{name}") for each, _ in transformer.named_modules()):
            raise ConfigError(
                f"model.lora.target_modules: {type(transformer).__name__} has no module {name!r}",
                did_you_mean(name, linear),
            )
    settings = PeftConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
    )
    try:
        model.add_adapter(settings)
    except ValueError as error:
        raise ModelError(
            f"cannot add an adapter to {type(transformer).__name__}: {first_line(error)}",
            f"Set model.lora.target_modules to names of linear layers: {', '.join(linear)}.",
        ) from error


def merge_adapter(model: Model) -> Model:
    """Add the adapter of ``model`` to its weights, in place, and remove it; the model computes the same without PEFT.

    Returns
    -------
    model
        The model itself.

    Raises
    ------
    ModelError
        The model has no adapter, or its weights would not be finite.

    Examples
    --------
    >>> save_model(merge_adapter(load_model("folder-with-adapter")), "merged")  # doctest: +SKIP
    """
    if not has_adapter(model):
        raise ModelError("the model has no adapter", "Use the model as it is.")
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer: Any = model.transformers_model
    adapted = [(name, each) for name, each in transformer.named_modules() if isinstance(each, BaseTunerLayer)]
    try:
        for _, layer in adapted:
            layer.merge(safe_merge=True)
    except ValueError as error:
        raise ModelError(f"the adapter cannot be merged: {error}", "Train with a lower learning rate.") from error
    for name, layer in adapted:
        transformer.set_submodule(name, layer.get_base_layer())
    del transformer.peft_config
    transformer._hf_peft_config_loaded = False
    # Of an adapter that was loaded: saved under its names, the weights of the model would not be found.
    transformer._weight_conversions = None
    return model


def without_adapter(model: Model) -> Model:
    """Return the model itself, its adapter merged in place if it has one: its weights are then all in one checkpoint."""
    return merge_adapter(model) if has_adapter(model) else model


def save_adapter(model: BaseModel, folder: Path) -> None:
    """Write the adapter of ``model`` in the format of PEFT; OutputError if that fails."""
    with whole_folder(folder) as place:
        transformer_of(model).save_pretrained(place)


def load_adapter_checkpoint(model: BaseModel, checkpoint: str | Path) -> None:
    """Set adapter and later modules of ``model`` to those of a checkpoint.

    The trainer of sentence-transformers would load the base model again, by its name: a revision or a file that has
    changed since would replace the base.
    """
    from peft import set_peft_model_state_dict

    folder = Path(checkpoint)
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module, entry in zip(model.children(), entries, strict=True):
        place = folder / entry["path"]
        if (place / WEIGHTS).is_file():
            stored = {name.removeprefix(PREFIX): each for name, each in load_file(place / WEIGHTS).items()}
            set_peft_model_state_dict(transformer_of(model), stored)
        elif isinstance(module, Module) and module.state_dict():
            kind: Any = type(module)
            loaded = kind.load(str(folder), subfolder=entry["path"], local_files_only=True)
            module.load_state_dict(loaded.state_dict())


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
