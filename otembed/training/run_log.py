"""The training log: log lines and records in ``metrics.jsonl``."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from otembed.errors import NumericsError
from otembed.results import finite_or_none
from otembed.results.format import format_seconds
from otembed.runtime.run_state import SamplerEpochs
from otembed.training.objective import pop_statistics

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from otembed.training.run_folder import RunFolder

logger = logging.getLogger(__name__)
# Logged once at the end by the trainer; results.json contains it.
_SUMMARY = "train_runtime"
_HIDDEN = frozenset({"epoch", "total_flos", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second"})


class RunLog(SamplerEpochs):
    """Write the log of a run, and stop the run on NaN or infinity.

    A record contains ``step``, ``epoch``, ``seconds`` since the start and either the means since the last
    record (``loss``, each of its terms, ``grad_norm``, ``learning_rate`` and, for the OT plans of this
    process, the share ``converged`` and ``iterations``) or the scores of an evaluation (``eval_*``).
    """

    def __init__(self, folder: RunFolder | None, loss: nn.Module) -> None:
        self.folder = folder
        self.loss = loss
        self._begun = time.monotonic()
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._begun, self._first_step = time.monotonic(), state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Check the loss before evaluating or saving."""
        if control.should_evaluate or control.should_save:
            control.should_log = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record one line."""
        values = dict(logs or {})
        if _SUMMARY in values or not state.is_world_process_zero:
            return
        if "loss" in values:
            statistics = pop_statistics(self.loss)
            found: dict[str, float] = {
                name: statistics[name] for name in ("converged", "iterations") if name in statistics
            }
            values |= found
            if logs is not None:  # callbacks that report to other tools follow, and get the same dict
                logs |= found
            self._refuse_non_finite(values, state.global_step, allow_grad=bool(args.fp16))
        seconds = time.monotonic() - self._begun
        record = {
            "step": state.global_step,
            "epoch": round(float(state.epoch or 0), 4),
            "seconds": round(seconds, 1),
        }
        shown = {name: value for name, value in values.items() if name not in _HIDDEN}
        if self.folder is not None:
            self.folder.append_metrics(finite_or_none({**record, **shown}))
        done = max(state.global_step - self._first_step, 1)
        left = (state.max_steps - state.global_step) * seconds / done
        logger.info("%s", log_line(state.global_step, state.max_steps, shown, left))

    def _refuse_non_finite(self, values: dict[str, float], step: int, *, allow_grad: bool) -> None:
        for name, value in values.items():
            if name == "grad_norm" and allow_grad:  # the fp16 scaler skips such steps
                continue
            if isinstance(value, int | float) and not math.isfinite(value):
                raise NumericsError(
                    f"{name} is {value} at step {step}",
                    "Lower optimization.learning_rate, raise epsilon of the loss, or set optimization.precision to float32.",
                )


def log_line(step: int, steps: int, values: dict[str, float], seconds_left: float) -> str:
    """Format one record as a log line.

    >>> log_line(10, 40, {"loss": 1.5, "converged": 1.0, "learning_rate": 5e-05}, 90)
    'step 10/40  loss 1.5000  converged 100%  lr 5.0e-05  1 min 30 s left'
    >>> log_line(10, 40, {"eval_en-sw_accuracy": 0.75, "eval_sequential_score": 0.75}, 90)
    'step 10/40  held-out accuracy: en-sw 75.0%  mean 75.0%'
    """
    head = f"step {step}/{steps}"
    if any(name.startswith("eval_") for name in values):
        parts = [
            f"{name.removeprefix('eval_').removesuffix('_accuracy')} {value:.1%}"
            for name, value in values.items()
            if name.endswith("_accuracy")
        ]
        if "eval_sequential_score" in values:
            parts.append(f"mean {values['eval_sequential_score']:.1%}")
        return "  ".join([f"{head}  held-out accuracy: {parts[0]}" if parts else head, *parts[1:]])
    parts = [head]
    for name, value in values.items():
        if name == "learning_rate":
            parts.append(f"lr {value:.1e}")
        elif name == "converged":
            parts.append(f"converged {value:.0%}")
        elif name in {"iterations", "grad_norm"}:
            parts.append(f"{name} {value:.1f}")
        else:
            parts.append(f"{name} {value:.4f}")
    parts.append(f"{format_seconds(seconds_left)} left")
    return "  ".join(parts)
