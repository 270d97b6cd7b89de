"""Environment of a run: versions, machine, devices."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import psutil
import torch

from otembed.runtime.packages import versions


def environment() -> dict[str, Any]:
    """Return versions, command and machine as plain JSON values."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "processes": process_count(),
    }


def process_count() -> int:
    """Return the number of processes that train, on all machines together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def recorded_processes(environment: Any) -> int:
    """Return the number of processes in what :func:`environment` returned for a run, or those of this launch."""
    known = environment.get("processes") if isinstance(environment, dict) else None
    return known if isinstance(known, int) and known > 0 else process_count()


def launcher(processes: int) -> str:
    """Return what comes before a command to start that many processes; nothing for one."""
    if processes == 1:
        return ""
    here = processes
    if processes == process_count():
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    nodes = f"--nnodes {processes // here} " if here < processes else ""
    return f"torchrun {nodes}--nproc-per-node {here} --no-python "
