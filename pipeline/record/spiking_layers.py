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

from typing import Any

from torch import nn

from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.record.layouts import LAYOUTS, Layout, merged


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


def keeps_state(module: nn.Module) -> bool:
    """Whether a module of a known library holds a membrane that is not at rest, left by an earlier call."""
    library = library_that_fires(module)
    return library is not None and library.keeps_state(module)
