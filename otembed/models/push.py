"""Push a model folder to the Hugging Face hub."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.config.hub import repository_name
from otembed.errors import ConfigError, HubError, OtembedError
from otembed.models.load import require_model
from otembed.results import Result
from otembed.results.paths import expand
from otembed.results.temporary import temporary_folder
from otembed.runtime.hub import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

CARD = "README.md"
RESULTS = ".eval_results"
RESULTS_FILE = "otembed.yaml"
# The name of the model in the example of sentence-transformers' card, as long as it has none on the hub.
PLACEHOLDER = "sentence_transformers_model_id"


@dataclass(frozen=True)
class PushReport(Result):
    """What was pushed, and where: ``url`` is the repository, ``commit`` the id of the commit in the branch ``revision``."""

    repository: str
    url: str
    revision: str
    commit: str
    private: bool
    files: int
    megabytes: float


def push_model(
    folder: str | Path, repository: str, *, private: bool = False, revision: str | None = None
) -> PushReport:
    """Push the files of a model folder in one commit; the repository and the branch are created if they do not exist.

    Hidden files stay where they are, except results in ``.eval_results``. The name of the repository replaces the
    placeholder in the example of the pushed card. The token is that of ``hf auth login`` or ``HF_TOKEN``.

    Parameters
    ----------
    folder
        A folder that ``SentenceTransformer`` loads.
    repository
        ``OWNER/NAME``.
    private
        Create the repository as private, and refuse one that is public.
    revision
        The branch; ``None`` is ``main``.

    Raises
    ------
    ConfigError
        ``repository`` is not a name.
    ModelError
        ``folder`` does not contain a model.
    HubError
        The hub refuses the login, the name or the files, or cannot be reached. Pushing again sends what is missing.
    """
    try:
        repository_name(repository)
    except ValueError as error:
        raise ConfigError(f"{repository!r} is not a repository: {error}", "Use OWNER/NAME.") from error
    source = expand(folder)
    require_model(source, str(folder))
    from huggingface_hub import HfApi

    api, branch = HfApi(library_name="otembed"), revision or "main"
    with temporary_folder() as staged, _hub_errors(repository):
        files, size = _stage(source, staged, repository)
        name = api.create_repo(repository, private=private or None, exist_ok=True).repo_id
        is_private = bool(api.model_info(name).private)
        if private and not is_private:
            raise HubError(
                f"cannot push to {repository} as private: it exists and is public", "Choose another name."
            )
        if branch != "main":
            api.create_branch(name, branch=branch, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the hub's remarks on the metadata of the card
            pushed = api.upload_folder(
                repo_id=name,
                folder_path=staged,
                revision=branch,
                commit_message="Push model with otembed",
                delete_patterns=[f"{RESULTS}/{RESULTS_FILE}"],
            )
    report = PushReport(
        repository=name,
        url=f"{api.endpoint}/{name}",
        revision=branch,
        commit=str(pushed.oid),
        private=is_private,
        files=files,
        megabytes=round(size / 1e6, 1),
    )
    logger.info("pushed the model to %s", report.url)
    return report


def check_push(repository: str, license: str | None = None) -> None:
    """Find out before a long run whether its model can be pushed; a hub out of reach is only reported.

    Raises
    ------
    HubError
        There is no token, or the hub does not accept it, or it only allows reading, or the hub does not know the license.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        login = HfApi(library_name="otembed").whoami()
        objection = None if license is None else _objection(license)
    except Exception as error:  # as in push_model
        answered = isinstance(error, LocalTokenNotFoundError) or (
            isinstance(error, HfHubHTTPError) and error.response.status_code < 500
        )
        if answered:
            raise _explained(error, repository) from error
        logger.warning("the hub cannot be reached now; the model is pushed to %s at the end of the run", repository)
        return
    if login.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(
            f"cannot push to {repository}: the token only allows reading",
            "Log in with a token that allows writing: hf auth login, or HF_TOKEN.",
        )
    if objection is not None:
        raise HubError(
            f"hub.license = {license!r}: the hub refuses it: {objection}",
            "Use an identifier of the hub, such as mit, apache-2.0, cc-by-4.0 or other.",
        )


def _objection(license: str) -> str | None:
    """Return what the hub has against a license, None if nothing."""
    from huggingface_hub import ModelCard, ModelCardData

    try:
        ModelCard(f"---\n{ModelCardData(license=license).to_yaml()}\n---\n").validate(repo_type="model")
    except ValueError as error:  # the answer of the hub, a JSON document
        with suppress(ValueError, TypeError, KeyError):
            return "; ".join(str(each["message"]) for each in json.loads(str(error))["errors"])
        return " ".join(str(error).split())
    return None


def _stage(source: Path, staged: Path, repository: str) -> tuple[int, int]:
    """Link the files to push into ``staged``, the card with the repository's name; return their number and bytes."""
    files, size = 0, 0
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        inner = path.relative_to(source)
        if any(part.startswith(".") and part != RESULTS for part in inner.parts):
            continue
        place = staged / inner
        place.parent.mkdir(parents=True, exist_ok=True)
        if str(inner) == CARD:
            card = path.read_text(encoding="utf-8")
            place.write_text(card.replace(f'"{PLACEHOLDER}"', f'"{repository}"'), encoding="utf-8")
        else:
            place.symlink_to(path.resolve())
        files, size = files + 1, size + place.stat().st_size
    return files, size


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    try:
        yield
    except OtembedError:
        raise
    except Exception as error:  # the client and its HTTP library raise many kinds of errors
        raise _explained(error, repository) from error


def _explained(error: Exception, repository: str) -> HubError:
    found = refusal(error)
    if found is not None:
        return HubError(f"cannot push to {repository}: {found.reason}", found.hint)
    reason = " ".join(str(error).split()) or type(error).__name__
    return HubError(f"cannot push to {repository}: {reason}", "Correct what the message names, and push again.")
