"""One arm of an ablation: a process with a special path or its plain form, and what it does there.

Nothing of the kernels is imported before :func:`begin`, which may change them.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common.measurement import Options
from scripts.ablation.plain_forms import make_plain

SPIKING = {  # workload -> times the channels of SMALL, steps, rate and images
    "small network × 1, batch 8": (1, 30, 0.1, 8),
    "small network × 2, batch 8": (2, 30, 0.1, 8),
    "small network × 4, batch 8": (4, 30, 0.1, 8),
    "small network × 2, 1 % fire": (2, 30, 0.01, 8),
    "small network × 2, 70 % fire": (2, 30, 0.7, 8),
    "T = 500": (1, 500, 0.1, 8),
}
DEEP = {"VGG11, batch 8": 8, "VGG11, one image alone": 1, "raster": 8}  # images
RASTERS = 8  # images that are recorded
RATE = 0.1
COMMAND = "import sys; from spikesam.pipeline.cli.main import main; sys.exit(main())"
TURN = 0.1  # seconds of a turn, at least; several calls where one takes less


class Turn(NamedTuple):
    """A turn of an arm: seconds of the processor, seconds on the clock, and what was computed."""

    processor: float
    clock: float
    digest: str


# --- the input of both arms ---


def write_inputs(folder: Path, options: Options) -> None:
    """Write the networks of all workloads and their input, (T, B, C, H, W); takes a minute."""
    from benchmarks.common.networks import SMALL, TINY, VGG11, driven
    from spikesam.backends.network.quantise import quantise

    folder.mkdir(parents=True, exist_ok=True)
    for name, (factor, steps, rate, images) in SPIKING.items():
        small = options.pick(SMALL.widened(factor), TINY)
        design = small._replace(timesteps=options.pick(steps, TINY.timesteps))
        network, spikes = driven(design, rate, images, options.seed)
        _write(folder, name, quantise(network), spikes)
    for name, images in DEEP.items():
        network, spikes = driven(options.pick(VGG11, TINY), RATE, images, options.seed)
        _write(folder, name, quantise(network), spikes)
    _write(folder, "recurrent", *_recurrent(options))
    if not _missing_spikingjelly():
        _write(folder, "residual", *_residual(options))
        _write(folder, "transformer", *_transformer(options))


def _missing_spikingjelly() -> str:
    from benchmarks.common.environment import missing_spikingjelly

    return missing_spikingjelly()


def _recurrent(options: Options) -> tuple[Any, Any]:
    from benchmarks.common.networks import random_spikes
    from benchmarks.graphs import RATE, RECURRENT, TINY_RECURRENT, recurrent_network
    from benchmarks.simulate import BATCH
    from spikesam.backends.network.quantise import quantise

    network = recurrent_network(options.pick(RECURRENT, TINY_RECURRENT), options.seed)
    steps = network.timesteps
    spikes = random_spikes(network.input_shape, steps, BATCH, RATE, options.seed)
    return quantise(network), spikes


def _residual(options: Options) -> tuple[Any, Any]:
    import spikesam
    from benchmarks.graphs import SIZES, TIMESTEPS, TINY_SIZES, sew_resnet

    size, *_ = options.pick(SIZES, TINY_SIZES)
    model, first_spikes = sew_resnet(size, options.seed)
    network = spikesam.from_torch(model, first_spikes)
    spikes = np.zeros((network.timesteps, 1, *network.input_shape), np.bool_)
    spikes[:TIMESTEPS] = first_spikes.numpy() > 0
    return spikesam.quantise(network), spikes


def _transformer(options: Options) -> tuple[Any, Any]:
    import spikesam
    from benchmarks.transformer import TIMESTEPS, normalised_spikformer
    from spikesam.pipeline.images.samples import PreparedImages
    from spikesam.recordings.schema import SampleTable

    model, images = normalised_spikformer(options)
    network = spikesam.quantise(spikesam.from_torch(model, images[:2], timesteps=TIMESTEPS))
    table = SampleTable(np.arange(len(images)), np.full(len(images), -1))
    samples = PreparedImages("images", table, images.numpy())
    return network, samples.batch(list(range(len(images))), network, 0)


def _write(folder: Path, name: str, network: Any, network_input: Any) -> None:
    from spikesam.backends.network.storage import write_network

    write_network(network, folder / f"{name}.safetensors")
    np.save(folder / f"{name}.npy", network_input)


# --- what an arm does ---


def begin(plain: str | None) -> None:
    """Begin with the plain form of a special path in its place, or with none."""
    if plain:
        make_plain(plain)


def compile_all(plain: str | None, note: Path) -> Turn:
    """Begin, and compile all kernels of fixed point: the first call of a process.

    What it took is noted in a file: where this is there, the code was kept, and is loaded.
    """
    begin(plain)
    from spikesam.backends.event.kernels.layer import compile_kernels

    taken = _timed(lambda: compile_kernels("fixed"), 1)
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(taken))
    return Turn(*json.loads(note.read_text()))


_prepared: dict[str, Callable[[], str]] = {}


def prepare(name: str, folder: Path, options: Options) -> int:
    """Make a workload ready, and do it once: how many calls make a turn long enough."""
    _prepared.clear()
    make = partial(_training, name) if name.startswith("training") else partial(_simulation, name)
    _prepared[name] = call = make(folder, options)
    call()
    seconds = _timed(call, 1).clock
    return 1 if options.tiny else max(1, round(TURN / seconds))


def turn(name: str, calls: int) -> Turn:
    """Do a workload so many times; once before, as threads and caches of this arm have rested."""
    _prepared[name]()
    return _timed(_prepared[name], calls)


def _timed(call: Callable[[], object], calls: int) -> Turn:
    begun, processor = time.perf_counter(), _processor_seconds()
    for _ in range(calls):
        result = call()
    processor, clock = _processor_seconds() - processor, time.perf_counter() - begun
    return Turn(processor / calls, clock / calls, str(result))


def _processor_seconds() -> float:
    """Of all threads of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _simulation(name: str, folder: Path, options: Options) -> Callable[[], str]:
    from spikesam.backends.event.backend import EventBackend
    from spikesam.backends.network.storage import read_network
    from spikesam.recordings.raster.batch import PackedSpikes

    network, _ = read_network(folder / f"{name}.safetensors")
    network_input, backend = np.load(folder / f"{name}.npy"), EventBackend()
    if name == "raster":
        return partial(_recorded, network, backend, network_input, options.pick(RASTERS, 2), folder)
    if network.spiking_input:
        batch, count = PackedSpikes.of(network_input), network_input.shape[1]
    else:
        batch, count = network_input, len(network_input)
    return lambda: spikes_digest(backend.run(network, [batch], count))


def _recorded(network: Any, backend: Any, spikes: Any, images: int, folder: Path) -> str:
    from benchmarks.common.networks import simulate_and_record

    simulate_and_record(network, backend, spikes, images, folder)
    return "checked by the file's digests"


def spikes_digest(batches: Iterable[Any]) -> str:
    """SHA-256 of all spikes and readouts, sample by sample, however they come in batches."""
    digest = hashlib.sha256()
    for batch in batches:
        for sample, readout in enumerate(batch.readout):
            for name, bits in sorted(batch.spikes.items()):
                digest.update(name.encode() + bits[sample].tobytes())
            digest.update(np.ascontiguousarray(readout).tobytes())
    return digest.hexdigest()


def _training(name: str, folder: Path, options: Options) -> Callable[[], str]:
    import torch

    from benchmarks.train import Step, size_of, spiking_network

    torch.manual_seed(options.seed)
    sizes = size_of(options)
    dtype = torch.float32 if name.endswith("float32") else None
    step = Step(spiking_network(sizes, fused=True), sizes, options.seed, dtype)

    def call() -> str:
        step()
        return "real numbers, rounded as either form rounds them"

    return call


# --- whole commands ---


def run_command(plain: str | None, arguments: tuple[str, ...], folder: Path) -> Turn:
    """`spikesam run` in a fresh process, from its start to checked maps on disk."""
    from benchmarks.road import Command

    changed = f"from scripts.ablation.arms import begin; begin({plain!r}); "
    command = Command(("-c", changed + COMMAND, "run", *arguments, "--out", "run"), folder)
    taken = _timed(command, 1)
    return taken._replace(digest=run_digest(folder / "run"))


def run_digest(run: Path) -> str:
    """The digests that a run's files of spikes and of maps hold."""
    import h5py

    with h5py.File(run / "raster.h5") as raster, h5py.File(run / "sam.h5") as maps:
        return f"{raster.attrs['raster_digest']}, {maps.attrs['content_digest']}"


def empty_cache(folder: Path) -> dict[str, str]:
    """Variables with which compiled code is kept in a folder of its own."""
    return {"NUMBA_CACHE_DIR": os.fspath(folder)}
