"""The first run on a machine: torch simulates it if it is small, while the event backend's kernels
are compiled.

Compiling takes some ten seconds, once. In fixed point every backend fires the same bits, so nobody
need wait for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from spikesam.backends.available import make_backend
from spikesam.backends.event.kernels.cache import cache_folder, is_cached
from spikesam.backends.event.kernels.chain import run_layers
from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.common.child import python
from spikesam.pipeline.engine.job import BackendChoice, Job
from spikesam.pipeline.measures.synaptic_operations import products

# products of weights and spikes that torch computes sooner than the kernels are compiled: 4 s on
# two cores
SMALL = 5e9
CODE = "from spikesam.pipeline.engine.first_run import compile_behind; compile_behind()"


def on_torch_at_first(job: Job, say: Callable[[str], object]) -> Job:
    """The job; on torch if it was left open on what, is small, and the event backend's kernels are
    not compiled yet.

    They are then compiled by a process of low priority that goes on when this one ends, and `say`
    gets a line about it.
    """
    network, spec = job.network, job.spec
    if not (job.choice and job.choice[0] == "auto" and job.backend.name == "event"):
        return job
    if (
        find_spec("torch") is None
        or cache_folder(run_layers) is None
        or is_cached(run_layers, "int8")
    ):
        return job
    work = len(spec.samples) * network.timesteps * sum(products(network).values())
    if network.precision != "fixed" or spec.keep.by_backend or work > SMALL:
        return job
    choice: BackendChoice = "torch", "cpu", {}
    backend, none = make_backend(*choice), subprocess.DEVNULL
    process = subprocess.Popen(
        python(CODE), cwd=os.sep, stdin=none, stdout=none, stderr=none, start_new_session=True
    )
    say(
        f"this first run is on torch; process {process.pid} compiles the faster kernels for later "
        "ones meanwhile"
    )
    header = replace(spec.header, backend=backend.name, device=backend.device)
    return replace(job, backend=backend, choice=choice, spec=replace(spec, header=header))


def compile_behind() -> None:
    """The work of that process."""
    if hasattr(os, "nice"):
        os.nice(10)
    compile_kernels("fixed")
