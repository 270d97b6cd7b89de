"""The mean of the last checkpoints: against a mean by hand of the files, beside interpolation, and resumed."""

from __future__ import annotations

import io
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from sentence_transformers import SentenceTransformer
from transformers.trainer_utils import sort_checkpoints

import otembed
from otembed.errors import ConfigError
from otembed.runtime.run_state import checkpoints_in, order_by_step
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.training import recipe
from otembed.training.averaging import average_checkpoints
from otembed.training.preparation import load_material
from otembed.training.result import TrainResult
from otembed.training.summary import train_summary
from tests.training.test_train import Crash, assert_same_release, weights


@pytest.fixture
def configured(configure):
    """Build a configuration with five checkpoints, of steps 2, 4, 6, 8 and 10; the best is one of the first."""

    def build(count=2, optimization=None, **release):
        return configure(
            release={"average_checkpoints": count, **release},
            optimization={"max_steps": 10, "learning_rate": 0.02, "keep_checkpoints": True, **(optimization or {})},
            held_out={"eval_steps": 2},
            model={"freeze": ["embeddings"]},
        )

    return build


def loaded(folder):
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).state_dict()


def mean_by_hand(run, steps):
    states = [loaded(Path(run) / "checkpoints" / f"checkpoint-{step}") for step in steps]
    return {name: torch.stack([each[name].double() for each in states]).mean(0) for name in states[0]}


def assert_weights(run, expected):
    for name, each in weights(run).items():
        torch.testing.assert_close(each.double(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "steps"), [(2, (8, 10)), (3, (6, 8, 10))])
def test_released_weights_are_the_mean_of_the_last_checkpoints(configured, tiny_model_path, count, steps):
    config = configured(count)
    result = otembed.train(config)
    assert result.averaged_steps == steps
    assert result.best_step is None
    kept = {int(each.name.split("-")[1]) for each in checkpoints_in(Path(result.run) / "checkpoints")}
    assert kept >= set(steps)
    assert len(kept) == count + 1  # the best one, or one before
    assert_weights(result.run, mean_by_hand(result.run, steps))
    start = loaded(tiny_model_path)
    for name, each in weights(result.run).items():
        assert "embeddings" not in name or torch.equal(each, start[name])
    # The figures are those of the mean, not of one of the steps.
    model = otembed.load_model(result.model, device="cpu")
    found = evaluate_retrieval(model, load_material(config).held_out, centered=True)
    assert found.scores == result.after.scores
    assert TrainResult.from_json((Path(result.run) / "results.json").read_text()) == result


def test_interpolation_starts_from_the_mean(configured, tiny_model_path):
    result = otembed.train(configured(2, interpolate=0.5))
    mean, start = mean_by_hand(result.run, (8, 10)), loaded(tiny_model_path)
    assert_weights(result.run, {name: (start[name].double() + each) / 2 for name, each in mean.items()})
    assert [each.share for each in result.interpolation.points] == [0, 0.5, 1]
    assert result.averaged_steps == (8, 10)


def test_interrupted_runs_average_the_same_checkpoints(configured, monkeypatch):
    """Killed once between two checkpoints, and once after training: the last steps before the kill are in the mean."""
    straight = otembed.train(configured(3))
    cut = replace(configured(3), output=str(Path(straight.run).with_name("cut") / "run"))

    def fail(*args, **kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "prepare_release", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            otembed.train(cut)
    after = Path(cut.output).parent.with_name("after") / "run"
    shutil.copytree(cut.output, after)
    for each in checkpoints_in(Path(cut.output) / "checkpoints")[-1:]:
        shutil.rmtree(each)
    for folder in (cut.output, after):
        resumed = otembed.train(resume=folder)
        assert resumed.averaged_steps == (6, 8, 10)
        assert_same_release(straight.run, resumed.run)


def test_a_copied_run_averages_the_last_checkpoints(configured):
    """The Trainer deletes the checkpoints that look oldest; a copy has the times of copying, in any order."""
    config = configured(2)
    straight = replace(config, output=str(Path(config.output).with_name("straight") / "run"))
    otembed.train(straight)
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(9)])
    for age, each in enumerate(checkpoints_in(Path(config.output) / "checkpoints")):
        os.utime(each, (1e9 - 10 * age,) * 2)
    resumed = otembed.train(resume=config.output)
    assert resumed.averaged_steps == (8, 10)
    assert_same_release(straight.output, resumed.run)


@pytest.mark.parametrize(
    ("times", "kept"),
    [([1000, 1010, 1020], True), ([1020, 1010, 1000], False), ([1000, 1000, 1000], False), ([1, 2, 1e11], False)],
    ids=["in order", "reversed", "equal", "in the future"],
)
def test_times_of_checkpoints_follow_their_steps(tmp_path, times, kept):
    for step, when in zip((9, 10, 100), times, strict=True):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        os.utime(folder, (when, when))
    order_by_step(tmp_path)
    found = [each.stat().st_mtime for each in checkpoints_in(tmp_path)]
    assert (found == times) is kept
    assert found[-1] == min(times[-1], found[-1]) <= time.time()
    assert sort_checkpoints(str(tmp_path), use_mtime=True) == [str(each) for each in checkpoints_in(tmp_path)]
    assert found[1] - found[0] >= 1


def test_card_terminal_and_page_name_the_steps(configured):
    result = otembed.train(configured(2))
    console = Console(width=80, file=io.StringIO())
    console.print(train_summary(result))
    assert "steps 8, 10" in console.file.getvalue()
    for file in (Path(result.model) / "README.md", Path(result.run) / "report.html"):
        assert "the mean of those of steps 8, 10" in file.read_text(encoding="utf-8")
    assert "bold row" not in (Path(result.model) / "README.md").read_text(encoding="utf-8")


def test_a_short_run_averages_what_it_has(tiny_model, tmp_path, caplog):
    for step, value in ((10, 1.0), (9, 5.0)):
        with torch.no_grad():
            for each in tiny_model.parameters():
                each.fill_(value)
        folder = tmp_path / f"checkpoint-{step}"
        tiny_model.save(str(folder), create_model_card=False)
        (folder / "trainer_state.json").write_text("{}")
        for name in ("optimizer.pt", "scheduler.pt"):
            torch.save({}, folder / name)
    (tmp_path / "checkpoint-11").mkdir()  # incomplete
    load = lambda path: tiny_model.load_state_dict(loaded(path))  # noqa: E731
    assert average_checkpoints(tiny_model, load, tmp_path, 5) == (9, 10)
    assert "5" in caplog.text
    assert all(torch.equal(each, torch.full_like(each, 3.0)) for each in tiny_model.parameters())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"lora": {}}}, "model.lora"),
        ({"trainer": {"save_total_limit": 2}}, "save_total_limit"),
        ({"release": {"average_checkpoints": 0}}, "average_checkpoints"),
    ],
)
def test_settings_that_have_no_mean_are_refused(configure, changes, named):
    with pytest.raises(ConfigError, match=named):
        configure(**{"release": {"average_checkpoints": 2}, **changes})
    configure(trainer={"save_total_limit": 3}, release={"average_checkpoints": 2})
