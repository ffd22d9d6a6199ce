"""Network: a network as plain, checked, frozen data, and the arithmetic it stands for.

For steps t = 0 … T-1 and layers l = 1 … L, with s_0 the encoded input:

    a_l[t] = W_l ⊛ pool(s_{l-1}[t-1])                   a_l[0] = 0; of any other sources, see inputs.py
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
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError, real, whole
from spikesam.backends.network.consistency import LONGEST, check_network_size, check_parts
from spikesam.backends.network.layers import Layer, Readout
from spikesam.backends.network.structure import DEFAULT_RANGE, Encoder, Structure
from spikesam.backends.network.synapses.synapse import Shape
from spikesam.backends.network.table import by_sides, in_columns, sources_of, weights_of
from spikesam.backends.network.wiring import reads_alone, with_named_sources, with_plain_delays
from spikesam.common.pictures import draw
from spikesam.common.text import printable

CONVERT = "; convert it with {spikesam.convert()}"


@dataclass(frozen=True, eq=False)
class Network(Structure):
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

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "timesteps", whole(self.timesteps, "timesteps", "network", 1, LONGEST)
        )
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(
            self, "layers", tuple(self.layers) if isinstance(self.layers, Iterable) else ()
        )
        if not (
            all(isinstance(layer, Layer) for layer in self.layers)
            and isinstance(self.readout, Readout)
        ):
            raise NetworkError("network: expected a sequence of Layer and a Readout")
        if not self.layers:
            raise NetworkError("a network needs at least one layer, in a tuple: (layer,)")
        if self.encoder not in get_args(Encoder):
            raise NetworkError(
                f"encoder is {self.encoder!r}, expected {', '.join(map(repr, get_args(Encoder)))}"
            )
        object.__setattr__(self, "input_range", real(self.input_range, "input_range", "network"))
        ranged = self.current_input or self.encoder == "image"
        if self.input_range != DEFAULT_RANGE and not (ranged and self.input_range > 0):
            raise NetworkError(
                f"network: input_range is {self.input_range} of the encoder {self.encoder!r}, "
                "expected "
                f"{DEFAULT_RANGE}, and more than 0 of a current or of an image"
            )
        if self.window is not None and whole(self.window, "window", "network", 1) > self.timesteps:
            raise NetworkError(
                f"network: window is {self.window}, expected at most {self.timesteps} timesteps"
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
            raise NetworkError(f"network: late is {late!r}, expected {expected}")
        if len(late) != len(self.layers):
            raise NetworkError(f"network: late has {len(late)} numbers, expected {expected}")
        steps = tuple(
            whole(number, "late", "network", 0, self.timesteps - self.window) for number in late
        )
        object.__setattr__(self, "late", steps)

    def check_spiking(self, where: str) -> None:
        """Refuse an ANN where only spiking networks can be used; the message begins with `where`."""
        if self.kind == "ann":
            raise NetworkError(
                f"{where}: got an ANN, which does not spike, expected a spiking network", CONVERT
            )

    def check_chain(self, where: str) -> None:
        """Refuse a network whose layers read others than the layer before; the message begins with
        `where`.
        """
        for layer, before in self._behind:
            if not reads_alone(layer, before):
                raise NetworkError(
                    f"{where}: layer {layer.name!r} reads more than the layer before, expected a "
                    "chain"
                )

    def _repr_html_(self) -> str:
        """What a notebook shows: the table, and a picture of what reads what."""
        html: str = draw("notebook_html", self)
        return html

    def __str__(self) -> str:
        """A table: what each layer reads, its shape and its weights."""
        rows = [
            ("layer", "reads", "shape", "weights"),
            ("input", self.encoder, by_sides(self.input_shape), ""),
        ]
        for layer, shape in zip(self.layers, self.shapes[1:], strict=True):
            first, *more = layer.inputs
            rows.append((layer.name, sources_of(first), by_sides(shape), weights_of(first)))
            rows += [("", sources_of(each), "", weights_of(each)) for each in more]
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
        """The network as a JSON-able graph and its tensors by name; undone by :meth:`from_graph`."""
        nodes, tensors = zip(
            *(layer.to_graph(before) for layer, before in self._behind), strict=True
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
        return graph, dict(chain(readout.items(), *(each.items() for each in tensors)))

    @classmethod
    def from_graph(cls, graph: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Network:
        """Rebuild a network, with every construction check; a missing or misshapen part is a
        NetworkError.
        """
        try:
            layers = tuple(Layer.from_graph(node, tensors) for node in graph["layers"])
            about = graph["readout"]
            readout = Readout(
                tensors["readout.weight"], about["scale"], about["leak"], tensors["readout.bias"]
            )
            encoder, input_range = graph["encoder"], graph.get("input_range", DEFAULT_RANGE)
            about = encoder, input_range, graph.get("window"), graph.get("late")
            return cls(graph["input_shape"], graph["timesteps"], layers, readout, *about)
        except NetworkError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NetworkError(
                f"the graph is incomplete or malformed: {printable(repr(error), 200)}"
            ) from error


def _shape(shape: Any) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise NetworkError(f"input_shape is {shape!r}, expected three positive integers (C, H, W)")
    channels, height, width = (whole(side, "a side of input_shape", "network", 1) for side in shape)
    return channels, height, width
