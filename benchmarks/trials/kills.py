"""Kills and signals at random times: nothing is lost, nothing is left, and no process lives on.

Each attempt starts a command in a folder of its own and sends SIGKILL, SIGINT or SIGTERM at a time drawn from the seed
over the length of an uninterrupted run. Then the command is resumed as its documentation says, until it is done, and
everything it wrote is compared, byte by byte and without times, with what an uninterrupted run wrote. What an engine has
left is resumed by itself and by the local engine in turn.

Killed commands are forked from a process that has imported the libraries, which changes nothing about them but the time
they take to start; worker processes and Ray's actors start as they always do. Commands that get a signal start anew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import psutil
from otembed.cli.console import silence_progress_bars

from otembed.diagnostics.tiny import SENTENCES, tiny_encoder
from otembed.errors import OtembedError
from otembed.results import write_text
from trials.base import Trial

KILLS, SIGNALS = 20, 3
SMOKE_KILLS, SMOKE_SIGNALS = 2, 1
# Seconds within which a signal ends the command, and a killed command's workers end; Ray's reaper takes longer.
ENDS_WITHIN, WORKERS_END_WITHIN, RAY_ENDS_WITHIN = 2.0, 2.0, 15.0
LIMIT = 300.0
LEFT_BYTES = 4e6
MARK = "OTEMBED_TRIAL"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Figures that differ between two runs: they are times, or say where a run was.
TIMES = re.compile(rb'("[a-z_]*seconds"|"read"|"embed"|"scan"|"search"|"pair"): [\d.e-]+')
# A run that is resumed before it has written its environment records the command that resumed it, and its report shows it.
COMMAND = re.compile(rb'"command": \[[^]]*\]|<pre id="command">[^<]*</pre>')
SHOW_COMMAND = ("environment.json", "report.html")
CARD_TIMES = re.compile(rb"(?m)^.*\d (?:seconds|minutes|hours).*$")
TEMPORARY = re.compile(r"\.tmp$|\.old$|^otembed-")

SERVER = """
import atexit, gc, json, os, sys
from importlib import import_module
for name in (
    "otembed.cli.main", "otembed.training.recipe", "otembed.training.summary", "otembed.mining.mine", "otembed.mining.output",
    "otembed.documents.mine", "otembed.tasks.xnli.finetune", "otembed.tasks.xnli", "otembed.tasks.xquad.spans",
):
    import_module(name)
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    os.setsid()
    for number, name in enumerate((os.devnull, order["stdout"], order["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    sys.argv = ["otembed", *order["arguments"]]
    try:
        sys.modules["otembed.cli.main"].main()
    except SystemExit as end:
        # Python would free all libraries first, for as long as the command has run.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)
"""

# With the name that environment.json of a forked command has, too.
ANEW = "import sys; sys.argv[0] = 'otembed'; from otembed.cli.start import main; main()"


class Server:
    """Forks commands from a process that has imported the libraries."""

    def __init__(self) -> None:
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self._answer()

    def start(self, arguments: list[str], cwd: Path, mark: str, *, anew: bool = False) -> Command:
        """Start a command in ``cwd``, with its temporary folder and cache next to it; ``anew``: not forked."""
        environment = {"TMPDIR": str(cwd / "tmp"), "OTEMBED_CACHE": str(cwd / "home"), MARK: mark}
        (cwd / "tmp").mkdir(exist_ok=True)
        stdout, stderr = cwd / "stdout.txt", cwd / "stderr.txt"
        begun = time.monotonic()
        if anew:
            with stdout.open("wb") as out, stderr.open("wb") as err:
                process = subprocess.Popen(
                    [sys.executable, "-c", ANEW, *arguments],
                    cwd=cwd,
                    env=self.environment | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            return Command(process.wait, process.pid, stderr, begun, mark)
        order = {"arguments": arguments, "cwd": str(cwd), "environment": environment, "stderr": str(stderr)}
        pid = int(self._ask(order | {"stdout": str(stdout)}))
        return Command(partial(self.wait, pid), pid, stderr, begun, mark)

    def wait(self, pid: int) -> int:
        """Return the exit code of a command that ends by itself; minus the signal that ended it."""
        return int(self._ask({"wait": pid}))

    def _ask(self, order: dict[str, Any]) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Command:
    """A running command; ``wait`` returns its exit code, minus the signal that ended it."""

    wait: Callable[[], int]
    pid: int
    stderr: Path
    begun: float
    mark: str

    def ended(self) -> bool:
        """Return whether the command has ended."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def code(self, seconds: float = LIMIT) -> int | None:
        """Return the exit code, None if the command has not ended after some seconds; it is then killed."""
        until = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                self.wait()
                return None
            time.sleep(0.005)
        return self.wait()

    def living(self, seconds: float) -> list[str]:
        """Return the processes that the command started and that live on after some seconds."""
        until = time.monotonic() + seconds
        while (found := _marked(self.mark)) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"{each.pid} {each.name()}" for each in found if each.is_running()]


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get(MARK) == mark and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.Error:
            continue
    return found


@dataclass
class Job:
    """A command, how it is resumed, and what it writes."""

    name: str
    start: list[str]
    # Taken in turn.
    resume: list[list[str]]
    outputs: tuple[str, ...]
    # Seconds within which processes of a killed command end.
    workers_end: float = WORKERS_END_WITHIN
    expected: dict[str, bytes] = field(default_factory=dict)
    # Length of a run that is forked, and of one that starts anew.
    seconds: float = 0.0
    seconds_anew: float = 0.0

    def written(self, folder: Path) -> dict[str, bytes]:
        """Return every file below the outputs, without times."""
        found = {}
        for output in self.outputs:
            for path in [folder / output, *sorted((folder / output).rglob("*"))]:
                if path.is_file():
                    pattern = CARD_TIMES if path.name == "README.md" else TIMES
                    binary = path.suffix in (".safetensors", ".bin")
                    content = path.read_bytes()
                    if path.name in SHOW_COMMAND:
                        content = COMMAND.sub(b"", content)
                    found[str(path.relative_to(folder))] = content if binary else pattern.sub(b"", content)
        return found

    def differences(self, folder: Path) -> list[str]:
        """Return what differs from the uninterrupted run, and what is left of temporary files."""
        found = self.written(folder)
        told = [
            f"{name} is {'another' if name in self.expected else 'too much'}"
            for name in found
            if found[name] != self.expected.get(name)
        ]
        told += [f"{name} is missing" for name in self.expected if name not in found]
        left = [path for path in folder.rglob("*") if TEMPORARY.search(path.name) and path != folder / "tmp"]
        size = sum(each.stat().st_size for path in left for each in [path, *path.rglob("*")] if each.is_file())
        outside = [path for path in left if path.relative_to(folder).parts[0] in ("tmp", "home", "cache")]
        told += [f"{path.relative_to(folder)} is left" for path in left if path not in outside]
        return told + ([f"{size:,} bytes of temporary files are left"] if size > LEFT_BYTES else [])


def run(smoke: bool, seed: int, commands: Sequence[str] = ()) -> Iterator[Trial]:
    """Kill and interrupt each command several times, or only some commands."""
    # A shell ignores SIGINT for what it runs in the background, and so would the commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kills, signals = (SMOKE_KILLS, SMOKE_SIGNALS) if smoke else (KILLS, SIGNALS)
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    server = Server()
    try:
        jobs = list(enumerate(_jobs(_material(home))))
        if unknown := set(commands) - {job.name for _, job in jobs}:
            raise OtembedError(
                f"no trial of {', '.join(unknown)}", f"Choose of: {', '.join(job.name for _, job in jobs)}."
            )
        for place, job in jobs:
            if commands and job.name not in commands:
                continue
            draw = np.random.default_rng([seed, place])
            _measure(job, server, home)
            for number, tries in ((signal.SIGKILL, kills), (signal.SIGINT, signals), (signal.SIGTERM, signals)):
                length = job.seconds if number == signal.SIGKILL else job.seconds_anew
                trial = Trial("kills", f"{number.name} during `{job.name}`", _expectation(number))
                for attempt in range(tries):
                    told = _attempt(job, server, home / f"{attempt}", attempt, number, draw.uniform(0, length))
                    trial.check(not told, "; ".join(told))
                sys.stderr.write(f"{trial.fault}: {trial.held} of {trial.tries}, {job.seconds:.1f} s a run\n")
                sys.stderr.writelines(f"  {failure}\n" for failure in trial.failures)
                yield trial
    finally:
        server.close()
        rmtree(home, ignore_errors=True)


def _expectation(number: signal.Signals) -> str:
    same = "no process lives on; resumed, every file is the same and no temporary file is left"
    if number == signal.SIGKILL:
        return same
    return f"exit code {CODES[number]} within {ENDS_WITHIN:g} s, one line that says how to resume; {same}"


def _measure(job: Job, server: Server, home: Path) -> None:
    folder = home / "whole"
    # The first run compiles and caches what later ones load.
    for anew in (False, True, False):
        rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = server.start(job.start, folder, "whole", anew=anew)
        code = command.code()
        if code != 0:
            raise OtembedError(f"{job.name}: exit code {code}: {command.stderr.read_text()[-2000:]}")
        taken = time.monotonic() - command.begun
        job.seconds, job.seconds_anew = (job.seconds, taken) if anew else (taken, job.seconds_anew)
    job.expected = job.written(folder)
    rmtree(folder)


def _attempt(
    job: Job, server: Server, folder: Path, attempt: int, number: signal.Signals, after: float
) -> list[str]:
    """Interrupt a command and resume it; return what was not as expected."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = server.start(job.start, folder, folder.name, anew=number != signal.SIGKILL)
    time.sleep(max(0.0, command.begun + after - time.monotonic()))
    if not command.ended():
        # As a terminal does for Ctrl-C, the signal goes to the workers, too.
        (os.killpg if number == signal.SIGINT else os.kill)(command.pid, number)
    told = _ending(job, command, number, folder)
    told += [f"{each} lives on" for each in command.living(job.workers_end)]
    for process in _marked(folder.name):
        process.kill()
    done = command.stderr.read_text() if told else ""
    told += _resumed(job, job.resume[attempt % len(job.resume)], server, folder)
    if told:
        told.insert(0, f"after {after:.2f} s")
        sys.stderr.write(done[-3000:])
    rmtree(folder, ignore_errors=True)
    return told


def _ending(job: Job, command: Command, number: signal.Signals, folder: Path) -> list[str]:
    sent = time.monotonic()
    code = command.code(10)
    took = time.monotonic() - sent
    # A command that is done may end, or die, as the signal arrives.
    if number == signal.SIGKILL or code == 0 or (code == -number and not job.differences(folder)):
        return []
    told = [] if took <= ENDS_WITHIN else [f"took {took:.1f} s to end"]
    if code != CODES[number]:
        told.append(f"exit code {code}")
    lines = command.stderr.read_text(errors="replace").splitlines()
    # While Python imports the command line, the signal itself ends the process; a shell reports 130 or 143, too.
    if code == -number and not lines and not job.written(folder):
        return []
    if not lines or not lines[-1].startswith("interrupted; to resume: ") or "Traceback" in "".join(lines):
        told.append(f"stderr ends with {lines[-1:]}")
    return told


def _resumed(job: Job, arguments: list[str], server: Server, folder: Path) -> list[str]:
    """Resume until done, starting over if there is nothing to resume yet; return the differences."""
    command = server.start(arguments, folder, folder.name)
    code = command.code()
    if code == 2 and "no run to resume" in command.stderr.read_text():
        command = server.start(job.start, folder, folder.name)
        code = command.code()
    if code != 0:
        return [f"resuming: exit code {code}: {command.stderr.read_text()[-500:]}"]
    command.living(job.workers_end)
    return job.differences(folder)


def _material(home: Path) -> Path:
    """Write the model and the data of all commands."""
    material = home / "material"
    material.mkdir()
    silence_progress_bars()
    tiny_encoder(material / "parts").to("cpu").save(str(material / "model"), create_model_card=False)
    words = sorted({word for pair in SENTENCES for word in pair[0].split()})
    draw = np.random.default_rng(0)
    lines = [" ".join([*draw.choice(words, 6), str(number)]) for number in range(4000)]
    write_text(material / "a.txt", "".join(f"{line}\n" for line in lines[:3000]))
    write_text(material / "b.txt", "".join(f"{line}\n" for line in lines[1000:]))
    for name, first in (("sources", 0), ("targets", 300)):
        documents = [
            {"id": f"d{number}", "text": lines[start : start + 20]}
            for number, start in enumerate(range(first, 1500, 20))
        ]
        write_text(material / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in documents))
    for name, count in (("train", 240), ("test", 60)):
        rows = [
            (lines[each], lines[each + each % 3], ("entailment", "neutral", "contradiction")[each % 3])
            for each in range(count)
        ]
        write_text(
            material / f"{name}.tsv",
            "".join("\t".join(row) + "\n" for row in [("premise", "hypothesis", "label"), *rows]),
        )
        write_text(
            material / f"{name}.json",
            json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": _paragraphs(lines[:count])}]}),
        )
    return material


def _paragraphs(lines: list[str]) -> list[dict[str, Any]]:
    made = []
    for number, line in enumerate(lines):
        answer = line.split()[2]
        answers = [{"text": answer, "answer_start": line.index(answer)}]
        made.append(
            {"context": line, "qas": [{"id": f"q{number}", "question": line.split()[1], "answers": answers}]}
        )
    return made


def _jobs(material: Path) -> list[Job]:
    model = str(material / "model")
    steps = ["--max-steps", "24", "--device", "cpu"]
    train = [
        "train", "--pairs", "en-sw=starter:en-sw", "--model", model, "-o", "run", *steps, "--batch-size", "16",
        "--freeze", "none", "--set", "held_out.size=40", "--set", "held_out.eval_steps=6", "--set", "optimization.logging_steps=4",
    ]  # fmt: skip
    mine = [
        "mine", f"{material}/a.txt", f"{material}/b.txt", "--model", model, "-o", "out/pairs.tsv", "--cache", "cache", "--json",
        "--device", "cpu",
    ]  # fmt: skip
    places = [f"{material}/sources.jsonl", f"{material}/targets.jsonl"]
    # Their reports say what was resumed, and by which engine.
    common = ["--model", model, "--cache", "cache", "--device", "cpu"]
    match = ["documents", "match", *places, "-o", "out/pairs.jsonl", *common]
    documents = ["documents", "mine", *places, "-o", "out/pairs.tsv", *common]
    nli = [
        "eval", "xnli", model, "--protocol", "finetune", "--train", f"{material}/train.tsv", "--dev", f"{material}/test.tsv",
        "--test", f"de={material}/test.tsv", "--run", "run", "-o", "report.json", *steps,
    ]  # fmt: skip
    squad = [
        "eval", "xquad", model, "--protocol", "span", "--train", f"{material}/train.json", "--data", f"de={material}/test.json", "--run", "run",
        "-o", "report.json", "--predictions", "answers", *steps,
        *(part for setting in ("max_length=32", "max_question_length=8", "stride=8", "save_steps=6") for part in ("--set", setting)),
    ]  # fmt: skip
    resumed = ["--resume", "--force"]
    return [
        Job("otembed train", train, [["train", "--resume", "run"]], ("run",)),
        Job("otembed mine", mine, [[*mine, "--force"]], ("out", "stdout.txt")),
        *(
            Job(
                f"otembed mine --engine {engine}",
                [*mine, "--engine", engine, "--workers", "2"],
                [[*mine, "--engine", engine, "--workers", "2", "--force"], [*mine, "--force"]],
                ("out", "stdout.txt"),
                ends,
            )
            for engine, ends in (("processes", WORKERS_END_WITHIN), ("ray", RAY_ENDS_WITHIN))
        ),
        Job("otembed documents match", match, [[*match, "--force"]], ("out",)),
        Job("otembed documents mine", documents, [[*documents, "--force"]], ("out",)),
        Job(
            "otembed documents mine --engine processes",
            [*documents, "--engine", "processes", "--workers", "2"],
            [[*documents, "--engine", "processes", "--workers", "2", "--force"], [*documents, "--force"]],
            ("out",),
        ),
        Job("otembed eval xnli --protocol finetune", nli, [[*nli, *resumed]], ("run", "report.json")),
        Job("otembed eval xquad --protocol span", squad, [[*squad, *resumed]], ("run", "report.json", "answers")),
    ]
