"""The run folder of a head: of two runs that start at once, the first keeps its settings."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from otembed.errors import ConfigError
from otembed.tasks.heads.run import HeadRun

if TYPE_CHECKING:
    from pathlib import Path


def test_of_two_runs_that_start_at_once_the_first_keeps_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one has found no run, and opens its own in a folder that by then has one."""
    run = HeadRun(tmp_path / "run", "head", "otembed eval xnli")
    make = type(tmp_path).mkdir

    def meanwhile(path: Path, *args: Any, **options: Any) -> None:
        make(path, *args, **options)
        if path == run.path:
            monkeypatch.undo()
            run.open({"seed": 1}, {}, resume=False)

    monkeypatch.setattr(type(tmp_path), "mkdir", meanwhile)
    with pytest.raises(ConfigError, match="unfinished run"):
        run.open({"seed": 2}, {}, resume=False)
    assert json.loads(run.settings.read_text())["settings"] == {"seed": 1}
    run.open({"seed": 3}, {}, resume=False, overwrite=True)
    assert json.loads(run.settings.read_text())["settings"] == {"seed": 3}


def test_command_that_continues_a_run_can_be_pasted(tmp_path: Path) -> None:
    run = HeadRun(tmp_path / "a run", "head", "otembed eval xnli")
    assert run.resume_with is not None
    assert shlex.split(run.resume_with)[3:] == ["--run", str(tmp_path / "a run"), "--resume"]
    assert HeadRun(tmp_path, "head", "otembed eval xnli", lasting=False).resume_with is None
