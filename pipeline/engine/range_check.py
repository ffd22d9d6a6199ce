"""Whether a range file holds what its record says, and what the run asked for.

Whoever can write in the folder of a run can write digests that fit. So a file that this process has not written is
read like any file from outside: HDF5 by the readers of rasters and of maps, which open it in a process of its own
first, and every bit of it. Then its parts are compared with each other and with the specification of the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from spikesam.pipeline.engine.job import JobSpec, differences
from spikesam.pipeline.engine.range_file import RangeFile, RangeRecord
from spikesam.pipeline.maps.localisation import GUESSES, OF_LAYERS
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.recordings.errors import InputError, RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import PRECISIONS, LayerSpec
from spikesam.recordings.text import printable

STAGES = 32  # whose seconds a record may have
LONGEST_TEXT = 4096  # characters, of a path whose bytes are no UTF-8 and are spelt out


def check_range(file: RangeFile, spec: JobSpec, *, recorded: bool) -> None:
    """Read all of a file.

    Parameters
    ----------
    recorded : whether `raster.h5` is there, so that files need no spikes

    Raises
    ------
    RasterError : if anything in it is not what the run would have written
    """
    maps = ["maps"] if spec.keep.maps is not None else []
    expected = [["raster", *maps] if spec.keep.spikes else maps, *([maps] if recorded else [])]
    with _named(file):
        _expect(list(file.sections.seals) in expected, f"the sections {' and '.join(expected[0])}")
        _check_record(file.record, spec)
        for name in file.sections.seals:
            {"raster": _check_raster, "maps": _check_maps}[name](file.sections.read(name), file.record, spec)


@contextmanager
def _named(file: RangeFile) -> Iterator[None]:
    """Name the file in what is refused."""
    try:
        yield
    except InputError as error:
        path, text = str(file.path), str(error)
        if text.startswith(path):
            raise
        raise RasterError(f"{path}: damaged or forged, {text}; compute its samples again") from error


def _check_record(record: RangeRecord, spec: JobSpec) -> None:
    count, classes = record.count, spec.header.classes
    layers = {layer.name: layer for layer in spec.recorded}
    columns = [record.names, record.predictions, record.readout, *record.spikes.values(), *record.digests.values()]
    _expect(all(len(column) == count for column in columns), f"all columns of its record to have {count} rows")
    _expect(record.spikes.keys() == record.digests.keys() == layers.keys(), "its layers to be those of the run")
    for name, layer in layers.items():
        most = spec.header.timesteps * layer.neurons
        _expect(all(0 <= spikes <= most for spikes in record.spikes[name]), f"at most {most:,} spikes in {name}")
        _expect(all(re.fullmatch("[0-9a-f]{64}", digest) for digest in record.digests[name]), "its digests")
    _expect(all(len(row) == classes > 0 for row in record.readout), f"a readout of {classes} classes")
    readout = np.array(record.readout, np.float64)
    with np.errstate(all="ignore"):  # of numbers that the precision does not have
        kept = readout.astype(PRECISIONS[spec.header.precision])
    _expect(bool(np.isfinite(readout).all()) and np.array_equal(readout, kept), f"a {spec.header.precision} readout")
    _expect(list(record.predictions) == readout.argmax(axis=1).tolist(), "its predictions to be those of its readout")
    texts = [*record.names, record.backend, record.device]
    _expect(all(len(text) <= LONGEST_TEXT and text == printable(text) for text in texts), "short printable names")
    if spec.header.precision == "float32":
        same = (record.backend, record.device) == (spec.header.backend, spec.header.device)
        _expect(same, f"{spec.header.backend} on {spec.header.device}")
    stages = record.seconds
    _expect(len(stages) <= STAGES and all(re.fullmatch("[a-z]{1,32}", stage) for stage in stages), "names of stages")
    _expect(all(0 <= seconds < math.inf for seconds in stages.values()), "finite seconds")
    _check_scores(record, spec.spatial)


def _check_scores(record: RangeRecord, layers: Collection[LayerSpec]) -> None:
    names = {layer.name for layer in layers}
    for score in record.scores:
        method = (score.layer in names and score.method in OF_LAYERS) or (not score.layer and score.method in GUESSES)
        known = method and score.measure in MEASURES and score.image in record.positions
        _expect(known and math.isfinite(score.value), "scores of its samples and layers")


def _check_raster(content: bytes, record: RangeRecord, spec: JobSpec) -> None:
    samples = spec.samples[record.first : record.first + record.count]
    with RasterReader(content) as raster:
        found, header = raster.header, spec.header
        if wrong := differences(found, raster.samples, header, samples):
            raise RasterError(f"its raster is another run's ({wrong[0]})")
        same = replace(found, backend=header.backend, device=header.device, config=header.config, dt=header.dt)
        _expect(same == header and raster.run_uuid == spec.run_uuid, "its raster to be of this run")
        _expect((found.backend, found.device) == (record.backend, record.device), "one backend and device")
        raster.verify()
        _expect(raster.predictions.tolist() == list(record.predictions), "one prediction of each sample")
        _expect(raster.readout.tolist() == [list(row) for row in record.readout], "one readout of each sample")
        for layer in raster.layers:
            counts, digests = raster.counts(layer).sum(axis=1, dtype=int), raster.digests(layer)
            _expect(counts.tolist() == list(record.spikes[layer.name]), f"one number of spikes in {layer.name}")
            _expect([digest.decode() for digest in digests] == record.digests[layer.name], "one digest of each sample")


def _check_maps(content: bytes, record: RangeRecord, spec: JobSpec) -> None:
    samples = spec.samples[record.first : record.first + record.count]
    with MapReader(content) as maps:
        expected = spec.maps(record.positions, spec.digest(record.digests))
        _expect(maps.header == expected, "its maps to be those of its spikes, as this run makes them")
        same = all(np.array_equal(getattr(maps.samples, name), getattr(samples, name)) for name in ("index", "label"))
        _expect(same and maps.predictions.tolist() == list(record.predictions), "its maps to be of these samples")
        maps.verify()


def _expect(holds: bool, expected: str) -> None:
    if not holds:
        raise RasterError(f"expected {expected}")
