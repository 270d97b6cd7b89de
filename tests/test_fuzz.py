"""Mutated inputs give a result or an error of otembed; ``benchmarks/reliability.py`` tries thousands in processes."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from random import Random

import pytest

INPUTS = 6
HEAVY = {"model folder": 3, "pairs, saved dataset": 6}
# Bombs take seconds, and only a process of its own shows their memory.
SKIPPED = "zeros, compressed if the name says so"


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return {name: import_module(f"trials.{name}") for name in ("fuzz", "readers", "places")}


def test_every_reader_gives_a_result_or_an_error_of_otembed(trials, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.WARNING)
    fuzz, places = trials["fuzz"], trials["places"].PLACES
    failures = []
    tried = 0
    for name, reader in trials["readers"].READERS.items():
        valid, used = tmp_path / name / "valid", tmp_path / name / "used"
        valid.mkdir(parents=True)
        files = reader.write(valid)
        inputs = [str(number) for number in range(HEAVY.get(name, int(INPUTS * reader.weight)))]
        for each in (*inputs, *(set(places) - {SKIPPED} if name not in HEAVY and reader.takes_places else ())):
            random = Random(f"0 {name} {each}")
            if each in places:
                places[each](valid, used, files, random)
            else:
                fuzz.mutated(reader, valid, used, files, random)
            failure = fuzz.failure_of(reader, used)
            failures += [f"{name}, {each}: {failure}"] if failure else []
            tried += 1
    assert failures == []
    assert tried > 300
