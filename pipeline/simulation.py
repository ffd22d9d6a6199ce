"""Simulate: a network, its samples and a backend become a raster with every spike of every layer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from backends.available import LavaModels, make_backend
from backends.base import Backend
from backends.network import Network
from backends.network.storage import write_network
from pipeline.cli.tracker import Advance, Tracker
from pipeline.config import Config, save_config
from pipeline.images.encoding import compile_encoding
from pipeline.images.sources import Source, open_source
from pipeline.networks.checkpoint import Checkpoint, load_checkpoint
from pipeline.networks.precisions import in_precision
from pipeline.ranges.cluster import Task, distribute
from pipeline.ranges.files import PARTS, PLAN
from pipeline.ranges.header import raster_header
from pipeline.ranges.merge import merge, remove_parts
from pipeline.ranges.plan import Plan, begin_plan
from pipeline.ranges.source import Parts
from pipeline.ranges.undo import undone_if_refused
from recordings.errors import InputError
from recordings.lock import file_lock, out_lock
from recordings.raster.memory import MemoryWriter
from recordings.raster.reader import RasterReader
from recordings.raster.writer import RasterWriter

if TYPE_CHECKING:
    from distributed import Client

BATCH_SIZE = 8
EVENT_MODELS: LavaModels = "event"


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
    client: Client | None = None,
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
    client : of a dask.distributed cluster, which then simulates, 16 samples a task; its workers see `out`, and data
        that are paths, under the same names. Needs `out`, and the name of a backend
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
        if client is not None and (out is None or not isinstance(backend, str)):
            raise InputError("client: needs out, a folder that all workers see, and a backend by its name")
        with tracker.show("reading images") as advance:
            source = open_source(data, loaded, labels=labels, samples=samples, seed=seed, advance=advance)
    if not 1 <= batch_size <= 16:
        raise InputError(f"batch_size: got {batch_size}, expected 1 … 16")
    header = raster_header(graph, simulator, source.name, seed, config)
    stored: Future[None] | None = None  # the network's file, written while kernels are compiled
    with ExitStack() as held:
        writer: RasterWriter | MemoryWriter
        if out is None:
            writer = MemoryWriter(header, source.table)
        else:
            folder = Path(out)
            held.enter_context(out_lock(folder))
            held.enter_context(file_lock(folder / "raster.h5"))
            held.enter_context(undone_if_refused(folder))
            if client is not None and isinstance(backend, str):
                plan = Plan(header, source.table, "raster")
                RasterWriter(folder, header, source.table, resume=resume)  # refuses work of before, or makes the folder
                write_network(graph, folder / "network.safetensors")
                begin_plan(folder / PARTS / PLAN, plan)
                named = (backend, device, EVENT_MODELS, None)
                task = Task(folder.absolute(), plan, graph, named, Parts(source), batch_size)
                with tracker.time("simulate"), tracker.show("simulating on the cluster", len(source.table)) as advance:
                    distribute(client, task, advance)
                merge(folder, plan)
                remove_parts(folder)
                return RasterReader(folder / "raster.h5", trusted=not resume)
            writer = RasterWriter(folder, header, source.table, resume=resume, ahead=True)
            held.callback(writer.close)
            if config is not None:
                save_config(config, folder / "config.toml")
            stored = held.enter_context(ThreadPoolExecutor(1)).submit(
                write_network, graph, folder / "network.safetensors"
            )
            if writer.dropped:
                tracker.notes.append(f"{writer.dropped} damaged shards dropped; their samples are computed again")
        remaining = len(writer.remaining)
        with tracker.time("prepare"), tracker.show("preparing (the first time, kernels are compiled)"):
            if remaining:
                simulator.prepare(graph)
                compile_encoding(graph)
            if stored is not None:
                stored.result()
        with tracker.show(f"simulating on {simulator.name}", len(source.table)) as advance:
            advance(len(source.table) - remaining)
            finished = _record(graph, simulator, source, writer, seed, batch_size, tracker, advance)
    return RasterReader(finished, trusted=not resume)


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
