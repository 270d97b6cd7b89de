"""Commands run in this process, and what they change of it is put back."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = (
    "otembed",
    "otembed.tasks.retrieval",
    "otembed.tasks.word_alignment",
    "otembed.tasks.mining",
    "sentence_transformers",
    "transformers",
    "datasets",
    "accelerate",
)


@pytest.fixture(autouse=True)
def _same_logging_after_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each, each.level, each.handlers, each.propagate) for each in loggers]
    with warnings.catch_warnings():
        yield
    for each, level, handlers, propagate in before:
        each.level, each.handlers, each.propagate = level, handlers, propagate
