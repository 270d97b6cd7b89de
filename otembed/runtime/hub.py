"""Whether the Hugging Face hub can be reached, found out once."""

from __future__ import annotations

import logging
from functools import cache

logger = logging.getLogger(__name__)


@cache
def hub_failure() -> str | None:
    """Return why the hub cannot be reached, None if it answers.

    One request without retries. Without a network, the clients of the hub repeat each of their requests for half a
    minute before they look into their cache.
    """
    from huggingface_hub import constants, get_session

    try:
        # The session knows proxies, certificates and HF_HUB_OFFLINE. Any answer will do.
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # the kinds depend on the HTTP client, which differs between versions
        reason = next(iter(str(error).strip().splitlines()), "")
        logger.info("the model hub cannot be reached: using downloaded files")
        return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return None
