"""Workers of dask on this machine: one process each, replaced when it ends or is stopped; all end with this process.

They are plain child processes. Dask's own way to start them leaves named semaphores behind when it is killed. It also
lets Python import what lies in folders for temporary files, where others may have put something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.pipeline.engine.stopping import stop_computing
from spikesam.recordings.child import die_with_parent, python
from spikesam.recordings.disk import reason
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import signs_of_life
from spikesam.recordings.text import printable

if TYPE_CHECKING:
    from distributed import Client, Scheduler
    from distributed.security import Security

TRIES = 3  # times in a row that a worker may end before it is connected
STARTING = 2  # times its patience, in which a worker must be connected
LOOK = 0.1  # seconds between two looks at a worker
HOST = "127.0.0.1"
GRACE = 10.0  # seconds in which a worker that is told to end puts finished samples on the disk
CODE = "from spikesam.pipeline.engine.local_cluster import work; work()"


@contextmanager
def local_cluster(count: int, folder: Path, patience: float, say: Callable[[str], object]) -> Iterator[Client]:
    """A client of so many new processes with one thread each; nobody else on this machine may connect.

    Parameters
    ----------
    folder : where dask may make folders; they are gone in the end
    patience : seconds without a sign of life after which a worker is replaced
    say : called with a line for each worker that is lost

    Raises
    ------
    InputError : if a worker cannot be started
    """
    import dask
    from distributed import Client, Scheduler, SpecCluster

    # What `silence_logs` sets ends with the cluster; a connection can be said to be closed after that, on Ctrl-C.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    scratch = folder / f".dask-scratch-space-{secrets.token_hex(8)}"  # dask takes a folder that is called so as it is
    path = list(sys.path)
    ttl = f"{patience / 2} s"  # dask looks as often, so it notices within twice that time
    settings = {"temporary-directory": str(scratch), "distributed.scheduler.worker-ttl": ttl}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        security = _certified(scratch)
        with dask.config.set(settings):
            options = {"host": HOST, "port": 0, "protocol": "tls://", "dashboard": False, "security": security}
            cluster = SpecCluster(
                scheduler={"cls": _without_http(Scheduler), "options": options},
                silence_logs=logging.CRITICAL,
                security=security,
            )
        stack.enter_context(cluster)
        sys.path[:] = path  # without dask's folders
        client = stack.enter_context(Client(cluster, security=security))
        end = time.monotonic() + TRIES * STARTING * patience
        workers = [_Worker(cluster.scheduler, security, scratch, patience, str(n), say) for n in range(count)]
        stack.callback(_end, workers)
        while not all(worker.connected for worker in workers):  # ranges are handed out by the number of threads
            if failed := next((worker.failed for worker in workers if worker.failed), None):
                raise InputError(f"a worker {failed} before it was connected", argument="dask")
            if time.monotonic() > end:
                raise InputError(
                    f"a worker was not connected within {TRIES * STARTING * patience:.0f} s", argument="dask"
                )
            time.sleep(LOOK)
        yield client


def _without_http(role: Any) -> Any:
    """A scheduler or worker of dask without its server for browsers, which serves anybody, and without encryption."""
    return type(role.__name__, (role,), {"start_http_server": lambda *_, **__: None})


def _certified(folder: Path) -> Security:
    """A new certificate and its key, as files there: dask makes temporary ones, which would stay after a kill."""
    from distributed.security import Security

    made = Security.temporary()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(made.tls_ca_file)
    key.write_text(made.tls_client_key)
    roles = [(f"tls_{role}_cert", f"tls_{role}_key") for role in ("client", "scheduler", "worker")]
    files = {cert_name: str(certificate) for cert_name, _ in roles} | {key_name: str(key) for _, key_name in roles}
    return Security(require_encryption=True, tls_ca_file=str(certificate), **files)


class _Worker(threading.Thread):
    """Starts a process, and another one when that ends: the kernel ends a process with the thread that started it.

    Parameters
    ----------
    scheduler : of this process, which knows who is connected

    Attributes
    ----------
    connected : whether a process was connected
    failed : how the last process ended, if too many did before they were connected
    """

    def __init__(
        self,
        scheduler: Scheduler,
        security: Any,
        scratch: Path,
        patience: float,
        name: str,
        say: Callable[[str], object],
    ) -> None:
        super().__init__(daemon=True)
        tls = security.get_tls_config_for_role("worker")
        self._order = {"address": scheduler.address, "scratch": str(scratch), "parent": os.getpid()} | {
            key: tls[key] for key in ("ca_file", "cert", "key")
        }
        self._scheduler, self._patience, self._name, self._say = scheduler, patience, name, say
        self._over, self._process = threading.Event(), None
        self.connected, self.failed = False, ""
        self.start()

    def run(self) -> None:
        """Until it is told to end."""
        started = failed = 0
        while not self._over.is_set() and failed < TRIES:
            started += 1
            try:
                with tempfile.TemporaryFile() as errors:
                    connected, code = self._watched(f"{self._name}-{started}", errors)
                    errors.seek(0)
                    last = errors.read().strip().rpartition(b"\n")[2].decode(errors="replace")
            except OSError as error:  # such as too many open files
                self.failed = f"could not be started ({reason(error)})"
                return
            if not self._over.is_set():
                how = _ending(code, last)
                failed = 0 if connected else failed + 1
                self._say(f"a worker {how}; another takes its place")
        self.failed = "" if self._over.is_set() else how

    def end(self) -> None:
        """Let the process put finished samples on the disk, and end; one that could not even be started is left."""
        self._over.set()
        self.join(2 * GRACE)

    def _watched(self, name: str, errors: Any) -> tuple[bool, int]:
        """Whether a process was connected, and its exit code."""
        process = subprocess.Popen(python(CODE), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps({"name": name, **self._order}).encode())
        connected, begun = False, time.monotonic()
        while process.poll() is None and not self._over.wait(LOOK):
            there = name in {worker.name for worker in list(self._scheduler.workers.values())}
            late = time.monotonic() - begun > STARTING * self._patience
            if not there and (connected or late):  # stopped, and if it was connected, given up by the scheduler
                process.kill()
            self.connected |= there
            connected |= there
        with suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(GRACE)
        process.kill()
        return connected, process.wait()


def _end(workers: list[_Worker]) -> None:
    ending = [threading.Thread(target=worker.end) for worker in workers]
    for thread in ending:
        thread.start()
    for thread in ending:
        thread.join()


def _ending(code: int, last: str) -> str:
    """How a process ended, in words; what it said last helps if it ended by itself."""
    if code == -signal.SIGKILL:
        return "was killed (is the machine out of memory?) or stopped"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended with exit code {code}" + (f" ({printable(last)})" if last else "")


def work() -> None:
    """What a worker's process does; its order comes through standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the first one ends this
    order = json.load(sys.stdin)
    die_with_parent(order["parent"])  # which may have ended while Python started
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    signs_of_life(os.getpid())  # while there is memory
    asyncio.run(_work(order))
    os._exit(0)


async def _work(order: dict[str, Any]) -> None:
    from distributed import Worker
    from distributed.security import Security

    def stop() -> None:
        stop_computing(GRACE)
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
    path = list(sys.path)
    worker = _without_http(Worker)(
        order["address"],
        host=HOST,
        nthreads=1,
        name=order["name"],
        memory_limit=0,
        local_directory=order["scratch"],
        security=Security(
            require_encryption=True,
            tls_ca_file=order["ca_file"],
            tls_worker_cert=order["cert"],
            tls_worker_key=order["key"],
        ),
    )
    sys.path[:] = path  # without dask's folder
    async with worker:
        await worker.finished()
