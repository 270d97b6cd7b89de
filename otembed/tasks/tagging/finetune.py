"""Fine-tuning as in XTREME: encoder and token classifier trained together; the first token of a word has its tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification, TrainingArguments

from otembed.config.tagging import TaggingFinetuneConfig
from otembed.errors import ModelError, NumericsError
from otembed.models.architecture import count_parameters, position_limit, transformer_of
from otembed.models.batches import default_tokens, token_batches
from otembed.models.slices import sliced
from otembed.runtime.trainer import build_arguments, trainer_arguments
from otembed.tasks.heads.finetuning import Head, finetune_head
from otembed.tasks.heads.model import with_head
from otembed.tasks.heads.training import SelectingWatch, selecting_arguments, train_head
from otembed.tasks.tagging.conllu import TAGS
from otembed.tasks.tagging.pieces import TaggedInput, tagged_inputs
from otembed.tasks.tagging.scores import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    from otembed.runtime.progress import Progress
    from otembed.tasks.heads.run import HeadRun
    from otembed.tasks.tagging.data import TaggedSet

METRIC = "eval_accuracy"
IGNORED = -100
# Settings that do not affect training: a finished run can be tested again with other values.
AFTERWARDS = ("limit",)


class Tagger:
    """A token classifier and its tokenizer; ``max_length`` is the number of tokens that it reads at once."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, max_length: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length

    def inputs(self, data: TaggedSet) -> list[TaggedInput]:
        """Return the inputs of the model, long sentences in several pieces."""
        return tagged_inputs(self.tokenizer, [each.words for each in data.sentences], self.max_length)

    def labeled(self, data: TaggedSet) -> list[dict[str, Any]]:
        """Return the inputs with ``labels``: the tag at the first token of each word, -100 elsewhere."""
        examples = []
        for each in self.inputs(data):
            tags = data.sentences[each.piece.sentence].tags[each.piece.start : each.piece.stop]
            labels = [IGNORED] * len(each.inputs["input_ids"])
            for tag, first in zip(tags, each.firsts.tolist(), strict=True):
                if first >= 0:
                    labels[first] = tag
            examples.append({**each.inputs, "labels": labels})
        return examples

    def predict(
        self, data: TaggedSet, pieces: list[TaggedInput], advance: Callable[[int], object] | None = None
    ) -> NDArray[np.int64]:
        """Return the tag of each word, ``MISSING`` for words without tokens; ``pieces`` are :meth:`inputs` of the set.

        Batches hold pieces of similar length, up to :func:`otembed.models.batches.default_tokens` tokens;
        ``advance`` is called with the number of pieces after each batch.

        Raises
        ------
        NumericsError
            The model returns NaN or infinity.
        """
        starts = np.concatenate([[0], np.cumsum(data.lengths)])
        found = np.full(int(starts[-1]), MISSING, np.int64)
        lengths = np.array([len(each.inputs["input_ids"]) for each in pieces])
        with sliced(self.model):
            for rows in token_batches(lengths, default_tokens(self.model)):
                chosen = [pieces[row] for row in rows]
                padded = self.tokenizer.pad(
                    [each.inputs for each in chosen], padding_side="right", return_tensors="pt"
                )
                with torch.inference_mode():
                    output: Any = self.model(
                        **{name: value.to(self.model.device) for name, value in padded.items()}
                    )
                logits = output.logits.float().cpu().numpy()
                if not all(np.isfinite(logits[row, : lengths[rows[row]]]).all() for row in range(len(rows))):
                    raise NumericsError("the tagger returns NaN or infinity", "Retrain with a lower learning_rate.")
                best = logits.argmax(2)
                for row, each in enumerate(chosen):
                    begin = starts[each.piece.sentence] + each.piece.start
                    words = begin + np.flatnonzero(each.firsts >= 0)
                    found[words] = best[row, each.firsts[each.firsts >= 0]]
                if advance is not None:
                    advance(len(rows))
        return found


def finetune_tagger(
    load: Callable[[], SentenceTransformer],
    train: TaggedSet,
    dev: TaggedSet,
    config: TaggingFinetuneConfig,
    run: HeadRun,
    *,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> tuple[Tagger, dict[str, Any]]:
    """Fine-tune in a run folder; return the tagger that is best on the development sentences, and a summary.

    See :func:`otembed.tasks.heads.finetuning.finetune_head` for ``load``, the summary and the errors.

    Raises
    ------
    ModelError
        The architecture has no token classifier, or the tokenizer is slow.
    """

    def encoder() -> SentenceTransformer:
        model = load()
        if not getattr(model.tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer, {type(model.tokenizer).__name__}, does not provide character offsets",
                "Save the model with a fast tokenizer.",
            )
        return model

    def trained(tagger: Tagger, config: TaggingFinetuneConfig) -> dict[str, Any]:
        return _train(tagger, train, dev, config, run, progress)

    return finetune_head(
        Head(TrainingArguments, _build, lambda tagger: len(tagger.labeled(train)), trained, _save, _load),
        encoder,
        config,
        run,
        {"training data": train.digest(), "development data": dev.digest()},
        resume=resume,
        overwrite=overwrite,
        afterwards=AFTERWARDS,
    )


def _build(model: SentenceTransformer, config: TaggingFinetuneConfig) -> Tagger:
    limit = position_limit(transformer_of(model))
    length = config.max_length if limit is None else min(config.max_length, limit)
    made = with_head(
        model,
        AutoModelForTokenClassification,
        head="token classifier",
        max_length=length,
        seed=config.seed,
        frozen=config.freeze,
        labels=TAGS,
    )
    return Tagger(made, model.tokenizer, length)


def _save(tagger: Tagger, folder: Path) -> None:
    tagger.model.save_pretrained(folder)
    tagger.tokenizer.save_pretrained(folder)


def _load(folder: Path, summary: dict[str, Any], model: SentenceTransformer) -> Tagger:
    made: Any = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return Tagger(made.to(model.device).eval(), model.tokenizer, int(summary["max_length_used"]))


def _train(
    tagger: Tagger,
    train: TaggedSet,
    dev: TaggedSet,
    config: TaggingFinetuneConfig,
    run: HeadRun,
    progress: Progress,
) -> dict[str, Any]:
    examples, held = tagger.labeled(train), tagger.labeled(dev)
    words = int(dev.lengths.sum())

    def metrics(prediction: Any) -> dict[str, float]:
        # The trainer pads predictions with the same number as labels. Words without tokens have no label: errors.
        labels = prediction.label_ids
        right = (labels != IGNORED) & (prediction.predictions == labels)
        return {"accuracy": float(right.sum()) / words}

    state = train_head(
        tagger.model,
        examples,
        DataCollatorForTokenClassification(tagger.tokenizer, label_pad_token_id=IGNORED),
        _arguments(config, run, tagger.model, len(examples)),
        SelectingWatch(progress, METRIC),
        folder=run.path if run.lasting else None,
        checkpoint=run.last_checkpoint(),
        eval_dataset=held,
        compute_metrics=metrics,
        preprocess_logits_for_metrics=_best_tags,
    )
    return {
        "steps": int(state.global_step),
        "best_step": state.best_global_step,
        "dev_accuracy": state.best_metric,
        "trained_parameters": count_parameters(tagger.model, trainable_only=True),
        "max_length_used": tagger.max_length,
    }


def _best_tags(logits: Any, labels: torch.Tensor) -> torch.Tensor:
    best: torch.Tensor = (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)
    return best


def _arguments(
    config: TaggingFinetuneConfig, run: HeadRun, model: PreTrainedModel, examples: int
) -> TrainingArguments:
    ours = dict(
        per_device_eval_batch_size=config.per_device_train_batch_size,
        remove_unused_columns=False,
        **selecting_arguments(config, run.checkpoints, METRIC, examples, config.evaluations),
        **trainer_arguments(config, model.device),
    )
    return build_arguments(TrainingArguments, ours, config.trainer, TaggingFinetuneConfig, model)
