"""Progress and NaN check for the training of all heads."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING, Any

import torch

from otembed.errors import NumericsError
from otembed.runtime.run_state import SamplerEpochs

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from otembed.runtime.progress import Progress

STAGE = "fine-tuning"
LOG_EVERY = 10
# Not every head keeps the pooler on the first token, and encoders are often saved without it.
POOLER = "pooler."


def free_memory() -> None:
    """Free unreferenced memory: the trainer keeps optimizer states alive in reference cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class HeadWatch(SamplerEpochs):
    """Report progress, and stop on NaN or infinity before a checkpoint stores it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report the step that a resumed run starts from."""
        self.progress(STAGE, state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Report a step; force logging before each checkpoint, so that its loss is checked first."""
        self.progress(STAGE, state.global_step, state.max_steps)
        control.should_log = control.should_log or control.should_save
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NumericsError(f"the loss is {loss} at step {state.global_step}", "Lower learning_rate.")
