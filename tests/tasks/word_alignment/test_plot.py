"""The heat map of the terminal stays in line whatever the script, the width and the length."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from otembed.tasks.word_alignment.plot import CELL, alignment_map, plot_alignment
from otembed.words import Link, SentenceAlignment


def sentence(source, target, links=()):
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(size=(len(source), len(target))).astype(np.float32)
    return SentenceAlignment(
        tuple(source), tuple(target), tuple(Link(i, j, float(probabilities[i, j])) for i, j in links), probabilities
    )


@pytest.mark.parametrize("source", [["the", "cats"], ["猫", "猫たち"], ["แมว", "บ้าน"], ["a"] * 12])
def test_cells_are_below_their_column_numbers(source):
    lines = alignment_map(sentence(source, ["x"] * 11)).plain.splitlines()
    starts = {cell_len(line) - 11 * CELL for line in lines[: len(source) + 1]}
    assert len(starts) == 1
    assert lines[0].split() == [str(number) for number in range(11)]


def test_shades_follow_the_probabilities():
    one = SentenceAlignment(("a",), tuple("vwxyz"), (), np.array([[0.1, 0.3, 0.5, 0.7, 1.0]], dtype=np.float32))
    assert alignment_map(one).plain.splitlines()[1] == "0 a   · ░░ ▒▒ ▓▓ ██"


def test_long_sentences_wrap():
    links = [(0, 0), (1, 39)]
    text = alignment_map(sentence(["a", "b"], [f"w{number}" for number in range(40)], links), width=60).plain
    assert all(cell_len(line) <= 60 + len("  w39 0.00") for line in text.splitlines())
    numbers = [int(each) for line in text.splitlines() if line.startswith("    ") for each in line.split()]
    assert numbers == list(range(40))
    assert text.count("w39 0.") == text.count("w0 0.") == 1


def test_links_are_colored_on_color_terminals_and_empty_sentences_are_empty():
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, color_system="standard").print(
        alignment_map(sentence(["a"], ["x", "y"], [(0, 1)]))
    )
    assert stream.getvalue().count("\x1b[1;32m") == 1
    assert alignment_map(sentence([], [])).plain == ""


def test_control_characters_in_words_are_escaped():
    text = alignment_map(sentence(["a\x1b[31m"], ["b\x07"], [(0, 0)])).plain
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "a\\x1b[31m" in text


def test_plots_contain_the_words_and_are_reproducible(tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")
    one = sentence(["the", "$5_{x}$"], ["猫", "<b>"], [(0, 1)])
    for name in ("a.svg", "b.svg"):
        assert plot_alignment(one, tmp_path / name) == ""
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    words = [text for each in ElementTree.parse(tmp_path / "a.svg").iter() if (text := (each.text or "").strip())]
    assert {"the", "$5_{x}$", "猫", "<b>", "link probability"} <= set(words)
