"""Which modules of a model spike, and how their spikes are laid out: those of known libraries.

============  ================  ===============================================================
library       releases          what a call of a spiking module gives
============  ================  ===============================================================
snnTorch      1.0               one step, `spikes` or `(spikes, membrane, …)`; a few (T, B, K)
SpikingJelly  2.0, 0.0.0.0.14   one step or (T, B, …), as its `step_mode` says
              up to 0.0.0.0.12  `MultiStep…Node` (T, B, …), others one step
Norse         1.1               `(spikes, state)`: cells one step, others (T, B, …)
sinabs        3.1               (B, T, …); `IAFSqueeze` and the like (B·T, …)
lava-dl       0.6               (B, …, T)
============  ================  ===============================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from spikesam.pipeline.imports.layer_names import layer_name
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.record.layouts import LAYOUTS, Layout, merged
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import check_name


def known_layout(module: nn.Module) -> Layout | None:
    """How the spikes of a module are laid out; None if it is of no known library, or does not spike."""
    library = library_that_fires(module)
    if library is None:
        return None
    axes = library.axes(module)
    squeezed: Any = module
    return merged(squeezed.batch_size, squeezed.num_timesteps) if axes == "(BT)..." else LAYOUTS[axes]


def find_known(model: nn.Module) -> dict[str, nn.Module]:
    """The spiking modules of known libraries by their names in the model; none that lies within another."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():  # outer ones first
        if library_that_fires(module) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = module
    return found


def named_modules(model: nn.Module, layers: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Names of modules, as `model.named_modules()` gives them -> names of layers, which `layers` may say, too."""
    if isinstance(layers, str):
        raise InputError(f'layers: got {layers!r}, expected several names, such as ["{layers}"]')
    names = list(layers)
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            near = difflib.get_close_matches(str(name), modules, 3) or [other for other in modules if other][:8]
            raise InputError(f"layers: no module {name!r} in {type(model).__name__}; did you mean {' or '.join(near)}?")
    return dict(layers) if isinstance(layers, Mapping) else layer_names(model, names)


def layer_names(model: nn.Module, modules: Iterable[str]) -> dict[str, str]:
    """Names of modules -> names of layers, see :func:`spikesam.pipeline.imports.layer_names.layer_name`."""
    return {module: layer_name(model, module) for module in modules}


def check_names(names: Iterable[str]) -> None:
    """Refuse what cannot be the names of layers."""
    known = set()
    for name in names:
        check_name(name)
        if name in known:
            raise InputError(f"layer {name!r}: got two of this name; give names with layers={{module: name}}")
        known.add(name)
