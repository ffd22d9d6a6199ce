"""Run a spiking network on images or events, record every spike, explain them with Spike Activation
Maps.

examples:
  spikesam run --backend torch
  spikesam run --backend lava --checkpoint tiny-imagenet-10 --data my_cat.jpg --out runs/cat
  spikesam run --backend torch --config tiny_imagenet_10 --data tiny-imagenet-200.zip
  spikesam run --backend event --checkpoint saccade-digits --data my_recording.aedat4

--out receives config.toml, network.safetensors, raster.h5, sam.h5, figures/, summary.json and
report.html.

Stopped? The same command with --out and --resume continues; in fixed point even on another backend.
A kill costs at most 16 finished samples of each process, workers of --dask included, and those at
hand.

On several machines that share a folder, each computes some ranges of 16 samples; by Dask, or as the
third of 64 processes, say, which are merged when all are done:
  spikesam run --data shared/images --samples 50000 --out shared/big --dask tcp://scheduler:8786
  spikesam run --data shared/images --samples 50000 --out shared/big --range 3/64
  spikesam merge shared/big
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from spikesam.common.disk import unused
from spikesam.common.errors import InputError
from spikesam.common.lock import out_lock
from spikesam.pipeline.cli.command_line import Flat, parse_with_config
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import ConfigFile
from spikesam.pipeline.cli.running import run
from spikesam.pipeline.config import RunSection, Section, load_config
from spikesam.pipeline.engine.job import CONTINUE


class RunCommand(Section):
    """Options of the command."""

    run: Annotated[RunSection, Flat] = RunSection()
    config: ConfigFile = None
    out: Path | None = Field(
        None, description="folder for the results; by default a new one under runs/"
    )
    resume: bool = Field(False, description="continue the run in --out")
    range: str | None = Field(
        None,
        description=(
            "K/N: compute the K-th of N parts of the run in --out, beside others; then merge"
        ),
    )
    dask: str | None = Field(
        None,
        description="compute on a dask cluster: tls://HOST:PORT, tcp://HOST:PORT (not protected), "
        "or local:N for N processes on this machine",
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compute, and print what was found."""
    command, config = parse_with_config(
        RunCommand, load_config, argv, prog="spikesam run", description=__doc__
    )
    command.run.refuse_foreign_options(load_config(command.config).run)
    out = command.out
    if command.range is not None:
        if out is None or command.dask or command.resume:
            raise InputError(
                "--range needs --out, the folder that all parts share, and neither --dask nor "
                "--resume"
            )
        with out_lock(out, shared=True):
            run(config, out, resume=False, part=command.range)
        return
    if out is None:
        if command.resume:
            raise InputError("--resume needs --out, the folder of the run to continue")
        out = unused(Path("runs") / f"{Path(command.run.checkpoint).stem}-{command.run.backend}")
    with out_lock(out, "" if command.resume else CONTINUE):
        run(config, out, resume=command.resume, cluster=command.dask)


if __name__ == "__main__":
    main()
