from pathlib import Path

import pytest

from otembed.data import PairSpec, parse_pair_spec, starter_path
from otembed.errors import ConfigError


def test_file_with_columns_is_parsed():
    spec = parse_pair_spec("en-sw", "talks.csv?source=eng&target=swh&header=1")
    assert spec == PairSpec(
        "en", "sw", paths=(Path("talks.csv"),), source_column="eng", target_column="swh", header=True
    )
    assert (spec.key, spec.where) == ("en-sw", "talks.csv")


@pytest.mark.parametrize("value", ["a/x.en,a/x.sw", "a/x.{en,sw}", "a/x.en, a/x.sw"])
def test_two_files_are_parsed(value):
    assert parse_pair_spec("en-sw", value).paths == (Path("a/x.en"), Path("a/x.sw"))


def test_braces_before_a_compression_suffix():
    assert parse_pair_spec("en-sw", "x.{en,sw}.gz").paths == (Path("x.en.gz"), Path("x.sw.gz"))


def test_home_folder_is_expanded():
    assert parse_pair_spec("en-sw", "~/x.tsv").paths == (Path.home() / "x.tsv",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hub:opus100", ("opus100", None, None, "hub:opus100@train")),
        ("hub:Helsinki-NLP/opus-100:en-sw", ("Helsinki-NLP/opus-100", "en-sw", None, None)),
        ("hub:a/b:c@test", ("a/b", "c", "test", "hub:a/b:c@test")),
        ("hub:a/b@test[:10%]", ("a/b", None, "test[:10%]", None)),
        ("hub:a/b?split=dev", ("a/b", None, "dev", None)),
    ],
)
def test_hub(value, expected):
    spec = parse_pair_spec("en-sw", value)
    assert (spec.hub, spec.config, spec.split) == expected[:3]
    assert spec.paths == ()
    assert expected[3] in (None, spec.where)


@pytest.mark.parametrize(("value", "part"), [("starter:sw-en", "train"), ("starter:en-sw@test", "test")])
def test_starter_is_a_tsv_file_with_named_columns(value, part):
    spec = parse_pair_spec("en-sw", value)
    assert spec.paths == (starter_path(part),)
    assert (spec.source_column, spec.target_column) == ("en", "sw")


@pytest.mark.parametrize(
    "key", ["en-sw", "zh_Hans-en", "pt_BR-en", "zh_Hant_TW-en", "es_419-en", "eng_Latn-swh_Latn"]
)
def test_valid_keys_are_accepted(key):
    assert parse_pair_spec(key, "x.tsv").key == key


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("ensw", "'ensw'", "en-sw"),
        ("en-sw-ar", "en-sw-ar", "'_'"),
        ("pt-BR-en", "pt-BR-en", "'_'"),
        ("english-sw", "english-sw", "en-sw"),
        ("EN-SW", "EN-SW", "'en-sw'"),
        ("", "''", "en-sw"),
        ("en-en", "'en-en'", "two"),
    ],
)
def test_invalid_keys_are_rejected(key, message, hint):
    with pytest.raises(ConfigError) as caught:
        parse_pair_spec(key, "x.tsv")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("", "en-sw", "en-sw=FILE"),
        ("?source=a&target=b", "en-sw", "en-sw=FILE"),
        ("x.tsv?sorce=a&target=b", "'sorce'", "'source'"),
        ("x.tsv?source", "'source'", "?source="),
        ("x.tsv?source=&target=b", "'source'", "?source="),
        ("x.tsv?source=a&source=b", "'source'", "?source="),
        ("x.tsv?source=a", "en-sw", "?source=COLUMN&target=COLUMN"),
        ("x.tsv?header=maybe", "header='maybe'", "?header=1"),
        ("a.en,b.sw,c.ar", "a.en,b.sw,c.ar", "PREFIX.{en,sw}"),
        ("a.en,", "'a.en,'", "PREFIX.{en,sw}"),
        ("x.{en,sw,ar}", "x.{en,sw,ar}", "PREFIX.{en,sw}"),
        ("{a,b}.{en,sw}", "{a,b}.{en,sw}", "PREFIX.{en,sw}"),
        ("x.{sw,en}", "sw", "en file"),
        ("x.sw.gz,x.en.gz", "sw", "en file"),
        ("hub:", "''", "hub:OWNER/NAME"),
        ("hub:a/b/c", "'a/b/c'", "hub:OWNER/NAME"),
        ("hub:a/b@", "hub:a/b@", "hub:OWNER/NAME"),
        ("hub:a/b:@test", "hub:a/b:@test", "hub:OWNER/NAME"),
        ("hub:a/b@test?split=dev", "split", "@SPLIT"),
        ("starter:en-ar", "starter:en-ar", "starter:en-sw"),
        ("starter:en-sw@tset", "'tset'", "'test'"),
        ("starter:en-sw?header=1", "starter:en-sw?header=1", "?..."),
    ],
)
def test_invalid_values_are_rejected(value, message, hint):
    with pytest.raises(ConfigError) as caught:
        parse_pair_spec("en-sw", value)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_language_without_starter_text_is_rejected():
    with pytest.raises(ConfigError, match="'fi'") as caught:
        parse_pair_spec("en-fi", "starter:en-fi")
    assert "sw" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_language": "e", "target_language": "sw", "paths": (Path("x"),)}, "'e'"),
        ({"source_language": "en", "target_language": "sw"}, "en-sw"),
        (
            {"source_language": "en", "target_language": "sw", "paths": (Path("x"),), "hub": "a/b"},
            "en-sw",
        ),
    ],
)
def test_spec_validates_its_fields(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PairSpec(**arguments)
