"""Fields of the Trainer's arguments that users pass on, and callbacks that report to other tools."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from transformers import TrainingArguments
from transformers.integrations import integration_utils

import otembed
from otembed.config import TrainConfig
from otembed.config.trainer import TrainerConfig
from otembed.config.xnli import FinetuneConfig
from otembed.config.xquad import SpanConfig
from otembed.errors import ConfigError
from otembed.runtime.trainer import build_arguments, check_fields, trainer_arguments

KIND = SentenceTransformerTrainingArguments


def checked(**given):
    return check_fields(KIND, given, TrainConfig)


def test_fields_take_the_type_of_the_class():
    given = {
        "optim": "adafactor",
        "adam_beta2": 1,
        "dataloader_num_workers": 2,
        "lr_scheduler_kwargs": {"num_cycles": 2},
        "report_to": ["none"],
        "learning_rate_mapping": {"embeddings": 1e-5},
        "batch_sampler": "no_duplicates_hashed",
        "hub_private_repo": None,
    }
    found = checked(**given)
    assert found == given
    assert isinstance(found["adam_beta2"], float)
    ours = {"output_dir": "x", "use_cpu": True, "lr_scheduler_type": "cosine_with_restarts"}
    arguments = build_arguments(KIND, ours, given, TrainConfig)
    assert (arguments.optim, arguments.dataloader_num_workers) == ("adafactor", 2)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("optimm", "adafactor", "optim"),
        ("warmup_step", 3, "warmup_steps"),
        ("optim", "adafactr", "adafactor"),
        ("batch_sampler", "no_duplicate", "no_duplicates"),
        ("dataloader_num_workers", "two", "dataloader_num_workers"),
        ("dataloader_num_workers", 1.5, "dataloader_num_workers"),
        ("report_to", "tensorbord", "tensorboard"),
        ("report_to", ["wanddb"], "wandb"),
        ("learning_rate", 1e-3, "optimization.learning_rate"),
        ("bf16", True, "optimization.precision"),
        ("output_dir", "x", "output"),
        ("seed", 1, "optimization.seed"),
        ("data_seed", 1, "optimization.seed"),
        ("eval_strategy", "epoch", "held_out.eval_steps"),
        ("save_steps", 1, "optimization.save_steps"),
        ("metric_for_best_model", "loss", "held_out.load_best_model_at_end"),
        ("use_cpu", True, "model.device"),
        ("prompts", "query: ", "model.prompt"),
        ("multi_dataset_batch_sampler", "round_robin", "data.sampling"),
        ("gradient_checkpointing", True, "optimization.activation_checkpointing"),
        ("warmup_ratio", 0.1, "optimization.warmup_steps"),
        ("resume_from_checkpoint", "x", "--resume"),
        ("disable_tqdm", False, "progress"),
        ("do_eval", True, "no effect"),
        ("hub_token", "secret", "HF_TOKEN"),
        ("adam_epsilon", float("nan"), "adam_epsilon"),
        ("log_level", "warn", "warning"),
        ("log_level_replica", "x", "passive"),
        ("neftune_noise_alpha", 5, "not padded"),
    ],
)
def test_invalid_fields_are_rejected_with_the_way_out(name, value, hint):
    with pytest.raises(ConfigError) as caught:
        checked(**{name: value})
    assert name in caught.value.message
    assert hint in caught.value.hint


def test_every_field_that_a_setting_has_is_refused_with_its_path():
    paths = {each.name for each in fields(TrainerConfig)} & {each.name for each in fields(KIND)}
    assert len(paths) >= 7
    for name in paths:
        with pytest.raises(ConfigError) as caught:
            checked(**{name: 1})
        assert f"optimization.{name}" in caught.value.hint


def test_heads_have_their_own_settings():
    """A field that has no setting there is free, and what the run sets is refused."""
    assert check_fields(CrossEncoderTrainingArguments, {"max_grad_norm": 2}, FinetuneConfig) == {"max_grad_norm": 2}
    assert check_fields(TrainingArguments, {"gradient_checkpointing": True}, SpanConfig)
    for kind, settings, name, hint in (
        (CrossEncoderTrainingArguments, FinetuneConfig, "eval_steps", "evaluations"),
        (CrossEncoderTrainingArguments, FinetuneConfig, "num_train_epochs", "num_train_epochs"),
        (TrainingArguments, SpanConfig, "save_steps", "save_steps"),
        (TrainingArguments, SpanConfig, "output_dir", "Remove"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_fields(kind, {name: 3}, settings)
        assert hint in caught.value.hint


def test_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(integration_utils, "is_wandb_available", lambda: False)
    with pytest.raises(ConfigError) as caught:
        checked(report_to="wandb")
    assert "wandb" in caught.value.message
    assert "pip install wandb" in caught.value.hint


def test_values_that_the_class_rejects_together_are_an_error_of_ours():
    ours = {"output_dir": "x", **trainer_arguments(TrainerConfig(), torch.device("cpu"))}
    with pytest.raises(ConfigError, match="dataloader_prefetch_factor"):
        build_arguments(KIND, ours, {"dataloader_prefetch_factor": 2}, TrainConfig)
    with pytest.raises(ConfigError, match="optim"):
        build_arguments(KIND, ours, {"optim": "galore_adamw"}, TrainConfig, torch.nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("schedule", "given", "words"),
    [
        ("linear", {"adam_beta1": 2.0}, ("trainer.adam_beta1 = 2.0", "2.0")),
        ("linear", {"optim": "adafactor", "optim_args": "bad"}, ("trainer.optim_args = 'bad'", "NAME=VALUE")),
        ("linear", {"lr_scheduler_kwargs": {"foo": 1}}, ("'foo': 1", "linear")),
        ("constant", {"lr_scheduler_kwargs": {"num_cycles": 2}}, ("num_cycles", "takes no arguments")),
        ("constant_with_warmup", {"lr_scheduler_kwargs": {"num_cycles": 2}}, ("num_cycles", "takes no arguments")),
        ("linear", {"lr_scheduler_kwargs": "kwargs.json"}, ("kwargs.json", "lr_scheduler_kwargs")),
        ("cosine", {"lr_scheduler_kwargs": {"num_cycles": "two"}}, ("two", "cosine")),
        ("inverse_sqrt", {"lr_scheduler_kwargs": {"timescale": 0}}, ("timescale", "division")),
        ("polynomial", {"lr_scheduler_kwargs": {"lr_end": 1.0}}, ("lr_end", "optimization.lr_scheduler_type")),
        ("cosine_with_min_lr", {}, ("min_lr", "optimization.lr_scheduler_type = cosine_with_min_lr")),
        ("warmup_stable_decay", {}, ("num_decay_steps", "optimization.lr_scheduler_type = warmup_stable_decay")),
    ],
)
def test_optimizer_and_schedule_are_tried_before_the_run(schedule, given, words):
    ours = {"output_dir": "x", **trainer_arguments(TrainerConfig(), torch.device("cpu"))}
    with pytest.raises(ConfigError) as caught:
        build_arguments(KIND, ours | {"lr_scheduler_type": schedule}, given, TrainConfig)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "given"),
    [
        ("cosine_with_min_lr", {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}}),
        ("cosine_with_min_lr", {"lr_scheduler_kwargs": '{"min_lr": 1e-6}'}),
        ("warmup_stable_decay", {"lr_scheduler_kwargs": {"num_decay_steps": 2}}),
        ("inverse_sqrt", {}),
        (
            "reduce_lr_on_plateau",
            {"lr_scheduler_kwargs": {"factor": 0.5}, "eval_strategy": "steps", "eval_steps": 1},
        ),
        ("linear", {"optim": "adamw_torch_fused"}),
        ("linear", {"optim": "galore_adamw_layerwise", "optim_target_modules": ["linear"]}),
        ("linear", {"optim": "sgd", "log_level": "error"}),
    ],
)
def test_optimizers_and_schedules_with_their_arguments_are_accepted(schedule, given):
    ours = {"output_dir": "x", **trainer_arguments(TrainerConfig(max_steps=5), torch.device("cpu"))}
    ours |= {"lr_scheduler_type": schedule, **{name: given[name] for name in given if name.startswith("eval_")}}
    given = {name: value for name, value in given.items() if not name.startswith("eval_")}
    if "galore" in str(given.get("optim")):
        pytest.importorskip("galore_torch")
    build_arguments(KIND, ours, given, TrainConfig, torch.nn.Linear(1, 1))


def test_a_run_is_not_replaced_for_a_schedule_that_cannot_start(configure, finished):
    files = {each: each.read_bytes() for each in finished.rglob("*") if each.is_file()}
    for changes in (
        {"optimization": {"lr_scheduler_type": "cosine_with_min_lr"}},
        {"trainer": {"adam_beta2": -1.0}},
        {"trainer": {"log_level": "foo"}},
    ):
        with pytest.raises(ConfigError):
            otembed.train(configure(**changes), overwrite=True)
    assert {each: each.read_bytes() for each in finished.rglob("*") if each.is_file()} == files


def test_every_argument_of_a_run_is_refused_or_a_default(configure, tiny_model):
    """What ``trainer`` overrides is listed here; everything else that a run sets is refused."""
    from otembed.training import arguments as module

    passed = {}
    original, module.build_arguments = (
        module.build_arguments,
        lambda kind, ours, *others: passed.update(ours) or build_arguments(kind, ours, *others),
    )
    try:
        module.training_arguments(configure(), Path("run/checkpoints"), tiny_model, prompt=None, evaluates=True)
    finally:
        module.build_arguments = original
    free = set()
    for name in passed:
        try:
            checked(**{name: "none" if name == "report_to" else passed[name]})
            free.add(name)
        except ConfigError:
            pass
    assert free == {
        "accelerator_config",
        "activation_checkpointing_kwargs",
        "batch_sampler",
        "ddp_backend",
        "log_level_replica",
        "logging_first_step",
        "report_to",
        "run_name",
        "save_total_limit",
    }
