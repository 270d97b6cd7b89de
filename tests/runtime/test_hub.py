"""Whether the hub can be reached is found out by one request, whatever answers."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest

from otembed.runtime.hub import hub_failure


@pytest.fixture
def requests(monkeypatch):
    """Replace the session of the hub's client; return the requests that it gets."""
    made = []

    def answer(reply):
        def head(url, **options):
            made.append((url, options["timeout"]))
            return reply()

        monkeypatch.setattr(huggingface_hub, "get_session", lambda: SimpleNamespace(head=head))
        hub_failure.cache_clear()
        return made

    yield answer
    hub_failure.cache_clear()


def test_one_request_says_why_there_is_no_hub(requests):
    def fail():
        raise ConnectionError("no route to host\nand more")

    made = requests(fail)
    assert hub_failure() == hub_failure() == "ConnectionError: no route to host"
    assert len(made) == 1
    assert 0 < made[0][1] <= 10


def test_any_answer_is_a_hub(requests):
    requests(lambda: SimpleNamespace(status_code=503))
    assert hub_failure() is None
