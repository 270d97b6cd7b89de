from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEXICON = {
    "en": {
        "DET": ["the", "a"],
        "NOUN": ["cat", "dog", "house", "mat"],
        "VERB": ["sat", "slept"],
        "ADP": ["on", "in"],
    },
    "de": {
        "DET": ["die", "der"],
        "NOUN": ["Katze", "Hund", "Haus"],
        "VERB": ["saß", "schlief"],
        "ADP": ["auf", "im"],
    },
}
PATTERNS = (("DET", "NOUN", "VERB"), ("DET", "NOUN", "VERB", "ADP", "DET", "NOUN"), ("NOUN", "VERB", "ADP", "NOUN"))


def conllu(sentences: list[list[tuple[str, str]]]) -> str:
    """Return sentences of words and tags in CoNLL-U."""
    return "".join(
        "".join(
            f"{number}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n"
            for number, (word, tag) in enumerate(sentence, start=1)
        )
        + "\n"
        for sentence in sentences
    )


@pytest.fixture
def treebank(tmp_path: Path) -> Callable[..., Path]:
    """Write a treebank of sentences over a small lexicon."""

    def make(name: str, count: int, language: str = "en", seed: int = 0) -> Path:
        draw = np.random.default_rng(seed)
        sentences = [
            [(str(draw.choice(LEXICON[language][tag])), tag) for tag in PATTERNS[draw.integers(len(PATTERNS))]]
            for _ in range(count)
        ]
        path = tmp_path / name
        path.write_text(conllu(sentences), encoding="utf-8")
        return path

    return make


@pytest.fixture
def places(treebank: Callable[..., Path]) -> dict[str, object]:
    """Training, development and test sentences in two languages."""
    tests = {"en": treebank("en.conllu", 20, seed=2), "de": treebank("de.conllu", 13, "de", seed=3)}
    return {"train": treebank("train.conllu", 60), "dev": treebank("dev.conllu", 15, seed=1), "tests": tests}
