"""Zero-shot transfer: a head learns a task from English on top of an encoder, and is tested in other languages."""

from otembed.transfer.xnli import evaluate_xnli
from otembed.transfer.xnli_report import XnliReport, XnliScore

__all__ = ["XnliReport", "XnliScore", "evaluate_xnli"]
