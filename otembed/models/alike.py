"""Do two models have one architecture and one tokenizer? The first difference, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

# Settings of a fast tokenizer that change when it is called.
CALL_STATE = ("truncation", "padding")
# Settings of a transformer that say where its weights are from or what a call returns, not what it computes.
PROVENANCE = frozenset(
    {
        "architectures",
        "dtype",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
LONGEST = 60


def tokenizer_document(tokenizer: Any) -> Any:
    """Return what a tokenizer consists of, as JSON values: the whole of a fast tokenizer, the vocabulary of others."""
    # A bag of static word vectors has the fast tokenizer itself.
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        return [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    document = json.loads(backend.to_str())
    return {key: value for key, value in document.items() if key not in CALL_STATE}


def transformer_settings(transformer: PreTrainedModel | None) -> dict[str, Any]:
    """Return the settings of a transformer that say what it computes, nested ones included; none without a transformer."""

    def computing(settings: Mapping[Any, Any]) -> dict[str, Any]:
        names = [key for key in settings if str(key) not in PROVENANCE and not str(key).startswith("_")]
        return {
            str(key): computing(settings[key]) if isinstance(settings[key], dict) else settings[key]
            for key in names
        }

    return {} if transformer is None else computing(transformer.config.to_dict())


def first_difference(first: SentenceTransformer, second: SentenceTransformer) -> str | None:
    """Return the first difference between two models other than the values of their parameters, or None.

    Compared, in this order: the modules and their settings, the settings of the transformer, the tokenizer, names and shapes of
    all tensors, and the values of buffers and integer tensors, which have no mean. Prompts and the length limit may differ.
    """
    return next(_differences(first, second), None)


def _differences(first: SentenceTransformer, second: SentenceTransformer) -> Iterator[str]:
    kinds = [[type(module).__name__ for module in model.children()] for model in (first, second)]
    if kinds[0] != kinds[1]:
        yield f"modules {', '.join(kinds[0])} and {', '.join(kinds[1])}"
        return
    for index, pair in enumerate(zip(first.children(), second.children(), strict=True)):
        yield from _unequal(_module_settings(pair[0]), _module_settings(pair[1]), f"{kinds[0][index]}: ")
    settings = [transformer_settings(model.transformers_model) for model in (first, second)]
    yield from _unequal(settings[0], settings[1], "transformer: ")
    yield from _tokenizers(first.tokenizer, second.tokenizer)
    yield from _tensors(first.state_dict(), second.state_dict())
    trained = {name for name, each in first.named_parameters(remove_duplicate=False) if each.is_floating_point()}
    other = second.state_dict()
    for name, tensor in first.state_dict().items():
        if name not in trained and not torch.equal(tensor.cpu(), other[name].cpu()):
            yield f"the values of {name}, which is not a trained parameter"


def _module_settings(module: Any) -> dict[str, Any]:
    describe = getattr(module, "get_config_dict", dict)
    return {key: value for key, value in describe().items() if key != "max_seq_length"}


def _unequal(first: Mapping[str, Any], second: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if one != other:
            yield f"{where}{key} {_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _tokenizers(first: Any, second: Any) -> Iterator[str]:
    sizes = [len(each.get_vocab()) for each in (first, second)]
    if sizes[0] != sizes[1]:
        yield f"tokenizers with vocabularies of {sizes[0]:,} and {sizes[1]:,} entries"
    documents = [tokenizer_document(each) for each in (first, second)]
    if documents[0] == documents[1]:
        return
    if not all(isinstance(each, dict) for each in documents):
        yield "the tokenizers"
        return
    for key in sorted(documents[0].keys() | documents[1].keys()):
        if documents[0].get(key) != documents[1].get(key):
            yield f"the tokenizers ({key})"


def _tensors(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> Iterator[str]:
    for name in [*first, *(name for name in second if name not in first)]:
        if name not in first or name not in second:
            yield f"{name}, which only the {'first' if name in first else 'second'} model has"
        elif first[name].shape != second[name].shape:
            yield f"{name} of shape {tuple(first[name].shape)} and {tuple(second[name].shape)}"
