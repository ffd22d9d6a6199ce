"""Public names of spikesam, and the modules that they are imported from on first use."""

from .backends.base import BackendError
from .backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    Source,
)
from .backends.network.compact import compact
from .backends.network.planes import integer_planes, ternary_planes
from .backends.network.quantise import quantise
from .common.errors import InputError
from .pipeline.check.check import check
from .pipeline.check.findings import Check, Finding
from .pipeline.chips.chip import Chip, chip
from .pipeline.chips.fits import Fit, fits
from .pipeline.comparison.compare import Comparison, compare
from .pipeline.comparison.diff import Diff, diff
from .pipeline.conversion.conversion import Conversion
from .pipeline.conversion.convert import convert
from .pipeline.conversion.convert_checkpoint import convert_checkpoint
from .pipeline.cost.energy import Energy, energy
from .pipeline.cost.prices import Prices
from .pipeline.drawing.network import draw_network
from .pipeline.edits.edit import edit
from .pipeline.edits.result import Edit
from .pipeline.engine.simulate import simulate
from .pipeline.explanation.explain import explain
from .pipeline.images.events.binning import EventBinning
from .pipeline.images.events.events import Events
from .pipeline.images.events.files import read_events
from .pipeline.images.preprocessing import Preprocessing
from .pipeline.imports.netx.read import from_netx
from .pipeline.imports.nir.data import from_nir_data
from .pipeline.imports.nir.read import from_nir
from .pipeline.imports.nir.write import to_nir
from .pipeline.imports.torch.from_torch import from_torch
from .pipeline.maps.localisation import measure
from .pipeline.maps.methods.attention import attention_map
from .pipeline.maps.methods.sam import sam
from .pipeline.monitor.callback import MonitorCallback
from .pipeline.monitor.monitor import Monitor
from .pipeline.networks.checkpoint import Checkpoint, load, save
from .pipeline.networks.differentiable import to_torch
from .pipeline.page.view import view
from .pipeline.page.write import report
from .pipeline.record.record import record
from .pipeline.training.fit import train
from .recordings.errors import RasterError
from .recordings.maps.reader import MapReader, open_maps
from .recordings.raster.arrays import write_raster
from .recordings.raster.events import SpikeEvents
from .recordings.raster.reader import RasterReader, open_raster

__all__ = [
    "LIF",
    "Attention",
    "BackendError",
    "Check",
    "Checkpoint",
    "Chip",
    "Comparison",
    "Conv",
    "Conversion",
    "Dense",
    "Diff",
    "Edit",
    "Energy",
    "EventBinning",
    "Events",
    "Finding",
    "Fit",
    "Identity",
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
    "check",
    "chip",
    "compact",
    "compare",
    "convert",
    "convert_checkpoint",
    "diff",
    "draw_network",
    "edit",
    "energy",
    "explain",
    "fits",
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
    "view",
    "write_raster",
]

__version__: str
