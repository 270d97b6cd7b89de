"""What the training of every head shares: its progress and its stop at NaN."""

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
# Heads differ in whether they keep the layer on the first token; encoders are often saved without it.
POOLER = "pooler."


def free_memory() -> None:
    """Give back what no name holds any more: optimizer states stay in cycles of the trainer."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class HeadWatch(SamplerEpochs):
    """Say how far the training is, and stop it on NaN or infinity, before a checkpoint holds it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock where a resumed run left it."""
        self.progress(STAGE, state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Move on by one optimizer step; a checkpoint is not written before its loss was seen."""
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
        """Look at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NumericsError(f"the loss is {loss} at step {state.global_step}", "Lower learning_rate.")
