"""Offline maps of a raster: `python -m pipeline.explain RASTER.h5 --out SAM.h5`.

Spike Activation Maps need the raster file alone, relevance the network file too: no image, neither torch nor lava.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import Figures, MapsFile, Overwrite
from pipeline.config.fields import KeptSteps
from pipeline.maps.explanation import OF_METHODS, Method, explain
from pipeline.maps.method import figures_folder
from pipeline.maps.relevance import Rule
from pipeline.maps.sam import AnyVariant
from pipeline.maps.steps import PICTURED
from recordings.console import PlainConsole
from recordings.disk import readable
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.progress import Tracker
from recordings.raster.reader import RasterReader

PROG = "python -m pipeline.explain"
DESCRIPTION = """\
Map a raster file, whatever simulated it: where its layers attend (SAM, Kim & Panda 2021), or why the network answered.

examples:
  python -m pipeline.explain runs/digits/raster.h5 --out sam.h5 --figures figures
  python -m pipeline.explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
  python -m pipeline.explain raster.h5 --steps ::10 --out every_tenth_step.h5
  python -m pipeline.explain runs/digits/raster.h5 --method relevance --out relevance.h5

Every sample gets its maps summed over the steps that can still change the answer. Maps step by step take T times the
room; the raster holds all that is needed to make them again.

SAM shows where a layer is busy, whatever the answer. Relevance shows which spikes the predicted class rests on; it
needs the network that was recorded, which a run leaves beside its raster.
"""


class Explain(BaseModel):
    """Options of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raster: Positional[Path] = Field(description="raster file that a run has finished")
    out: MapsFile
    method: Method = Field("sam", description="where layers attend, or what the answer rests on")
    gamma: float = Field(0.5, description="decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike")
    layers: tuple[str, ...] = Field((), description="layers by name or number; all with a spatial extent if not given")
    variant: AnyVariant = Field(
        "paper", description="the paper's equations, the authors' published script, or integers as in Lava's graph"
    )
    include_current: bool = Field(True, description="let a spike count itself, not only earlier ones")
    network: str | None = Field(
        None, description="of relevance: what was recorded; network.safetensors beside the raster if not given"
    )
    rule: Rule = Field(
        "signed", description="of relevance: exact shares of the membrane, or those of exciting spikes alone (SLTRP)"
    )
    steps: KeptSteps = "pictured"
    figures: Figures = None
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, explain, draw, report."""
    options = parse_command(Explain, argv, prog=PROG, description=DESCRIPTION)
    for method, own in OF_METHODS.items():
        if method != options.method and (foreign := [name for name in own if name in options.model_fields_set]):
            raise InputError(
                f"--{foreign[0].replace('_', '-')}: belongs to --method {method}, got --method {options.method}"
            )
    console, tracker = PlainConsole(soft_wrap=True), Tracker(PlainConsole(stderr=True))
    given = options.model_dump(exclude={"raster", "figures"})
    with (
        figures_folder(options.figures, options.overwrite),
        RasterReader(options.raster) as raster,
        explain(raster, **given, tracker=tracker) as maps,
    ):
        size, names = readable(options.out.stat().st_size), ", ".join(maps)
        about = f"maps of {maps.n_samples} samples, {raster.timesteps} steps, layers {names} ({maps.header.kept})"
        console.print(f"{options.out}  {size}, {about}")
        if options.figures is not None:
            for path in draw(raster, maps, options.figures):
                console.print(str(path))


def draw(raster: RasterReader, maps: MapReader, directory: Path) -> list[Path]:
    """Picture the first samples, without their images, which a raster does not hold; returns the files."""
    from .drawing.figures import save_figures  # here, because importing matplotlib takes a second
    from .drawing.subject import Subject

    table = zip(raster.samples.index, raster.predictions, raster.samples.label, strict=True)
    subjects = [
        Subject(f"sample {index}", _class(prediction), _class(label))
        for index, prediction, label in islice(table, PICTURED)
    ]
    return save_figures(maps, subjects, directory, raster)


def _class(number: int) -> str | None:
    return f"class {number}" if number >= 0 else None


if __name__ == "__main__":
    main()
