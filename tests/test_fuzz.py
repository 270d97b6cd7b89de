"""Mutated inputs give a result or an error of otembed; ``benchmarks/reliability.py`` tries thousands in processes."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from random import Random

import pytest

INPUTS = 5
HEAVY = {"model folder": 3}
# Bombs take seconds, and only a process of its own shows their memory.
SKIPPED = "zeros, compressed if the name says so"


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return {name: import_module(f"trials.{name}") for name in ("fuzz", "readers", "places")}


def test_every_reader_gives_a_result_or_an_error_of_otembed(trials, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.WARNING)
    fuzz = trials["fuzz"]
    places = {name: put for name, put in trials["places"].PLACES.items() if name != SKIPPED}
    failures = []
    tried = set()
    for index, (name, reader) in enumerate(trials["readers"].READERS.items()):
        valid, used = tmp_path / name / "valid", tmp_path / name / "used"
        valid.mkdir(parents=True)
        files = reader.write(valid)
        inputs = [str(number) for number in range(HEAVY.get(name, int(INPUTS * reader.weight)))]
        # Each reader meets some of the places, and each place some of the readers.
        odd = [list(places)[(index + shift) % len(places)] for shift in (0, 4)] if reader.takes_places else []
        for each in (*inputs, *odd):
            random = Random(f"0 {name} {each}")
            if each in places:
                places[each](valid, used, files, random)
            else:
                fuzz.mutated(reader, valid, used, files, random)
            failure = fuzz.failure_of(reader, used)
            failures += [f"{name}, {each}: {failure}"] if failure else []
            tried.add((name, each))
    assert failures == []
    assert len(tried) > 250
    assert {each for _, each in tried} >= set(places)
