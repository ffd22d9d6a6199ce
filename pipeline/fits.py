"""Say which layers of a network fit on a model of Loihi, before anything runs.

The table has neurons, cores, synapses, fan-in and delay of each layer, and what the chip has no
part for. The limits are those of SANA-FE's model of the chip, not of silicon.
Needs SANA-FE: pip install 'spikesam[chip]'

examples:
  spikesam fits residual-digits
  spikesam fits runs/digits/network.safetensors

Exit code 1: something does not fit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.pipeline.chips.description import CHIPS
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import DIFFERENT, exit_codes
from spikesam.pipeline.config import Section


class FitsCommand(Section):
    """Options of the command."""

    network: Positional[str] = Field(description="a network, by name or file")
    chip: Literal[CHIPS] = Field("loihi", description="model of a chip")  # type: ignore[valid-type]


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; the exit code says whether all fits."""
    command = parse_command(FitsCommand, argv, prog="spikesam fits", description=__doc__)
    from spikesam.pipeline.chips.fits import fits  # pandas takes a second to import

    result = fits(command.network, chip=command.chip)
    PlainConsole(soft_wrap=True).print(str(result))
    if not result.fits:
        sys.exit(DIFFERENT)


if __name__ == "__main__":
    main()
