"""The folder of one run: what lies where, and how a run is started, found again and finished."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otembed.config.io import read_yaml, to_yaml, train_config
from otembed.config.train import TrainConfig
from otembed.errors import ConfigError
from otembed.results import write_text
from otembed.runtime.run_state import LOCK, TrainerFolder

ENTRIES = frozenset(
    {
        "config.yaml",
        "environment.json",
        "before.json",
        "metrics.jsonl",
        "checkpoints",
        "model",
        "results.json",
        LOCK,
    }
)


@dataclass(frozen=True)
class RunFolder(TrainerFolder):
    """Paths of a run.

    ``config.yaml`` (resolved, a valid input), ``environment.json``, ``before.json`` (the evaluation
    before training), ``metrics.jsonl`` (one record a log line), ``checkpoints/``, ``model/`` and, last
    of all, ``results.json``: a run with it is finished. Plain ``SentenceTransformer(path)`` loads the model.
    """

    @property
    def config(self) -> Path:
        """Resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions and machine."""
        return self.path / "environment.json"

    @property
    def before(self) -> Path:
        """Evaluation of the starting model."""
        return self.path / "before.json"

    @property
    def metrics(self) -> Path:
        """Log of training, one JSON record a line."""
        return self.path / "metrics.jsonl"

    @property
    def results(self) -> Path:
        """Figures of the finished run."""
        return self.path / "results.json"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.results.exists()

    def create(self, config: TrainConfig, *, overwrite: bool = False) -> None:
        """Make the folder of a new run.

        Raises
        ------
        ConfigError
            If there is something at its place already and ``overwrite`` is not given, or it cannot be
            written to. With ``overwrite`` only the folder of an earlier run is replaced.
        """
        self.refuse_taken(overwrite=overwrite)
        try:
            if self.config.is_file():
                whole = self.path.resolve()
                aside = whole.with_name(f".{whole.name}.{os.getpid()}.old")
                with self.locked():
                    whole.rename(aside)
                shutil.rmtree(aside)
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.config, to_yaml(config))
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written to: {error}", "Choose another run folder."
            ) from error

    def refuse_taken(self, *, overwrite: bool) -> None:
        """Raise ConfigError if a new run cannot go here: only another run is replaced, and only when asked."""
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        strangers = (
            [] if not self.path.is_dir() else [each for each in self.path.iterdir() if each.name not in ENTRIES]
        )
        if strangers or not self.config.is_file():
            found = f" ({strangers[0].name} is none of a run)" if strangers and self.config.is_file() else ""
            raise ConfigError(f"{self.path}: exists and holds no run of otembed{found}", "Choose a new folder.")
        if not overwrite:
            raise ConfigError(
                f"{self.path}: holds {'a finished' if self.finished else 'an unfinished'} run",
                "Choose another folder, go on with --resume, or replace it with --overwrite.",
            )
        if self.path.is_symlink():
            raise ConfigError(f"{self.path}: is a link", "Name the folder itself to overwrite it.")

    @staticmethod
    def read_config(path: str | Path) -> TrainConfig:
        """Read the configuration of an earlier run, its output set to where the run lies now.

        Raises
        ------
        ConfigError
            If there is no run at ``path``.
        """
        file = RunFolder(Path(path)).config
        if not file.is_file():
            raise ConfigError(
                f"{path}: no run to resume: config.yaml is missing", "Name the folder given to -o earlier."
            )
        return train_config(read_yaml(file), {"output": str(path)}, origin=str(file))

    def keep_metrics_up_to(self, step: int) -> None:
        """Drop the records after ``step``, and a last line cut by a kill."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int) and record["step"] <= step:
                kept.append(line + "\n")
        write_text(self.metrics, "".join(kept))

    def last_training_record(self) -> dict[str, Any]:
        """Means of the last log interval, as in ``metrics.jsonl``; empty without one."""
        lines = self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []
        trained = [record for record in map(json.loads, lines) if "loss" in record]
        return (
            {name: value for name, value in trained[-1].items() if name not in {"step", "seconds"}}
            if trained
            else {}
        )

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append one record as a line."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
