"""Load an encoder from a folder, the model hub or the offline wheel."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.offline.encoder import OFFLINE_MODELS, OFFLINE_PREFIX, offline_model_path

logger = logging.getLogger(__name__)

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
MODEL_FILES = ("modules.json", "config.json")
OFFLINE_HINT = (
    f'{OFFLINE_PREFIX}{next(iter(OFFLINE_MODELS))} needs no network; it comes with pip install "otembed[offline]".'
)


def load_model(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    max_seq_length: int | None = None,
    revision: str | None = None,
    local_files_only: bool | None = None,
    cache_dir: str | Path | None = None,
) -> SentenceTransformer:
    """Load a sentence encoder with float32 weights; code from a model is never run.

    Parameters
    ----------
    name
        A local folder, a name on the model hub (``intfloat/multilingual-e5-small``) or
        ``offline:multilingual-e5-small``. What looks like a path (starts with ``.``, ``/`` or ``~``, has
        a separator beyond ``OWNER/NAME``, or exists) is never sent to the hub.
    device
        ``"cpu"``, ``"cuda:0"``, ...; by default the best one there is.
    max_seq_length
        Cut texts after this many tokens, special ones included; by default what the model says.
    revision
        Branch, tag or commit on the hub.
    local_files_only
        Use only what earlier downloads left on this machine. By default the hub is asked, unless
        ``HF_HUB_OFFLINE`` is set.
    cache_dir
        Where downloads, or converted offline models, are kept.

    Returns
    -------
    SentenceTransformer
        The model in evaluation mode, its weights in float32 whatever the checkpoint holds: training
        in half precision is a matter of autocast, not of weights.

    Raises
    ------
    ModelError
        If the name is unknown, the folder is missing or holds no model, the hub cannot be reached, the
        device is not there, or ``max_seq_length`` is not one the model can do.
    """
    text = str(name)
    _check_device(device)
    if text.startswith(OFFLINE_PREFIX):
        folder: Path | None = offline_model_path(text, cache_dir)
    else:
        folder = _local_folder(text)
    if folder is not None:
        model = _load(str(folder), device, revision=None, local_files_only=True, cache_dir=None)
    else:
        cache = None if cache_dir is None else str(Path(cache_dir).expanduser())
        model = _load(text, device, revision, bool(local_files_only), cache)
    if max_seq_length is not None:
        _set_max_seq_length(model, max_seq_length)
    logger.info("loaded %s on %s", text, model.device)
    return model.float().eval()


def _local_folder(name: str) -> Path | None:
    """Return the checked folder that ``name`` means, or None if it is a name on the hub."""
    folder = Path(name).expanduser()
    if not folder.exists():
        if HUB_NAME.fullmatch(name):
            return None
        raise ModelError(
            f"no such model folder: {name!r}",
            f"Give an existing folder or a hub name OWNER/NAME; {OFFLINE_HINT}",
        )
    if not folder.is_dir():
        raise ModelError(f"not a model folder but a file: {name!r}", "Give the folder that holds the model.")
    if not any((folder / file).is_file() for file in MODEL_FILES):
        raise ModelError(
            f"the folder {name!r} holds no model: neither {' nor '.join(MODEL_FILES)} is there",
            "Give the folder that SentenceTransformer.save or save_model has written.",
        )
    return folder


def _load(
    source: str,
    device: str | torch.device | None,
    revision: str | None,
    local_files_only: bool,
    cache_dir: str | None,
) -> SentenceTransformer:
    """Load from a folder or the hub and turn every failure into a ModelError."""
    try:
        return SentenceTransformer(
            source,
            device=None if device is None else str(device),
            revision=revision,
            local_files_only=local_files_only,
            cache_folder=cache_dir,
            trust_remote_code=False,
            model_kwargs={"dtype": torch.float32},
        )
    # Three libraries and their HTTP client raise what they like; the cause stays attached.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        detail = f"{type(error).__name__}: {reason}"
        if Path(source).is_dir():
            hint = "Check that the folder is whole; models that bring their own code are not loaded."
            raise ModelError(f"cannot load the model in {source}: {detail}", hint) from error
        where = "among the downloaded models" if local_files_only else "on the model hub"
        hint = f"Check the name and the network; {OFFLINE_HINT}"
        raise ModelError(f"cannot load {source!r} {where}: {detail}", hint) from error


def _check_device(device: str | torch.device | None) -> None:
    """Try the device before minutes go into loading."""
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {str(device)!r} cannot be used: {reason}", "Use 'cpu'.") from error


def _set_max_seq_length(model: SentenceTransformer, max_seq_length: int) -> None:
    limit = position_limit(transformer_of(model))
    if max_seq_length < 3 or (limit is not None and max_seq_length > limit):
        upper = "" if limit is None else f" and at most {limit}, the positions of this model"
        raise ModelError(
            f"max_seq_length is {max_seq_length}, must be at least 3 (a token between two special ones){upper}",
            "Leave it out to use the model's own.",
        )
    model.max_seq_length = max_seq_length
