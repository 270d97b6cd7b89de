from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, StaticEmbedding
from tokenizers import Tokenizer

import otembed
import otembed.models.load as load_module
from otembed.config import TrainConfig
from otembed.errors import ModelError
from otembed.models import load_model, save_model
from otembed.models.architecture import length_limit
from otembed.models.center import center
from otembed.tasks.xquad import evaluate_xquad

if TYPE_CHECKING:
    from collections.abc import Callable


def raising(error: Exception) -> Any:
    def fake(*_args: Any, **_kwargs: Any) -> None:
        raise error

    return fake


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a name gets as far as sentence-transformers."""

    def unexpected(*args: Any, **_kwargs: Any) -> None:
        raise AssertionError(f"tried to load {args}")

    monkeypatch.setattr(load_module, "_load", unexpected)


def test_local_folder_is_loaded(tiny_model_path: Path, tiny_model: SentenceTransformer) -> None:
    model = load_model(tiny_model_path, device="cpu")
    np.testing.assert_array_equal(model.encode("the cat"), tiny_model.encode("the cat"))
    assert not model.training
    assert load_model(str(tiny_model_path), device=torch.device("cpu")).device.type == "cpu"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_are_loaded_as_float32(dtype: torch.dtype, tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    folder = save_model(tiny_model.to(dtype), tmp_path / "half")
    assert json.loads((folder / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    parameters = list(load_model(folder, device="cpu").parameters())
    assert {parameter.dtype for parameter in parameters} == {torch.float32}


def test_plain_transformers_folder_gets_mean_pooling(tiny_model_path: Path) -> None:
    encoder = tiny_model_path.with_name(f"{tiny_model_path.name}-encoder")
    model = load_model(encoder, device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]


def test_offline_model_is_loaded(fake_wheel: Path, tmp_path: Path) -> None:
    model = load_model("offline:multilingual-e5-small", device="cpu", cache_dir=tmp_path / "cache")
    assert model.get_embedding_dimension() == 32
    assert [p.name for p in (tmp_path / "cache").glob("multi*")] == ["multilingual-e5-small-q4-v2"]


def test_max_seq_length_is_set(tiny_model_path: Path) -> None:
    model = load_model(tiny_model_path, device="cpu", max_seq_length=8)
    assert model.max_seq_length == 8
    assert model.preprocess(["cat " * 30])["input_ids"].shape[1] == 8


@pytest.mark.parametrize("length", [2, 65, -1])
def test_invalid_max_seq_length_is_rejected(tiny_model_path: Path, length: int) -> None:
    with pytest.raises(ModelError, match=rf"max_seq_length is {length}, .*3 .*64"):
        load_model(tiny_model_path, device="cpu", max_seq_length=length)


def test_static_word_vectors_are_loaded_and_evaluated_but_not_trained(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_model_path / "tokenizer.json"))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    static.save(str(tmp_path / "static"))
    model = load_model(tmp_path / "static", device="cpu")
    assert length_limit(model) is None
    questions = {
        "context": "The dog slept.",
        "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "The dog", "answer_start": 0}]}],
    }
    (tmp_path / "en.json").write_text(json.dumps({"data": [{"paragraphs": [questions]}]}))
    report = evaluate_xquad(model, {"en": str(tmp_path / "en.json")}, tasks=["paragraph"])
    assert json.loads(report.to_json())["max_seq_length"] is None
    assert "not truncated" in " ".join(report._notes())
    settings = TrainConfig(
        pairs={"en-sw": "starter:en-sw"}, output=str(tmp_path / "run"), model={"name": str(tmp_path / "static")}
    )
    with pytest.raises(ModelError, match="transformer: its modules are StaticEmbedding"):
        otembed.train(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    "name",
    ["./models/x", "../x", "/tmp/none/x", "~/none-such", "a/b/c", "a\\b", "C:\\m", "out/", "", ".", "ofline:e5"],
)
def test_path_like_name_is_never_requested_from_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no such model folder|does not contain a model"):
        load_model(name, device="cpu")


@pytest.mark.usefixtures("no_hub")
def test_existing_folder_is_preferred_to_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"'owner/name'.*modules\.json.*config"):
        load_model("owner/name", device="cpu")


def test_missing_folder_names_the_offline_alternative(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.*\n.*offline:multilingual-e5-small"):
        load_model(tmp_path / "none", device="cpu")


def test_file_instead_of_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "m.bin").touch()
    with pytest.raises(ModelError, match="is a file"):
        load_model(tmp_path / "m.bin", device="cpu")


def test_hub_name_without_hub_names_the_offline_alternative(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'owner/no-such-model' .*\n.*offline:multiling"):
        load_model("owner/no-such-model", device="cpu", local_files_only=True, cache_dir=tmp_path)


@pytest.mark.parametrize("failure", [None, "ConnectError: no route to host"])
def test_unreachable_hub_names_the_offline_alternative(
    monkeypatch: pytest.MonkeyPatch, failure: str | None
) -> None:
    def unreachable(name: str, **options: Any) -> None:
        # Without a hub only the downloaded files are tried: the clients would repeat every request for minutes.
        assert (name, options["local_files_only"], options["revision"]) == (
            "owner/name",
            failure is not None,
            "main",
        )
        assert options["trust_remote_code"] is False
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr(load_module, "SentenceTransformer", unreachable)
    monkeypatch.setattr(load_module, "hub_failure", lambda: failure)
    reason = failure or "ConnectionError: no route to host"
    with pytest.raises(ModelError, match=rf"'owner/name'.*{reason}\n.*offline:"):
        load_model("owner/name", device="cpu", revision="main")


def test_downloaded_model_loads_without_a_hub(monkeypatch: pytest.MonkeyPatch, tiny_model_path: Path) -> None:
    downloaded = SentenceTransformer(str(tiny_model_path), device="cpu", local_files_only=True)
    monkeypatch.setattr(load_module, "SentenceTransformer", lambda *_args, **_options: downloaded)
    monkeypatch.setattr(load_module, "hub_failure", lambda: "ConnectError: no route to host")
    assert load_model("owner/name", device="cpu") is downloaded


def test_unknown_offline_names_are_rejected() -> None:
    with pytest.raises(ModelError, match="unknown offline model: offline:e5"):
        load_model("offline:e5", device="cpu")


def test_custom_code_is_never_run(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    folder = save_model(tiny_model, tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "evil.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "evil.py").write_text("raise SystemExit('code from the model was run')")
    with pytest.raises(ModelError, match=r"'evil\.Pooling'"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("file", ["model.safetensors", "3_Dense/model.safetensors"])
@pytest.mark.parametrize("length", [3, 500, -1])
def test_damaged_weights_are_named(tiny_model: SentenceTransformer, tmp_path: Path, file: str, length: int) -> None:
    tiny_model.append(Dense(32, 8))
    folder = save_model(tiny_model, tmp_path / "m")
    weights = (folder / file).read_bytes()
    (folder / file).write_bytes(weights[:length])
    with pytest.raises(ModelError, match=rf"{file} is damaged") as caught:
        load_model(folder, device="cpu")
    assert "again" in caught.value.hint


def test_weights_that_may_not_be_read_are_named(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors says "No such file or directory"."""
    (weights,) = Path(shutil.copytree(tiny_model_path, tmp_path / "model")).glob("*.safetensors")
    weights.chmod(0)
    if os.access(weights, os.R_OK):  # root may read everything
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != weights)
        monkeypatch.setattr(load_module, "SentenceTransformer", raising(FileNotFoundError(2, "No such file", "w")))
    with pytest.raises(ModelError, match=r"model\.safetensors: Permission denied") as caught:
        load_model(tmp_path / "model", device="cpu")
    assert "permissions" in caught.value.hint


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_unavailable_device_is_rejected(tiny_model_path: Path, device: str) -> None:
    with pytest.raises(ModelError, match=rf"device '{device}' .*\n.*'cpu'"):
        load_model(tiny_model_path, device=device)


@pytest.mark.parametrize("stated", [100, None])
def test_texts_are_truncated_at_the_last_usable_position(
    tiny_model: SentenceTransformer, tmp_path: Path, stated: int | None
) -> None:
    rows = tiny_model[0].model.config.max_position_embeddings
    tiny_model.max_seq_length = 100
    tiny_model.tokenizer.model_max_length = stated or 10**30
    tiny_model.save(str(tmp_path / "m"), create_model_card=False)
    settings = tmp_path / "m" / "sentence_bert_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_seq_length": stated}))
    model = load_model(tmp_path / "m", device="cpu")
    assert model.max_seq_length == rows
    assert np.isfinite(model.encode("the cat " * 100)).all()


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "values", "named"),
    [
        ("config.json", {"num_hidden_layers": 2**32}, "num_hidden_layers is 4294967296"),
        ("tokenizer_config.json", {"model_max_length": "64"}, "cannot|max_seq_length"),
        ("config.json", None, r"cannot load .*config\.json:1: not JSON"),
        ("modules.json", None, r"cannot load .*modules\.json:1: not JSON"),
        (
            "config_sentence_transformers.json",
            None,
            r"cannot load .*config_sentence_transformers\.json:1: not JSON",
        ),
        ("1_Pooling/config.json", None, r"cannot load .*1_Pooling/config\.json:1: not JSON"),
        ("tokenizer_config.json", None, r"cannot load .*tokenizer_config\.json:1: not JSON"),
        ("sentence_bert_config.json", {"max_seq_length": "64"}, "max_seq_length is '64'"),
        ("sentence_bert_config.json", None, r"cannot load .*sentence_bert_config\.json:1: not JSON"),
        (
            "tokenizer.json",
            {"added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 9999}, "unk_token": "a"}},
            "cannot",
        ),
    ],
)
def test_damaged_settings_are_rejected(
    tiny_model_path: Path, tmp_path: Path, file: str, values: dict[str, Any] | None, named: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_path, folder)
    if values is None:
        (folder / file).write_text('[{"a": ')
    else:
        change(folder / file, **values)
    with pytest.raises(ModelError, match=named) as caught:
        load_model(folder, device="cpu")
    assert caught.value.hint


def test_pipe_in_a_model_folder_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model_path, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    os.mkfifo(tmp_path / "model" / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        load_model(tmp_path / "model", device="cpu")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def only(part: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Keep the tensors whose names do not contain ``part``."""
    return lambda weights: {name: each for name, each in weights.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (only("layer.2."), r"lack encoder\.layer\.2\.[\w.]+ and 15 other tensors"),
        (only("layer.1.output.dense.bias"), r"lack encoder\.layer\.1\.output\.dense\.bias$"),
        # A whole checkpoint under other names.
        (lambda weights: {f"module.{name}": each for name, each in weights.items()}, r"lack embeddings\."),
        (
            lambda weights: {
                name: each[:, :9].contiguous() if name.endswith("layer.1.output.dense.weight") else each
                for name, each in weights.items()
            },
            r"another shape than its config\.json says",
        ),
    ],
)
def test_weights_that_the_files_lack_are_not_drawn_at_random(
    tiny_model_path: Path, tmp_path: Path, change: Any, named: str
) -> None:
    folder = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    change_weights(folder, change)
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu")
    assert re.search(named, caught.value.message)
    assert "config.json" in caught.value.message or "download" in caught.value.hint


def test_weights_of_an_unused_pooler_may_be_missing(
    tiny_model_path: Path, tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    change_weights(folder, only("pooler"))
    np.testing.assert_array_equal(load_model(folder, device="cpu").encode("the cat"), tiny_model.encode("the cat"))


def test_missing_tokenizer_is_named(tiny_model_path: Path, tmp_path: Path) -> None:
    """transformers makes an empty one, which takes every word as unknown."""
    shutil.copytree(tiny_model_path, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(ModelError, match="vocabulary of its tokenizer is empty") as caught:
        load_model(tmp_path / "model", device="cpu")
    assert "tokenizer.json" in caught.value.hint


def test_missing_settings_of_a_module_are_named(tiny_model_path: Path, tmp_path: Path) -> None:
    """Normalization has none, and its folder may be missing: no hub keeps an empty one."""
    folder = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    load_model(folder, device="cpu")
    shutil.rmtree(folder / "1_Pooling")
    with pytest.raises(ModelError, match=r"model/1_Pooling/config\.json is missing") as caught:
        load_model(folder, device="cpu")
    assert "__init__" not in str(caught.value)
    assert "whole folder" in caught.value.hint


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", "MultiVectorEncoder"])
def test_model_of_another_class_is_rejected(tiny_model_path: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    change(folder / "config_sentence_transformers.json", model_type=kind)
    with pytest.raises(ModelError, match=f"is a {kind}, not a sentence encoder") as caught:
        load_model(folder, device="cpu")
    assert "SentenceTransformer(" in caught.value.hint


def test_centered_model_that_cannot_encode_is_rejected(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    """The default route of a Router needs no task."""
    mean = np.full(32, 0.1, np.float32)
    center(tiny_model, mean, {"de": mean})
    folder = save_model(tiny_model, tmp_path / "model")
    assert load_model(folder, device="cpu").encode("the cat", task="de").shape == (32,)
    change_weights(folder, only("layer.2."))
    with pytest.raises(ModelError, match="lack"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(
    ("files", "place", "hint"),
    [
        (["run/model/modules.json", "run/results.json"], "run", r"run/model, the model of the run"),
        (["run/model/modules.json", "run/adapter/adapter_config.json"], "run/adapter", r"run/model, .* merged"),
        (["adapter/adapter_config.json"], "adapter", "merge_adapter"),
        (["onnx/model.onnx", "onnx/tokenizer.json"], "onnx", "ONNX"),
        (["other/README.md"], "other", "save_model"),
    ],
)
def test_folder_without_a_model_says_what_to_use(tmp_path: Path, files: list[str], place: str, hint: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match="does not contain a model") as caught:
        load_model(tmp_path / place, device="cpu")
    assert re.search(hint, caught.value.hint)
