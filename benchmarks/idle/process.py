"""A Process that does nothing, and what a step of a graph of them takes: Lava's own synchronisation."""

from __future__ import annotations

import time
from itertools import pairwise

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Idle(AbstractProcess):
    """Has ports, so that Lava finds its neighbours, and never uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.a_in = InPort(shape=(1,))
        self.s_out = OutPort(shape=(1,))


@implements(proc=Idle, protocol=LoihiProtocol)
@requires(CPU)
class IdleModel(PyLoihiProcessModel):
    """Takes part in every step, and that is all."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, int)


def seconds_per_step(processes: int, steps: int, repeats: int) -> tuple[float, ...]:
    """Seconds that Lava takes for a step of so many idle processes: means over `steps`, `repeats` times."""
    chain = [Idle() for _ in range(processes)]
    for process, following in pairwise(chain):
        process.s_out.connect(following.a_in)
    seconds = []
    try:
        for _ in range(repeats + 1):  # the first time it starts
            begun = time.perf_counter()
            chain[0].run(condition=RunSteps(steps), run_cfg=Loihi1SimCfg(), compile_config={"pypy_channel_size": 2})
            seconds.append((time.perf_counter() - begun) / steps)
    finally:
        chain[0].stop()
    return tuple(seconds[1:])
