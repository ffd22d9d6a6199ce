"""Calibration images: the same array from every form in which they are given, and what is
refused.
"""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from spikesam.common.errors import InputError
from spikesam.pipeline.images.calibration import calibration_images

IMAGES = torch.rand(5, 1, 2, 3)
LABELS = torch.arange(5)


@pytest.mark.parametrize(
    ("given", "labelled"),
    [
        (IMAGES, False),
        (IMAGES.double().numpy(), False),
        (list(IMAGES.split(2)), False),
        (iter(IMAGES.split(2)), False),
        (DataLoader(IMAGES, batch_size=2), False),
        (DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2), True),
        ([(IMAGES[:4], [0, 1, 2, 3]), (IMAGES[4:], np.array([4]))], True),
    ],
)
def test_every_form_is_one_array(given, labelled):
    images, labels = calibration_images(given)
    assert images.dtype == np.float32 and np.array_equal(images, IMAGES.numpy())
    assert labels.tolist() == LABELS.tolist() if labelled else labels is None


def test_as_many_as_are_asked_for():
    images, labels = calibration_images(
        ((IMAGES, LABELS) for _ in iter(int, 1)), limit_of_images=7
    )  # endless
    assert (len(images), labels.tolist()) == (7, [0, 1, 2, 3, 4, 0, 1])
    for one_batch in ([(IMAGES, LABELS)], DataLoader(TensorDataset(IMAGES, LABELS), batch_size=5)):
        images, labels = calibration_images(one_batch, limit_of_images=3)
        assert (len(images), labels.tolist()) == (3, [0, 1, 2])
    images, labels = calibration_images(IMAGES.split(2), LABELS, limit_of_images=3)
    assert (len(images), labels.tolist()) == (3, [0, 1, 2])
    assert calibration_images(IMAGES.flatten(1), LABELS.tolist())[1].tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("given", "labels", "reason"),
    [
        ([], None, "images: got none, expected a tensor or array"),
        (IMAGES[:0], None, "images: got none"),
        ("cat.png", None, "images: got str, expected a tensor or array"),
        ([[1.0, 2.0]], None, "images: got list, expected a tensor"),
        (IMAGES.half(), None, "images: have dtype float16, expected float32"),
        (IMAGES.bfloat16(), None, "images: have dtype bfloat16, expected float32"),
        (
            (IMAGES * 255).byte(),
            None,
            "images: have dtype uint8, expected float32, as the model takes them",
        ),
        (
            IMAGES[0, 0, 0],
            None,
            r"images: have shape \(3,\), expected \(N, C, H, W\), \(N, C, L\) or \(N, F\)",
        ),
        (
            [IMAGES, IMAGES / 0],
            None,
            "images, batch 2: hold NaN or infinite numbers, expected finite ones",
        ),
        (
            [IMAGES, IMAGES[..., 1:]],
            None,
            r"images: got some of \(1, 2, 3\) and some of \(1, 2, 2\), expected one shape",
        ),
        (
            IMAGES,
            LABELS[1:],
            r"labels: got int64 of shape \(4,\) for 5 images, expected an integer for each",
        ),
        (
            iter([IMAGES, np.ma.masked_array(IMAGES.numpy(), True)]),
            None,
            "images: batch 2 has a mask, which would be lost",
        ),
        (IMAGES.split(2), LABELS[1:], r"labels: got int64 of shape \(4,\) for 5 images"),
        (IMAGES, LABELS / 2, "labels: got float32 of shape"),
    ],
)
def test_refusals(given, labels, reason):
    with pytest.raises(InputError, match=f"^{reason}"):
        calibration_images(given, labels)
