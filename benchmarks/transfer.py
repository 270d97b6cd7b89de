"""Claim: the effect of training with otembed on transfer: inference, retrieval with questions, answer spans.

The reports come from these commands, with the same settings before and after:

    otembed eval xnli MODEL --protocol finetune --train FILE --dev FILE --test 'xnli.test.{}.tsv' -o before.json
    otembed eval xquad MODEL --data en=en.json --data ar=ar.json --max-seq-length 256 -o before.json
    otembed eval xquad MODEL --protocol span --train FILE --data en=xquad.en.json ... -o before.json

This script renders both as Markdown tables and stores the reports without the outcomes of single questions:

    python benchmarks/transfer.py before.json after.json --store benchmarks/results/xquad_retrieval
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from document import read_document

from otembed.results import Table
from otembed.results.format import percent, points
from otembed.tasks.xnli.report import XnliReport
from otembed.tasks.xquad.report import QuestionReport, SpanReport

MATRICES = ("paragraph", "sentence")
RETRIEVAL = {
    "paragraph, within languages": "paragraph_within_accuracy",
    "paragraph, across languages": "paragraph_across_accuracy",
    "answer sentence, within languages": "sentence_within_accuracy",
    "answer sentence, across languages": "sentence_across_accuracy",
    "LAReQA mAP": "map",
    "LAReQA mAP@20": "map_20",
}


def means_table(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Means of both retrieval reports, and the change in points."""
    first, second = (QuestionReport.from_dict(each).to_dict()["means"] for each in (before, after))
    rows = [
        [name, percent(first[key]), percent(second[key]), points(first[key], second[key])]
        for name, key in RETRIEVAL.items()
        if key in first
    ]
    return Table(("percent", "before", "after", "change"), rows).markdown()


def matrix_table(before: dict[str, Any], after: dict[str, Any], task: str) -> str:
    """Top-1 accuracy of each pair of languages: questions in rows, texts in columns."""
    first, second = (
        {each.pair: each.accuracy for each in QuestionReport.from_dict(one).cells(task)} for one in (before, after)
    )
    codes = list(before["data"])
    rows = [
        [code, *(f"{percent(first[f'{code}-{other}'])} → {percent(second[f'{code}-{other}'])}" for other in codes)]
        for code in codes
    ]
    return Table(("question", *codes), rows).markdown()


def answers_table(before: dict[str, Any], after: dict[str, Any]) -> str:
    """LAReQA's mAP by question language, and the share of the best 20 in the same language."""
    first, second = (
        {each.language: each for each in QuestionReport.from_dict(one).answers} for one in (before, after)
    )
    rows = []
    for code, one in first.items():
        other = second[code]
        rows.append([code, percent(one.map), percent(other.map), points(one.map, other.map)])
        rows[-1] += [percent(one.top_shares[code]), percent(other.top_shares[code])]
    heading = ["question", "mAP before", "mAP after", "change", "best 20 in its language, before", "after"]
    return Table(heading, rows).markdown()


def span_table(before: dict[str, Any], after: dict[str, Any]) -> str:
    """F1 and exact match of both reports by language."""
    first, second = SpanReport.from_dict(before), SpanReport.from_dict(after)
    pairs: list[tuple[str, str, Any, Any]] = [
        (one.language, str(one.questions), one, other)
        for one, other in zip(first.scores, second.scores, strict=True)
    ]
    pairs.append(("mean", str(sum(one.questions for one in first.scores)), first, second))
    rows = [
        [
            code,
            questions,
            *(percent(share) for share in (one.f1, other.f1)),
            points(one.f1, other.f1),
            *(percent(share) for share in (one.exact_match, other.exact_match)),
            points(one.exact_match, other.exact_match),
        ]
        for code, questions, one, other in pairs
    ]
    heading = ["language", "questions", "F1 before", "after", "change", "EM before", "after", "change"]
    return Table(heading, rows).markdown()


def tables(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Every table of two reports of one kind."""
    if before["kind"] == SpanReport.__name__:
        return [span_table(before, after)]
    if before["kind"] == XnliReport.__name__:
        return [XnliReport.from_dict(before).table(XnliReport.from_dict(after)).markdown()]
    drawn = {each["task"] for each in before["scores"]}
    matrices = [matrix_table(before, after, task) for task in MATRICES if task in drawn]
    return [means_table(before, after), *matrices[:1], answers_table(before, after)]


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """Return the report without the outcomes of single questions, and with file names instead of paths."""
    return {key: named(value) for key, value in document.items() if key != "outcomes"}


def named(value: Any) -> Any:
    """Reduce paths to file names, without the folders of this machine."""
    if isinstance(value, dict):
        return {key: named(each) for key, each in value.items()}
    if isinstance(value, list):
        return [named(each) for each in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--store", metavar="PREFIX", help="write PREFIX_before.json and PREFIX_after.json")
    parser.add_argument("--called", metavar="NAME", help="the trained model's name in AFTER, instead of its folder")
    options = parser.parse_args()
    documents = [read_document(path) for path in (options.before, options.after)]
    if options.called:
        documents[1]["model"] = options.called
    if options.store:
        for name, document in zip(("before", "after"), documents, strict=True):
            text = json.dumps(stored(document), ensure_ascii=False, indent=1) + "\n"
            Path(f"{options.store}_{name}.json").write_text(text, encoding="utf-8")
    print("\n".join(tables(*documents)), end="")  # noqa: T201


if __name__ == "__main__":
    main()
