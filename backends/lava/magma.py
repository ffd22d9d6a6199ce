"""Names of Lava for this project's Processes, which it keeps it in ten modules. Import it after `repair_lava`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

__all__ = [
    "AbstractProcess",
    "AbstractSubProcessModel",
    "InPort",
    "OutPort",
    "PyLoihiProcessModel",
    "RunConfig",
    "add_in_ports",
    "add_out_ports",
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


Ports = Mapping[str, tuple[Any, tuple[int, ...]]]  # name -> dtype and shape


def add_in_ports(process: AbstractProcess, ports: Ports) -> None:
    """Give a Process ports, in which it receives, when it is made; its model need not declare them."""
    _add_ports(process, ports, InPort, receives)


def add_out_ports(process: AbstractProcess, ports: Ports) -> None:
    """Give a Process ports, from which it sends, when it is made; its model need not declare them."""
    _add_ports(process, ports, OutPort, sends)


def _add_ports(process: AbstractProcess, ports: Ports, kind: Any, declared: Callable[[type], Any]) -> None:
    types = {name: declared(np.dtype(dtype).type) for name, (dtype, _) in ports.items()}
    process.added_ports = getattr(process, "added_ports", {}) | types
    for name, (_, shape) in ports.items():
        setattr(process, name, kind(shape=shape))


class RunConfig(Loihi1SimCfg):
    """Chooses models as Lava does, and declares there the ports that were added: a class for each number of ports."""

    def select(self, process: AbstractProcess, proc_models: list[type]) -> type:
        """The model of a Process."""
        model = super().select(process, proc_models)
        if issubclass(model, AbstractSubProcessModel) or not hasattr(process, "added_ports"):
            return model
        return type(model.__name__, (model,), process.added_ports)
