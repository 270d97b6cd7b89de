"""What a user does with the hub, in a process of its own: the hub's client reads its environment when it is imported.

Called with a folder that has the model ``tiny`` and ``run.yaml``; prints what happened as one JSON document.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from otembed.cli.main import main
from sentence_transformers import SentenceTransformer

import otembed
from otembed.data import load_pairs, parse_pair_spec
from otembed.errors import OtembedError
from otembed.training import push

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = ["the cat sat on the mat", "der Hund schlief im Haus"]


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """Return the value of a call, or its error; any error but our own ends the process."""
    try:
        return {"value": call()}
    except OtembedError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def command(*arguments: object) -> dict[str, Any]:
    """Run ``otembed`` with its entry point."""
    sys.argv = ["otembed", *map(str, arguments)]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def mark(name: str) -> None:
    """Leave a mark among the requests that the server records."""
    urllib.request.urlopen(urllib.request.Request(os.environ["HF_ENDPOINT"], headers={"Mark": name})).close()


def vectors(model: SentenceTransformer) -> np.ndarray:
    return model.encode(TEXTS, show_progress_bar=False)


def load(name: str, **options: Any) -> list[list[float]]:
    return vectors(otembed.load_model(name, device="cpu", **options)).tolist()


def plain(name: str, **options: Any) -> list[list[float]]:
    return vectors(SentenceTransformer(name, device="cpu", **options)).tolist()


def pairs(place: str) -> list[list[str]]:
    text = load_pairs(parse_pair_spec("en-de", place)).dataset
    return [list(text["source"]), list(text["target"])]


def with_token(token: str | None, call: Callable[[], Any]) -> dict[str, Any]:
    before = os.environ.pop("HF_TOKEN")
    if token is not None:
        os.environ["HF_TOKEN"] = token
    try:
        return outcome(call)
    finally:
        os.environ["HF_TOKEN"] = before


def used(work: Path) -> dict[str, Any]:
    """Models and datasets by name, a streamed run that is pushed, and what is pushed by the command."""
    run, tiny = work / "runs" / "mine", work / "tiny"
    seen: dict[str, Any] = {
        "local": plain(str(tiny), local_files_only=True),
        "loaded": load("me/tiny"),
        "plain": plain("me/tiny"),
        "pairs": pairs("hub:me/pairs:en-de"),
    }
    mark("local")
    seen["local only"] = load("me/tiny", local_files_only=True)
    mark("local")
    seen |= {
        "train": command("train", work / "run.yaml", "--json"),
        "pushed": plain("me/trained"),
        "released": plain(str(run / "model"), local_files_only=True),
        "again": command("push", run, "me/again", "--private", "--revision", "v2", "--json"),
        "branch": load("me/again", revision="v2"),
        "public": command("push", run, "me/trained", "--private"),
        "unchanged": outcome(lambda: push(run).to_dict()),
        "folder": command("push", tiny, "me/folder"),
    }
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(os.environ["EXAMPLE"], {})
    return {**seen, "example": out.getvalue()}


def refused(work: Path) -> dict[str, Any]:
    """What the hub refuses."""
    tiny = work / "tiny"
    unnamed = ["--set", "hub.push=other/name", "-o", work / "unpushed", "--max-steps", "2"]
    return {
        "no model": outcome(lambda: load("me/none")),
        "no revision": outcome(lambda: load("me/tiny", revision="v9")),
        "gated": outcome(lambda: load("me/gated")),
        "gated, no token": with_token(None, lambda: load("me/gated")),
        "wrong token": with_token("hf_wrong", lambda: load("me/cut")),
        "cut": outcome(lambda: load("me/cut")),
        "broken": outcome(lambda: load("me/broken")),
        "broken, again": outcome(lambda: load("me/broken")),
        "no data": outcome(lambda: pairs("hub:me/none")),
        "gated data": outcome(lambda: pairs("hub:me/gated")),
        "no split": outcome(lambda: pairs("hub:me/pairs:en-de@dev")),
        "command": command("eval", "retrieval", "me/gated", "--pairs", "en-de=hub:me/pairs:en-de"),
        "push without token": with_token(None, lambda: push(tiny, "me/x")),
        "push to others": outcome(lambda: push(tiny, "other/name")),
        "read token": with_token("hf_read", lambda: otembed.train(settings(work, work / "read"))),
        "license": outcome(lambda: otembed.train(settings(work, work / "read", license="free"))),
        "no name": outcome(lambda: push(tiny)),
        "unpushed": command("train", work / "run.yaml", *unnamed),
    }


def settings(work: Path, output: Path, **hub: str) -> Any:
    from otembed.config.io import read_yaml, train_config

    return train_config(read_yaml(work / "run.yaml"), {"output": str(output), "hub": hub})


def gone(work: Path) -> dict[str, Any]:
    """What works without the hub."""
    request = urllib.request.Request(f"{os.environ['HF_ENDPOINT']}/stop", method="POST")
    urllib.request.urlopen(request).close()
    with contextlib.suppress(OSError):
        while True:
            urllib.request.urlopen(os.environ["HF_ENDPOINT"]).close()
            time.sleep(0.02)
    return {
        "cached": outcome(lambda: load("me/tiny")),
        "not cached": outcome(lambda: load("me/other")),
        "data": outcome(lambda: pairs("hub:me/pairs:en-de")),
        "push": command("push", work / "unpushed"),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    os.chdir(place)
    sys.stdout.write(json.dumps({"used": used(place), "refused": refused(place), "gone": gone(place)}) + "\n")
