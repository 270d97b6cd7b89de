"""Every reader of otembed with a small valid input: what the mutations change, and how it is read."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

ENGLISH = ("The cat sleeps.", "A dog runs 12 miles.", "Water is cold.", "The house, built in 1887, is big.")
SWAHILI = ("Paka analala.", "Mbwa anakimbia maili 12.", "Maji ni baridi.", "Nyumba, iliyojengwa 1887, ni kubwa.")
LABELS = ("entailment", "neutral", "contradiction", "neutral")
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": partial(lzma.compress, preset=0),
    ".zst": zstandard.compress,
}


@dataclass(frozen=True)
class Reader:
    """One reader.

    Parameters
    ----------
    name
        What it reads, for the table of trials.
    write
        Writes a valid input into an empty folder and returns the files to mutate.
    read
        Reads the folder completely.
    weight
        Number of mutated inputs, relative to other readers.
    takes_places
        Whether pipes, devices and links are tried as its input; not where otembed writes the input to its own folder.
    """

    name: str
    write: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    weight: float = 1.0
    takes_places: bool = True


def _file(name: str, content: str | bytes) -> Callable[[Path], list[Path]]:
    raw = content if isinstance(content, bytes) else content.encode()
    raw = COMPRESSIONS[Path(name).suffix if Path(name).suffix in COMPRESSIONS else ""](raw)

    def write(folder: Path) -> list[Path]:
        (folder / name).write_bytes(raw)
        return [folder / name]

    return write


def _json_lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parquet(name: str, columns: dict[str, list[Any]]) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        # Without compression, so that mutations reach the strings.
        pq.write_table(pa.table(columns), folder / name, compression="none", use_dictionary=False)
        return [folder / name]

    return write


def _saved(columns: dict[str, list[Any]]) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        from datasets.arrow_dataset import Dataset

        Dataset.from_dict(columns).save_to_disk(folder / "saved")
        return sorted((folder / "saved").iterdir())

    return write


PAIRS = list(zip(ENGLISH, SWAHILI, strict=True))
PAIR_COLUMNS = {"en": list(ENGLISH), "sw": list(SWAHILI)}
PO = r"""# comment
msgid ""
msgstr ""
"Language: sw\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

#. note
#, fuzzy
msgctxt "menu"
msgid "Open"
msgstr "Fungua"

msgid "The cat\tsleeps.\n"
msgstr "Paka \x61nalala.\n"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "faili %d"
msgstr[1] "faili %d za"

#~ msgid "old"
#~ msgstr "zamani"
"""
TMX = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><header srclang="en"/><body>\n'
    + "".join(
        f'<tu tuid="{number}"><tuv xml:lang="EN-US"><seg>{one} <hi type="b">&lt;</hi></seg></tuv>\n'
        f'<tuv xml:lang="sw"><seg>{two}<ph type="lb"/></seg></tuv></tu>\n'
        for number, (one, two) in enumerate(PAIRS)
    )
    + "</body></tmx>\n"
)


def _mo() -> bytes:
    entries = {
        b"": b"Language: sw\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n != 1;\n"
    }
    entries |= {one.encode(): two.encode() for one, two in PAIRS} | {b"%d file\0%d files": b"faili %d\0faili %d za"}
    ordered = sorted(entries.items())
    start = 28 + 16 * len(ordered)
    tables: tuple[list[int], list[int]] = ([], [])
    strings = b""
    for table, side in zip(tables, (0, 1), strict=True):
        for entry in ordered:
            table += [len(entry[side]), start + len(strings)]
            strings += entry[side] + b"\0"
    head = [0x950412DE, 0, len(ordered), 28, 28 + 8 * len(ordered), 0, start]
    return np.array([*head, *tables[0], *tables[1]], "<u4").tobytes() + strings


def _pairs(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.data import load_pairs

        return load_pairs(f"en-sw={folder / name}").dataset[:]

    return read


def _two_files(folder: Path) -> list[Path]:
    for code, side in (("en", ENGLISH), ("sw", SWAHILI)):
        (folder / f"text.{code}").write_text("\n".join(side) + "\n", encoding="utf-8")
    return [folder / "text.en", folder / "text.sw"]


def _texts(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.embeddings.lines import read_side

        side = read_side(str(folder / name))
        return side.texts(0, len(side))

    return read


def _nli(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.tasks.xnli.data import read_nli

        return read_nli(folder / name)

    return read


REST = "_\t" * 5 + "_\n"
TREEBANK = (
    f"# text = a b\n1-2\tab\t_\t_\t{REST}1\ta\t_\tDET\t{REST}2\tb\t_\tNOUN\t{REST}2.1\tc\t_\t_\t{REST}\n"
    f"1\tgo\t_\tVERB\t{REST}\n"
)


def _treebank(folder: Path) -> object:
    from otembed.tasks.tagging.data import read_tagged

    return read_tagged(folder / "treebank.conllu")


NLI = {"premise": list(ENGLISH), "hypothesis": list(SWAHILI), "label": list(LABELS)}


def _questions(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.tasks.xquad.files import read_questions

        return read_questions(str(folder / name))

    return read


CONTEXT = " ".join(ENGLISH)
QAS = [
    {
        "id": f"q{number}",
        "question": f"Who {number}?",
        "answers": [{"text": text, "answer_start": CONTEXT.index(text)}],
    }
    for number, text in enumerate(("cat", "dog", "Water", "1887"))
]
SQUAD = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": QAS}]}]}
QUESTION_ROWS = [{"context": CONTEXT, **qa} for qa in QAS]


def _gold(links: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        names = {"links": links, "source": "the cat sat\na dog\n", "target": "paka ameketi\nmbwa huyo\n"}
        for name, text in names.items():
            (folder / name).write_text(text, encoding="utf-8")
        return [folder / name for name in names]

    return write


def _read_gold(folder: Path) -> object:
    from otembed.tasks.word_alignment.gold import read_gold_set

    return read_gold_set(folder / "links", folder / "source", folder / "target")


def _read_gold_documents(folder: Path) -> object:
    from otembed.tasks.documents import GoldDocuments

    return GoldDocuments.read(folder / "source", folder / "target", folder / "links")


def _document_pairs(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.documents import read_pairs

        return list(read_pairs(folder / name))

    return read


def _documents(folder: Path) -> object:
    from otembed.documents import read_documents

    return list(read_documents(folder / "documents.jsonl"))


def _barred(folder: Path) -> list[Path]:
    (folder / "links").write_text("1-1 2-2\n1p1 2?2\n")
    (folder / "text").write_text("the cat ||| paka huyo\na dog ||| mbwa huyo\n")
    return [folder / "links", folder / "text"]


def _read_barred(folder: Path) -> object:
    from otembed.tasks.word_alignment.gold import read_gold_set

    return read_gold_set(folder / "links", folder / "text")


def _vectors(name: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        values = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
        np.save(folder / name, values) if name.endswith(".npy") else values.tofile(folder / name)
        return [folder / name]

    return write


def _read_vectors(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from otembed.embeddings.arrays import as_vectors
        from otembed.embeddings.vectors import open_vectors

        vectors = open_vectors(folder / name, dimension=None if name.endswith(".npy") else 8)
        return as_vectors(vectors.read(0, len(vectors)))

    return read


YAML = """# settings
output: runs/x
pairs: {en-sw: "starter:en-sw"}
model:
  name: offline:multilingual-e5-small
  max_seq_length: 64
loss:
  alignment:
    weight: 0.5
    epsilon: &eps 0.1
    max_iter: 50
optimization:
  num_train_epochs: 2
  learning_rate: 2.0e-5
  seed: 7
"""


def _read_settings(folder: Path) -> object:
    from otembed.config.origins import resolve_settings

    return resolve_settings(folder / "settings.yaml").to_yaml()


def _read_assignments(folder: Path) -> object:
    from otembed.config.origins import resolve_settings

    # As the operating system passes arguments: other bytes than UTF-8 become surrogates.
    return resolve_settings(assignments=os.fsdecode((folder / "arguments").read_bytes()).split("\n")[:-1])


ASSIGNMENTS = (
    "loss.alignment.epsilon=0.1\noptimization.seed=7\nmodel.max_seq_length=64\npairs={en-sw: starter:en-sw}\n"
)


def _report() -> dict[str, Any]:
    from otembed.results.outcomes import Outcomes, digest_of

    outcomes = [
        Outcomes("xnli", task, "accuracy", digest_of([task]), tuple(int(n % 3 > 0) for n in range(12)))
        for task in ("sw", "ar")
    ]
    return {"schema": 1, "kind": "XnliReport", "model": "m", "outcomes": [asdict(each) for each in outcomes]}


def _results(folder: Path) -> list[Path]:
    for name in ("a.json", "b.json"):
        (folder / name).write_text(json.dumps(_report()))
    return [folder / "a.json"]


def _read_results(folder: Path) -> object:
    from otembed.comparison.comparing import compare

    return compare(folder / "a.json", folder / "b.json", resamples=100).to_json()


def _run(folder: Path) -> list[Path]:
    """Write a finished run, as far as a comparison and ``--resume`` read it."""
    from otembed.config.io import build, to_yaml
    from otembed.config.train import TrainConfig
    from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
    from otembed.training.result import TrainResult

    run = folder / "run"
    run.mkdir()
    config = build(TrainConfig, {"pairs": {"en-sw": "starter:en-sw"}, "output": "x"})
    scores = RetrievalScores("en-sw", 4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    report = RetrievalReport("m", (scores,), 0.1)
    result = TrainResult(
        "x",
        "x/model",
        4,
        1.0,
        None,
        1.0,
        1.0,
        10,
        10,
        {"en-sw": {"read": 4, "kept": 4, "dropped": {"empty": 0}, "trained": 4}},
        {"loss": 1.0},
        before=report,
        after=report,
    )
    document = result.to_dict()
    for name in ("before", "after"):
        document[name]["outcomes"] = _report()["outcomes"]
    links = {"row": 0, "layer": 1, "source": ["a"], "target": ["b"], "probabilities": [[0.5]], "links": [[0, 0]]}
    view = {"metrics": {"en-sw_mean_cosine": 0.5}, "links": {"en-sw": [links]}, "reason": None}
    views = {"schema": 1, "kind": "Views", "before": view, "after": view}
    files = {
        "config.yaml": to_yaml(config),
        "environment.json": json.dumps({"command": ["otembed", "train", "config.yaml"]}),
        "before.json": report.to_json(),
        "metrics.jsonl": _json_lines({"step": step, "loss": 1.5, "seconds": 0.1} for step in range(4)),
        "views.json": json.dumps(views),
        "results.json": json.dumps(document),
    }
    for name, text in files.items():
        (run / name).write_text(text, encoding="utf-8")
    (folder / "b.json").write_text(json.dumps(_report()))
    return [run / name for name in files]


def _read_run(folder: Path) -> object:
    from otembed.comparison.comparing import compare
    from otembed.tasks.retrieval.report import RetrievalReport
    from otembed.training.page import render_report
    from otembed.training.result import TrainResult
    from otembed.training.run_folder import RunFolder

    run = RunFolder(folder / "run")
    RunFolder.read_config(run.path)
    run.keep_metrics_up_to(3)
    run.last_training_record()
    RetrievalReport.read(run.before).table()
    TrainResult.read(run.results)
    render_report(run.path)
    return compare(run.path, folder / "b.json", resamples=100).to_json()


def _model(folder: Path) -> list[Path]:
    from otembed.diagnostics.tiny import tiny_encoder
    from otembed.models.save import save_model
    from otembed.words.layer_choice import LayerChoice, store_layer

    model = tiny_encoder(folder / "parts")
    save_model(model, folder / "model")
    store_layer(folder / "model", LayerChoice(1, "stored", ((0, 0.5), (1, 0.75))))
    return [path for path in sorted((folder / "model").rglob("*")) if path.is_file() and path.suffix != ".md"]


def _read_model(folder: Path) -> object:
    from otembed.embeddings.encode import encode_by_length
    from otembed.models.load import load_model
    from otembed.words.layer_choice import stored_layer

    model = load_model(folder / "model", device="cpu")
    stored_layer(model, 2)
    return encode_by_length(model, ["the cat sleeps", "a dog"])


KEY = {"model": "m", "text": "t"}


def _shards(folder: Path) -> list[Path]:
    from otembed.embeddings.shards import ShardFolder

    shards = ShardFolder(folder / "cache", KEY, rows=8, dimension=4, precision="float32")
    for start in (0, 4):
        shards.write(start, np.ones((4, 4), np.float32))
    return sorted((folder / "cache").iterdir())


def _read_shards(folder: Path) -> object:
    from otembed.embeddings.shards import ShardFolder

    shards = ShardFolder(folder / "cache", KEY, rows=8, dimension=4, precision="float32")
    for start, stop in shards.missing(4):
        shards.write(start, np.ones((stop - start, 4), np.float32))
    values = shards.vectors("cache").read(0, 8)
    if values.shape != (8, 4) or not (values == 1).all():
        raise AssertionError(f"damaged vectors were used: {values.tolist()}")
    return values


def _state(folder: Path) -> list[Path]:
    from otembed.mining.search.state import Block, SearchState

    state = SearchState(6, 5, 2)
    state.forward.ids[:], state.forward.scores[:] = 1, 0.5
    state.backward.ids[:], state.backward.scores[:] = 1, 0.5
    state.blocks.add(Block(0, 3, 0, 5))
    state.recall = 0.9
    state.save(folder / "state.npz")
    return [folder / "state.npz"]


def _read_state(folder: Path) -> object:
    from otembed.mining.search.state import SearchState

    state = SearchState(6, 5, 2)
    state.load(folder / "state.npz")
    for lists, others in ((state.forward, 5), (state.backward, 6)):
        if lists.ids.max() >= others or lists.ids.min() < -1:
            raise AssertionError(f"a neighbor out of range was used: {lists.ids.tolist()}")
    return state


def _empty_model(folder: Path) -> None:
    (folder / "model.json").write_text("{}")


def _head(folder: Path) -> list[Path]:
    from otembed.tasks.heads.run import HeadRun

    run = HeadRun(folder / "run", "SpanRun", "otembed eval xquad")
    with run.opened({"seed": 1}, {"train": "x"}, resume=False):
        run.finish(_empty_model, {"steps": 1, "seconds": 2.0})
    return [run.settings, run.summary]


def _read_head(folder: Path) -> object:
    from otembed.tasks.heads.run import HeadRun

    run = HeadRun(folder / "run", "SpanRun", "otembed eval xquad")
    with run.opened({"seed": 1}, {"train": "x"}, resume=True):
        return run.kept(lambda path, summary: (int(summary["steps"]), float(summary["seconds"])))


TSV = "".join(f"{one}\t{two}\n" for one, two in PAIRS)
PAIR_ROWS = [{"en": one, "sw": two} for one, two in PAIRS]
READERS: dict[str, Reader] = {
    each.name: each
    for each in (
        *(
            Reader(f"pairs{name}", _file(f"pairs{name}", text), _pairs(f"pairs{name}"))
            for name, text in (
                (".tsv", TSV),
                (".csv", "".join(f'"{one}","{two}"\n' for one, two in PAIRS)),
                (".jsonl", _json_lines(PAIR_ROWS)),
                (".tmx", TMX),
                (".po", PO),
                (".mo", _mo()),
                (".tsv.gz", TSV),
                (".tsv.bz2", TSV),
                (".jsonl.xz", _json_lines(PAIR_ROWS)),
                (".tmx.zst", TMX),
                (".po.gz", PO),
            )
        ),
        Reader("pairs.parquet", _parquet("pairs.parquet", PAIR_COLUMNS), _pairs("pairs.parquet"), 2),
        Reader("pairs, saved dataset", _saved(PAIR_COLUMNS), _pairs("saved"), 4),
        Reader("pairs, two files", _two_files, _pairs("text.{en,sw}")),
        Reader("texts.txt", _file("texts.txt", "\n".join(ENGLISH)), _texts("texts.txt")),
        Reader("texts.jsonl", _file("texts.jsonl", _json_lines({"text": each, "id": number} for number, each in enumerate(ENGLISH))), _texts("texts.jsonl?text=text&id=id")),
        Reader("texts.parquet", _parquet("texts.parquet", {"text": list(ENGLISH)}), _texts("texts.parquet")),
        Reader("texts.txt.zst", _file("texts.txt.zst", "\n".join(ENGLISH)), _texts("texts.txt.zst")),
        Reader("inference.tsv", _file("inference.tsv", "premise\thypothesis\tlabel\n" + "".join("\t".join(row) + "\n" for row in zip(*NLI.values(), strict=True))), _nli("inference.tsv")),
        Reader("inference.jsonl", _file("inference.jsonl", _json_lines(dict(zip(NLI, row, strict=True)) for row in zip(*NLI.values(), strict=True))), _nli("inference.jsonl")),
        Reader("inference.parquet", _parquet("inference.parquet", NLI), _nli("inference.parquet")),
        Reader("questions.json", _file("questions.json", json.dumps(SQUAD)), _questions("questions.json"), 1.5),
        Reader("questions.jsonl", _file("questions.jsonl", _json_lines(QUESTION_ROWS)), _questions("questions.jsonl")),
        Reader("questions.parquet", _parquet("questions.parquet", {key: [row[key] for row in QUESTION_ROWS] for key in QUESTION_ROWS[0]}), _questions("questions.parquet")),
        Reader("links, Pharaoh", _gold("1-1 2p2\n1-1 2?2\n"), _read_gold),
        Reader("links, table", _gold("0001 1 1 S\n0001 2 2 P 0.5\n0002 1 0\n"), _read_gold),
        Reader("links, one text", _barred, _read_barred),
        Reader("links, documents", _gold("[0]:[0]\n[1]:[1]:0.5\n"), _read_gold_documents),
        Reader("document pairs.jsonl", _file("pairs.jsonl", _json_lines({"id": number, "source": list(ENGLISH), "target": "\n".join(SWAHILI)} for number in range(3))), _document_pairs("pairs.jsonl")),
        Reader("documents.jsonl", _file("documents.jsonl", _json_lines({"id": number, "text": list(ENGLISH)} for number in range(3))), _documents),
        Reader("vectors.npy", _vectors("vectors.npy"), _read_vectors("vectors.npy"), 2),
        Reader("vectors.f32", _vectors("vectors.f32"), _read_vectors("vectors.f32"), 0.5),
        Reader("settings, YAML", _file("settings.yaml", YAML), _read_settings, 2),
        Reader("settings, --set", _file("arguments", ASSIGNMENTS), _read_assignments, 2, takes_places=False),
        Reader("results", _results, _read_results, 2),
        Reader("run folder", _run, _read_run, 3),
        Reader("model folder", _model, _read_model, 4),
        Reader("cached vectors", _shards, _read_shards, takes_places=False),
        Reader("cached search", _state, _read_state, takes_places=False),
        Reader("head run", _head, _read_head, takes_places=False),
        Reader("treebank.conllu", _file("treebank.conllu", TREEBANK), _treebank, 2),
    )
}  # fmt: skip
