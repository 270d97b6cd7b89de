"""What is found on the machine, against the libraries' own word and a folder filled here."""

from __future__ import annotations

import psutil
import torch

from otembed.diagnostics.installation import Installation, caches, devices, installation, threads
from otembed.runtime.arithmetic import onednn_is_faster


def test_devices_match_torch_and_psutil():
    found = devices()
    assert found["processors"] == psutil.cpu_count()
    assert found["memory_gb"] == round(psutil.virtual_memory().total / 1e9, 1)
    assert len(found["gpus"]) == torch.cuda.device_count()
    assert found["cpu"]
    assert found["onednn"] is onednn_is_faster()
    assert min(found["onednn_speedup"], found["bf16_speedup"]) >= 0


def test_threads_follow_torch_and_the_environment(monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    found = threads()
    assert found["torch"] == torch.get_num_threads()
    assert found["environment"]["MKL_NUM_THREADS"] == "3"
    assert any("blas" in name or "openmp" in name for name in found["pools"])


def test_cache_size_counts_links_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEMBED_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "nowhere"))
    (tmp_path / "mining").mkdir()
    (tmp_path / "mining" / "a").write_bytes(b"x" * 1000)
    encoder = tmp_path / "some-encoder"
    encoder.mkdir()
    (encoder / "modules.json").write_bytes(b"[]")
    (encoder / "link").symlink_to(tmp_path / "mining" / "a")
    found = caches()
    link = (encoder / "link").lstat().st_size
    assert found["otembed"] == {"path": str(tmp_path), "bytes": 1002 + link, "files": 3}
    assert found["otembed mining"]["bytes"] == 1000
    assert found["datasets"] == {"path": str(tmp_path / "nowhere"), "bytes": None, "files": None}
    whole = installation()
    assert whole.encoders == ["some-encoder"]
    assert Installation.from_json(whole.to_json()) == whole
