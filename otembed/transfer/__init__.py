"""Zero-shot transfer: a head learns a task from English on top of an encoder, and is tested in other languages."""

from otembed.transfer.span_config import SpanConfig
from otembed.transfer.span_report import SpanReport, SpanScores
from otembed.transfer.xnli import evaluate_xnli
from otembed.transfer.xnli_report import XnliReport, XnliScore
from otembed.transfer.xquad import evaluate_xquad_span

__all__ = [
    "SpanConfig",
    "SpanReport",
    "SpanScores",
    "XnliReport",
    "XnliScore",
    "evaluate_xnli",
    "evaluate_xquad_span",
]
