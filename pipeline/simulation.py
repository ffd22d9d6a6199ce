"""Simulate: a network, its samples and a backend become a raster with every spike of every layer."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.available import make_backend
from backends.base import Backend
from backends.network import Network
from backends.network.quantise import quantise
from backends.network.storage import write_network
from pipeline.cli.tracker import Advance, Tracker
from pipeline.config import Config, resolved, save_config
from pipeline.images.sources import Source, open_source
from pipeline.networks.checkpoint import Checkpoint, load_checkpoint
from recordings.errors import InputError
from recordings.lock import file_lock, holds_files, out_lock
from recordings.raster.memory import MemoryWriter
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec, RasterHeader
from recordings.raster.writer import RasterWriter

STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only
BATCH_SIZE = 8


def simulate(
    network: str | PathLike[str] | Checkpoint | Network,
    data: Any = None,
    *,
    out: str | PathLike[str] | None = None,
    samples: int | None = None,
    labels: ArrayLike | None = None,
    backend: str | Backend = "auto",
    precision: str = "fixed",
    seed: int = 0,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    resume: bool = False,
    config: Config | None = None,
    tracker: Tracker | None = None,
) -> RasterReader:
    """Run samples through a network, and record every spike.

    In fixed point the spikes are the same bits on every backend. A bar shows progress where a terminal watches.

    Parameters
    ----------
    network : a bundled checkpoint's name, a checkpoint file, a checkpoint, or a network
    data : a data set by name or path ("cluttered-digits" if not given, or "saccade-digits" for a network that takes
        events), paths of files of images or events, :class:`spikesam.Events` or a list of them, or an array: images
        (N, H, W, 3) or (N, H, W) uint8, prepared images (N, C, H, W) floating point, input spikes (T, N, C, H, W) of
        0 and 1
    out : folder for `raster.h5` and `network.safetensors`; if not given, the raster is kept in memory
    samples : how many of a data set, in a seeded class-balanced order (8 if not given); or of an array, of
        events or of files, the first ones (all if not given)
    labels : (N,) int, the classes of an array's samples; -1 where unknown
    backend : "event", "torch", "lava", or "auto" for torch where there is a CUDA device and event otherwise
    precision : "fixed" for integers, "float32" for the network's own numbers
    seed : of the order of samples and of the Poisson spikes
    device : of the torch backend: "auto", "cpu", "cuda", "cuda:1"
    batch_size : samples that are encoded, and that torch simulates, at a time, 1 … 16
    resume : continue what an earlier call with the same arguments left in `out`
    config : stored with the raster and as `config.toml`
    tracker : shows and times the work

    Returns
    -------
    an open reader of the raster; closing it, or leaving its `with` block, closes the file

    Raises
    ------
    InputError : naming what does not fit; nothing half-written looks finished

    Examples
    --------
    >>> import spikesam
    >>> raster = spikesam.simulate("cluttered-digits", samples=2)
    >>> raster["conv1"][0].shape
    (16, 24, 40, 40)
    >>> raster.predictions.tolist() == raster.samples.label.tolist()
    True
    """
    tracker = tracker or Tracker()
    with tracker.time("load"):
        if not isinstance(network, (Checkpoint, Network, str, PathLike)):
            raise InputError(
                f"network: got {type(network).__name__}, expected a Network, a Checkpoint, or its name or file"
            )
        loaded = network if isinstance(network, (Checkpoint, Network)) else load_checkpoint(network, "snn")
        graph = in_precision(loaded.network if isinstance(loaded, Checkpoint) else loaded, precision)
        simulator = make_backend(backend, device) if isinstance(backend, str) else backend
        with tracker.show("reading images") as advance:
            source = open_source(data, loaded, labels=labels, samples=samples, seed=seed, advance=advance)
    if not 1 <= batch_size <= 16:
        raise InputError(f"batch_size: got {batch_size}, expected 1 … 16")
    header = raster_header(graph, simulator, source.name, seed, config)
    with ExitStack() as held:
        writer: RasterWriter | MemoryWriter
        if out is None:
            writer = MemoryWriter(header, source.table)
        else:
            folder = Path(out)
            held.enter_context(out_lock(folder))
            held.enter_context(file_lock(folder / "raster.h5"))
            held.enter_context(undone_if_refused(folder))
            writer = RasterWriter(folder, header, source.table, resume=resume)
            write_network(graph, folder / "network.safetensors")
            if config is not None:
                save_config(config, folder / "config.toml")
            if writer.dropped:
                tracker.notes.append(f"{writer.dropped} damaged shards dropped; their samples are computed again")
        remaining = len(writer.remaining)
        with tracker.time("prepare"), tracker.show("preparing (the first time, kernels are compiled)"):
            if remaining:
                simulator.prepare(graph)
        with tracker.show(f"simulating on {simulator.name}", len(source.table)) as advance:
            advance(len(source.table) - remaining)
            finished = _record(graph, simulator, source, writer, seed, batch_size, tracker, advance)
    return RasterReader(finished, trusted=not resume)


@contextmanager
def undone_if_refused(folder: Path) -> Iterator[None]:
    """Leave nothing in an empty folder if what was to come there is refused before a sample is finished."""
    empty = not (folder.is_dir() and holds_files(folder))
    try:
        yield
    except InputError:
        parts = [folder / name for name in ("raster.parts", "maps.parts")]
        if empty and not any(any(part.glob("*.h5")) for part in parts) and not (folder / "raster.h5").exists():
            for part in parts:
                shutil.rmtree(part, ignore_errors=True)
            for name in ("network.safetensors", "config.toml"):
                (folder / name).unlink(missing_ok=True)
        raise


def in_precision(network: Network, precision: str) -> Network:
    """A network in fixed point or float32.

    Raises
    ------
    InputError : if it is in fixed point, which cannot be undone, or cannot be represented there
    """
    if precision == "fixed":
        return quantise(network)
    if precision != "float32":
        raise InputError(f"precision is {precision!r}, expected 'fixed' or 'float32'")
    if network.precision != "float32":
        raise InputError("precision: the network holds fixed point already, which float32 cannot undo; use fixed")
    return network


def raster_header(
    network: Network, backend: Backend, dataset: str, seed: int, config: Config | None = None
) -> RasterHeader:
    """What the raster says about its origin."""
    about = [
        (layer.kind, _constant(layer.spiking_neuron.threshold), _constant(layer.spiking_neuron.leak))
        for layer in network.layers
    ]
    if network.spiking_input:
        about.insert(0, ("input", 0.0, 0.0))
    rasters = enumerate(zip(network.raster_names, network.raster_shapes, about, strict=True), network.first_raster)
    return RasterHeader(
        backend=backend.name,
        device=backend.device,
        precision=network.precision,
        timesteps=network.timesteps,
        dt=STEP_SECONDS,
        seed=seed,
        network_sha256=network.sha256,
        dataset=dataset,
        config=json.dumps(resolved(config) if config else {}),
        layers=tuple(LayerSpec(name, number, shape, *constants) for number, (name, shape, constants) in rasters),
        classes=network.classes,
        readout_scale=network.readout.scale,
    )


def _constant(constant: Any) -> float:
    """A constant of all neurons of a layer; 0 where channels differ."""
    return 0.0 if np.ndim(constant) else float(constant)


def _record(
    network: Network,
    backend: Backend,
    source: Source,
    writer: RasterWriter | MemoryWriter,
    seed: int,
    batch_size: int,
    tracker: Tracker,
    advance: Advance,
) -> Any:
    """Encode, simulate and record what `writer` still lacks; memory stays flat, whatever the number of samples.

    Seconds are those spent waiting for encoded inputs, for their simulation and for recording; backends that simulate
    in threads (event) or in a process (Lava) go on during the other two.
    """
    before, begun = dict(tracker.seconds), time.perf_counter()
    remaining = writer.remaining.tolist()
    inputs = _timed(source.encoded(remaining, network, seed, batch_size), tracker)
    try:
        for batch in backend.run(network, inputs, len(remaining)) if remaining else ():
            with tracker.time("record"):
                writer.append(batch)
            advance(len(batch))
    except BaseException:  # Ctrl-C, or a simulation that fails: what is finished is kept
        writer.flush()
        raise
    with tracker.time("record"):
        finished = writer.finalize()
    others = sum(tracker.seconds.get(name, 0.0) - before.get(name, 0.0) for name in ("encode", "record"))
    tracker.seconds["simulate"] = before.get("simulate", 0.0) + time.perf_counter() - begun - others
    return finished


def _timed(inputs: Iterator[Any], tracker: Tracker) -> Iterator[Any]:
    while True:
        with tracker.time("encode"):
            batch = next(inputs, None)
        if batch is None:
            return
        yield batch
