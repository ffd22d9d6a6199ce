"""The experiments: each is a module of the package `paper` with one function, run(setup) -> Result, and found by it."""

from __future__ import annotations

import importlib
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikesam.pipeline.config import save_config

if TYPE_CHECKING:
    from paper.common.result import Result
    from paper.common.setup import Setup  # torch is slow to import, --help need not wait


def in_order(name: str) -> tuple[bool, int, str]:
    """Sort key of names: figures by their number, then the others by name."""
    figure = re.fullmatch(r"fig(\d+)", name)
    return figure is None, int(figure[1]) if figure else 0, name


def all_experiments() -> dict[str, str]:
    """Every experiment: its name, and the first line of its docstring."""
    files = {path.stem: path for path in Path(__file__).parents[1].glob("[a-z]*.py")}
    return {name: files[name].read_text().split('"""')[1].splitlines()[0] for name in sorted(files, key=in_order)}


def run_experiment(name: str, setup: Setup, command: str) -> Result:
    """Run one experiment and write what it found, with the configuration and the command, into the setup's folder.

    Its claims are judged together, see :func:`paper.common.result.over_family`.
    """
    from paper.common.result import over_family, write_result

    setup.cache.found.clear()
    begun = time.perf_counter()
    found = importlib.import_module(f"paper.{name}").run(setup)
    seconds = time.perf_counter() - begun
    for part, result in {name: found, **found.beside}.items():
        digests = setup.networks.digests if result.networks is None else result.networks
        about = {
            "images": result.samples or setup.subjects.name,
            "seed": str(setup.settings.seed),
            "command": command,
            "seconds": f"{seconds:.0f}",
            "seconds before": f"{sum(setup.cache.found.values()):.0f}",
            **{f"network, {network}": digest for network, digest in digests.items()},
        }
        write_result(part, replace(result, claims=over_family(result.claims)), about, setup.out)
    save_config(setup.config, setup.out / "config.toml")
    return replace(found, claims=over_family(found.claims))
