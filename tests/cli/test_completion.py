"""Values on TAB, asked for as the shells do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import pytest
from otembed.cli.completion import joined_words

from otembed.config.io import preset_names
from otembed.config.mining import Engine, Margin
from otembed.config.words import Decoding
from otembed.data import starter_languages
from otembed.data.starter import starter_parts

HEAVY = "{'torch', 'transformers', 'sentence_transformers', 'datasets', 'ot', 'faiss', 'numba'}"
CODE = f"""
import sys
sys.argv = ["otembed"]
from otembed.cli.main import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""


def ask(shell, words, current=None):
    """What the shell gets for ``words``, the last of which is being typed."""
    variables = {"_OTEMBED_COMPLETE": f"complete_{shell}", "NO_COLOR": "1"}
    if shell == "bash":
        count = len(words.split(" ")) - 1 if current is None else current
        variables |= {"COMP_WORDS": words, "COMP_CWORD": str(count)}
    else:
        variables |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
    return done.stdout.splitlines()


PIVOT, *OTHERS = starter_languages()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("otembed train --preset ", preset_names()),
        ("otembed config show --preset paper", ["paper-geomloss", "paper-literal"]),
        ("otembed presets re", ["retrieval"]),
        ("otembed train --model off", ["offline:multilingual-e5-small"]),
        ("otembed train --pairs en-sw", ["en-sw=starter:en-sw", "en-sw=starter:en-sw@test"]),
        ("otembed mine a b --margin ", [*get_args(Margin)]),
        ("otembed mine a b --engine ", [*get_args(Engine)]),
        ("otembed mine a b --set rescore_w", ["rescore_weight="]),
        ("otembed mine a b --languages sw", ["sw-en"]),
        ("otembed embed a --precision ", ["float32", "float16"]),
        ("otembed eval mining --margin dis", ["distance"]),
        ("otembed align --decoding ", [*get_args(Decoding)]),
        ("otembed eval alignment --unit ", ["word", "token"]),
        ("otembed export a b --layout ", ["5.3", "current"]),
        ("otembed train --set loss.alignment.anchor.", ["loss.alignment.anchor.weight=", "loss.alignment.anchor.reduction="]),
    ],
)  # fmt: skip
def test_bash_completes_known_values(words, expected):
    assert ask("bash", words) == expected


def test_pairs_complete_to_those_of_the_starter_text():
    found = ask("fish", "otembed eval retrieval m --pairs ")
    assert sorted(found) == sorted(
        f"{PIVOT}-{other}=starter:{PIVOT}-{other}" + ("" if part == "train" else f"@{part}")
        for other in OTHERS
        for part in starter_parts()
    )


@pytest.mark.parametrize(
    ("words", "current", "expected"),
    [
        ("otembed train --pairs en-sw =", 4, ["starter:en-sw", "starter:en-sw@test"]),
        ("otembed train --pairs en-sw = st", 5, ["starter:en-sw", "starter:en-sw@test"]),
        ("otembed train --pairs en-sw = starter :", 6, ["en-sw", "en-sw@test"]),
        ("otembed train --pairs en-sw = starter : en-sw @ test --preset ret", 11, ["retrieval"]),
        ("otembed train --pairs en-sw = starter : en-sw @ t", 9, ["test"]),
        ("otembed train --pairs en-sw = starter : ", 7, ["en-sw", "en-sw@test"]),
        ("otembed mine a b --model offline : multi", 7, ["multilingual-e5-small"]),
        ("otembed train --pairs en-sw = a.tsv --preset star", 7, ["starter"]),
    ],
)
def test_bash_splits_words_at_colons_and_equals_signs(words, current, expected):
    assert ask("bash", words, current) == expected


def test_completion_joins_words_split_by_bash():
    words, typed = joined_words("otembed mine --model offline : multi b", 5)
    assert (words, typed) == (["otembed", "mine", "--model", "offline:multi"], "offline:")
    assert joined_words("otembed train ", 2) == (["otembed", "train", ""], "")


def test_zsh_and_fish_completions_have_descriptions():
    (fish,) = ask("fish", "otembed train --preset retr")
    assert fish.startswith("retrieval\tCross-lingual retrieval")
    zsh = ask("zsh", "otembed train --preset retr")
    assert len(zsh) == 1
    assert '"retrieval":"Cross-lingual' in zsh[0]
