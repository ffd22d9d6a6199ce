"""Merge the ranges that "run --range K/N" processes left in a folder into raster.h5, sam.h5,
summary.json and a page.

Every range is verified first. Missing, damaged and foreign ones are refused, and nothing is removed
then.

example:
  spikesam merge shared/big
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError
from spikesam.common.files import refuse_links
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.running import print_run
from spikesam.pipeline.config import Section, load_config


class MergeCommand(Section):
    """Options of the command."""

    folder: Positional[Path]


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Merge."""
    folder = parse_command(MergeCommand, argv, prog="spikesam merge", description=__doc__).folder
    from spikesam.backends.network.storage import (
        read_network,
    )  # torch is slow to import, --help need not wait
    from spikesam.pipeline.engine.compute_folder import merge_all
    from spikesam.pipeline.engine.job import read_spec
    from spikesam.pipeline.engine.prepare import read_samples_of, refuse_other_samples
    from spikesam.pipeline.engine.range_file import NAMES, PARTS
    from spikesam.pipeline.page.results import write_run_results
    from spikesam.recordings.raster.writer import SPEC

    refuse_links(folder, NAMES)
    if not (folder / PARTS / SPEC).is_file():
        raise InputError(f"{folder}: has no ranges to merge, expected the --out of run --range K/N")
    tracker = Tracker()
    with out_lock(folder):
        spec, config = read_spec(folder / PARTS / SPEC), load_config(folder / "config.toml")
        network = read_network(folder / "network.safetensors")[0]
        if network.sha256 != spec.header.network_sha256:
            raise InputError(f"{folder / 'network.safetensors'}: is another network than the run's")
        refuse_other_samples(folder / "config.toml", config, spec)
        totals = merge_all(folder, spec, tracker)
        summary, figures = write_run_results(
            folder, totals, network, config.run, read_samples_of(config), tracker
        )
        print_run(summary, folder, figures, tracker.notes, PlainConsole(soft_wrap=True))


if __name__ == "__main__":
    main()
