"""Names of the layers of a torch model, recorded or imported: short identifiers from the names of modules."""

from __future__ import annotations

import re

from torch import nn

LONGEST = 64


def layer_name(model: nn.Module, module: str) -> str:
    """A spiking module's identifier: "lif1" -> "lif1", "net.2" -> "net_2", in a plain Sequential "1" -> "leaky_1"."""
    holder, _, last = module.rpartition(".")
    if last == "neuron" and type(model.get_submodule(holder)).__module__.startswith("lava.lib.dl."):
        module = holder
    name = re.sub(r"\W", "_", module, flags=re.ASCII)
    if not name[:1].isalpha():
        kind = type(model.get_submodule(module)).__name__.lower()
        name = f"{kind}_{name}" if name else kind
    return name[:LONGEST]
