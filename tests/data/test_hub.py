import datasets
import pytest

from otembed.data import parse_pair_spec, read_pairs
from otembed.errors import DataError

EN, SW = ["Yes", "No", None], ["Ndiyo", "Hapana", "x"]
EXPECTED = [("Yes", "Ndiyo", 1), ("No", "Hapana", 2), ("", "x", 3)]


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def saved(tmp_path):
    def saved(data, name="saved"):
        data.save_to_disk(tmp_path / name)
        return tmp_path / name

    return saved


def table(**columns):
    return datasets.Dataset.from_dict(columns)


@pytest.mark.parametrize("names", [("en", "sw"), ("source", "target"), ("sentence1", "sentence2")])
def test_saved_dataset(saved, read, names):
    assert read(saved(table(id=[1, 2, 3], **dict(zip(names, (EN, SW), strict=True))))) == EXPECTED


def test_saved_dataset_with_chosen_columns(saved, read, refused):
    folder = saved(table(eng=EN, swh=SW))
    assert read(f"{folder}?source=eng&target=swh") == EXPECTED
    assert "no columns for en and sw among: eng, swh" in refused(folder).message
    error = refused(f"{folder}?source=eng&target=swa")
    assert ("no field 'swa'" in error.message, error.hint) == (True, "Did you mean 'swh'?")


def test_saved_translation_set(saved, read):
    rows = [{"en": a, "sw": b} for a, b in zip(EN, SW, strict=True)]
    assert read(saved(table(translation=rows))) == EXPECTED


def test_saved_dictionary(saved, read, refused):
    folder = saved(datasets.DatasetDict(train=table(en=EN, sw=SW), validation=table(en=["a"], sw=["b"])))
    assert read(folder) == EXPECTED
    assert read(f"{folder}?split=validation") == [("a", "b", 1)]
    error = refused(f"{folder}?split=test")
    assert ("no split 'test'" in error.message, error.hint) == (True, "Name one with ?split=: train, validation.")
    assert refused(f"{folder}?split=valdation").hint == "Did you mean 'validation'?"


def test_split_of_a_dataset_without_splits(saved, refused):
    assert "the dataset has no splits" in refused(f"{saved(table(en=EN, sw=SW))}?split=train").message


def test_damaged_saved_dataset(saved, refused):
    folder = saved(table(en=EN, sw=SW))
    next(folder.glob("*.arrow")).write_bytes(b"nothing")
    assert "not a sound saved dataset" in refused(folder).message


def test_empty_saved_dataset(saved, refused):
    assert isinstance(refused(saved(table(en=[], sw=[]))), DataError)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Let the loader of ``datasets`` find a folder of this machine under the hub name."""
    real, calls = datasets.load_dataset, []

    def load(path, name=None, **options):
        calls.append((path, name, options))
        return real(str(tmp_path / "repository"), name, cache_dir=str(tmp_path / "cache"), **options)

    monkeypatch.setattr("datasets.load.load_dataset", load)
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository", calls


def test_hub_streams_a_split(hub, read):
    folder, calls = hub
    (folder / "train.jsonl").write_text('{"translation": {"en": "Yes", "sw": "Ndiyo"}}\n' * 2)
    (folder / "test.jsonl").write_text('{"translation": {"en": "No", "sw": "Hapana"}}\n')
    assert read("hub:a/b") == [("Yes", "Ndiyo", 1), ("Yes", "Ndiyo", 2)]
    assert read("hub:a/b@test") == [("No", "Hapana", 1)]
    assert calls[0] == ("a/b", None, {"split": "train", "streaming": True})


def test_hub_passes_the_configuration(monkeypatch, read):
    def load(path, name=None, *, split, streaming):
        assert (path, name, split, streaming) == ("a/b", "en-sw", "dev", True)
        return [{"eng": "Yes", "swh": "Ndiyo"}]

    monkeypatch.setattr("datasets.load.load_dataset", load)
    assert read("hub:a/b:en-sw@dev?source=eng&target=swh") == [("Yes", "Ndiyo", 1)]


def test_hub_without_the_split_or_the_columns(hub, refused):
    folder, _ = hub
    (folder / "train.jsonl").write_text('{"a": "Yes"}\n')
    error = refused("hub:a/b@dev")
    assert isinstance(error, DataError)
    assert error.message.startswith("cannot read hub:a/b@dev: ")
    assert "without a network" in error.hint
    assert "hub:a/b@train: no columns for en and sw among: a" in refused("hub:a/b").message


def test_hub_out_of_reach(monkeypatch, refused):
    def load(*_, **__):
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\ndetails")

    monkeypatch.setattr("datasets.load.load_dataset", load)
    error = refused("hub:a/b")
    assert error.message == "cannot read hub:a/b@train: Couldn't reach 'a/b' on the Hub"
    assert "save_to_disk" in error.hint


def test_hub_that_breaks_off(monkeypatch):
    def rows():
        yield {"en": "Yes", "sw": "Ndiyo"}
        raise RuntimeError

    monkeypatch.setattr("datasets.load.load_dataset", lambda *_, **__: rows())
    read = read_pairs(parse_pair_spec("en-sw", "hub:a/b"))
    assert next(read) == ("Yes", "Ndiyo", 1)
    with pytest.raises(DataError, match="cannot read hub:a/b@train: RuntimeError"):
        next(read)
