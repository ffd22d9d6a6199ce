"""Show a run, or two side by side, in one HTML file: maps for any γ and step, spikes, answers,
rates and scores.

A browser opens it without a server. The page shows files of the folder alone: spikes, pictures of
the first samples (pictures.zip), and maps of these samples by any method of spikesam explain.

examples:
  spikesam report runs/digits
  spikesam report runs/digits runs/converted --out both.html
  spikesam report raster.h5 --out spikes.html
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.disk import readable
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import Overwrite
from spikesam.pipeline.config import Section


class ReportCommand(Section):
    """Options of the command."""

    run: Positional[Path] = Field(description="folder of a finished run, or a raster file")
    second: Positional[Path | None] = Field(None, description="another, to be shown beside it")
    network: str | None = Field(None, description="import of the recorded model, by name or file")
    out: Path | None = Field(
        None, description="the page; in the folder of the (first) run if not given"
    )
    megabytes: float = Field(
        8.0,
        gt=0,
        le=500,
        description="MB that the samples may take; of long runs the page holds the first samples",
    )
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    options = parse_command(ReportCommand, argv, prog="spikesam report", description=__doc__)
    # Reading images and networks takes a second to import, --help need not wait.
    from spikesam.pipeline.page.write import report

    runs = [options.run] + ([options.second] if options.second is not None else [])
    with warnings.catch_warnings(record=True) as warned:
        path = report(
            runs,
            options.out,
            network=options.network,
            limit=int(options.megabytes * 1e6),
            overwrite=options.overwrite,
        )
    console = PlainConsole(soft_wrap=True)
    console.print(
        *(str(warning.message) for warning in warned),
        f"{path}  {readable(path.stat().st_size)}",
        sep="\n",
    )


if __name__ == "__main__":
    main()
