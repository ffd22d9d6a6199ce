"""Small files of maps for the tests; `golden-maps-v5.h5` is what :func:`write` wrote."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.writer import SampleRecord

GOLDEN = Path(__file__).with_name("golden-maps-v5.h5")
KERNEL = {"gamma": 0.5, "variant": "paper", "include_current": True}
LAYERS = (MapLayer("input", 0, (4, 5), 4), MapLayer("conv1", 1, (2, 3), 5))
HEADER = MapHeader("sam", "cd" * 32, KERNEL, timesteps=6, layers=LAYERS, steps=(0, 2, 5), stepped=2)
SUMS_ALONE = replace(HEADER, steps=(), stepped=0)
SAMPLES = SampleTable(np.array([9, 4, 7]), np.array([0, -1, 2]))
PREDICTIONS = np.array([0, 1, 1], np.int32)


def made_up(header: MapHeader, layer: MapLayer, sample: int) -> NDArray[np.float32]:
    """Maps of a sample at the steps that the header keeps."""
    random = np.random.default_rng([sample, layer.number])
    return random.gamma(2, size=(header.timesteps, *layer.shape)).astype(np.float32)[
        list(header.steps)
    ]


def made_up_sum(layer: MapLayer, sample: int) -> NDArray[np.float32]:
    """A sum, which is not that of the maps."""
    return (
        np.random.default_rng([7, sample, layer.number])
        .gamma(9, size=layer.shape)
        .astype(np.float32)
    )


def map_record(header: MapHeader, sample: int) -> SampleRecord:
    """A sample, ready to store."""
    sums = {layer.name: made_up_sum(layer, sample) for layer in header.layers}
    maps = {
        layer.name: made_up(header, layer, sample)
        for layer in header.layers
        if sample < header.stepped
    }
    return make_map_record(header, sample, int(PREDICTIONS[sample]), sums, maps)


def write(path: Path, header: MapHeader = HEADER) -> Path:
    """Write three samples."""
    with writing_maps(path, header, SAMPLES) as writer:
        for sample in range(len(SAMPLES)):
            writer.add(sample, [map_record(header, sample)])
    return path
