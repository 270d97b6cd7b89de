"""The XLM-R tokenizer of multilingual-e5-small as a fast Unigram tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from otembed.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otembed.models.offline.file import OfflineFile

NORMALIZER_RULE = "nmt_nfkc"
"""The SentencePiece rule that XLM-R was trained with."""

OFFLINE_EXTRA_HINT = 'Install it: pip install "otembed[offline]"'

SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


def build_tokenizer(file: OfflineFile) -> Tokenizer:
    """Return the tokenizer with the vocabulary and normalization of ``file``.

    Text is normalized with SentencePiece's ``nmt_nfkc`` map, corrected where ``file`` records that the
    release used to train XLM-R mapped a character differently (mainly the zero-width joiner, used in
    Malayalam). Every word starts with "▁"; a sentence is ``<s> ... </s>``.

    Raises
    ------
    ModelError
        If sentencepiece is missing.
    """
    vocabulary = list(zip(file.pieces, file.scores.tolist(), strict=True))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=file.unknown, byte_fallback=False))
    tokenizer.normalizer = _normalizer(file.normalized)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    plain = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    mask = AddedToken("<mask>", special=True, normalized=False, lstrip=True)
    tokenizer.add_special_tokens([*plain, mask])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", file.bos), ("</s>", file.eos)],
    )
    return tokenizer


def _normalizer(normalized: dict[str, str]) -> normalizers.Normalizer:
    current = normalizers.Precompiled(nmt_nfkc_map())
    # Tested between letters, so that rules about neighboring marks or outer spaces do not interfere.
    corrections = [
        normalizers.Replace(character, wanted)
        for character, wanted in normalized.items()
        if character > " " and current.normalize_str(f"a{character}a") != f"a{wanted}a"
    ]
    return normalizers.Sequence([*corrections, current, normalizers.Replace(Regex(" {2,}"), " ")])


def nmt_nfkc_map() -> bytes:
    """Return SentencePiece's compiled map of the ``nmt_nfkc`` rule.

    It is stored in the serialized ``ModelProto`` of a bare normalizer: field 2 (``precompiled_charsmap``) of
    field 3 (``normalizer_spec``).
    """
    try:
        from sentencepiece import SentencePieceNormalizer
    except ImportError as error:
        raise ModelError("sentencepiece is not installed", OFFLINE_EXTRA_HINT) from error
    model = SentencePieceNormalizer(rule_name=NORMALIZER_RULE).serialized_model_proto()
    return dict(_byte_fields(dict(_byte_fields(model))[3]))[2]


def _byte_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the length-delimited fields of a protocol buffers message."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    fixed_width = {1: 8, 5: 4}
    while position < len(message):
        number, wire_type = divmod(varint(), 8)
        if wire_type == 0:
            varint()
            continue
        length = varint() if wire_type == 2 else fixed_width[wire_type]
        content = message[position : position + length]
        position += length
        if wire_type == 2:
            yield number, content
