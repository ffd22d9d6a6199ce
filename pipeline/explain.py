"""Maps of a raster, or of a network and images, by any method: `python -m pipeline.explain SOURCE --out MAPS.h5`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import Figures, MapsFile, Overwrite, figures_folder
from pipeline.config.fields import KeptSteps
from pipeline.maps.explain import compute_maps, refuse_existing
from pipeline.maps.method import DEFAULT, method_of, offline_methods, options_of, refuse_foreign
from pipeline.maps.steps import PICTURED
from recordings.console import PlainConsole
from recordings.disk import readable
from recordings.maps.reader import MapReader
from recordings.progress import Tracker

PROG = "python -m pipeline.explain"
DESCRIPTION = """\
Map a raster file, whatever simulated it: where its layers attend (SAM, Kim & Panda 2021), or why the network answered.
Or map what speaks for a class in a network and images: by Grad-CAM, or by methods that look at the input alone.

examples:
  python -m pipeline.explain runs/digits/raster.h5 --out sam.h5 --figures figures
  python -m pipeline.explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
  python -m pipeline.explain raster.h5 --steps ::10 --out every_tenth_step.h5
  python -m pipeline.explain runs/digits/raster.h5 --method relevance --out relevance.h5
  python -m pipeline.explain cluttered-digits --method occlusion --samples 4 --out occlusion.h5

Every sample gets its maps summed over the steps that can still change the answer. Maps step by step take T times the
room; the raster holds all that is needed to make them again.

SAM shows where a layer is busy, whatever the answer. Relevance shows which spikes the predicted class rests on; it
needs the network that was recorded, which a run leaves beside its raster. The other methods need a network and images.
"""


class Common(BaseModel):
    """Options that all methods have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Positional[str] = Field(description="raster file that a run has finished; or a network, by name or file")
    out: MapsFile
    method: Literal[tuple(offline_methods())] = Field(  # type: ignore[valid-type]
        DEFAULT, description="sam and relevance map a raster, the others a network and images"
    )
    layers: tuple[str, ...] = Field((), description="layers by name or number; all with a spatial extent if not given")
    steps: KeptSteps = "pictured"
    figures: Figures = None
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    own = dict[str, Any]()
    for method in offline_methods().values():
        for name, (kind, has) in options_of(method).items():
            own[name] = kind, Field(getattr(method, name), description=has.about, ge=has.at_least, lt=has.below)
    command = parse_command(create_model("Explain", __base__=Common, **own), argv, prog=PROG, description=DESCRIPTION)
    run(command, command.source, command.model_fields_set & own.keys())


def run(command: Any, source: str, own: Collection[str]) -> None:
    """Explain, print what was written, and draw it if that is wanted.

    Parameters
    ----------
    command : its options, those of :class:`Common` among them
    source : what is explained
    own : names of the given options that belong to a method
    """
    given, method = command.model_fields_set & {*own, "layers", "steps"}, offline_methods()[command.method]
    refuse_foreign(method, sorted(given), lambda name: f"--{name.replace('_', '-')}:", "--method")
    chosen = method(**{name: getattr(command, name) for name in own})
    refuse_existing(command.out, chosen.path(source), command.overwrite)
    tracker, console = Tracker(), PlainConsole(soft_wrap=True)
    with (
        figures_folder(command.figures, command.overwrite),
        chosen.prepare(source, command.layers, command.steps, PICTURED) as explainer,
    ):
        compute_maps(explainer, command.out, tracker, overwrite=command.overwrite)
        with MapReader(command.out, trusted=True) as maps:
            written = f"{readable(maps.size)}, {explainer.what}, layers {', '.join(maps)} ({maps.header.kept})"
            console.print(*explainer.notes, f"{command.out}  {written}", sep="\n")
            if command.figures is not None:
                from .drawing.figures import save_figures  # here, because importing matplotlib takes a second

                about = method_of(maps.header, maps.where), explainer.subjects(maps.predictions[:PICTURED])
                console.print(*map(str, save_figures(maps, *about, command.figures, explainer.raster)), sep="\n")


if __name__ == "__main__":
    main()
