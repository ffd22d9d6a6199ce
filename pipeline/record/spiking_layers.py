"""Which modules of which library spike, and how their spikes are laid out.

Modules are recognised by the names of their classes and of what these inherit from, so no library needs to be here.

============  ================  ===============================================================
library       releases          what a call of a spiking module gives
============  ================  ===============================================================
snnTorch      1.0               one step, `spikes` or `(spikes, membrane, …)`; a few (T, B, K)
SpikingJelly  2.0, 0.0.0.0.14   one step or (T, B, …), as its `step_mode` says
Norse         1.1               `(spikes, state)`: cells one step, others (T, B, …)
sinabs        3.1               (B, T, …); `IAFSqueeze` and the like (B·T, …)
lava-dl       0.6               (B, …, T)
============  ================  ===============================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .layouts import Layout, batch_first, merged, one_step, time_first, time_last

Rule = Callable[[nn.Module], Layout | None]  # None: it does not spike


def _always(layout: Layout | None) -> Rule:
    return lambda module: layout


def _spikingjelly(module: nn.Module) -> Layout:
    multi_step = any(base.__name__ == "MultiStepModule" for base in type(module).__mro__)  # which has no other mode
    return time_first if multi_step or getattr(module, "step_mode", "s") == "m" else one_step


def _sinabs(module: nn.Module) -> Layout | None:
    if not getattr(module, "does_spike", True):  # a leaky integrator
        return None
    squeezed: Any = getattr(module, "batch_size", None), getattr(module, "num_timesteps", None)  # -1: what is left
    return batch_first if None in squeezed else merged(*squeezed)


RULES: tuple[tuple[str, str, Rule], ...] = (  # (where a class comes from, its names, what it does); the first that fits
    ("snntorch.", "LeakyParallel|StateLeaky|AssociativeLeaky", _always(time_first)),
    ("snntorch.", "SpikingNeuron", _always(one_step)),
    ("spikingjelly.activation_based.neuron", ".*NonSpiking.*", _always(None)),
    ("spikingjelly.activation_based.neuron", ".*", _spikingjelly),
    ("norse.torch.module.", "LI|LICell|LIBoxCell", _always(None)),
    ("norse.torch.module.", "SNNCell|SNNRecurrentCell|CobaLIFCell", _always(one_step)),
    ("norse.torch.module.", "SNN|SNNRecurrent", _always(time_first)),
    ("sinabs.layers.", "StatefulLayer", _sinabs),
    ("lava.lib.dl.slayer.neuron.", "Neuron", _always(time_last)),
)

_STATES = ("mem", "v", "v_mem")  # what snnTorch, SpikingJelly and sinabs call a membrane that a module keeps


def known_layout(module: nn.Module) -> Layout | None:
    """How the spikes of a module are laid out; None if it is of no known library, or does not spike.

    A class that no rule names is what the nearest class is that it inherits from.
    """
    for base in type(module).__mro__:
        for origin, names, rule in RULES:
            if base.__module__.startswith(origin) and re.fullmatch(names, base.__name__):
                return rule(module)
    return None


def find_known(model: nn.Module) -> dict[str, nn.Module]:
    """The spiking modules of known libraries by their names in the model; none that lies within another."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():  # outer ones first
        if known_layout(module) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = module
    return found


def keeps_state(module: nn.Module) -> bool:
    """Whether a module holds a membrane that is not at rest, left by an earlier call."""
    if not getattr(module, "init_hidden", True):  # snnTorch: the membrane is handed over with each call
        return False
    states = (getattr(module, name, None) for name in _STATES)
    return any(isinstance(state, Tensor) and bool(state.any()) for state in states)
