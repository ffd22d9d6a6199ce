"""Calls of every public name, of which one argument is odd: it is refused in one line, or taken.

    python -m tests.spikesam.odd_arguments                         # all calls, some minutes
    python -m tests.spikesam.odd_arguments --pairs 5000 --seed 1   # by chance

A call that is right stands in `right_calls`, for each public name and its methods. Of each, one
parameter after the other gets each of `odd_values`; or two parameters at once, drawn by chance, do.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from functools import partial
from inspect import Parameter, signature
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

import spikesam
from tests.pipeline.small_events import nmnist_file
from tests.pipeline.small_net import small_net

LIMIT = 5  # seconds of a call, of the processor
# Parameters that take a function, whose own errors reach the caller.
FUNCTIONS = {("Monitor()", "run"), ("Monitor()", "network"), ("record", "why")}
# A training, or a conversion, of minutes, by the default configuration.
RIGHT = {
    (name, "config", value)
    for name in ("train", "convert_checkpoint")
    for value in ("None", "empty dict")
}
TIMESTEPS, SAMPLES = 4, 2
SHAPE = (1, 4, 4)


@dataclass(frozen=True)
class Call:
    """A call that is right."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    @property
    def parameters(self) -> list[str]:
        """The names of what may be given, also by position."""
        listed = signature(self.function).parameters.values()
        named = [parameter.name for parameter in listed if parameter.kind != Parameter.VAR_KEYWORD]
        return [*dict.fromkeys([*named, *self.arguments])]

    def __call__(self, **odd: Any) -> Any:
        return self.function(**{**self.arguments, **odd})


def odd_values() -> dict[str, Callable[[], Any]]:
    """What somebody may give by mistake, each made anew."""
    import torch
    from scipy import sparse

    cyclic_list: list[Any] = []
    cyclic_list.append(cyclic_list)
    cyclic_dictionary: dict[str, Any] = {}
    cyclic_dictionary["a"] = cyclic_dictionary
    values: dict[str, Any] = {
        "None": None,
        "True": True,
        "False": False,
        "0": 0,
        "1": 1,
        "-1": -1,
        "2**31": 2**31,
        "2**63": 2**63,
        "2**64 - 1": 2**64 - 1,
        "10**400": 10**400,
        "1.5": 1.5,
        "-0.5": -0.5,
        "nan": float("nan"),
        "inf": float("inf"),
        "-inf": float("-inf"),
        "1e-320": 1e-320,
        "1e300": 1e300,
        "complex": 1j,
        "decimal": Decimal("1.5"),
        "decimal nan": Decimal("sNaN"),
        "fraction": Fraction(1, 3),
        "int64": np.int64(3),
        "uint64": np.uint64(2**64 - 1),
        "float16": np.float16(0.5),
        "longdouble": np.longdouble("1e4000"),
        "bool_": np.bool_(True),
        "datetime64": np.datetime64("2020-01-01"),
        "str_": np.str_("conv1"),
        "empty text": "",
        "text": "odd",
        "NUL": "a\0b",
        "ESC": "\x1b[31mred",
        "surrogate": "caf\udce9",
        "long text": "x" * 100_000,
        "line break": "a\nb",
        "bytes": b"odd",
        "bytearray": bytearray(b"odd"),
        "path": Path("odd"),
        "path NUL": Path("a\0b"),
        "path ESC": Path("\x1b[31mred"),
        "folder": Path("/"),
        "empty list": [],
        "empty tuple": (),
        "empty dict": {},
        "empty set": set(),
        "list of None": [None],
        "list of texts": ["odd", "even"],
        "list of numbers": [1, 2, 3],
        "nested list": [[1, 2], [3]],
        "list of lists": [[0.5, 0.5], [0.5, 0.5]],
        "list of nan": [float("nan")],
        "list of huge": [10**400],
        "list of NUL": ["a\0b"],
        "list of surrogates": ["caf\udce9"],
        "list of masked": [np.ma.masked_array([0, 1, 0], [True, False, False])],
        "dict": {"odd": 1},
        "dict of numbers": {1: 2},
        "dict of arrays": {"odd": np.zeros(3)},
        "set": {1, 2},
        "cyclic list": cyclic_list,
        "cyclic dict": cyclic_dictionary,
        "range": range(3),
        "range(10**12)": range(10**12),
        "slice": slice(None),
        "ellipsis": ...,
        "object": object(),
        "class": int,
        "function": len,
        "module": sys,
        "error": ValueError("x"),
        "0-d": np.array(3),
        "0-d float": np.array(0.5),
        "0-d text": np.array("odd"),
        "empty array": np.zeros(0),
        "array": np.arange(3),
        "float array": np.linspace(0, 1, 3),
        "nan array": np.full(3, np.nan),
        "2-d array": np.zeros((3, 3)),
        "5-d array": np.zeros((TIMESTEPS, SAMPLES, *SHAPE)),
        "5-d of nan": np.full((TIMESTEPS, SAMPLES, *SHAPE), np.nan),
        "5-d masked": np.ma.masked_array(
            np.ones((TIMESTEPS, SAMPLES, *SHAPE), np.uint8), mask=True
        ),
        "no sample": np.zeros((TIMESTEPS, 0, *SHAPE), np.uint8),
        "object array": np.array([1, None, "x"], object),
        "text array": np.array(["odd", "even"]),
        "bytes array": np.array([b"odd"]),
        "void array": np.zeros(2, [("a", int), ("b", float)]),
        "complex array": np.ones(3, np.complex64),
        "time array": np.array(["2020-01-01"], "datetime64[D]"),
        "delta array": np.array([1, 2], "timedelta64[s]"),
        "big-endian": np.arange(3).astype(">i4"),
        "big-endian 5-d": np.ones((TIMESTEPS, SAMPLES, *SHAPE), ">f4"),
        "masked": np.ma.masked_array([0, 1, 0], [True, False, False]),
        "masked 0-d": np.ma.masked,
        "matrix": np.asmatrix(np.eye(3)),
        "strided": np.arange(12)[::-4],
        "wide": np.broadcast_to(np.zeros(1), (10**9, 10**3)),
        "tensor": torch.arange(3),
        "0-d tensor": torch.tensor(1),
        "5-d tensor": torch.ones((TIMESTEPS, SAMPLES, *SHAPE)),
        "bfloat16": torch.ones(3, dtype=torch.bfloat16),
        "meta": torch.empty((TIMESTEPS, SAMPLES, *SHAPE), device="meta"),
        "meta 1-d": torch.empty(3, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "sparse 5-d": torch.ones((TIMESTEPS, SAMPLES, *SHAPE)).to_sparse(),
        "csr tensor": torch.eye(3).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "module of torch": torch.nn.Linear(2, 2),
        "scipy": sparse.eye(3).tocsr(),
    }
    constants = {name: (lambda value=value: value) for name, value in values.items()}
    return {
        **constants,
        "generator": lambda: (number for number in range(3)),
        "endless": lambda: itertools.count(),
        "endless texts": lambda: itertools.repeat("conv1"),
        "map": lambda: map(str, range(3)),
        "file": lambda: StringIO("odd"),
    }


def network() -> spikesam.Network:
    """A convolution and a dense layer."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (2, 1, 3, 3)).astype(np.float32)
    conv = spikesam.Layer(
        "conv1",
        spikesam.Input(spikesam.Conv(weight, padding=1)),
        spikesam.LIF(0.9, 0.5),
    )
    dense = spikesam.Layer(
        "fc1", rng.normal(0, 1, (3, 32)).astype(np.float32), spikesam.LIF(0.9, 0.5)
    )
    readout = spikesam.Readout(np.eye(3, dtype=np.float32))
    return spikesam.Network(SHAPE, TIMESTEPS, (conv, dense), readout, "spikes")


def spikes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Input spikes (T, N, C, H, W)."""
    rng = np.random.default_rng(1)
    return (rng.random((TIMESTEPS, SAMPLES, *SHAPE)) < 0.5).astype(np.uint8)


def torch_model() -> Any:
    """A convolution and neurons of snnTorch, evaluated, called once a step."""
    import snntorch
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 2, 3, bias=False)
            self.fc = torch.nn.Linear(8, 3, bias=False)
            self.lif1 = snntorch.Leaky(0.9, threshold=0.1, reset_mechanism="zero")
            self.lif2 = snntorch.Leaky(0.9, threshold=0.1, reset_mechanism="zero")

        def forward(self, steps: Any) -> Any:
            first, second = self.lif1.reset_mem(), self.lif2.reset_mem()
            fired = []
            for step in steps:
                spike, first = self.lif1(self.conv(step), first)
                spike, second = self.lif2(self.fc(spike.flatten(1)), second)
                fired.append(spike)
            return torch.stack(fired)

    torch.manual_seed(0)
    model = Model().eval()
    for parameter in (model.conv.weight, model.fc.weight):
        parameter.data.abs_()
    return model


def ann() -> Any:
    """A small ANN of images 3×8×8."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    ).eval()


def _reading(kind: Any, **arguments: Any) -> None:
    """Make a network of one layer, whose synapses are of a kind."""
    sources = ("input",) * (3 if kind is spikesam.Attention else 1)
    layer = spikesam.Layer("a", spikesam.Input(kind(**arguments), sources), spikesam.LIF(0.5))
    neurons = {spikesam.Conv: 8, spikesam.Dense: 2}.get(kind, 16)
    readout = spikesam.Readout(np.ones((1, neurons)))
    spikesam.Network(SHAPE, TIMESTEPS, (layer,), readout, "spikes")


def _finish(model: Any, steps: Any, folder: Path, **arguments: Any) -> None:
    with spikesam.record(model, folder / "recorded", overwrite=True) as recording:
        output = model(steps)
        arguments.setdefault("output", output)
        recording.finish(**arguments)


def _tap(model: Any, steps: Any, folder: Path, name: Any, spikes: Any) -> None:
    with spikesam.record(model, folder / "tapped", [], overwrite=True) as recording:
        recording.tap(name, spikes)
        recording.finish()


def _record(model: Any, out: Any, steps: Any, **arguments: Any) -> None:
    with spikesam.record(model, out, overwrite=True, **arguments) as recording:
        recording.finish(model(steps))


def right_calls(folder: Path) -> Iterator[Call]:
    """A right call of every public name and method; files in `folder`, which is the current one."""
    import torch

    net = network()
    x = spikes()
    raster = spikesam.simulate(net, x, out=folder / "run", backend="event")
    maps = spikesam.explain(folder / "run", out=folder / "maps.h5", overwrite=True)
    costs = spikesam.energy(folder / "run")
    spikesam.save(net, folder / "net.safetensors")
    spikesam.to_nir(net, folder / "net.nir")
    events = spikesam.Events(
        np.arange(9) * 100, np.arange(9) % 4, np.arange(9) % 4, np.arange(9) % 2 == 1, (4, 4)
    )
    binning = spikesam.EventBinning(4, 4, TIMESTEPS)
    preprocessing = spikesam.Preprocessing(8, 8, (0.5,) * 3, (0.25,) * 3)
    model, images = torch_model(), np.random.default_rng(2).random((6, 3, 8, 8), np.float32)
    steps = torch.from_numpy(spikes()).float()
    picture = np.zeros((8, 8, 3), np.uint8)
    small_net(folder / "net.net")
    nmnist_file(folder / "a.bin", events)
    differing = spikesam.simulate(net, 1 - x, backend="event")
    edited = spikesam.edit(folder / "run", layer="conv1", channels=0)
    converted = spikesam.convert(ann(), images, np.arange(6) % 3, timesteps=8)
    compared = {"model": model, "network": spikesam.from_torch(model, steps), "data": steps}
    layer = spikesam.Layer("a", spikesam.Input(np.eye(3), "input"), spikesam.LIF(0.0, 1.0))
    nir_data = spikesam.from_nir_data
    # A training, and a conversion of a checkpoint, take too long: their images are missing, which
    # is seen once all arguments are read.
    missing = {"source": str(folder / "missing")}
    yield from (
        Call(name, function, arguments)
        for name, function, arguments in (
            ("LIF", spikesam.LIF, {"leak": 0.5}),
            (
                "Checkpoint",
                spikesam.Checkpoint,
                {
                    "network": net,
                    "preprocessing": None,
                    "classes": ("a", "b", "c"),
                    "class_names": ("a", "b", "c"),
                },
            ),
            (
                "Events",
                spikesam.Events,
                {field.name: getattr(events, field.name) for field in fields(events)},
            ),
            ("EventBinning", spikesam.EventBinning, {"height": 4, "width": 4, "bins": 4}),
            ("EventBinning.binned", binning.binned, {"events": events}),
            ("Input", spikesam.Input, {"synapse": np.ones((2, 1, 3, 3), np.float32)}),
            (
                "Conv",
                partial(_reading, spikesam.Conv),
                _options(spikesam.Conv) | {"weight": np.ones((2, 1, 3, 3))},
            ),
            (
                "Dense",
                partial(_reading, spikesam.Dense),
                _options(spikesam.Dense) | {"weight": np.ones((2, 16))},
            ),
            ("Identity", partial(_reading, spikesam.Identity), _options(spikesam.Identity)),
            ("Attention", partial(_reading, spikesam.Attention), {"heads": 1}),
            ("check", spikesam.check, {"model": model, "inputs": steps}),
            (
                "Layer",
                spikesam.Layer,
                {"name": "a", "inputs": np.eye(3), "neuron": spikesam.LIF(0.5)},
            ),
            ("MapReader", spikesam.MapReader, {"source": folder / "maps.h5"}),
            ("MapReader.layer", maps.layer, {"layer": "conv1"}),
            ("MapReader[]", lambda layer: maps[layer], {"layer": "conv1"}),
            ("MapReader.plot", maps.plot, {}),
            ("Monitor", spikesam.Monitor, {"model": model, "batch": steps}),
            (
                "Monitor()",
                lambda **options: spikesam.Monitor(model, steps, **options)(0),
                {
                    "logger": None,
                    "run": None,
                    "network": None,
                    "layers": None,
                    "gamma": 0.5,
                    "counts": None,
                },
            ),
            ("MonitorCallback", spikesam.MonitorCallback, {"batch": steps, "every": 1}),
            (
                "Network",
                spikesam.Network,
                {field.name: getattr(net, field.name) for field in fields(net) if field.init},
            ),
            (
                "Preprocessing",
                spikesam.Preprocessing,
                {"height": 8, "width": 8, "mean": (0.5,) * 3, "std": (0.25,) * 3},
            ),
            ("Preprocessing.image", preprocessing.image, {"image": _image(picture)}),
            ("Prices", spikesam.Prices, {"name": "a", "source": "b", "operation": 1.0}),
            ("RasterReader", spikesam.RasterReader, {"source": folder / "run" / "raster.h5"}),
            ("RasterReader.layer", raster.layer, {"layer": "conv1"}),
            ("RasterReader[]", lambda layer: raster[layer], {"layer": "conv1"}),
            ("RasterReader[][]", lambda sample: raster["conv1"][sample], {"sample": 0}),
            ("RasterReader.counts", raster.counts, {"layer": "conv1"}),
            ("RasterReader.digests", raster.digests, {"layer": "conv1"}),
            ("RasterReader.packed", raster.packed, {"layer": "conv1", "sample": 0}),
            ("RasterReader.rate", raster.rate, {"layer": "conv1"}),
            ("RasterReader.spikes", raster.spikes, {"layer": "conv1"}),
            ("RasterReader.steps_that_matter", raster.steps_that_matter, {"layer": "conv1"}),
            ("RasterReader.plot", raster.plot, {}),
            ("Readout", spikesam.Readout, {"weight": np.eye(3)}),
            ("Source", spikesam.Source, {"layer": "conv1"}),
            (
                "SpikeEvents",
                spikesam.SpikeEvents,
                {"sample": [0], "step": [1], "neuron": [2], "shape": (1, 4, 8)},
            ),
            (
                "SpikeEvents.from_times",
                spikesam.SpikeEvents.from_times,
                {"time": [0.001], "neuron": [2], "shape": (1, 4, 8), "dt": 1e-3},
            ),
            (
                "SpikeEvents.from_trains",
                spikesam.SpikeEvents.from_trains,
                {"trains": [[[0.001]]], "shape": (1, 4, 8), "dt": 1e-3},
            ),
            (
                "attention_map",
                spikesam.attention_map,
                {"raster": raster, "query": "fc1", "key": "fc1"},
            ),
            # A recording that is there takes twenty seconds on the model of a chip.
            ("chip", spikesam.chip, {"source": folder / "missing"}),
            ("compact", spikesam.compact, {"network": net}),
            ("compare", spikesam.compare, compared),
            ("Comparison.drifts_from", lambda: spikesam.compare(**compared).drifts_from, {}),
            (
                "convert",
                spikesam.convert,
                {"ann": ann(), "images": images, "labels": np.arange(6) % 3, "timesteps": 8},
            ),
            (
                "convert_checkpoint",
                spikesam.convert_checkpoint,
                {"config": {"data": missing}, "out": folder / "c", "overwrite": True},
            ),
            ("Conversion.plot", converted.plot, {}),
            ("diff", spikesam.diff, {"first": raster, "second": differing, "network": net}),
            ("Diff.draw", spikesam.diff(raster, differing, net).draw, {"path": folder / "d.png"}),
            ("draw_network", spikesam.draw_network, {"network": net, "raster": raster}),
            ("edit", spikesam.edit, {"raster": folder / "run", "layer": "conv1", "channels": 0}),
            ("Edit.write", edited.write, {"path": folder / "e.h5", "overwrite": True}),
            ("energy", spikesam.energy, {"raster": folder / "run"}),
            ("Energy", lambda: costs.joules, {}),
            ("explain", spikesam.explain, {"source": raster}),
            (
                "explain sam",
                spikesam.explain,
                {"source": raster, "gamma": 0.5, "variant": "paper", "include_current": True},
            ),
            (
                "explain relevance",
                spikesam.explain,
                {
                    "source": raster,
                    "method": "relevance",
                    "network": net,
                    "rule": "signed",
                    "target": None,
                },
            ),
            (
                "explain model",
                spikesam.explain,
                {"source": model, "data": steps, "method": "rise", "target": 0, "takes": None},
            ),
            ("fits", spikesam.fits, {"network": net}),
            ("from_netx", spikesam.from_netx, {"path": folder / "net.net"}),
            ("from_nir", spikesam.from_nir, {"graph": folder / "net.nir", "timesteps": 4}),
            (
                "from_nir_data",
                nir_data,
                {"data": _nir_data(), "path": folder / "n.h5", "overwrite": True},
            ),
            ("from_torch", spikesam.from_torch, {"model": model, "example": steps}),
            ("integer_planes", spikesam.integer_planes, {"layer": layer, "thresholds": (1.0, 2.0)}),
            ("load", spikesam.load, {"name_or_path": folder / "net.safetensors"}),
            ("measure", spikesam.measure, {"maps": maps, "masks": [np.eye(4) > 0, None]}),
            ("open_maps", spikesam.open_maps, {"source": folder / "maps.h5"}),
            ("open_raster", spikesam.open_raster, {"source": folder / "run" / "raster.h5"}),
            ("quantise", spikesam.quantise, {"network": net}),
            ("read_events", spikesam.read_events, {"path": folder / "a.bin"}),
            (
                "record",
                lambda model, out, **arguments: _record(model, out, steps, **arguments),
                {"model": model, "out": folder / "rec", **_options(spikesam.record, "overwrite")},
            ),
            ("Recording.finish", partial(_finish, model, steps, folder), _finish_arguments()),
            (
                "Recording.tap",
                partial(_tap, model, steps, folder),
                {"name": "a", "spikes": steps[0]},
            ),
            ("report", spikesam.report, {"runs": folder / "run", "overwrite": True}),
            ("sam", spikesam.sam, {"spikes": x}),
            ("save", spikesam.save, {"checkpoint": net, "path": folder / "s.safetensors"}),
            ("simulate", spikesam.simulate, {"network": net, "data": x, "backend": "event"}),
            (
                "simulate image",
                spikesam.simulate,
                {"network": converted.network, "data": images, "backend": "event"},
            ),
            ("ternary_planes", spikesam.ternary_planes, {"layer": layer}),
            ("to_nir", spikesam.to_nir, {"network": net}),
            ("to_torch", spikesam.to_torch, {"network": converted.network}),
            ("train", spikesam.train, {"config": {"data": missing}, "out": folder / "t"}),
            ("view", spikesam.view, {"run": folder / "run"}),
            (
                "write_raster",
                spikesam.write_raster,
                {"path": folder / "w.h5", "layers": {"a": x.swapaxes(0, 1)}, "overwrite": True},
            ),
            (
                "write_raster layer",
                lambda spikes: spikesam.write_raster(
                    folder / "w.h5", {"a": spikes}, overwrite=True
                ),
                {"spikes": x.swapaxes(0, 1)},
            ),
            (
                "write_raster name",
                lambda name: spikesam.write_raster(
                    folder / "w.h5",
                    {name if _is_hashable(name) else "a": x.swapaxes(0, 1)},
                    overwrite=True,
                ),
                {"name": "a"},
            ),
        )
    )


def _finish_arguments() -> dict[str, Any]:
    return {"answers": "output", "labels": None, "index": None, "images": None, "layout": None}


def _options(function: Any, *left_out: str) -> dict[str, Any]:
    """The keyword arguments that a function has, with their defaults."""
    return {
        parameter.name: parameter.default
        for parameter in signature(function).parameters.values()
        if parameter.default is not Parameter.empty and parameter.name not in left_out
    }


def _is_hashable(value: Any) -> bool:
    with suppress(TypeError):
        hash(value)
        return True
    return False


def _image(picture: Any) -> Any:
    from PIL import Image

    return Image.fromarray(picture)


def _nir_data() -> Any:
    import nir

    data = nir.TimeGriddedData(np.ones((SAMPLES, TIMESTEPS, 3), np.float32), 1e-3)
    return nir.NIRGraphData({"a": nir.NIRNodeData({"spikes": data})})


class Late(BaseException):
    """A call took too long."""


def outcome(call: Call, names: Mapping[str, str]) -> str | None:
    """What is wrong with how a call ends; None if it was refused in one line, or done."""

    def late(*_: object) -> None:
        raise Late

    values = odd_values()
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                result = call(**{parameter: values[name]() for parameter, name in names.items()})
                if hasattr(result, "close"):
                    result.close()
        texts = [str(note.message) for note in notes]
        ours = [text for text in texts if "\x1b" in text or "\0" in text]
        return f"a warning that is not printable: {ours[0]!r}" if ours else None
    except spikesam.InputError as error:
        text = str(error)
        return None if text.isprintable() and text.strip() else f"unprintable: {text!r}"
    except Late:
        return f"not done after {LIMIT} s"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "/.venv/" not in frame.filename and "odd_arguments" not in frame.filename
        ]
        at = ours[-1] if ours else last
        return (
            f"{type(error).__name__}: {str(error)[:100]!r} at "
            f"{at.filename.rpartition('/spikesam/')[2]}:{at.lineno}"
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def odd_calls(calls: Iterable[Call]) -> Iterator[tuple[Call, dict[str, str]]]:
    """Each call, and the parameter that is odd with the name of its value."""
    for call in calls:
        for parameter in call.parameters:
            for name, value in odd_values().items():
                if _may_be(call, parameter, name, value()):
                    yield call, {parameter: name}


def odd_pairs(
    calls: Sequence[Call], count: int, seed: int
) -> Iterator[tuple[Call, dict[str, str]]]:
    """So many calls by chance, of each two parameters, and the names of their values."""
    chance, values = random.Random(seed), odd_values()
    callable_with_two = [call for call in calls if len(call.parameters) > 1]
    for _ in range(count):
        call = chance.choice(callable_with_two)
        names = {
            parameter: chance.choice([*values]) for parameter in chance.sample(call.parameters, 2)
        }
        if all(_may_be(call, parameter, name, values[name]()) for parameter, name in names.items()):
            yield call, names


def _may_be(call: Call, parameter: str, name: str, value: Any) -> bool:
    """False of values that are right, or whose own errors reach the caller."""
    is_function = callable(value) and (call.name, parameter) in FUNCTIONS
    return not is_function and (call.name, parameter, name) not in RIGHT


def main() -> int:
    """Make calls, and print those that end otherwise than in one line; gives how many."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names that begin so")
    parser.add_argument("--stride", type=int, default=1, help="one call of so many")
    parser.add_argument("--pairs", type=int, default=0, help="so many calls with two odd arguments")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs")
    options = parser.parse_args()
    most = 16 << 30  # bytes: a call that would take more is to end in a MemoryError
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        calls = [call for call in right_calls(Path(folder)) if call.name.startswith(options.only)]
        chosen_calls = odd_calls(calls)
        if options.pairs:
            chosen_calls = odd_pairs(calls, options.pairs, options.seed)
        for call, names in itertools.islice(chosen_calls, 0, None, options.stride):
            try:
                problem = outcome(call, names)
            except Late:
                problem = "late"
            counts["calls"] += 1
            if problem:
                counts["wrong"] += 1
                counts[call.name] += 1
                print(f"{call.name}({names}): {problem}", flush=True)
    print(counts)
    return counts["wrong"]


if __name__ == "__main__":
    sys.exit(main() > 0)
