"""Tiny encoders for every room: no network, no pretrained weights, loaded in well under a second."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores among them, and so do the processes that their tests start.
    cores = (os.process_cpu_count if hasattr(os, "process_cpu_count") else os.cpu_count)() or 1
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))

import bz2
import copy
import functools
import gc
import gzip
import json
import lzma
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import zstandard
from jinja2 import Environment
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from otembed.data import PairCounts, parse_pair_spec, read_pairs
from otembed.embeddings.vectors import Vectors, open_vectors
from otembed.errors import OtembedError
from otembed.tasks.xnli.formats import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ROOT = Path(__file__).parent.parent

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""Ids 0 to 4, in the order of XLM-R."""

TEXT = (
    "query: passage: the cat sat on the mat and the dog slept in the house "
    "die Katze saß auf der Matte und der Hund schlief im Haus "
    "el gato duerme en la casa le chat dort dans la maison "
    "кошка спит в доме а собака сидит на полу "
    "แมว นอน ใน บ้าน หมา นั่ง "
    "猫 睡 在 房子 里 狗 坐"
)
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-äöüßéñ"
WORDS = sorted(set(TEXT.split()))
CHARACTERS = sorted(set(TEXT.replace(" ", "")) | set(ALPHABET))
WHOLE_WORDS = [word for index, word in enumerate(WORDS) if index % 2 == 0 and len(word) > 1]
"""Every second word is one piece, the others fall into several: both cases occur in any sentence."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests first: the workers then finish together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Exempt the imported libraries from garbage collection, which every training run forces."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _compiled_templates() -> Iterator[None]:
    """Compile each Jinja template once: every saved model and checkpoint renders the same template of its card."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", functools.cache(Environment.compile))
        yield


def unigram_tokenizer() -> Tokenizer:
    """A SentencePiece-like Unigram tokenizer: '▁' starts a word, characters cover the rest."""
    scores = dict.fromkeys(SPECIALS, 0.0)
    scores |= {"▁": -4.0} | dict.fromkeys(CHARACTERS, -8.0)
    scores |= {word[index : index + 3]: -6.0 for word in WORDS for index in range(1, len(word) - 2, 3)}
    scores |= {f"▁{word}": -5.0 for word in WHOLE_WORDS}
    tokenizer = Tokenizer(models.Unigram(list(scores.items()), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def wordpiece_tokenizer() -> Tokenizer:
    """A BERT-like WordPiece tokenizer: '##' continues a word."""
    pieces = [*SPECIALS, *CHARACTERS, *(f"##{character}" for character in CHARACTERS), *WHOLE_WORDS]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def write_tiny_model(
    folder: Path,
    tokenizer: Tokenizer,
    *,
    layers: int = 3,
    size: int = 32,
    length: int = 64,
    prompt: str | None = None,
) -> Path:
    """Write a random BERT of ``size`` dimensions with mean pooling and L2 normalization to ``folder``.

    It cuts sentences at ``length`` tokens; ``prompt`` names the default prompt.
    """
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **names)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=length,
        pad_token_id=1,
    )
    encoder = folder.with_name(f"{folder.name}-encoder")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bert = BertModel(config)
    # Word vectors above positions and types: sentences differ clearly without any training.
    bert.embeddings.word_embeddings.weight.data.mul_(10)
    bert.save_pretrained(encoder)
    fast.save_pretrained(encoder)
    transformer = Transformer(str(encoder), max_seq_length=length)
    model = SentenceTransformer(
        modules=[transformer, Pooling(size, pooling_mode="mean"), Normalize()],
        prompts={"query": "query: "},
        default_prompt_name=prompt,
        device="cpu",
        local_files_only=True,
    )
    model.save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``tiny_model``; read only, it serves the whole session."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "unigram", unigram_tokenizer())


@pytest.fixture(scope="session")
def tiny_wordpiece_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``tiny_wordpiece_model``; read only, it serves the whole session."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "wordpiece", wordpiece_tokenizer())


def load_tiny_model(folder: Path) -> SentenceTransformer:
    """Load a model that :func:`write_tiny_model` wrote."""
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="session")
def loaded_tiny_model(tiny_model_path: Path) -> SentenceTransformer:
    """The model that ``tiny_model`` copies: a copy takes a sixth of the time of a load."""
    return load_tiny_model(tiny_model_path)


@pytest.fixture(scope="session")
def loaded_tiny_wordpiece_model(tiny_wordpiece_model_path: Path) -> SentenceTransformer:
    """The model that ``tiny_wordpiece_model`` copies."""
    return load_tiny_model(tiny_wordpiece_model_path)


@pytest.fixture
def tiny_model(loaded_tiny_model: SentenceTransformer) -> SentenceTransformer:
    """A fresh 3-layer BERT with a Unigram ('▁') tokenizer over Latin, Cyrillic, Thai and Han characters."""
    return copy.deepcopy(loaded_tiny_model)


@pytest.fixture
def tiny_wordpiece_model(loaded_tiny_wordpiece_model: SentenceTransformer) -> SentenceTransformer:
    """A fresh 3-layer BERT with a WordPiece ('##') tokenizer over the same text."""
    return copy.deepcopy(loaded_tiny_wordpiece_model)


@pytest.fixture(scope="session")
def benchmark_script() -> Callable[[str], ModuleType]:
    """Import a script of ``benchmarks/`` by name; it finds the modules beside it, as when it is run."""
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.append(str(ROOT / "benchmarks"))

    @functools.cache
    def load(name: str) -> ModuleType:
        specification = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        module = module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    return load


FACTS = {
    "en": ("The cat sat on the mat.", "The dog slept in the house.", "who slept in the house?", "The dog"),
    "de": ("Die Katze saß auf der Matte.", "Der Hund schlief im Haus.", "wer schlief im Haus?", "Der Hund"),
}


def xquad_document(language: str, paragraphs: int = 4) -> dict[str, Any]:
    """XQuAD-R in small: each paragraph has two sentences, a number that tells it apart, and a question on the second."""
    first, second, question, answer = FACTS[language]
    made = []
    for number in range(paragraphs):
        head = f"{number}{number}{number} {first}"
        context = f"{head} {second}"
        start = context.index(answer)
        qas = [
            {
                "id": f"q{number}",
                "question": f"{number}{number}{number} {question}",
                "answers": [{"text": answer, "answer_start": start}],
            }
        ]
        breaks = [[0, len(head)], [len(head) + 1, len(context)]]
        made.append({"context": context, "qas": qas, "sentence_breaks": breaks})
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": made}]}


@pytest.fixture
def xquad_files(tmp_path: Path) -> dict[str, Path]:
    """Files of :func:`xquad_document` in English and German by language."""
    paths = {language: tmp_path / f"xquad.{language}.json" for language in FACTS}
    for language, path in paths.items():
        path.write_text(json.dumps(xquad_document(language), ensure_ascii=False), encoding="utf-8")
    return paths


@pytest.fixture
def published() -> Path:
    """Folder with ``xquad/``, ``xquad-r/`` and ``documents/``, the published files, as OTEMBED_TEST_DATA names it."""
    folder = os.environ.get("OTEMBED_TEST_DATA")
    if not folder:
        pytest.skip("the published files are not here: name their folder in OTEMBED_TEST_DATA")
    return Path(folder)


KNOWN_WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "dog",
    "slept",
    "in",
    "house",
    "die",
    "Katze",
    "saß",
    "auf",
    "und",
    "Hund",
)


@pytest.fixture(scope="session")
def sentences() -> Callable[..., list[str]]:
    """Make different lines of words that the tiny models know."""

    def make(count: int, seed: int = 0) -> list[str]:
        draw = np.random.default_rng(seed)
        return [" ".join([str(number), *draw.choice(KNOWN_WORDS, draw.integers(1, 9))]) for number in range(count)]

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Vectors]:
    """Write a matrix to a file and open it."""

    def store(values: np.ndarray, name: str = "x") -> Vectors:
        path = tmp_path / f"{name}.npy"
        np.save(path, values)
        return open_vectors(path)

    return store


@pytest.fixture(scope="session")
def made() -> Callable[..., list[tuple[str, str, str]]]:
    """Make pairs: entailment repeats the premise, contradiction is a line of Han, neutral is other words."""

    def make(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            premise, other = (" ".join(draw.choice(KNOWN_WORDS, draw.integers(3, 9))) for _ in range(2))
            label = LABELS[number % 3]
            hypothesis = {"entailment": premise, "neutral": other, "contradiction": "猫 睡 在 房子 里"}[label]
            rows.append((f"{number} {premise}", hypothesis, label))
        return rows

    return make


@pytest.fixture
def file(made: Callable[..., list[tuple[str, str, str]]], tmp_path: Path) -> Callable[..., Path]:
    """Write such pairs as a TSV file."""

    def write(name: str, count: int, seed: int = 0) -> Path:
        path = tmp_path / name
        text = "".join("\t".join(row) + "\n" for row in [("premise", "hypothesis", "label"), *made(count, seed)])
        path.write_text(text, encoding="utf-8")
        return path

    return write


COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.fixture
def write(tmp_path):
    """Write text or bytes under the name given, compressed as its suffix says."""

    def write(name, content):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(COMPRESS.get(path.suffix, COMPRESS[""])(data))
        return path

    return write


@pytest.fixture
def read():
    """Read a value as en-sw (or another key) and return source, target and line of each row."""

    def read(value, key="en-sw", counts=None):
        return [tuple(row[:3]) for row in read_pairs(parse_pair_spec(key, str(value)), counts)]

    return read


@pytest.fixture
def refused(read):
    """Return the error that reading a value ends with."""

    def refused(value, key="en-sw"):
        with pytest.raises(OtembedError) as caught:
            read(value, key)
        return caught.value

    return refused


@pytest.fixture
def counts():
    return PairCounts()
