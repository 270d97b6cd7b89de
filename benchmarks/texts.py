"""Text that several benchmarks read in the same way: held-out pairs, Tatoeba, sentences with gold links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.arrow_dataset import Dataset

from otembed.config import PairChecks
from otembed.data import load_pairs, parse_pair_spec
from otembed.tasks.word_alignment import GoldSet, read_gold_set


def sentences(name: str, place: str, limit: int) -> tuple[list[str], list[str]]:
    """Both sides of a held-out pair, in the order of the languages in its name."""
    text = load_pairs(parse_pair_spec(name, place), PairChecks.off(), limit)
    return list(text.dataset["source"]), list(text.dataset["target"])


def shuffled(place: str, limit: int) -> Dataset:
    """Pairs of a file in a random order."""
    text = load_pairs(parse_pair_spec("en-xx", place), PairChecks.off()).dataset
    chosen: Dataset = text.shuffle(seed=0).select(range(min(limit, len(text))))
    return chosen


def tatoeba(folder: Path, limit: int | None = None) -> list[tuple[str, str, str]]:
    """Different pairs of all languages with English, and their language; pairs with a repeated line are left out."""
    rows: list[tuple[str, str, str]] = []
    seen: tuple[set[str], set[str]] = (set(), set())
    for english in sorted(folder.glob("tatoeba.*-eng.eng")):
        language = english.name.split(".")[1].removesuffix("-eng")
        places = english.with_suffix(f".{language}"), english
        sides = ([" ".join(line.split()) for line in path.read_text("utf-8").split("\n")] for path in places)
        found = 0
        for pair in zip(*sides, strict=True):
            repeated = any(each in known for each, known in zip(pair, seen, strict=True))
            if all(pair) and pair[0] != pair[1] and not repeated and (limit is None or found < limit):
                rows.append((*pair, language))
                found += 1
                for each, known in zip(pair, seen, strict=True):
                    known.add(each)
    if not rows:
        raise SystemExit(f"{folder}: no tatoeba.XXX-eng.eng files")
    return rows


def gold_set(links: str, texts: Sequence[str], limit: int | None) -> GoldSet:
    """First sentences of a gold set; ``texts``: one file of both sides, or one of each."""
    source, target, gold = read_gold_set(links, *texts)
    return source[:limit], target[:limit], gold[:limit]
