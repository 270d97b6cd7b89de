from __future__ import annotations

import os
from pathlib import Path

import pytest

from otembed.models.folders import whole_folder


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_folder_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with whole_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert contents(target.parent) == {"model/a": "1"}


def test_existing_folder_stays_complete_until_replaced(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("0")
    with whole_folder(target) as folder:
        (folder / "new").write_text("1")
        assert contents(target) == {"old": "0"}
    assert contents(tmp_path) == {"model/new": "1"}


def test_failure_leaves_everything_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("0")

    def interrupted() -> None:
        with whole_folder(target) as folder:
            (folder / "new").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(tmp_path) == {"model/old": "0"}


def test_failed_rename_restores_the_earlier_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("0")
    rename = Path.rename

    def refuse_fresh(self: Path, other: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError("no space")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refuse_fresh)
    with pytest.raises(OSError, match="no space"), whole_folder(target):
        pass
    assert contents(tmp_path) == {"model/old": "0"}


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    earlier = os.umask(0o022)
    try:
        with whole_folder(tmp_path / "model") as folder:
            (folder / "secret").touch(mode=0o600)
    finally:
        os.umask(earlier)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "model" / "secret").stat().st_mode & 0o777 == 0o644
