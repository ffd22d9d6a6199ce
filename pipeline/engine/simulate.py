"""Simulate: a network, its samples and a backend become a raster, every spike of every layer."""

from __future__ import annotations

from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.lock import file_lock, out_lock
from spikesam.common.progress import Tracker
from spikesam.common.text import told_apart
from spikesam.common.warning import warn
from spikesam.pipeline.engine._compute import SampleResult, StageTimer, compute
from spikesam.pipeline.engine.compute_folder import compute_all, prepare_kernels
from spikesam.pipeline.engine.folder import begin, undone_if_refused
from spikesam.pipeline.engine.job import RASTER, BackendChoice, Job, JobSpec, raster_header
from spikesam.pipeline.engine.range_file import PARTS
from spikesam.pipeline.images.pictures import MOST, Pictures, Seen, as_pictures, write_pictures
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.images.samples import DatasetSamples, PreparedImages, Samples
from spikesam.pipeline.networks.checkpoint import Checkpoint, load
from spikesam.pipeline.networks.open_samples import open_samples
from spikesam.pipeline.networks.precisions import in_precision
from spikesam.pipeline.networks.recorded import network_held
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import check_outputs
from spikesam.recordings.raster.writer import raster_image, remove_parts
from spikesam.recordings.writer import SampleRecord

if TYPE_CHECKING:
    from distributed import Client


@checked_arguments
def simulate(
    network: str | PathLike[str] | Checkpoint | Network,
    data: Any = None,
    *,
    samples: int | None = None,
    labels: ArrayLike | None = None,
    outputs: str = "classes",
    out: str | PathLike[str] | None = None,
    backend: str | Backend = "auto",
    precision: str = "fixed",
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 8,
    resume: bool = False,
    client: Client | None = None,
    tracker: Tracker | None = None,
    **unknown: Any,
) -> RasterReader:
    """Simulate a network on a backend, and record every spike of every layer.

    Parameters
    ----------
    network : a bundled checkpoint's name, a checkpoint file, :func:`spikesam.load`'s result, or a
        plain network
    data : the samples: a data set by name or path, paths of files of images or of recordings of
        events, events in memory (:class:`spikesam.Events`, or a list of them), or an array; by
        default the set that needs no download, digits in clutter or, for a network that takes
        events, before a simulated camera. Arrays are images (N, H, W, 3) or (N, H, W) uint8,
        prepared images (N, C, H, W) floating point, input spikes (T, N, C, H, W) of 0 and 1, or
        real numbers (T, N, C, H, W) for a network that takes a changing current
    samples : how many of a data set, in a seeded class-balanced order (8 if not given); or of an
        array, of events or of files, the first ones (all if not given)
    labels : (N,) int, the classes of an array's samples; -1 where unknown
    outputs : "classes" if the highest output is the answer, "values" if outputs are numbers, such
        as of a regression, or pixels; the raster says which, and no class is then told. One output
        alone always is a value
    out : folder for `raster.h5` and `network.safetensors`; if not given, the raster is kept in
        memory. The same call again returns the finished raster that is there; a raster of other
        arguments is refused
    backend : "event", "torch", "lava", or "auto" for torch where there is a CUDA device and event
        otherwise; before event was ever compiled here, little work is done by torch too, whose bits
        in fixed point are the same
    precision : "fixed" for integers, "float32" for the network's own numbers
    seed : of the order of samples and of the Poisson spikes
    device : of the torch backend: "auto", "cpu", "cuda", "cuda:1"
    batch_size : samples that are encoded, and that torch simulates, at a time, 1 … 16
    resume : continue what an earlier call with the same arguments left in `out`; refused where
        nothing is there
    client : of a dask.distributed cluster, which then simulates, 16 samples a task; its workers see
        `out`, and data that are paths, under the same names. Needs `out`, and the name of a backend
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
    if "timesteps" in unknown:
        raise InputError(
            "timesteps: T belongs to the network; train or import one with other timesteps"
        )
    if unknown:
        raise InputError(
            f"simulate: got the option {min(unknown)!r}, expected some of help(spikesam.simulate)"
        )
    if not isinstance(backend, (str, Backend)):
        raise InputError(
            f"simulate: backend is of type {type(backend).__name__}, expected its name, or a "
            "Backend"
        )
    check_outputs(outputs, "simulate: outputs")
    tracker = tracker or Tracker()
    if not 1 <= batch_size <= 16:
        raise InputError(f"batch_size: got {batch_size}, expected 1 … 16")
    if client is not None and (out is None or not isinstance(backend, str)):
        raise InputError(
            "client: needs out, a folder that all workers see, and a backend by its name"
        )
    with tracker.time("load"):
        loaded = _loaded(network)
        graph = in_precision(
            loaded.network if isinstance(loaded, Checkpoint) else loaded, precision
        )
        choice: BackendChoice | None = (backend, device, {}) if isinstance(backend, str) else None
        simulator = make_backend(*choice) if choice else backend
        assert not isinstance(simulator, str)
        with tracker.show("reading images") as advance:
            source = open_samples(
                data, loaded, labels=labels, samples=samples, seed=seed, advance=advance
            )
    notes = source.notes(samples) if isinstance(source, DatasetSamples) else []
    if len(source) < (samples or 0) and not notes:  # which say so of data sets with labels
        count = f"{len(source)} sample{'s' * (len(source) != 1)}"
        notes = [f"data has {count}, fewer than {samples}"]
    for note in filter(None, [*notes, source.doubtful(graph), source.clipped(graph)]):
        warn(f"simulate: {note}")
    spec = JobSpec(
        raster_header(graph, simulator, source.name, seed, outputs=outputs),
        source.table,
        RASTER,
        contents=source.contents,
    )
    job = Job(spec, graph, source.part, simulator, choice, batch_size)
    if backend == "auto" and client is None:
        from spikesam.pipeline.engine.first_run import (
            on_torch_at_first,
        )  # imports numba, which other backends need not

        job = on_torch_at_first(job, tracker.say)
    if out is None:
        reader = _in_memory(job, tracker)
        reader.beside = Pictures(class_names=_names(loaded))
        return reader
    folder = Path(out)
    with ExitStack() as stack:
        stack.enter_context(out_lock(folder))
        stack.enter_context(file_lock(folder / "raster.h5"))
        stack.enter_context(undone_if_refused(folder))
        job = begin(folder, job, resume=resume)
        if not (existed := (folder / "raster.h5").exists()):  # else it was finished before
            compute_all(folder, job, tracker, client)
        remove_parts(folder / PARTS)
        _keep_pictures(folder, source, loaded)
    return RasterReader(folder / "raster.h5", trusted=not (existed or resume))


def _loaded(network: Any) -> Checkpoint | Network:
    if isinstance(network := network_held(network), (Checkpoint, Network)):
        return network
    if isinstance(network, (str, PathLike)):
        return load(network, "snn")
    raise InputError(
        f"network: got {type(network).__name__}, expected a Network, a Checkpoint, or its name or "
        "file; spikesam.from_torch makes a Network of a torch model"
    )


def _names(network: Checkpoint | Network) -> tuple[str, ...]:
    return tuple(told_apart(network.class_names)) if isinstance(network, Checkpoint) else ()


def _keep_pictures(folder: Path, source: Samples, network: Checkpoint | Network) -> None:
    """Put what people see of the first samples beside the raster."""
    names = _names(network)
    if isinstance(source, DatasetSamples):
        shown = Pictures.of(source, names)
    elif isinstance(source, PreparedImages):
        prepared = network.preprocessing if isinstance(network, Checkpoint) else None
        undo = (prepared.mean, prepared.std) if isinstance(prepared, Preprocessing) else None
        with at("data"):
            images = as_pictures(source.images[:MOST], undo)
        shown = Pictures.first(
            [Seen(f"sample {number}", image) for number, image in enumerate(images)], names
        )
    else:
        return
    with RasterReader(folder / "raster.h5", trusted=True) as raster:
        write_pictures(folder, raster.raster_digest, shown)


def _in_memory(job: Job, tracker: Tracker) -> RasterReader:
    store, count = _MemoryStore(job.spec), len(job.spec.samples)
    prepare_kernels(job, tracker)
    with tracker.show(f"simulating on {job.backend.name}", count) as advance:
        compute(job, store, advance)
    tracker.seconds |= store.timer.take()
    return store.raster()


class _MemoryStore:
    """Keeps the spikes of a run, compressed as they would stand in a file; see `Store`."""

    recorded = None

    def __init__(self, spec: JobSpec) -> None:
        self.timer, self.missing, self.sections = (
            StageTimer(),
            range(len(spec.samples)),
            spec.keep.sections,
        )
        self._spec, self._records = spec, list[SampleRecord]()

    def add(self, sample: SampleResult) -> None:
        """Keep the next sample."""
        self._records.append(sample.record)

    def flush(self) -> None:
        """Memory is where samples stay."""

    def raster(self) -> RasterReader:
        """The raster, once every sample was added."""
        spec = self._spec
        return RasterReader(
            raster_image(spec.header, spec.samples, spec.run_uuid, self._records), trusted=True
        )
