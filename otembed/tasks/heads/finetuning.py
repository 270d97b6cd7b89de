"""Fine-tuning of a head in its run folder, from the encoder to the figures: what XNLI and tagging have in common."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter

from otembed.embeddings.fingerprint import model_fingerprint
from otembed.results.temporary import temporary_folder
from otembed.runtime.trainer import check_arguments, check_fields, require_batch, resolve_precision
from otembed.tasks.heads.training import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from sentence_transformers import SentenceTransformer
    from transformers import TrainingArguments

    from otembed.config.tagging import TaggingFinetuneConfig
    from otembed.config.xnli import FinetuneConfig
    from otembed.tasks.heads.run import HeadRun

Made = TypeVar("Made")
Found = TypeVar("Found")
Config = TypeVar("Config", bound="FinetuneConfig | TaggingFinetuneConfig")

# The summary of a finished training run.
OUTCOME = ("steps", "best_step", "dev_accuracy", "trained_parameters", "max_length_used")


@dataclass(frozen=True)
class Head(Generic[Made, Config]):
    """The steps in which heads differ.

    Parameters
    ----------
    arguments
        The class of the trainer's arguments.
    build
        Returns a copy of the encoder with a new head.
    count
        Returns the number of training examples for it.
    train
        Trains it in place and returns the summary, a mapping from the names in ``OUTCOME``.
    save
        Writes it to a folder.
    load
        Returns what ``save`` wrote, from the folder, the summary and the encoder, on the encoder's device.
    """

    arguments: type[TrainingArguments]
    build: Callable[[SentenceTransformer, Config], Made]
    count: Callable[[Made], int]
    train: Callable[[Made, Config], dict[str, Any]]
    save: Callable[[Made, Path], None]
    load: Callable[[Path, dict[str, Any], SentenceTransformer], Made]


def finetune_head(
    head: Head[Made, Config],
    load: Callable[[], SentenceTransformer],
    config: Config,
    run: HeadRun,
    data: Mapping[str, str],
    *,
    resume: bool,
    overwrite: bool,
    afterwards: Collection[str] = (),
) -> tuple[Made, dict[str, Any]]:
    """Fine-tune an encoder with its head in a run folder, and return the model and the summary; ``OUTCOME`` has its names.

    Parameters
    ----------
    head
        The steps.
    load
        Returns the encoder, which is released once its copy with the new head is built.
    config
        Settings of the training.
    run
        The run folder. A finished run is loaded.
    data
        Name to digest of each dataset; a run is only resumed with the same encoder, data and settings.
    resume, overwrite
        Resume the run in the folder, or replace it.
    afterwards
        Settings that do not affect training: a finished run can be tested again with other values.

    Raises
    ------
    ConfigError
        The folder is in use or contains a run with different settings, the precision is fp16 on a CPU, or the examples do
        not fill a batch.
    ModelError
        The encoder cannot have the head.
    NumericsError
        The loss becomes NaN or infinite; the last checkpoint is kept.
    """
    check_fields(head.arguments, config.trainer, type(config))
    encoder = load()
    checked = resolve_precision(config, encoder.device)
    check_arguments(head.arguments, checked, config.trainer, encoder)
    settings = TypeAdapter(type(config)).dump_python(checked, mode="json")
    inputs = {"encoder": model_fingerprint(encoder), **data}
    # Built before the folder is opened: an encoder that cannot have the head leaves an earlier run intact.
    made = None if resume and run.finished else head.build(encoder, checked)
    if made is not None and checked.trainer.get("dataloader_drop_last"):
        require_batch(head.count(made), checked.per_device_train_batch_size, checked.trainer)

    def train() -> tuple[Made, dict[str, Any]]:
        nonlocal encoder
        built = head.build(encoder, checked) if made is None else made
        del encoder
        free_memory()
        return built, head.train(built, checked)

    def load_trained(place: Path, summary: dict[str, Any]) -> Made:
        return head.load(place, {name: summary[name] for name in OUTCOME}, encoder)

    opened = run.opened(
        {name: value for name, value in settings.items() if name not in afterwards},
        inputs,
        resume=resume,
        overwrite=overwrite,
    )
    with opened:
        trained, summary = run.trained(train, head.save, load_trained)
    return trained, {name: summary[name] for name in OUTCOME}


def finetuned(
    folder: Path | None,
    run: Callable[..., HeadRun],
    train: Callable[[HeadRun], tuple[Made, dict[str, Any]]],
    test: Callable[[Made], Found],
) -> tuple[Found, float, dict[str, Any]]:
    """Fine-tune and test, and free the memory of the model.

    Parameters
    ----------
    folder
        The run folder; None uses a temporary one.
    run
        Returns the run of a folder; ``lasting`` says whether it is kept.
    train
        Returns the model and the summary of its training, see :func:`finetune_head`.
    test
        Returns the predictions of the model.

    Returns
    -------
    tuple
        The predictions, the accuracy on the development examples, and the rest of the summary.
    """
    with temporary_folder() if folder is None else nullcontext(folder) as place:
        made, summary = train(run(place, lasting=folder is not None))
        found = test(made)
    del made
    free_memory()
    return found, summary.pop("dev_accuracy"), summary
