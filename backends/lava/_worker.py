"""The child process in which Lava runs; once a process or the control pipe ends, it kills and reaps
all of them.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from spikesam.backends.event.kernels.layer import compile_kernels
from spikesam.backends.lava._child import describe_exit
from spikesam.backends.lava.repairs import repair_convolutions, repair_lava, use_anonymous_memory
from spikesam.backends.trace import compile_maps
from spikesam.common.child import die_with_parent


class Worker:
    """Builds the graph the control pipe asks for, runs it, and watches over its processes."""

    def __init__(self, socket_fd: int, control: Connection) -> None:
        self.socket_fd = socket_fd
        self.control = control
        self.source: Any = None

    def main(self) -> NoReturn:
        """Serve one run, then end."""
        _die_with_this_process(self.control)
        signal.signal(signal.SIGCHLD, self._child_ended)
        try:
            self._simulate(*self.control.recv())
            self.control.poll(
                None
            )  # returns at end of file: the other side has all it asked for, or is dead
        except BaseException as error:
            self._report(_describe(error), traceback.format_exc())
        self._end()

    def _simulate(self, network: Any, n_samples: int, models: str, request: Any) -> None:
        compile_kernels(network.precision)
        if request:
            compile_maps()
        repair_lava()
        if models == "stock":
            repair_convolutions()
        use_anonymous_memory()
        from lava.magma.core.run_conditions import RunSteps

        from spikesam.backends.lava._graph import build_graph, run_config

        if self.control.poll():
            return  # the other side closed the pipe already
        self.source = build_graph(network, n_samples, self.socket_fd, request)
        gc.collect()
        # no collector run in a child shall touch, and so copy, the pages common to it and its
        # siblings
        gc.freeze()
        self.source.run(
            condition=RunSteps(n_samples * network.timesteps + 1, blocking=False),
            run_cfg=run_config(network, models),
            # Every channel holds so many messages; Lava's default of 64 takes memory for nothing.
            compile_config={"pypy_channel_size": 2},
        )
        os.close(self.socket_fd)
        self.control.send("running")
        threading.Thread(target=self._tell_when_done, daemon=True).start()

    def _tell_when_done(self) -> None:
        """Say so once every process has taken every step; if one fails, :meth:`_child_ended` tells
        of it.
        """
        from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal

        if all(
            enum_equal(service.recv(), MGMT_RESPONSE.DONE)
            for service in self.source.runtime.service_to_runtime
        ):
            with contextlib.suppress(OSError):  # nobody may be listening any more
                self.control.send("done")

    def _child_ended(self, *_: Any) -> None:
        runtime = self.source and self.source.runtime
        infrastructure = runtime and runtime._messaging_infrastructure
        if not infrastructure:
            return
        names = [process.name for process in runtime._executable.proc_builders]
        for number, actor in enumerate(infrastructure.actors):
            name = names[number] if number < len(names) else "runtime service"
            if not actor.is_alive() and (cause := _post_mortem(name, actor)):
                self._report(*cause)
                self._end()

    def _report(self, message: str, details: str) -> None:
        with contextlib.suppress(OSError):  # nobody may be listening any more
            self.control.send((message, details))

    def _end(self) -> NoReturn:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        children = multiprocessing.active_children()
        for child in children:
            child.kill()
        for child in children:
            child.join()
        os.killpg(0, signal.SIGKILL)
        raise AssertionError("unreachable")


def _post_mortem(name: str, actor: Any) -> tuple[str, str] | None:
    """The reason why one of Lava's processes failed, with its traceback if it left one; None if it
    was merely told to stop.
    """
    try:
        failure = actor.exception
    except EOFError:  # it was stopped before it had told anything, or while it did
        failure = None
    except Exception as unreadable:  # an exception may be picklable and yet refuse to be unpickled
        failure = (unreadable, "")
    if failure:
        error, details = failure
        return f"process {name!r} failed: {_describe(error)}", details
    return (f"process {name!r} {describe_exit(actor.exitcode)}", "") if actor.exitcode else None


def _describe(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _die_with_this_process(control: Connection) -> None:
    """Let every process forked from here be killed by the kernel when this one dies, however it
    dies.
    """
    parent = os.getpid()

    def after_fork() -> None:
        die_with_parent(parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()  # so that its end of file means that the worker is gone

    os.register_at_fork(after_in_child=after_fork)


if __name__ == "__main__":
    Worker(int(sys.argv[1]), Connection(int(sys.argv[2]))).main()
