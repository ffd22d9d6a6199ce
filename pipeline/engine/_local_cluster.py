"""Processes of dask on this machine that serve no HTTP: dask's pages would answer anybody here,
without encryption.

Dask itself always starts a server for them, be it one without pages.
"""

from __future__ import annotations

from typing import Any

from distributed import Nanny, Scheduler, SpecCluster, Worker
from distributed.security import Security


class PagelessScheduler(Scheduler):
    """A scheduler that is asked by its clients and workers alone."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Start none."""


class PagelessWorker(Worker):
    """A worker that is asked by the scheduler, clients and other workers alone."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Start none."""


def local_cluster(count: int, security: Security, **worker_options: Any) -> SpecCluster:
    """A cluster of so many processes with one thread each, on loopback; `security` says who may
    connect.
    """
    place = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    worker = {
        "cls": Nanny,
        "options": {**place, "nthreads": 1, "worker_class": PagelessWorker, **worker_options},
    }
    scheduler = {"cls": PagelessScheduler, "options": {**place, "port": 0, "dashboard": False}}
    return SpecCluster(
        workers=dict.fromkeys(range(count), worker),
        scheduler=scheduler,
        worker=worker,
        security=security,
        silence_logs=worker_options["silence_logs"],
        shutdown_on_close=False,  # it is closed by who made it, not once more when Python ends
    )
