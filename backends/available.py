"""The backends: each folder here whose package has a function `make`, and those of entry points
`spikesam.backends`.

`make(device, threads, …)` gives a :class:`spikesam.backends.base.Backend`, or raises
:class:`BackendError` with the reason why it cannot run here. `threads` are how many it may use,
None for one per core. Further arguments are its own options, each with an annotation
:class:`spikesam.common.arguments.Option` and a default. Imports of what takes long stand in the
function, since every command reads the options. Where a folder also has a function `suits`, and it
says so of the device that is asked for, the backend "auto" is this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

import spikesam.backends
from spikesam.backends.base import Backend, BackendError
from spikesam.common.extras import missing
from spikesam.common.registry import Registry

_NAMES = [module.name for module in iter_modules(spikesam.backends.__path__) if module.ispkg]
_FOLDERS = {name: import_module(f"spikesam.backends.{name}") for name in _NAMES}
BACKENDS: Registry[Callable[..., Backend]] = Registry(
    "backends",
    "a function that makes a Backend",
    callable,
    {name: folder.make for name, folder in _FOLDERS.items() if hasattr(folder, "make")},
)


def make_backend(
    name: str,
    device: str = "auto",
    options: Mapping[str, Any] = MappingProxyType({}),
    *,
    threads: int | None = None,
) -> Backend:
    """The backend of that name; "auto" is torch where `device` allows a CUDA device that is there,
    and event else.
    """
    if name == "auto":
        suited = [
            name
            for name, folder in _FOLDERS.items()
            if hasattr(folder, "suits") and folder.suits(device)
        ]
        name = suited[0] if suited else "event"
    if name not in BACKENDS:
        raise BackendError(f"backend is {name!r}, expected one of auto, {', '.join(BACKENDS)}")
    try:
        return BACKENDS[name](device, threads, **options)
    except ImportError as error:
        raise BackendError(f"{name}: {missing(error) or error}") from error
