"""Shell completion of names and choices, without importing torch."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout
from textwrap import shorten
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OFFLINE_MODEL = "offline:multilingual-e5-small"
# bash splits words at these characters, and replaces only what follows the last one.
BASH_BREAKS = ("=", ":", "@")

BASH = "complete_bash"
# zsh does not display wrapped descriptions well.
DESCRIPTION_WIDTH = 60


def complete(app: Callable[[], Any]) -> None:
    """Run ``app``; for bash completion, first undo bash's word splitting at ``=``, ``:`` and ``@``.

    ``--pairs en-sw=starter:en`` is passed as six words. They are joined into one value, and only the part after the last
    split is printed, because bash replaces only that part.
    """
    if os.environ.get("_OTEMBED_COMPLETE") != BASH:
        app()
        return
    words, typed = joined_words(os.environ.get("COMP_WORDS", ""), int(os.environ.get("COMP_CWORD") or 0))
    os.environ |= {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    answer = io.StringIO()
    try:
        with redirect_stdout(answer):
            app()
    finally:
        sys.stdout.write("".join(f"{line.removeprefix(typed)}\n" for line in answer.getvalue().splitlines()))


def joined_words(line: str, current: int) -> tuple[list[str], str]:
    """Return the words up to the current one without bash's splits, and the part of the last one that bash keeps."""
    given = line.split()
    given = [*given[:current], given[current] if current < len(given) else ""]
    words: list[str] = []
    for index, word in enumerate(given):
        if index > 1 and (word in BASH_BREAKS or given[index - 1] in BASH_BREAKS):
            words[-1] += word
        else:
            words.append(word)
    last = words[-1]
    return words, last[: max(last.rfind(each) for each in BASH_BREAKS) + 1]


def choice_values(*choices: str) -> Callable[[str], list[str]]:
    """Return a completion of ``choices``."""

    def values(incomplete: str) -> list[str]:
        return _fitting(choices, incomplete)

    return values


def mining_values(name: str) -> Callable[[str], list[str]]:
    """Return a completion of the choices of type ``name`` in :mod:`otembed.config.mining`."""

    def values(incomplete: str) -> list[str]:
        from otembed.config import mining as config_mining

        return _fitting(get_args(getattr(config_mining, name)), incomplete)

    return values


def preset_values(incomplete: str) -> list[tuple[str, str]]:
    """Return the presets with their first line as description."""
    from otembed.config.io import preset_names, preset_text

    names = _fitting(preset_names(), incomplete)
    lines = {name: preset_text(name).splitlines()[0].lstrip("# ") for name in names}
    return [(name, shorten(line, DESCRIPTION_WIDTH, placeholder=" ...")) for name, line in lines.items()]


def model_values(incomplete: str) -> list[str]:
    """Return the offline encoder; otherwise the shell completes files."""
    return _fitting([OFFLINE_MODEL], incomplete)


def pair_values(incomplete: str) -> list[str]:
    """Return the parallel text that ships with otembed, as ``en-sw=starter:en-sw``."""
    places = ((pair, place) for part in _starter_pairs() for pair, place in part.items())
    return _fitting((f"{pair}={place}" for pair, place in places), incomplete)


def language_values(incomplete: str) -> list[str]:
    """Return the language pairs of the starter text in both orders."""
    pairs = _starter_pairs()[0]
    return _fitting((order for pair in pairs for order in (pair, "-".join(pair.split("-")[::-1]))), incomplete)


def setting_values(incomplete: str) -> list[str]:
    """Return the paths of the settings of ``otembed train``, each followed by ``=``."""
    from otembed.config import TrainConfig, settings_schema

    schema = settings_schema(TrainConfig)
    return _fitting((f"{path}=" for path in _paths(schema, schema["$defs"], "")), incomplete)


def _starter_pairs() -> list[dict[str, str]]:
    """Training and test pairs of the starter preset: the same as the starter text, without loading its reader."""
    from otembed.config.io import read_preset

    preset = read_preset("starter")
    return [preset["pairs"], preset["held_out"]["pairs"]]


def _paths(node: dict[str, Any], definitions: dict[str, Any], head: str) -> Iterator[str]:
    for key, below in node["properties"].items():
        references = (each["$ref"] for each in (below, *below.get("anyOf", ())) if "$ref" in each)
        section = next(references, None)
        if section is None:
            yield f"{head}{key}"
        else:
            yield from _paths(definitions[section.rpartition("/")[2]], definitions, f"{head}{key}.")


def _fitting(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]
