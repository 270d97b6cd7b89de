"""``otembed train`` as a person uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from otembed.cli.main import app
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from otembed.errors import ConfigError, DataError, ModelError, OtembedError
from otembed.training.result import DryRun, TrainResult

COMMAND = [sys.executable, "-c", "from otembed.cli.main import main; main()"]


@pytest.fixture
def text_path(tmp_path):
    path = tmp_path / "en-de.tsv"
    path.write_text("".join(f"the cat sat {i} on the mat\tdie Katze saß {i} auf der Matte\n" for i in range(60)))
    return path


@pytest.fixture
def command(text_path, tiny_model_path, tmp_path):
    return [
        "train", "--pairs", f"en-de={text_path}", "--model", str(tiny_model_path), "-o", str(tmp_path / "run"),
        "--max-steps", "4", "--batch-size", "8", "--device", "cpu", "--set", "held_out.size=10", "--freeze", "none",
    ]  # fmt: skip


def run(arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_table_goes_to_stdout_and_log_to_stderr(command, tmp_path):
    result = run([*command, "--set", "loss.sentence=none", "--set", "loss.contrastive={}"])
    assert result.exit_code == 0
    assert "en-de" in result.stdout
    assert str(tmp_path / "run" / "model") in result.stdout.replace("\n", "")
    assert re.search(r"step 4/4  loss [\d.]+  .*contrastive [\d.]+  converged \d+%", result.stderr)
    assert "training " in result.stderr
    assert "step" not in result.stdout.split("steps")[0]


def test_json_is_one_document(command):
    result = run([*command, "--json"])
    assert TrainResult.from_json(result.stdout).steps == 4


def test_resolved_configuration_trains_again(command, tmp_path):
    run(command)
    again = run(["train", str(tmp_path / "run" / "config.yaml"), "-o", str(tmp_path / "again"), "--json"])
    first, second = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("run", "again"))
    assert again.exit_code == 0
    assert first["after"]["scores"] == second["after"]["scores"]


def test_options_override_set_and_set_overrides_the_file(command, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("loss: {alignment: {epsilon: 0.3, weight: 0.5}}\noptimization: {seed: 5, max_steps: 9}\n")
    run([*command, str(file), "--set", "loss.alignment.epsilon=0.2", "--seed", "6"])
    resolved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert resolved["loss"]["alignment"]["epsilon"] == 0.2
    assert resolved["loss"]["alignment"]["weight"] == 0.5
    assert resolved["optimization"]["seed"] == 6
    assert resolved["optimization"]["max_steps"] == 4


def test_preset_of_the_paper_trains(command, tmp_path):
    result = run([*command, "--preset", "paper-geomloss", "--set", "model.freeze=[]"])
    assert result.exit_code == 0
    assert "anchor" in result.stderr


def test_dry_run_writes_nothing(command, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    result = run([*command, "--dry-run"])
    assert result.exit_code == 0
    assert "nothing was written" in result.stdout
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("en-de"))
    read, dropped, trained, held_out = map(int, row[1:])
    assert (read, dropped) == (trained + held_out, 0)
    assert sorted(tmp_path.rglob("*")) == before
    assert DryRun.from_json(run([*command, "--dry-run", "--json"]).stdout).steps == 4


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (["--pairs", "en-fr=missing.tsv"], DataError, "missing.tsv"),
        (["--pairs", "enfr"], ConfigError, "enfr"),
        (["--pairs", "en-de=again.tsv"], ConfigError, "twice"),
        (["--held-out", "en=de.tsv"], ConfigError, "en"),
        (["--set", "loss.alignmnt.epsilon=1"], ConfigError, "alignmnt"),
        (["--set", "loss"], ConfigError, "'loss'"),
        (["--lr", "-1"], ConfigError, "learning_rate = -1"),
        (["--batch-size", "1"], ConfigError, "batch_size = 1"),
        (["--preset", "papr-literal"], ConfigError, "papr-literal"),
        (["--freeze", "embedings"], ModelError, "embedings"),
        (["--model", "./nowhere"], ModelError, "nowhere"),
        (["--model", "offline:other"], ModelError, "other"),
        (["--device", "abacus"], OtembedError, "abacus"),
        (["none.yaml"], ConfigError, "none.yaml"),
        (["--resume", "run"], ConfigError, "--resume"),
    ],
)
def test_invalid_input_is_rejected_before_anything_is_written(
    command, change, kind, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        run([*command, *change])
    assert message in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "run" / "model").exists()


def test_malformed_text_names_file_and_line_and_exits_with_2(command, text_path, ended):
    text_path.write_text("a\tb\nc\n")
    code, stdout, stderr = ended(*command)
    assert (code, stdout) == (2, "")
    assert f"{text_path}:2: " in stderr
    assert "Traceback" not in stderr


def test_existing_run_is_rejected_and_left_unchanged(command, tmp_path):
    run(command)
    before = (tmp_path / "run" / "results.json").read_text()
    with pytest.raises(ConfigError, match="a finished run") as caught:
        run(command)
    assert "--overwrite" in caught.value.hint
    assert (tmp_path / "run" / "results.json").read_text() == before
    assert run([*command, "--overwrite"]).exit_code == 0


def weights(run_path):
    return SentenceTransformer(str(run_path / "model"), device="cpu", local_files_only=True).state_dict()


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_result(command, tmp_path):
    steps = ["--max-steps", "24", "--set", "held_out.eval_steps=6", "--set", "optimization.logging_steps=1"]
    assert run([*command, *steps, "-o", str(tmp_path / "straight")]).exit_code == 0
    process = subprocess.Popen([*COMMAND, *command, *steps], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_text().count("\n") > 9):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "results.json").exists()
    assert run(["train", "--resume", str(tmp_path / "run")]).exit_code == 0
    first, second = weights(tmp_path / "straight"), weights(tmp_path / "run")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


@pytest.mark.slow
def test_two_processes_train_one_model(command, tmp_path):
    """torchrun with two gloo processes: one run folder, twice the pairs a step."""
    outcome = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(29500 + os.getpid() % 1000),
            "-m", "otembed.cli", *command, "--set", "loss.alignment.anchor={}", "--json",
        ],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    result = TrainResult.from_json(outcome.stdout)
    assert result.steps == 4
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2
    assert all(each.isfinite().all() for each in weights(Path(result.run)).values())
