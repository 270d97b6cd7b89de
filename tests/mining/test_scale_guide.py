"""The figures of docs/scale.md follow from its assumptions."""

import json
import re
from pathlib import Path

import pytest

from otembed.embeddings.embed import WINDOW
from otembed.mining.search.blocks import BLOCK_ROWS
from otembed.mining.search.exact import Tiling
from otembed.mining.search.index import METHODS
from otembed.mining.search.neighbors import CANDIDATE, NEIGHBOR
from otembed.mining.search.plan import search_memory

ROOT = Path(__file__).parents[2]
GUIDE = re.sub(r"\s+", " ", (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"))
N, D, K, CELLS, HOUR = 10**9, 384, 4, 262_144, 3600
BLOCK_SECONDS = 2.6 * (BLOCK_ROWS / 16_384) ** 2


def encoding_rate(name, arithmetic):
    """Software strings that a core encodes in a second in the best round, down to tens."""
    document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    (text,) = (each for each in document["texts"] if each["text"] == "UI strings")
    return int(text["sentences"] / min(text["cpu_seconds"][f"otembed, {arithmetic}"]) // 10 * 10)


FLOAT32, BF16 = (encoding_rate("encoding_amx", arithmetic) for arithmetic in ("float32", "bf16"))


def exact_hours(lines):
    return (lines / BLOCK_ROWS) ** 2 * 42 / HOUR


@pytest.mark.parametrize(
    "figure",
    [
        f"windows of {WINDOW:,} lines",
        f"up to {BLOCK_ROWS:,} rows by {BLOCK_ROWS:,} columns",
        f"up to {METHODS['pq'].shard_rows:,} rows (`pq`) or {METHODS['hnsw'].shard_rows:,} (`hnsw`)",
        f"up to {BLOCK_ROWS:,} queries in one index",
        f"one core | {BLOCK_SECONDS:.0f} s |",
        f"{64 * N / CELLS / 1000:.0f},000 codes at 5e8/s",
        f"float32 | {4 * D * N / 1e9:,.0f} GB",
        f"float16 (`--set precision=float16`) | {2 * D * N / 1e9:.0f} GB",
        f"48 bytes | {METHODS['pq'].bytes_per_row(D) * N / 1e9:.0f} GB",
        f"on disk | {METHODS['hnsw'].bytes_per_row(D) * N / 1e9:,.0f} GB",
        f"lists of both sides | {NEIGHBOR * K * 2 * N / 1e9:.0f} GB",
        f"in one process | {search_memory(N, N, D, K, 1, Tiling()) / 1e9:.0f} GB",
        f"language filter, both sides | {2 * N / 12_000 / HOUR:.0f} core-hours",
        f"encoding, one core | {FLOAT32} sentences/s in float32, {BF16} in bf16 |",
        f"{encoding_rate('encoding', 'float32')} and {encoding_rate('encoding', 'bf16')} on an AMD one with AVX-512",
        f"both sides, processors | {2 * N / FLOAT32 / HOUR:,.0f} core-hours in float32, {2 * N / BF16 / HOUR:,.0f} in bf16",
        f"both sides, GPUs | {2 * N / 4000 / HOUR:.0f} GPU-hours",
        f"processors** | **{exact_hours(N):,.0f} core-hours**",
        f"TF32 | {2 * N * N * D / 60e12 / HOUR:,.0f} GPU-hours",
        f"bf16 to screen | {2 * N * N * D / 200e12 / HOUR:,.0f} GPU-hours",
        f"90 GFLOP/s per core | {10 * 64 * CELLS * CELLS * 2 * D / 90e9 / HOUR:.0f} core-hours per side",
        f"0.2 ms each | {N * 0.2e-3 / HOUR:.0f} core-hours per side",
        f"64 cells probed | {2 * N * 1e-3 / HOUR:.0f} core-hours",
        f"{64 * 2 * D * N / 1e12:.0f} TB of random reads",
        f"per side | {2 * 1000 * N / BLOCK_ROWS**2 * 42 / HOUR:.0f} core-hours",
        f"{exact_hours(1e6):.1f} core-hours at a million per side, {exact_hours(1e7):.0f} at ten million, "
        f"{exact_hours(1e8):,.0f} at a hundred million",
        f"{(N / BLOCK_ROWS) ** 2 / 1e6:.0f} million blocks read {4 * D * N**2 / BLOCK_ROWS / 1e15:.1f} PB",
        f"write {2 * NEIGHBOR * K * N**2 / BLOCK_ROWS / 1e15:.1f} PB of lists",
        f"{(N / 2**20) ** 2:,.0f} blocks, {4 * D * N**2 / 2**20 / 1e15:.1f} PB and "
        f"{2 * NEIGHBOR * K * N**2 / 2**20 / 1e12:.0f} TB",
        f"({4 * D * 2**20 / 1e9:.1f} GB of vectors)",
        f"100 machines read 1.5 PB in {1.5e15 / 100 / 1.25e9 / HOUR:.1f} hours",
        f"{2 * D * N / 16 / 1e9:.0f} GB on each of 16 machines",
        f"takes {2 * (NEIGHBOR + CANDIDATE) * K} bytes per line",
        f"{64e9 / (2 * (NEIGHBOR + CANDIDATE) * K) / 1e6:.0f} million lines per side in 64 GB",
        f"{256e9 / (2 * (NEIGHBOR + CANDIDATE) * K) / 1e6:.0f} million in 256 GB",
    ],
)
def test_guide_figures_follow_from_the_assumptions(figure):
    assert figure in GUIDE
