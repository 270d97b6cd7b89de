"""YAML of settings is refused with its line where it is ambiguous, malformed or too large."""

from __future__ import annotations

import pytest

from otembed.config.io import parse_assignments, read_yaml
from otembed.config.loader import dump_yaml, load_yaml
from otembed.errors import LONGEST, ConfigError

LEVELS = "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10))


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: 2\na: 3", "'a'.* line 1", 3),
        ("a:\n  b: 1\n  b: 2", "'b'.* line 2", 3),
        ("a: {b: 1, b: 2}", "'b'", 1),
        (f"a0: &a0 [{'x, ' * 10}]\n{LEVELS}", "aliases", 5),
        ("a: &a [*a]", "alias", 1),
        ("[" * 1000, "levels", 1),
        ("- " * 1000, "levels", 1),
        ("a: 1\nb: " + "9" * 5000, "999.*int", 2),
        ("a: 1\nb: 0x" + "f" * 5000, "63 bits", 2),
        ("a: 1\nb: 2001-13-45", "2001-13-45.*timestamp", 2),
        ("a: !!int x", "'x'.*int", 1),
        ("a: !!bool x", "'x'.*bool", 1),
        ("a: !!timestamp x", "'x'.*timestamp", 1),
        ("a: !!python/object/apply:os.getcwd []", "os.getcwd", 1),
    ],
)
def test_rejected(tmp_path, text, problem, line):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"x.yaml:{line}: .*{problem}") as caught:
        read_yaml(tmp_path / "x.yaml")
    assert caught.value.hint
    assert len(str(caught.value)) < LONGEST
    if line == 1:
        with pytest.raises(ConfigError, match=f"--set k={text[:5]}".replace("[", r"\[").split("{")[0]):
            parse_assignments([f"k={text}"])


def test_anchors_and_merges_are_read():
    text = "one: &b {x: 1, y: 2}\ntwo: &c {<<: *b, x: 3}\nthree: {<<: *c, y: 5}\n"
    assert load_yaml(text, "x") == {"one": {"x": 1, "y": 2}, "two": {"x": 3, "y": 2}, "three": {"x": 1, "y": 5}}


@pytest.mark.parametrize(("text", "value"), [("1e-7", 1e-7), ("-2E5", -2e5), (".5e+3", 500.0), ("3.e2", 300.0)])
def test_number_with_an_exponent_needs_no_dot(text, value):
    assert parse_assignments([f"trainer.lr_scheduler_kwargs={{min_lr: {text}}}"]) == {
        "trainer": {"lr_scheduler_kwargs": {"min_lr": value}}
    }
    assert load_yaml(dump_yaml({"number": value, "text": text}), "x") == {"number": value, "text": text}


@pytest.mark.parametrize("text", ["e5", "1e", "1e5x", "08", "1-e5"])
def test_other_text_stays_text(text):
    assert load_yaml(text, "x") == text
