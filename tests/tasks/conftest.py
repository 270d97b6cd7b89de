from __future__ import annotations

import pytest

SENTENCES = {
    "en": [
        "the cat sat on the mat",
        "the dog slept in the house",
        "the cat slept",
        "the dog sat",
        "the house and the mat",
    ],
    "de": [
        "die Katze saß auf der Matte",
        "der Hund schlief im Haus",
        "die Katze schlief",
        "der Hund saß",
        "Haus und Matte",
    ],
    "es": ["el gato duerme", "en la casa", "le chat dort", "dans la maison", "gato en casa"],
}


@pytest.fixture
def pairs() -> dict[str, tuple[list[str], list[str]]]:
    """Two language pairs that share their English side."""
    return {f"{code}-en": (SENTENCES[code], SENTENCES["en"]) for code in ("de", "es")}
