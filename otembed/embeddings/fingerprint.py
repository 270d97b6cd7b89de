"""A fingerprint of an encoder that does not depend on its name or folder."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DIGEST_BYTES = 16
# Settings of a fast tokenizer that change when it is called.
CALL_STATE = ("truncation", "padding")


def model_fingerprint(model: SentenceTransformer) -> str:
    """Return a hash of everything that determines ``model.encode``, except prompts and device.

    It covers the weights, the modules and their settings, the tokenizer and the maximum sequence length, but no names or
    folders. A retrained model in the same folder gets another fingerprint; a copy of a model gets the same.
    """
    total = blake2b(digest_size=DIGEST_BYTES)

    def add(*parts: str) -> None:
        for part in parts:
            total.update(len(part).to_bytes(8, "little") + part.encode("utf-8", "surrogatepass"))

    for module in model.children():
        describe: Any = getattr(module, "get_config_dict", dict)
        settings = describe()
        add(type(module).__name__, json.dumps(settings, sort_keys=True, default=str))
    add(str(model.max_seq_length), _tokenizer_text(model.tokenizer))
    for name, tensor in sorted(model.state_dict().items()):
        add(name, str(tensor.dtype), str(tuple(tensor.shape)))
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _tokenizer_text(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    document = json.loads(backend.to_str())
    return json.dumps({key: value for key, value in document.items() if key not in CALL_STATE}, sort_keys=True)
