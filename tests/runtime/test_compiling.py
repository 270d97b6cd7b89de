"""Compiled functions work with any cache on disk or none, and say when compiling takes long."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from numba.core.sigutils import normalize_signature

from otembed.embeddings import row_kernels
from otembed.mining.search import kernels
from otembed.runtime import compiling
from otembed.transport import sinkhorn
from otembed.transport.kernels import compiled

SOURCE = """
from otembed.runtime.compiling import jit

@jit(ahead="i8(i8)")
def double(x):
    return x + x
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a module with one compiled function; return a function that imports it anew."""
    path = tmp_path / "module" / "doubled.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    compiling._temporary_folder.cache_clear()
    monkeypatch.setattr(compiling, "_unsaid", [])

    def load():
        specification = spec_from_file_location("doubled", path)
        module = module_from_spec(specification)
        monkeypatch.setitem(sys.modules, "doubled", module)
        specification.loader.exec_module(module)
        return module.double

    yield load
    compiling._temporary_folder.cache_clear()


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Leave numba only the folder for temporary files."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compiling.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    true = compiling.FunctionCache

    def fail(function):
        if compiling.config.CACHE_DIR:
            return true(function)
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling, "FunctionCache", fail)
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "")


def test_code_is_stored_and_read_again(load, tmp_path):
    assert not load()._cache.filled
    assert load()(2) == 4
    again = load()
    assert again._cache.filled
    assert again(2) == 4
    assert again.stats.cache_hits


@pytest.mark.parametrize("suffix", ["*.nbi", "*.nbc"])
def test_damaged_files_are_replaced(load, tmp_path, suffix):
    load()(2)
    for path in tmp_path.rglob(suffix):
        path.write_bytes(path.read_bytes()[:40])
    assert load()(3) == 6
    again = load()
    assert again(3) == 6
    assert again.stats.cache_hits


@pytest.mark.usefixtures("nowhere")
def test_without_a_folder_a_private_temporary_one_is_used_and_named_once(load, tmp_path, caplog):
    caplog.set_level(logging.INFO, "otembed")
    assert load()(2) == 4
    (folder,) = (tmp_path / "tmp").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert load().stats.cache_path.startswith(str(folder))
    assert [str(folder) in each for each in caplog.messages] == [True]
    assert load()(2) == 4
    assert len(caplog.messages) == 1


@pytest.mark.usefixtures("nowhere")
def test_folder_that_others_can_fill_is_not_used(load, tmp_path, caplog):
    caplog.set_level(logging.INFO, "otembed")
    folder = tmp_path / "tmp" / f"otembed-code-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    double = load()
    assert double(2) == 4
    assert double.stats.cache_path is None
    assert list(folder.iterdir()) == []
    assert "NUMBA_CACHE_DIR" in caplog.messages[0]


def test_full_disk_is_no_error(load, monkeypatch):
    double = load()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(double._cache._disk._cache_file, "save", full)
    assert double(2) == 4


def test_compiling_that_takes_long_is_said_once(load, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "otembed")
    monkeypatch.setattr(compiling, "_notice", compiling._Notice())
    load()(2)
    assert caplog.messages == []
    monkeypatch.setattr(compiling, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(compiling, "_notice", compiling._Notice())
    double = load()
    double(2.5)
    double(2j)
    assert ["compiling" in each for each in caplog.messages] == [True]


def test_process_beside_compiles_and_its_code_is_awaited(load, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "module"))
    monkeypatch.setattr(compiling.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(compiling, "_helpers", [])
    double = load()
    compiling.compile_beside("doubled")
    assert len(compiling._helpers) == 1
    assert double(2) == 4
    assert double.stats.cache_hits
    assert compiling._helpers == []
    compiling.compile_beside("doubled")
    assert compiling._helpers == []


def test_types_compiled_ahead_are_those_of_use():
    half = torch.tensor([[0.5, 0.5]])
    sinkhorn(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), half, half, epsilon=0.5)
    lists = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int64)
    rows = np.ones((2, 8), np.float32)
    kernels.merge_lists(*lists, *lists)
    for cells in (np.float32, np.int32):
        kernels.screen(np.ones((2, 2), cells), rows, rows, 1e-6, 1.0, *lists, *lists, 0, 0)
    kernels.encode(rows, np.ones(8, np.float32), np.array([4]), np.empty((2, 8), np.int8))
    row_kernels.scale_to_unit(rows, np.empty(2, np.uint8))
    for module in (compiled, kernels, row_kernels):
        for each in compiling._ahead(module.__name__):
            if each.overloads:
                assert {normalize_signature(types)[0] for types in each.compiled_ahead} <= set(each.overloads)
    assert compiled._solve_rows.overloads
    assert kernels.screen.overloads


def test_compiling_loads_no_torch():
    names = [
        "otembed.transport.kernels.compiled",
        "otembed.mining.search.kernels",
        "otembed.mining.pairing.kernels",
    ]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
