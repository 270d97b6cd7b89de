"""Files from others run no code, read no other file, open no connection, and write nowhere else."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from otembed.config.io import to_yaml
from otembed.data import read_pairs
from otembed.embeddings.vectors import open_vectors
from otembed.errors import ConfigError, DataError, ModelError
from otembed.mining.search.state import SearchState
from otembed.models import load_model
from otembed.tasks.csv_rows import csv_name
from otembed.tasks.xquad.spans import evaluate_xquad_span
from otembed.training.card_section import card_section
from otembed.training.result import TrainResult

EVIL = "open({!r}, 'w').close()\nclass Module:\n    pass\nclass Model(Module):\n    pass\n"


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-was-run"


@pytest.fixture
def folder(tiny_model_path: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny model with a Python module that must not be imported, neither from here nor from sys.path."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_path, folder)
    (folder / "evil.py").write_text(EVIL.format(str(marker)))
    monkeypatch.syspath_prepend(folder)
    return folder


def change(path: Path, **values: object) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **values}))


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_weights_as_a_pickle_run_no_code(folder: Path, marker: Path, save) -> None:
    (folder / "model.safetensors").unlink()
    save({"embeddings.word_embeddings.weight": Attack(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load"):
        load_model(folder, device="cpu")
    assert not marker.exists()


def add_dense(folder: Path, activation: str) -> Path:
    dense = folder / "2_Dense"
    dense.mkdir()
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {"in_features": 32, "out_features": 8, "bias": True, "activation_function": activation}
    (dense / "config.json").write_text(json.dumps(settings))
    return dense


def test_module_as_a_pickle_runs_no_code(folder: Path, marker: Path) -> None:
    dense = add_dense(folder, "torch.nn.modules.activation.Tanh")
    torch.save({"linear.weight": Attack(marker)}, dense / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load"):
        load_model(folder, device="cpu")
    assert not marker.exists()


def test_activation_from_elsewhere_is_rejected(folder: Path, marker: Path) -> None:
    """sentence-transformers would use another activation in its place."""
    dense = add_dense(folder, "evil.Module")
    torch.save({"linear.weight": torch.zeros(8, 32), "linear.bias": torch.zeros(8)}, dense / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"evil\.Module"):
        load_model(folder, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["evil.Module", "evil.Model", "os.system"])
def test_module_from_elsewhere_is_rejected(folder: Path, marker: Path, kind: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=kind):
        load_model(folder, device="cpu")
    assert not marker.exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("kind", ["bert", "evil"])
def test_code_beside_the_weights_is_not_run(folder: Path, marker: Path, kind: str) -> None:
    names = {"AutoConfig": "evil.Module", "AutoModel": "evil.Model", "AutoTokenizer": ["evil.Module", None]}
    change(folder / "config.json", auto_map=names, model_type=kind)
    change(folder / "tokenizer_config.json", auto_map=names)
    if kind == "bert":
        load_model(folder, device="cpu")
    else:
        with pytest.raises(ModelError, match="cannot load"):
            load_model(folder, device="cpu")
    assert not marker.exists()
    assert "evil" not in sys.modules


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path, marker: Path) -> None:
    array = np.array([[Attack(marker)]], dtype=object)
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match="object"):
        open_vectors(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", done=array, recall=array, blocks=array)
    SearchState(1, 1, 1).load(tmp_path / "x.npz")
    assert not marker.exists()


@pytest.fixture
def server():
    """A local port to which nothing must connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


UNIT = '<tu><tuv xml:lang="en"><seg>cat {}</seg></tuv><tuv xml:lang="sw"><seg>paka</seg></tuv></tu>'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("declared", "used"),
    [
        (f'<!DOCTYPE tmx [<!ENTITY l0 "ha">{LAUGHS}]>', "&l9;"),
        ('<!DOCTYPE tmx [<!ENTITY x SYSTEM "file://{secret}">]>', "&x;"),
        ('<!DOCTYPE tmx [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]>', "&x;"),
        ('<!DOCTYPE tmx SYSTEM "http://127.0.0.1:{port}/x.dtd">', ""),
        ('<!DOCTYPE tmx SYSTEM "file://{secret}">', ""),
        ('<!DOCTYPE tmx [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/p"> %p;]>', ""),
        ("", '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="file://{secret}"/>'),
    ],
    ids=["laughs", "file", "network", "DTD", "local DTD", "parameter", "XInclude"],
)
def test_xml_expands_and_loads_nothing(tmp_path: Path, server, declared: str, used: str) -> None:
    (tmp_path / "secret").write_text("SECRET")
    places = {"secret": tmp_path / "secret", "port": server.getsockname()[1]}
    declared, used = (text.format_map(places) if "{" in text else text for text in (declared, used))
    text = f'<?xml version="1.0"?>{declared}<tmx version="1.4"><body>{UNIT.format(used)}</body></tmx>'
    (tmp_path / "x.tmx").write_text(text)
    try:
        rows = list(read_pairs(f"en-sw={tmp_path / 'x.tmx'}"))
    except DataError as error:
        assert "SECRET" not in str(error)  # noqa: PT017 - either answer is safe
    else:
        assert [(row.source.strip(), row.target) for row in rows] == [("cat", "paka")]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/b", "a\\b", "a\0b"])
def test_names_in_file_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    path = (tmp_path / csv_name("mining", name)).resolve()
    assert path.parent == tmp_path.resolve()
    assert "\0" not in path.name


@pytest.mark.parametrize("language", ["../x", "/tmp/x", "..", ""])
def test_answers_are_not_written_outside_their_folder(tmp_path: Path, tiny_model, language: str) -> None:
    with pytest.raises(ConfigError, match="language"):
        evaluate_xquad_span(tiny_model, "x.json", {language: "x.json"}, predictions=tmp_path / "answers")
    assert list(tmp_path.iterdir()) == []


def test_settings_do_not_end_their_block_in_a_card() -> None:
    result = TrainResult("r", "m", 1, 1.0, None, 1.0, 1.0, 1, 1, {}, {})
    settings = to_yaml({"pairs": {"en-sw": f"{'word ' * 20}\n````\n# <script> {'word ' * 20}```` <b>"}})
    card = card_section(result, settings, "9.9", None)
    (fence,) = re.findall("(?m)^(`+)yaml$", card)
    inside = card.partition(f"{fence}yaml\n")[2]
    assert inside.startswith(f"{settings.rstrip()}\n{fence}\n")
    assert fence not in settings
