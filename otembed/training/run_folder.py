"""The folder of a training run: its files, and how a run is created and resumed."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from otembed.config.base import expand_home
from otembed.config.io import read_yaml, to_yaml, train_config
from otembed.config.train import TrainConfig
from otembed.errors import ConfigError, OtembedError
from otembed.results import write_text, writing
from otembed.results.reading import read_bytes, read_json
from otembed.runtime.run_state import LOCK, TENSORBOARD, TrainerFolder
from otembed.training.environment import launcher, process_count, recorded_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class RunFolder(TrainerFolder):
    """Paths of a run.

    ``config.yaml`` (resolved, a valid input), ``environment.json``, ``before.json`` (the evaluation
    before training), ``metrics.jsonl`` (one record per log line), ``tensorboard/`` (if asked for), ``checkpoints/``, ``model/`` (loads with
    plain ``SentenceTransformer(path)``), ``views.json`` and ``report.html`` (see :mod:`otembed.training.page`) and, written last,
    ``results.json``, which marks a finished run. A push to the hub
    adds ``pushed.json``.
    """

    entries: ClassVar[frozenset[str]] = frozenset(
        {
            "config.yaml",
            "environment.json",
            "before.json",
            "metrics.jsonl",
            TENSORBOARD,
            "checkpoints",
            "adapter",
            "model",
            "views.json",
            "report.html",
            "results.json",
            "pushed.json",
            LOCK,
        }
    )

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
        """Training log, one JSON record per line."""
        return self.path / "metrics.jsonl"

    @property
    def adapter(self) -> Path:
        """The adapter in PEFT's format, with ``model.lora.keep_adapter``."""
        return self.path / "adapter"

    @property
    def views(self) -> Path:
        """What the report shows that no other file has; see :class:`otembed.training.views.Views`."""
        return self.path / "views.json"

    @property
    def report(self) -> Path:
        """The report as a page."""
        return self.path / "report.html"

    @property
    def results(self) -> Path:
        """Result of the finished run."""
        return self.path / "results.json"

    @property
    def pushed(self) -> Path:
        """Report of the last push to the hub."""
        return self.path / "pushed.json"

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return self.results.exists()

    @contextmanager
    def created(
        self, config: TrainConfig, *, overwrite: bool = False, inputs: Mapping[str, Path] = MappingProxyType({})
    ) -> Iterator[None]:
        """Create the folder of a new run, which is locked until the end of the block.

        Raises
        ------
        ConfigError
            As in :meth:`refuse_taken`, and if another process uses the folder.
        OutputError
            The path is not writable.
        """

        def prepare() -> None:
            # Of two runs that start at once, one writes: the other would leave its settings to a run that it does not train.
            self.refuse_taken(overwrite=overwrite, inputs=inputs)
            self.clear(settings=self.config, result=self.results)
            write_text(self.config, to_yaml(config))

        self.refuse_taken(overwrite=overwrite, inputs=inputs)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self.locked(prepare):
            yield

    @contextmanager
    def resumed(self, config: TrainConfig) -> Iterator[None]:
        """Open the folder of an unfinished run to continue it, locked until the end of the block.

        Raises
        ------
        ConfigError
            Another process uses the folder, or has finished or replaced the run since ``config`` was read from it.
        OutputError
            The path is not writable.
        """

        def prepare() -> None:
            if self.finished or self.read_config(config.output) != config:
                done = "finished" if self.finished else "replaced"
                raise ConfigError(
                    f"{self.path}: another process has {done} this run in the meantime",
                    f"Look at it: {self.resume_with}",
                )
            self.drop_half_written()

        with self.locked(prepare):
            yield

    def refuse_taken(self, *, overwrite: bool, inputs: Mapping[str, Path] = MappingProxyType({})) -> None:
        """Check that a new run can be created here.

        Parameters
        ----------
        overwrite
            Whether an earlier run may be replaced.
        inputs
            What the new run reads, by the setting that names it.

        Raises
        ------
        ConfigError
            The path is in use and ``overwrite`` is False, it is not the folder of an earlier run, or the new run would
            read from the folder that it replaces.
        """
        if self.empty:
            return
        strangers = self.strangers if self.path.is_dir() else []
        if strangers or not self.config.is_file():
            found = f" ({strangers[0]} does not belong to a run)" if strangers and self.config.is_file() else ""
            raise ConfigError(f"{self.path} exists and is not a run of otembed{found}", "Choose a new folder.")
        for setting, path in inputs.items():
            # Not Path.exists, which fails for names that are too long.
            if os.path.exists(path) and path.resolve().is_relative_to(self.path.resolve()):  # noqa: PTH110
                raise ConfigError(
                    f"{setting} = {path} is in the run folder {self.path}, which the new run would replace",
                    "Choose another folder for output.",
                )
        if not overwrite:
            raise ConfigError(
                f"{self.path} contains {'a finished' if self.finished else 'an unfinished'} run",
                "Choose another folder, resume it with --resume, or replace it with --overwrite.",
            )
        if self.path.is_symlink():
            raise ConfigError(
                f"{self.path} is a symbolic link", "Use the path of the folder itself to overwrite it."
            )

    @property
    def resume_with(self) -> str:
        """The command that continues the run, with as many processes."""
        return f"{launcher(self.processes)}otembed train --resume {shlex.quote(str(self.path))}"

    @property
    def processes(self) -> int:
        """Number of processes that train: as ``environment.json`` says, or those of this launch for a new run."""
        with suppress(OtembedError):
            return recorded_processes(read_json(self.environment, ""))
        return process_count()

    @staticmethod
    def read_config(path: str | Path) -> TrainConfig:
        """Read the configuration of an earlier run; its output is set to the given path.

        Raises
        ------
        ConfigError
            ``path`` does not contain a run, or the run is from a version with different settings.
        """
        path = expand_home(str(path))
        file = RunFolder(Path(path)).config
        if not file.is_file():
            raise ConfigError(
                f"no run to resume in {path}: config.yaml is missing", "Use the folder passed to -o earlier."
            )
        return train_config(read_yaml(file), {"output": path}, origin=str(file))

    def keep_metrics_up_to(self, step: int) -> None:
        """Drop records after ``step``, and lines that are damaged or were truncated by an interruption."""
        if not self.metrics.exists():
            return
        kept = []
        for line, record in self._records():
            if isinstance(record.get("step"), int) and record["step"] <= step:
                kept.append(line + "\n")
        write_text(self.metrics, "".join(kept))

    def last_training_record(self) -> dict[str, Any]:
        """Return the means of the last log interval in ``metrics.jsonl``; empty if there is none."""
        trained = [record for _, record in self._records() if "loss" in record]
        return (
            {name: value for name, value in trained[-1].items() if name not in {"step", "seconds"}}
            if trained
            else {}
        )

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines of the log that are records; an interruption or a damaged disk may leave others."""
        if not self.metrics.is_file():
            return
        for line in read_bytes(self.metrics).decode("utf-8", "replace").splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield line, record

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
