"""The folder of one fine-tuning run: settings, checkpoints, and the trained span model."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForQuestionAnswering

from otembed.data.qa_files import place_name
from otembed.errors import ConfigError
from otembed.models.fingerprint import model_fingerprint
from otembed.models.folders import whole_folder
from otembed.outcomes import digest_of
from otembed.results import write_text
from otembed.transfer.span_training import Trained

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.data.qa import QuestionSet

# What changes nothing in training: a finished run may be scored again in another way.
AFTERWARDS = ("normalization", "max_answer_length", "save_every")


@dataclass(frozen=True)
class SpanFolder:
    """``settings.json`` (knobs, encoder, training data), ``checkpoints/``, and in the end ``model/``."""

    path: Path

    @property
    def settings(self) -> Path:
        """What the run is made of."""
        return self.path / "settings.json"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the trainer; gone when the run is finished."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model, for ``AutoModelForQuestionAnswering``, with ``training.json``."""
        return self.path / "model"

    def open(
        self, model: SentenceTransformer, train: QuestionSet, settings: dict[str, Any], *, resume: bool
    ) -> bool:
        """Start the run, or find it again; return whether it was there.

        Raises
        ------
        ConfigError
            There is something in the folder and ``resume`` is off, or it is on and the run is another one.
        """
        texts = [part for each in train.questions for part in (each.id, each.text, *map(str, each.answers))]
        document = {
            "settings": {key: value for key, value in settings.items() if key not in AFTERWARDS},
            "encoder": model_fingerprint(model),
            "training_data": place_name(train.where),
            "training_digest": digest_of([*texts, *(each.text for each in train.paragraphs)]),
        }
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            write_text(self.settings, json.dumps(document, indent=1) + "\n")
            return False
        if not resume:
            raise ConfigError(
                f"{self.path}: is there already", "Choose another run folder, or go on with it by --resume."
            )
        try:
            earlier = json.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.path}: no run to resume: settings.json cannot be read: {error}", "Choose the run's folder."
            ) from error
        changed = _differences(earlier, document)
        if changed:
            raise ConfigError(
                f"{self.path}: holds another run: {', '.join(changed)}",
                "Resume with the same model, training data and settings, or choose another run folder.",
            )
        return True

    def trained(self, model: SentenceTransformer) -> Trained | None:
        """Return the model of a finished run; None if it is not finished."""
        if not self.model.is_dir():
            return None
        made: Any = AutoModelForQuestionAnswering.from_pretrained(
            self.model, local_files_only=True, dtype=torch.float32
        )
        kept = json.loads((self.model / "training.json").read_text(encoding="utf-8"))
        return Trained(made.to(model.device).eval(), **kept)

    def finish(self, trained: Trained, tokenizer: Any) -> None:
        """Keep the trained model, and drop the checkpoints."""
        with whole_folder(self.model) as folder:
            trained.model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            kept = {"windows": trained.windows, "steps": trained.steps, "losses": trained.losses}
            write_text(folder / "training.json", json.dumps(kept, indent=1) + "\n")
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def _differences(earlier: Any, now: dict[str, Any]) -> list[str]:
    if not isinstance(earlier, dict) or not isinstance(earlier.get("settings"), dict):
        return ["settings.json is not that of a run"]
    before, after = earlier["settings"], now["settings"]
    changed = [
        f"{key} {before.get(key)!r} is now {value!r}" for key, value in after.items() if before.get(key) != value
    ]
    names = {"encoder": "another encoder", "training_digest": "other training data"}
    return changed + [words for key, words in names.items() if earlier.get(key) != now[key]]
