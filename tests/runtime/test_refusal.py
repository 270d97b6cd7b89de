"""What errors of the hub's client, and of the libraries above it, mean."""

from __future__ import annotations

import httpx2
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


def answer(kind, status, said=None):
    response = httpx2.Response(status, request=httpx2.Request("GET", "http://hub/api"))
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
        (httpx2.ConnectError("no route"), "ConnectError: no route", "network"),
    ],
)
def test_refusals_say_why_and_what_to_do(error, reason, hint):
    found = refusal(error)
    assert reason in found.reason
    assert hint in found.hint


def test_the_cause_counts_whatever_a_library_wraps_around_it():
    try:
        try:
            raise answer(RepositoryNotFoundError, 404)
        except RepositoryNotFoundError as error:
            raise OSError("not a local folder and not a valid identifier") from error
    except OSError as outer:
        assert "does not exist" in refusal(outer).reason


@pytest.mark.parametrize(
    "error", [ValueError("bad"), LocalEntryNotFoundError("not cached"), answer(RemoteEntryNotFoundError, 404)]
)
def test_other_errors_are_no_refusals(error):
    assert refusal(error) is None
