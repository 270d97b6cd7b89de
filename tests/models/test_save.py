from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from torch import nn

from otembed.errors import ModelError, OutputError
from otembed.models import check_saveable, save_model

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["the cat sat on the mat", "кошка спит в доме", "แมว นอน ใน บ้าน", "猫睡在房子里"]


class ForeignHead(nn.Module):
    """A module that no other application knows."""

    def forward(self, features: dict[str, object]) -> dict[str, object]:
        return features

    def save(self, output_path: str) -> None:
        """Nothing to save."""


def load(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_wordpiece_model"])
def test_saved_model_gives_the_same_vectors(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(fixture)
    folder = save_model(model, tmp_path / "out" / "model")
    loaded = load(folder)
    np.testing.assert_allclose(loaded.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert loaded.prompts == model.prompts
    assert loaded.max_seq_length == model.max_seq_length
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_changed_max_seq_length_is_saved(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model.max_seq_length = 12
    assert load(save_model(tiny_model, tmp_path / "m")).max_seq_length == 12


def test_saved_model_loads_without_otembed(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    folder = save_model(tiny_model, tmp_path / "m")
    code = (
        "import sys; from sentence_transformers import SentenceTransformer as S; sys.modules['otembed'] = None;"
        f"print(S({str(folder)!r}, device='cpu', local_files_only=True).encode('the cat').shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(32,)"


def test_model_card_is_optional(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    assert (save_model(tiny_model, tmp_path / "with") / "README.md").is_file()
    assert not (save_model(tiny_model, tmp_path / "without", model_card=False) / "README.md").exists()


def test_existing_folder_is_rejected_unless_overwrite(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    folder = save_model(tiny_model, tmp_path / "m")
    (folder / "trace").touch()
    with pytest.raises(ModelError, match="overwrite=True"):
        save_model(tiny_model, folder)
    save_model(tiny_model, folder, overwrite=True)
    assert not (folder / "trace").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_empty_folder_is_used(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert (save_model(tiny_model, tmp_path / "m") / "modules.json").is_file()


def test_only_model_folders_are_overwritten(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="cannot overwrite"):
        save_model(tiny_model, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").is_file()


def test_file_at_the_target_is_rejected(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(ModelError, match="/f: it is a file"):
        save_model(tiny_model, tmp_path / "f")


def test_failed_save_leaves_the_earlier_model(
    tiny_model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(tiny_model, tmp_path / "m")

    def full_disk(*_args: object, **_kwargs: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(type(tiny_model[1]), "save", full_disk)
    with pytest.raises(OutputError, match=r"m: .*No space left"):
        save_model(tiny_model, folder, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    np.testing.assert_allclose(load(folder).encode(TEXTS), tiny_model.encode(TEXTS), atol=1e-6)


def test_custom_modules_are_rejected(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    tiny_model.append(ForeignHead())
    with pytest.raises(ModelError, match=r"ForeignHead\n.*trust_remote_code"):
        save_model(tiny_model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_plain_models_pass_the_check(tiny_model: SentenceTransformer) -> None:
    check_saveable(tiny_model)
