"""From settings to what computes them: the network, the backend, the samples, and the plan that they make."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.available import make_backend
from backends.base import Backend
from backends.network import Network
from backends.network.storage import write_network
from backends.trace import compile_maps
from pipeline.config import Config, save_config
from pipeline.images.encoding import compile_encoding
from pipeline.images.samples import Chosen, ReadSamples, Samples, choose
from pipeline.maps.layers import spatial_layers
from pipeline.maps.sam import compile_kernel, compile_sums
from pipeline.maps.steps import kept_steps
from pipeline.networks.checkpoint import Checkpoint, check_fit, load_checkpoint
from pipeline.networks.precisions import in_precision
from recordings.errors import RasterError
from recordings.maps.reader import MapReader

from .files import PARTS, PLAN
from .graph import check_maps, chosen_maps
from .header import raster_header
from .plan import Plan, begin_plan, refuse_other_origin


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a process needs to take part in a run.

    Parameters
    ----------
    plan : of the run
    checkpoint : the network as it was trained, with its names
    network : in the run's precision
    backend : that simulates it
    chosen : the samples, not read yet
    """

    plan: Plan
    checkpoint: Checkpoint
    network: Network
    backend: Backend
    chosen: Chosen


def prepare(config: Config) -> Prepared:
    """Load the network and list the samples; reads no image.

    Raises
    ------
    InputError : if anything of it does not fit, before hours of simulation
    """
    settings = config.run
    checkpoint = load_checkpoint(settings.checkpoint, "snn")
    check_fit(checkpoint, config, settings.checkpoint)
    spatial_layers(checkpoint.network.raster_kinds, (), f"checkpoint {settings.checkpoint!r}")
    backend = make_backend(settings.backend, settings.device, settings.lava_models, settings.lava_deadline)
    network = in_precision(checkpoint.network, settings.precision)
    kept_steps(settings.steps, network.timesteps, settings.samples)
    chosen = choose(settings.data, checkpoint, settings.samples, settings.seed, settings.download)
    header = raster_header(network, backend, chosen.dataset.name, settings.seed, config, settings.layers)
    spatial_layers({layer.name: layer.kind for layer in header.layers}, (), "layers")
    steps, stepped = kept_steps(settings.steps, network.timesteps, len(chosen.table), settings.figures)
    keep, variant = chosen_maps(settings)
    plan = Plan(
        header,
        chosen.table,
        keep,
        settings.gamma,
        variant,
        steps,
        stepped,
        checkpoint.class_names,
        settings.checkpoint,
    )
    check_maps(plan, network, settings.layers)
    return Prepared(plan, checkpoint, network, backend, chosen)


def read_samples_of(config: Config) -> ReadSamples:
    """What reads the samples of a run again, for pictures; lists them when it is first asked."""

    def read(positions: range) -> Samples:
        settings = config.run
        checkpoint = load_checkpoint(settings.checkpoint, "snn")
        return choose(settings.data, checkpoint, settings.samples, settings.seed).read(positions)

    return read


def compile_kernels(prepared: Prepared) -> None:
    """Do once what simulating and explaining need, before anything is timed."""
    _import_numba()
    prepared.backend.prepare(prepared.network)
    compile_encoding(prepared.network)
    if prepared.plan.variant == "fixed":
        compile_maps()
    elif prepared.plan.keep != "raster":
        compile_sums()
        if prepared.plan.stepped:
            compile_kernel()


def _import_numba() -> None:
    """Import what numba needs for its first kernel, but for `scipy.linalg`, which takes half of the time.

    Numba looks whether that is there, to use its inner product in `np.convolve` and `np.correlate`; without, it uses a
    loop. No kernel here has either.
    """
    modules: dict[str, Any] = sys.modules
    hidden = modules.setdefault("scipy.linalg", None) is None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        if hidden:
            del modules["scipy.linalg"]


def begin(out: Path, prepared: Prepared, config: Config) -> None:
    """Write what everybody who takes part needs, or join those who did.

    Raises
    ------
    InputError : if another run is there, or the folder cannot be written
    """
    if (out / "sam.h5").is_file():
        with suppress(RasterError), MapReader(out / "sam.h5") as finished:  # a damaged one is made anew
            refuse_other_origin(out / "sam.h5", finished.header.method == "graph-sam", prepared.plan)
    begin_plan(out / PARTS / PLAN, prepared.plan)
    if not (out / "network.safetensors").exists():
        write_network(prepared.network, out / "network.safetensors")
    if not (out / "config.toml").exists():
        save_config(config, out / "config.toml")
