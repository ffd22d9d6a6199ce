"""The libraries that are known: the `LIBRARY` of each file here, and those of entry points
`spikesam.libraries`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from torch import nn

from spikesam.common.registry import Registry
from spikesam.pipeline.imports.libraries.library import Library

_FILES = {module.name for module in iter_modules([str(Path(__file__).parent)])} - {
    "known",
    "library",
}
LIBRARIES: Registry[Library] = Registry(
    "libraries",
    "a Library",
    lambda thing: isinstance(thing, Library),
    {
        name: import_module(f"spikesam.pipeline.imports.libraries.{name}").LIBRARY
        for name in sorted(_FILES)
    },
)


def library_that_fires(module: nn.Module) -> Library | None:
    """The library of a module that puts out spikes; None if it is of no known library, or puts out
    none.
    """
    return next((library for library in LIBRARIES.values() if library.fires(module)), None)


LONGEST = 64


def layer_name(model: nn.Module, module: str) -> str:
    """A spiking module's identifier: "lif1" -> "lif1", "net.2" -> "net_2", in a plain Sequential
    "1" -> "leaky_1".
    """
    holder, _, last = module.rpartition(".")
    if last == "neuron" and type(model.get_submodule(holder)).__module__.startswith("lava.lib.dl."):
        module = holder
    name = re.sub(r"\W", "_", module, flags=re.ASCII)
    if not name[:1].isalpha():
        kind = type(model.get_submodule(module)).__name__.lower()
        name = f"{kind}_{name}" if name else kind
    return name[:LONGEST]
