"""Count what a recording costs: synaptic operations, neuron updates, bytes and joules, by layer,
step, class and pixel.

A synaptic operation is a spike that is added at one synapse: spikes at borders reach fewer neurons,
weights of 0 are no synapses. Beside them stand the MACs of an ANN of the same layers. Joules are
operations times published prices; they are no measurement of a chip. The network is needed for all
but spikes, sparsity and updates; a run leaves it beside its raster.

examples:
  spikesam energy runs/digits
  spikesam energy runs/digits --prices loihi --out runs/digits/energy
  spikesam energy raster.h5 --network cluttered-digits

--out receives layers.csv, steps.csv, classes.csv, energy.png, and energy_map.png: where the energy
goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.disk import write_file
from spikesam.common.errors import OVERWRITE
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import FiredBy, Overwrite
from spikesam.pipeline.config import Section
from spikesam.pipeline.cost.prices import PRICES


class EnergyCommand(Section):
    """Options of the command."""

    raster: Positional[Path] = Field(description="folder of a run, or a raster file")
    network: FiredBy = None
    prices: Literal[tuple(PRICES)] = Field("45nm", description="prices of operations")  # type: ignore[valid-type]
    out: Path | None = Field(None, description="new folder for tables and pictures")
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Count, print, and write what is asked for."""
    command = parse_command(EnergyCommand, argv, prog="spikesam energy", description=__doc__)
    from spikesam.pipeline.cost.energy import (  # pandas takes a second to import
        cost_table,
        energy,
        save_pictures,
        sentences,
    )
    from spikesam.pipeline.cost.ledger import network_of
    from spikesam.recordings.raster.reader import opened_raster

    holding = (
        nullcontext()
        if command.out is None
        else out_lock(command.out, "" if command.overwrite else OVERWRITE)
    )
    console = PlainConsole(soft_wrap=True)
    with holding, opened_raster(command.raster) as raster:
        with Tracker().show("counting"):
            costs = energy(raster, command.network, prices=command.prices)
        console.print(
            cost_table(costs).to_string(index=False), "", *sentences(costs, "--network"), sep="\n"
        )
        if command.out is not None:
            network, _ = network_of(raster, command.network)
            written = []
            for name in ("layers", "steps", "classes"):
                written.append(command.out / f"{name}.csv")
                write_file(written[-1], getattr(costs, name).to_csv(index=False).encode())
            console.print(
                *map(str, [*written, *save_pictures(costs, raster, command.out, network)]), sep="\n"
            )


if __name__ == "__main__":
    main()
