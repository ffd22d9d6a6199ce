"""The maps of one sample, ready to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recordings.chunks import encode_chunks
from recordings.digests import sample_digest

from .schema import MAPS, SUM, MapHeader, MapLayer


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
    """Encode one sample; may run in any thread.

    Parameters
    ----------
    sample : its position among those of the header
    prediction : the class that the network chose, -1 if unknown
    sums : (H, W) float32 for every layer
    maps : (S, H, W) float32 for every layer, of the steps that are kept; of the first `stepped` samples alone

    Raises
    ------
    ValueError : if an array is of another shape than the header says, a fault of the program
    """
    record = MapRecord(prediction, {}, {})
    for layer in header.layers:
        _add(record, header, header.sum_path(layer), layer, sums[layer.name], layer.shape)
        if sample < header.stepped:
            _add(record, header, header.path(layer), layer, maps[layer.name], (len(header.steps), *layer.shape))
    return record


def _add(
    record: MapRecord,
    header: MapHeader,
    path: str,
    layer: MapLayer,
    maps: NDArray[np.float32],
    shape: tuple[int, ...],
) -> None:
    if maps.shape != shape:
        raise ValueError(f"{path}: maps of shape {maps.shape}, the header says {shape}")
    stored = np.ascontiguousarray(maps, MAPS.dtype)
    rows = (SUM if len(shape) == 2 else MAPS).chunks(header.sizes(layer, 1))[1]  # or steps, of a chunk
    record.chunks[path] = list(encode_chunks(stored, rows))
    record.digests[path] = sample_digest(stored)
