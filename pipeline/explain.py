"""`spikesam explain SOURCE`: maps of a raster, or of a network and images, by any method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.names import listing
from spikesam.pipeline.cli.options import Figures, Overwrite, figures_folder
from spikesam.pipeline.config.fields import KeptSteps, option_field
from spikesam.pipeline.maps.explain import compute_maps, is_of, refuse_existing, target_of, usual_method
from spikesam.pipeline.maps.method import method_of, offline_methods, refuse_foreign
from spikesam.pipeline.maps.steps import PICTURED
from spikesam.recordings.arguments import Declared, options_of
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.disk import readable
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.progress import Tracker

PROG = "spikesam explain"
DESCRIPTION = """\
Map what a spiking network attends to, or what speaks for its answer. SOURCE decides which methods there are.

a raster, whatever fired its spikes, or the folder of a run; relevance needs the network that was recorded, too, which
a run leaves beside its raster:
{raster_digest}

a network, spiking or an ANN, by name or file, and images:
{network_sha256}

examples:
  spikesam explain runs/digits --method relevance --figures figures
  spikesam explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
  spikesam explain raster.h5 --steps ::10 --out every_tenth_step.h5
  spikesam explain cluttered-digits --out snn.h5 --figures figures
  spikesam explain cluttered-digits-ann --layers conv3 conv4 --samples 100 --out ann.h5
  spikesam explain cluttered-digits --method occlusion --samples 4 --out occlusion.h5

Every sample gets its maps summed over the steps that can still change the answer. Maps step by step take T times the
room; they can be made again. What speaks for the class is for the true one by Grad-CAM, where that is known, and by all
other methods for the predicted one."""


class Common(BaseModel):
    """Options that all methods have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Positional[str] = Field(description="folder of a run, or a raster file; or a network, by name or file")
    out: Annotated[
        Path | None, Field(description="file for the maps (HDF5); beside the raster if not given, of a network needed")
    ] = None
    layers: tuple[str, ...] = Field(
        (), description="by name or number; if not given all with a spatial extent, of an ANN the last convolution"
    )
    steps: KeptSteps = "pictured"
    figures: Figures = None
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Explain, print what was written, and draw it where figures are asked for."""
    own, names = _options(), tuple(offline_methods())
    about = Field(None, description="sam of a raster, and grad-cam of a network, if not given")
    chosen: Any = Literal[names] | None, about
    model = create_model("Explain", __base__=Common, method=chosen, **own)
    command: Any = parse_command(model, argv, prog=PROG, description=DESCRIPTION.format(**_methods()))
    method = offline_methods()[command.method or usual_method(command.source)]
    given = command.model_fields_set & {*own, "layers", "steps"}
    refuse_foreign(method, sorted(given), lambda name: f"--{name.replace('_', '-')}:", "--method")
    chosen = method(**{name: getattr(command, name) for name in given & own.keys()})
    path = chosen.path(command.source)
    out = target_of(command.out, path, chosen)
    if not isinstance(out, Path):
        raise InputError("--out is needed: maps of a network have no raster beside which they could lie")
    overwrite = command.overwrite or (command.out is None and is_of(out, chosen))
    refuse_existing(out, path, overwrite)
    console = PlainConsole(soft_wrap=True)
    with (
        figures_folder(command.figures, command.overwrite),
        chosen.prepare(command.source, command.layers, command.steps, PICTURED) as explainer,
    ):
        compute_maps(explainer, out, Tracker(), overwrite=overwrite)
        with MapReader(out, trusted=True) as maps:
            written = f"{readable(maps.size)}, {explainer.what}, layers {', '.join(maps)} ({maps.header.kept})"
            console.print(*explainer.notes, f"{out}  {written}", sep="\n")
            if command.figures is not None:
                from spikesam.pipeline.drawing.figures import save_figures  # matplotlib takes a second to import

                shown = method_of(maps.header, maps.where), explainer.subjects(maps.predictions[:PICTURED])
                console.print(*map(str, save_figures(maps, *shown, command.figures, explainer.raster)), sep="\n")


def _methods() -> dict[str, str]:
    """The list of the methods for the help, by what they explain."""
    found: dict[str, dict[str, str]] = {}
    for name, method in offline_methods().items():
        found.setdefault(method.source, {})[name] = (method.__doc__ or "").partition("\n")[0].rstrip(".")
    return {source: listing(about) for source, about in found.items()}


def _options() -> dict[str, Any]:
    """The options of all methods as fields, whose help says which methods have them."""
    declared, having = dict[str, Declared](), dict[str, list[str]]()
    for name, method in offline_methods().items():
        for option, has in options_of(method).items():
            declared[option] = has
            having.setdefault(option, []).append(name)
    return {option: option_field(has, f"; for {', '.join(having[option])}") for option, has in declared.items()}


if __name__ == "__main__":
    main()
