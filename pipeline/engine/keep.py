"""What a run keeps of every sample: one value, decided once, before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MapOrigin = Literal["spikes", "backend"]


@dataclass(frozen=True)
class Keep:
    """What is kept.

    Parameters
    ----------
    spikes : whether every spike is, in `raster.h5`; if not, `make_record` drops them once a sample was explained
    maps : what `sam.h5` is made of: the spikes, or what the backend forms while no spike leaves it. None for no maps
    steps : the steps whose maps are kept one by one, beside the sum over steps
    stepped : how many samples, from the first on, keep these single steps
    layers : the layers that are recorded, by name or number; all if there are none
    """

    spikes: bool = True
    maps: MapOrigin | None = "spikes"
    steps: tuple[int, ...] = ()
    stepped: int = 0
    layers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in files and messages: "all", "maps", "raster" (no maps), or "graph" (the backend formed maps)."""
        if self.maps == "backend":
            return "graph"
        return "maps" if not self.spikes else "raster" if self.maps is None else "all"


RASTER = Keep(maps=None)  # the spikes alone
