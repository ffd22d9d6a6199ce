"""Rasters: opened, verified, read completely and explained. Maps: opened and read completely."""

from pathlib import Path
from random import Random

import numpy as np

import spikesam
from tests.campaign.forge import forge_hdf5
from tests.campaign.formats.base import Content, Format, sha
from tests.campaign.formats.checkpoints import small_checkpoint
from tests.campaign.structured import CONTENT_EDITS, EDITS, edit


def rasters(base: Path) -> list[Path]:
    """One made of arrays, two of simulations."""
    spikes = np.random.default_rng(0).random((2, 3, 2, 2, 2)) < 0.4
    spikesam.write_raster(
        base / "arrays.h5", {"conv1": spikes, "fc1": spikes[..., :1, :1]}, labels=[1, 0]
    )
    images = np.random.default_rng(1).integers(0, 256, (3, 12, 12, 3), np.uint8)
    for name, precision in (("fixed", "fixed"), ("float", "float32")):
        made = {"out": base / name, "backend": "event", "precision": precision}
        spikesam.simulate(small_checkpoint(), images, labels=[0, 1, -1], **made).close()
        (base / name / "raster.h5").replace(base / f"{name}.h5")
    return [base / "arrays.h5", base / "fixed.h5", base / "float.h5"]


def read_raster(path: Path) -> Content:
    """Everything that a raster says, and the maps of its bytes."""
    with spikesam.open_raster(path) as raster:
        raster.verify()
        header = raster.header
        content = {
            f"header {name}": str(getattr(header, name))[:200]
            for name in header.__dataclass_fields__
        }
        del content["header layers"]
        content["texts"] = sha(
            *(getattr(header, name) for name in ("backend", "device", "dataset", "config"))
        )
        content |= {
            "run_uuid": raster.run_uuid,
            "digest": raster.raster_digest,
            "names": str(list(raster))[:200],
        }
        content |= {
            "samples": sha(
                raster.samples.index, raster.samples.label, raster.predictions, raster.readout
            )
        }
        for layer in raster.layers:
            packed = [raster.packed(layer, sample) for sample in range(raster.n_samples)]
            content[f"layer {layer.name}"[:80]] = sha(
                layer, raster.counts(layer), raster.digests(layer), *packed
            )
        if "conv1" in list(raster):
            in_memory = spikesam.explain(spikesam.open_raster(path.read_bytes()))
            content["maps"] = sha(*(in_memory[name].sum for name in in_memory))
            assert in_memory.path is None
        return content


def maps(base: Path) -> list[Path]:
    """One with maps of some steps, one with sums alone."""
    spikes = np.random.default_rng(0).random((2, 3, 2, 4, 5)) < 0.4
    layers = {"conv1": spikes, "conv2": spikes[..., :2, :2]}
    raster = spikesam.open_raster(spikesam.write_raster(base / "arrays.h5", layers))
    spikesam.explain(raster, out=base / "two.sam.h5", steps="::2", pictured=1).close()
    kernel = {"gamma": 0.0, "variant": "authors-code"}
    spikesam.explain(
        raster, out=base / "one.sam.h5", **kernel, layers=["conv1"], steps="none"
    ).close()
    return [base / "two.sam.h5", base / "one.sam.h5"]


def read_maps(path: Path) -> Content:
    """Everything that a file of maps says."""
    with spikesam.open_maps(path) as found:
        header = found.header
        content = {name: str(getattr(header, name))[:200] for name in header.__dataclass_fields__}
        content["samples"] = sha(found.samples.index, found.samples.label, found.predictions)
        stepped = header.stepped
        return content | {
            f"maps of {name}"[:80]: sha(*found[name][:stepped], found[name].sum) for name in found
        }


def edit_hdf5(random: Random, path: Path) -> tuple[str, bool]:
    """Edits that HDF5 allows; or edits of values, with digests made anew."""
    if random.random() < 0.8:
        return edit(path, random, EDITS), False
    done = edit(path, random, CONTENT_EDITS)
    return (
        f"{done}; {forge_hdf5(path, read_maps if path.name.endswith('.sam.h5') else read_raster)}",
        True,
    )


RASTERS = Format(rasters, read_raster, edit_hdf5)
MAPS = Format(maps, read_maps, edit_hdf5)
