"""SpikeYOLO, published as a copy of ultralytics: `mem_update`, neurons of up to D spikes a step;
all steps (T, B, …).

h[t] = decay · (v[t-1] - s[t-1]) + i[t], s[t] = round(h[t]), half to even, limited to 0 … D; v[t] =
h[t]
"""

from __future__ import annotations

import re
import sys
from typing import Any

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import Library, SpikingModule, Takes
from spikesam.pipeline.imports.road.operations import expect


def mem_update(module: Any) -> SpikingModule:
    """`mem_update`, whose decay is its file's, and D in the name of the class that rounds."""
    rounding = type(module.qtrick).__name__
    match = re.fullmatch(r"MultiSpike(\d+)", rounding)
    expect(match, f"rounds by {rounding}", "MultiSpike4 or the like")
    assert match is not None
    decay = float(vars(sys.modules[type(module).__module__])["decay"])
    return SpikingModule(LIF(decay, 1.0, reset_by=decay), axes(module), levels=int(match[1]))


def axes(_: Any) -> Takes:
    """All steps in a call."""
    return "TB..."


LIBRARY = Library("ultralytics", {"mem_update": mem_update}, axes)
