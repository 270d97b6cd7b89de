"""The recipe from end to end on a tiny encoder: the run folder, its figures, its promises."""

from __future__ import annotations

import json
import math
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

import otembed
from otembed.config.io import merge, read_yaml, train_config
from otembed.errors import ConfigError, NumericsError, OtembedError, OutputError
from otembed.models import load_model
from otembed.training import RunFolder, dry_run
from otembed.training.report import run_report
from otembed.training.result import TrainResult
from tests.training.conftest import small_settings

PROBE = ["the cat sat on the mat", "die Katze schlief im Haus"]


def records(run):
    return [json.loads(line) for line in RunFolder(Path(run)).metrics.read_text().splitlines()]


def weights(run):
    return SentenceTransformer(str(Path(run) / "model"), device="cpu", local_files_only=True).state_dict()


def assert_same_weights(one, other):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)


def assert_same_release(one, other):
    """Every file of the model, byte by byte, and the results but for times and places."""
    first, second = (
        {
            path.relative_to(run): path.read_bytes()
            for path in sorted(Path(run, "model").rglob("*"))
            if path.is_file()
        }
        for run in (one, other)
    )
    assert first.keys() == second.keys()
    assert [str(name) for name in first if first[name] != second[name]] == []
    first, second = (json.loads((Path(run) / "results.json").read_text()) for run in (one, other))
    for name in ("run", "model", "seconds", "training_seconds"):
        assert (first.pop(name) is None) == (second.pop(name) is None)
    for report in (first["before"], first["after"], second["before"], second["after"]):
        if report is not None:
            del report["model"], report["seconds"]
    assert first == second
    reports = [run_report(run) for run in (one, other)]
    for name in ("views", "curve", "retrieval"):
        assert reports[0][name] == reports[1][name], name


def test_run_folder_contains_all_files(trained):
    folder = RunFolder(Path(trained.run))
    assert folder.finished
    assert {each.name for each in folder.path.iterdir()} == {
        "before.json", "config.yaml", "environment.json", "metrics.jsonl", "model", "report.html", "results.json", "views.json",
    }  # fmt: skip
    assert TrainResult.from_json(folder.results.read_text()) == trained
    assert train_config(read_yaml(folder.config)).optimization.max_steps == trained.steps == 9
    assert json.loads(folder.environment.read_text())["packages"]["torch"]
    assert trained.pairs["en-de"]["read"] == 72
    assert trained.before.scores[0].sentences == 12


def test_metrics_record_every_term_and_the_converged_share(trained):
    steps = [each for each in records(trained.run) if "loss" in each]
    assert [each["step"] for each in steps] == [1, 2, 3, 4, 6, 8, 9]
    for each in steps:
        assert each["loss"] == pytest.approx(each["sentence"] + each["alignment"] + each["anchor"], abs=2e-3)
        assert 0 <= each["converged"] <= 1
        assert each["iterations"] > 0
    evaluated = [each for each in records(trained.run) if "eval_en-de_accuracy" in each]
    assert [each["step"] for each in evaluated] == [3, 6, 9]


def test_best_model_is_saved_with_its_scores_in_the_card(trained):
    scores = {
        each["step"]: each["eval_sequential_score"]
        for each in records(trained.run)
        if "eval_sequential_score" in each
    }
    assert trained.best_step == max(scores, key=lambda step: (scores[step], -step))
    assert trained.after.scores[0].accuracy == pytest.approx(scores[trained.best_step])
    card = (Path(trained.model) / "README.md").read_text()
    value = card.split("type: accuracy\n")[1].split("value: ")[1].split("\n")[0]
    assert float(value) == pytest.approx(trained.after.scores[0].accuracy)


def test_card_contains_settings_and_citations_and_examples_only_on_request(trained, configure):
    card = (Path(trained.model) / "README.md").read_text()
    assert "OTAlignmentLoss" in card
    assert '"epsilon": 0.05' in card
    assert "2110.02887" in card
    assert "die Katze" not in card
    changes = {"optimization": {"max_steps": 1}, "held_out": {"size": 0}}
    quoted = otembed.train(configure(examples_in_card=True, **changes))
    assert "die " in (Path(quoted.model) / "README.md").read_text()


def test_model_loads_in_plain_sentence_transformers_with_its_own_length(trained):
    plain = SentenceTransformer(trained.model, device="cpu", local_files_only=True)
    expected = otembed.load_model(trained.model, device="cpu").encode(PROBE)
    np.testing.assert_allclose(plain.encode(PROBE), expected, atol=1e-6)
    assert plain.max_seq_length == 64
    modules = json.loads((Path(trained.model) / "modules.json").read_text())
    assert all(each["type"].startswith("sentence_transformers.") for each in modules)


def test_same_seed_gives_the_same_model_and_another_seed_another(configure):
    changes = {"held_out": {"size": 0}, "optimization": {"max_steps": 2}}
    config = configure(**changes)
    runs = [otembed.train(replace(config, output=f"{config.output}-{index}")).run for index in range(2)]
    assert_same_weights(*runs)
    other = replace(config, optimization=replace(config.optimization, seed=7))
    assert any(
        not torch.equal(weights(runs[0])[name], each) for name, each in weights(otembed.train(other).run).items()
    )


class Crash(TrainerCallback):
    """Fail after a step, as a power cut would."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise RuntimeError("power cut")


class CrashAtEnd(TrainerCallback):
    """Fail between the last step and the release."""

    def on_train_end(self, args, state, control, **kwargs):
        raise RuntimeError("power cut")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "optimization": {"lr_scheduler_type": "constant_with_warmup", "max_steps": 3},
            "held_out": {"load_best_model_at_end": False},
        },
        {
            "held_out": {"early_stopping_patience": 1, "eval_steps": 1},
            "optimization": {"max_steps": 30, "learning_rate": 1e-7},
        },
        {"optimization": {"max_steps": None, "num_train_epochs": 1.0}},
    ],
    ids=["last model", "stopped early", "whole epoch"],
)
def test_run_interrupted_after_its_last_step_trains_no_further(configure, changes):
    straight = otembed.train(configure(**changes))
    cut = configure(**changes, output=str(Path(straight.run).with_name("cut") / "run"))
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(cut, callbacks=[CrashAtEnd()])
    # A kill may come before this file; and the saved path of the best checkpoint is no longer right.
    (Path(cut.output) / "environment.json").unlink()
    Path(cut.output).parent.rename(Path(straight.run).with_name("moved"))
    resumed = otembed.train(resume=Path(straight.run).with_name("moved") / "run")
    assert (Path(resumed.run) / "environment.json").is_file()
    assert (resumed.steps, resumed.best_step) == (straight.steps, straight.best_step)
    if "early_stopping_patience" in changes.get("held_out", {}):
        assert straight.steps < changes["optimization"]["max_steps"]
    assert resumed.last_log == straight.last_log
    assert "model-index" in (Path(resumed.model) / "README.md").read_text()
    assert_same_release(straight.run, resumed.run)


RESUMABLE = {
    "optimization": {"max_steps": 10, "num_train_epochs": 1, "gradient_accumulation_steps": 2},
    "held_out": {"early_stopping_patience": 3},
}


@pytest.fixture(scope="module")
def straight(tiny_model_path, tmp_path_factory):
    """An uninterrupted run of the resumable settings; read only."""
    settings = small_settings(tmp_path_factory.mktemp("straight"), tiny_model_path)
    return otembed.train(train_config(merge(settings, RESUMABLE)))


@pytest.mark.parametrize("step", [1, 4, 8])
def test_interrupted_run_resumes_to_the_same_result(configure, straight, step):
    config = configure(**RESUMABLE)
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(step)])
    for name in (".config.yaml.0a1b2c3d.tmp", ".before.json.0a1b2c3d.tmp"):
        (Path(config.output) / name).touch()
    (Path(config.output) / ".model.0a1b2c3d.tmp").mkdir()
    assert not RunFolder(Path(config.output)).finished
    resumed = otembed.train(resume=config.output)
    assert_same_release(straight.run, resumed.run)
    assert {each.name for each in Path(resumed.run).iterdir()} == {
        each.name for each in Path(straight.run).iterdir()
    }
    assert resumed.after.scores == straight.after.scores
    assert resumed.best_step == straight.best_step
    assert [each["step"] for each in records(config.output)] == [each["step"] for each in records(straight.run)]


@pytest.mark.parametrize(("name", "cut"), [("optimizer.pt", True), ("model.safetensors", False)])
def test_corrupt_newest_checkpoint_falls_back_to_an_older_one(configure, straight, caplog, name, cut):
    config = configure(**RESUMABLE)
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(8)])
    newest = RunFolder(Path(config.output)).last_checkpoint()
    content = bytearray((newest / name).read_bytes())
    content[len(content) // 2] ^= 1
    (newest / name).write_bytes(content[:1000] if cut else content)
    with caplog.at_level("WARNING", "otembed"):
        resumed = otembed.train(resume=config.output)
    assert newest.name in caplog.text
    assert name in caplog.text
    assert_same_weights(straight.run, resumed.run)


class Limit(TrainerCallback):
    """Limit the size of a file after a step, as a disk that fills up would."""

    def __init__(self, step, size):
        self.step, self.size = step, size

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))


def test_checkpoint_that_cannot_be_written_is_an_error_and_the_run_resumes(configure, straight):
    config = configure(**RESUMABLE)
    size = sum(each.nbytes for each in weights(straight.run).values())
    try:
        # Room for the weights, but not for the optimizer: torch reports it in its own way.
        with pytest.raises(OutputError, match=r"checkpoints: .*\n.*--resume") as caught:
            otembed.train(config, callbacks=[Limit(4, size * 3 // 2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert config.output in caught.value.hint
    assert_same_weights(straight.run, otembed.train(resume=config.output).run)


def test_anchor_of_a_resumed_run_is_the_starting_model(configure):
    changes = {"loss": {"sentence": "none", "alignment": {"anchor": {"weight": 1}}}, "held_out": {"size": 0}}
    changes["optimization"] = {"save_steps": 3}
    straight = otembed.train(configure(**changes))
    cut = configure(**changes, output=f"{straight.run}-cut")
    with pytest.raises(RuntimeError):
        otembed.train(cut, callbacks=[Crash(4)])
    assert_same_weights(straight.run, otembed.train(resume=cut.output).run)


def change_model(config):
    model = load_model(config.model.name)
    model[0].model.encoder.layer[0].output.dense.weight.data += 1e-3
    shutil.rmtree(config.model.name)
    model.save(config.model.name, create_model_card=False)


def change_last_pair(path):
    lines = Path(path).read_text().splitlines()
    Path(path).write_text("\n".join([*lines[:-1], lines[-1] + " heute"]) + "\n")


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (change_model, ["the starting model"]),
        (lambda config: change_last_pair(config.pairs["en-de"]), ["the training text en-de"]),
        (lambda config: change_last_pair(config.held_out.pairs["en-de"]), ["the held-out text en-de"]),
        (lambda config: change_last_pair(config.release.other_pairs["en-nl"]), ["the other text en-nl"]),
    ],
    ids=["model", "training text", "held-out text", "other text"],
)
def test_changed_input_is_refused_on_resume(configure, text_path, tiny_model_path, tmp_path, change, changed):
    lines = text_path.read_text().splitlines()
    for name, kept in (("held-out.tsv", lines[:12]), ("other.tsv", lines[12:24]), ("en-de.tsv", lines[24:])):
        (tmp_path / name).write_text("\n".join(kept) + "\n")
    config = configure(
        model={"name": str(shutil.copytree(tiny_model_path, tmp_path / "model"))},
        held_out={"pairs": {"en-de": str(tmp_path / "held-out.tsv")}},
        release={"interpolate": "auto", "other_pairs": {"en-nl": str(tmp_path / "other.tsv")}},
    )
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(4)])
    before = {path: path.read_bytes() for path in Path(config.output).rglob("*") if path.is_file()}
    change(config)
    with pytest.raises(ConfigError, match="changed since the run started") as caught:
        otembed.train(resume=config.output)
    assert caught.value.message.partition(": changed since the run started: ")[2] == ", ".join(changed)
    assert "--overwrite" in caught.value.hint
    assert {path: path.read_bytes() for path in Path(config.output).rglob("*") if path.is_file()} == before


def test_what_a_kill_after_the_result_left_is_removed_and_never_blocks(finished, configure):
    before = {each.name for each in finished.iterdir()}
    (finished / ".model.0a1b2c3d.old").mkdir()
    (finished / "checkpoints" / "checkpoint-9").mkdir(parents=True)
    for name in (".lock", ".results.json.0a1b2c3d.tmp"):
        (finished / name).touch()
    RunFolder(finished).refuse_taken(overwrite=True)
    otembed.train(resume=finished)
    assert {each.name for each in finished.iterdir()} == before


def test_folder_of_a_run_killed_as_it_started_is_new(tmp_path):
    (tmp_path / ".config.yaml.0a1b2c3d.tmp").touch()
    RunFolder(tmp_path).refuse_taken(overwrite=False)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError):
        RunFolder(tmp_path).refuse_taken(overwrite=True)


def test_resuming_a_finished_run_returns_its_result(trained):
    before = (Path(trained.run) / "metrics.jsonl").read_text()
    assert otembed.train(resume=trained.run) == trained
    assert (Path(trained.run) / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": {"en-de": "missing.tsv"}},
        {"model": {"name": "./nowhere"}},
        {"loss": {"alignment": {"layer": 9}}},
        {"optimization": {"precision": "fp16"}},
        {"optimization": {"per_device_train_batch_size": 64}, "trainer": {"dataloader_drop_last": True}},
    ],
    ids=["data", "model", "loss", "device", "batches"],
)
def test_failed_overwrite_leaves_the_earlier_run(configure, finished, changes):
    result = otembed.train(resume=finished)
    with pytest.raises(OtembedError):
        otembed.train(configure(**changes), overwrite=True)
    assert otembed.train(resume=finished) == result


def test_precision_in_use_is_stored_and_resumed(configure, monkeypatch):
    monkeypatch.setattr("otembed.runtime.arithmetic.bf16_speedup", lambda device: 3.0)
    changes = {
        "optimization": {"precision": "auto", "max_steps": 2, "save_steps": 1},
        "held_out": {"size": 0, "eval_steps": 1},
    }
    cut = configure(**changes)
    with pytest.raises(RuntimeError):
        otembed.train(cut, callbacks=[Crash(1)])
    assert RunFolder.read_config(cut.output).optimization.precision == "bf16"
    monkeypatch.delattr("otembed.runtime.arithmetic.bf16_speedup")
    assert otembed.train(resume=cut.output).steps == 2


def test_failed_start_creates_no_run_folder(configure, tmp_path):
    with pytest.raises(OtembedError):
        otembed.train(configure(model={"name": "./nowhere"}))
    assert not (tmp_path / "run").exists()


def test_existing_run_is_not_replaced_without_overwrite(configure, finished):
    with pytest.raises(ConfigError) as caught:
        otembed.train(configure())
    assert "--overwrite" in caught.value.hint
    assert otembed.train(resume=finished).run == str(finished)


def test_moved_run_reports_its_current_location(finished, tmp_path):
    finished.rename(tmp_path / "moved")
    moved = otembed.train(resume=tmp_path / "moved")
    assert (moved.run, moved.model) == (str(tmp_path / "moved"), str(tmp_path / "moved" / "model"))


def test_run_of_an_older_version_is_rejected_by_setting(finished):
    config = (finished / "config.yaml").read_text()
    (finished / "config.yaml").write_text(config.replace("num_train_epochs:", "epochs:"))
    with pytest.raises(ConfigError, match=r"config\.yaml: .*'optimization\.epochs'\n.*num_train_epochs"):
        otembed.train(resume=finished)


def test_home_folder_is_expanded(configure, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    changes = {"optimization": {"max_steps": 1}, "held_out": {"size": 0}}
    result = otembed.train(configure(output="~/runs/x", **changes))
    assert result.run == str(tmp_path / "runs" / "x")
    assert not (tmp_path / "~").exists()
    assert otembed.train(resume="~/runs/x") == result


@pytest.mark.parametrize(
    "changes",
    [
        {
            "optimization": {"gradient_accumulation_steps": 2, "precision": "bf16", "lr_scheduler_type": "cosine"},
            "data": {"sampling": "round_robin"},
        },
        {"optimization": {"activation_checkpointing": True}, "loss": {"alignment": {"layer": 2}}},
        {"loss": {"sentence": "none", "alignment": {"anchor": {"reduction": "sum", "weight": 0.01}}}},
        {"loss": {"matryoshka_dims": [16, 8], "sentence": "mnrl", "contrastive": None}},
        {"model": {"freeze": ["embeddings", "layers:1"]}, "loss": {"mini_batch_size": 3}},
        {"loss": {"sentence": "mnrl", "contrastive": None}, "held_out": {"size": 0}},
        {"loss": {"contrastive": {"layer": 2, "max_cells": 500}}},
        {"loss": {"alignment": {"relaxation": 0.5, "debiased": True, "cost": "sqeuclidean"}}},
    ],
    ids=lambda changes: json.dumps(changes)[:50],
)
def test_variants_train_to_finite_weights(configure, changes):
    result = otembed.train(configure(**merge({"optimization": {"max_steps": 3}}, changes)))
    assert result.steps == 3
    assert all(each.isfinite().all() for each in weights(result.run).values())
    assert all(math.isfinite(value) for value in result.last_log.values())


def test_mini_batches_do_not_change_the_result(configure):
    """GradCache through the whole trainer: without dropout the weights are those of the plain run."""
    runs = []
    for size in (None, 3):
        changes = {"loss": {"alignment": {}, "mini_batch_size": size}, "held_out": {"size": 0}}
        steps = {"activation_checkpointing": bool(size), "max_steps": 3}
        config = configure(**changes, optimization=steps, output=f"{configure().output}-{size}")
        runs.append(otembed.train(config, callbacks=[NoDropout()]))
    assert "GradCacheLoss" in (Path(runs[1].model) / "README.md").read_text()
    assert runs[1].last_log["converged"] == runs[0].last_log["converged"] == 1
    assert runs[1].last_log["sentence"] == pytest.approx(runs[0].last_log["sentence"], rel=1e-4)
    first, second = (weights(run.run) for run in runs)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5, msg=name)


class NoDropout(TrainerCallback):
    def on_train_begin(self, args, state, control, model=None, **kwargs):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0


def test_accumulated_batches_count_as_one_step(configure):
    """Two half batches make the gradient of their mean: the alignment term is a mean over pairs."""
    changes = {"held_out": {"size": 0}, "loss": {"sentence": "none", "alignment": {"center": False, "anchor": {}}}}
    steps = {"max_steps": 1, "warmup_steps": 0.0, "logging_steps": 1}
    whole = otembed.train(configure(**changes, optimization={**steps, "per_device_train_batch_size": 8}))
    halves = otembed.train(
        configure(
            **changes,
            optimization={**steps, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
            output=f"{whole.run}-2",
        )
    )
    assert records(halves.run)[0]["alignment"] == pytest.approx(records(whole.run)[0]["alignment"], rel=0.2)
    assert records(halves.run)[0]["grad_norm"] == pytest.approx(records(whole.run)[0]["grad_norm"], rel=0.5)


def test_nan_stops_the_run_with_a_hint(configure):
    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            with torch.no_grad():
                next(model[0].model.encoder.parameters()).fill_(float("nan"))

    with pytest.raises(NumericsError, match="nan at step 1") as caught:
        otembed.train(configure(), callbacks=[Poison()])
    assert "learning_rate" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimization": {"precision": "fp16"}}, "fp16"),
        ({"optimization": {"save_steps": 4}}, "save_steps = 4 .*eval_steps = 3"),
        ({"held_out": {"early_stopping_patience": 1, "load_best_model_at_end": False}}, "early_stopping_patience"),
        ({"loss": {"matryoshka_dims": [64], "alignment": {}}}, "32 dimensions"),
        ({"loss": {"alignment": {"layer": 9}}}, "layer = 9"),
        (
            {"model": {"freeze": ["embeddings", "layers:3"]}, "loss": {"alignment": {}}},
            "sentence term",
        ),
        (
            {"model": {"freeze": ["embeddings", "layers:1"]}, "loss": {"alignment": {"layer": 1}}},
            "alignment term",
        ),
        (
            {
                "model": {"freeze": ["embeddings", "layers:1"]},
                "loss": {
                    "alignment": None,
                    "contrastive": {"layer": 1, "sentence_weight": None},
                    "mini_batch_size": 2,
                },
            },
            "contrastive term",
        ),
        ({"model": {"prompt_name": "query", "max_seq_length": 4}}, "max_seq_length = 4"),
        ({"model": {"device": "cuda:1"}}, "cuda:1: training uses the first visible GPU"),
        (
            {
                "optimization": {"max_steps": None, "per_device_train_batch_size": 64},
                "trainer": {"dataloader_drop_last": True},
            },
            "1 full batch of 64",
        ),
    ],
)
@pytest.mark.parametrize("start", [otembed.train, dry_run])
def test_invalid_settings_are_rejected(configure, changes, message, start):
    with pytest.raises(OtembedError, match=message):
        start(configure(**changes))


def test_train_takes_a_configuration_or_a_run(configure):
    with pytest.raises(ConfigError, match="resume"):
        otembed.train()
    with pytest.raises(ConfigError, match="resume"):
        otembed.train(configure(), resume="x")


def test_dry_run_counts_estimates_and_writes_nothing(configure, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    estimate = dry_run(configure(optimization={"max_steps": 50}))
    assert sorted(tmp_path.rglob("*")) == before
    assert estimate.steps == 50
    assert estimate.held_out == {"en-de": 12}
    assert estimate.pairs["en-de"]["read"] == 72
    assert estimate.seconds_per_step > 0
    assert estimate.total_seconds >= 50 * estimate.seconds_per_step
    assert 0 < estimate.tokens_mean <= estimate.tokens_max <= 64


def test_dry_run_predicts_the_steps_of_an_epoch(configure):
    changes = {
        "optimization": {"max_steps": None, "num_train_epochs": 1, "gradient_accumulation_steps": 2},
        "held_out": {"size": 0},
    }
    assert dry_run(configure(**changes)).steps == otembed.train(configure(**changes)).steps
