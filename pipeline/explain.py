"""Offline Spike Activation Maps: `python -m pipeline.explain RASTER.h5 --out SAM.h5`.

Needs the raster file alone: no image, no network, neither torch nor lava.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import track

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import Figures, MapsFile, Overwrite
from pipeline.maps.method import refuse_existing, refuse_existing_figures, spatial_layers, write_maps
from pipeline.maps.sam import Variant, check_parameters, spike_activation_maps
from recordings.disk import readable
from recordings.maps.reader import MapReader
from recordings.maps.schema import MapHeader, MapLayer
from recordings.parallel import cores
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from recordings.schema import SampleTable

PROG = "python -m pipeline.explain"
DESCRIPTION = """\
Compute Spike Activation Maps (Kim & Panda 2021) from a raster file, whatever simulated it.

examples:
  python -m pipeline.explain runs/digits/raster.h5 --out sam.h5 --figures figures
  python -m pipeline.explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
"""
FIGURE_SAMPLES = 4
WORKERS = 4  # writing keeps up with no more


class Explain(BaseModel):
    """Options of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raster: Positional[Path] = Field(description="raster file that a run has finished")
    out: MapsFile
    gamma: float = Field(0.5, description="decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike")
    layers: tuple[str, ...] = Field((), description="layers by name or number; all with a spatial extent if not given")
    variant: Variant = Field("paper", description="the paper's equations, or the authors' published script")
    include_current: bool = Field(True, description="let a spike count itself, not only earlier ones")
    figures: Figures = None
    overwrite: Overwrite = False


@dataclass(frozen=True)
class SpikeActivationMaps:
    """SAM of every sample of a raster, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    raster : an open raster file
    layers : of the raster, with a spatial extent
    gamma, variant, include_current : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`
    """

    raster: RasterReader
    layers: tuple[LayerSpec, ...]
    gamma: float = 0.5
    variant: Variant = "paper"
    include_current: bool = True

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        parameters = {"gamma": self.gamma, "variant": self.variant, "include_current": self.include_current}
        layers = tuple(
            MapLayer(layer.name, layer.number, layer.shape[1:], self.raster.steps_that_matter(layer))
            for layer in self.layers
        )
        return MapHeader("sam", self.raster.raster_digest, parameters, self.raster.timesteps, layers)

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    def explain(self, sample: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Prediction and maps of one sample, unpacking one layer at a time."""
        maps = {
            layer.name: spike_activation_maps(
                self.raster.packed(layer, sample),
                layer.shape,
                [self.gamma],
                include_current=self.include_current,
                variant=self.variant,
            )[0]
            for layer in self.layers
        }
        return int(self.raster.predictions[sample]), maps


def explain_raster(
    raster: RasterReader,
    out_path: Path,
    *,
    gamma: float = 0.5,
    layers: Iterable[str] = (),
    variant: Variant = "paper",
    include_current: bool = True,
    overwrite: bool = False,
    track_samples: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> tuple[LayerSpec, ...]:
    """Write the maps of every sample of a raster (see recordings/maps/schema.py).

    Parameters
    ----------
    raster : an open raster file
    out_path : where the maps go; appears only when complete
    gamma, variant, include_current : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`
    layers : names or numbers, see :func:`pipeline.maps.method.spatial_layers`
    overwrite : replace an existing file at `out_path`
    track_samples : wraps the loop over samples, to show progress

    Returns
    -------
    the layers that were explained

    Raises
    ------
    InputError : if the kernel has no meaning, a layer is unknown or dense, the raster is damaged, or `out_path` exists
        or cannot be written
    """
    check_parameters(gamma, include_current, variant)
    names = spatial_layers({layer.name: layer.kind for layer in raster.layers}, layers, raster.where)
    chosen = tuple(raster.layer(name) for name in names)
    refuse_existing(Path(out_path), raster.path, overwrite)
    method = SpikeActivationMaps(raster, chosen, gamma, variant, include_current)
    write_maps(method, out_path, track_samples, workers=min(WORKERS, cores()))
    return chosen


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parse_command(Explain, argv, prog=PROG, description=DESCRIPTION)
    terminal = Console(stderr=True)
    console = Console(soft_wrap=True, highlight=False)
    if options.figures is not None:
        refuse_existing_figures(options.figures, options.overwrite)
    with RasterReader(options.raster) as raster:
        layers = explain_raster(
            raster,
            options.out,
            gamma=options.gamma,
            layers=options.layers,
            variant=options.variant,
            include_current=options.include_current,
            overwrite=options.overwrite,
            track_samples=lambda samples: track(
                samples, "explaining", console=terminal, transient=True, disable=not terminal.is_terminal
            ),
        )
        names = ", ".join(layer.name for layer in layers)
        size = readable(options.out.stat().st_size)
        console.print(
            f"{options.out}  {size}, maps of {raster.n_samples} samples, {raster.timesteps} steps, layers {names}",
            markup=False,
        )
        if options.figures is not None:
            for path in draw(raster, options.out, options.figures):
                console.print(str(path), markup=False)


def draw(raster: RasterReader, maps_path: Path, directory: Path) -> list[Path]:
    """Picture the first samples, without their images, which a raster does not hold; returns the files."""
    from .drawing.figures import save_figures  # here, because importing matplotlib takes a second
    from .drawing.subject import Subject

    table = zip(raster.samples.index, raster.predictions, raster.samples.label, strict=True)
    subjects = [
        Subject(f"sample {index}", _class(prediction), _class(label))
        for index, prediction, label in islice(table, FIGURE_SAMPLES)
    ]
    with MapReader(maps_path) as maps:
        return save_figures(maps, subjects, directory, raster)


def _class(number: int) -> str | None:
    return f"class {number}" if number >= 0 else None


if __name__ == "__main__":
    main()
