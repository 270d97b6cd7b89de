"""Tasks learnt in English and tested in other languages: a head is trained on the encoder, then asked zero-shot."""

from otembed.transfer.span_config import SpanConfig
from otembed.transfer.span_report import SpanReport, SpanScores
from otembed.transfer.xquad import evaluate_xquad_span

__all__ = ["SpanConfig", "SpanReport", "SpanScores", "evaluate_xquad_span"]
