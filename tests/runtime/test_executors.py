"""Every executor gives the same bytes, whatever dies, and a run with one resumes what another has left."""

import errno
import itertools
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import psutil
import pytest
import torch

from otembed import mine_bitext
from otembed.config.mining import MiningConfig
from otembed.embeddings import embed
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.embed_work import Schedule
from otembed.embeddings.lines import read_side
from otembed.embeddings.rows import scan
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, DataError, ModelError, NumericsError, OtembedError, OutputError
from otembed.mining.search import approximate, blocks, search, state
from otembed.mining.search.approximate import approximate_neighbors
from otembed.mining.search.exact import Tiling, exact_neighbors
from otembed.mining.search.plan import SearchPlan
from otembed.mining.search.state import Block, SearchState, block_folder
from otembed.runtime.executors import LocalExecutor, ProcessPool, open_executor

SMALL = Tiling(16, 8, 16)


@pytest.fixture(autouse=True)
def one_thread():
    """Workers have one thread; with another number the last bits of vectors would be others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Remote:
    """A remote executor without workers: tasks run in this process, the last of three at a time first."""

    workers: int = 2
    stop_after: int | None = None
    remote = True

    def run(self, work, tasks, advance=None):
        perform, queue, done = work.open(1), iter(tasks), 0
        while group := list(itertools.islice(queue, 3)):
            for task in group[::-1]:
                if done == self.stop_after:
                    raise KeyboardInterrupt
                done += 1
                answer = perform(task)
                if advance is not None:
                    advance(work.units(answer))
                yield answer


@pytest.fixture
def sides(stored):
    draw = np.random.default_rng(0)
    return [
        scan(stored(draw.normal(size=(rows, 12)).astype(np.float32)[np.r_[0:rows, 0:9]], str(rows)))[0]
        for rows in (101, 77)
    ]


def packed(both):
    return b"".join(array.tobytes() for side in both for array in (side.scores, side.ids))


def test_blocks_do_not_change_bytes(sides, tmp_path):
    expected = packed(exact_neighbors(*sides, 4, executor=LocalExecutor(1)))
    for rows in (16, 50, 1000):
        options = {"state_file": tmp_path / f"{rows}.npz", "tiling": SMALL, "block_rows": rows}
        seen = []
        progress = lambda *each, seen=seen: seen.append(each)  # noqa: E731
        assert packed(exact_neighbors(*sides, 4, executor=Remote(), progress=progress, **options)) == expected
        assert seen[-1][1] == seen[-1][2]
        again = []
        progress = lambda *each, again=again: again.append(each)  # noqa: E731
        assert packed(exact_neighbors(*sides, 4, progress=progress, **options)) == expected
        assert again == []
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".npy"} == {"16.npz", "50.npz", "1000.npz"}


@pytest.mark.parametrize("save", [-1, 60])
@pytest.mark.parametrize("engines", [(Remote(stop_after=4), LocalExecutor(2)), (LocalExecutor(1), Remote())])
def test_executor_resumes_the_work_of_another(sides, tmp_path, monkeypatch, save, engines):
    monkeypatch.setattr(blocks, "SAVE_SECONDS", save)
    options = {"state_file": tmp_path / "state.npz", "tiling": SMALL, "block_rows": 32}
    expected = packed(exact_neighbors(*sides, 4))

    def stop(stage, done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    first, second = engines
    with pytest.raises(KeyboardInterrupt):
        exact_neighbors(*sides, 4, executor=first, progress=stop, screen="int8", **options)
    totals = []
    progress = lambda _, done, total: totals.append((done, total))  # noqa: E731
    assert packed(exact_neighbors(*sides, 4, executor=second, progress=progress, **options)) == expected
    # 110 x 86 rows in tiles of 16 x 8.
    assert totals[-1][0] == totals[-1][1] < 7 * 11
    assert not block_folder(options["state_file"]).exists()


def test_corrupt_or_foreign_block_is_recomputed(sides, tmp_path, caplog):
    options = {"state_file": tmp_path / "state.npz", "tiling": SMALL, "block_rows": 32}
    with pytest.raises(KeyboardInterrupt):
        exact_neighbors(*sides, 4, executor=Remote(stop_after=5), **options)
    folder = block_folder(options["state_file"])
    paths = sorted(folder.glob("*.npz"))
    assert len(paths) == 5
    paths[0].write_bytes(paths[0].read_bytes()[:-30])
    paths[1].rename(folder / "block-0-7-0-7.npz")
    (folder / ".block-0-1-0-1.npz.x.tmp").write_text("half")
    found = exact_neighbors(*sides, 4, executor=Remote(), **options)
    assert packed(found) == packed(exact_neighbors(*sides, 4))
    assert {record.args[0].name for record in caplog.records} == {paths[0].name, "block-0-7-0-7.npz"}


def test_columns_are_done_when_blocks_cover_all_rows():
    state = SearchState(10, 8, 1)
    lists = [(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.int64)) for n in (6, 4)]
    assert state.add_block(Block(0, 6, 0, 4), *lists)
    assert state.covers(Block(2, 5, 1, 3))
    assert not state.covers(Block(2, 7, 1, 3))
    assert not state.done.any()
    assert not state.add_block(Block(6, 12, 0, 4), *lists)
    assert state.add_block(Block(4, 10, 0, 4), *lists)
    assert state.done.tolist() == [True] * 4 + [False] * 4
    assert (state.blocks, state.covers(Block(0, 10, 0, 4))) == (set(), True)


def test_block_that_no_worker_wrote_is_an_error(sides, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "save_arrays", lambda *_, **__: None)
    with pytest.raises(DataError, match=r"block-0-110-0-86\.npz"):
        exact_neighbors(*sides, 4, executor=Remote(1), state_file=tmp_path / "state.npz")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--cache"):
        exact_neighbors(*sides, 4, executor=Remote(), state_file=tmp_path / "file" / "state.npz")
    with pytest.raises(DataError, match="nowhere"):
        state.save_arrays(tmp_path / "nowhere" / "x.npz")


@pytest.fixture
def texts(sentences, monkeypatch):
    monkeypatch.setattr(embed, "WINDOW", 8)
    return sentences(70)


@pytest.mark.parametrize("load", [True, False])
def test_shards_of_tasks_match_a_single_process(texts, tiny_model, tiny_model_path, tmp_path, load):
    whole = embed_lines(read_side(texts), tiny_model, cache=tmp_path / "whole").read(0, 99)
    options = {"load_as": str(tiny_model_path) if load else None, "device": "cpu", "cache": tmp_path / "apart"}
    with pytest.raises(KeyboardInterrupt):
        embed_lines(read_side(texts), tiny_model, executor=Remote(stop_after=4), **options)
    (folder,) = [each for each in (tmp_path / "apart" / "embeddings").iterdir() if each.is_dir()]
    assert list(folder.glob("texts-*.tmp"))
    done = []
    vectors = embed_lines(
        read_side(texts), tiny_model, cache=tmp_path / "apart", progress=lambda _, at, __: done.append(at)
    )
    assert vectors.read(0, 99).tobytes() == whole.tobytes()
    assert 0 < len(done) < 9
    again = embed_lines(read_side(texts), tiny_model, executor=Remote(), **options)
    assert again.read(0, 99).tobytes() == whole.tobytes()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".float32"}


def test_task_faults_are_reported(texts, tiny_model, tiny_model_path, tmp_path, monkeypatch):
    options = {"executor": Remote(), "cache": tmp_path, "device": "cpu"}
    monkeypatch.setattr("otembed.embeddings.embed_work.model_fingerprint", lambda _: "another")
    with pytest.raises(ModelError, match=tiny_model_path.name):
        embed_lines(read_side(texts), tiny_model, load_as=str(tiny_model_path), **options)
    monkeypatch.setattr(tiny_model, "encode", lambda lines, **_: np.full((len(lines), 32), np.nan))
    with pytest.raises(NumericsError, match="line 17"):
        embed_lines(read_side(texts), tiny_model, **options)


def test_task_size_grows_with_speed_and_shrinks_at_the_end():
    plan = Schedule([(0, 100), (120, 1000)], window=10, most=200, seconds=5, workers=2)
    ranges = []
    for start, stop in plan:
        ranges.append((start, stop))
        plan.learn(stop - start, took=(stop - start) / 20)
    assert ranges[:2] == [(0, 10), (10, 100)]
    sizes = [stop - start for start, stop in ranges]
    assert max(sizes) == 100
    assert sizes[-1] == 10
    assert sum(sizes) == 980


PLACED = """
import os, signal
from dataclasses import dataclass
from otembed.errors import DataError

@dataclass
class Works:
    gpu: bool = False
    threaded: bool = True
    def open(self, threads, advance=None):
        return self.perform
    def units(self, answer):
        return answer
    def perform(self, task):
        number, path = task
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if number > 9:
            raise DataError("ten", "Give less.", path="x", line=3)
        with open(path, "a") as file:
            file.write(".")
        return number * number
"""


@pytest.fixture
def works(tmp_path, monkeypatch):
    (tmp_path / "placed_works.py").write_text(PLACED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from placed_works import Works

    yield Works()
    del sys.modules["placed_works"]


def check_executor(executor, works, tmp_path):
    """What every executor with workers of its own must do."""
    tasks = [(number, tmp_path / f"task-{number}") for number in range(8)]
    units = []
    assert sorted(executor.run(works, iter(tasks), units.append)) == [number * number for number in range(8)]
    assert sorted(units) == sorted(number * number for number in range(8))
    assert all(path.read_text() == "." for _, path in tasks)
    assert list(executor.run(works, [])) == []
    with pytest.raises(DataError, match="x:3: ten") as caught:
        list(executor.run(works, [(10, None)]))
    assert (caught.value.line, caught.value.hint) == (3, "Give less.")
    with pytest.raises(OtembedError, match="3 times"):
        list(executor.run(works, [(-1, None)]))


def test_process_pool_runs_tasks(works, tmp_path):
    check_executor(ProcessPool(2), works, tmp_path)


PARENT = """
import sys
from otembed.cli.ending import interruptions
from otembed.runtime.executors import ProcessPool
from placed_works import Works

if __name__ == "__main__":
    with interruptions():
        list(ProcessPool(2).run(Works(), [(each, None) for each in (-1, -2)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep semaphores elsewhere")
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.ENOSYS])
def test_shared_memory_that_cannot_hold_semaphores_is_named(monkeypatch, code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("otembed.runtime.executors.ProcessPoolExecutor", fail)
    with pytest.raises(OutputError, match=f"^/dev/shm: .*{os.strerror(code)}\n.*tmpfs.* local"):
        list(ProcessPool(2).run(None, [1]))


def test_lack_of_open_files_is_not_blamed_on_shared_memory(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("otembed.runtime.executors.ProcessPoolExecutor", fail)
    with pytest.raises(OSError, match="Too many open files"):
        list(ProcessPool(2).run(None, [1]))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_processes_end_with_their_parent(tmp_path, number, code):
    waiting = PLACED.replace("os.kill(os.getpid(), signal.SIGKILL)", "(print('busy', flush=True), signal.pause())")
    (tmp_path / "placed_works.py").write_text(waiting)
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True,
    ) as parent:  # fmt: skip
        assert [parent.stdout.readline() for _ in range(2)] == [b"busy\n"] * 2
        workers = psutil.Process(parent.pid).children(recursive=True)
        # A terminal sends Ctrl-C to the workers, too.
        (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)
        # Until nobody holds the pipes.
        out, err = parent.communicate(timeout=20)
    assert (out, parent.returncode) == (b"", code)
    if number != signal.SIGKILL:  # after which multiprocessing reports that it tidies up
        assert err == b"interrupted; to resume: run the same command again\n"
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def workers_of_this_process():
    names = {}
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a child of an earlier test that has ended, or is ending
            names[each] = " ".join(each.cmdline())
    return [each for each, name in names.items() if "ray::_Worker" in name or "spawn_main" in name]


def mine_with_a_killed_worker(engine, stages, tmp_path, texts, tiny_model_path, monkeypatch):
    """Mine by an engine of two workers, kill one in each of the stages, and compare with one process."""
    monkeypatch.setattr(search, "plan_search", lambda *_, **__: SearchPlan(SMALL, 2, 0))
    source, target = texts, [*texts[30:], *(f"{line} cat" for line in texts[:30])]
    expected = mine_bitext(source, target, str(tiny_model_path), device="cpu", cache=tmp_path / "a", threshold=None)
    killed = set()

    def kill(stage, *_):
        name = stage.partition(" ")[0]
        if name in stages - killed:
            killed.add(name)
            os.kill(workers_of_this_process()[-1].pid, signal.SIGKILL)

    found = mine_bitext(
        source,
        target,
        str(tiny_model_path),
        device="cpu",
        cache=tmp_path / "b",
        threshold=None,
        engine=engine,
        workers=2,
        progress=kill,
    )
    assert killed == stages
    assert found.write(tmp_path / "found.jsonl").read_bytes() == expected.write(tmp_path / "one.jsonl").read_bytes()
    shards = [sorted((tmp_path / each).glob("embeddings/*/rows-*")) for each in "ab"]
    assert len(shards[1]) > len(shards[0])
    again = []
    mine_bitext(
        source,
        target,
        str(tiny_model_path),
        cache=tmp_path / "b",
        device="cpu",
        progress=lambda *x: again.append(x),
    )
    assert again == []


@pytest.mark.slow
def test_process_pool_survives_a_killed_worker(texts, tiny_model_path, tmp_path, monkeypatch):
    # That a pool is made anew costs most of the time here: once is enough.
    mine_with_a_killed_worker("processes", {"searching"}, tmp_path, texts, tiny_model_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: otembed[ray]")
def test_ray_survives_a_killed_worker(texts, works, sides, tiny_model_path, tmp_path, monkeypatch, capsys):
    mine_with_a_killed_worker("ray", {"embedding", "searching"}, tmp_path, texts, tiny_model_path, monkeypatch)
    with open_executor(MiningConfig(engine="ray", workers=2)) as executor:
        with pytest.raises(OtembedError, match="a task failed"):
            list(executor.run(works, [("one", None)]))
        check_executor(executor, works, tmp_path)
        options = {"executor": executor, "state_file": tmp_path / "int8.npz", "tiling": SMALL, "block_rows": 64}
        found = packed(exact_neighbors(*sides, 4, screen="int8", **options))
        assert found == packed(exact_neighbors(*sides, 4, screen="float32"))
        import ray

        assert (ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"]) == (True, "0")
        with open_executor(MiningConfig(engine="ray")) as second:
            assert (second.workers, ray.is_initialized()) == (2, True)
        assert ray.is_initialized()
    assert not ray.is_initialized()
    assert capsys.readouterr().out == ""


def test_invalid_engines_are_rejected(tmp_path, monkeypatch, sides):
    with pytest.raises(ConfigError, match="x:1"):
        MiningConfig(ray_address="x:1")
    with pytest.raises(ConfigError, match="engine = 'rai'"):
        MiningConfig(engine="rai")
    x = np.eye(12, dtype=np.float32)
    with pytest.raises(ConfigError) as caught:
        mine_bitext(x, x, engine="processes")
    assert all(name in caught.value.message for name in ("source vectors", "target vectors"))
    assert "engine: local" in caught.value.hint
    memory = replace(sides[0], vectors=array_vectors(x, "x"))
    with pytest.raises(ConfigError, match=r"x: .*\n.*engine"):
        exact_neighbors(memory, sides[0], 4, executor=Remote(), state_file=tmp_path / "state.npz")
    with pytest.raises(ConfigError, match="state_file"):
        exact_neighbors(*sides, 4, executor=Remote())
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"otembed\[ray\]"),
        open_executor(MiningConfig(engine="ray")),
    ):
        pass


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: otembed[ray]")
@pytest.mark.parametrize("kind", ["ConnectionError", "AuthenticationError"])
def test_missing_cluster_is_reported(monkeypatch, kind):
    import ray

    error = {"ConnectionError": ConnectionError, "AuthenticationError": ray.exceptions.RayError}[kind]

    def init(address, **_):
        raise error(f"cannot connect to {address}\nmore")

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(ConfigError, match=r"nowhere:1.*\n.*ray_address"),
        open_executor(MiningConfig(engine="ray", ray_address="nowhere:1")),
    ):
        pass


@pytest.fixture
def indexed(stored):
    """Sides of which only the second is large enough for an index."""
    draw = np.random.default_rng(0)
    return [scan(stored(draw.normal(size=(rows, 8)).astype(np.float32), str(rows)))[0] for rows in (700, 1300)]


@pytest.mark.parametrize("method", ["hnsw", "pq"])
def test_index_search_resumes_with_another_executor(indexed, tmp_path, monkeypatch, method):
    monkeypatch.setattr(approximate, "LEAST_QUERIES", 128)
    expected = packed(approximate_neighbors(*indexed, 4, method, executor=LocalExecutor(1), shard_rows=500)[:2])
    options = {"shard_rows": 500, "cache": tmp_path, "state_file": tmp_path / "state.npz"}
    # One of three indexes; then the others and some blocks, of which one is written but not merged.
    for stop in (1, 6):
        with pytest.raises(KeyboardInterrupt):
            approximate_neighbors(*indexed, 4, method, executor=Remote(stop_after=stop), **options)
    blocks = sorted(block_folder(tmp_path / "state.forward.npz").glob("block-*"))
    assert len(list(tmp_path.glob("*.faiss"))) == 3
    assert len(blocks) == 6
    blocks[0].write_bytes(blocks[0].read_bytes()[:-30])
    seen = []
    found = approximate_neighbors(
        *indexed, 4, method, executor=LocalExecutor(2), progress=lambda *each: seen.append(each), **options
    )
    assert packed(found[:2]) == expected
    assert {stage for stage, *_ in seen} == {"looking up"}
    assert seen[-1][1] == seen[-1][2] < 3 * 700
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".npz", ".faiss"}
    assert [path.name for path in tmp_path.glob("*.npz")] == ["state.npz"]


@pytest.mark.slow
def test_processes_search_an_index_and_one_is_killed(indexed, tmp_path):
    expected = packed(approximate_neighbors(*indexed, 4, "hnsw", executor=LocalExecutor(1), shard_rows=500)[:2])
    killed = []

    def kill(*_):
        if not killed:
            killed.append(workers_of_this_process()[-1])
            os.kill(killed[0].pid, signal.SIGKILL)

    options = {"shard_rows": 500, "cache": tmp_path, "state_file": tmp_path / "state.npz", "progress": kill}
    found = approximate_neighbors(*indexed, 4, "hnsw", executor=ProcessPool(2), **options)
    assert killed
    assert packed(found[:2]) == expected


def test_index_search_that_leaves_this_process_needs_files(indexed, tmp_path):
    x = np.eye(12, dtype=np.float32)
    with pytest.raises(ConfigError) as caught:
        mine_bitext(x, x, engine="processes", search="pq")
    assert all(name in caught.value.message for name in ("source vectors", "target vectors"))
    assert "engine: local" in caught.value.hint
    with pytest.raises(ConfigError, match="cache"):
        approximate_neighbors(*indexed, 4, "pq", executor=Remote(), state_file=tmp_path / "state.npz")


def test_threads_run_tasks_and_stop_together(works, tmp_path):
    tasks = [(number, tmp_path / f"task-{number}") for number in range(8)]
    assert sorted(LocalExecutor(3).run(works, iter(tasks))) == [number * number for number in range(8)]
    with pytest.raises(DataError, match="ten"):
        list(LocalExecutor(3).run(works, [*tasks, (10, None)]))

    class Counting:
        gpu, threaded = False, True

        def open(self, threads, advance=None):
            def perform(task):
                for _ in range(100_000):
                    advance(1)

            return perform

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalExecutor(2).run(Counting(), range(4), interrupt))


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: otembed[ray]")
@pytest.mark.parametrize("code", [1, signal.SIGTERM])
def test_a_signal_that_arrives_while_ray_starts_reaches_our_handler(code, monkeypatch):
    """Ray replaces the handler of SIGTERM, and its own handlers exit."""
    import ray

    class ReceivedError(Exception):
        pass

    def received(number, frame):
        raise ReceivedError(number)

    def init(*_, **__):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", init)
    before = signal.signal(signal.SIGTERM, received)
    try:
        with (
            pytest.raises(ReceivedError, match=str(int(signal.SIGTERM))),
            open_executor(MiningConfig(engine="ray", workers=1)),
        ):
            pass
        assert signal.getsignal(signal.SIGTERM) is received
    finally:
        signal.signal(signal.SIGTERM, before)
