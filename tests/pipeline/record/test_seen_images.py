"""Images and names that a recording is given reach the page and the figures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spikesam
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.images.pictures import NAME, pictures_beside
from spikesam.pipeline.record.record import record
from spikesam.recordings.errors import InputError
from tests.pipeline.record.test_record import B, SnnTorch, images, run

NAMES = ["cat", "dog", "cat", "bird"]


def recorded(out: Path, shown: Any, **options: Any) -> None:
    model = SnnTorch()
    with record(model, out, **options) as recording:
        for _ in range(2):
            recording.finish(run(model, images()), labels=[0, 1, 3], images=shown)


def page(folder: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', spikesam.report(folder, folder / "page.html").read_text(), re.DOTALL)
    assert found
    (content,) = json.loads(found[1])["runs"]
    return dict(content)


def test_the_page_of_a_recorded_network_has_images_and_names(tmp_path: Path) -> None:
    recorded(tmp_path, torch.rand(B, 3, 6, 6) * 4 - 2, class_names=NAMES, input_normalisation=(0.5, 0.25))
    samples = page(tmp_path)["samples"]
    assert [sample["label"] for sample in samples] == ["cat (0)", "dog", "bird"] * 2
    assert all(sample["picture"]["shape"] == [6, 6] for sample in samples)
    assert all(sample["predicted"] in ("cat (0)", "dog", "cat (2)", "bird") for sample in samples)


def test_figures_show_them_too(tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (B, 6, 6, 3), np.uint8)
    recorded(tmp_path, shown, class_names=NAMES)
    with spikesam.open_raster(tmp_path / "raster.h5") as raster:
        subjects = recorded_subjects(raster, raster.predictions, pictures_beside(raster))
    assert len(subjects) == 2 * B
    for sample, subject in enumerate(subjects):
        assert subject.image is not None
        assert np.array_equal(np.rint(subject.image * 255), shown[sample % B])
    assert [subject.true for subject in subjects[:3]] == ["cat (0)", "dog", "bird"]


def test_without_images_nothing_lies_there_and_nothing_old_stays(tmp_path: Path) -> None:
    recorded(tmp_path, torch.rand(B, 1, 6, 6))
    assert (tmp_path / NAME).is_file()
    recorded(tmp_path, None, overwrite=True)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("shown", "options", "message"),
    [
        (None, {"class_names": ["cat", "dog"]}, "class_names: got 2 names, expected one for each of 4 classes"),
        (torch.rand(B + 1, 3, 6, 6), {}, "finish: images: got 4, expected 3, as many as fired"),
        (torch.rand(B, 5, 6, 6), {}, r"finish: images: got \(3, 5, 6, 6\) float32, expected images"),
        (5, {}, r"finish: images: got \(\) int64, expected images"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    tmp_path: Path, shown: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recorded(tmp_path / "out", shown, **options)
    assert not (tmp_path / "out").exists()
