"""Commands run in this process, and what they change of it is put back."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGGERS = (
    "otembed",
    "otembed.tasks.retrieval.evaluate",
    "otembed.tasks.word_alignment.evaluate",
    "otembed.tasks.mining.evaluator",
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


@pytest.fixture
def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run ``otembed`` with arguments through its entry point; return exit code, stdout and stderr."""
    from otembed.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["otembed", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err

    return run
