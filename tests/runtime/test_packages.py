"""Versions and extras against what pip's own metadata says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata, version

import pytest

import otembed
from otembed.errors import OtembedError
from otembed.runtime import packages


class Fake:
    """A distribution with the given requirements and extras."""

    def __init__(self, requires, extras=()):
        self.requires = requires
        self.metadata = self
        self.extras = extras

    def get_all(self, name):
        assert name == "Provides-Extra"
        return list(self.extras) or None


@pytest.fixture
def declare(monkeypatch):
    def fake(*requires, extras=()):
        monkeypatch.setattr(packages, "distribution", lambda name: Fake(list(requires), extras))

    return fake


def test_versions_match_the_installed_packages():
    found = packages.versions()
    assert found["otembed"] == otembed.__version__ == version("otembed")
    for name in (
        "torch",
        "transformers",
        "sentence-transformers",
        "datasets",
        "POT",
        "faiss-cpu",
        "numpy",
        "numba",
    ):
        assert found[name] == version(name)
    assert packages.misfits() == {}


def test_extras_match_the_metadata():
    assert list(packages.extras()) == sorted(metadata("otembed").get_all("Provides-Extra"))


def test_requirements_follow_markers_and_extras_of_extras(declare):
    declare(
        "numpy>=1", 'colorama; sys_platform == "none"', 'pytest>=8; extra == "dev"', 'otembed[plots]; extra == "dev"',
        'matplotlib>=3; extra == "plots"', 'nowhere-to-be-found>=1; extra == "ray"', extras=("dev", "plots", "ray"),
    )  # fmt: skip
    assert [each.name for each in packages.requirements()] == ["numpy"]
    assert [each.name for each in packages.requirements("dev")] == ["pytest", "matplotlib"]
    assert packages.extras()["ray"] == ["nowhere-to-be-found>=1"]
    assert packages.extras()["dev"] == []


def test_missing_and_incompatible_versions_are_reported(declare):
    declare("numpy<1", "nowhere-to-be-found>=2", 'pytest<1; extra == "dev"', extras=("dev",))
    assert packages.misfits() == {"numpy": "<1", "nowhere-to-be-found": ">=2"}
    assert packages.versions()["nowhere-to-be-found"] is None
    assert packages.extras() == {"dev": [f"pytest<1 (found {version('pytest')})"]}
    declare("numpy")
    assert packages.extras() == {}


def test_missing_package_is_reported(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    with pytest.raises(OtembedError, match=r"\n.*pip install"):
        packages.versions()
