"""Export an encoder as ONNX: tokens to sentence vectors in one graph, checked against torch; requires ``otembed[onnx]``."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import Tokenizer

from otembed.errors import ConfigError, ModelError, NumericsError, did_you_mean, named_line
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.center import routes_of
from otembed.models.export import change_of, check_target
from otembed.models.folders import whole_folder
from otembed.models.load import load_model
from otembed.models.lora import without_adapter
from otembed.models.save import check_saveable, weight_bytes
from otembed.results import Result, write_text
from otembed.results.paths import expand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MODEL_FILE, TOKENIZER_FILE, SETTINGS_FILE = "model.onnx", "tokenizer.json", "encoder.json"
# Before quantization.
FLOAT_FILE = "float.onnx"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
# Largest difference of a component from torch that a float export may have.
TOLERANCE = 1e-4
# Protocol buffers hold less than 2 GiB; larger weights go into a second file.
ONE_FILE = 1_900_000_000
# Of different lengths and scripts: one word, a sentence, and a text beyond the length limit of most encoders.
SENTENCES = (
    "Yes",
    "The black cat sleeps in the house.",
    "Die schwarze Katze schläft nicht im Haus, sondern auf der Matte vor der Tür.",
    "猫睡在房子里",
    "кошка спит в доме " * 150,
)


@dataclass(frozen=True)
class OnnxReport(Result):
    """Report of an export to ONNX.

    ``largest_difference`` is that of the vectors' components from torch's, ``lowest_cosine`` the lowest cosine between both
    vectors of a sentence, over ``sentences`` sentences encoded in one batch and one by one.
    """

    schema: ClassVar[int] = 1

    model: str
    folder: str
    precision: str
    megabytes: float
    dimension: int
    sentences: int
    largest_difference: float
    lowest_cosine: float


def export_onnx(
    name: str | Path,
    folder: str | Path,
    *,
    int8: bool = False,
    task: str | None = None,
    check: Sequence[str] = SENTENCES,
) -> OnnxReport:
    """Write an encoder as ``model.onnx``, ``tokenizer.json`` and ``encoder.json``, atomically.

    The graph takes ``input_ids`` and ``attention_mask``, both (B, T) int64, and returns ``sentence_embedding`` (B, D)
    float32: pooling, dense layers, centering and normalization are part of it. ``tokenizer.json`` pads and truncates.
    ``encoder.json`` has the prompts. Running it takes onnxruntime and tokenizers, neither torch nor transformers.

    Parameters
    ----------
    name
        As for :func:`otembed.load_model`.
    folder
        The folder to write; it must not exist or be empty.
    int8
        Store the weights of embeddings and matrix products in 8 bits, and compute the products in 8 bits (dynamic
        quantization by onnxruntime).
    task
        Route of a model with a Router, such as the language of a model that is centered by language; ``None``: the
        default route.
    check
        Sentences whose vectors are compared with torch's.

    Raises
    ------
    ConfigError
        A package of ``otembed[onnx]`` is missing, or the model has no such route.
    ModelError
        The model cannot be loaded or exported, or the folder is in use.
    NumericsError
        A vector of a float export differs from torch's by more than 1e-4 in a component.
    OutputError
        The folder cannot be written.
    """
    require_onnx()
    target = expand(folder).resolve()
    check_target(target)
    if not check:
        raise ConfigError("no sentences to check the export with", "Pass at least one.")
    model = without_adapter(load_model(name, device="cpu"))
    check_saveable(model)
    _check_pipeline(model, task)
    tokenizer = _tokenizer(model)
    prompt = (model.prompts.get(model.default_prompt_name) or "") if model.default_prompt_name else ""
    with whole_folder(target, needed=2 * weight_bytes(model)) as fresh:
        _write_graph(model, fresh / (FLOAT_FILE if int8 else MODEL_FILE), task)
        _strip(fresh / (FLOAT_FILE if int8 else MODEL_FILE))
        if int8:
            _quantize(fresh / FLOAT_FILE, fresh / MODEL_FILE, external=weight_bytes(model) > ONE_FILE)
        tokenizer.save(str(fresh / TOKENIZER_FILE))
        write_text(
            fresh / SETTINGS_FILE,
            json.dumps(_settings(model, prompt, int8, task), ensure_ascii=False, indent=2) + "\n",
        )
        expected = _encode(model, check, task)
        difference, cosine = _compare(expected, fresh, [prompt + text for text in check])
        if not int8 and not difference <= TOLERANCE:
            raise NumericsError(
                f"vectors of the exported model differ from torch's by {difference:.1e}, more than {TOLERANCE:g}",
                "Use the model with sentence-transformers: this architecture is not exported faithfully.",
            )
        size = sum(path.stat().st_size for path in fresh.iterdir())
    return OnnxReport(
        model=str(name),
        folder=str(target),
        precision="int8" if int8 else "float32",
        megabytes=round(size / 1e6, 1),
        dimension=expected.shape[1],
        sentences=len(check),
        largest_difference=difference,
        lowest_cosine=cosine,
    )


def require_onnx() -> None:
    """Raise ConfigError if a package of the extra is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"exporting ONNX requires {', '.join(missing)}", 'Install them: pip install "otembed[onnx]".'
        )


class _Graph(torch.nn.Module):
    """The model as a function of two tensors."""

    def __init__(self, model: SentenceTransformer, task: str | None) -> None:
        super().__init__()
        self.model = model
        self.options = {} if task is None else {"task": task}

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        vectors: torch.Tensor = self.model(features, **self.options)[OUTPUT]
        return vectors[:, : self.model.truncate_dim]


def _write_graph(model: SentenceTransformer, path: Path, task: str | None) -> None:
    sample = model.preprocess(["a b c", "a"])
    batch = torch.export.Dim("batch")
    limit = position_limit(transformer_of(model))
    sequence = torch.export.Dim("sequence", max=limit) if limit else torch.export.Dim("sequence")
    shapes = {name: {0: batch, 1: sequence} for name in INPUTS}
    try:
        with _quiet():
            torch.onnx.export(
                _Graph(model, task).eval(),
                tuple(sample[name] for name in INPUTS),
                str(path),
                input_names=INPUTS,
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
                external_data=weight_bytes(model) > ONE_FILE,
                dynamo=True,
                verbose=False,
            )
    # The exporter raises many kinds of errors for what it cannot trace; the cause is chained.
    except Exception as error:
        if isinstance(error, OSError):
            raise
        raise ModelError(
            f"torch cannot export {type(transformer_of(model)).__name__}: {named_line(error)}",
            "Use the model with sentence-transformers.",
        ) from error


def _strip(path: Path) -> None:
    """Remove what the exporter notes about each node: the source lines, with paths of this machine."""
    import onnx

    found = onnx.load(str(path), load_external_data=False)
    found.doc_string = ""
    for each in (found, found.graph, *found.graph.node, *found.graph.value_info, *found.graph.initializer):
        each.ClearField("metadata_props")
    for each in (found.graph, *found.graph.node):
        each.ClearField("doc_string")
    path.write_bytes(found.SerializeToString())


def _quantize(floats: Path, path: Path, *, external: bool) -> None:
    """Write the graph with 8-bit weights, and delete the one with floats."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        # 7 bits of each weight: products of 8 bits overflow on processors without VNNI.
        quantize_dynamic(
            floats,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            use_external_data_format=external,
        )
    for part in floats.parent.glob(f"{floats.name}*"):
        part.unlink()


def _check_pipeline(model: SentenceTransformer, task: str | None) -> None:
    """Reject what the graph cannot express, before the slow part."""
    transformer_of(model)  # a bag of static word vectors takes other inputs
    for module in model.modules():
        if isinstance(module, Pooling) and not module.include_prompt:
            raise ModelError(
                "the model's pooling leaves out the tokens of the prompt, whose number the graph does not know",
                "Use the model with sentence-transformers.",
            )
    routes = routes_of(model)
    if task is not None and task not in routes:
        raise ConfigError(
            f"task {task!r} is not a route of the model",
            did_you_mean(task, routes) if routes else "Omit task: the model has no Router.",
        )


def _tokenizer(model: SentenceTransformer) -> Tokenizer:
    """Return the tokenizer with padding and the length limit of the model."""
    own = model.tokenizer
    backend = getattr(own, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"the model's {type(own).__name__} has no tokenizer.json", "Use a model with a fast tokenizer."
        )
    tokenizer: Tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.enable_padding(
        direction=own.padding_side,
        pad_id=own.pad_token_id,
        pad_type_id=own.pad_token_type_id,
        pad_token=own.pad_token,
    )
    if model.max_seq_length is not None:
        tokenizer.enable_truncation(model.max_seq_length, direction=own.truncation_side)
    return tokenizer


def _settings(model: SentenceTransformer, prompt: str, int8: bool, task: str | None) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "prompts": model.prompts,
        "max_seq_length": model.max_seq_length,
        "dimension": model.get_embedding_dimension(),
        "normalized": isinstance(list(model.children())[-1], Normalize),
        "similarity": model.similarity_fn_name,
        "precision": "int8" if int8 else "float32",
        "task": task,
    }


def _encode(model: SentenceTransformer, texts: Sequence[str], task: str | None) -> NDArray[np.float32]:
    options: dict[str, Any] = {} if task is None else {"task": task}
    vectors: NDArray[np.float32] = model.encode(list(texts), show_progress_bar=False, **options)
    return vectors


def _compare(expected: NDArray[np.float32], folder: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Return the largest difference and the lowest cosine, of all texts in one batch and of each alone."""
    from onnxruntime import InferenceSession, disable_telemetry_events

    disable_telemetry_events()
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    session = InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])

    def run(part: Sequence[str]) -> NDArray[np.float64]:
        encoded = tokenizer.encode_batch(list(part))
        feed = {
            "input_ids": np.array([each.ids for each in encoded]),
            "attention_mask": np.array([each.attention_mask for each in encoded]),
        }
        return np.asarray(session.run([OUTPUT], feed)[0], np.float64)

    differences, cosines = zip(
        *(
            change_of(expected, found, "Check the model, or omit int8.")
            for found in (run(texts), np.concatenate([run([text]) for text in texts]))
        ),
        strict=True,
    )
    return max(differences), min(cosines)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter and the quantizer, which print and warn about their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
