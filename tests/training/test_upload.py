"""What is missing for a push is named in order: the folder, then the repository. The hub itself: tests/hub."""

from __future__ import annotations

import pytest

from otembed.errors import ConfigError, ModelError
from otembed.training import push


def test_a_missing_folder_is_named_before_the_missing_repository(tmp_path):
    with pytest.raises(ModelError, match="nothing") as found:
        push(tmp_path / "nothing")
    assert "run folder" in found.value.hint


def test_the_repository_is_needed(tiny_model_path):
    with pytest.raises(ConfigError) as found:
        push(tiny_model_path)
    assert "OWNER/NAME" in found.value.hint
