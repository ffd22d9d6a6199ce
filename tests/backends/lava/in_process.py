"""Lava's graph without Lava's runtime: a thread for each process, a queue for each channel.

Processes, ports and models are those that run on Lava, its own among them. It starts in a moment.
"""

import socket
import threading
from collections import defaultdict
from queue import SimpleQueue
from typing import Any
from unittest import mock

import numpy as np

from spikesam.backends.base import BackendError
from spikesam.backends.lava._backend import LavaBackend
from spikesam.backends.lava.repairs import repair_convolutions, repair_lava
from spikesam.backends.network import Network

# Lava chooses how processes start when it is imported, which other tests may have done already.
with mock.patch("multiprocessing.set_start_method"):
    repair_lava()
    repair_convolutions()

    import lava.proc.conv.models
    import lava.proc.dense.models  # noqa: F401

    from spikesam.backends.lava._graph import build_graph, run_config
    from spikesam.backends.lava._magma import AbstractSubProcessModel, PyLoihiProcessModel

Queues = list[SimpleQueue[Any]]


class InPort:
    """Receives the sum of the messages of all ports that lead to it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, queues: Queues) -> None:
        self.shape, self.dtype, self.queues = shape, dtype, queues

    def recv(self) -> Any:
        messages = [queue.get(timeout=60).reshape(self.shape) for queue in self.queues]
        return sum(messages, np.zeros(self.shape, self.dtype))


class OutPort:
    """Sends copies of a message, in its dtype, to every port to which it leads."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, queues: Queues) -> None:
        self.shape, self.dtype, self.queues = shape, dtype, queues

    def send(self, message: Any) -> None:
        assert message.shape == self.shape
        for queue in self.queues:
            queue.put(message.astype(self.dtype))


class InProcess:
    """In place of :class:`spikesam.backends.lava._child.Child`."""

    def __init__(self, module: str, deadline: float) -> None:
        self.data, self.graph_data = socket.socketpair()
        self.threads, self.failures = list[threading.Thread](), list[Exception]()

    def start(self, network: Network, n_samples: int, models: str, request: Any) -> None:
        """Build the graph, and let every process take its steps."""
        source = build_graph(network, n_samples, self.graph_data.fileno(), request)
        config, steps = run_config(network, models), n_samples * network.timesteps + 1
        for model in models_of(source, config):
            self.threads.append(
                threading.Thread(target=self._run, args=(model, steps), daemon=True)
            )
        for thread in self.threads:
            thread.start()

    def _run(self, model: Any, steps: int) -> None:
        try:
            for model.time_step in range(1, steps + 1):
                model.run_spk()
        except Exception as failure:
            self.failures.append(failure)
            self.graph_data.shutdown(socket.SHUT_RDWR)

    def send(self, message: memoryview) -> None:
        self.data.sendall(message)

    def receive(self, size: int) -> bytes:
        message = bytearray()
        while len(message) < size:
            if not (received := self.data.recv(size - len(message))):
                raise BackendError(f"a process failed: {self.failures}")
            message += received
        return bytes(message)

    def finish(self) -> None:
        for thread in self.threads:
            thread.join(60)
        assert not self.failures and not any(thread.is_alive() for thread in self.threads)

    def close(self) -> None:
        self.data.close()
        self.graph_data.close()


def models_of(source: Any, config: Any) -> list[Any]:
    """A model, ready to run, of each process that the source leads to,
    or of those it is made of.
    """
    processes, models = [source], dict[Any, Any]()
    for process in processes:  # which grows
        for port in process.out_ports:
            processes += {to.process for to in port.get_dst_ports()}.difference(processes)
        model = config.select(process, models_for(process))
        if issubclass(model, AbstractSubProcessModel):
            processes += model(process).find_sub_procs().values()
        else:
            models[process] = model(process.proc_params)
    incoming, outgoing = defaultdict[Any, Queues](list), defaultdict[Any, Queues](list)
    for process in models:
        for port in process.in_ports:
            for sender in port.get_src_ports():
                incoming[port].append(SimpleQueue())
                outgoing[sender].append(incoming[port][-1])
    for process, model in models.items():
        for ports, kind, queues in (
            (process.in_ports, InPort, incoming),
            (process.out_ports, OutPort, outgoing),
        ):
            for port in ports:
                dtype = getattr(type(model), port.name).d_type
                setattr(model, port.name, kind(port.shape, dtype, queues[port]))
        for variable in process.vars:
            dtype = getattr(type(model), variable.name).d_type
            setattr(model, variable.name, np.full(variable.shape, variable.init, dtype))
    return list(models.values())


def models_for(process: Any) -> list[type]:
    """The models of a Process that have been imported."""
    models = [AbstractSubProcessModel, PyLoihiProcessModel]
    for model in models:
        models += model.__subclasses__()
    return [model for model in models if vars(model).get("implements_process") is type(process)]


class InProcessBackend(LavaBackend):
    """Lava's backend, whose graph runs in threads."""

    child = InProcess
