"""What a run logs also arrives in other tools, under stable names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import otembed
from otembed.errors import ConfigError
from otembed.training import RunFolder, dry_run

TERMS = {
    "loss",
    "sentence",
    "alignment",
    "anchor",
    "grad_norm",
    "learning_rate",
    "converged",
    "iterations",
    "epoch",
}
SCORES = {"en-de_accuracy", "en-de_mean_cosine", "en-de_effective_rank", "sequential_score"}


def logged(run):
    """Values by step and by the name that transformers gives them in TensorBoard, wandb and trackio."""
    found = {}
    for line in RunFolder(Path(run)).metrics.read_text().splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name.startswith("eval_"):
                found[f"eval/{name.removeprefix('eval_')}", record["step"]] = value
            elif name not in {"step", "seconds", "epoch"}:
                found[f"train/{name}", record["step"]] = value
    return found


@pytest.fixture
def reporting(configure):
    return lambda tool, **changes: configure(
        loss={"alignment": {"anchor": {}}}, trainer={"report_to": tool, "adam_beta2": 0.98}, **changes
    )


def test_tensorboard_has_terms_plans_and_scores_of_a_run(reporting):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = otembed.train(reporting("tensorboard"))
    folder = Path(result.run) / "tensorboard"
    events = EventAccumulator(str(folder)).Reload()
    names = set(events.Tags()["scalars"])
    assert names >= {f"train/{name}" for name in TERMS} | {f"eval/{name}" for name in SCORES}
    found = {(name, each.step): each.value for name in names for each in events.Scalars(name)}
    expected = logged(result.run)
    assert {("train/converged", 4), ("train/anchor", 6), ("eval/en-de_accuracy", 3)} <= expected.keys()
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    # The folder belongs to the run: replacing the run replaces it.
    again = otembed.train(reporting("none"), overwrite=True)
    assert again.run == result.run
    assert not folder.exists()


def test_wandb_has_them_too(reporting, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_DIR", str(tmp_path)), ("WANDB_SILENT", "true")):
        monkeypatch.setenv(name, value)
    try:
        result = otembed.train(reporting("wandb"))
        assert wandb.run.name == "run"
        summary = dict(wandb.run.summary)
    finally:
        wandb.finish()
    assert summary.keys() >= {f"train/{name}" for name in TERMS} | {f"eval/{name}" for name in SCORES}
    expected = logged(result.run)
    for name in ("train/converged", "train/alignment", "eval/en-de_accuracy"):
        assert summary[name] == pytest.approx(expected[name, 6])
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_mlflow_has_them_under_the_names_of_the_log(reporting, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    place = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    # Its stores in files need no database; MLflow 3 asks for a word of agreement.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        result = otembed.train(reporting("mlflow"))
    finally:
        mlflow.end_run()
    client = mlflow.MlflowClient(place)
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    found = {
        (name, each.step): each.value
        for name in run.data.metrics
        for each in client.get_metric_history(run.info.run_id, name)
    }
    expected = {
        (name.removeprefix("train/").replace("eval/", "eval_"), step): value
        for (name, step), value in logged(result.run).items()
    }
    assert {("converged", 4), ("anchor", 6), ("eval_en-de_accuracy", 3)} <= expected.keys()
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_trackio_has_them_too(reporting, tmp_path, monkeypatch):
    # Read when trackio is imported.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    result = otembed.train(reporting("trackio"))
    found = {
        (name, each["train/global_step"]): value
        for each in SQLiteStorage.get_logs("huggingface", "run")
        for name, value in each.items()
    }
    expected = logged(result.run)
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_default_reports_nowhere(trained):
    assert not (Path(trained.run) / "tensorboard").exists()


def test_tool_that_cannot_start_is_an_error_of_ours(reporting, monkeypatch):
    pytest.importorskip("tensorboard")
    from transformers.integrations import TensorBoardCallback

    def fails(*args, **kwargs):
        raise PermissionError("no access")

    monkeypatch.setattr(TensorBoardCallback, "on_train_begin", fails)
    with pytest.raises(ConfigError, match="no access") as caught:
        otembed.train(reporting("tensorboard"))
    assert "without" in caught.value.hint


def test_invalid_field_ends_a_run_before_anything_is_read(configure, tmp_path):
    config = configure(trainer={"adam_epsilo": 0.9}, pairs={"en-de": str(tmp_path / "missing.tsv")})
    for run in (otembed.train, dry_run):
        with pytest.raises(ConfigError, match="adam_epsilo") as caught:
            run(config)
        assert "adam_epsilon" in caught.value.hint
    assert not Path(config.output).exists()


def test_values_that_do_not_fit_leave_an_earlier_run_intact(configure, finished):
    before = (finished / "results.json").read_text()
    with pytest.raises(ConfigError, match="dataloader_prefetch_factor"):
        otembed.train(configure(trainer={"dataloader_prefetch_factor": 2}), overwrite=True)
    assert (finished / "results.json").read_text() == before


def test_fields_reach_the_trainer_and_are_kept_with_the_run(configure):
    seen = {}

    from transformers import TrainerCallback

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
            inner = optimizer.optimizer
            seen.update(betas=inner.defaults["betas"], kind=type(inner).__name__, scheduler=args.lr_scheduler_type)

    config = configure(
        trainer={"adam_beta2": 0.9, "optim": "adamw_torch", "lr_scheduler_kwargs": {"num_cycles": 2}},
        optimization={"max_steps": 1, "lr_scheduler_type": "cosine_with_restarts"},
        held_out={"size": 0},
    )
    result = otembed.train(config, callbacks=[Look()])
    assert seen == {"betas": (0.9, 0.9), "kind": "AdamW", "scheduler": "cosine_with_restarts"}
    assert RunFolder.read_config(result.run).trainer == config.trainer


def test_dry_run_reports_nowhere(reporting, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    dry_run(reporting("tensorboard"))
    assert not (tmp_path / "events").exists()
