"""Rasters: opened, verified, read completely and explained."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .damage import damage
from .forge import forge_hdf5
from .structured import CONTENT_EDITS, edit
from .subject import Content, FileSubject


def sha(*parts: Any) -> str:
    """Identity of arrays and of whatever has a repr."""
    digest = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(f"{part.dtype}{part.shape}".encode() if array else repr(part).encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(part).tobytes() if array else b"")
    return digest.hexdigest()[:16]


def raster_content(raster: Any) -> Content:
    """Everything that an open raster says."""
    header = raster.header
    content = {
        f"header {name}": str(getattr(header, name))[:200] for name in header.__dataclass_fields__ if name != "layers"
    }
    content["texts"] = sha(*(getattr(header, name) for name in ("backend", "device", "dataset", "config")))
    content |= {"run_uuid": raster.run_uuid, "digest": raster.raster_digest, "names": str(list(raster))[:200]}
    content |= {"samples": sha(raster.samples.index, raster.samples.label, raster.predictions, raster.readout)}
    for layer in raster.layers:
        packed = [raster.packed(layer, sample) for sample in range(raster.n_samples)]
        content[f"layer {layer.name}"[:80]] = sha(layer, raster.counts(layer), raster.digests(layer), *packed)
    return content


def zero_heap(path: Path) -> str:
    """16 zeros where the first object of the first global heap says how large it is: HDF5 2.0.0 loops there."""
    data = path.read_bytes()
    if (at := data.find(b"GCOL")) < 0:
        return "no global heap to damage"
    path.write_bytes(data[: at + 16] + bytes(16) + data[at + 32 :])
    return f"16 zeros at {at + 16}, behind GCOL"


class Rasters(FileSubject):
    """Damaged and edited raster files."""

    name = "rasters"
    weight = 10.0
    modules = ("recordings.raster.reader", "pipeline.maps.explain", "spikesam")

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        import spikesam
        from tests.campaign.materials import small_checkpoint

        spikes = np.random.default_rng(0).random((2, 3, 2, 2, 2)) < 0.4
        spikesam.write_raster(base / "arrays.h5", {"conv1": spikes, "fc1": spikes[..., :1, :1]}, labels=[1, 0])
        images = np.random.default_rng(1).integers(0, 256, (3, 12, 12, 3), np.uint8)
        checkpoint = small_checkpoint()
        for name, precision in (("fixed", "fixed"), ("float", "float32")):
            spikesam.simulate(
                checkpoint, images, labels=[0, 1, -1], out=base / name, backend="event", precision=precision
            ).close()
            (base / name / "raster.h5").replace(base / f"{name}.h5")
        return [base / "arrays.h5", base / "fixed.h5", base / "float.h5"]

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        import spikesam

        with spikesam.open_raster(path) as raster:
            raster.verify()
            content = raster_content(raster)
            if "conv1" in list(raster):
                in_memory = spikesam.explain(spikesam.open_raster(path.read_bytes()))
                content["maps"] = sha(*(in_memory[name].sum for name in in_memory))
                assert in_memory.path is None
            return content

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        if number == 0:
            return zero_heap(path), False
        choice = random.random()
        if choice < 0.5:
            data, done = damage(random, path.read_bytes(), other)
            path.write_bytes(data)
            return done, False
        if choice < 0.9:
            return edit(path, random), False
        done = edit(path, random, CONTENT_EDITS)
        return f"{done}; {forge_hdf5(path, self.read)}", True
