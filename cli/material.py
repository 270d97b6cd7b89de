"""What models are measured on, read from the flags: parallel text, gold links, known pairs, inference, questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from otembed.errors import ConfigError

from .options import named_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otembed.data import PairSpec, Place
    from otembed.tasks.mining.evaluate import Gold
    from otembed.tasks.word_alignment import GoldSet


def pair_specs(pairs: list[str]) -> dict[str, PairSpec]:
    """Return the parallel texts by language pair, before anything slow is imported."""
    from otembed.data import parse_pair_spec

    return {key: parse_pair_spec(key, place) for key, place in named_pairs(pairs, "--pairs").items()}


def parallel_texts(specs: Mapping[str, PairSpec], limit: int | None) -> dict[str, tuple[list[str], list[str]]]:
    """Return both sides in the order of the files; rows that hold no pair are counted on stderr."""
    return {key: _sentences(spec, limit) for key, spec in specs.items()}


def _sentences(spec: PairSpec, limit: int | None) -> tuple[list[str], list[str]]:
    from otembed.data import PairChecks, load_pairs

    text = load_pairs(spec, PairChecks.off(), limit)
    if text.counts.dropped:
        typer.echo(f"{text.pair}: {text.counts.summary()}", err=True)
    return list(text.dataset["source"]), list(text.dataset["target"])


def gold_places(values: list[str]) -> dict[str, list[str]]:
    """Return name to its two or three files."""
    places: dict[str, list[str]] = {}
    for value in values:
        name, equals, files = value.partition("=")
        paths = files.split(",")
        if not equals or not name or len(paths) not in (2, 3) or not all(paths):
            raise ConfigError(
                f"--gold {value!r} names no text and links", "Write NAME=TEXT,LINKS or NAME=SOURCE,TARGET,LINKS."
            )
        if name in places:
            raise ConfigError(f"--gold names {name} twice", "Name the second set otherwise.")
        places[name] = paths
    return places


def gold_sets(places: Mapping[str, list[str]], index_base: int, limit: int | None) -> dict[str, GoldSet]:
    """Read the first pairs of each gold set."""
    if not places:
        return {}
    from otembed.tasks.word_alignment import read_gold_set

    sets: dict[str, GoldSet] = {}
    for name, (*sides, links) in places.items():
        source, target, found = read_gold_set(links, *sides, index_base=0 if index_base == 0 else 1)
        sets[name] = source[:limit], target[:limit], found[:limit]
    return sets


def mining_places(values: list[str]) -> dict[str, tuple[str, str, Path]]:
    """Return name to source, target and the file of known pairs."""
    places = {}
    for name, files in named_pairs(values, "--mining").items():
        parts = files.split(",")
        if len(parts) != 3 or not all(parts):
            raise ConfigError(
                f"--mining {name}={files} names no three files", "Write --mining XX-YY=SOURCE,TARGET,GOLD."
            )
        places[name] = parts[0], parts[1], Path(parts[2])
    return places


def mining_tasks(places: Mapping[str, tuple[str, str, Path]]) -> dict[str, tuple[str, str, Gold]]:
    """Read the known pairs of each task."""
    if not places:
        return {}
    from otembed.tasks.mining.evaluate import read_gold

    return {name: (source, target, read_gold(gold)) for name, (source, target, gold) in places.items()}


def nli_places(values: list[str], flag: str, languages: tuple[str, ...] = ()) -> dict[str, str]:
    """Return language to the place of its test pairs; a value without a language stands for each of ``languages``."""
    from otembed.data.spec import LANGUAGE_CODE
    from otembed.tasks.xnli.formats import check_nli_place

    places: dict[str, str] = {}
    for value in values:
        code, equals, place = value.partition("=")
        own = {code: place} if equals and LANGUAGE_CODE.fullmatch(code) and not Path(value).exists() else {}
        if not own and not languages:
            raise ConfigError(f"{flag} {value!r} names no language", f"Write {flag} sw=FILE.")
        for language, where in (own or {each: value.replace("{}", each) for each in languages}).items():
            if not where:
                raise ConfigError(f"{flag} {value!r} names no file", f"Write {flag} sw=FILE.")
            if language in places:
                raise ConfigError(f"{flag} names {language} twice", "Name each language once.")
            check_nli_place(where, language)
            places[language] = where
    return places


def check_nli_training(*places: str | None) -> None:
    """Refuse places of English training or development pairs that cannot be read, before anything slow."""
    from otembed.tasks.xnli.formats import check_nli_place

    for place in filter(None, places):
        check_nli_place(place, "en")


def question_places(values: list[str]) -> dict[str, Place]:
    """Return language to the file of its questions."""
    if not values:
        return {}
    from otembed.tasks.xquad.files import parse_question_places

    return parse_question_places(values, "--xquad")
