"""Counted operations: opened beside their raster, and read completely."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import spikesam
from spikesam.recordings.counted_operations import (
    NAME,
    CountedModule,
    OperationsSpool,
    operations_beside,
)
from tests.campaign.formats.base import Content, Format, sha

SPIKES = {"conv1": np.random.default_rng(0).random((2, 3, 2, 2, 2)) < 0.4}
MODULES = [
    CountedModule(name="features.0", layer="conv1", dense=72, macs=24),
    CountedModule(name="product", layer="", dense=9, macs=3),
]


def operations(base: Path) -> list[Path]:
    """Of one module, and of two."""
    spikesam.write_raster(base / "raster.h5", SPIKES)
    paths = []
    for number in (1, 2):
        counts = np.random.default_rng(number).integers(0, 1 << 40, (2, number, 2, 3))
        spool = OperationsSpool(base)
        spool.add(MODULES[:number], counts)
        with spikesam.open_raster(base / "raster.h5") as raster:
            spool.write(raster)
        spool.discard()
        paths.append((base / NAME).rename(base / f"{number}.safetensors"))
    return paths


def read(path: Path) -> Content:
    """Every module, and its operations."""
    with TemporaryDirectory() as folder:
        raster_path = spikesam.write_raster(Path(folder) / "raster.h5", SPIKES)
        shutil.copyfile(path, Path(folder) / NAME)
        with (
            spikesam.open_raster(raster_path) as raster,
            operations_beside(raster) as counted,
        ):
            assert counted is not None
            modules = {
                f"module {number}": str(module) for number, module in enumerate(counted.modules)
            }
            samples = [counted.sample(number) for number in range(raster.n_samples)]
            return modules | {"samples": sha(*samples)}


OPERATIONS = Format(operations, read)
