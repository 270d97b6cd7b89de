"""Configuration: layers, limits, unknown keys, and the way through YAML and back."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
import yaml
from pydantic import TypeAdapter

import otembed.config
from otembed.config import (
    AlignmentConfig,
    ContrastiveConfig,
    DataConfig,
    DocumentMiningConfig,
    DocumentsConfig,
    FinetuneConfig,
    LossConfig,
    MatchConfig,
    MiningConfig,
    NegativesConfig,
    PairChecks,
    ProbeConfig,
    ReleaseConfig,
    SpanConfig,
    TaggingProbeConfig,
    TrainConfig,
    WordAlignmentConfig,
)
from otembed.config.base import REMOVED, RENAMED
from otembed.config.io import (
    build,
    merge,
    parse_assignments,
    preset_names,
    read_preset,
    read_yaml,
    to_yaml,
    train_config,
)
from otembed.errors import ConfigError

PAIRS = {"pairs": {"en-sw": "a.tsv"}}


def test_later_layers_win():
    config = train_config(
        PAIRS, {"optimization": {"seed": 1, "num_train_epochs": 2}}, {"optimization": {"seed": 7}}
    )
    assert (config.optimization.seed, config.optimization.num_train_epochs) == (7, 2)


def test_resolved_configuration_is_a_valid_input():
    for preset in ({}, *(read_preset(name) for name in preset_names())):
        config = train_config(PAIRS, preset)
        assert train_config(yaml.safe_load(to_yaml(config))) == config


def test_presets_of_the_paper_differ_only_in_cost_and_epsilon():
    geomloss, literal = (train_config(PAIRS, read_preset(f"paper-{name}")) for name in ("geomloss", "literal"))
    assert (geomloss.loss.alignment.cost, geomloss.loss.alignment.epsilon) == ("half_sqeuclidean", 0.0025)
    assert (literal.loss.alignment.cost, literal.loss.alignment.epsilon) == ("euclidean", 0.05)
    same = dataclasses.replace(literal.loss.alignment, cost="half_sqeuclidean", epsilon=0.0025)
    assert dataclasses.replace(literal, loss=dataclasses.replace(literal.loss, alignment=same)) == geomloss


@pytest.mark.parametrize(
    ("tree", "message", "hint"),
    [
        ({}, "pairs", "--pairs en-sw=FILE"),
        ({**PAIRS, "lss": 1}, "'lss'", "'loss'"),
        ({**PAIRS, "loss": {"alignment": {"epsilom": 1}}}, "'loss.alignment.epsilom'", "'epsilon'"),
        ({**PAIRS, "loss": {"alignment": {"anchor": {"wait": 1}}}}, "anchor.wait", "'weight'"),
        (
            {**PAIRS, "loss": {"alignment": {"epsilon": -1}}},
            "loss.alignment.epsilon = -1",
            "loss.alignment.epsilon",
        ),
        ({**PAIRS, "loss": {"alignment": {"epsilon": float("nan")}}}, "epsilon = nan", "epsilon"),
        ({**PAIRS, "loss": {"alignment": {"unit": "letter"}}}, "unit = 'letter'", "unit"),
        ({**PAIRS, "optimization": {"per_device_train_batch_size": 1}}, "batch_size = 1", "batch_size"),
        ({**PAIRS, "optimization": {"warmup_steps": 2.5}}, "warmup_steps = 2.5", "warmup_steps"),
        ({**PAIRS, "loss": {"sentence": "none", "contrastive": None}}, "sentence: none", ""),
        ({**PAIRS, "loss": {"alignment": {}, "contrastive": {}}}, "loss.contrastive", "null"),
        (
            {**PAIRS, "loss": {"sentence": "none", "contrastive": {}, "matryoshka_dims": [8]}},
            "loss.matryoshka_dims",
            "mnrl",
        ),
        ({**PAIRS, "model": {"prompt": "a", "prompt_name": "b"}}, "model.prompt_name", ""),
        ({**PAIRS, "data": {"checks": {"min_characters": 9, "max_characters": 3}}}, "= 9", "min_characters"),
    ],
)
def test_invalid_settings_are_rejected(tree, message, hint):
    with pytest.raises(ConfigError) as caught:
        train_config(tree)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "tree", "message"),
    [
        (
            TrainConfig,
            {"loss": {"alignment": {"layer": "mid"}}},
            "loss.alignment.layer = 'mid': .* integer, or 'middle'",
        ),
        (TrainConfig, {"model": {"lora": {"target_modules": 3}}}, "target_modules = 3: .* tuple, or 'all-linear'"),
        (TrainConfig, {"model": {"lora": {"target_modules": ["a", 3]}}}, r"target_modules.1 = 3: .* string$"),
        (WordAlignmentConfig, {"layer": 1.5}, r"layer = 1.5: input should be a valid integer, or 'auto'$"),
        (
            TaggingProbeConfig,
            {"layer": "al"},
            r"layer = 'al': input should be a valid integer, or 'auto' or 'all'$",
        ),
        (
            MiningConfig,
            {"rescore_layer": "aut"},
            r"rescore_layer = 'aut': input should be a valid integer, or 'auto'$",
        ),
        (
            DocumentsConfig,
            {"threshold": 1.5},
            r"threshold = 1.5: input should be less than or equal to 1, or 'auto'$",
        ),
        (MiningConfig, {"threshold": "aut"}, r"threshold = 'aut': .* number, .* or 'default' or 'auto'$"),
    ],
)
def test_a_value_of_no_allowed_kind_is_reported_with_all_of_them(kind, tree, message):
    with pytest.raises(ConfigError) as caught:
        build(kind, {**PAIRS, **tree} if kind is TrainConfig else tree)
    assert re.search(message, caught.value.message)
    assert caught.value.hint == f"Correct the value of {caught.value.message.split()[1]}."


EXACT = {"epsilon": 0, "relaxation": None}
TAUGHT = {"teacher": "offline:multilingual-e5-small"}


@pytest.mark.parametrize(
    ("kind", "idle", "used"),
    [
        (AlignmentConfig, {"unit": "token", "word_pooling": "last"}, {"unit": "word"}),
        (ContrastiveConfig, {"unit": "token", "word_pooling": "first"}, {"unit": "word"}),
        (WordAlignmentConfig, {"unit": "token", "word_pooling": "last"}, {"unit": "word"}),
        (WordAlignmentConfig, {"unit": "token", "words": "space"}, {"unit": "word"}),
        (WordAlignmentConfig, {"decoding": "mutual", "threshold": 0.2}, {"decoding": "threshold"}),
        (AlignmentConfig, EXACT | {"tol": 1e-6}, {"epsilon": 0.1}),
        (AlignmentConfig, EXACT | {"max_iter": 9}, {"epsilon": 0.1}),
        (AlignmentConfig, {"relaxation": (None, 0), "tol": 1e-6}, {"relaxation": (None, 1)}),
        (ContrastiveConfig, {"relaxation": (0, None), "max_iter": 9}, {"relaxation": None}),
        (LossConfig, {"sentence": "none", "alignment": {}, "temperature": 0.1}, {"sentence": "mnrl"}),
        (LossConfig, TAUGHT | {"sentence": "mse", "temperature": 0.1}, {"sentence": "distill"}),
        (LossConfig, TAUGHT | {"sentence": "gist", "symmetric": False}, {"sentence": "distill"}),
        (DataConfig, {"temperature": 3.0}, {"sampling": "temperature"}),
        (DataConfig, {"shuffle_buffer": 9}, {"streaming": True}),
        (PairChecks, {"max_length_ratio": None, "ratio_from_characters": 9}, {"max_length_ratio": 3.0}),
        (ReleaseConfig, {"interpolate": 0.5, "shares": (0.5,)}, {"interpolate": "auto"}),
        (MiningConfig, {"rescore_weight": 0.1}, {"rescore": "ot"}),
        (MiningConfig, {"rescore_layer": 3}, {"rescore": "ot"}),
        (MiningConfig, {"rescore_epsilon": 0.1}, {"rescore": "ot"}),
        (MiningConfig, {"min_language_probability": 0.1}, {"target_language": "en"}),
        (MiningConfig, {"search": "exact", "min_recall": 0.9}, {"search": "auto"}),
        (NegativesConfig, {"search": "exact", "min_recall": 0.9}, {"search": "hnsw"}),
    ],
)
def test_a_setting_without_an_effect_is_rejected_unless_it_is_the_default(kind, idle, used):
    *_, name = idle
    with pytest.raises(ConfigError, match=f"{name} = .* has no effect with") as caught:
        kind(**idle)
    assert f"{name} out, or set it to " in caught.value.hint
    default = getattr(kind(), name)
    assert getattr(kind(**idle | {name: default}), name) == default
    assert getattr(kind(**idle | used), name) == idle[name]


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("loss.alignment", {"temperature": 0.2}, "loss.alignment: temperature = 0.2 has no effect"),
        ("loss.alignment", {"objective": "ranking", "debiased": True}, "loss.alignment: objective = ranking"),
        (
            "loss.contrastive",
            {"unit": "token", "word_pooling": "last"},
            "loss.contrastive: word_pooling = last has no",
        ),
        ("data.checks", {"min_characters": 9, "max_characters": 2}, "data.checks: min_characters = 9 exceeds"),
        ("loss", {"symmetric": False, "sentence": "gist", "teacher": "t"}, "loss.symmetric = false has no effect"),
        ("model", {"prompt": "a", "prompt_name": "b"}, "model.prompt and model.prompt_name are"),
    ],
)
def test_a_contradiction_names_the_section_of_its_settings(section, values, message):
    *outer, last = section.split(".")
    document = {last: values}
    for name in reversed(outer):
        document = {name: document}
    with pytest.raises(ConfigError) as caught:
        train_config({"pairs": {"en-de": "a.tsv"}, "output": "out", **document})
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"match": {"prompt": "a", "prompt_name": "b"}}, "match: prompt and prompt_name are both set"),
        ({"align": {"ray_address": "x"}}, "align: ray_address is x"),
    ],
)
def test_a_contradiction_in_a_part_of_document_mining_names_the_part(document, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        DocumentMiningConfig(**document)


@pytest.mark.parametrize("kind", [WordAlignmentConfig, MatchConfig])
def test_exact_transport_is_balanced(kind):
    with pytest.raises(ConfigError, match="epsilon = 0 with relaxation") as caught:
        kind(epsilon=0)
    assert "null" in caught.value.hint
    assert kind(epsilon=0, relaxation=None).epsilon == 0


KINDS = [
    kind for kind in map(vars(otembed.config).get, otembed.config.__all__) if hasattr(kind, "__pydantic_config__")
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_bad_value_is_named_as_it_is_set(kind):
    values = ("x", "", -1, 10**12, 1.5, float("nan"), True, [], ["x"], [-1], {}, {"x": -1}, (1,), b"x")
    named = 0
    for name, value in itertools.product((each.name for each in dataclasses.fields(kind)), values):
        try:
            kind(**{name: value})
        except ConfigError as error:
            found = re.fullmatch(r"Correct the value of (\S+)\.", error.hint or "")
            named += found is not None
            assert found is None or re.fullmatch(rf"{name}(\.(\d+|x))?", found[1])
    assert named


FORMER_NAMES = [
    (TrainConfig, "optimization.accumulate", "optimization.gradient_accumulation_steps"),
    (TrainConfig, "optimization.batch_size", "optimization.per_device_train_batch_size"),
    (TrainConfig, "optimization.checkpoint_activations", "optimization.activation_checkpointing"),
    (TrainConfig, "optimization.epochs", "optimization.num_train_epochs"),
    (TrainConfig, "optimization.log_every", "optimization.logging_steps"),
    (TrainConfig, "optimization.save_every", "optimization.save_steps"),
    (TrainConfig, "optimization.schedule", "optimization.lr_scheduler_type"),
    (TrainConfig, "optimization.warmup", "optimization.warmup_steps"),
    (TrainConfig, "held_out.every", "held_out.eval_steps"),
    (TrainConfig, "held_out.patience", "held_out.early_stopping_patience"),
    (TrainConfig, "held_out.select_best", "held_out.load_best_model_at_end"),
    (TrainConfig, "data.checks.normalise_nfc", "data.checks.normalize_nfc"),
    (TrainConfig, "loss.matryoshka", "loss.matryoshka_dims"),
    (TrainConfig, "loss.scale", "loss.temperature"),
    (ProbeConfig, "max_iterations", "max_iter"),
    (FinetuneConfig, "batch_size", "per_device_train_batch_size"),
    (FinetuneConfig, "warmup", "warmup_steps"),
    (SpanConfig, "device_batch_size", "per_device_train_batch_size"),
    (SpanConfig, "save_every", "save_steps"),
]


@pytest.mark.parametrize(("kind", "old", "new"), FORMER_NAMES)
def test_renamed_setting_is_rejected_with_its_new_name(kind, old, new):
    base = PAIRS if kind is TrainConfig else {}
    with pytest.raises(ConfigError) as caught:
        build(kind, merge(base, parse_assignments([f"{old}=1"])))
    assert repr(old) in caught.value.message
    assert new in caught.value.hint.replace(",", "").split()


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_removed_setting_is_rejected_by_name(name):
    with pytest.raises(ConfigError, match=f"{name}.*\\n.*removed"):
        build(SpanConfig, {name: None})


def test_every_renamed_setting_is_tested_and_conversions_are_explained():
    assert {old.split(".")[-1] for _, old, _ in FORMER_NAMES} == RENAMED.keys()
    with pytest.raises(ConfigError) as caught:
        train_config(PAIRS, {"loss": {"scale": 20}})
    assert "1 / scale" in caught.value.hint


def test_python_construction_gives_the_same_errors():
    with pytest.raises(ConfigError, match="'epsilom'"):
        AlignmentConfig(epsilom=1)
    with pytest.raises(ConfigError, match="tol = 0"):
        AlignmentConfig(tol=0)
    with pytest.raises(ConfigError, match="pairs"):
        TrainConfig(pairs={})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("0.2", 0.2),
        ("[0.1, 0.2]", (0.1, 0.2)),
        ("[.inf, 0.2]", (None, 0.2)),
        ("[0.2, null]", (0.2, None)),
        ("[null, 0]", (None, 0)),
        ("[.inf, null]", None),
    ],
)
def test_relaxation_per_side_round_trips_through_yaml_and_set(text, value):
    tree = yaml.safe_load(f"{{loss: {{alignment: {{relaxation: {text}}}}}}}")
    for layer in (tree, parse_assignments([f"loss.alignment.relaxation={text}"])):
        config = train_config(PAIRS, layer)
        assert config.loss.alignment.relaxation == value
        assert train_config(yaml.safe_load(to_yaml(config))) == config


@pytest.mark.parametrize(
    ("relaxation", "message"),
    [
        (-1, "relaxation = -1:"),
        (float("inf"), "relaxation = inf:"),
        ("x", "relaxation = 'x':"),
        ([0.1, -1], "relaxation.1 = -1:"),
        ([0.1, float("nan")], "relaxation.1 = nan"),
        ([1, 2, 3], "relaxation = [1, 2, 3]:"),
        ([1], "relaxation.1 is missing"),
        ([0, 0.5], "relaxation = [0, 0.5]: a side can be free (0) only if"),
        ([0, 0], "relaxation = [0, 0]: a side can be free (0) only if"),
    ],
)
def test_invalid_relaxation_is_reported_once(relaxation, message):
    with pytest.raises(ConfigError) as caught:
        AlignmentConfig(relaxation=relaxation)
    assert caught.value.message.startswith(f"AlignmentConfig: {message}")


def test_json_schema_has_every_setting():
    schema = TypeAdapter(TrainConfig).json_schema()
    alignment = schema["$defs"]["AlignmentConfig"]["properties"]
    assert set(alignment) == {each.name for each in dataclasses.fields(AlignmentConfig)}
    assert all("description" in entry for name, entry in alignment.items())
    kinds = [
        entry.get("type") or [each["type"] for each in entry["anyOf"]] for entry in alignment["relaxation"]["oneOf"]
    ]
    assert kinds == [["number", "null"], "array"]


def test_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AlignmentConfig().epsilon = 1


def test_disabled_checks_drop_only_empty_sides():
    off = PairChecks.off()
    assert [off.drop_identical, off.drop_duplicates, off.drop_control_characters] == [False] * 3
    assert off.max_characters is off.max_length_ratio is off.min_characters is None


@pytest.mark.parametrize("text", ["loss.epsilon", "=3", "a=[1"])
def test_invalid_assignments_are_rejected(text):
    with pytest.raises(ConfigError):
        parse_assignments([text])


def test_assignments_merge_into_one_tree():
    tree = parse_assignments(["a.b=1", "a.c=null", "d=[x, y]"])
    assert tree == {"a": {"b": 1, "c": None}, "d": ["x", "y"]}


def test_null_replaces_a_section():
    assert merge({"loss": {"alignment": {"epsilon": 1}}}, {"loss": {"alignment": None}}) == {
        "loss": {"alignment": None}
    }


@pytest.mark.parametrize(("text", "message"), [("a: [1", r"c\.yaml:1: "), ("- a\n- b\n", "found list")])
def test_malformed_yaml_is_rejected_with_its_position(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_missing_and_empty_yaml(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_unknown_preset_suggests_one():
    with pytest.raises(ConfigError) as caught:
        read_preset("paper-litral")
    assert "'paper-literal'" in caught.value.hint


def test_terms_stand_beside_sentence_ranking_unless_it_is_turned_off():
    loss = train_config(PAIRS).loss
    assert (loss.sentence, loss.alignment, loss.contrastive) == ("mnrl", None, None)
    for loss in (
        train_config(PAIRS, {"loss": {"alignment": {"weight": 0.5}}}).loss,
        LossConfig(alignment=AlignmentConfig(weight=0.5)),
    ):
        assert (loss.sentence, loss.alignment.weight, loss.contrastive) == ("mnrl", 0.5, None)
    for term in ("alignment", "contrastive"):
        alone = train_config(PAIRS, {"loss": {"sentence": "none", term: {}}}).loss
        assert (alone.sentence, getattr(alone, term) is None) == ("none", False)


@pytest.mark.parametrize("changed", [{}, {"epsilon": 0.1}, {"layer": "middle"}])
def test_one_setting_of_the_contrastive_term_changes_no_other(changed):
    loss = train_config(PAIRS, {"loss": {"contrastive": changed}}).loss
    assert loss.contrastive == dataclasses.replace(ContrastiveConfig(), **changed)
    assert (loss.contrastive.sentence_weight, loss.contrastive.temperature) == (1, 0.1)


@pytest.mark.parametrize("share", [0.5, "auto"])
def test_adapters_are_not_interpolated(share):
    with pytest.raises(ConfigError, match="otembed merge"):
        build(TrainConfig, {"pairs": {"en-sw": "x"}, "model": {"lora": {}}, "release": {"interpolate": share}})


@pytest.mark.parametrize(
    ("hub", "key", "hint"),
    [
        ({"push": "name"}, "hub.push", "hub.push"),
        ({"push": "a/b/c"}, "hub.push", "hub.push"),
        ({"push": "a/--b"}, "hub.push", "hub.push"),
        ({"pusch": "a/b"}, "hub.pusch", "push"),
        ({"token": "secret"}, "hub.token", "push"),
        ({"benchmarks": {"en-sw": "a/b:c"}}, "en-sw", "held_out.pairs"),
        ({"benchmarks": {"en-sw": "a/b"}}, "hub.benchmarks.en-sw", "hub.benchmarks.en-sw"),
    ],
)
def test_settings_of_the_hub_are_checked(hub, key, hint):
    with pytest.raises(ConfigError) as caught:
        build(TrainConfig, {"pairs": {"en-sw": "x"}, "hub": hub})
    assert key in caught.value.message
    assert hint in caught.value.hint
