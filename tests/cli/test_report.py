"""``otembed report``: what it writes over, and what it does not."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["results.json", "config.yaml", "model/modules.json"])
def test_no_file_of_the_run_is_replaced(ended, write, tmp_path, name):
    for each in ("results.json", "config.yaml", "report.html", "model/modules.json"):
        (tmp_path / each).parent.mkdir(exist_ok=True)
        write(each, "{}")
    code, _, stderr = ended("report", tmp_path, "-o", tmp_path / name, "--force")
    assert (code, (tmp_path / name).read_text()) == (2, "{}")
    assert "RUN" in stderr
    # The report itself is.
    _, _, stderr = ended("report", tmp_path, "-o", tmp_path / "report.html", "--force")
    assert "TrainResult" in stderr
