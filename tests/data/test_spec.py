from pathlib import Path

import pytest

from otembed.data import PairSpec, parse_pair_spec, starter_path
from otembed.errors import ConfigError


def test_a_file_with_columns():
    spec = parse_pair_spec("en-sw", "talks.csv?source=eng&target=swh&header=1")
    assert spec == PairSpec(
        "en", "sw", paths=(Path("talks.csv"),), source_column="eng", target_column="swh", header=True
    )
    assert (spec.key, spec.where) == ("en-sw", "talks.csv")


@pytest.mark.parametrize("value", ["a/x.en,a/x.sw", "a/x.{en,sw}", "a/x.en, a/x.sw"])
def test_two_files(value):
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
def test_good_keys(key):
    assert parse_pair_spec(key, "x.tsv").key == key


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("ensw", "'ensw' is no pair of languages", "joined by '-'"),
        ("en-sw-ar", "is no pair", "scripts and regions take '_'"),
        ("pt-BR-en", "is no pair", "scripts and regions take '_'"),
        ("english-sw", "is no pair", "two language codes"),
        ("EN-SW", "is no pair", "Did you mean 'en-sw'?"),
        ("", "is no pair", "two language codes"),
        ("en-en", "'en-en' pairs a language with itself", "Name two languages"),
    ],
)
def test_wrong_keys(key, message, hint):
    with pytest.raises(ConfigError) as caught:
        parse_pair_spec(key, "x.tsv")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("", "no file is named", "en-sw=FILE"),
        ("?source=a&target=b", "no file is named", "en-sw=FILE"),
        ("x.tsv?sorce=a&target=b", "unknown query key 'sorce'", "Did you mean 'source'?"),
        ("x.tsv?source", "cannot read the query 'source'", "?source=A&target=B"),
        ("x.tsv?source=&target=b", "give 'source' one value", "?source=A&target=B"),
        ("x.tsv?source=a&source=b", "give 'source' one value", "?source=A&target=B"),
        ("x.tsv?source=a", "only one column is chosen", "Name both"),
        ("x.tsv?header=maybe", "header='maybe' is neither 1 nor 0", "?header=1"),
        ("a.en,b.sw,c.ar", "neither one file nor two", "PREFIX.{en,sw}"),
        ("a.en,", "neither one file nor two", "PREFIX.{en,sw}"),
        ("x.{en,sw,ar}", "neither one file nor two", "PREFIX.{en,sw}"),
        ("{a,b}.{en,sw}", "neither one file nor two", "PREFIX.{en,sw}"),
        ("x.{sw,en}", "names the sw file first", "Put the en file first"),
        ("x.sw.gz,x.en.gz", "names the sw file first", "Put the en file first"),
        ("hub:", "'' is no dataset name", "hub:OWNER/NAME"),
        ("hub:a/b/c", "'a/b/c' is no dataset name", "hub:OWNER/NAME"),
        ("hub:a/b@", "ends too early", "hub:OWNER/NAME"),
        ("hub:a/b:@test", "ends too early", "hub:OWNER/NAME"),
        ("hub:a/b@test?split=dev", "the split is named twice", "@SPLIT"),
        ("starter:en-ar", "is another pair", "starter:en-sw"),
        ("starter:en-sw@tset", "no starter part 'tset'", "Did you mean 'test'?"),
        ("starter:en-sw?header=1", "takes no query", "without"),
    ],
)
def test_wrong_values(value, message, hint):
    with pytest.raises(ConfigError) as caught:
        parse_pair_spec("en-sw", value)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_language_without_starter_text():
    with pytest.raises(ConfigError, match="no starter text in 'fi'") as caught:
        parse_pair_spec("en-fi", "starter:en-fi")
    assert "sw" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_language": "e", "target_language": "sw", "paths": (Path("x"),)}, "'e' is no language code"),
        ({"source_language": "en", "target_language": "sw"}, "no place to read from"),
        (
            {"source_language": "en", "target_language": "sw", "paths": (Path("x"),), "hub": "a/b"},
            "no place to read from",
        ),
    ],
)
def test_a_spec_checks_itself(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PairSpec(**arguments)
