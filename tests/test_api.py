"""Names that packages export: each exists, and loading the package alone loads no torch."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = (
    "otembed",
    "otembed.config",
    "otembed.data",
    "otembed.documents",
    "otembed.losses",
    "otembed.mining",
    "otembed.models",
    "otembed.results",
    "otembed.tasks.documents",
    "otembed.tasks.mining",
    "otembed.tasks.retrieval",
    "otembed.tasks.word_alignment",
    "otembed.tasks.xnli",
    "otembed.tasks.xquad",
    "otembed.training",
    "otembed.transport",
    "otembed.words",
)
LAZY = [
    name
    for name in PACKAGES
    if name.startswith("otembed.tasks") or name in {"otembed", "otembed.documents", "otembed.mining"}
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_exists(name):
    package = import_module(name)
    for each in package.__all__:
        assert getattr(package, each) is not None


@pytest.mark.parametrize("name", LAZY)
def test_lazy_exports_are_listed_and_others_rejected(name):
    package = import_module(name)
    assert dir(package) == package.__all__ == sorted(package.__all__)
    with pytest.raises(AttributeError, match=r"'nothing'"):
        _ = package.nothing


def test_light_packages_load_no_torch():
    code = f"import sys, {', '.join(LAZY)}; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_root_has_about_fifteen_names():
    import otembed

    assert len(otembed.__all__) <= 16
