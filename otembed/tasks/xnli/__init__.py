"""Zero-shot inference (XNLI) by a linear probe or by fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import FinetuneConfig, ProbeConfig
    from otembed.tasks.xnli.evaluate import evaluate_xnli
    from otembed.tasks.xnli.report import XnliReport, XnliScore

__all__ = [
    "FinetuneConfig",
    "ProbeConfig",
    "XnliReport",
    "XnliScore",
    "evaluate_xnli",
]

_MODULES = {
    "FinetuneConfig": "otembed.config",
    "ProbeConfig": "otembed.config",
    "XnliReport": "report",
    "XnliScore": "report",
    "evaluate_xnli": "evaluate",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
