"""Values on TAB, asked for as the shells do."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from otembed.cli.completion import joined_words
from otembed.cli.main import main

from otembed.config.io import preset_names
from otembed.config.mining import Engine, Margin
from otembed.config.words import Decoding
from otembed.data import starter_languages
from otembed.data.starter import starter_parts

KNOWN = [
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
]  # fmt: skip


@pytest.fixture
def ask(monkeypatch, capsys):
    """What the shell gets for ``words``, the last of which is being typed."""

    def ask(shell, words, current=None):
        variables = {"_OTEMBED_COMPLETE": f"complete_{shell}", "NO_COLOR": "1"}
        if shell == "bash":
            count = len(words.split(" ")) - 1 if current is None else current
            variables |= {"COMP_WORDS": words, "COMP_CWORD": str(count)}
        else:
            variables |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["otembed"])
        # Under `python -m pytest`, click would otherwise name the program after pytest.
        monkeypatch.setattr(sys.modules["__main__"], "__package__", "", raising=False)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out.splitlines()

    return ask


PIVOT, *OTHERS = starter_languages()


@pytest.mark.parametrize(("words", "expected"), KNOWN)
def test_bash_completes_known_values(ask, words, expected):
    assert ask("bash", words) == expected


def test_completion_loads_no_heavy_library():
    code = (
        "import os, sys\n"
        "from otembed.cli.main import main\n"
        "os.environ['_OTEMBED_COMPLETE'], sys.argv = 'complete_bash', ['otembed']\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'ot', 'faiss', 'numba'}\n"
        f"for words in {[words for words, _ in KNOWN]!r}:\n"
        "    os.environ |= {'COMP_WORDS': words, 'COMP_CWORD': str(len(words.split(' ')) - 1)}\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "    assert not heavy & set(sys.modules), (words, heavy & set(sys.modules))\n"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)


def test_pairs_complete_to_those_of_the_starter_text(ask):
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
def test_bash_splits_words_at_colons_and_equals_signs(ask, words, current, expected):
    assert ask("bash", words, current) == expected


def test_completion_joins_words_split_by_bash():
    words, typed = joined_words("otembed mine --model offline : multi b", 5)
    assert (words, typed) == (["otembed", "mine", "--model", "offline:multi"], "offline:")
    assert joined_words("otembed train ", 2) == (["otembed", "train", ""], "")


def test_zsh_and_fish_completions_have_descriptions(ask):
    (fish,) = ask("fish", "otembed train --preset retr")
    assert fish.startswith("retrieval\tRetrieval, search and mining")
    zsh = ask("zsh", "otembed train --preset retr")
    assert len(zsh) == 1
    assert '"retrieval":"Retrieval, search' in zsh[0]
