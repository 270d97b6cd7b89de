"""Whether the hub can be reached is found out by one request, whatever answers."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

from otembed.runtime.hub import hub_failure, reachable_hub


@pytest.fixture
def requests(monkeypatch):
    """Replace the session of the hub's client; return the requests that it gets."""
    made = []

    def answer(reply):
        def head(url, **options):
            made.append((url, options["timeout"]))
            return reply()

        monkeypatch.setattr(huggingface_hub, "get_session", lambda: SimpleNamespace(head=head))
        return made

    return answer


def test_one_request_says_why_there_is_no_hub(requests):
    def fail():
        raise ConnectionError("no route to host\nand more")

    made = requests(fail)
    assert hub_failure() == "ConnectionError: no route to host"
    assert len(made) == 1
    assert 0 < made[0][1] <= 10


def test_any_answer_is_a_hub(requests):
    requests(lambda: SimpleNamespace(status_code=503))
    assert hub_failure() is None


@pytest.mark.parametrize("reachable", [True, False])
def test_clients_are_offline_only_while_the_hub_fails(requests, monkeypatch, reachable):
    def reply():
        if not reachable:
            raise TimeoutError

    requests(reply)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with reachable_hub() as failure:
        assert failure == (None if reachable else "TimeoutError")
        assert constants.HF_HUB_OFFLINE is not reachable
    assert constants.HF_HUB_OFFLINE is False
