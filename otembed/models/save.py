"""Save an encoder atomically as a folder that plain sentence-transformers loads."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sentence_transformers.base.modules import Module

from otembed.errors import ModelError
from otembed.models.folders import whole_folder
from otembed.models.portable import MODULES_FILE, make_portable
from otembed.results.paths import expand

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

LIBRARY = "sentence_transformers."


def save_model(
    model: SentenceTransformer, path: str | Path, *, overwrite: bool = False, model_card: bool = True
) -> Path:
    """Save ``model`` so that ``SentenceTransformer(path)`` loads it without otembed.

    The folder holds only modules of sentence-transformers, in JSON that versions 5.3, 5.4 and 6.2
    load identically, and never needs ``trust_remote_code``. It is written under a temporary name and renamed.

    Parameters
    ----------
    model
        The model; not modified.
    path
        The folder to write; parent folders are created.
    overwrite
        Replace the model at ``path``. It stays intact until the new one is complete; then the whole
        earlier folder is removed. A folder that does not contain a model is never replaced.
    model_card
        Write the README.md of sentence-transformers. After training it quotes three training examples:
        turn it off for confidential text.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    ModelError
        If a module of the model is not from sentence-transformers, or the path is taken.
    OutputError
        If the folder cannot be written; an earlier model is kept.
    """
    check_saveable(model)
    target = expand(path).resolve()
    _check_target(target, overwrite=overwrite)
    with whole_folder(target, needed=weight_bytes(model)) as folder:
        model.save(str(folder), create_model_card=model_card)
        make_portable(folder)
    logger.info("saved the model to %s", target)
    return target


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes that the weights take on disk."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def check_saveable(model: SentenceTransformer) -> None:
    """Reject a model that needs custom code to load; call it before training, too.

    Raises
    ------
    ModelError
        If a module of the pipeline, at any depth, is not a class of sentence-transformers.
    """
    pipeline = {*model.children(), *(module for module in model.modules() if isinstance(module, Module))}
    kinds = {f"{type(module).__module__}.{type(module).__qualname__}" for module in pipeline}
    foreign = sorted(kind for kind in kinds if not kind.startswith(LIBRARY))
    if foreign:
        raise ModelError(
            f"plain sentence-transformers could not load the saved model: it contains {', '.join(foreign)}",
            "Use only modules of sentence_transformers; others require trust_remote_code.",
        )


def _check_target(target: Path, *, overwrite: bool) -> None:
    """Reject a path that is in use."""
    if target.exists() and not target.is_dir():
        raise ModelError(f"cannot save the model to {target}: it is a file", "Choose a folder.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite:
        raise ModelError(
            f"cannot save the model to {target}: the folder is not empty",
            "Choose another folder, or replace the model with overwrite=True.",
        )
    if not (target / MODULES_FILE).is_file():
        raise ModelError(
            f"cannot overwrite {target}: it does not contain a sentence-transformers model",
            "Choose another folder; only models are overwritten.",
        )
