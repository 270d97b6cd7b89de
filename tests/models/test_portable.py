from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling, WeightedLayerPooling

from otembed.models.portable import make_portable, pooling_settings

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer


def saved(model: SentenceTransformer, folder: Path) -> Path:
    model.save(str(folder), create_model_card=False)
    make_portable(folder)
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def types(folder: Path) -> list[str]:
    return [entry["type"].removeprefix("sentence_transformers.") for entry in read(folder / "modules.json")]


def test_portable_folder_uses_older_names_and_keys(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    folder = saved(tiny_model, tmp_path / "m")
    assert types(folder) == ["models.Transformer", "models.Pooling", "models.Normalize"]
    assert read(folder / "sentence_bert_config.json") == {"max_seq_length": 64, "do_lower_case": False}
    assert read(folder / "1_Pooling" / "config.json") == pooling_settings(32, "mean")
    tokenizer = read(folder / "tokenizer_config.json")
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"backend", "is_local", "local_files_only"} & set(tokenizer)


@pytest.mark.parametrize("mode", Pooling.POOLING_MODES)
def test_every_pooling_mode_is_converted(mode: Any, tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model[1] = Pooling(32, pooling_mode=mode, include_prompt=False)
    loaded = Pooling.load(str(saved(tiny_model, tmp_path / "m") / "1_Pooling"))
    assert (loaded.pooling_mode, loaded.include_prompt, loaded.embedding_dimension) == (mode, False, 32)


def test_combined_pooling_modes_are_converted(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model[1] = Pooling(32, pooling_mode=("cls", "mean"))
    assert Pooling.load(str(saved(tiny_model, tmp_path / "m") / "1_Pooling")).pooling_mode == ("cls", "mean")


def test_other_modules_are_converted(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model.extend([Dense(32, 8), Dropout(0.1), LayerNorm(8)])
    folder = saved(tiny_model, tmp_path / "m")
    assert types(folder)[3:] == ["models.Dense", "models.Dropout", "models.LayerNorm"]
    assert set(read(folder / "3_Dense" / "config.json")) == {
        "in_features",
        "out_features",
        "bias",
        "activation_function",
    }


def test_modules_without_an_older_form_are_kept_and_logged(
    tiny_model: SentenceTransformer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_model.extend([Dense(32, 32, use_residual=True), Normalize("token_embeddings")])
    with caplog.at_level(logging.WARNING):
        folder = saved(tiny_model, tmp_path / "m")
    assert types(folder)[3:] == ["base.modules.dense.Dense", "base.modules.normalize.Normalize"]
    assert read(folder / "3_Dense" / "config.json")["use_residual"] is True
    assert caplog.text.count("no older form") == 2


def test_unusual_encoder_is_kept(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model[0].processing_kwargs = {"text": {"padding": "max_length"}}
    folder = saved(tiny_model, tmp_path / "m")
    assert types(folder)[0] == "base.modules.transformer.Transformer"
    assert "processing_kwargs" in read(folder / "sentence_bert_config.json")


def test_length_limit_is_omitted_where_the_tokenizer_has_none(
    tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    tiny_model.tokenizer.model_max_length = int(1e30)
    folder = saved(tiny_model, tmp_path / "m")
    assert read(folder / "sentence_bert_config.json") == {"do_lower_case": False}


def test_hidden_states_are_switched_off_unless_a_module_reads_them(
    tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    tiny_model[0].model.config.output_hidden_states = True
    assert "output_hidden_states" not in read(saved(tiny_model, tmp_path / "off") / "config.json")
    tiny_model.insert(1, WeightedLayerPooling(32, num_hidden_layers=3, layer_start=1))
    assert read(saved(tiny_model, tmp_path / "on") / "config.json")["output_hidden_states"] is True
