"""Mutated inputs for every reader: the right result or an error of otembed, in bounded time and memory.

Inputs are read in child processes, many in each, so that crashes, hangs and memory are seen from outside.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from memory import growth

from otembed.errors import LONGEST, OtembedError
from trials.base import Trial
from trials.mutations import mutate
from trials.places import PLACES
from trials.readers import READERS, Reader

KIND = "fuzz"
EXPECTED = "a result or an error of otembed, within 10 s and 200 MB + 2x the input"
INPUTS = 2400
SMOKE_INPUTS = 60
SECONDS = 10.0
# Importing libraries and reading the valid input once; writing an input.
START_SECONDS = 120.0
SPARE_BYTES = 200_000_000
ADDRESS_SPACE = 12 << 30


def run(smoke: bool, seed: int) -> Iterator[Trial]:
    """Read mutated files, and places that are not files, with every reader."""
    total = sum(each.weight for each in READERS.values())
    for reader in READERS.values():
        count = 1 + int((SMOKE_INPUTS if smoke else INPUTS) * reader.weight / total)
        inputs = [str(number) for number in range(count)]
        places = list(PLACES) if reader.takes_places else []
        failures = _failures(reader, seed, [*inputs, *places])
        for fault, names in ((f"mutated {reader.name}", inputs), (f"no file of {reader.name}", places)):
            trial = Trial(KIND, fault, EXPECTED)
            for name in names:
                trial.check(not failures[name], f"input {name} of seed {seed}: {failures[name]}")
            if names:
                yield trial


def _failures(reader: Reader, seed: int, inputs: list[str]) -> dict[str, str]:
    """Return the failure, '' for none, of each input; a child that ends early is followed by another."""
    done: list[tuple[str, str]] = []
    while len(done) < len(inputs):
        done += _in_child(reader, seed, inputs[len(done) :])
    return dict(done)


def _in_child(reader: Reader, seed: int, inputs: list[str]) -> list[tuple[str, str]]:
    """Return the failure, '' for none, of each input until the child ended."""
    here = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done: list[tuple[str, str]] = []
    # A file, because a full pipe would stop the child.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(
            [sys.executable, __file__, folder, reader.name, str(seed), *inputs],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, env={**environment, "TMPDIR": folder},
        )  # fmt: skip
        assert child.stdout is not None
        try:
            limit = START_SECONDS
            buffer = b""
            while len(done) < len(inputs):
                ready, _, _ = select.select([child.stdout], [], [], limit)
                part = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
                if not part:
                    child.kill()
                    messages.seek(0)
                    how = f"ended with {child.wait()}: {messages.read()[-300:]!r}"
                    how = how if ready else f"hung for {limit:.0f} s"
                    return [*done, (inputs[len(done)], how)]
                *lines, buffer = (buffer + part).split(b"\n")
                for record in map(json.loads, lines):
                    done += [(record["input"], record["failure"])] if "input" in record else []
                    limit = SECONDS + 2 if "reading" in record else START_SECONDS
        finally:
            child.kill()
            child.communicate()
    return done


def failure_of(reader: Reader, folder: Path) -> str:
    """Read a folder and return what went wrong; '' after a result or a complete error of otembed."""
    try:
        reader.read(folder)
    except OtembedError as error:
        if not error.hint:
            return f"no hint: {error}"
        return f"a message of {len(str(error))} characters" if len(str(error)) > 2 * LONGEST + 100 else ""
    except Exception as error:
        trace: Any = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        return f"{type(error).__name__} at {place}: {str(error)[:300]}"
    return ""


def mutated(reader: Reader, valid: Path, folder: Path, files: list[Path], random: Random) -> int:
    """Copy a valid input to ``folder``, mutate one file, and return the number of bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(valid, folder, symlinks=True)
    target = folder / random.choice(files).relative_to(valid)
    target.write_bytes(mutate(target.read_bytes(), random))
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def main(folder: Path, name: str, seed: str, inputs: list[str]) -> None:
    """Read the given inputs in this process; print one record per input."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reader = READERS[name]
    valid = folder / "valid"
    valid.mkdir()
    files = reader.write(valid)
    used = folder / "used"
    shutil.copytree(valid, used)
    reader.read(used)
    _say({})
    for each in inputs:
        random = Random(f"{seed} {name} {each}")
        size = (
            PLACES[each](valid, used, files, random)
            if each in PLACES
            else mutated(reader, valid, used, files, random)
        )
        _say({"reading": each})
        start = time.monotonic()
        failure, grown = growth(failure_of, reader, used)
        seconds = time.monotonic() - start
        if not failure and seconds > SECONDS:
            failure = f"took {seconds:.1f} s"
        if not failure and grown > SPARE_BYTES + 2 * size:
            failure = f"memory grew by {grown / 1e6:.0f} MB, the input has {size / 1e6:.1f} MB"
        _say({"input": each, "failure": failure})


def _say(record: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
