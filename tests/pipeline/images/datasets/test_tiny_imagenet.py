"""Tiny-ImageNet: the official layout as folder and zip, whole and in parts."""

import gc
import multiprocessing
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.pipeline.images.datasets import open_dataset
from tests.pipeline.images.datasets.conftest import CAT, DOG, FISH, zipped


def summary(dataset):
    return [
        (
            item.name,
            item.label,
            item.index,
            item.box,
            np.asarray(item.image)[0, 0, 0].item(),
            item.image.mode,
        )
        for item in dataset
    ]


def test_training_part(layout):
    data = open_dataset(str(layout), "train")
    assert data.name == "tiny-imagenet/train"
    assert data.classes == (FISH, DOG, CAT)
    assert data.class_names == ("goldfish", DOG, "Egyptian cat")
    assert data.labels == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    assert [item.index for item in data] == [0, 1, 10, 500, 501, 510, 1000, 1001, 1010]
    assert data[5].name == f"{DOG}_10"
    assert data[5].box == (10, 2, 34, 64)  # the file's ends are inclusive


def test_validation_part(layout):
    data = open_dataset(str(layout), "val")
    assert [(item.name, item.label, item.index, item.box) for item in data] == [
        ("val_3", 0, 3, (1, 1, 10, 10)),
        ("val_20", 1, 20, (5, 6, 8, 9)),
        ("val_100", 2, 100, (0, 0, 64, 64)),
    ]


@pytest.mark.parametrize("split", ["train", "val"])
def test_zip_and_folder_are_the_same(layout, split, tmp_path):
    expected = summary(open_dataset(str(layout), split))
    assert summary(open_dataset(str(layout.parent), split)) == expected
    assert summary(open_dataset(str(zipped(layout, tmp_path / "data.zip")), split)) == expected
    bare = tmp_path / "bare.zip"
    with zipfile.ZipFile(bare, "w") as archive:
        for path in layout.rglob("*"):
            archive.write(path, path.relative_to(layout))
    assert summary(open_dataset(str(bare), split)) == expected


@pytest.mark.parametrize(
    "classes", [("Goldfish", "egyptian_cat"), ("goldfish, Carassius auratus", CAT), (FISH, CAT)]
)
def test_classes_are_asked_for_by_identifier_or_name(layout, classes):
    data = open_dataset(str(layout), "val", classes)
    assert (data.classes, data.labels) == ((FISH, CAT), (0, 1))


def test_names_that_are_misspelt_or_of_several_classes_are_refused(layout):
    with pytest.raises(
        InputError, match=r"\(goldfsh\); it has goldfish, .*; did you mean 'goldfish'\?"
    ):
        open_dataset(str(layout), "val", ["goldfsh"])
    (layout / "words.txt").write_text(f"{CAT}\tcrane\n{FISH}\tcrane\n")
    with pytest.raises(InputError, match="none of its 3 items is of a class asked for"):
        open_dataset(str(layout), "val", ["crane"])


def test_without_lists_and_parts(layout):
    for name in ("wnids.txt", "words.txt"):
        (layout / name).unlink()
    (layout / "train").rename(layout / "away")
    data = open_dataset(str(layout), "val")
    assert data.classes == data.class_names == (FISH, DOG, CAT) == tuple(sorted(data.classes))
    with pytest.raises(InputError, match="has no train part; expected train/<wnid>/images"):
        open_dataset(str(layout), "train")
    (layout / "away").rename(layout / "train")
    shutil.rmtree(layout / "val")
    assert len(open_dataset(str(layout), "train")) == 9
    with pytest.raises(InputError, match="has no val part; expected val/val_annotations.txt"):
        open_dataset(str(layout), "val")


def test_names_without_numbers_are_indexed_as_listed(layout):
    images = layout / "train" / DOG / "images"
    (images / f"{DOG}_1.JPEG").rename(images / "rex.JPEG")
    data = open_dataset(str(layout), "train")
    assert [item.index for item in data] == list(range(9))
    assert [item.name for item in data][3:6] == [f"{DOG}_0", f"{DOG}_10", "rex"]


def test_a_broken_image_and_a_damaged_zip_member_are_named(layout, tmp_path):
    member = "tiny-imagenet-200/val/images/val_20.JPEG"
    file = zipped(layout, tmp_path / "data.zip")
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo(member).header_offset
    content = bytearray(file.read_bytes())
    content[start + 150] ^= 0xFF
    file.write_bytes(content)
    (layout / "val" / "images" / "val_20.JPEG").write_bytes(b"")
    empty = zipped(layout, tmp_path / "empty.zip")
    for path, message in (
        (empty, rf"empty\.zip: {member}: the file is empty"),
        (file, r"val_20\.JPEG is damaged \(Bad CRC-32"),
    ):
        data = open_dataset(str(path), "val")
        with pytest.raises(InputError, match=message):
            data[1]
        assert data[0].index == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"val_3.JPEG {CAT} 0 0", "val/val_annotations.txt, line 1: got 4 fields, expected 6"),
        (f"val_3.JPEG {CAT} 0 0 x 63", "got box '0 0 x 63', expected four finite numbers"),
    ],
)
def test_malformed_annotations(layout, line, message):
    (layout / "val" / "val_annotations.txt").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        open_dataset(str(layout), "val")


def written(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.filterwarnings("error")  # Python would warn of a file that nobody closed
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: written(path, **{"a/" * 30_000 + "readme.txt": "hello"}),
            "30,001 folders inside each other, expected at most 32",
        ),
        (
            lambda path: written(path, **{f"{n}" + "/a" * 30 + "/b": "" for n in range(2200)}),
            "more than 65,536 folders, expected one for each class",
        ),
        (
            lambda path: written(path, **{"apple/0.png": ""}),
            "not in the Tiny-ImageNet layout; expected train/<wnid>/images",
        ),
        (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), "damaged zip file"),
        (lambda path: path.write_bytes(b"PK"), "damaged zip file"),
    ],
)
def test_zips_that_are_refused_are_closed(tmp_path, make, message):
    make(tmp_path / "a.zip")
    with pytest.raises(InputError, match=rf"a\.zip: {message}"):
        open_dataset(str(tmp_path / "a.zip"), "val")
    gc.collect()


def _red_values(dataset, positions, queue):
    queue.put([np.asarray(dataset[i].image)[0, 0, 0].item() for i in positions])


@pytest.mark.filterwarnings(
    "ignore:.*use of fork:DeprecationWarning"
)  # which is what this is about
def test_a_zip_is_read_by_several_processes_at_once(layout, tmp_path):
    data = open_dataset(str(zipped(layout, tmp_path / "data.zip")), "train")
    positions = list(range(9)) * 20
    expected = [
        np.asarray(data[i].image)[0, 0, 0].item() for i in positions
    ]  # the parent's handle is open by now
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_red_values, args=(data, positions, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=30) for _ in workers] == [expected] * 2
    for worker in workers:
        worker.join(30)


def test_pickling_drops_the_handle(layout, tmp_path):
    data = open_dataset(str(zipped(layout, tmp_path / "data.zip")), "val")
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    copy = pickle.loads(pickle.dumps(data))
    assert open_files is None or len(os.listdir("/proc/self/fd")) == open_files
    assert summary(copy) == summary(data)


def test_the_real_thing(shared):
    path = str(shared / "data" / "tiny-imagenet-20.zip")
    training, validation = open_dataset(path, "train"), open_dataset(path, "val")
    assert (len(training), len(validation), len(training.classes)) == (10_000, 500, 20)
    assert training.classes == validation.classes
    assert training.class_names[:2] == ("goldfish", "king penguin")
    assert np.bincount(validation.labels).tolist() == [25] * 20
    first = training[0]
    assert (first.name, first.index, first.box) == ("n01443537_0", 0, (0, 10, 64, 59))
    boxes = np.array([validation[i].box for i in range(len(validation))])
    assert boxes.min() == 0
    assert boxes.max() == 64
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    ten = open_dataset(path, "val", ["n07873807", FISH])
    assert (len(ten), ten.skipped, ten.class_names) == (50, 450, ("pizza", "goldfish"))
    assert {item.image.mode for item in ten} == {"RGB"}
