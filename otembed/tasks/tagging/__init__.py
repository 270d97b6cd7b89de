"""Zero-shot part-of-speech tagging (XTREME's udpos) by a linear probe or by fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import TaggingFinetuneConfig, TaggingProbeConfig
    from otembed.tasks.tagging.data import TaggedSet, read_tagged
    from otembed.tasks.tagging.evaluate import evaluate_tagging
    from otembed.tasks.tagging.evaluator import TaggingEvaluator
    from otembed.tasks.tagging.report import LayerScore, TaggingReport, TaggingScore

__all__ = [
    "LayerScore",
    "TaggedSet",
    "TaggingEvaluator",
    "TaggingFinetuneConfig",
    "TaggingProbeConfig",
    "TaggingReport",
    "TaggingScore",
    "evaluate_tagging",
    "read_tagged",
]

_MODULES = {
    "LayerScore": "report",
    "TaggedSet": "data",
    "TaggingEvaluator": "evaluator",
    "TaggingFinetuneConfig": "otembed.config",
    "TaggingProbeConfig": "otembed.config",
    "TaggingReport": "report",
    "TaggingScore": "report",
    "evaluate_tagging": "evaluate",
    "read_tagged": "data",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
