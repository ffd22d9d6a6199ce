"""The maps of one sample, ready to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.chunks import encode_chunks
from spikesam.recordings.digests import sample_digest
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.schema import SUM, MapHeader


@dataclass(frozen=True)
class MapRecord:
    """One sample: the class that the network chose, and by path in the file its encoded chunks and their digest."""

    prediction: int
    chunks: dict[str, list[bytes]]
    digests: dict[str, bytes]


def make_map_record(
    header: MapHeader,
    sample: int,
    prediction: int,
    sums: Mapping[str, NDArray[np.float32]],
    maps: Mapping[str, NDArray[np.float32]],
) -> MapRecord:
    """Encode one sample, by its position among those of the header; may run in any thread.

    Parameters
    ----------
    sums : (H, W) float32 for every layer
    maps : (S, H, W) float32 for every layer, of the steps that are kept; of the first `stepped` samples alone

    Raises
    ------
    ValueError : if an array is of another shape than the header says, a fault of the program
    InputError : if a map holds a number that is not finite, as gradients that leave float32 are
    """
    record = MapRecord(prediction, {}, {})
    for layer in header.layers:
        for path, spec, rows in header.datasets(layer, sample + 1):
            if sample < rows:
                given, sizes = (sums if spec is SUM else maps)[layer.name], header.sizes(layer, 1)
                if given.shape != (shape := spec.shape(sizes)[1:]):
                    raise ValueError(f"{path}: maps of shape {given.shape}, the header says {shape}")
                stored = np.ascontiguousarray(given, spec.dtype)
                if not np.isfinite(stored).all():
                    raise InputError(f"layer {layer.name!r}: map of sample {sample} is not finite, it leaves float32")
                record.chunks[path] = list(encode_chunks(stored, spec.chunks(sizes)[1]))
                record.digests[path] = sample_digest(stored)
    return record
