"""What this project's Processes need of Lava, which keeps it in ten modules. Import it after `repair_lava`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

__all__ = [
    "AbstractProcess",
    "AbstractSubProcessModel",
    "InPort",
    "OutPort",
    "PyLoihiProcessModel",
    "model_of",
    "receives",
    "sends",
]


def model_of(process: type) -> Callable[[type], Any]:
    """Decorate a model of a Process that advances step by step, as Loihi does, on a CPU."""
    return lambda model: requires(CPU)(implements(proc=process, protocol=LoihiProtocol)(model))


def receives(dtype: type) -> Any:
    """Declare a port of a model that receives arrays of this dtype, or of one that numpy promotes it to."""
    return LavaPyType(PyInPort.VEC_DENSE, dtype)


def sends(dtype: type) -> Any:
    """Declare a port of a model that sends arrays, as this dtype."""
    return LavaPyType(PyOutPort.VEC_DENSE, dtype)
