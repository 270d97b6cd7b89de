"""The task under which a text is encoded: the route that a model with language-dependent modules has for its language."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otembed.data.tags import match_language

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def language_task(model: SentenceTransformer, language: str | None, name: str = "the text") -> str | None:
    """Return the ``task`` of ``model.encode`` for text in a language; None if the model has no route for it.

    ``release.center: language`` makes models with a route for each language. Codes and routes are matched as language tags are
    (``pt`` finds ``pt_BR``). With routes for languages, but none for this text, a warning says so.

    Parameters
    ----------
    model
        The encoder.
    language
        Language code; ``None``: unknown.
    name
        Name of the text for the warning.
    """
    from otembed.models.center import language_routes

    routes = language_routes(model)
    task = None if language is None else match_language(language, routes)
    if routes and task is None:
        logger.warning(
            "%s: the model has routes for %s, but %s; its default route is used",
            name,
            ", ".join(routes),
            "the language is not given" if language is None else f"none for {language}",
        )
    return task
