"""Network: a network as plain, checked, frozen data, and the arithmetic it stands for.

For steps t = 0 … T-1 and layers l = 1 … L, with s_0 the encoded input:

    a_l[t] = W_l ⊛ pool(s_{l-1}[t-1])                a_l[0] = 0; of any other sources, see inputs.py
    s_l[t] = what neurons l fire, driven by a_l; their equations are in neurons.py
    readout = Σ_{t=0}^{T-1} W_out s_L[t], or a leaky sum, see :class:`Readout`

⊛ is correlation (torch's conv2d) or a matrix product on the C-order flattened map, and may be
followed by a maximum pooling of the currents. In fixed point all numbers are integers (see
quantise.py). With the encoder "constant-current" there are no input spikes: layers that read the
input receive the same a[t] at every step t ≥ 1, computed once from an int8 image. With
"changing-current" the input is a map of real numbers at every step, in int8, too: a[t] is computed
from that of step t-1 (see input_currents.py). A network of your own weights:

    network = Network(
        input_shape=(6, 32, 32),  # ON and OFF planes of an RGB image
        timesteps=16,
        layers=(
            Layer("conv1", Conv(np.concatenate([w1, -w1], axis=1), padding=1), LIF(leak=0.99)),
            Layer("conv2", Conv(w2, pool=2, padding=1), LIF(leak=0.99, threshold=0.8)),
            Layer("fc1", Dense(w3, pool=2), LIF(leak=0.99)),
        ),
        readout=Readout(w_out),
    )

An artificial network (ANN) has neurons ReLU and the same layers, inputs and readout, but no steps:
T is 1, each layer reads layers before it, of which every Source has the default delay of 1, and x_l
= max(0, gain · a_l + bias), see neurons.py; logits = W_out x_L + bias. Its encoder "image" gives
x_0, the pixels clipped to ±`input_range` and divided by it: with the default of 2, the mean of the
Poisson spikes per step.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network._layers import Layer, Readout
from spikesam.backends.network.checks import NetworkError, Sides, chosen, real, whole
from spikesam.backends.network.consistency import LONGEST, check_network_size, check_parts
from spikesam.backends.network.inputs import Input
from spikesam.backends.network.synapses.synapse import Kind as SynapseKind
from spikesam.backends.network.synapses.synapse import Shape
from spikesam.backends.network.table import by_sides, in_columns, sources_of, weights_of
from spikesam.backends.network.wiring import (
    dependents,
    reads_alone,
    shapes_of,
    steps_to_readout,
    with_named_sources,
    with_plain_delays,
)
from spikesam.common.errors import at
from spikesam.common.pictures import draw
from spikesam.common.text import printable
from spikesam.recordings.raster.batch import packed_bytes

Encoder = Literal["poisson", "spikes", "constant-current", "changing-current", "image"]
Kind = Literal["snn", "ann"]

DEFAULT_RANGE = 2.0  # of pixels, as of Poisson spikes, which fire at every step for a pixel of 2
CONVERT = "; convert it with {spikesam.convert()}"


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network, ready to run on any backend, or an ANN, to be converted to one.

    Parameters
    ----------
    input_shape : (C, H, W) of the binary input planes (ON, then OFF), or of the image with another
        encoder
    timesteps : T ≥ 1; 1 of an ANN
    layers : in order, at least one
    readout : on the output of the last layer, flattened in C-order
    encoder : how samples become input (see spikesam.pipeline.images.encoding): images as "poisson"
        spikes or as a "constant-current"; "spikes" that the caller brings, events for instance;
        real numbers that the caller brings, a "changing-current"; or the "image" itself, for ANNs
    input_range : which number of the image, or of the caller's, is 127 in int8 as a current, or 1
        in an ANN; larger ones are clipped
    window : of a network that was imported from a model without delay between layers: the steps of
        the model, which each layer answers one behind the other, until `to_readout` steps before
        the end; None where all T are its own
    late : the steps by which each layer answers later than in that model, if a delay of the model's
        own puts its window elsewhere

    Raises
    ------
    NetworkError : if the parts do not fit, or sums could overflow; the message names the layer and
        both sides of the mismatch

    Examples
    --------
    Two layers of your own weights, for RGB images of 8×8; the first layer sees an ON and an OFF
    plane of each colour.

    >>> import numpy as np
    >>> from spikesam import LIF, Conv, Dense, Layer, Network, Readout
    >>> random, neuron = np.random.default_rng(0), LIF(leak=0.9)
    >>> w1, w2 = random.normal(size=(4, 3, 3, 3)), random.normal(size=(5, 64))
    >>> w_out = random.normal(size=(2, 5))
    >>> conv1 = Layer("conv1", Conv(np.concatenate([w1, -w1], axis=1), padding=1), neuron)
    >>> network = Network((6, 8, 8), 12, (conv1, Layer("fc1", Dense(w2, pool=2), neuron)),
    ... Readout(w_out))
    >>> network.shapes
    ((6, 8, 8), (4, 8, 8), (5, 1, 1))
    """

    input_shape: Shape
    timesteps: int
    layers: tuple[Layer, ...]
    readout: Readout
    encoder: Encoder = "poisson"
    input_range: float = DEFAULT_RANGE
    window: int | None = None
    late: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        with at("network"):
            object.__setattr__(self, "timesteps", whole(self.timesteps, "timesteps", 1, LONGEST))
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(
            self, "layers", tuple(self.layers) if isinstance(self.layers, (list, tuple)) else ()
        )
        if not (
            all(isinstance(layer, Layer) for layer in self.layers)
            and isinstance(self.readout, Readout)
        ):
            raise NetworkError("network: expected a sequence of Layer and a Readout")
        if not self.layers:
            raise NetworkError("a network needs at least one layer, in a tuple: (layer,)")
        chosen(self.encoder, get_args(Encoder), "encoder")
        with at("network"):
            object.__setattr__(self, "input_range", real(self.input_range, "input_range"))
        ranged = self.current_input or self.encoder == "image"
        if self.input_range != DEFAULT_RANGE and not (ranged and self.input_range > 0):
            raise NetworkError(
                f"network: input_range is {self.input_range} of the encoder {self.encoder!r}, "
                f"expected {DEFAULT_RANGE}, and more than 0 of a current or of an image"
            )
        with at("network"):
            if self.window is not None and whole(self.window, "window", 1) > self.timesteps:
                raise NetworkError(
                    f"window is {self.window}, expected at most {self.timesteps} timesteps"
                )
            if self.late is not None:
                self._set_late(self.late)
        check_network_size(self)
        if len(set(self.names)) < len(self.names):
            raise NetworkError(
                f"layer names must differ from each other and from 'input', got {[*self.names[1:]]}"
            )
        object.__setattr__(self, "layers", with_named_sources(self.layers))
        plain = zip(with_plain_delays(self.layers), self.shapes[1:], strict=True)
        widened = (layer.widened(shape[0]) for layer, shape in plain)
        object.__setattr__(self, "layers", tuple(widened))
        check_parts(self)

    def _set_late(self, late: Any) -> None:
        """Check by how many steps layers are late; None where the window says as much."""
        expected = f"a window, and as many whole numbers as layers, {len(self.layers)}"
        if self.window is None or not isinstance(late, (tuple, list)):
            raise NetworkError(f"late is {late!r}, expected {expected}")
        if len(late) != len(self.layers):
            raise NetworkError(f"late has {len(late)} numbers, expected {expected}")
        steps = tuple(whole(number, "late", 0, self.timesteps - self.window) for number in late)
        object.__setattr__(self, "late", steps)

    @property
    def kind(self) -> Kind:
        """ "snn" of a spiking network, "ann" of one with neurons ReLU."""
        return "snn" if self.layers[0].neuron.spikes else "ann"

    @property
    def spiking_input(self) -> bool:
        """True if the input is spikes, which are recorded as layer 0: those of an encoder, or the
        caller's own.
        """
        return self.encoder in ("poisson", "spikes")

    @property
    def current_input(self) -> bool:
        """True if the input is int8 numbers, those of an image at every step, or others at each."""
        return self.encoder in ("constant-current", "changing-current")

    @cached_property
    def driven(self) -> tuple[tuple[int, int], ...]:
        """The inputs of layers that numbers drive, not spikes: number of the layer and of its
        input, both from 0.
        """
        return tuple(
            (place, number)
            for place, layer in enumerate(self.layers)
            for number, layer_input in enumerate(layer.inputs)
            if self.current_input and any(source.layer == "input" for source in layer_input.sources)
        )

    @property
    def takes_images(self) -> bool:
        """True if an image is encoded as the input, which is not brought step by step by the
        caller.
        """
        return self.encoder not in ("spikes", "changing-current")

    @property
    def precision(self) -> str:
        """Either "fixed" or "float32"."""
        return "fixed" if self.readout.weight.dtype == np.int8 else "float32"

    @property
    def outline(self) -> list[tuple[str, int, Sides]]:
        """Kind, outputs and pool of every layer: equal in all networks of one description, whatever
        their neurons.
        """
        return [
            (
                "recurrent" if layer.reads_itself else layer.kind,
                layer.inputs[0].gain.shape[1],
                layer.inputs[0].synapse.pool,
            )
            for layer in self.layers
        ]

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return int(self.readout.weight.shape[0])

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of the input, then of each layer."""
        return shapes_of(self.input_shape, self.layers)

    @property
    def is_chain(self) -> bool:
        """True if every layer reads the layer before, and nothing else."""
        return all(reads_alone(layer, previous) for layer, previous in self._behind)

    @property
    def _behind(self) -> Iterator[tuple[Layer, str]]:
        """Each layer, and the name of the layer before, or "input"."""
        return zip(self.layers, self.names, strict=False)

    @cached_property
    def has_loops(self) -> bool:
        """True if a layer reads one that comes later; a layer that reads itself makes no loop."""
        return any(
            self.place(source.layer) > number
            for number, layer in enumerate(self.layers, 1)
            for source in layer.sources
        )

    @cached_property
    def to_readout(self) -> dict[str, int]:
        """Name of a layer, or "input" -> the steps that its spikes need at least to the readout: 0
        of the last.
        """
        return steps_to_readout(self.layers)

    @property
    def model_steps(self) -> int:
        """The steps of the model without delay between layers that the network is of: those that
        its input has.
        """
        return self.timesteps - self.to_readout["input"] if self.window is None else self.window

    @cached_property
    def starts(self) -> dict[str, int]:
        """Name of a layer, or "input" -> the step at which it answers the first step of such a
        model.

        Negative where no window says it, of a layer further from the readout than the input.
        """
        if self.late is not None:
            return dict(zip(self.names, (0, *self.late), strict=True))
        stop = self.timesteps - self.model_steps
        return {name: stop - self.to_readout.get(name, stop) for name in self.names}

    def dependents(self, name: str) -> tuple[str, ...]:
        """The layers that a way leads to from a layer or from "input", in order; itself only where
        it is in a loop.
        """
        return dependents(self.layers, name)

    def shape_read(self, layer_input: Input) -> Shape:
        """(C, H, W) of the layers that an input reads."""
        return self.shapes[self.place(layer_input.sources[0].layer)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """ "input", then the name of each layer."""
        return ("input", *(layer.name for layer in self.layers))

    def place(self, name: str) -> int:
        """Number of a layer among :attr:`shapes`: 0 of "input"."""
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def raster_names(self) -> tuple[str, ...]:
        """Names of the layers that fire: "input", "conv1", …; from "conv1" where the input has no
        spikes.
        """
        return self.names[self.first_raster :]

    @cached_property
    def raster_shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of each of :attr:`raster_names`."""
        return self.shapes[self.first_raster :]

    @cached_property
    def shape_of(self) -> dict[str, Shape]:
        """Each of :attr:`raster_names` -> its (C, H, W), in order of depth."""
        return dict(zip(self.raster_names, self.raster_shapes, strict=True))

    @cached_property
    def raster_bytes(self) -> tuple[int, ...]:
        """Bytes of a packed step of each of :attr:`raster_names`."""
        return tuple(packed_bytes(math.prod(shape)) for shape in self.raster_shapes)

    @property
    def first_raster(self) -> int:
        """Number of the first layer that fires: 0, the input, or 1 if the input has no spikes."""
        return 0 if self.spiking_input else 1

    def inputs_of(self, kind: type[SynapseKind]) -> Iterator[tuple[Layer, Input, SynapseKind]]:
        """The inputs whose synapses are of a kind, each with its layer and these, in order."""
        for layer in self.layers:
            for layer_input in layer.inputs:
                if isinstance(layer_input.synapse, kind):
                    yield layer, layer_input, layer_input.synapse

    def check_spiking(self) -> None:
        """Refuse an ANN where only spiking networks can be used."""
        if self.kind == "ann":
            raise NetworkError(
                "got an ANN, which does not spike, expected a spiking network", CONVERT
            )

    def check_chain(self) -> None:
        """Refuse a network whose layers read others than the layer before."""
        for layer, previous in self._behind:
            if not reads_alone(layer, previous):
                raise NetworkError(
                    f"layer {layer.name!r} reads more than the layer before, expected a chain"
                )

    def check_sums_alone(self, why: str = "") -> None:
        """Refuse one that spreads or multiplies spikes, or sums currents; `why` is part of the
        message.
        """
        for layer in self.layers:
            for layer_input in layer.inputs:
                if does := layer_input.synapse.beyond_sums:
                    raise NetworkError(f"layer {layer.name!r} {does}{why}, expected sums of spikes")

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: the table, and a picture of what reads what."""
        html: str = draw("notebook_html", self)
        return html

    def __str__(self) -> str:
        """A table: what each layer reads, its shape and its weights."""
        rows = [
            ("layer", "reads", "shape", "weights"),
            ("input", self.encoder, by_sides(self.input_shape), ""),
        ]
        for layer, shape in zip(self.layers, self.shapes[1:], strict=True):
            first, *further = layer.inputs
            rows.append((layer.name, sources_of(first), by_sides(shape), weights_of(first)))
            rows += [
                ("", sources_of(layer_input), "", weights_of(layer_input))
                for layer_input in further
            ]
        rows.append(
            (
                "readout",
                self.layers[-1].name,
                str(self.classes),
                by_sides(self.readout.weight.shape),
            )
        )
        return in_columns(rows)

    def __repr__(self) -> str:
        """One line: the layers with their shapes, the outputs, and what numbers it holds."""
        layers = ", ".join(
            f"{name} {by_sides(shape)}" for name, shape in zip(self.names, self.shapes, strict=True)
        )
        steps = f"{self.window or self.timesteps} steps, " if self.kind == "snn" else "ANN, "
        return f"<Network: {layers}, {self.classes} outputs; {steps}{self.precision}>"

    @cached_property
    def sha256(self) -> str:
        """Identity of the graph and every number in it."""
        graph, tensors = self.to_graph()
        digest = hashlib.sha256(json.dumps(graph, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(tensors):
            array = tensors[name]
            digest.update(
                np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
            )
        return digest.hexdigest()

    def to_graph(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The network as a JSON graph and its tensors by name; undone by :meth:`from_graph`."""
        nodes, tensors = zip(
            *(layer.to_graph(previous) for layer, previous in self._behind), strict=True
        )
        graph: dict[str, Any] = {
            "encoder": self.encoder,
            "input_shape": list(self.input_shape),
            "timesteps": self.timesteps,
            "layers": list(nodes),
            "readout": {
                "shape": list(self.readout.weight.shape),
                "scale": self.readout.scale,
                "leak": self.readout.leak,
            },
        }
        if (
            self.input_range != DEFAULT_RANGE
        ):  # so that networks of the usual range are described as ever
            graph["input_range"] = self.input_range
        if self.window is not None:
            graph["window"] = self.window
        if self.late is not None:
            graph["late"] = list(self.late)
        readout = {f"readout.{name}": getattr(self.readout, name) for name in ("weight", "bias")}
        return graph, dict(
            chain(readout.items(), *(layer_tensors.items() for layer_tensors in tensors))
        )

    @classmethod
    def from_graph(cls, graph: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Network:
        """Rebuild a network, with every construction check; a missing or misshapen part is a
        NetworkError.
        """
        try:
            layers = tuple(Layer.from_graph(node, tensors) for node in graph["layers"])
            entries = graph["readout"]
            readout = Readout(
                tensors["readout.weight"],
                entries["scale"],
                entries["leak"],
                tensors["readout.bias"],
            )
            encoder, input_range = graph["encoder"], graph.get("input_range", DEFAULT_RANGE)
            return cls(
                graph["input_shape"],
                graph["timesteps"],
                layers,
                readout,
                encoder,
                input_range,
                graph.get("window"),
                graph.get("late"),
            )
        except NetworkError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NetworkError(
                f"the graph is incomplete or malformed: {printable(repr(error), 200)}"
            ) from error


def _shape(shape: Any) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise NetworkError(f"input_shape is {shape!r}, expected three positive integers (C, H, W)")
    with at("network"):
        channels, height, width = (whole(side, "a side of input_shape", 1) for side in shape)
    return channels, height, width
