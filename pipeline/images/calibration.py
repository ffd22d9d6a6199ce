"""Images as a model takes them, and their labels, from whatever holds them: an array, batches, a
DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import unreadable
from spikesam.common.constraints import is_tensor
from spikesam.common.errors import InputError, finding
from spikesam.common.text import LONGEST_NAME, printable

MOST = 1024  # images that are read of batches
SHAPES = "(N, C, H, W), (N, C, L) or (N, F)"
FORMS = (
    f"a tensor or array {SHAPES}, batches of them, or a DataLoader of images or (images, labels)"
)


def calibration_images(
    images: Any, labels: Any = None, limit_of_images: int = MOST
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Images as the model takes them, float32, and their labels (N,), or None if none are given.

    An array is taken whole; of batches the first `limit_of_images` images, and as many of `labels`.
    """
    limit = None
    if (
        _array(images) is None
        and isinstance(images, Iterable)
        and not isinstance(images, (str, bytes, dict))
    ):
        pairs, limit = list(_batches(images, limit_of_images)), limit_of_images
    else:
        pairs = [(images, None)]
    batches = [
        _checked(images, number if len(pairs) > 1 else 0)
        for number, (images, _) in enumerate(pairs, 1)
    ]
    if not sum(map(len, batches)):
        raise InputError(f"images: got none, expected {FORMS}")
    if unlike := next(
        (batch.shape[1:] for batch in batches if batch.shape[1:] != batches[0].shape[1:]), None
    ):
        raise InputError(
            f"images: got some of {batches[0].shape[1:]} and some of {unlike}, expected one shape"
        )
    values = (np.concatenate(batches) if len(batches) > 1 else batches[0])[:limit]
    if labels is None and all(of_batch is not None for _, of_batch in pairs):
        labels = np.concatenate([np.atleast_1d(_numbers(of_batch)) for _, of_batch in pairs])
    if labels is None:
        return values, None
    numbers = _numbers(labels)
    return values, _labels(
        numbers[:limit] if numbers.ndim and len(values) == limit else numbers, len(values)
    )


def _batches(images: Iterable[Any], max_images: int) -> Iterator[tuple[Any, Any]]:
    """Batches and their labels, or None, until there are enough."""
    count = 0
    for number, batch in enumerate(islice(images, max_images), 1):
        if problem := unreadable(batch):
            raise InputError(f"images: batch {number} {problem}")
        pair = (
            isinstance(batch, (tuple, list)) and len(batch) == 2 and np.ndim(_array(batch[0])) > 1
        )
        batch_images, labels = batch if pair else (batch, None)
        yield batch_images, labels
        count += len(batch_images) if hasattr(batch_images, "__len__") else 0
        if count >= max_images:
            return


def _array(tensor_or_array: Any) -> Any:
    """An array of a tensor or of an array; None of anything else."""
    if is_tensor(tensor_or_array):
        tensor_or_array = tensor_or_array.detach().cpu()
        tensor_or_array = (
            tensor_or_array.float()
            if str(tensor_or_array.dtype) == "torch.bfloat16"
            else tensor_or_array.numpy()
        )
    return np.asarray(tensor_or_array) if hasattr(tensor_or_array, "__array__") else None


def _checked(batch: Any, number: int) -> NDArray[np.float32]:
    where, values = f"images, batch {number}" if number else "images", _array(batch)
    if values is None:
        raise InputError(
            f"{where}: got {printable(type(batch).__name__, LONGEST_NAME)}, expected {FORMS}"
        )
    dtype = str(batch.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise InputError(f"{where}: have dtype {dtype}, expected float32, as the model takes them")
    if values.ndim not in (2, 3, 4) or 0 in values.shape[1:]:
        raise InputError(f"{where}: have shape {values.shape}, expected {SHAPES}")
    if not np.isfinite(values).all():
        raise InputError(f"{where}: hold NaN or infinite numbers, expected finite ones")
    return values.astype(np.float32, copy=False)


def _numbers(labels: Any) -> NDArray[Any]:
    try:
        return np.asarray(labels if _array(labels) is None else _array(labels))
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"labels: {finding(error)}, expected whole numbers") from None


def _labels(labels: NDArray[Any], images: int) -> NDArray[np.int64]:
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels: got {labels.dtype} of shape {labels.shape} for {images} images, expected an "
            "integer for each"
        )
    return labels.astype(np.int64)
