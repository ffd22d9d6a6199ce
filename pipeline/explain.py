"""Offline Spike Activation Maps: `python -m pipeline.explain RASTER.h5 --out SAM.h5`.

Needs the raster file alone: no image, no network, neither torch nor lava.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import track

from recordings.disk import readable
from recordings.errors import InputError
from recordings.maps import MapHeader, MapReader, writing_maps
from recordings.reader import RasterReader
from recordings.schema import LayerSpec

from .command_line import Positional, parse_command
from .errors import exit_codes
from .sam import Variant, check_parameters, stream_spike_activation_map

PROG = "python -m pipeline.explain"
DESCRIPTION = """\
Compute Spike Activation Maps (Kim & Panda 2021) from a raster file, whatever simulated it.

examples:
  python -m pipeline.explain runs/digits/raster.h5 --out sam.h5 --figures figures
  python -m pipeline.explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
"""
FIGURE_SAMPLES = 4


class Explain(BaseModel):
    """Options of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raster: Positional[Path] = Field(description="raster file that a run has finished")
    out: Path = Field(description="file for the maps (HDF5; layout in recordings/maps.py)")
    gamma: float = Field(0.5, description="decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike")
    layers: tuple[str, ...] = Field((), description="layers by name or number; all with a spatial extent if not given")
    variant: Variant = Field("paper", description="the paper's equations, or the authors' published script")
    include_current: bool = Field(True, description="let a spike count itself, not only earlier ones")
    figures: Path | None = Field(None, description="new folder for pictures of the first samples (PNG)")
    overwrite: bool = Field(False, description="replace existing maps and pictures")


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
    """Write the maps of every sample of a raster (see recordings/maps.py), holding one sample of one layer at a time.

    Parameters
    ----------
    raster : an open raster file
    out_path : where the maps go; appears only when complete
    gamma, variant, include_current : the kernel, see :func:`pipeline.sam.spike_activation_map`
    layers : names or numbers, see :func:`spatial_layers`
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
    chosen = spatial_layers(raster, layers)
    refuse_existing(Path(out_path), raster.path, overwrite)
    header = MapHeader(
        raster_digest=raster.raster_digest,
        gamma=gamma,
        variant=variant,
        include_current=include_current,
        timesteps=raster.timesteps,
        layers={layer.name: layer.shape[1:] for layer in chosen},
    )
    with writing_maps(out_path, header, raster.samples, raster.predictions) as maps:
        for sample in track_samples(range(raster.n_samples)):
            for layer in chosen:
                packed = raster.packed(layer, sample)
                sam = stream_spike_activation_map(
                    packed, layer.shape, gamma, include_current=include_current, variant=variant
                )
                maps.write(layer.name, sample, sam)
    return chosen


def spatial_layers(raster: RasterReader, names: Iterable[str] = ()) -> tuple[LayerSpec, ...]:
    """The layers of these names or numbers in order of depth, or all that have a spatial extent if none is named.

    Raises
    ------
    InputError : if a name is unknown or of a dense layer, or no layer is left
    """
    wanted = {raster.layer(name) for name in names}
    for layer in wanted:
        if layer.kind == "dense":
            raise InputError(
                f"{raster.path}: layer {layer.name!r} is dense, its neurons have no place in the image; "
                f"choose from {', '.join(spec.name[4:] for spec in raster.layers if spec.kind != 'dense') or 'none'}"
            )
    chosen = tuple(layer for layer in raster.layers if (layer in wanted if wanted else layer.kind != "dense"))
    if not chosen:
        raise InputError(f"{raster.path}: has dense layers only, expected at least one with a spatial extent")
    return chosen


def refuse_existing(out_path: Path, raster_path: Path, overwrite: bool) -> None:
    """Refuse a target that would overwrite something not given up, above all the raster itself."""
    if not out_path.exists():
        return
    if not out_path.is_file():
        found = "a directory" if out_path.is_dir() else "not a regular file"
        raise InputError(f"{out_path}: {found}, expected the name of a file for the maps, such as sam.h5")
    if os.path.samefile(out_path, raster_path):
        raise InputError(f"{out_path}: is the raster itself; choose another --out")
    if not overwrite:
        raise InputError(f"{out_path}: already exists; choose another --out, or replace it with --overwrite")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parse_command(Explain, argv, prog=PROG, description=DESCRIPTION)
    terminal = Console(stderr=True)
    console = Console(soft_wrap=True, highlight=False)
    if options.figures is not None and options.figures.exists() and not options.overwrite:
        raise InputError(f"{options.figures}: already exists; choose another --figures, or add to it with --overwrite")
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
        names = ", ".join(layer.name[4:] for layer in layers)
        size = readable(options.out.stat().st_size)
        console.print(
            f"{options.out}  {size}, maps of {raster.n_samples} samples, {raster.timesteps} steps, layers {names}",
            markup=False,
        )
        if options.figures is not None:
            for path in draw(raster, options.out, options.figures):
                console.print(str(path), markup=False)


def draw(raster: RasterReader, maps_path: Path, directory: Path) -> tuple[Path, ...]:
    """Picture the first samples, without their images, which a raster does not hold; returns the files."""
    from .pictures import Subject, save_figures  # here, because importing matplotlib takes a second

    labels, predictions = raster.samples.label[:FIGURE_SAMPLES], raster.predictions[:FIGURE_SAMPLES]
    subjects = [
        Subject(f"class {prediction}", f"class {label}" if label >= 0 else None)
        for label, prediction in zip(labels, predictions, strict=True)
    ]
    with MapReader(maps_path) as maps:
        return save_figures(raster, maps, subjects, directory)


if __name__ == "__main__":
    main()
