"""A user's own images, and how `open_dataset` tells what lies at a path."""

import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import open_dataset
from tests.pipeline.images.datasets.conftest import save


def test_class_folders(pets):
    data = open_dataset(str(pets), "val")
    assert data.name.startswith("pets/val#")
    assert str(pets.parent) not in data.name
    assert data.classes == data.class_names == ("bird", "cat", "dog")
    assert data.labels == (0, 1, 2, 2)
    assert [(item.name, item.index) for item in data] == [
        ("bird/q.tif", 0), ("cat/z.webp", 1), ("dog/a.jpg", 2), ("dog/b.png", 3),
    ]  # fmt: skip
    assert data[0].image.size == (20, 10)


def test_other_files_make_another_data_set(pets):
    before = open_dataset(str(pets), "val").name
    save(pets / "cat" / "z.webp", size=(300, 300))
    assert open_dataset(str(pets), "val").name != before


def test_train_and_val_folders(tmp_path):
    save(tmp_path / "train" / "a" / "1.png")
    save(tmp_path / "train" / "b" / "2.png")
    save(tmp_path / "val" / "b" / "3.png")
    assert open_dataset(str(tmp_path), "train").labels == (0, 1)
    assert [item.name for item in open_dataset(str(tmp_path), "val", ["a", "b"])] == ["b/3.png"]
    (tmp_path / "val" / "b" / "3.png").unlink()
    with pytest.raises(
        InputError, match=r"has no val part; expected class folders of images or events in .*/val"
    ):
        open_dataset(str(tmp_path), "val")


def test_image_files_in_the_given_order(tmp_path):
    files = [tmp_path / "z.png", tmp_path / "a.jpg"]
    for file in files:
        save(file)
    data = open_dataset([str(file) for file in files], "val", ["cat", "dog"])
    assert [(item.name, item.label, item.index) for item in data] == [
        ("z.png", None, 0),
        ("a.jpg", None, 1),
    ]
    assert data.labels == (None, None)
    assert (data.classes, data.skipped) == (("cat", "dog"), 0)
    assert [item.name for item in open_dataset(str(files[0]), "val")] == ["z.png"]
    assert [item.name for item in open_dataset(str(tmp_path), "val")] == [
        "a.jpg",
        "z.png",
    ]  # a folder of images


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "clutered-digits",
            "clutered-digits: no such data set or file; expected a name .*did you mean "
            "'cluttered-dig",
        ),
        ("photos/cat.jpg", "photos/cat.jpg: no such data set or file; expected a name"),
        ([], "data: got nothing, expected a name"),
        (["a.jpg", "b.jpg"], "a.jpg: no such file"),
        ("hollow", "hollow: a folder without images or events; expected a name"),
        (["cat.png", "hollow"], "hollow: a folder among several files; give one folder"),
    ],
)
def test_nothing_usable(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hollow").mkdir()
    save(tmp_path / "cat.png")
    with pytest.raises(InputError, match=message):
        open_dataset(source, "val")


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("cat.png", {"split": "test"}, "got split 'test', expected 'train' or 'val'"),
        ("cat.png", {"split": "selection"}, "got split 'selection', expected 'train' or 'val'"),
        ("cluttered-digits", {"size": 0}, "cluttered-digits/val: got size 0, expected at least 1"),
        (
            "cat.png",
            {"size": 10},
            "size belongs to chirps, cluttered-digits, contrast-digits, saccade-digits",
        ),
    ],
)
def test_arguments_that_do_not_belong(source, arguments, message):
    with pytest.raises(InputError, match=message):
        open_dataset(source, **({"split": "val"} | arguments))
