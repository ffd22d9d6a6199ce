"""Ranges on a cluster of dask.distributed: one task for each, a few at a time, tried again where a worker dies.

Workers need the project installed, and see the folder of the run and the data under the same paths. The job travels
once to each worker, network and list of samples included; spikes and maps go to the folder, not through the scheduler.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recordings.child import isolated_spawning
from recordings.errors import InputError
from recordings.text import printable

from .compute_ranges import compute_ranges
from .job import Job

if TYPE_CHECKING:
    from distributed import Client, Future

ATTEMPTS = 3  # of one range, on whichever workers
AHEAD = 2  # ranges that are with the scheduler, for each thread of the cluster
PATIENCE = 60  # seconds that all workers may be away
SHOWN = 3  # failures that a message names


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker computes ranges with; sent once to each.

    Parameters
    ----------
    folder : of the run, absolute
    job : of the run
    """

    folder: Path
    job: Job

    def __getstate__(self) -> dict[str, Any]:
        """What travels, also from one worker to another: all but :attr:`here`. Each worker makes its own."""
        return {name: value for name, value in vars(self).items() if name != "here"}

    @cached_property
    def here(self) -> Job:
        """The job with a backend of this worker, which uses as many threads as the worker has."""
        return self.job.with_threads(_threads())


_one_at_a_time = threading.Lock()  # in a worker: its threads all work on the same range


def compute_range(task: Task, number: int) -> int:
    """Compute one range in a worker, if it is not finished already; returns its number of samples."""
    with _one_at_a_time:
        compute_ranges(task.folder, task.here, range(number, number + 1), workers=_threads())
    return len(task.job.spec.ranges[number])


def _threads() -> int:
    from distributed import get_worker

    threads: int = get_worker().state.nthreads
    return threads


def distribute(client: Client, task: Task, advance: Callable[[int], None] = lambda samples: None) -> None:
    """Compute all ranges of a run on a cluster.

    A worker that dies or fails is replaced by another, :data:`ATTEMPTS` times for each range; the other ranges go on.

    Parameters
    ----------
    advance : called with the number of samples just finished

    Raises
    ------
    InputError : if a range failed on every attempt, once all the others are finished; they are kept
    """
    from distributed import as_completed

    _expect_the_project(client)
    waiting = deque(range(len(task.job.spec.ranges)))
    numbers: dict[Any, int] = {}
    lost: Counter[int] = Counter()
    failed: dict[int, str] = {}
    shared = _sent(client, task)

    def submit() -> list[Any]:
        if not waiting:
            return []
        future = client.submit(compute_range, shared, number := waiting.popleft(), pure=False, retries=ATTEMPTS - 1)
        numbers[future.key] = number
        return [future]

    threads = max(1, sum(client.nthreads().values()))
    running = as_completed([future for _ in range(AHEAD * threads) for future in submit()])
    for future in running:
        number = numbers.pop(future.key)
        try:
            if (error := future.exception()) is None:
                advance(future.result())
            else:
                failed[number] = printable(error)
        except CancelledError:  # all workers that had the task died with it
            lost[number] += 1
            if lost[number] == ATTEMPTS:
                failed[number] = "every worker was lost"
            else:
                waiting.append(number)
                shared = _sent(client, task)
        future.release()
        for more in submit():
            running.add(more)
    if failed:
        named = "; ".join(f"range {number}: {reason}" for number, reason in sorted(failed.items())[:SHOWN])
        more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        raise InputError(
            f"{len(failed)} of {len(task.job.spec.ranges)} ranges failed {ATTEMPTS} times each ({named}{more}); "
            f"all others are kept in {task.folder}",
            "resume-missing",
        )


def _sent(client: Client, task: Task) -> Future[Task]:
    """The task, with every worker."""
    try:
        [future] = client.scatter([task], broadcast=True, hash=False, timeout=PATIENCE)
    except (OSError, asyncio.TimeoutError) as error:
        raise InputError(
            f"the cluster has had no worker for {PATIENCE} s ({printable(error)}); what is finished is kept in "
            f"{task.folder}",
            "resume",
            argument="dask",
        ) from None
    return future


def _expect_the_project(client: Client) -> None:
    """Refuse workers without the project: they could not even read what they are sent."""
    mine = _version()
    for worker, theirs in client.run(metadata.version, "spikesam", on_error="return").items():
        if theirs != mine:
            has = f"spikesam {theirs}" if isinstance(theirs, str) else "no spikesam"
            raise InputError(
                f"worker {worker} has {has}, expected {mine}; install the same version there", argument="dask"
            )


def _version() -> str:
    return metadata.version("spikesam")


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of a cluster, "tcp://HOST:PORT", or of "local:N" new processes with one thread each.

    Raises
    ------
    InputError : if the address is none, nobody answers there, or dask.distributed is not installed
    """
    local = re.fullmatch(r"local:(\d{1,4})", address)
    try:
        from distributed import Client, LocalCluster
        from distributed.security import Security

        security = Security.temporary() if local else None  # nobody else on this machine may connect, and so run code
    except ImportError:  # of cryptography, too
        raise InputError("needs dask.distributed; pip install 'spikesam[dask]'", argument="dask") from None
    if local and int(local[1]):
        with (
            isolated_spawning(),
            LocalCluster(
                n_workers=int(local[1]),
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # any free port; with None, one that all clusters fight for
                silence_logs=50,
                memory_limit=0,
                security=security,
            ) as cluster,
            Client(cluster, security=security) as client,
        ):
            client.wait_for_workers(int(local[1]))  # ranges are handed out by the number of threads that are there
            yield client
        return
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+", address):
        raise InputError(f"got {address!r}, expected tcp://HOST:PORT, or local:N with N processes", argument="dask")
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(
            f"nobody answers at {address} ({printable(error)}); is the scheduler there?", argument="dask"
        ) from None
    with client:
        if not client.nthreads():
            raise InputError(f"{address} has no workers; start some with: dask worker {address}", argument="dask")
        yield client
