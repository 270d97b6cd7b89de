"""Whether the Hugging Face hub can be reached, and how to do without it at once."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)


def hub_failure() -> str | None:
    """Return why the hub cannot be reached, None if it answers one request.

    Without a network, the clients of the hub repeat each of their requests for half a minute before they look into their
    cache.
    """
    from huggingface_hub import constants, get_session

    try:
        # The session knows proxies, certificates and HF_HUB_OFFLINE. Any answer will do.
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # the kinds depend on the HTTP client, which differs between versions
        reason = next(iter(str(error).strip().splitlines()), "")
        logger.info("the hub cannot be reached; only downloaded files are used")
        return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return None


@contextmanager
def reachable_hub() -> Iterator[str | None]:
    """Yield :func:`hub_failure`; if the hub fails, its clients use downloaded files only, without retries."""
    from huggingface_hub import constants

    failure, before = hub_failure(), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or failure is not None
    try:
        yield failure
    finally:
        constants.HF_HUB_OFFLINE = before
