"""Ranges on workers of dask.distributed: two beside one, what scheduling, files and merging take, and many machines.

Workers are processes on this machine that simulate on one thread. Where two are set beside one, each has a core of its
own (on Linux): a worker writes files on further threads, and one alone would use the core of the other for them. Their
first turn, which is not counted, imports and compiles. A cluster of many machines is simulated (scheduler.py) with what
was measured here.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from benchmarks import scheduler
from benchmarks.measurement import Case, Options, Row, per, quotients, race, scaled
from benchmarks.networks import TINY, VGG11, Design, random_network, random_spikes
from benchmarks.optional import missing_dask
from benchmarks.recorded import Repeated
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.engine.cluster import Task, compute_range, connected, distribute
from spikesam.pipeline.engine.compute_ranges import compute_one
from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.header import raster_header
from spikesam.pipeline.engine.job import RANGE, Job, JobSpec
from spikesam.pipeline.engine.keep import Keep
from spikesam.pipeline.engine.merge import merge
from spikesam.pipeline.engine.range_file import SUFFIX
from spikesam.pipeline.engine.source import Parts
from spikesam.recordings.parallel import cores

RATE = 0.1  # of firing
NOTHING = Design((1, "P4", "D1"), 4, 4)  # a network in which there is hardly anything to compute
HOUR = 3600.0  # seconds


@dataclass(frozen=True)
class Sizes:
    """What is computed; `ratio` is how many times as fast two workers should be as one.

    Parameters
    ----------
    ranges : of VGG11
    small : ranges of a network that does almost nothing
    images, machines, threads : of the simulated cluster
    failures : of a machine in a day; bandwidth : of the shared disk, bytes/s
    """

    design: Design = VGG11
    ranges: int = 12
    small: int = 64
    ratio: float | None = 1.85
    images: int = 1_000_000
    machines: int = 64
    threads: int = 2
    failures: tuple[float, ...] = (0.0, 1.0, 24.0)
    bandwidth: tuple[float, ...] = (1e9, 1e8)


TINY_SIZES = Sizes(TINY, 4, 4, None, images=10_000, machines=3)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """What to measure; `scratch` is a folder for files."""
    if missing_dask():
        return
    sizes = TINY_SIZES if options.tiny else Sizes()
    yield Case("overheads", partial(overheads, sizes, options, scratch))
    yield Case("two workers", partial(workers, sizes, options, scratch))


def workers(sizes: Sizes, options: Options, scratch: Path) -> Iterator[Row]:
    """One worker and two on the same ranges, which must give the same spikes; then merging, and many machines."""
    tasks = {count: task_of(sizes.design, sizes.ranges, scratch / f"workers-{count}", options.seed) for count in (1, 2)}
    laps: dict[int, list[float]] = {count: [] for count in tasks}
    with ExitStack() as held:
        clients = {count: held.enter_context(connected(f"local:{count}", scratch)) for count in tasks}
        for client in clients.values():
            give_cores(client)
        ways = {f"{count}": partial(anew, clients[count], task, laps[count]) for count, task in tasks.items()}
        timed = race(ways, options.repeats)
    images, case = sizes.ranges * RANGE, f"{sizes.ranges} ranges of {RANGE} images, {RATE:.0%} firing"
    for count in tasks:
        yield Row(
            case,
            f"local:{count}",
            "images/s",
            per(images, timed[f"{count}"].seconds),
            note="on a core each; spikes and maps kept",
        )
    ratio = quotients(timed["1"].seconds, timed["2"].seconds)
    yield Row(case, "local:2 ÷ local:1", "×", ratio, at_least=sizes.ratio, note="the same digest of all spikes")
    stored = sum(path.stat().st_size for path in tasks[1].folder.rglob(f"*{SUFFIX}"))
    begun = time.perf_counter()
    digests = {count: merge(task.folder, task.job.spec).raster_digest for count, task in tasks.items()}
    merging = (time.perf_counter() - begun) / len(tasks)
    if len(set(digests.values())) > 1:
        raise RuntimeError(f"two workers recorded other spikes than one: {digests}")
    yield Row(case, "merging", "MB/s", per(stored / 1e6, [merging]), note="one process; every range verified")
    counted = laps[1][sizes.ranges :]  # without the first turn
    load = scheduler.Load(
        ranges=-(-sizes.images // RANGE),
        seconds=mean(counted),
        spread=pstdev(counted) / mean(counted),
        size=stored / sizes.ranges,
        merged_bytes=stored / merging,
    )
    yield Row(case, "a range on one thread", "s", (load.seconds,), note=f"standard deviation {load.spread:.1%}")
    yield Row(case, "a range's files", "MB", (load.size / 1e6,), note="spikes, and maps summed over steps")
    yield from many_machines(sizes, load, options)


def many_machines(sizes: Sizes, load: scheduler.Load, options: Options) -> Iterator[Row]:
    """What a cluster that nobody has at hand would take, simulated from what was measured."""
    case = f"simulated: {sizes.images:,} images on {sizes.machines} machines of {sizes.threads} threads"
    least = sum(load.durations(options.seed)) / (sizes.machines * sizes.threads)
    yield Row(case, "all threads at work all the time", "h", (least / HOUR,), note="the bound")
    for bandwidth in sizes.bandwidth:
        for daily in sizes.failures:
            machines = scheduler.Machines(sizes.machines, sizes.threads, daily / 24, bandwidth=bandwidth)
            found = scheduler.run(load, machines, options.seed)
            way = f"disk {bandwidth / 1e9:g} GB/s, {daily:g} failures a machine and day"
            note = (
                f"{found.failures} failures lost {found.lost} of {load.ranges:,} ranges; started {found.rounds} times"
            )
            yield Row(case, way, "h", (found.computing / HOUR,), note=note)
    yield Row(case, "merging on one machine", "h", (load.merging / HOUR,), note="at the rate measured above")


def overheads(sizes: Sizes, options: Options, scratch: Path) -> Iterator[Row]:
    """What a range takes in which there is almost nothing to compute: scheduler, files, and merging."""
    alone, sent = (task_of(NOTHING, sizes.small, scratch / name, options.seed) for name in ("alone", "sent"))
    with connected("local:1", scratch) as client:
        ways = {"in this process": partial(here, alone), "local:1": partial(anew, client, sent, [])}
        timed = race(ways, options.repeats)
    case = f"{sizes.small} ranges with nothing to compute"
    for way, found in timed.items():
        yield Row(case, way, "ms/range", scaled(found.seconds, 1e3 / sizes.small), note="files included, on one thread")
    asked = len(pickle.dumps((compute_range, ("Task-" + 32 * "0", sizes.small)))) + len(pickle.dumps(RANGE))
    once = len(pickle.dumps(sent))
    yield Row(case, "through the scheduler", "B/range", (asked,), note="estimated: pickled call and answer, no framing")
    yield Row(
        case, "once to each worker", "KB", (once / 1e3,), note="plan, network and what reads the samples, pickled"
    )
    begun = time.perf_counter()
    merge(sent.folder, sent.job.spec)
    yield Row(case, "merging", "ranges/s", per(sizes.small, [time.perf_counter() - begun]), note="one process")


def task_of(design: Design, ranges: int, out: Path, seed: int) -> Task:
    """So many ranges of a random network; a range's inputs are the same as every other's."""
    network: Network = quantise(random_network(design, RATE, seed))
    spikes = random_spikes(network.input_shape, network.timesteps, RANGE, RATE, seed)
    source: Any = Repeated(spikes, ranges * RANGE)
    backend = EventBackend(1)
    spec = JobSpec(raster_header(network, backend, source.name, seed), source.table, Keep())
    return Task(out, Job(spec, network, Parts(source), backend, ("event", "auto", "event", None)))


def anew(client: Any, task: Task, laps: list[float]) -> None:
    """Compute all ranges on a cluster, from the beginning; adds the seconds from one finished range to the next."""
    start(task)
    last = time.perf_counter()

    def advance(_: int) -> None:
        nonlocal last
        now = time.perf_counter()
        laps.append(now - last)
        last = now

    distribute(client, task, advance)


def here(task: Task) -> None:
    """Compute all ranges in this process, as a worker does."""
    start(task)
    for number in range(len(task.job.spec.ranges)):
        compute_one(task.folder, task.job, number, workers=1)


def give_cores(client: Any) -> None:
    """Give each worker a core of its own, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        for core, worker in enumerate(sorted(client.scheduler_info()["workers"])):
            client.run(stay_on, sorted(os.sched_getaffinity(0))[core % cores()], workers=[worker])


def stay_on(core: int) -> None:
    """Keep this process, with all its threads, on a core; threads that they start later stay there, too."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), {core})


def start(task: Task) -> None:
    """An empty folder, in which the run has begun."""
    shutil.rmtree(task.folder, ignore_errors=True)
    begin(task.folder, task.job)
