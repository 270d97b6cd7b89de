"""The installation on this machine: versions, devices, threads, extras, caches."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otembed.errors import ConfigError
from otembed.results import Result
from otembed.runtime.cache import default_cache_dir
from otembed.runtime.packages import extras, misfits, versions

MODEL_FILE = "modules.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Installation(Result):
    """Description of a machine for bug reports.

    ``misfits`` contains packages with an unsupported version, ``extras`` the missing packages of each extra (empty if
    complete). ``caches`` has path, bytes and number of files of each cache folder; bytes are ``None`` if the
    folder does not exist. Memory is in 1e9 bytes.
    """

    python: str
    platform: str
    packages: dict[str, str | None]
    misfits: dict[str, str]
    extras: dict[str, list[str]]
    devices: dict[str, Any]
    threads: dict[str, Any]
    caches: dict[str, dict[str, Any]]
    encoders: list[str]


def installation() -> Installation:
    """Inspect the machine; imports torch and numba for their devices and threads."""
    return Installation(
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        packages=versions(),
        misfits=misfits(),
        extras=extras(),
        devices=devices(),
        threads=threads(),
        caches=caches(),
        encoders=encoders(),
    )


def devices() -> dict[str, Any]:
    """Return processor, cores, memory and accelerators, and how fast the processor multiplies matrices in otembed's ways."""
    import psutil
    import torch

    from otembed.runtime.arithmetic import bf16_speedup, onednn_is_faster, onednn_speedup

    memory = psutil.virtual_memory()
    return {
        "cpu": _cpu_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": psutil.cpu_count(logical=False),
        "processors": psutil.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gb": round(memory.total / 1e9, 1),
        "available_gb": round(memory.available / 1e9, 1),
        "cuda": torch.version.cuda,
        "gpus": [
            {
                "name": each.name,
                "memory_gb": round(each.total_memory / 1e9, 1),
                "capability": f"{each.major}.{each.minor}",
            }
            for each in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        ],
        "mps": torch.backends.mps.is_available(),
        "onednn": onednn_is_faster(),
        "onednn_speedup": round(onednn_speedup(), 2),
        "bf16_speedup": round(bf16_speedup(torch.device("cpu")), 2),
    }


def threads() -> dict[str, Any]:
    """Return the number of threads of each library, and the environment variables that set them."""
    import numba
    import numpy  # noqa: F401  lists its BLAS
    import torch
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    pools = {
        f"{pool['internal_api']} ({Path(pool['filepath']).name})": pool["num_threads"] for pool in threadpool_info()
    }
    return {
        "torch": torch.get_num_threads(),
        "torch_interop": torch.get_num_interop_threads(),
        "numba": numba.config.NUMBA_NUM_THREADS,  # type: ignore[attr-defined]
        "pools": pools,
        "environment": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def caches() -> dict[str, dict[str, Any]]:
    """Return the cache folders of otembed and the libraries below it."""
    from huggingface_hub.constants import HF_HOME, HF_HUB_CACHE

    places = {
        "model hub": Path(HF_HUB_CACHE),
        "datasets": Path(os.environ.get("HF_DATASETS_CACHE", Path(HF_HOME) / "datasets")),
    }
    found: dict[str, dict[str, Any]] = {}
    try:
        places = {"otembed": default_cache_dir(), "otembed mining": default_cache_dir() / "mining", **places}
    except ConfigError as error:  # a bug report of this very problem needs the other rows
        found["otembed"] = {"path": error.message, "bytes": None, "files": None}
    return found | {name: {"path": str(path), **_size(path)} for name, path in places.items()}


def encoders() -> list[str]:
    """Return the offline encoders that were converted."""
    try:
        return sorted(path.parent.name for path in default_cache_dir().glob(f"*/{MODEL_FILE}"))
    except ConfigError:
        return []


def _size(folder: Path) -> dict[str, int | None]:
    """Return the size of a folder; links are not followed, since the hub's cache links to its own files."""
    if not folder.is_dir():
        return {"bytes": None, "files": None}
    total = files = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(above) / name).lstat().st_size
            except OSError:  # removed by another process
                continue
            files += 1
    return {"bytes": total, "files": files}


def _cpu_name() -> str:
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
