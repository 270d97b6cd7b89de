"""The Hugging Face hub: whether it can be reached, how to do without it at once, and what its refusals mean."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from otembed.errors import first_line, named_line

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

LOG_IN = "log in with hf auth login, or set HF_TOKEN"


class Refusal(NamedTuple):
    """Why the hub refused a request, and one sentence on how to fix it."""

    reason: str
    hint: str


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
        logger.info("the hub cannot be reached; only downloaded files are used")
        return named_line(error)
    return None


@contextmanager
def reachable_hub() -> Iterator[str | None]:
    """Yield :func:`hub_failure`; if the hub fails, its clients use downloaded files only, without retries."""
    failure = hub_failure()
    with without_hub(failure is not None):
        yield failure


@contextmanager
def without_hub(offline: bool = True) -> Iterator[None]:
    """Keep the hub's clients off the network inside the block, unless ``offline`` is False.

    ``local_files_only`` does not reach every request of the libraries that load a model.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def refusal(error: BaseException) -> Refusal | None:
    """Return what the hub's clients report with ``error`` or one of its causes; ``None`` for other errors.

    The libraries above the client wrap its errors in their own, whose texts do not say what to do.
    """
    for each in _chain(error):
        found = _of_answer(each) or _of_connection(each)
        if found is not None:
            return found
    return None


def _of_answer(error: BaseException) -> Refusal | None:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalTokenNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalTokenNotFoundError):
        return Refusal("there is no token for the hub", f"{LOG_IN[0].upper()}{LOG_IN[1:]}.")
    # datasets raises it without its cause.
    if type(error).__name__ == "DatasetNotFoundError":
        hint = "request access on its page" if "gated" in str(error) else "check the name"
        return Refusal(first_line(error), f"{hint.capitalize()}, and {LOG_IN}.")
    # Clients look for files that a repository may lack: another error says what that means.
    if not isinstance(error, HfHubHTTPError) or isinstance(error, RemoteEntryNotFoundError):
        return None
    status = error.response.status_code
    said = error.server_message or ""
    if isinstance(error, GatedRepoError):
        return Refusal(
            "its owner grants access on request, and this login has none",
            f"Request access on its page, and {LOG_IN}.",
        )
    if status == 401 and ("Invalid credentials" in said or "Invalid user token" in str(error)):
        return Refusal("the hub does not know the token", f"The token is wrong or has expired: {LOG_IN} again.")
    if isinstance(error, RepositoryNotFoundError):
        return Refusal(
            "it does not exist on the hub, or is private", f"Check the name; for a private one, {LOG_IN}."
        )
    if isinstance(error, RevisionNotFoundError):
        return Refusal("the hub has no such revision of it", "Use a branch, tag or commit that exists.")
    if status == 401:
        return Refusal("the hub requires a login", f"{LOG_IN[0].upper()}{LOG_IN[1:]}.")
    if status == 403:
        return Refusal(
            f"the hub refuses it{said and f': {said}'}",
            f"Use a name of your own and a token that allows it: {LOG_IN}.",
        )
    if status == 429 or status >= 500:
        return Refusal(f"the hub answers {status}{said and f': {said}'}", "Try again later.")
    return Refusal(f"the hub refuses it with {status}{said and f': {said}'}", "Correct what it names.")


def _of_connection(error: BaseException) -> Refusal | None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return Refusal("HF_HUB_OFFLINE is set", "Unset HF_HUB_OFFLINE.")
    # The HTTP client differs between versions of the hub's client.
    if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "requests", "urllib3"}:
        return Refusal(
            f"the connection to the hub failed: {named_line(error)}",
            "Check the network and try again: files that are complete are not downloaded or sent again.",
        )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
