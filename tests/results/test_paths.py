"""A home folder that does not exist is an error of the input, wherever a path is expanded."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from otembed.comparison.sources import open_source
from otembed.config.io import read_yaml, train_config
from otembed.data.compression import read_lines
from otembed.data.places import parse_place
from otembed.data.spec import parse_pair_spec
from otembed.embeddings.cache import cache_home
from otembed.embeddings.vectors import open_vectors
from otembed.errors import ConfigError
from otembed.models import load_model
from otembed.models.export import export_model
from otembed.results import write_text
from otembed.results.paths import expand
from otembed.runtime.cache import default_cache_dir

NOBODY = "~nosuchuser/x.yaml"
READERS = {
    "settings": read_yaml,
    "run folder": lambda path: train_config({"pairs": {"en-sw": "starter:en-sw"}, "output": path}),
    "lines": lambda path: list(read_lines(Path(path))),
    "place": parse_place,
    "pairs": lambda path: parse_pair_spec("en-sw", path),
    "vectors": open_vectors,
    "model": load_model,
    "exported": lambda path: export_model("./none", path),
    "cache": cache_home,
    "written": lambda path: write_text(path, "text"),
    "compared": lambda path: open_source(f"A={path}", evaluated=False),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("homeless", [False, True], ids=["no such user", "no home"])
def test_unknown_home_folder_is_named(read, homeless, monkeypatch, tmp_path):
    path = NOBODY
    if homeless:
        path = "~/x.yaml"
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.getpwnam("no such user"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=path) as caught:
        read(path)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_cache_without_a_home_folder_needs_a_place(monkeypatch, tmp_path):
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.getpwnam("no such user"))
    for name in ("HOME", "XDG_CACHE_HOME", "OTEMBED_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="home") as caught:
        default_cache_dir()
    assert "OTEMBED_CACHE" in str(caught.value.hint)
    monkeypatch.setenv("OTEMBED_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path


def test_only_a_leading_tilde_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand("~/a") == tmp_path / "a"
    assert expand("a/~") == Path("a/~")
    write_text("~/a/b.txt", "x")
    assert (tmp_path / "a" / "b.txt").read_text() == "x"


def test_drive_letters_are_neither_languages_nor_names_nor_datasets():
    assert parse_place(r"C:\texts\news.txt").path == Path(r"C:\texts\news.txt")
    spec = parse_pair_spec(r"en-sw=C:\texts\talks.tsv?source=0&target=2")
    assert (str(spec.paths[0]), spec.source_column) == (r"C:\texts\talks.tsv", "0")
    assert len(parse_pair_spec("en-sw", r"C:\a.en,D:\a.sw").paths) == 2
    source = open_source(r"C:\models\e5", evaluated=True)
    assert source.name == source.model == r"C:\models\e5"
    labeled = open_source(r"new=C:\models\a=b", evaluated=True)
    assert (labeled.name, labeled.model) == ("new", r"C:\models\a=b")
