"""Map what a spiking network attends to, or what speaks for its answer. SOURCE decides which
methods there are.

a raster, whatever fired its spikes, or the folder of a run; relevance needs the network that was
recorded, too, which a run leaves beside its raster:
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
  spikesam explain cluttered-digits --method captum:Saliency --samples 4 --out saliency.h5

Maps are summed over the steps that can still change the answer. Maps step by step take T times the
room; they can be made again. Grad-CAM explains the true class, where it is known; all other methods
explain the predicted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from spikesam.common.console import PlainConsole
from spikesam.common.disk import readable
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import (
    Figures,
    Overwrite,
    figures_folder,
    method_options,
    methods_listed,
)
from spikesam.pipeline.config.fields import KeptSteps
from spikesam.pipeline.maps.explain import explained, usual_method
from spikesam.pipeline.maps.layers import PICTURED
from spikesam.pipeline.maps.method import method_of, offline_methods, refuse_foreign, split_method
from spikesam.recordings.maps.reader import MapReader


class Common(BaseModel):
    """Options that all methods have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Positional[str] = Field(
        description="folder of a run, or a raster file; or a network, by name or file"
    )
    out: Annotated[
        Path | None,
        Field(
            description=(
                "file for the maps (HDF5); beside the raster if not given, of a network needed"
            )
        ),
    ] = None
    layers: tuple[str, ...] = Field(
        (),
        description=(
            "by name or number; if not given all that have places, of an ANN the last convolution"
        ),
    )
    steps: KeptSteps = "pictured"
    figures: Figures = None
    overwrite: Overwrite = False

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: dict[str, Any]) -> dict[str, Any]:
        """captum:NAME names a method and its attribution."""
        name, named = split_method(values.get("method") or "")
        return named | values | {"method": name} if named else values


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Explain, print what was written, and draw it where figures are asked for."""
    of_methods, names = method_options(), tuple(offline_methods())
    method_field = Field(
        None, description="sam of a raster, and grad-cam of a network, if not given"
    )
    chosen: Any = Literal[names] | None, method_field
    model = create_model("Explain", __base__=Common, method=chosen, **of_methods)
    command: Any = parse_command(
        model, argv, prog="spikesam explain", description=__doc__, **methods_listed()
    )
    method = offline_methods()[command.method or usual_method(command.source)]
    chosen_options = command.model_fields_set & {*of_methods, "layers", "steps"}
    refuse_foreign(
        method, sorted(chosen_options), lambda name: f"--{name.replace('_', '-')}:", "--method"
    )
    chosen = method(**{name: getattr(command, name) for name in chosen_options & of_methods.keys()})
    chosen.path(command.source)  # which refuses what this method does not explain
    if command.out is None and chosen.source == "network_sha256":
        raise InputError(
            "--out is needed: maps of a network have no raster beside which they could lie"
        )
    arguments = command.layers, command.steps, PICTURED, command.overwrite, Tracker()
    with (
        figures_folder(command.figures, command.overwrite),
        explained(chosen, command.source, command.out, *arguments) as (out, explainer),
        MapReader(out, trusted=True) as maps,
    ):
        console = PlainConsole(soft_wrap=True)
        written = (
            f"{readable(maps.size)}, {explainer.description}, layers {', '.join(maps)} "
            f"({maps.header.kept})"
        )
        console.print(*explainer.notes, f"{out}  {written}", sep="\n")
        if command.figures is not None:
            from spikesam.pipeline.drawing.figures import (
                save_figures,
            )  # matplotlib takes a second to import

            shown = method_of(maps.header), explainer.subjects(maps.predictions[:PICTURED])
            console.print(
                *map(str, save_figures(maps, *shown, command.figures, explainer.raster)), sep="\n"
            )


if __name__ == "__main__":
    main()
