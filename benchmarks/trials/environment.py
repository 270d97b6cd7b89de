"""Poor environments: encodings, closed streams, no home folder, folders that cannot be written, odd paths, no network.

Every command runs first in the environment of this process; elsewhere it must end in the same way with the same output.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from otembed.diagnostics.tiny import SENTENCES, tiny_encoder
from otembed.results.outcomes import Outcomes
from trials.base import Trial

# A user without an entry in the table of users; only root can become one. May read everything, because Python itself may
# lie in a folder of root, but write only what everyone may.
STRANGER = [
    "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
]  # fmt: skip
SECONDS = 300
# Leaves room for the imports, which take most of it, but not for the retries of a client of the hub.
NO_NETWORK_SECONDS = 30
# The reports that these commands write to OUT differ between runs only in these.
VOLATILE = ("seconds", "versions", "command", "date", "environment")
COMMANDS: dict[str, list[str]] = {
    "--help": ["--help"],
    "config init": ["config", "init"],
    "config show": ["config", "show", "--preset", "starter"],
    "info": ["info"],
    "train": [
        "train", "--pairs", "en-de=TEXT/pairs.tsv", "--model", "TEXT/model", "-o", "OUT/run", "--max-steps", "2",
        "--batch-size", "8", "--device", "cpu", "--freeze", "none", "--set", "held_out.size=8",
    ],
    "mine": ["mine", "TEXT/en.txt", "TEXT/de.txt", "-m", "TEXT/model", "-o", "OUT/mined.tsv", "--cache", "OUT/cache"],
    "mine to stdout": ["mine", "TEXT/en.txt", "TEXT/de.txt", "-m", "TEXT/model", "--cache", "OUT/cache"],
    "eval retrieval": [
        "eval", "retrieval", "TEXT/model", "--pairs", "en-de=TEXT/pairs.tsv", "-o", "OUT/retrieval.json",
    ],
    "eval alignment": [
        "eval", "alignment", "TEXT/model", "--gold", "猫=TEXT/words,TEXT/links", "-o", "OUT/alignment.json",
    ],
    "compare": ["compare", "alt→=TEXT/a.json", "neu=TEXT/b.json", "--html", "OUT/page.html", "-o", "OUT/compared.json"],
    "export": ["export", "TEXT/model", "OUT/exported", "--check"],
    "align --map": ["align", "the cat sleeps", "die Katze schläft", "--model", "TEXT/model", "--map"],
    "align --json": ["align", "the 猫 sleeps", "die Katze schläft", "--model", "TEXT/model", "--json"],
    "align --plot": [
        "align", "the cat", "die Katze", "--model", "TEXT/model", "--no-map", "--plot", "OUT/map.svg",
    ],
}  # fmt: skip
SMOKE = ("--help", "mine", "align --map")


@dataclass
class Environment:
    """One environment: ``fault`` names it, ``variables`` are set, or removed if None."""

    fault: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    encoding: str = "utf-8"
    closed: str = ""
    stranger: bool = False
    folder: str = "work"


def environments(unwritable: Path) -> list[Environment]:
    """Return the environments; ``unwritable`` lies below a file, where no folder can exist."""
    c_locale = {"LC_ALL": "C", "LANG": None, "PYTHONIOENCODING": None, "PYTHONUTF8": None}
    ascii_only = c_locale | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    home = str(unwritable / "home")
    nowhere = {"HOME": home, "XDG_CACHE_HOME": home, "NUMBA_CACHE_DIR": home, "MPLCONFIGDIR": home, "HF_HOME": home}
    found = [
        Environment("LC_ALL=C", c_locale),
        Environment("a locale of ASCII, without Python's own correction", ascii_only, "ascii"),
        Environment("stdout and stderr in ASCII", {"PYTHONIOENCODING": "ascii"}, "ascii"),
        Environment("stdout and stderr in cp1252", {"PYTHONIOENCODING": "cp1252"}, "cp1252"),
        Environment("closed stdin", closed="<&-"),
        Environment("closed stdout", closed=">&-"),
        Environment("closed stdin, stdout and stderr", closed="<&- >&- 2>&-"),
        Environment("OMP_NUM_THREADS=1", {"OMP_NUM_THREADS": "1"}),
        Environment("paths with spaces, quotes and several scripts", folder="мой каталог/猫 'é\" ไทย"),
        Environment("HOME and the caches of numba, matplotlib and the hub cannot be written", nowhere),
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv"):
        homeless = dict.fromkeys(("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "OTEMBED_CACHE"))
        found += [
            Environment("no HOME and no entry of the user; read-only installation", homeless, stranger=True),
            Environment("HOME cannot be written; read-only installation", nowhere, stranger=True),
        ]
    return found


class Place:
    """A folder with the same inputs for every environment."""

    def __init__(self, folder: Path, prepared: Path) -> None:
        self.text, self.out = folder / "text", folder / "out"
        folder.mkdir(parents=True)
        shutil.copytree(prepared, self.text)
        self.out.mkdir()
        for each in (self.out, folder):
            each.chmod(0o777)

    def filled(self, arguments: list[str]) -> list[str]:
        """Return arguments with the files of this folder."""
        return [each.replace("TEXT/", f"{self.text}/").replace("OUT/", f"{self.out}/") for each in arguments]


def prepare(folder: Path, seed: int) -> None:
    """Write a tiny model, parallel text, word links and two result files."""
    draw = random.Random(seed)
    folder.mkdir()
    tiny_encoder(folder / "parts").save(str(folder / "model"), create_model_card=False)
    rows = [
        (f"{number} {draw.choice(SENTENCES)[0]}", f"{draw.choice(SENTENCES)[1]} {number}") for number in range(60)
    ]
    files = {
        "pairs.tsv": "".join(f"{source}\t{target}\n" for source, target in rows),
        "en.txt": "".join(f"{source}\n" for source, _ in rows),
        "de.txt": "".join(f"{target}\n" for _, target in rows),
        "words": "the cat sleeps ||| die Katze schläft\n",
        "links": "1 1 1\n1 2 2\n1 3 3\n",
    }
    for name, right in (("a.json", 100), ("b.json", 120)):
        outcome = vars(Outcomes("xnli", "猫→sw", "accuracy", "lines", (1,) * right + (0,) * (200 - right)))
        files[name] = json.dumps({"schema": 1, "kind": "XnliReport", "outcomes": [outcome]}, ensure_ascii=False)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def start(environment: Environment, arguments: list[str], place: Place) -> subprocess.CompletedProcess[bytes]:
    """Run a command in an environment, with the working directory of the place."""
    variables = {
        name: value for name, value in os.environ.items() if environment.variables.get(name, "") is not None
    }
    variables |= {name: value for name, value in environment.variables.items() if value is not None}
    line = [sys.executable, "-m", "otembed.cli", *place.filled(arguments)]
    if environment.closed:
        line = ["sh", "-c", f'exec "$@" {environment.closed}', "sh", *line]
    if environment.stranger:
        line = STRANGER + line
    return subprocess.run(line, env=variables, cwd=place.out, capture_output=True, check=False, timeout=SECONDS)


def outputs(place: Place, command: str) -> dict[str, str]:
    """Return digests of what a command wrote and does not depend on time or place."""
    wanted = [each.removeprefix("OUT/") for each in COMMANDS[command] if each.startswith("OUT/")]
    found = {}
    for name in (each for each in wanted if each != "cache"):
        path = place.out / name
        files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
        for file in files:
            content = file.read_bytes()
            if file.suffix == ".json":
                document = {key: value for key, value in json.loads(content).items() if key not in VOLATILE}
                text = json.dumps(document, sort_keys=True, ensure_ascii=False)
                content = text.replace(json.dumps(str(place.text), ensure_ascii=False)[1:-1], "TEXT").encode(
                    errors="surrogatepass"
                )
            if file.suffix != ".html":  # names its command, and with it the folder
                found[str(file.relative_to(place.out))] = hashlib.sha256(content).hexdigest()
            else:
                found[str(file.relative_to(place.out))] = "written"
    return found


def differences(environment: Environment, command: str, place: Place, expected: dict[str, str]) -> tuple[bool, str]:
    """Run a command; return whether everything is as expected, and what is not."""
    try:
        done = start(environment, COMMANDS[command], place)
    except subprocess.TimeoutExpired:
        return False, f"{command}: not finished after {SECONDS} s"
    errors = done.stderr.decode(environment.encoding, "replace")
    last = (errors.strip().splitlines() or [""])[-1]
    if done.returncode != 0 or "Traceback" in errors:
        return False, f"{command}: exit code {done.returncode}: {last}"
    try:
        done.stdout.decode("utf-8" if command == "mine to stdout" else environment.encoding)
    except UnicodeDecodeError as error:
        return False, f"{command}: stdout is not {environment.encoding}: {error}"
    if "align --json" in command and ">&-" not in environment.closed:
        words = json.loads(done.stdout.decode(environment.encoding))["pairs"][0]
        if "猫" not in json.dumps(words, ensure_ascii=False):
            return False, f"{command}: a word changed: {words}"
    strays = sorted(each.name for each in place.out.iterdir() if each.name.startswith("~"))
    if strays:
        return False, f"{command}: wrote {strays}"
    found = outputs(place, command)
    return found == expected, f"{command}: {found} instead of {expected}"


def no_network(smoke: bool, place: Place) -> Trial:
    """Name models of the hub that are nowhere on this machine, without a network."""
    trial = Trial(
        "environment", "a model of the hub, without a network", f"exit 2 with a hint within {NO_NETWORK_SECONDS} s"
    )
    # A proxy that does not answer, wherever this runs.
    dead = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    offline = Environment("", {**dead, "HF_HOME": str(place.out / "hub"), "HF_HUB_OFFLINE": None})
    for name in ("no-such-model",) if smoke else ("no-such-model", "owner/no-such-model"):
        begun = time.monotonic()
        done = start(offline, ["export", name, "OUT/none"], place)
        spent = time.monotonic() - begun
        held = done.returncode == 2 and b"offline:" in done.stderr and b"Traceback" not in done.stderr
        trial.check(held and spent < NO_NETWORK_SECONDS, f"{name}: exit code {done.returncode} after {spent:.0f} s")
    return trial


def run(smoke: bool, seed: int) -> Iterator[Trial]:
    """Run every command in every environment."""
    commands = SMOKE if smoke else tuple(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="otembed-trials-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        prepare(folder / "prepared", seed)
        (folder / "file").touch()
        usual = Place(folder / "usual", folder / "prepared")
        expected = {}
        for command in commands:
            done = start(Environment("none"), COMMANDS[command], usual)
            if done.returncode != 0:
                raise RuntimeError(f"{command} fails in the usual environment: {done.stderr.decode()}")
            expected[command] = outputs(usual, command)
        for number, environment in enumerate(environments(folder / "file")):
            trial = Trial("environment", environment.fault, "exit 0, no traceback, the same output")
            place = Place(folder / str(number) / environment.folder, folder / "prepared")
            for command in commands:
                trial.check(*differences(environment, command, place, expected[command]))
            yield trial
        yield no_network(smoke, usual)
