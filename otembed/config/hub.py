"""Settings of publishing a trained model on the Hugging Face hub. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from otembed.config.base import config_dataclass


def repository_name(value: str) -> str:
    """Return ``value`` if it is OWNER/NAME as the hub accepts it; ValueError otherwise."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if value.count("/") != 1:
        raise ValueError("must be OWNER/NAME")
    try:
        validate_repo_id(value)
    except HFValidationError as error:
        raise ValueError(f"must be OWNER/NAME: {error}") from error
    return value


def _benchmark(value: str) -> str:
    dataset, colon, task = value.partition(":")
    if not colon or not task.strip():
        raise ValueError("must be OWNER/NAME:TASK")
    repository_name(dataset)
    return value


Repository = Annotated[str, AfterValidator(repository_name)]


@config_dataclass
class HubConfig:
    """Publishing the model on the Hugging Face hub at the end of the run. The token comes from hf auth login or HF_TOKEN."""

    push: Repository | None = Field(
        default=None, description="Push the model to OWNER/NAME at the end of the run. null: do not push."
    )
    private: bool = Field(
        default=False, description="Create the repository as private, and refuse one that is public."
    )
    revision: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Branch to push to, created if it does not exist. null: main."
    )
    license: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="License in the model card, as the hub names it (mit, apache-2.0). null: that of the starting model,"
        " or unknown.",
    )
    benchmarks: dict[str, Annotated[str, AfterValidator(_benchmark)]] = Field(
        default_factory=dict,
        description="Benchmark dataset of the hub and its task, OWNER/NAME:TASK, by language pair of held_out.pairs: the"
        " pair's accuracy is written to .eval_results/ in the form of the hub.",
    )
