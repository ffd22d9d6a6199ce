"""Files of maps: opened and read completely."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .rasters import Rasters, sha
from .subject import Content


class Maps(Rasters):
    """Damaged and edited files of maps."""

    name = "maps"
    weight = 4.0

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        import spikesam

        spikes = np.random.default_rng(0).random((2, 3, 2, 4, 5)) < 0.4
        raster = spikesam.open_raster(
            spikesam.write_raster(base / "arrays.h5", {"conv1": spikes, "conv2": spikes[..., :2, :2]})
        )
        spikesam.explain(raster, base / "two.sam.h5", steps="::2", pictured=1).close()
        kernel = {"gamma": 0.0, "variant": "authors-code"}
        spikesam.explain(raster, base / "one.sam.h5", **kernel, layers=["conv1"], steps="none").close()
        return [base / "two.sam.h5", base / "one.sam.h5"]

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        return maps_content(path)


def maps_content(path: Path) -> Content:
    """Everything that a file of maps says."""
    import spikesam

    with spikesam.open_maps(path) as maps:
        header = maps.header
        content = {name: str(getattr(header, name))[:200] for name in header.__dataclass_fields__}
        content["samples"] = sha(maps.samples.index, maps.samples.label, maps.predictions)
        stepped = header.stepped
        return content | {f"maps of {name}"[:80]: sha(*maps[name][:stepped], maps[name].sum) for name in maps}
