"""A model hub on the loopback address: as much of the protocol of huggingface.co as its real client needs.

Repositories live in memory. Names stand for what the hub does with them (see :class:`Repository`), so that a client in
another process meets every refusal without patches.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Files = dict[str, bytes]
STORED_LARGE = (".safetensors", ".parquet", ".bin")
KIND = r"/api/(?P<kind>model|dataset)s/(?P<name>[^/]+/[^/]+)"
LICENSES = ("mit", "apache-2.0", "other", "unknown")
WHEN = "2026-01-01T00:00:00.000Z"


@dataclass
class Repository:
    """Files by commit, branches, and what the hub does to a download.

    ``faults`` holds by path what happens to the next requests for its bytes: ``cut`` sends half of them and closes the
    connection, a number is the status of an answer.
    """

    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    faults: dict[str, list[str | int]] = field(default_factory=dict)

    def commit(self, branch: str, files: Files, message: str = "") -> str:
        oid = hashlib.sha1(f"{branch} {len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid], self.branches[branch] = files, oid
        self.messages.append(message)
        return oid

    def find(self, revision: str) -> tuple[str, Files] | None:
        oid = self.branches.get(revision, revision)
        return (oid, self.commits[oid]) if oid in self.commits else None


@dataclass
class Refused(Exception):
    """An answer that is not a success; ``code`` is the hub's ``X-Error-Code``."""

    status: int
    message: str
    code: str | None = None


class HubServer:
    """The hub; a context that serves while it is entered.

    Parameters
    ----------
    tokens
        Token to the name of its user and its role, ``write`` or ``read``.
    """

    def __init__(self, tokens: dict[str, tuple[str, str]]) -> None:
        self.tokens = tokens
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port; later requests are refused by the system."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def add(self, kind: str, name: str, files: Files | Path, **options: Any) -> Repository:
        """Add a repository with one commit; a folder stands for the files in it."""
        if not isinstance(files, dict):
            files = {str(each.relative_to(files)): each.read_bytes() for each in files.rglob("*") if each.is_file()}
        made = self.repositories[kind, name] = Repository(**options)
        made.commit("main", files, "initial commit")
        return made

    def gets(self, part: str) -> list[dict[str, str]]:
        """Return the headers of all requests for bytes whose path contains ``part``."""
        return [headers for method, path, headers in self.requests if method == "GET" and part in path]


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the listing of a tree shows it."""
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    if path.endswith(STORED_LARGE):
        found["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
    return found


def metadata_errors(content: str) -> Iterator[str]:
    """Say what is wrong with the metadata of a model card, as far as the hub's rules are known."""
    parts = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    try:
        metadata = yaml.safe_load(parts[1]) if parts else {}
    except yaml.YAMLError as error:
        yield f"not YAML: {error}"
        return
    if metadata.get("license", "unknown") not in LICENSES:
        yield f'"license" must be one of {LICENSES}'
    for model in metadata.get("model-index", []):
        if not isinstance(model.get("name"), str):
            yield '"model-index[0].name" is required'
        for result in model.get("results", []):
            for part, keys in (("task", ["type"]), ("dataset", ["name", "type"])):
                yield from (
                    f'"{part}.{key}" must be a string' for key in keys if not isinstance(result[part].get(key), str)
                )
            for metric in result["metrics"]:
                if not isinstance(metric["type"], str) or isinstance(metric["value"], bool):
                    yield '"metrics" need a type and a value'


class _Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so that no connection outlives its answer."""

    hub: ClassVar[HubServer]
    user: str | None = None

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.path, self.query = unquote(url.path), parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(
            (self.command, self.path, {key.lower(): text for key, text in self.headers.items()})
        )
        try:
            self._sign_in()
            for methods, pattern, action in ROUTES:
                found = re.fullmatch(pattern, self.path)
                if self.command in methods and found:
                    action(self, **found.groupdict())
                    return
            raise Refused(404, f"no such page: {self.path}")
        except Refused as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            self._send(refused.status, json.dumps({"error": refused.message}).encode(), headers)

    def _sign_in(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        self.user, self.role = self.hub.tokens.get(token, (None, "none"))

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, document: object, status: int = 200) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _repository(self, kind: str, name: str) -> Repository:
        found = self.hub.repositories.get((kind, name))
        if found is None or (found.private and self.user != name.split("/")[0]):
            if self.user is None:
                raise Refused(401, "Invalid username or password.")
            raise Refused(404, "Repository not found", "RepoNotFound")
        return found

    def _files(self, kind: str, name: str, revision: str) -> tuple[str, Files]:
        found = self._repository(kind, name).find(revision)
        if found is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _may_write(self, name: str) -> None:
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        if self.user != name.split("/")[0] or self.role != "write":
            raise Refused(403, f"You don't have the rights to write to {name.split('/')[0]}")

    # What the client asks.

    def front(self) -> None:
        self._send(200)

    def stop(self) -> None:
        self._send(200)
        threading.Thread(target=self.hub.stop).start()

    def whoami(self) -> None:
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        token = {"displayName": "test", "role": self.role}
        self._json({"type": "user", "name": self.user, "orgs": [], "auth": {"accessToken": token}})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        oid, files = self._files(kind, name, revision or "main")
        found = self._repository(kind, name)
        self._json(
            {
                "id": name,
                "sha": oid,
                "private": found.private,
                "gated": "manual" if found.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "lastModified": WHEN,
                "createdAt": WHEN,
                "siblings": [{"rfilename": path} for path in files],
            }
        )

    def tree(self, kind: str, name: str, revision: str, folder: str | None = None) -> None:
        _, files = self._files(kind, name, revision)
        head = f"{folder}/" if folder else ""
        below = {path: content for path, content in files.items() if path.startswith(head)}
        if head and not below:
            raise Refused(404, f"{folder} does not exist", "EntryNotFound")
        if self.query.get("recursive", ["false"])[0].lower() in {"true", "1"}:
            self._json([entry(path, content) for path, content in below.items()])
            return
        shown: dict[str, dict[str, Any]] = {}
        for path, content in below.items():
            first, slash, _ = path[len(head) :].partition("/")
            folder_entry = {"type": "directory", "path": head + first, "size": 0, "oid": "0" * 40}
            shown[first] = folder_entry if slash else entry(path, content)
        self._json(list(shown.values()))

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        _, files = self._files(kind, name, revision)
        if (self.headers.get("Content-Type") or "").startswith("application/json"):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode()).get("paths", [])
        found = [entry(path, files[path]) for path in paths if path in files]
        found += [
            {"type": "directory", "path": path, "oid": "0" * 40}
            for path in paths
            if any(each.startswith(f"{path}/") for each in files)
        ]
        self._json(found)

    def resolve(self, name: str, revision: str, path: str, kind: str = "model") -> None:
        oid, files = self._files(kind, name, revision)
        found = self._repository(kind, name)
        if found.gated:
            message = f"Access to {kind} {name} is restricted and you are not in the authorized list."
            raise Refused(401 if self.user is None else 403, message, "GatedRepo")
        if path not in files:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        content = files[path]
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes", "ETag": f'"{blob_id(content)}"'}
        if path.endswith(STORED_LARGE):
            self.hub.large[sha256(content)] = content
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256(content)}"'}
            # The client follows a redirect within one host itself, and takes the answer as the hub's.
            elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")
            headers["Location"] = f"{elsewhere}/cdn/{kind}/{name}/{sha256(content)}/{path}"
            self._send(302, b"", headers)
        else:
            self._bytes(content, headers, found.faults.get(path, []))

    def cdn(self, kind: str, name: str, oid: str, path: str) -> None:
        content = self.hub.large[oid]
        self._bytes(content, {"ETag": f'"{oid}"'}, self.hub.repositories[kind, name].faults.get(path, []))

    def _bytes(self, content: bytes, headers: dict[str, str], faults: list[str | int]) -> None:
        """Send a file, or the part of it that the range asks for."""
        fault = faults.pop(0) if faults and self.command == "GET" else None
        if isinstance(fault, int):
            raise Refused(fault, "try again later")
        status, begin, end = 200, 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            status, begin, end = 206, int(asked[1]), min(int(asked[2] or end - 1) + 1, end)
            headers = {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
        part = content[begin:end]
        if self.command == "HEAD" or fault is None:
            self._send(status, part, headers)
            return
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(part[: len(part) // 2])

    def create(self) -> None:
        asked = json.loads(self.body)
        kind, name = asked.get("type", "model"), f"{asked.get('organization') or self.user}/{asked['name']}"
        self._may_write(name)
        document = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        if (kind, name) in self.hub.repositories:
            self._json({**document, "error": "You already created this model repo"}, 409)
            return
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add(kind, name, {".gitattributes": b""}, private=private)
        self._json(document)

    def branch(self, kind: str, name: str, branch: str) -> None:
        self._may_write(name)
        found = self._repository(kind, name)
        if branch in found.branches:
            raise Refused(409, "Reference already exists")
        found.branches[branch] = found.branches["main"]
        self._json({})

    def validate(self) -> None:
        errors = [{"message": each} for each in metadata_errors(json.loads(self.body)["content"])]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, kind: str, name: str, revision: str) -> None:
        self._may_write(name)
        _, files = self._files(kind, name, revision)
        answers = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            mode = "lfs" if path.endswith(STORED_LARGE) else "regular"
            there = files.get(path)
            known = None if there is None else sha256(there) if mode == "lfs" else blob_id(there)
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
        self._json({"files": answers})

    def batch(self, name: str) -> None:
        self._may_write(name)
        objects = [
            {"oid": each["oid"], "size": each["size"]}
            | (
                {}
                if each["oid"] in self.hub.large
                else {"actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{each['oid']}"}}}
            )
            for each in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if sha256(self.body) != oid:
            raise Refused(400, "the bytes do not have this hash")
        self.hub.large[oid] = self.body
        self._send(200)

    def commit(self, kind: str, name: str, revision: str) -> None:
        self._may_write(name)
        _, files = self._files(kind, name, revision)
        files, message = dict(files), ""
        for line in self.body.splitlines():
            each = json.loads(line)
            value = each["value"]
            if each["key"] == "header":
                message = value["summary"]
            elif each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif each["key"] == "deletedFile":
                del files[value["path"]]
        oid = self._repository(kind, name).commit(revision, files, message)
        url = f"{self.hub.endpoint}/{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


ROUTES = (
    (("GET", "HEAD"), "/?", _Handler.front),
    (("POST",), "/stop", _Handler.stop),
    (("GET",), "/api/whoami-v2", _Handler.whoami),
    (("POST",), "/api/repos/create", _Handler.create),
    (("POST",), "/api/validate-yaml", _Handler.validate),
    (("GET",), f"{KIND}(/revision/(?P<revision>.+))?", _Handler.info),
    (("GET",), f"{KIND}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?", _Handler.tree),
    (("POST",), f"{KIND}/paths-info/(?P<revision>.+)", _Handler.paths_info),
    (("POST",), f"{KIND}/branch/(?P<branch>.+)", _Handler.branch),
    (("POST",), f"{KIND}/preupload/(?P<revision>.+)", _Handler.preupload),
    (("POST",), f"{KIND}/commit/(?P<revision>.+)", _Handler.commit),
    (("POST",), r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.batch),
    (("PUT",), "/lfs/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    (
        ("GET", "HEAD"),
        "/cdn/(?P<kind>[^/]+)/(?P<name>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})/(?P<path>.+)",
        _Handler.cdn,
    ),
    (
        ("GET", "HEAD"),
        "/(?P<kind>dataset)s/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
        _Handler.resolve,
    ),
    (("GET", "HEAD"), "/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)
