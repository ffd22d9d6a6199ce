"""Maps of a raster, or of a network and images, by any method: `spikesam explain SOURCE --out MAPS.h5`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.explaining import explain_and_print
from spikesam.pipeline.cli.options import Figures, Overwrite
from spikesam.pipeline.config.fields import KeptSteps, option_fields
from spikesam.pipeline.maps.method import DEFAULT, offline_methods

PROG = "spikesam explain"
DESCRIPTION = """\
Map a raster file, whatever simulated it: where its layers attend (SAM, Kim & Panda 2021), or why the network answered.
Or map what speaks for a class in a network and images: by Grad-CAM, or by methods that look at the input alone.

examples:
  spikesam explain runs/digits --method relevance --figures figures
  spikesam explain raster.h5 --gamma 0.2 --layers conv3 conv4 --out sam_flat.h5
  spikesam explain raster.h5 --steps ::10 --out every_tenth_step.h5
  spikesam explain cluttered-digits --method occlusion --samples 4 --out occlusion.h5

Every sample gets its maps summed over the steps that can still change the answer. Maps step by step take T times the
room; the raster holds all that is needed to make them again.

SAM shows where a layer is busy, whatever the answer. Relevance shows which spikes the predicted class rests on,
variance-relevance which spikes set the classes apart, whichever wins; they need the network that was recorded, which a
run leaves beside its raster. The other methods need a network and images.
"""


class Common(BaseModel):
    """Options that all methods have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Positional[str] = Field(description="folder of a run, or a raster file; or a network, by name or file")
    out: Annotated[Path | None, Field(description="file for the maps (HDF5); beside the raster if not given")] = None
    method: Literal[tuple(offline_methods())] = Field(  # type: ignore[valid-type]
        DEFAULT, description="sam, relevance and variance-relevance map a raster, the others a network and images"
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
        own |= option_fields(method)
    command = parse_command(create_model("Explain", __base__=Common, **own), argv, prog=PROG, description=DESCRIPTION)
    explain_and_print(command, command.source, command.model_fields_set & own.keys())


if __name__ == "__main__":
    main()
