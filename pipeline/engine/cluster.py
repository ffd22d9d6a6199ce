"""Ranges on a cluster of dask.distributed: one task for each, a few at a time, tried again where a worker is lost.

Workers need the project installed, and see the folder of the run and the data under the same paths. The job travels
once to each worker, network and list of samples included; spikes and maps go to the folder, not through the scheduler.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.pipeline.engine.compute_ranges import PATIENCE, PAUSE, compute_one, silent
from spikesam.pipeline.engine.job import Job
from spikesam.pipeline.engine.local_cluster import local_cluster
from spikesam.pipeline.engine.stopping import go_on, one_at_a_time
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import BEAT, HeldError
from spikesam.recordings.text import printable

if TYPE_CHECKING:
    from distributed import Client, Future

ATTEMPTS = 3  # of one range, on whichever workers
AHEAD = 2  # ranges that are with the scheduler, for each thread of the cluster
SHOWN = 3  # failures that a message names
LOST = "every worker was lost"


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


@dataclass(frozen=True)
class Outcome:
    """What became of a range in a worker.

    Parameters
    ----------
    samples : that it has, all finished; None if it was not computed
    said : lines for the user
    failed : why it failed; "" if it did not, or another process has it
    worker : address of the worker
    """

    samples: int | None
    said: tuple[str, ...]
    failed: str
    worker: str


def compute_range(task: Task, number: int, pause: float = 0.0) -> Outcome:
    """Compute one range in a worker, if it is not finished already, after a pause in seconds."""
    from distributed import get_worker

    said: list[str] = []
    worker: str = get_worker().address
    time.sleep(pause)
    with one_at_a_time:
        try:
            compute_one(task.folder, task.here, number, go_on, said.append, workers=_threads())
        except HeldError as held:
            return Outcome(None, (silent(number, held),) if held.silent > 3 * BEAT else (), "", worker)
        except Exception as error:
            return Outcome(None, (), _why(error), worker)
    return Outcome(len(task.job.spec.ranges[number]), tuple(said), "", worker)


def _why(error: Exception) -> str:
    return printable(error) or type(error).__name__


def _threads() -> int:
    from distributed import get_worker

    threads: int = get_worker().state.nthreads
    return threads


def distribute(
    client: Client,
    task: Task,
    advance: Callable[[int], None] = lambda samples: None,
    say: Callable[[str], object] = lambda text: None,
) -> None:
    """Compute all ranges of a run on a cluster.

    A range that fails is computed again, by another worker if there is one, :data:`ATTEMPTS` times in all; the other
    ranges go on. A range that another process has comes last.

    Parameters
    ----------
    advance : called with the number of samples just finished
    say : called with a line for the user

    Raises
    ------
    InputError : if a range failed on every attempt, once all the others are finished; they are kept
    """
    from distributed import KilledWorker, as_completed

    _expect_the_project(client)
    waiting = deque(range(len(task.job.spec.ranges)))
    numbers: dict[Any, int] = {}
    failures: Counter[int] = Counter()
    failed: dict[int, str] = {}
    held, told = set[int](), set[int]()
    failed_at: dict[int, set[str]] = defaultdict(set)
    shared = _sent(client, task)

    def submit() -> list[Any]:
        if not waiting:
            return []
        number = waiting.popleft()
        pause = PAUSE if number in held else 0.0
        others = list(client.nthreads().keys() - failed_at[number]) if failed_at[number] else []
        where = {"workers": others, "allow_other_workers": True} if others else {}
        future = client.submit(compute_range, shared, number, pause, pure=False, **where)
        numbers[future.key] = number
        return [future]

    threads = max(1, sum(client.nthreads().values()))
    running = as_completed([future for _ in range(AHEAD * threads) for future in submit()])
    for future in running:
        number = numbers.pop(future.key)
        reason = ""
        try:
            outcome = future.result()
        except CancelledError:  # all workers that had the task died with it
            reason = LOST
        except KilledWorker as error:  # four workers, one after the other
            reason, failures[number] = _why(error), ATTEMPTS - 1
        except Exception as error:  # where there is not even the memory to say what failed
            reason = _why(error)
        else:
            finished = outcome.samples is not None
            # Said once, and not at first: a stopped worker of a local cluster, which holds it, is ended soon.
            for text in outcome.said if finished or (number in held and number not in told) else ():
                told.add(number)
                say(text)
            if outcome.samples is not None:
                advance(outcome.samples)
            elif not outcome.failed:
                held.add(number)
                waiting.append(number)
            else:
                reason = outcome.failed
                failed_at[number].add(outcome.worker)
        if reason:
            failures[number] += 1
            if failures[number] == ATTEMPTS:
                failed[number] = reason
            else:
                waiting.append(number)
                if reason == LOST:
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
    """The task, with every worker: a busy one, from which others would have to fetch it, answers late."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            [future] = client.scatter([task], hash=False, broadcast=True, timeout=max(PAUSE, end - time.monotonic()))
            return future
        except (OSError, asyncio.TimeoutError) as error:
            if time.monotonic() >= end:
                raise InputError(
                    f"no worker of the cluster took the run within {PATIENCE:.0f} s ({printable(error)}); what is "
                    f"finished is kept in {task.folder}",
                    "resume",
                    argument="dask",
                ) from None
        time.sleep(PAUSE)


def _expect_the_project(client: Client) -> None:
    """Refuse workers without the project: they could not even read what they are sent."""
    mine = _version()
    for worker, theirs in client.run(metadata.version, "spikesam", on_error="return").items():
        if theirs != mine and isinstance(theirs, (str, metadata.PackageNotFoundError)):  # else it was lost
            has = f"spikesam {theirs}" if isinstance(theirs, str) else "no spikesam"
            raise InputError(
                f"worker {worker} has {has}, expected {mine}; install the same version there", argument="dask"
            )


def _version() -> str:
    return metadata.version("spikesam")


@contextmanager
def connected(address: str, folder: Path, say: Callable[[str], object] = lambda text: None) -> Iterator[Client]:
    """A client of a cluster, "tls://HOST:PORT" or "tcp://HOST:PORT", or of "local:N" new processes of one thread each.

    Parameters
    ----------
    folder : where dask may make folders for a moment, if the processes are new
    say : called with a line for the user

    Raises
    ------
    InputError : if the address is none, nobody answers there, or dask.distributed is not installed
    """
    local = re.fullmatch(r"local:(\d{1,4})", address)
    try:
        import cryptography  # noqa: F401  for the certificates of a local cluster
        from distributed import Client
    except ImportError:
        raise InputError("needs dask.distributed; pip install 'spikesam[dask]'", argument="dask") from None
    except ValueError as error:
        raise InputError(f"the configuration of dask cannot be read ({printable(error)})", argument="dask") from None
    if local and int(local[1]):
        with local_cluster(int(local[1]), folder, PATIENCE, say) as client:
            yield client
        return
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+", address):
        raise InputError(
            f"got {address!r}, expected tcp://HOST:PORT, tls://HOST:PORT, or local:N with N processes", argument="dask"
        )
    if not address.startswith(("tls", "wss")):
        say(
            f"{address}: the connection is not protected, and whoever reaches the cluster can run code as its user; "
            "with certificates in dask's configuration, use tls://"
        )
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # of TLS that is not configured, too
        raise InputError(
            f"cannot connect to {address} ({printable(error)}); is the scheduler there?", argument="dask"
        ) from None
    with client:
        if not client.nthreads():
            raise InputError(f"{address} has no workers; start some with: dask worker {address}", argument="dask")
        yield client
