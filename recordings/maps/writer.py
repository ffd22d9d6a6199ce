"""Writing a file of maps sample by sample."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.disk import reason
from spikesam.common.errors import InputError
from spikesam.common.lock import file_lock
from spikesam.recordings.maps.schema import MAP, SUM, MapHeader
from spikesam.recordings.schema import PREDICTION, SampleTable
from spikesam.recordings.writer import SampleRecord, SampleWriter, writing_samples


def make_map_record(
    header: MapHeader,
    sample: int,
    prediction: int,
    sums: Mapping[str, NDArray[np.float32]],
    maps: Mapping[str, NDArray[np.float32]],
) -> SampleRecord:
    """Encode the sample at position `sample`; may run in any thread.

    `sums` are (H, W) float32 for every layer; `maps` (S, H, W) float32, of the steps that are kept,
    of the first `stepped` samples. Another shape than the header says is a fault of the program, a
    ValueError; a number that is not finite, as gradients that leave float32 are, an InputError.
    """
    record = SampleRecord(sample, {PREDICTION: prediction})
    for layer in header.layers:
        values_by_name = {SUM: sums} | ({header.method: maps} if sample < header.stepped else {})
        for name, by_layer in values_by_name.items():
            dataset, values = header.one_sample[layer.path(name)], by_layer[layer.name]
            if values.shape != dataset.shape[1:]:
                mismatch = f"maps of shape {values.shape}, the header says {dataset.shape[1:]}"
                raise ValueError(f"{dataset.path}: {mismatch}")
            stored = np.ascontiguousarray(values, MAP)
            if not np.isfinite(stored).all():
                raise InputError(
                    f"layer {layer.name!r}: map of sample {sample} is not finite, it leaves float32"
                )
            record.encode(dataset, stored)
    return record


@contextmanager
def writing_maps(
    target: Path | str | io.BytesIO,
    header: MapHeader,
    samples: SampleTable,
    *,
    overwrite: bool = False,
) -> Iterator[SampleWriter]:
    """Write a file of maps as `writing_samples` does; an InputError if another writes it, or it
    cannot be written.
    """
    if header.stepped > len(samples):
        raise ValueError(f"{header.stepped} of {len(samples)} samples have maps step by step")
    identity: dict[str, Any] = {header.source_name: header.source}
    if isinstance(target, io.BytesIO):
        with writing_samples(target, header, samples, **identity) as writer:
            yield writer
        return
    path = Path(target)
    try:
        with (
            file_lock(path),
            writing_samples(path, header, samples, overwrite=overwrite, **identity) as writer,
        ):
            yield writer
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)})", "; free space or choose another {out}"
        ) from error
