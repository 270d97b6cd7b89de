"""A tiny random encoder, created without downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES = (
    ("the cat sleeps", "die Katze schläft"),
    ("a dog runs", "ein Hund rennt"),
    ("the house is big", "das Haus ist groß"),
    ("water is cold", "Wasser ist kalt"),
)
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")


def tiny_encoder(folder: Path) -> SentenceTransformer:
    """Create a 2-layer, 16-dimensional encoder for the words of :data:`SENTENCES`, on the best available device.

    Its parts are written to ``folder`` and loaded from there; the folder is not needed afterwards.
    """
    words = dict.fromkeys(word for pair in SENTENCES for text in pair for word in text.split())
    scores = [*((special, 0.0) for special in SPECIALS), *((f"▁{word}", -1.0) for word in words)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"unk_token": "<unk>", "pad_token": "<pad>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **names)  # type: ignore[no-untyped-call]
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = BertModel(config)
    folder.mkdir(parents=True, exist_ok=True)
    encoder.save_pretrained(folder)
    fast.save_pretrained(folder)
    return SentenceTransformer(
        modules=[Transformer(str(folder), max_seq_length=32), Pooling(16, pooling_mode="mean"), Normalize()],
        local_files_only=True,
    )
