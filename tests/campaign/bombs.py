"""Files that are small and ask for much: rasters, zips, images, TOML."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .configs import Configs
from .images import Images
from .inflated import png_bomb, share_chunks, zip_bomb
from .outcomes import Outcome
from .rasters import Rasters
from .subject import Finding, Subject, load_plan, save_plan
from .zips import Zips, members

KINDS = ("large raster", "many samples", "shared chunks", "zip", "zip that lies", "png", "toml")


class Bombs(Subject):
    """Small files that ask for much memory or time: valid ones are read in pieces, others refused."""

    name = "bombs"
    weight = 0.05
    seconds = 60.0
    memory = 1 << 30
    modules = (*Rasters.modules, *Zips.modules, *Images.modules, *Configs.modules)

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        import spikesam

        one = spikesam.SpikeEvents(sample=[0], step=[0], neuron=[5], shape=(1, 16384, 1, 256, 512))
        spikesam.write_raster(base / "large.h5", {"conv1": one})
        many = spikesam.SpikeEvents(sample=[0], step=[0], neuron=[5], shape=(512, 4, 1, 512, 1024))
        spikesam.write_raster(base / "many.h5", {"conv1": many})
        equal = np.zeros((64, 8, 1, 512, 2048), bool)
        equal[:, 0, 0, 0, ::3] = True
        spikesam.write_raster(base / "equal.h5", {"conv1": equal})

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        kind = KINDS[number % len(KINDS)]
        path = case / {"zip": "a.zip", "zip that lies": "a.zip", "png": "a.png", "toml": "a.toml"}.get(kind, "a.h5")
        if kind in ("large raster", "many samples"):
            path.write_bytes((base / ("large.h5" if kind == "large raster" else "many.h5")).read_bytes())
        elif kind == "shared chunks":
            path.write_bytes(share_chunks((base / "equal.h5").read_bytes()))
        elif path.suffix == ".zip":
            files = members()
            names = sorted(name for name in files if name.endswith(random.choice((".JPEG", "_0.JPEG"))))
            path.write_bytes(zip_bomb(names, 1200 << 20, None if kind == "zip" else 10))
            with zipfile.ZipFile(path, "a") as made:
                for name in files.keys() - set(names):
                    made.writestr(name, files[name])
        elif kind == "png":
            path.write_bytes(png_bomb(13300, 13300, random.choice((1, 8))))
        else:
            path.write_text(random.choice(("a = " + "[" * 10**6, "[run]\nseed = " + "9" * 10**6, "a.b" * 10**6)))
        save_plan(case, {"kind": kind, "file": path.name})
        return f"{kind}, {path.stat().st_size:,} bytes"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        plan = load_plan(case)
        path = case / plan["file"]
        if path.suffix == ".h5":
            _explain(path)
            if plan["kind"] == "shared chunks":
                return Outcome.WRONG, "chunks that share their bytes were accepted"
        else:
            {".zip": Zips(), ".png": Images(), ".toml": Configs()}[path.suffix].read(path)
        return Outcome.OTHER, "read within the limits"


def _explain(path: Path) -> Any:
    import spikesam

    with spikesam.open_raster(path) as raster:
        raster.verify()
        with spikesam.explain(raster, path.with_name("maps.h5")) as maps:
            return json.dumps([maps["conv1"].sum[0].sum().item(), len(maps["conv1"])])
