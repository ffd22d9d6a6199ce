"""Images as a model takes them, and their labels, from whatever holds them: an array, batches, a
DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable

MOST = 1024  # images that are read of batches
SHAPES = "(N, C, H, W), (N, C, L) or (N, F)"
FORMS = (
    f"a tensor or array {SHAPES}, batches of them, or a DataLoader of images or (images, labels)"
)


def calibration_images(
    images: Any, labels: Any = None, most: int = MOST
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Images as the model takes them, float32, and their labels (N,), or None if none are given.

    An array is taken whole; of batches the first `most` images, and as many of `labels`.
    """
    limit = None
    if (
        _array(images) is None
        and isinstance(images, Iterable)
        and not isinstance(images, (str, bytes, dict))
    ):
        pairs, limit = list(_batches(images, most)), most
    else:
        pairs = [(images, None)]
    batches = [
        _checked(each, number if len(pairs) > 1 else 0) for number, (each, _) in enumerate(pairs, 1)
    ]
    if not sum(map(len, batches)):
        raise InputError(f"images: got none, expected {FORMS}")
    if unlike := next(
        (each.shape[1:] for each in batches if each.shape[1:] != batches[0].shape[1:]), None
    ):
        raise InputError(
            f"images: got some of {batches[0].shape[1:]} and some of {unlike}, expected one shape"
        )
    found = (np.concatenate(batches) if len(batches) > 1 else batches[0])[:limit]
    if labels is None and all(of_batch is not None for _, of_batch in pairs):
        labels = np.concatenate([np.atleast_1d(_numbers(of_batch)) for _, of_batch in pairs])
    if labels is None:
        return found, None
    numbers = _numbers(labels)
    return found, _labels(
        numbers[:limit] if numbers.ndim and len(found) == limit else numbers, len(found)
    )


def _batches(images: Iterable[Any], most: int) -> Iterator[tuple[Any, Any]]:
    """Batches and their labels, or None, until there are enough."""
    count = 0
    for batch in images:
        pair = (
            isinstance(batch, (tuple, list)) and len(batch) == 2 and np.ndim(_array(batch[0])) > 1
        )
        given, labels = batch if pair else (batch, None)
        yield given, labels
        count += len(given) if hasattr(given, "__len__") else 0
        if count >= most:
            return


def _array(given: Any) -> Any:
    """An array of a tensor or of an array; None of anything else."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if str(given.dtype) == "torch.bfloat16" else given.numpy()
    return np.asarray(given) if hasattr(given, "__array__") else None


def _checked(given: Any, number: int) -> NDArray[np.float32]:
    where, found = f"images, batch {number}" if number else "images", _array(given)
    if found is None:
        raise InputError(
            f"{where}: got {printable(type(given).__name__, LONGEST_NAME)}, expected {FORMS}"
        )
    dtype = str(given.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise InputError(f"{where}: have dtype {dtype}, expected float32, as the model takes them")
    if found.ndim not in (2, 3, 4) or 0 in found.shape[1:]:
        raise InputError(f"{where}: have shape {found.shape}, expected {SHAPES}")
    if not np.isfinite(found).all():
        raise InputError(f"{where}: hold NaN or infinite numbers, expected finite ones")
    return found.astype(np.float32, copy=False)


def _numbers(given: Any) -> NDArray[Any]:
    return np.asarray(given if _array(given) is None else _array(given))


def _labels(found: NDArray[Any], images: int) -> NDArray[np.int64]:
    if found.shape != (images,) or found.dtype.kind not in "iu":
        raise InputError(
            f"labels: got {found.dtype} of shape {found.shape} for {images} images, expected an "
            "integer for each"
        )
    return found.astype(np.int64)
