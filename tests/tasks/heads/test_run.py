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

    def start(seed: int, *, overwrite: bool = False) -> None:
        with run.opened({"seed": seed}, {}, resume=False, overwrite=overwrite):
            pass

    def meanwhile(path: Path, *args: Any, **options: Any) -> None:
        make(path, *args, **options)
        if path == run.path:
            monkeypatch.undo()
            start(1)

    monkeypatch.setattr(type(tmp_path), "mkdir", meanwhile)
    with pytest.raises(ConfigError, match="unfinished run"):
        start(2)
    assert json.loads(run.settings.read_text())["settings"] == {"seed": 1}
    start(3, overwrite=True)
    assert json.loads(run.settings.read_text())["settings"] == {"seed": 3}


def test_a_head_is_locked_from_its_settings_on(tmp_path: Path) -> None:
    """Not even --overwrite takes the folder between the writing of the settings and the training."""
    run = HeadRun(tmp_path / "run", "head", "otembed eval xnli")
    with (
        run.opened({"seed": 1}, {}, resume=False),
        pytest.raises(ConfigError, match="another process"),
        run.opened({"seed": 2}, {}, resume=False, overwrite=True),
    ):
        pass
    assert json.loads(run.settings.read_text())["settings"] == {"seed": 1}


def test_a_replaced_head_leaves_nothing_to_the_new_one(tmp_path: Path) -> None:
    """Checkpoints on another disk, by a symbolic link, would be resumed by the new run."""
    run = HeadRun(tmp_path / "run", "head", "otembed eval xnli")
    with run.opened({"seed": 1}, {}, resume=False):
        (tmp_path / "elsewhere" / "checkpoint-3").mkdir(parents=True)
        run.checkpoints.symlink_to(tmp_path / "elsewhere")
        run.model.mkdir()
        run.summary.write_text("{}")
    with run.opened({"seed": 2}, {}, resume=False, overwrite=True):
        assert sorted(each.name for each in run.path.iterdir()) == [".lock", "settings.json"]
    assert (tmp_path / "elsewhere" / "checkpoint-3").is_dir()


def test_command_that_continues_a_run_can_be_pasted(tmp_path: Path) -> None:
    run = HeadRun(tmp_path / "a run", "head", "otembed eval xnli")
    assert run.resume_with is not None
    assert shlex.split(run.resume_with)[3:] == ["--run", str(tmp_path / "a run"), "--resume"]
    assert HeadRun(tmp_path, "head", "otembed eval xnli", lasting=False).resume_with is None
