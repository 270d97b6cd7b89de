"""Questions with answer spans: published layouts, repairs, and a refusal with its place for each way to be malformed."""

from __future__ import annotations

import copy
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otembed.errors import ConfigError, DataError
from otembed.tasks.xquad.files import parse_question_place, parse_question_places, read_questions

DOCUMENT = {
    "version": "1.1",
    "data": [
        {
            "paragraphs": [
                {
                    "context": "One cat. Two dogs. One cat.",
                    "sentence_breaks": [[0, 8], [9, 18], [19, 27]],
                    "qas": [
                        {"id": "a", "question": "how many dogs?", "answers": [{"text": "Two", "answer_start": 9}]},
                        {"id": "b", "question": "how many cats?", "answers": [{"text": "One", "answer_start": 19}]},
                    ],
                }
            ]
        }
    ],
}
ROWS = [
    {
        "id": each["id"],
        "context": "One cat. Two dogs. One cat.",
        "question": each["question"],
        "answers": {"text": [each["answers"][0]["text"]], "answer_start": [each["answers"][0]["answer_start"]]},
    }
    for each in DOCUMENT["data"][0]["paragraphs"][0]["qas"]
]


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def changed(key, value, *path):
    """The document with one place set, or removed where the value is None."""
    made = copy.deepcopy(DOCUMENT)
    node = made
    for step in path:
        node = node[step]
    if value is None:
        del node[key]
    else:
        node[key] = value
    return made


PARAGRAPH = ("data", 0, "paragraphs", 0)
QUESTION = (*PARAGRAPH, "qas", 1)
ANSWER = (*QUESTION, "answers", 0)


@pytest.mark.parametrize("form", ["json", "json.gz", "parquet", "saved", "dictionary"])
def test_every_layout_gives_the_same_questions(tmp_path, form):
    place = tmp_path / f"x.{form}"
    if form == "json":
        write(place, "\ufeff" + json.dumps(DOCUMENT))
    elif form == "json.gz":
        place.write_bytes(gzip.compress(json.dumps(DOCUMENT).encode()))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), place)
    elif form == "saved":
        Dataset.from_list(ROWS).save_to_disk(place)
    else:
        DatasetDict({"validation": Dataset.from_list(ROWS)}).save_to_disk(place)
    found = read_questions(f"{place}?split=validation" if form == "dictionary" else place)
    assert [each.text for each in found.paragraphs] == ["One cat. Two dogs. One cat."]
    assert [(each.id, each.paragraph, each.answers) for each in found.questions] == [
        ("a", 0, (("Two", 9),)),
        ("b", 0, (("One", 19),)),
    ]
    assert found.has_sentences is form.startswith("json")
    if found.has_sentences:
        assert [found.sentence_of(each) for each in found.questions] == [1, 2]


@pytest.mark.parametrize(("stated", "true"), [(15, 19), (3, 0), (10**9, 19), (-1, 0)])
def test_misplaced_answer_moves_to_its_nearest_occurrence(tmp_path, stated, true):
    found = read_questions(write(tmp_path / "x.json", changed("answer_start", stated, *ANSWER)))
    assert (found.questions[1].answers[0].start, found.repaired) == (true, 1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed("text", "three", *ANSWER), r"data\[0\].paragraphs\[0\].qas\[1\].answers\[0\]: 'three'"),
        (changed("answers", [], *QUESTION), r"qas\[1\].answers: "),
        (changed("answers", None, *QUESTION), r"qas\[1\]: .*'answers'.* id, question"),
        (changed("answer_start", "9", *ANSWER), r"answers\[0\].answer_start: '9'"),
        (changed("answer_start", True, *ANSWER), r"answer_start: True"),
        (changed("text", "", *ANSWER), r"answers\[0\].text: "),
        (changed("question", " ", *QUESTION), r"qas\[1\].question: "),
        (changed("question", "\u200b", *QUESTION), r"qas\[1\].question: "),
        (changed("question", "\ud800", *QUESTION), r"qas\[1\].question: .*surrogate"),
        (changed("id", "a", *QUESTION), r"qas\[1\]: .*'a' .* data\[0\].paragraphs\[0\].qas\[0\]"),
        (changed("id", 7.5, *QUESTION), r"qas\[1\].id: 7\.5"),
        (changed("id", True, *QUESTION), r"qas\[1\].id: True"),
        (changed("id", None, *QUESTION), r"qas\[1\]: .*'id'"),
        (changed(1, "no", *PARAGRAPH, "qas"), r"qas\[1\]: 'no'"),
        (changed("context", None, *PARAGRAPH), r"paragraphs\[0\]: .*'context'.* qas, sentence_breaks"),
        (changed("sentence_breaks", [[0, 8], [7, 27]], *PARAGRAPH), r"sentence_breaks\[1\]: \[7, 27\]"),
        (changed("sentence_breaks", [[0, 99]], *PARAGRAPH), r"sentence_breaks\[0\]: \[0, 99\] .* 27 "),
        (changed("sentence_breaks", [[0, 8]], *PARAGRAPH), r"qas\[0\].answers\[0\]: .* 9 "),
        (changed("sentence_breaks", [], *PARAGRAPH), r"sentence_breaks: "),
        (changed("qas", [], *PARAGRAPH), "the document: "),
        (changed("data", {}, ), "data: {}"),
        ([], r"the document: \[\]"),
    ],
)  # fmt: skip
def test_malformed_parts_are_reported_with_file_and_position(tmp_path, document, message):
    path = write(tmp_path / "x.json", document)
    with pytest.raises(DataError, match=message) as caught:
        read_questions(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_sentence_breaks_in_only_some_paragraphs_are_rejected(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    bare = copy.deepcopy(document["data"][0]["paragraphs"][0])
    del bare["sentence_breaks"]
    for each in bare["qas"]:
        each["id"] += "2"
    document["data"][0]["paragraphs"].append(bare)
    with pytest.raises(DataError, match=r"1 of 2 .*sentence_breaks"):
        read_questions(write(tmp_path / "x.json", document))


def test_harmless_repeated_ids_are_counted(tmp_path):
    path = write(tmp_path / "x.json", changed("id", "a", *QUESTION))
    assert read_questions(path, unique_ids=False).repeated_ids == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (json.dumps(DOCUMENT, indent=1).encode()[:300], r"x.json:\d+: .*column \d+"),
        (b"", "x.json:1: .*column 1"),
        (b'{"data":\n "\xff"}', "x.json:2: .*0xff at offset 11"),
        (b"[" * 100_000, "x.json: .*JSON"),
        (b'{"data": ' + b"1" * 5000 + b"}", "x.json: .*JSON"),
    ],
)
def test_invalid_json_is_reported_with_its_line(tmp_path, raw, message):
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_questions(tmp_path / "x.json")


def test_misshapen_rows_and_corrupt_parquet_are_rejected(tmp_path):
    Dataset.from_list([ROWS[0] | {"answers": {"text": ["Two"], "answer_start": [9, 9]}}]).save_to_disk(
        tmp_path / "d"
    )
    with pytest.raises(DataError, match=r"row 1\.answers: 1 .* 2 "):
        read_questions(tmp_path / "d")
    write(tmp_path / "x.parquet", "no")
    with pytest.raises(DataError, match=r"x.parquet: "):
        read_questions(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"none.json"):
        read_questions(tmp_path / "none.json")


def test_hub_rows_are_read_by_configuration_and_split(monkeypatch):
    asked = []

    def load(name, config, *, split, streaming):
        asked.append((name, config, split, streaming))
        return iter(ROWS)

    monkeypatch.setattr("datasets.load.load_dataset", load)
    found = read_questions("hub:google/xquad:xquad.ar@validation")
    assert [each.id for each in found.questions] == ["a", "b"]
    assert asked == [("google/xquad", "xquad.ar", "validation", True)]


def test_places_are_parsed_or_rejected():
    assert parse_question_place("hub:rajpurkar/squad@train").where == "hub:rajpurkar/squad@train"
    assert parse_question_places(["ar=x.json", "zh_Hans=y.json"])["zh_Hans"].where == "y.json"
    for values, message in (
        (["x.json"], "x.json"),
        (["AR=x"], "AR=x"),
        (["ar=x", "ar=y"], " ar "),
        (["ar="], "FILE"),
        (["ar=hub:a/b/c"], "a/b/c"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_question_places(values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_malformed_files_are_read_or_rejected_by_name(tmp_path, data):
    """A piece is cut out, doubled or overwritten anywhere in a whole file."""
    raw = json.dumps(DOCUMENT, indent=1).encode()
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, min(begin + 40, len(raw))))
    new = data.draw(
        st.one_of(st.binary(max_size=8), st.sampled_from([b"", raw[begin:end] * 2, b"null", b"[]", b"-1"]))
    )
    path = tmp_path / "x.json"
    path.write_bytes(raw[:begin] + new + raw[end:])
    try:
        found = read_questions(path)
    except DataError as error:
        refused = error
    else:
        for each in found.questions:
            context = found.paragraphs[each.paragraph].text
            assert all(context.startswith(answer.text, answer.start) for answer in each.answers)
        return
    assert str(refused).startswith(str(path))
    assert refused.hint


@pytest.mark.parametrize(
    ("name", "paragraphs", "questions", "sentences"),
    [
        ("xquad/xquad.zh.json", 240, 1190, 0),
        ("xquad-r/ar.json", 240, 1190, 1222),
        ("xquad-r/en.json", 240, 1190, 1180),
    ],
)
def test_published_files_have_the_published_counts(published, name, paragraphs, questions, sentences):
    found = read_questions(published / name)
    assert (len(found.paragraphs), len(found.questions), found.repaired) == (paragraphs, questions, 0)
    assert sum(len(each.sentences) for each in found.paragraphs) == sentences


@pytest.mark.parametrize("form", ["json", "parquet", "jsonl"])
def test_whole_numbers_are_ids(tmp_path, form):
    path = tmp_path / f"x.{form}"
    rows = [row | {"id": 38579 + number} for number, row in enumerate(ROWS)]
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form == "jsonl":
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        document = changed("id", 38580, *QUESTION)
        document["data"][0]["paragraphs"][0]["qas"][0]["id"] = 38579
        write(path, document)
    assert [each.id for each in read_questions(path).questions] == ["38579", "38580"]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_training_questions_need_no_id(tmp_path, form):
    path = tmp_path / f"x.{form}"
    if form == "json":
        write(path, changed("id", None, *QUESTION))
    else:
        pq.write_table(pa.Table.from_pylist([{k: v for k, v in row.items() if k != "id"} for row in ROWS]), path)
    found = read_questions(path, unique_ids=False)
    assert (len(found.questions), found.repeated_ids) == (2, 0)
    with pytest.raises(DataError, match="'id'"):
        read_questions(path)


def test_query_names_fields_with_dots_for_nested_ones(tmp_path):
    rows = [{"of": row, "key": row["id"]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    query = "?context=of.context&question=of.question&answers=of.answers&id=key"
    assert read_questions(f"{tmp_path}/x.parquet{query}").questions[1].id == "b"
    path = write(tmp_path / "x.json", DOCUMENT)
    with pytest.raises(ConfigError, match=r"x.json"):
        read_questions(f"{path}?id=key")


def test_strings_that_are_not_utf8_are_rejected_with_their_row(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")]
    )
    pq.write_table(table.set_column(table.column_names.index("question"), "question", bad), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet:2: "):
        read_questions(tmp_path / "x.parquet")
