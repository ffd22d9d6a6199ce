"""spikesam: see what a spiking neural network looks at.

    import spikesam

    raster = spikesam.simulate("cluttered-digits", samples=4)     # every spike of every layer
    maps = spikesam.explain(raster)                               # where they come in quick succession
    maps["conv2"].sum[0]                                          # one map per image: (H, W)

========================  =============================================================================
:func:`load`              a checkpoint, by its bundled name or from a file
:func:`train`             a spiking network, or its ANN twin, from images or events
:func:`convert`           a spiking network from an ANN, yours too, with its accuracy after every step
:func:`simulate`          run samples through a network on a backend; a reader of the recorded spikes
:func:`explain`           maps of recorded spikes, or of a network and images; a reader of the maps
:func:`measure`           how well maps find objects whose masks are known: a table
:func:`energy`            what a recording costs: operations, and joules by :class:`Prices`; an :class:`Energy`
:func:`edit`              what if these spikes were silent? the answer then, simulated from there: an :class:`Edit`
:func:`report`            one HTML file to explore a run in, or two side by side
:func:`record`            every spike of a torch network of any library, while you run it
:class:`Monitor`          the same of a fixed batch, every few epochs of a training; :class:`MonitorCallback`
:func:`open_raster`       read a raster file, whatever wrote it
:func:`open_maps`         read a file of maps
:func:`write_raster`      a raster file from arrays, or from :class:`SpikeEvents`, whatever fired the spikes
:func:`sam`               Spike Activation Maps of an array
:func:`attention_map`     which token attends to which, from the recorded spikes of queries and keys
:func:`from_torch`        a spiking network of snnTorch, SpikingJelly, Norse, sinabs, lava-dl: proven equal
:func:`to_torch`          a network as a torch module from images to class scores, with gradients
:func:`compare`           bits that differ between a model and its network, per layer, and answers
:class:`Network`          a network of your own: with :class:`Layer`, :class:`LIF`, :class:`Readout`
:class:`Input`            what a layer reads beside the layer before: of a :class:`Source`, by other weights
:func:`from_nir`          a network from a NIR file of another program; :func:`to_nir` writes one
:func:`from_nir_data`     a raster file from the data of NIR that other programs and chips write
:func:`from_netx`         a network of Loihi's own integers from a `.net` file of lava-dl
:func:`quantise`          a network in the integers that every backend agrees on
:func:`integer_planes`    layers of bits for neurons that fire several spikes a step; :func:`ternary_planes` -1, 0, 1
:func:`compact`           a network whose weights take a byte each on disk
:class:`Checkpoint`       a network, its classes and its :class:`Preprocessing`; :func:`save` writes it
:func:`draw_network`      a picture of a network: what reads what, and how often it fires
:func:`read_events`       :class:`Events` that a camera recorded; :class:`EventBinning` makes spikes of them
:class:`InputError`       what every function raises where something given does not fit
========================  =============================================================================

Names are imported when they are first used, so that `import spikesam` takes neither torch, nor
Lava, nor time.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam import recordings

if TYPE_CHECKING:
    from spikesam.backends.base import BackendError
    from spikesam.backends.network import LIF, Input, Layer, Network, NetworkError, Readout, Source
    from spikesam.backends.network.compact import compact
    from spikesam.backends.network.planes import integer_planes, ternary_planes
    from spikesam.backends.network.quantise import quantise
    from spikesam.pipeline.comparison.compare import Comparison, compare
    from spikesam.pipeline.comparison.diff import Diff, diff
    from spikesam.pipeline.conversion.conversion import Conversion
    from spikesam.pipeline.conversion.convert import convert
    from spikesam.pipeline.cost.energy import Energy, energy
    from spikesam.pipeline.cost.prices import Prices
    from spikesam.pipeline.drawing.network import draw_network
    from spikesam.pipeline.edits.edit import edit
    from spikesam.pipeline.edits.result import Edit
    from spikesam.pipeline.engine.simulate import simulate
    from spikesam.pipeline.images.events.binning import EventBinning
    from spikesam.pipeline.images.events.events import Events
    from spikesam.pipeline.images.events.files import read_events
    from spikesam.pipeline.images.preprocessing import Preprocessing
    from spikesam.pipeline.imports.netx.read import from_netx
    from spikesam.pipeline.imports.nir.data import from_nir_data
    from spikesam.pipeline.imports.nir.read import from_nir
    from spikesam.pipeline.imports.nir.write import to_nir
    from spikesam.pipeline.imports.torch.from_torch import from_torch
    from spikesam.pipeline.maps.explain import explain
    from spikesam.pipeline.maps.localisation import measure
    from spikesam.pipeline.maps.methods.attention import attention_map
    from spikesam.pipeline.maps.methods.sam import sam
    from spikesam.pipeline.monitor.callback import MonitorCallback
    from spikesam.pipeline.monitor.monitor import Monitor
    from spikesam.pipeline.networks.checkpoint import Checkpoint
    from spikesam.pipeline.networks.checkpoint import load_checkpoint as load
    from spikesam.pipeline.networks.checkpoint import save_checkpoint as save
    from spikesam.pipeline.networks.differentiable import to_torch
    from spikesam.pipeline.page.write import report
    from spikesam.pipeline.record.record import record
    from spikesam.pipeline.training.fit import train
    from spikesam.recordings.errors import InputError, RasterError
    from spikesam.recordings.maps.reader import MapReader, open_maps
    from spikesam.recordings.raster.arrays import write_raster
    from spikesam.recordings.raster.events import SpikeEvents
    from spikesam.recordings.raster.reader import RasterReader, open_raster

recordings.plots = "spikesam.pipeline.maps.plot"
__all__ = [
    "LIF",
    "BackendError",
    "Checkpoint",
    "Comparison",
    "Conversion",
    "Diff",
    "Edit",
    "Energy",
    "EventBinning",
    "Events",
    "Input",
    "InputError",
    "Layer",
    "MapReader",
    "Monitor",
    "MonitorCallback",
    "Network",
    "NetworkError",
    "Preprocessing",
    "Prices",
    "RasterError",
    "RasterReader",
    "Readout",
    "Source",
    "SpikeEvents",
    "attention_map",
    "compact",
    "compare",
    "convert",
    "diff",
    "draw_network",
    "edit",
    "energy",
    "explain",
    "from_netx",
    "from_nir",
    "from_nir_data",
    "from_torch",
    "integer_planes",
    "load",
    "measure",
    "open_maps",
    "open_raster",
    "quantise",
    "read_events",
    "record",
    "report",
    "sam",
    "save",
    "simulate",
    "ternary_planes",
    "to_nir",
    "to_torch",
    "train",
    "write_raster",
]
__version__: str


@cache
def _imported() -> dict[str, tuple[str, str]]:
    """Public name -> its module, and its name there, of the imports above, which type checkers
    read.
    """
    import ast

    statements = ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    imports = [each for each in statements if isinstance(each, ast.ImportFrom)]
    return {
        each.asname or each.name: (str(line.module), each.name)
        for line in imports
        for each in line.names
    }


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import (
            version,
        )  # here, because it takes half of the time of this import

        return version("spikesam")
    if name not in __all__:
        raise AttributeError(f"module 'spikesam' has no attribute {name!r}")
    module, attribute = _imported()[name]
    try:
        value = globals()[name] = getattr(import_module(module), attribute)
    except ImportError as error:
        from spikesam.recordings.extras import missing

        if lacks := missing(error, name):
            raise ImportError(f"spikesam.{name} {lacks}", name=error.name) from None
        raise
    return value


def __dir__() -> list[str]:
    """The public names, without those that need what is not installed: `help` looks at all of them."""
    from importlib.util import find_spec

    from spikesam.recordings.extras import NEEDS

    return [*(name for name in __all__ if all(map(find_spec, NEEDS.get(name, ())))), "__version__"]
