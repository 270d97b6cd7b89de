"""Additions to the model card that sentence-transformers writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed._version import __version__
from otembed.config.io import to_yaml
from otembed.models.card import card_metadata
from otembed.models.describe import public_name
from otembed.models.load import is_hub_name
from otembed.models.push import RESULTS, RESULTS_FILE
from otembed.results import write_text
from otembed.training.card_metadata import LICENSE_FIELDS, benchmark_results, with_metadata
from otembed.training.card_section import card_section, with_section

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.config.train import TrainConfig
    from otembed.training.result import TrainResult
    from otembed.words.layer_choice import LayerChoice

UNKNOWN = "unknown"
# Base model and license of the offline encoders.
OFFLINE_ORIGINS = {"offline:multilingual-e5-small": ("intfloat/multilingual-e5-small", "mit")}


def show_plain_encode(model: SentenceTransformer) -> None:
    """Let the usage example of the card call ``encode``; call it before creating the trainer.

    Both sides of a pair are encoded alike, in training and for the figures of the card. For a model with prompts for queries
    or passages, the library would call ``encode_query`` and ``encode_document``, which prepend others.
    """
    model.model_card_data.ir_model = False


def keep_examples_out(model: SentenceTransformer, config: TrainConfig) -> None:
    """Keep training sentences out of the card's widget and usage example; call it before creating the trainer."""
    card = model.model_card_data
    card.generate_widget_examples = config.examples_in_card
    if not config.examples_in_card:
        card.widget = [{"text": ""}]  # prevents examples from being drawn from the training text


def describe_in_card(model: SentenceTransformer, config: TrainConfig) -> None:
    """Set languages, tags, base model, license and the name on the hub; remove training sentences unless ``examples_in_card``."""
    card = model.model_card_data
    codes = sorted({code.split("_")[0] for pair in config.pairs for code in pair.split("-")})
    card.language = codes
    card.add_tags(["otembed", "bitext-mining"])
    # sentence-transformers reports a loss without a wrapped loss as wrapping NoneType.
    card.tags = [tag for tag in card.tags if tag != "loss:NoneType"]
    card.model_id = config.hub.push
    base, license = _origin(config)
    # Set here, or the library would ask the hub for them in the middle of the training.
    card.base_model, card.license = base, config.hub.license or license
    if base == config.model.name:
        loaded = getattr(model.transformers_model, "config", None)
        card.base_model_revision = config.model.revision or getattr(loaded, "_commit_hash", None)
    if config.examples_in_card:
        return
    card.widget = []
    for dataset in card.train_datasets:
        dataset.pop("examples", None)
        dataset["examples_table"] = ""


def _origin(config: TrainConfig) -> tuple[str | None, str]:
    """Return the base model, as a name on the hub, and its license, from its own card."""
    name = config.model.name
    if name in OFFLINE_ORIGINS:
        return OFFLINE_ORIGINS[name]
    metadata = card_metadata(name, config.model.revision)
    license = metadata.get("license")
    base = name if is_hub_name(name) else metadata.get("base_model")
    return (base if isinstance(base, str) else None), (license if isinstance(license, str) else UNKNOWN)


def restate_log(model: SentenceTransformer, history: list[dict[str, Any]], evaluator: Any) -> None:
    """Set the card's table of the training from the trainer's history, of which a resumed run has the whole.

    ``evaluator`` is the trainer's SequentialEvaluator, None without held-out pairs.

    The card says nothing of the time: the library measures it since the run was last resumed.
    """
    metrics = [] if evaluator is None else [str(each.primary_metric) for each in evaluator.evaluators]
    columns = {"loss": "Training Loss"} | {f"eval_{metric}": metric for metric in metrics}
    rows: dict[int, dict[str, Any]] = {}
    for entry in history:
        found = {column: entry[name] for name, column in columns.items() if name in entry}
        if found:
            rows.setdefault(entry["step"], {"Epoch": entry["epoch"], "Step": entry["step"]}).update(found)
    card = model.model_card_data
    card.training_logs = list(rows.values())
    card._training_start_time = None


def complete_card(
    folder: Path,
    result: TrainResult,
    config: TrainConfig,
    choice: LayerChoice | None,
    *,
    truncated_at: int | None,
    own_limit: int | None,
) -> None:
    """Add the scores before and after, the word alignment layer and the settings to the saved model's card.

    ``truncated_at`` and ``own_limit`` are those of :func:`card_section`. The metadata gets the scores as ``model-index``, and ``.eval_results`` those of benchmarks.
    """
    path = folder / "README.md"
    layer, scores = (None, ()) if choice is None else (choice.layer, choice.scores)
    section = card_section(
        result,
        to_yaml(publishable(config)),
        __version__,
        layer,
        scores,
        truncated_at=truncated_at,
        own_limit=own_limit,
    )
    license = {}
    if config.hub.license is None and config.model.name not in OFFLINE_ORIGINS:
        found = card_metadata(config.model.name, config.model.revision)
        license = {field: found[field] for field in LICENSE_FIELDS if field in found}
    card = with_section(path.read_text(encoding="utf-8"), section)
    write_text(path, with_metadata(card, result, publishable(config), license))
    entries = benchmark_results(result, config, __version__)
    if entries:
        (folder / RESULTS).mkdir(exist_ok=True)
        write_text(folder / RESULTS / RESULTS_FILE, to_yaml(entries))


def publishable(config: TrainConfig) -> TrainConfig:
    """Return the settings without folders of local files, since model cards are published."""
    return replace(
        config,
        pairs=_without_folders(config.pairs),
        output=Path(config.output).name or config.output,
        model=replace(config.model, name=public_name(config.model.name)),
        loss=replace(config.loss, teacher=config.loss.teacher and public_name(config.loss.teacher)),
        trainer=_field_without_folders(config.trainer),
        held_out=replace(config.held_out, pairs=_without_folders(config.held_out.pairs)),
        hub=replace(config.hub, push=None, revision=None),
        release=replace(config.release, other_pairs=_without_folders(config.release.other_pairs)),
    )


def _without_folders(pairs: dict[str, str]) -> dict[str, str]:
    return {pair: _place(value) for pair, value in pairs.items()}


def _field_without_folders(value: Any) -> Any:
    """Return a value of ``trainer`` with local paths reduced to their last part."""
    if isinstance(value, dict):
        return {name: _field_without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_field_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", ".", "~")) else value


def _place(value: str) -> str:
    """Return the location of parallel text without folders; starter and hub names are kept."""
    if value.startswith(("starter:", "hub:")):
        return value
    files, mark, query = value.partition("?")
    return ",".join(Path(each).name for each in files.split(",")) + mark + query
