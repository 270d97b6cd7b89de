"""A fingerprint of an encoder that does not depend on its name or folder."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from otembed.models.alike import tokenizer_document, transformer_settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DIGEST_BYTES = 16


def model_fingerprint(model: SentenceTransformer) -> str:
    """Return a hash of everything that determines ``model.encode``, except prompts and device.

    It covers the weights, the modules and their settings, those of transformers, the tokenizer, the sides on which it pads and
    truncates, and the maximum sequence length, but no names or folders. A retrained model in the same folder gets another fingerprint; a copy of a model gets the same.
    """
    total = blake2b(digest_size=DIGEST_BYTES)

    def add(*parts: str) -> None:
        for part in parts:
            total.update(len(part).to_bytes(8, "little") + part.encode("utf-8", "surrogatepass"))

    def add_settings(module: torch.nn.Module, settings: Any) -> None:
        add(type(module).__name__, json.dumps(settings, sort_keys=True, default=str))

    for module in model.children():
        describe: Any = getattr(module, "get_config_dict", dict)
        add_settings(module, describe())
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            add_settings(module, transformer_settings(module))
    tokenizer = model.tokenizer
    add(str(model.max_seq_length), json.dumps(tokenizer_document(tokenizer), sort_keys=True))
    add(*(str(getattr(tokenizer, side, None)) for side in ("padding_side", "truncation_side")))
    for name, tensor in sorted(model.state_dict().items()):
        add(name, str(tensor.dtype), str(tuple(tensor.shape)))
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
