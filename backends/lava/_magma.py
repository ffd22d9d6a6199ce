"""Names of Lava for this project's Processes, which it keeps it in ten modules. Import it after
`repair_lava`.
"""

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
    "add_ports",
    "model_of",
]


def model_of(process: type) -> Callable[[type], Any]:
    """Decorate a model of a Process that advances step by step, as Loihi does, on a CPU."""
    return lambda model: requires(CPU)(implements(proc=process, protocol=LoihiProtocol)(model))


Ports = Mapping[str, tuple[Any, tuple[int, ...]]]  # name -> dtype and shape


def add_ports(process: AbstractProcess, received: Ports, sent: Ports) -> None:
    """Give a Process, when it is made, the ports in which it receives and those from which it
    sends, as these dtypes.

    A model need not declare them; it receives also what numpy promotes to the dtype.
    """
    process.added_ports = {}
    for ports, kind, of_model in ((received, InPort, PyInPort), (sent, OutPort, PyOutPort)):
        for name, (dtype, shape) in ports.items():
            setattr(process, name, kind(shape=shape))
            process.added_ports[name] = LavaPyType(of_model.VEC_DENSE, np.dtype(dtype).type)


class RunConfig(Loihi1SimCfg):
    """Chooses models as Lava does, and declares there the ports that were added: a class for each
    process.
    """

    def select(self, process: AbstractProcess, proc_models: list[type]) -> type:
        """The model of a Process."""
        model = super().select(process, proc_models)
        if issubclass(model, AbstractSubProcessModel) or not hasattr(process, "added_ports"):
            return model
        return type(model.__name__, (model,), process.added_ports)
