"""What errors of the hub's client, and of the libraries above it, mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from otembed.runtime.hub import refusal


class ConnectError(Exception):
    """As the HTTP library of the hub's client raises it."""


ConnectError.__module__ = "httpx"


def answer(kind, status, said=None):
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("Client error", response=response, server_message=said)


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (answer(GatedRepoError, 403), "access", "Request access"),
        (answer(RepositoryNotFoundError, 404), "does not exist", "HF_TOKEN"),
        (answer(RevisionNotFoundError, 404), "revision", "branch"),
        (answer(HfHubHTTPError, 401, "Invalid credentials in Authorization header"), "token", "expired"),
        (answer(HfHubHTTPError, 401), "login", "HF_TOKEN"),
        (answer(HfHubHTTPError, 403, "no rights"), "no rights", "HF_TOKEN"),
        (answer(HfHubHTTPError, 429), "429", "later"),
        (answer(HfHubHTTPError, 503, "down"), "503: down", "later"),
        (answer(HfHubHTTPError, 409, "taken"), "409: taken", "names"),
        (LocalTokenNotFoundError("no token"), "token", "HF_TOKEN"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE", "HF_HUB_OFFLINE"),
        (ConnectError("no route"), "ConnectError: no route", "network"),
    ],
)
def test_refusals_say_why_and_what_to_do(error, reason, hint):
    found = refusal(error)
    assert reason in found.reason
    assert hint in found.hint


def test_the_cause_counts_whatever_a_library_wraps_around_it():
    outer = OSError("not a local folder and not a valid identifier")
    outer.__cause__ = answer(RepositoryNotFoundError, 404)
    assert "does not exist" in refusal(outer).reason


@pytest.mark.parametrize(
    "error", [ValueError("bad"), LocalEntryNotFoundError("not cached"), answer(RemoteEntryNotFoundError, 404)]
)
def test_other_errors_are_no_refusals(error):
    assert refusal(error) is None
