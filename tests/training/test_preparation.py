"""What is held out is not trained on, prompts and frozen parts are as configured."""

from __future__ import annotations

import unicodedata

import pytest

from otembed.errors import ConfigError, DataError, ModelError
from otembed.training.preparation import load_encoder, load_material, prompt_of


def sides(dataset):
    return set(dataset["source"]) | set(dataset["target"])


def test_pivot_is_the_target_side(configure):
    material = load_material(configure())
    assert all(text.startswith("the ") for text in material.train["en-de"]["target"])
    assert material.held_out["en-de"][0][0].startswith("the ")


def test_pivot_of_no_pair_is_rejected(configure):
    with pytest.raises(ConfigError, match=r"data.pivot = fr .*en-de"):
        load_material(configure(data={"pivot": "fr"}))
    with pytest.raises(ConfigError, match=r"data.pivot = 'english': .*language code"):
        configure(data={"pivot": "english"})


def test_texts_in_turn_count_what_one_pass_trains(configure, tmp_path, text_path, caplog):
    small = tmp_path / "small.tsv"
    small.write_text("".join(f"{i} x\t{i} y\n" for i in range(12)))
    changes = {
        "pairs": {"en-de": str(text_path), "en-fr": str(small)},
        "data": {"sampling": "round_robin"},
        "held_out": {"size": 0},
    }
    with caplog.at_level("INFO"):
        material = load_material(configure(**changes))
    assert {name: counts["trained"] for name, counts in material.counts.items()} == {"en-de": 16, "en-fr": 12}
    assert any("round_robin" in each.message and "en-de 56" in each.message for each in caplog.records)


@pytest.mark.parametrize(
    ("sampling", "trained"),
    [("round_robin", {"en-de": 8, "en-fr": 8}), ("proportional", {"en-de": 72, "en-fr": 8})],
)
def test_batches_that_are_dropped_do_not_count(configure, tmp_path, text_path, sampling, trained):
    small = tmp_path / "small.tsv"
    small.write_text("".join(f"{i} x\t{i} y\n" for i in range(12)))
    material = load_material(
        configure(
            pairs={"en-de": str(text_path), "en-fr": str(small)},
            data={"sampling": sampling},
            held_out={"size": 0},
            trainer={"dataloader_drop_last": True},
        )
    )
    assert {name: counts["trained"] for name, counts in material.counts.items()} == trained


def test_held_out_sentences_are_removed_from_every_training_text(configure, tmp_path, text_path):
    swapped = tmp_path / "de-en.tsv"
    lines = [line.split("\t") for line in text_path.read_text().splitlines()]
    swapped.write_text("".join(f"{de} !\t{en}\n" for en, de in lines))
    material = load_material(configure(pairs={"en-de": str(text_path), "de-en": str(swapped)}))
    held = {text for pair in material.held_out.values() for side in pair for text in side}
    assert held
    for dataset in material.train.values():
        assert held.isdisjoint(sides(dataset))


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("held_out.early_stopping_patience = 1", {"held_out": {"size": 0, "early_stopping_patience": 1}}),
        # A fifth of five pairs is too little to hold out.
        (
            "held_out.early_stopping_patience = 2",
            {"held_out": {"early_stopping_patience": 2}, "data": {"limit": 5}},
        ),
        ("release.interpolate = auto", {"held_out": {"size": 0}, "release": {"interpolate": "auto"}}),
    ],
)
def test_settings_without_effect_where_nothing_is_held_out_are_refused(configure, setting, changes):
    with pytest.raises(ConfigError) as caught:
        load_material(configure(**changes))
    assert setting in caught.value.message
    assert "held_out.size" in caught.value.hint
    assert setting.partition(" ")[0] in caught.value.hint


def test_held_out_file_is_evaluated_unchanged(configure, tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("the cat\tdie Katze\nthe cat\tdie Katze\nsame\tsame\n")
    material = load_material(configure(held_out={"pairs": {"en-de": str(path)}}))
    assert material.held_out["en-de"] == (["the cat", "the cat", "same"], ["die Katze", "die Katze", "same"])


def test_sentences_of_held_out_files_are_not_trained_on(configure, text_path, tmp_path):
    held = text_path.read_text().splitlines()[:2]
    path = tmp_path / "test.tsv"
    path.write_text("\n".join(held) + "\n")
    material = load_material(configure(held_out={"pairs": {"en-de": str(path)}}))
    assert sides(material.train["en-de"]).isdisjoint("\t".join(held).split("\t"))
    assert material.counts["en-de"]["dropped"]["held_out"] == 2


@pytest.mark.parametrize("setting", ["held_out", "release"])
def test_held_out_text_is_found_in_another_normal_form(configure, text_path, tmp_path, setting):
    german = [line.split("\t")[1] for line in text_path.read_text().splitlines() if "schläft" in line]
    held = [f"other {number}\t{sentence}" for number, sentence in enumerate(german[:2])]
    path = tmp_path / "test.tsv"
    path.write_text(unicodedata.normalize("NFD", "\n".join(held)) + "\n")
    name = "pairs" if setting == "held_out" else "other_pairs"
    material = load_material(
        configure(data={"checks": {"normalize_nfc": True}}, **{setting: {name: {"en-de": str(path)}}})
    )
    assert material.counts["en-de"]["dropped"]["held_out"] == 2


def test_single_held_out_pair_is_rejected(configure, tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("the cat\tdie Katze\n")
    with pytest.raises(DataError, match=r"en-de: .* 1 .* 2 "):
        load_material(configure(held_out={"pairs": {"en-de": str(path)}}))


def test_text_entirely_held_out_elsewhere_is_rejected(configure, tmp_path, text_path):
    source, target = load_material(configure(held_out={"size": 14})).held_out["en-de"]
    few = tmp_path / "few.tsv"
    few.write_text(f"{source[0]}\t{target[0]}\n")
    config = configure(pairs={"en-de": str(text_path), "en-nl": str(few)}, held_out={"size": 14})
    with pytest.raises(DataError, match="en-nl: "):
        load_material(config)


def test_temperature_sampling_flattens_sizes(configure, tmp_path, text_path):
    small = tmp_path / "small.tsv"
    small.write_text("".join(f"{i} x\t{i} y\n" for i in range(8)))
    material = load_material(
        configure(
            pairs={"en-de": str(text_path), "en-fr": str(small)},
            data={"sampling": "temperature", "temperature": 2},
            held_out={"size": 0},
        )
    )
    sizes = {name: len(each) for name, each in material.train.items()}
    assert sum(sizes.values()) == 80
    assert sizes["en-fr"] == 20  # sqrt(8) : sqrt(72) = 1 : 3


def test_prompt_text_is_added_to_the_model(configure):
    model = load_encoder(configure(model={"prompt": "text: "}).model, seed=1)
    assert prompt_of(model) == "text: "


def test_prompt_name_becomes_the_default(configure):
    assert prompt_of(load_encoder(configure(model={"prompt_name": "query"}).model, seed=1)) == "query: "
    assert prompt_of(load_encoder(configure().model, seed=1)) is None


def test_unknown_prompt_and_part_are_rejected(configure):
    with pytest.raises(ConfigError, match="'qury'") as caught:
        load_encoder(configure(model={"prompt_name": "qury"}).model, seed=1)
    assert "query" in caught.value.hint
    with pytest.raises(ModelError, match="embedings"):
        load_encoder(configure(model={"freeze": ["embedings"]}).model, seed=1)
