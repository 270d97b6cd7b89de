"""Messages say what happened, where, and how to fix it."""

from __future__ import annotations

from otembed.errors import LONGEST, ConfigError, DataError, did_you_mean


def test_data_error_names_file_and_line():
    error = DataError("3 fields, expected 2", "Fix the line.", path="a.tsv", line=7)
    assert str(error) == "a.tsv:7: 3 fields, expected 2\nFix the line."
    assert (error.path, error.line) == ("a.tsv", 7)


def test_data_error_without_line_or_path():
    assert str(DataError("empty", path="a.tsv")) == "a.tsv: empty"
    assert str(DataError("empty")) == "empty"


def test_error_without_hint_is_its_message():
    assert str(ConfigError("wrong")) == "wrong"


def test_config_errors_are_value_errors():
    assert issubclass(ConfigError, ValueError)


def test_did_you_mean_falls_back_to_all_choices():
    assert did_you_mean("zzz", ["b", "a"]) == "Choose one of: a, b."


def test_long_values_are_shortened_in_the_middle():
    error = DataError("start " + "x" * 1_000_000 + " end", "hint " + "y" * 1_000_000, path="a.tsv", line=7)
    assert error.message.startswith("a.tsv:7: start xxx")
    assert error.message.endswith("xxx end")
    assert len(str(error)) < 2 * LONGEST + 100
    assert str(ConfigError("x" * LONGEST)) == "x" * LONGEST
