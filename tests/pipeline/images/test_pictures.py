"""What lies beside a raster for people: bounded, read back as it was, refused if it is damaged or
of another raster.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.images import pictures as module
from spikesam.pipeline.images.pictures import (
    NAME,
    Pictures,
    Seen,
    as_pictures,
    read_pictures,
    write_pictures,
)

DIGEST = "ab" * 32
RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)
MASK = RANDOM.random((5, 7)) < 0.5
SHOWN = Pictures((Seen("a", PICTURE, (0.0, 1.0, 3.5, 4.0), MASK), Seen("b")), ("cat", "dog"))


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_pictures(tmp_path, DIGEST, SHOWN)
    found = read_pictures(tmp_path, DIGEST)
    assert found is not None
    assert [(seen.name, seen.box) for seen in found] == [("a", (0.0, 1.0, 3.5, 4.0)), ("b", None)]
    assert found.class_names == SHOWN.class_names
    assert np.array_equal(found[0].picture, PICTURE) and np.array_equal(found[0].mask, MASK)
    assert found[1].picture is None and found[1].mask is None
    assert [found.class_name(number) for number in (-1, 1, 2)] == [None, "dog", "class 2"]
    assert read_pictures(tmp_path / "none", DIGEST) is None


def test_names_are_short_printable_and_told_apart(tmp_path: Path) -> None:
    classes = ("crane", "\x07", "crane")
    write_pictures(tmp_path, DIGEST, Pictures((Seen("\x1b[2J"), Seen("x" * 1000)), classes))
    found = read_pictures(tmp_path, DIGEST)
    assert found is not None
    assert all(name.isprintable() and len(name) <= 80 for name in (seen.name for seen in found))
    assert found.class_names == ("crane (0)", "?", "crane (2)")


def test_it_is_bounded() -> None:
    assert len(Pictures.first([Seen("x", np.zeros((1000, 1000, 3), np.uint8))] * 9, ())) == 2
    assert len(Pictures.first([Seen("x")] * 2000, ())) == 250
    assert len(Pictures.first([Seen("x", np.zeros((4000, 4000, 3), np.uint8))], ())) == 1


def edited(path: Path, **changed: bytes) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()} | {
            name.replace("__", "."): content for name, content in changed.items()
        }
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def blank_png(side: int) -> bytes:
    Image.new("1", (side, side)).save(image := io.BytesIO(), "PNG")
    return image.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("samples__json", b"{}", NAME),
        ("samples__json", b"[" * 100_000, NAME),
        ("samples__json", b'{"format":"other"}', NAME),
        (
            "samples__json",
            b"[" + b"[0]," * 131_072 + b"0]",
            "holds 262,145 commas, colons and brackets",
        ),
        ("00000__png", b"no picture", NAME),
        ("00000__png", b"", NAME),
        ("00000__png", blank_png(20_000), f"{NAME}.*pixels"),
        ("00000__png", blank_png(3), "has another size than its picture"),
    ],
)
def test_what_is_damaged_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    write_pictures(tmp_path, DIGEST, SHOWN)
    edited(tmp_path / NAME, **{name: content})
    with pytest.raises(InputError, match=message) as refused:
        read_pictures(tmp_path, DIGEST)
    assert "\n" not in str(refused.value)


def test_other_rasters_and_more_pixels_than_are_ever_written_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, DIGEST, Pictures((Seen("a", PICTURE), Seen("b", PICTURE))))
    with pytest.raises(InputError, match="of another raster"):
        read_pictures(tmp_path, "cd" * 32)
    monkeypatch.setattr(module, "LARGEST", 150)
    with pytest.raises(InputError, match="more than 150 bytes of pixels"):
        read_pictures(tmp_path, DIGEST)


@pytest.mark.parametrize(
    ("images", "normalisation", "expected"),
    [
        (np.full((2, 3, 5, 4), 200, np.uint8), None, 200),
        (np.full((2, 5, 4, 3), 7, np.uint8), None, 7),
        (np.full((2, 5, 4), 7, np.int64), None, 7),
        (torch.full((2, 1, 5, 4), 0.2), None, 51),
        (torch.full((2, 1, 5, 4), 1.0), (0.5, 0.25), 191),
        (torch.full((2, 3, 5, 4), -2.0), ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), 0),
        (np.ones((2, 1, 5, 4), bool), None, 255),
    ],
)
def test_images_as_people_see_them(images: object, normalisation: object, expected: int) -> None:
    found = as_pictures(images, normalisation)
    assert (found.shape, found.dtype) == ((2, 5, 4, 3), np.uint8)
    assert (found == expected).all()


def test_numbers_outside_of_0_to_1_are_stretched_image_by_image() -> None:
    found = as_pictures(np.array([[[[-2.0, 0.0, 2.0]]], [[[0.0, 0.5, 1.0]]]]), None)
    assert found[..., 0].tolist() == [[[0, 128, 255]], [[0, 128, 255]]]


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 5, 6)), np.zeros(3), np.zeros((0, 3, 2, 2)), [["a"]]]
)
def test_what_is_no_image_is_refused(images: object) -> None:
    with pytest.raises(InputError, match=r"^got \(.*expected images \(N, C, H, W\)"):
        as_pictures(images, None)
