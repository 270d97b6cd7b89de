"""The recipe from end to end on a tiny encoder: the run folder, its figures, its promises."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

import otembed
from otembed.config.io import read_yaml, train_config
from otembed.errors import ConfigError, NumericsError, OtembedError
from otembed.training import RunFolder, dry_run
from otembed.training.result import TrainResult

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


def test_a_run_leaves_all_its_files(configure, tmp_path):
    result = otembed.train(configure())
    folder = RunFolder(tmp_path / "run")
    assert folder.finished
    assert {each.name for each in folder.path.iterdir()} == {
        "before.json", "config.yaml", "environment.json", "metrics.jsonl", "model", "results.json",
    }  # fmt: skip
    assert TrainResult.from_json(folder.results.read_text()) == result
    assert train_config(read_yaml(folder.config)) == configure()
    assert json.loads(folder.environment.read_text())["packages"]["torch"]
    assert result.steps == 6
    assert result.pairs["en-de"]["read"] == 72
    assert result.before.scores[0].sentences == 12


def test_every_term_and_the_share_of_converged_plans_are_recorded(configure):
    result = otembed.train(configure(loss={"alignment": {"anchor": {}}}))
    trained = [each for each in records(result.run) if "loss" in each]
    assert [each["step"] for each in trained] == [1, 2, 3, 4, 6]
    for each in trained:
        assert each["loss"] == pytest.approx(each["sentence"] + each["alignment"] + each["anchor"], abs=2e-3)
        assert 0 <= each["converged"] <= 1
        assert each["iterations"] > 0
    evaluated = [each for each in records(result.run) if "eval_en-de_accuracy" in each]
    assert [each["step"] for each in evaluated] == [3, 6]


def test_the_best_evaluated_model_is_released_and_its_card_has_its_figures(configure):
    result = otembed.train(configure(optimization={"learning_rate": 0.05, "max_steps": 9}))
    scores = {
        each["step"]: each["eval_sequential_score"]
        for each in records(result.run)
        if "eval_sequential_score" in each
    }
    assert result.best_step == max(scores, key=lambda step: (scores[step], -step))
    assert result.after.scores[0].accuracy == pytest.approx(scores[result.best_step])
    card = (Path(result.model) / "README.md").read_text()
    value = card.split("type: accuracy\n")[1].split("value: ")[1].split("\n")[0]
    assert float(value) == pytest.approx(result.after.scores[0].accuracy)


def test_card_names_loss_knobs_and_citations_and_quotes_no_text(configure):
    result = otembed.train(configure(loss={"alignment": {}}))
    card = (Path(result.model) / "README.md").read_text()
    assert "OTAlignmentLoss" in card
    assert '"epsilon": 0.05' in card
    assert "2110.02887" in card
    assert "die Katze" not in card
    quoted = otembed.train(replace(configure(output=result.run + "-2"), examples_in_card=True))
    assert "die " in (Path(quoted.model) / "README.md").read_text()


def test_the_model_loads_without_otembed_and_gives_the_same_vectors(configure):
    result = otembed.train(configure())
    expected = otembed.load_model(result.model, device="cpu").encode(PROBE)
    code = (
        "import sys, json\n"
        "sys.modules['otembed'] = None\n"
        "from sentence_transformers import SentenceTransformer\n"
        f"model = SentenceTransformer({result.model!r}, device='cpu', local_files_only=True)\n"
        f"print(json.dumps(model.encode({PROBE!r}).tolist()))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    np.testing.assert_allclose(np.array(json.loads(output)), expected, atol=1e-6)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(configure):
    config = configure(held_out={"size": 0})
    runs = [otembed.train(replace(config, output=f"{config.output}-{index}")).run for index in range(2)]
    assert_same_weights(*runs)
    other = otembed.train(configure(held_out={"size": 0}, optimization={"seed": 7}))
    assert any(not torch.equal(weights(runs[0])[name], each) for name, each in weights(other.run).items())


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
        {"optimization": {"schedule": "constant_with_warmup"}, "held_out": {"select_best": False}},
        {"held_out": {"patience": 1, "every": 1}, "optimization": {"max_steps": 30, "learning_rate": 1e-7}},
        {"optimization": {"max_steps": None, "epochs": 1.0}},
    ],
    ids=["last model", "stopped early", "whole epoch"],
)
def test_a_run_cut_after_its_last_step_takes_no_step_more(configure, changes):
    straight = otembed.train(configure(**changes))
    cut = configure(**changes, output=f"{straight.run}-cut")
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(cut, callbacks=[CrashAtEnd()])
    resumed = otembed.train(resume=cut.output)
    assert (resumed.steps, resumed.best_step) == (straight.steps, straight.best_step)
    assert resumed.last_log.keys() == straight.last_log.keys()
    assert_same_weights(straight.run, resumed.run)


@pytest.mark.parametrize("step", [1, 4, 8])
def test_a_cut_run_resumes_to_the_same_result(configure, step):
    changes = {"optimization": {"max_steps": 10, "epochs": 1, "accumulate": 2}, "held_out": {"patience": 3}}
    straight = otembed.train(configure(**changes))
    cut = configure(**changes, output=f"{straight.run}-cut")
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(cut, callbacks=[Crash(step)])
    assert not RunFolder(Path(cut.output)).finished
    resumed = otembed.train(resume=cut.output)
    assert_same_weights(straight.run, resumed.run)
    assert resumed.after.scores == straight.after.scores
    assert resumed.best_step == straight.best_step
    assert [each["step"] for each in records(cut.output)] == [each["step"] for each in records(straight.run)]


def test_anchor_of_a_resumed_run_is_the_starting_model(configure):
    changes = {"loss": {"sentence": "none", "alignment": {"anchor": {"weight": 1}}}, "held_out": {"size": 0}}
    changes["optimization"] = {"save_every": 3}
    straight = otembed.train(configure(**changes))
    cut = configure(**changes, output=f"{straight.run}-cut")
    with pytest.raises(RuntimeError):
        otembed.train(cut, callbacks=[Crash(4)])
    assert_same_weights(straight.run, otembed.train(resume=cut.output).run)


def test_a_finished_run_gives_its_result_again(configure):
    result = otembed.train(configure())
    before = (Path(result.run) / "metrics.jsonl").read_text()
    assert otembed.train(resume=result.run) == result
    assert (Path(result.run) / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": {"en-de": "missing.tsv"}},
        {"model": {"name": "./nowhere"}},
        {"loss": {"alignment": {"layer": 9}}},
        {"optimization": {"precision": "fp16"}},
    ],
    ids=["data", "model", "loss", "device"],
)
def test_overwriting_with_bad_input_leaves_the_earlier_run(configure, changes):
    result = otembed.train(configure())
    with pytest.raises(OtembedError):
        otembed.train(configure(**changes), overwrite=True)
    assert otembed.train(resume=result.run) == result


def test_a_failed_start_leaves_nothing_behind(configure, tmp_path):
    with pytest.raises(OtembedError):
        otembed.train(configure(model={"name": "./nowhere"}))
    assert not (tmp_path / "run").exists()


def test_a_moved_run_tells_where_it_lies_now(configure, tmp_path):
    result = otembed.train(configure())
    Path(result.run).rename(tmp_path / "moved")
    moved = otembed.train(resume=tmp_path / "moved")
    assert (moved.run, moved.model) == (str(tmp_path / "moved"), str(tmp_path / "moved" / "model"))


def test_the_released_model_has_its_own_length_again(configure):
    result = otembed.train(configure(model={"max_seq_length": 12}))
    assert SentenceTransformer(result.model, device="cpu", local_files_only=True).max_seq_length == 64


def test_bad_input_leaves_an_earlier_run_intact(configure, tmp_path):
    result = otembed.train(configure())
    with pytest.raises(ConfigError, match="holds a finished run"):
        otembed.train(configure())
    assert otembed.train(resume=result.run) == result


@pytest.mark.parametrize(
    "changes",
    [
        {"optimization": {"accumulate": 2}},
        {"optimization": {"precision": "bf16"}},
        {"optimization": {"checkpoint_activations": True}, "loss": {"alignment": {"layer": 2}}},
        {"loss": {"sentence": "none", "alignment": {"anchor": {"reduction": "sum", "weight": 0.01}}}},
        {"loss": {"matryoshka": [16, 8], "sentence": "mnrl", "contrastive": None}},
        {},
        {"loss": {"sentence": "mnrl", "contrastive": None}},
        {"loss": {"alignment": None, "contrastive": {"sentence_weight": 1}, "sentence": "none"}},
        {"loss": {"alignment": None, "contrastive": {"layer": 2, "max_cells": 500}}},
        {"loss": {"mini_batch_size": 3}},
        {"loss": {"alignment": {"relaxation": 0.5, "debiased": True, "cost": "sqeuclidean"}}},
        {"data": {"sampling": "round_robin"}, "optimization": {"schedule": "cosine"}},
        {"held_out": {"size": 0}},
        {"model": {"freeze": ["embeddings", "layers:1"]}},
    ],
    ids=lambda changes: json.dumps(changes)[:50],
)
def test_variants_train_to_finite_weights(configure, changes):
    result = otembed.train(configure(**changes))
    assert result.steps == 6
    assert all(each.isfinite().all() for each in weights(result.run).values())
    assert all(math.isfinite(value) for value in result.last_log.values())


def test_mini_batches_of_the_encoder_change_nothing_but_memory(configure):
    """GradCache through the whole trainer: without dropout the weights are those of the plain run."""
    runs = []
    for size in (None, 3):
        changes = {"loss": {"alignment": {}, "mini_batch_size": size}, "held_out": {"size": 0}}
        steps = {"checkpoint_activations": bool(size), "max_steps": 3}
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


def test_accumulated_batches_count_as_one_step_of_the_whole(configure):
    """Two half batches make the gradient of their mean: the alignment term is a mean over pairs."""
    changes = {"held_out": {"size": 0}, "loss": {"sentence": "none", "alignment": {"center": False, "anchor": {}}}}
    steps = {"max_steps": 1, "warmup": 0.0, "log_every": 1}
    whole = otembed.train(configure(**changes, optimization={**steps, "batch_size": 8}))
    halves = otembed.train(
        configure(**changes, optimization={**steps, "batch_size": 4, "accumulate": 2}, output=f"{whole.run}-2")
    )
    assert records(halves.run)[0]["alignment"] == pytest.approx(records(whole.run)[0]["alignment"], rel=0.2)
    assert records(halves.run)[0]["grad_norm"] == pytest.approx(records(whole.run)[0]["grad_norm"], rel=0.5)


def test_early_stopping_ends_the_run(configure):
    result = otembed.train(
        configure(held_out={"patience": 1, "every": 1}, optimization={"max_steps": 60, "learning_rate": 1e-7})
    )
    assert result.steps < 60


def test_nan_stops_the_run_with_a_hint(configure):
    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            with torch.no_grad():
                next(model[0].model.encoder.parameters()).fill_(float("nan"))

    with pytest.raises(NumericsError, match="is nan at step 1") as caught:
        otembed.train(configure(), callbacks=[Poison()])
    assert "learning_rate" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimization": {"precision": "fp16"}}, "fp16 needs a GPU"),
        ({"optimization": {"save_every": 4}}, "save_every = 4 differs from held_out.every = 3"),
        ({"held_out": {"patience": 1, "select_best": False}}, "patience needs"),
        ({"loss": {"matryoshka": [64], "alignment": {}}}, "the model has 32 dimensions"),
        ({"loss": {"alignment": {"layer": 9}}}, "layer = 9"),
        (
            {"model": {"freeze": ["embeddings", "layers:3"]}, "loss": {"alignment": {}}},
            "sentence term of the loss reaches nothing that trains",
        ),
        (
            {"model": {"freeze": ["embeddings", "layers:1"]}, "loss": {"alignment": {"layer": 1}}},
            "alignment term of the loss reaches nothing",
        ),
        (
            {
                "model": {"freeze": ["embeddings", "layers:1"]},
                "loss": {"alignment": None, "contrastive": {"layer": 1}, "mini_batch_size": 2},
            },
            "contrastive term of the loss reaches nothing",
        ),
        ({"model": {"prompt_name": "query", "max_seq_length": 4}}, "the prompt alone has"),
        ({"model": {"device": "cuda:1"}}, "cuda:1"),
    ],
)
def test_settings_that_cannot_work_are_refused(configure, changes, message):
    with pytest.raises(OtembedError, match=message):
        otembed.train(configure(**changes))
    if changes != {"optimization": {"save_every": 4}}:
        with pytest.raises(OtembedError, match=message):
            dry_run(configure(**changes))


def test_train_takes_a_configuration_or_a_run(configure):
    with pytest.raises(ConfigError, match="a configuration or a run"):
        otembed.train()
    with pytest.raises(ConfigError, match="a configuration or a run"):
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


def test_dry_run_foretells_the_steps_of_an_epoch(configure):
    changes = {"optimization": {"max_steps": None, "epochs": 2.0, "accumulate": 2}, "held_out": {"size": 0}}
    assert dry_run(configure(**changes)).steps == otembed.train(configure(**changes)).steps
