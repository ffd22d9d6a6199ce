"""Ranges on a cluster of dask.distributed: one task for each. Dask tries again what fails, and
replaces lost workers.

A worker that is stopped costs what a kill costs, see `FolderStore` in folder.py: another one
computes the rest. Workers need the project installed, and see the folder of the run and the data
under the same paths. The job travels once to each worker, network and list of samples included;
spikes and maps go to the folder, not through the scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from multiprocessing import active_children
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.common.child import isolated_spawning, start_resource_tracker
from spikesam.common.errors import InputError
from spikesam.common.parallel import interrupted_later
from spikesam.common.text import printable
from spikesam.pipeline.engine.folder import compute_range
from spikesam.pipeline.engine.job import Job
from spikesam.recordings.raster.writer import SCRATCH

if TYPE_CHECKING:
    from distributed import Client, SpecCluster
    from distributed.security import Security

RETRIES = 2  # of a range that fails
SHOWN = 3  # failures that a message names
PATIENCE = 30.0  # seconds without a sign of life after which a worker on this machine is replaced
STARTING = 60.0  # seconds in which such a worker must be connected
# Seconds in which all of them must have ended; as many again where dask fails to end them. Those
# that are left are killed.
CLOSING = 30.0
_one_range = threading.Lock()  # the threads of a worker all work on the same range


def compute_in_worker(number: int, job: Job, folder: Path) -> int:
    """Compute one range, or what is missing of it, with all threads of this worker; gives the
    number of its samples.
    """
    from distributed import get_worker

    threads: int = get_worker().state.nthreads
    assert job.choice is not None
    name, device, options = job.choice
    backend = _backend(name, device, tuple(options.items()), threads)
    with _one_range:
        compute_range(folder, replace(job, backend=backend), number, workers=threads)
    return len(job.spec.ranges[number])


@lru_cache(maxsize=1)
def _backend(name: str, device: str, options: tuple[tuple[str, Any], ...], threads: int) -> Backend:
    """The backend of this worker, which keeps what it has prepared from one range to the next."""
    return make_backend(name, device, dict(options), threads=threads)


def distribute(
    client: Client, folder: Path, job: Job, advance: Callable[[int], None] = lambda samples: None
) -> None:
    """Compute all ranges of a run on a cluster; says what failed for good once all the others are
    finished and kept.
    """
    from distributed import as_completed

    _expect_the_project(client)
    count, failed = len(job.spec.ranges), dict[int, str]()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # it is sent once
        shared = client.submit(
            _given, job, pure=False
        )  # a task: made anew where all workers that had it were lost
    ranges = client.map(
        compute_in_worker,
        range(count),
        job=shared,
        folder=folder.absolute(),
        retries=RETRIES,
        pure=False,
    )
    numbers = {future.key: number for number, future in enumerate(ranges)}
    for future, outcome in as_completed(ranges, client.loop, with_results=True, raise_errors=False):
        if isinstance(outcome, int):
            advance(outcome)
        else:  # the error with its traceback, or what cancelled all
            error = outcome[1] if isinstance(outcome, tuple) else outcome
            failed[numbers[future.key]] = printable(error) or type(error).__name__
    if failed:
        named = "; ".join(
            f"range {number}: {reason}" for number, reason in sorted(failed.items())[:SHOWN]
        )
        further_ranges = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        raise InputError(
            f"{len(failed)} of {count} ranges failed {1 + RETRIES} times each "
            f"({named}{further_ranges}); "
            f"all others are kept in {folder}",
            ", and {resume=True} computes the missing ones again",
        )


def _given(job: Job) -> Job:
    return job


def _expect_the_project(client: Client) -> None:
    """Refuse workers without the project: they could not even read what they are sent."""
    mine = _version()
    for worker, theirs in client.run(metadata.version, "spikesam", on_error="return").items():
        if theirs != mine and isinstance(
            theirs, (str, metadata.PackageNotFoundError)
        ):  # else it was lost
            has = f"spikesam {theirs}" if isinstance(theirs, str) else "no spikesam"
            raise InputError(
                f"worker {worker} has {has}, expected {mine}; install the same version there",
                argument="dask",
            )


def _version() -> str:
    return metadata.version("spikesam")


@contextmanager
def connected(
    address: str, folder: Path, say: Callable[[str], object] = lambda text: None
) -> Iterator[Client]:
    """A client of a cluster, "tls://HOST:PORT" or "tcp://HOST:PORT", or of "local:N" new processes
    of one thread each.

    These may have a folder of dask's for a moment in `folder`. `say` gets a line for the user. An
    address that is none, or where nobody answers, is refused.
    """
    local = re.fullmatch(r"local:(\d{1,4})", address)
    try:
        import cryptography  # noqa: F401  for the certificates of a local cluster
        from distributed import Client
    except ImportError:
        raise InputError(
            "needs dask.distributed; pip install 'spikesam[dask]'", argument="dask"
        ) from None
    except ValueError as error:
        raise InputError(
            f"the configuration of dask cannot be read ({printable(error)})", argument="dask"
        ) from None
    if local and int(local[1]):
        with _local(int(local[1]), folder) as client:
            yield client
        return
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+", address):
        raise InputError(
            f"got {address!r}, expected tcp://HOST:PORT, tls://HOST:PORT, or local:N with N "
            "processes",
            argument="dask",
        )
    if not address.startswith(("tls", "wss")):
        say(
            f"{address}: the connection is not protected, and whoever reaches the cluster can run "
            "code as its user; with certificates in dask's configuration, use tls://"
        )
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # of TLS that is not configured, too
        raise InputError(
            f"cannot connect to {address} ({printable(error)}); is the scheduler there?",
            argument="dask",
        ) from None
    with client:
        if not client.nthreads():
            raise InputError(
                f"{address} has no workers; start some with: dask worker {address}", argument="dask"
            )
        yield client


@contextmanager
def _local(count: int, folder: Path) -> Iterator[Client]:
    """A client of so many new processes with one thread each; nobody else on this machine may
    connect.
    """
    import dask
    from distributed import Client

    from spikesam.pipeline.engine._local_cluster import local_cluster

    for logger in ("distributed", "tornado.application"):  # they print what they try again
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    scratch = folder / f"{SCRATCH}{secrets.token_hex(8)}"
    settings = {
        "temporary-directory": str(scratch),
        "distributed.scheduler.worker-ttl": f"{PATIENCE} s",
    }
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        stack.callback(sys.path.__setitem__, slice(None), list(sys.path))  # dask adds its folders
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(isolated_spawning())
        stack.callback(_kill_workers)
        try:
            with _uninterrupted():
                cluster = local_cluster(
                    count,
                    _certified(scratch),
                    memory_limit=None,
                    silence_logs=logging.CRITICAL,
                    death_timeout=STARTING,
                )
                stack.callback(_close, cluster)
                client = stack.enter_context(Client(cluster, set_as_default=False))
        except Exception as error:  # whatever dask says of it
            why = printable(error) or type(error).__name__
            raise InputError(f"the workers cannot be started ({why})", argument="dask") from None
        yield client


def _close(cluster: SpecCluster) -> None:
    """End the workers, and whatever else there is of the cluster.

    At times dask's own close fails: a worker is just being replaced, never says that it has ended,
    or a connection breaks. The workers are then closed by themselves, or dask would replace those
    that are killed.
    """
    try:
        cluster.close(CLOSING)
    except Exception:
        with suppress(Exception):
            cluster.sync(_close_workers, cluster, callback_timeout=CLOSING)


async def _close_workers(cluster: SpecCluster) -> None:
    """End all workers at once, each whatever becomes of the others."""
    closing = [nanny.close() for nanny in cluster.workers.values()]
    await asyncio.gather(*closing, return_exceptions=True)


def _kill_workers() -> None:
    """A worker that is stopped while it starts ends in no other way."""
    for process in active_children():
        process.kill()
        process.join()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, and never reach the threads and processes that
    start in it.
    """
    start_resource_tracker()
    with interrupted_later():
        mask = (
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            if hasattr(signal, "pthread_sigmask")
            else None
        )
        try:
            yield
        finally:
            if mask is not None:  # else this is Windows
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _certified(folder: Path) -> Security:
    """A new certificate and its key, as files there: dask makes temporary ones, which would stay
    after a kill.
    """
    from distributed.security import Security

    security = Security.temporary()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(security.tls_ca_file)
    key.write_text(security.tls_client_key)
    roles = [(f"tls_{role}_cert", f"tls_{role}_key") for role in ("client", "scheduler", "worker")]
    files = {cert_name: str(certificate) for cert_name, _ in roles} | {
        key_name: str(key) for _, key_name in roles
    }
    return Security(require_encryption=True, tls_ca_file=str(certificate), **files)
