"""A run folder is never overwritten unasked, and what a kill leaves is recognized."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import otembed
from otembed.config.io import read_yaml, train_config
from otembed.errors import ConfigError
from otembed.training import RunFolder
from otembed.training.preparation import input_paths
from otembed.training.recipe import record_environment


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def config_for(folder):
    return train_config({"pairs": {"en-de": "a.tsv"}, "output": str(folder.path)})


def create(folder, config=None, **options):
    with folder.created(config or config_for(folder), **options):
        pass


def checkpoint(folder, step, *, state='{"global_step": 1}'):
    path = folder.checkpoints / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({}, path / name)
    save_file({"weight": torch.zeros(2)}, path / "model.safetensors")
    (path / "trainer_state.json").write_text(state)
    return path


def test_new_run_writes_its_configuration(folder):
    create(folder)
    assert train_config(read_yaml(folder.config)) == config_for(folder)
    assert RunFolder.read_config(folder.path) == config_for(folder)


def test_moved_run_is_resumed_in_place(folder, tmp_path):
    create(folder)
    folder.path.rename(tmp_path / "moved")
    assert RunFolder.read_config(tmp_path / "moved").output == str(tmp_path / "moved")


@pytest.mark.parametrize(("finished", "word"), [(False, "an unfinished"), (True, "a finished")])
def test_existing_run_is_not_overwritten_by_default(folder, finished, word):
    create(folder)
    (folder.path / "metrics.jsonl").write_text("{}\n")
    if finished:
        folder.results.write_text("{}")
    with pytest.raises(ConfigError, match=word):
        create(folder)
    assert folder.metrics.exists()
    create(folder, overwrite=True)
    assert not folder.metrics.exists()
    assert not folder.results.exists()


def test_folder_that_is_not_a_run_is_never_overwritten(folder):
    folder.path.mkdir()
    (folder.path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="is not a run"):
        create(folder, overwrite=True)
    assert (folder.path / "thesis.tex").exists()


def test_folder_with_a_foreign_config_is_never_overwritten(folder):
    create(folder)
    (folder.path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        create(folder, overwrite=True)
    assert (folder.path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("model.name", {"model": {"name": "{run}/model"}}),
        ("loss.teacher", {"loss": {"sentence": "mse", "teacher": "{run}/../run/model"}}),
        ("pairs.en-de", {"pairs": {"en-de": "{run}/model/text.tsv?source=0&target=1"}}),
        ("held_out.pairs.en-de (target)", {"held_out": {"pairs": {"en-de": "{run}/../a.en,{run}/model/a.de"}}}),
        ("release.other_pairs.en-fr", {"release": {"other_pairs": {"en-fr": "{run}/../link.tsv"}}}),
    ],
)
def test_a_run_never_replaces_what_it_reads(folder, configure, setting, changes):
    """Neither by a path through other folders nor by a link."""
    create(folder)
    folder.model.mkdir()
    for name in ("config.json", "text.tsv", "a.de"):
        (folder.model / name).write_text("kept")
    (folder.path.parent / "link.tsv").symlink_to(folder.model / "text.tsv")
    filled = json.loads(json.dumps(changes).replace("{run}", str(folder.path)))
    config = configure(**filled)
    for overwrite in (True, False):
        with pytest.raises(ConfigError) as caught:
            otembed.train(config, overwrite=overwrite)
        assert setting in caught.value.message
        assert "another folder" in caught.value.hint
    with pytest.raises(ConfigError):
        create(folder, config, overwrite=True, inputs=input_paths(config))
    assert (folder.model / "text.tsv").read_text() == "kept"


def test_names_that_are_no_paths_are_no_inputs_in_the_folder(folder, configure):
    create(folder)
    for name in ("intfloat/multilingual-e5-small", "a" * 5000, "offline:multilingual-e5-small"):
        folder.refuse_taken(overwrite=True, inputs=input_paths(configure(model={"name": name})))


def test_active_run_is_locked(folder):
    create(folder)
    with folder.locked(), pytest.raises(ConfigError, match="another process"), folder.locked():
        pass
    with folder.locked(), pytest.raises(ConfigError, match="another process"):
        create(folder, overwrite=True)
    assert sorted(each.name for each in folder.path.iterdir()) == ["config.yaml"]


def test_file_at_the_target_is_rejected(folder):
    folder.path.write_text("")
    with pytest.raises(ConfigError, match="is not a run"):
        create(folder, overwrite=True)


def test_resume_without_a_run_is_rejected(folder):
    with pytest.raises(ConfigError, match="no run to resume"):
        RunFolder.read_config(folder.path)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"])
def test_corrupt_checkpoints_are_reported_and_an_older_one_used(folder, name, caplog):
    whole = checkpoint(folder, 3)
    checkpoint(folder, 10, state='{"global_st')
    (folder.checkpoints / "checkpoint-12").mkdir()
    truncated = checkpoint(folder, 20) / name
    truncated.write_bytes(truncated.read_bytes()[:-5])
    assert folder.last_checkpoint() == whole
    folder.drop_half_written()
    assert [each.name for each in folder.checkpoints.iterdir()] == [whole.name]
    assert f"checkpoint-20: {name}" in caplog.text
    assert "checkpoint-10: trainer_state.json" in caplog.text


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "model.safetensors", "trainer_state.json"])
def test_incomplete_checkpoints_count_as_corrupt(folder, name):
    (checkpoint(folder, 3) / name).unlink()
    assert folder.last_checkpoint() is None


def test_newest_checkpoint_has_the_highest_step(folder):
    for step in (9, 100, 20):
        checkpoint(folder, step)
    assert folder.last_checkpoint().name == "checkpoint-100"


def test_metrics_after_the_checkpoint_and_truncated_lines_are_dropped(folder):
    folder.path.mkdir()
    for step in (1, 5, 8):
        folder.append_metrics({"step": step, "loss": 1.0})
    with folder.metrics.open("a") as file:
        file.write('5\n{"loss": 1}\n{"step": 9, "lo')
        file.write('\n[1]\n{"step": "5"}\n' + "[" * 100_000 + "\n" + "9" * 5000)
    folder.metrics.write_bytes(folder.metrics.read_bytes() + b"\n\xff\n")
    assert folder.last_training_record() == {"loss": 1}
    folder.keep_metrics_up_to(5)
    assert [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()] == [1, 5]


@pytest.mark.parametrize(
    ("launch", "recorded", "prefix"),
    [
        ({}, None, ""),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, None, "torchrun --nproc-per-node 2 --no-python "),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, None, "torchrun --nnodes 2 --nproc-per-node 4 --no-python "),
        ({}, '{"processes": 3}', "torchrun --nproc-per-node 3 --no-python "),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, '{"processes": 1}', ""),
        ({}, '["cut', ""),
        ({}, "[]", ""),
        ({}, '{"processes": "many"}', ""),
    ],
)
def test_command_that_continues_a_run_starts_as_many_processes(folder, monkeypatch, launch, recorded, prefix):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in launch.items():
        monkeypatch.setenv(name, value)
    if recorded is not None:
        folder.path.mkdir()
        folder.environment.write_text(recorded)
    assert folder.resume_with == f"{prefix}otembed train --resume {folder.path}"


def test_run_of_two_processes_is_not_continued_by_one(folder, monkeypatch):
    """Its batches would be others, and their number."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    folder.path.mkdir()
    folder.environment.write_text('{"processes": 2, "inputs": {}}')
    with pytest.raises(ConfigError, match=r"2 processes, .* 1\n.*torchrun --nproc-per-node 2 .* --resume"):
        record_environment(folder, {})
    monkeypatch.setenv("WORLD_SIZE", "2")
    record_environment(folder, {})


def test_of_two_runs_that_start_at_once_the_first_keeps_its_settings(folder, monkeypatch):
    """The second one has found no run, and creates its own in a folder that by then has one."""
    first = train_config({"pairs": {"en-de": "other.tsv"}, "output": str(folder.path)})
    make = type(folder.path).mkdir

    def meanwhile(path, *args, **options):
        make(path, *args, **options)
        if path == folder.path:
            monkeypatch.undo()
            create(folder, first)

    monkeypatch.setattr(type(folder.path), "mkdir", meanwhile)
    with pytest.raises(ConfigError, match="unfinished run"):
        create(folder)
    assert RunFolder.read_config(folder.path) == first


def test_a_new_run_is_locked_from_its_settings_on(folder):
    """Not even --overwrite takes the folder between the writing of the settings and the training."""
    create(folder)
    first = train_config({"pairs": {"en-de": "other.tsv"}, "output": str(folder.path)})
    with folder.created(first, overwrite=True), pytest.raises(ConfigError, match="another process"):
        create(folder, overwrite=True)
    assert RunFolder.read_config(folder.path) == first


def test_a_replaced_run_leaves_nothing_to_the_new_one(folder, tmp_path):
    """Checkpoints on another disk, by a symbolic link, would be resumed by the new run."""
    create(folder)
    checkpoint(folder, 3)
    folder.checkpoints.rename(tmp_path / "elsewhere")
    folder.checkpoints.symlink_to(tmp_path / "elsewhere")
    (folder.path / "model").mkdir()
    for name in ("metrics.jsonl", "results.json", "environment.json"):
        (folder.path / name).write_text("{}")
    with folder.created(config_for(folder), overwrite=True):
        assert sorted(each.name for each in folder.path.iterdir()) == [".lock", "config.yaml"]
    assert (tmp_path / "elsewhere" / "checkpoint-3").is_dir()


def test_a_killed_replacement_leaves_a_run_that_can_be_replaced(folder, monkeypatch):
    create(folder)
    checkpoint(folder, 3)
    folder.results.write_text("{}")

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("otembed.runtime.run_state.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            create(folder, overwrite=True)
    assert not folder.finished
    create(folder, overwrite=True)
    assert folder.last_checkpoint() is None


@pytest.mark.parametrize("done", ["finished", "replaced"])
def test_a_run_that_ended_while_another_process_prepared_to_resume_it_is_left_alone(folder, done):
    """Its checkpoints are deleted by then: training would start again, and cut the log."""
    create(folder)
    config = RunFolder.read_config(folder.path)
    folder.append_metrics({"step": 1, "loss": 1.0})
    if done == "finished":
        folder.results.write_text("{}")
    else:
        create(folder, train_config({"pairs": {"en-de": "b.tsv"}, "output": str(folder.path)}), overwrite=True)
    before = {each.name: each.read_bytes() for each in folder.path.iterdir()}
    with pytest.raises(ConfigError, match=f"has {done} this run in the meantime") as caught, folder.resumed(config):
        pass
    assert "--resume" in caught.value.hint
    assert {each.name: each.read_bytes() for each in folder.path.iterdir()} == before


def test_an_unfinished_run_is_resumed_with_its_settings(folder):
    create(folder)
    checkpoint(folder, 3)
    (folder.checkpoints / "checkpoint-9").mkdir()
    with folder.resumed(RunFolder.read_config(f"{folder.path}/")):
        assert [each.name for each in folder.checkpoints.iterdir()] == ["checkpoint-3"]
        assert (folder.path / ".lock").exists()


@pytest.mark.parametrize("content", ["[]", "5", '"cut"'])
def test_an_environment_that_is_no_document_is_read_as_of_an_earlier_version(folder, monkeypatch, content):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    folder.path.mkdir()
    folder.environment.write_text(content)
    record_environment(folder, {"model": "abc"})
    assert folder.environment.read_text() == content


def test_the_environment_is_read_once(folder, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    folder.path.mkdir()
    record_environment(folder, {"model": "abc"})
    read = []
    monkeypatch.setattr(
        "otembed.training.recipe.read_json", lambda path, hint: read.append(path) or json.loads(path.read_text())
    )
    monkeypatch.setattr(RunFolder, "processes", property(lambda self: pytest.fail("read again")))
    record_environment(folder, {"model": "abc"})
    assert read == [folder.environment]
