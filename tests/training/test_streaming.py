"""Training on a stream, from end to end."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import otembed
from otembed.config.io import merge
from otembed.errors import ConfigError
from otembed.training import dry_run
from otembed.training.preparation import load_material
from tests.training.test_train import Crash, assert_same_release, records

STREAM = {"data": {"streaming": True, "shuffle_buffer": 20}, "optimization": {"max_steps": 9}}


def test_stream_trains_and_an_interrupted_run_ends_the_same(configure):
    config = configure(**STREAM)
    straight = otembed.train(replace(config, output=str(Path(config.output).parent / "straight" / "run")))
    assert straight.steps == 9
    assert [each["step"] for each in records(straight.run) if "loss" in each][-1] == 9
    assert straight.after.scores[0].sentences == 12
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(7)])
    assert_same_release(straight.run, otembed.train(resume=config.output).run)


def test_limit_counts_held_out_pairs_as_without_streaming(configure):
    changes = {"data": {"limit": 30}, "held_out": {"size": 6}}
    (read,) = load_material(configure(**changes)).train.values()
    stream = load_material(configure(**merge(STREAM, changes))).stream
    assert set(read["target"]) == {row["target"] for row in islice(stream, 160)}


def test_language_pairs_take_turns(configure, text_path):
    config = configure(
        data={"streaming": True, "sampling": "round_robin"},
        pairs={"en-nl": str(text_path)},
        held_out={"size": 0},
        optimization={"max_steps": 2},
    )
    result = otembed.train(config)
    assert result.pairs.keys() == {"en-de", "en-nl"}
    assert json.loads(Path(result.run, "results.json").read_text())["steps"] == 2


def test_dry_run_reads_only_what_it_needs(configure):
    found = dry_run(configure(**STREAM))
    assert (found.steps, found.pairs["en-de"]["read"]) == (9, 72)


@pytest.mark.parametrize("start", [otembed.train, dry_run])
def test_pipe_that_would_be_read_again_is_rejected(configure, text_path, start):
    paths = []
    for side in zip(*(line.split("\t") for line in text_path.read_text().splitlines()), strict=True):
        out, into = os.pipe()
        os.write(into, "\n".join(side).encode())
        os.close(into)
        paths.append(f"/dev/fd/{out}")
    try:
        with pytest.raises(ConfigError, match=f"pairs.en-de = {paths[0]} ") as caught:
            start(configure(**STREAM, pairs={"en-de": ",".join(paths)}))
        assert "file" in caught.value.hint
    finally:
        for path in paths:
            os.close(int(path.rpartition("/")[2]))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"optimization": {"max_steps": None}}, "steps"),
        ({"pairs": {"en-nl": "x.tsv"}}, "round_robin"),
        ({"loss": {"sentence": "mse", "teacher": "x"}}, "gist"),
    ],
)
def test_settings_that_a_stream_cannot_serve_are_rejected(configure, changes, hint):
    with pytest.raises(ConfigError) as caught:
        configure(**({**STREAM, **changes}))
    assert hint in caught.value.hint
