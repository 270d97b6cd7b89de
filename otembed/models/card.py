"""Metadata of a model's card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.models.load import is_hub_name
from otembed.results.paths import expand

if TYPE_CHECKING:
    from os import PathLike


def card_metadata(name: str, revision: str | None = None) -> dict[str, Any]:
    """Return the metadata in the card of a model, from its folder or from what was downloaded; empty without a card.

    The hub is not contacted: loading a model downloads its card.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.repocard import metadata_load

    place: str | PathLike[str] | object | None = expand(name) / "README.md"
    if is_hub_name(name):
        place = try_to_load_from_cache(
            name, "README.md", cache_dir=os.environ.get("SENTENCE_TRANSFORMERS_HOME"), revision=revision
        )
    if not isinstance(place, str | Path) or not Path(place).is_file():
        return {}
    try:
        found = metadata_load(Path(place))
    except Exception:  # whatever a stranger's card holds, it does not stop a training
        return {}
    return found if isinstance(found, dict) else {}
