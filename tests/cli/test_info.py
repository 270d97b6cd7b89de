"""``otembed info``: tables, Markdown, JSON and the self-test's exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from otembed.cli.main import app
from typer.testing import CliRunner

from otembed.diagnostics import selftest
from otembed.diagnostics.installation import Installation
from otembed.diagnostics.tables import installation_rows
from otembed.errors import ConfigError
from otembed.results.table import markdown_escaped


def run(*arguments):
    return CliRunner().invoke(app, ["info", *arguments], catch_exceptions=False)


def test_tables_markdown_and_json_agree():
    found = Installation.from_json(run("--json").stdout)
    assert found.packages["torch"] == version("torch")
    plain, markdown = run().stdout, run("--markdown").stdout
    for title, rows in installation_rows(found).items():
        assert title in plain
        assert f"| {title} |  |\n| --- | --- |\n" in markdown
        for name, value in rows:
            if title not in ("devices", "caches"):  # free memory changes, and caches while other tests run
                assert f"| {markdown_escaped(name)} | {markdown_escaped(value)} |" in markdown
            assert name in plain


def test_version_mismatches_are_shown():
    found = Installation(
        python="3", platform="p", packages={"a": "1", "b": None}, misfits={"a": ">=2", "b": ">=1"},
        extras={"x": ["c>=1"], "y": []}, threads={"torch": 1, "torch_interop": 1, "numba": 1, "pools": {}, "environment": {}},
        devices={
            "cpu": "c|d", "instructions": "AVX2", "cores": 2, "processors": 4, "usable_processors": 1, "memory_gb": 8.0,
            "available_gb": 4.0, "cuda": "12", "mps": True, "onednn": True, "onednn_speedup": 2.25, "bf16_speedup": 0.0, "gpus": [{"name": "G", "memory_gb": 80.0, "capability": "9.0"}],
        },
        caches={"otembed": {"path": "/c", "bytes": None, "files": None}}, encoders=[],
    )  # fmt: skip
    rows = {name: value for each in installation_rows(found).values() for name, value in each}
    assert (rows["a"], rows["b"]) == ("1 (otembed requires >=2)", "missing (otembed requires >=1)")
    assert (rows["x"], rows["y"]) == ("missing c>=1", "installed")
    assert rows["cores"] == "2 cores, 4 processors, 1 usable by this process"
    assert rows["cuda:0"] == "G, 80 GB, capability 9.0"
    assert rows["otembed"] == "not found, /c"
    assert rows["offline encoders"] == "none converted yet"
    assert rows["MPS"] == "available"
    assert rows["float32 products"] == "oneDNN is 2.25 times as fast as PyTorch's default, and is used"
    assert rows["bf16 products"] == "0 times as fast as float32"


def test_missing_gpu_is_explained():
    found = Installation.from_json(run("--json").stdout)
    for cuda, words in ((None, "torch was built without CUDA"), ("12.6", "no GPU is visible")):
        devices = {**found.devices, "gpus": [], "cuda": cuda}
        rows = dict(installation_rows(Installation.from_dict({**found.to_dict(), "devices": devices}))["devices"])
        assert rows["CUDA"] == words


def test_check_prints_one_line_per_check_and_sets_the_exit_code(monkeypatch):
    def broken():
        raise ValueError("it broke")

    monkeypatch.setattr(selftest, "CHECKS", {"good": lambda: "fine"})
    assert run("--check").exit_code == 0
    monkeypatch.setattr(selftest, "CHECKS", {"good": lambda: "fine", "bad": broken})
    result = run("--check")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok", "failed"]
    assert "ValueError: it broke" in result.stdout
    result = run("--check", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"], document["kind"]) == (1, False, "SelfTest")
    assert [each["ok"] for each in document["checks"]] == [True, False]


@pytest.mark.parametrize(("other", "name"), [("--json", "--json"), ("--check", "--check")])
def test_markdown_excludes_json_and_check(other, name):
    with pytest.raises(ConfigError, match=f"--markdown and {name}"):
        run("--markdown", other)


def test_versions_need_no_torch():
    code = (
        "import sys; from otembed.runtime.packages import extras, versions; versions(), extras();"
        "print(sorted({'torch', 'numba', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
