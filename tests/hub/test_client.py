"""The real client of the hub against a server on the loopback address: used, refused, cut, gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE

from otembed.config.io import train_config
from tests.hub.server import HubServer, Repository
from tests.training.conftest import rows

SECRETS = {"hf_write": ("me", "write"), "hf_read": ("me", "read")}
CARD = b"---\nlicense: other\nlicense_name: tiny-1.0\nlanguage: en\n---\n# Tiny\n"
CONFIGURATION = b"""---
configs:
- config_name: en-de
  data_files:
  - {split: train, path: en-de/train.jsonl}
  - {split: test, path: en-de/test.jsonl}
---
"""
ROWS = [dict(zip(("en", "de"), line.split("\t"), strict=True)) for line in rows()]
RUN = {
    "pairs": {"en-de": "hub:me/pairs:en-de"},
    "output": "runs/mine",
    "model": {"name": "me/tiny", "freeze": [], "device": "cpu"},
    "data": {"streaming": True, "shuffle_buffer": 16},
    "loss": {"sentence": "mnrl", "contrastive": None},
    "held_out": {"pairs": {"en-de": "hub:me/pairs:en-de@test"}, "load_best_model_at_end": False},
    "optimization": {"max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "warmup_steps": 0},
    "hub": {"push": "me/trained", "benchmarks": {"en-de": "me/pairs:retrieval"}},
}


GUIDE = Path(__file__).parents[2] / "docs" / "hub.md"
EXAMPLE = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]


def lines(entries: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in entries).encode()


def padded(weights: bytes, size: int) -> bytes:
    """Lengthen the header of a safetensors file by spaces, which its format allows."""
    length = int.from_bytes(weights[:8], "little")
    return size.to_bytes(8, "little") + weights[8 : 8 + length].ljust(size) + weights[8 + length :]


def stocked(model: Path) -> HubServer:
    """A hub with the tiny model under several names, and the pairs."""
    hub = HubServer(SECRETS)
    hub.add("model", "me/tiny", model)
    hub.repositories["model", "me/tiny"].find("main")[1]["README.md"] = CARD
    hub.add("model", "me/gated", model, gated=True)
    large = hub.add("model", "me/cut", model, faults={"model.safetensors": ["cut"]})
    files = large.find("main")[1]
    files["model.safetensors"] = padded(files["model.safetensors"], 3 * DOWNLOAD_CHUNK_SIZE)
    hub.add("model", "me/broken", model, faults={"model.safetensors": ["cut", 503]})
    data = {"README.md": CONFIGURATION, "en-de/train.jsonl": lines(ROWS[:60]), "en-de/test.jsonl": lines(ROWS[60:])}
    hub.add("dataset", "me/pairs", data)
    hub.add("dataset", "me/gated", data, gated=True)
    return hub


@pytest.mark.slow
def test_the_real_client_with_a_hub(tiny_model_path, tmp_path):
    # One process for everything: most of its time goes into imports.
    shutil.copytree(tiny_model_path, tmp_path / "tiny")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN), encoding="utf-8")
    with stocked(tiny_model_path) as hub:
        ours = {name: text for name, text in os.environ.items() if not name.startswith("HF_")}
        environment = {
            **ours,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_write",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "*",
            "EXAMPLE": EXAMPLE,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.hub.client", str(tmp_path)],
            cwd=Path(__file__).parents[2],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    check_use(seen["used"], hub, tmp_path)
    check_card(hub.repositories["model", "me/trained"], seen["used"])
    check_refusals(seen["refused"], seen["used"]["local"], hub, tmp_path)
    check_without_hub(seen["gone"], seen["used"]["local"])
    check_secrets(tmp_path, done.stdout + done.stderr, hub)


def check_use(used: dict[str, Any], hub: HubServer, work: Path) -> None:
    np.testing.assert_array_equal(used["loaded"], used["local"])
    np.testing.assert_array_equal(used["plain"], used["local"])
    np.testing.assert_array_equal(used["local only"], used["local"])
    begin, end = (place for place, (*_, headers) in enumerate(hub.requests) if "mark" in headers)
    assert end == begin + 1
    assert used["pairs"] == [[each[code] for each in ROWS[:60]] for code in ("en", "de")]

    assert used["train"]["code"] == 0, used["train"]["err"]
    assert json.loads(used["train"]["out"])["steps"] == 3
    np.testing.assert_array_equal(used["pushed"], used["released"])
    assert np.abs(np.subtract(used["pushed"], used["local"])).max() > 1e-4
    trained = hub.repositories["model", "me/trained"]
    files = trained.commits[trained.branches["main"]]
    assert {"model.safetensors", "README.md", "otembed.json", ".eval_results/otembed.yaml"} <= set(files)
    assert not trained.private
    # The commit after the creation; pushing the same files again adds none.
    assert len(trained.messages) == 2

    report = json.loads(used["again"]["out"])
    again = hub.repositories["model", "me/again"]
    assert (report["repository"], report["revision"], report["private"]) == ("me/again", "v2", True)
    assert (report["commit"], again.private) == (again.branches["v2"], True)
    assert report["files"] == len(files) - 1  # the hub adds .gitattributes
    assert "model.safetensors" not in again.commits[again.branches["main"]]
    np.testing.assert_array_equal(used["branch"], used["released"])
    assert used["public"]["code"] == 2
    assert "public" in used["public"]["err"]
    assert used["unchanged"]["value"]["repository"] == "me/trained"
    # The last push of the run is that of the example.
    assert json.loads((work / "runs" / "mine" / "pushed.json").read_text())["repository"] == "me/mine"
    assert used["folder"]["code"] == 0
    assert hub.endpoint in used["folder"]["out"]
    mine = hub.repositories["model", "me/mine"]
    assert used["example"] == f"{hub.endpoint}/me/mine {mine.branches['main']}\n"
    assert mine.private


def check_card(trained: Repository, used: dict[str, Any]) -> None:
    """The hub's own classes read the card; its server validated it before the commit."""
    files = trained.commits[trained.branches["main"]]
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.license_name) == ("other", "tiny-1.0")
    assert (card.data.base_model, card.data.language, card.data.datasets) == ("me/tiny", ["de", "en"], ["me/pairs"])
    assert {"otembed", "bitext-mining", "sentence-transformers"} <= set(card.data.tags)
    scores = json.loads(used["train"]["out"])["after"]["scores"][0]
    accuracy = (scores["accuracy_source_to_target"] + scores["accuracy_target_to_source"]) / 2
    found = {each.metric_type: each for each in card.data.eval_results}
    assert set(found) == {"accuracy", "f1", "xsim"}
    assert found["accuracy"].metric_value == accuracy
    assert (found["f1"].dataset_type, found["f1"].dataset_config, found["f1"].dataset_split) == (
        "me/pairs",
        "en-de",
        "test",
    )
    assert 'SentenceTransformer("me/trained")' in card.text
    settings = train_config(yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0]))
    assert settings.hub.push is None
    (entry,) = yaml.safe_load(files[".eval_results/otembed.yaml"])
    assert entry["dataset"] == {"id": "me/pairs", "task_id": "retrieval"}
    assert entry["value"] == accuracy


def check_refusals(refused: dict[str, Any], local: Any, hub: HubServer, work: Path) -> None:
    kinds = {
        "no model": ("ModelError", "'me/none'", "name"),
        "no revision": ("ModelError", "'v9'", "branch"),
        "gated": ("ModelError", "'me/gated'", "Request access"),
        "gated, no token": ("ModelError", "'me/gated'", "hf auth login"),
        "wrong token": ("ModelError", "token", "hf auth login"),
        "broken": ("ModelError", "'me/broken'", "ry again"),
        "no data": ("DataError", "hub:me/none@train", "name"),
        "gated data": ("DataError", "hub:me/gated@train", "equest access"),
        "no split": ("DataError", "dev", "name"),
        "push without token": ("HubError", "me/x", "HF_TOKEN"),
        "push to others": ("HubError", "other/name", "hf auth login"),
        "read token": ("HubError", "reading", "writing"),
        "license": ("HubError", "'free'", "mit"),
        "no name": ("ConfigError", "tiny", "OWNER/NAME"),
    }
    for name, (kind, message, hint) in kinds.items():
        found = refused[name]
        assert found.get("error") == kind, (name, found)
        assert message in found["message"], (name, found)
        assert hint in found["hint"], (name, found)
    assert not (work / "read").exists()  # refused before training
    assert refused["command"]["code"] == 2
    assert refused["command"]["err"].splitlines()[-1].startswith("Request access")

    # A cut download goes on where it was cut; after a failed one, complete files are not downloaded again.
    np.testing.assert_array_equal(refused["cut"]["value"], local)
    # The client writes whole chunks, so only what is longer than one can go on.
    first, second = (each.get("range") for each in hub.gets("cdn/model/me/cut/"))
    assert (first, second) == (None, f"bytes={DOWNLOAD_CHUNK_SIZE}-")
    np.testing.assert_array_equal(refused["broken, again"]["value"], local)
    assert len(hub.gets("cdn/model/me/broken/")) == 3
    small = [path for method, path, _ in hub.requests if method == "GET" and "/me/broken/resolve/" in path]
    small = [path for path in small if not path.endswith(".safetensors")]
    assert small
    assert len(small) == len(set(small))

    assert refused["unpushed"]["code"] == 2
    assert "en-de" in refused["unpushed"]["out"]  # the table of the run
    assert f"otembed push {work / 'unpushed'}" in refused["unpushed"]["err"]
    assert {"results.json", "model"} <= {each.name for each in (work / "unpushed").iterdir()}


def check_without_hub(gone: dict[str, Any], local: Any) -> None:
    np.testing.assert_array_equal(gone["cached"]["value"], local)
    assert (gone["not cached"]["error"], "me/other" in gone["not cached"]["message"]) == ("ModelError", True)
    assert gone["data"]["error"] == "DataError"
    assert "save_to_disk" in gone["data"]["hint"]
    assert gone["push"]["code"] == 2
    assert "ry again" in gone["push"]["err"]


def check_secrets(work: Path, output: str, hub: HubServer) -> None:
    assert any(headers.get("authorization") == "Bearer hf_write" for _, _, headers in hub.requests)
    assert "hf_write" not in output
    for path in [*(work / "runs").rglob("*"), *(work / "unpushed").rglob("*")]:
        assert not path.is_file() or b"hf_write" not in path.read_bytes(), path
