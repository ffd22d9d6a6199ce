"""From lava-dl's `.net` files: a network that was trained for Loihi, in its own integers."""

from __future__ import annotations

import math
from os import PathLike

import numpy as np

from spikesam.backends.network import Encoder, Layer, Network, NetworkError, Readout, Shape
from spikesam.backends.network.checks import whole, yes_or_no
from spikesam.pipeline.imports.netx.files import Node, read_nodes
from spikesam.pipeline.imports.netx.layers import NEVER, check_weights, declared, layer, pixels, readout
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import check_size

NAMES = {"conv": "conv", "pool": "pool", "dense": "fc"}


def from_netx(path: str | PathLike[str], timesteps: int | None = None, *, fires_at_threshold: bool = False) -> Network:
    """A network of Loihi's own numbers, from a `.net` file that lava-dl wrote, which Lava's netx reads.

    Weights, biases, thresholds and decays are integers and stay what they are; nothing is rescaled, and the spikes are
    those of Lava and the chip, to the last bit. Read are layers input, conv, pool, dense, flatten and average, with
    neurons CUBA and LOIHI.

    A layer costs one step on the chip as here. netx resets layer l at step l, so that its bias begins there: the
    network takes as many steps more than the input as it has layers, and layer l has no bias before anything can have
    arrived. Where the file has an input layer, its neurons are the network's first layer, "image", which a constant
    current drives: the integer that the file's user gives a pixel, -127 … 127, which on the chip is made of `weight`
    and `bias` of the input layer. They fire one step later than on the chip, as then does every layer. Give the pixels
    as 2/127 of these integers, see :func:`spikesam.simulate`.

    An output that does not fire (the largest threshold, or no neurons) is the readout, which is its membrane in units
    of 64; a logit is that divided by the network's steps. Otherwise spikes are counted.

    Parameters
    ----------
    path : of the file
    timesteps : steps of the input; those that the file says if not given
    fires_at_threshold : whether a membrane that equals its threshold fires. It does not on the chip, nor in lava-dl
        0.6; it did in earlier ones

    Returns
    -------
    a network in fixed point, with encoder "constant-current" if the file has an input layer with neurons, else "spikes"

    Raises
    ------
    InputError : naming the file, and the layer that cannot be expressed exactly

    Examples
    --------
    What lava-dl writes of one neuron, and the network of it:

    >>> import h5py
    >>> with h5py.File("one.net", "w") as file:
    ...     layer = file.create_group("layer/0")
    ...     layer["type"], layer["shape"], layer["inFeatures"], layer["weight"] = [b"dense"], [1], 1, [[10]]
    ...     for name, value in {"type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25}.items():
    ...         layer[f"neuron/{name}"] = value
    >>> import spikesam
    >>> network = spikesam.from_netx("one.net", timesteps=20)
    >>> network.precision, network.layers[0].neuron.threshold
    ('fixed', 1600)
    """
    nodes, steps = read_nodes(path)
    try:
        at_threshold = yes_or_no(fires_at_threshold, "fires_at_threshold", "from_netx")
        if timesteps is None and steps is None:
            raise NetworkError("from_netx: got no timesteps, which this file does not say; expected those of the input")
        given = whole(steps if timesteps is None else timesteps, "timesteps", "from_netx", 1)
        return _network(nodes, given, at_threshold)
    except InputError as error:
        raise NetworkError(f"{path}: {' '.join(str(error).split())}") from None


def _network(nodes: list[Node], given: int, at_threshold: bool) -> Network:
    first = nodes[0]
    encoder: Encoder = "constant-current" if first.kind == "input" and first.neuron is not None else "spikes"
    shape = input_shape = _input_shape(first)
    *body, last = nodes[first.kind == "input" :] or [first]
    read_as_sum = last.kind == "average" or (last.kind == "dense" and _never_fires(last))
    firing = [node for node in (body if read_as_sum else [*body, last]) if node.kind in NAMES]
    total = given + len(firing) + (encoder == "constant-current")
    check_size("from_netx: timesteps", total, "T")
    layers: list[Layer] = [pixels(first, shape, at_threshold)] if encoder == "constant-current" else []
    for node in nodes:
        if (node.kind == "input" and node is not first) or (node.kind == "average" and node is not last):
            raise NetworkError(f"{node.where}: stands inside the network, expected an input first, an average last")
    for number, node in enumerate(firing, start=len(layers)):
        name = f"{NAMES[node.kind]}{1 + sum(each.kind == node.kind for each in firing[: firing.index(node)])}"
        before = layers[-1].name if layers else "input"
        layers.append(layer(node, name, before, shape, number, total, at_threshold))
        shape = layers[-1].inputs[0].output_shape(shape)
    if not layers:
        raise NetworkError("expected neurons that spike, got none")
    if last.kind == "average":
        sums = _mean(last, shape)
    elif read_as_sum:
        sums = readout(last, shape, len(layers), total)
    else:
        check_weights(last, math.prod(shape) ** 2)
        sums = Readout(np.eye(math.prod(shape), dtype=np.int8))
    return Network(input_shape, total, tuple(layers), sums, encoder)


def _input_shape(first: Node) -> Shape:
    if first.kind == "input":
        return declared(first)
    if first.kind == "dense" and "inFeatures" in first.values:
        features = first.values["inFeatures"]
        return (whole(features.item() if features.size == 1 else features, "inFeatures", first.where, 1), 1, 1)
    raise NetworkError(f"{first.where}: stands first, expected a layer input, which says the shape, or dense")


def _never_fires(node: Node) -> bool:
    return node.neuron is None or bool(np.all(node.neuron.get("vThMant", 0) >= NEVER))


def _mean(node: Node, shape: Shape) -> Readout:
    """The mean of the spikes of as many groups of neurons as there are classes."""
    classes, neurons = math.prod(declared(node)), math.prod(shape)
    if neurons % classes:
        raise NetworkError(f"{node.where}: {classes} means of {neurons} neurons, expected a number that divides them")
    weight = np.eye(classes, dtype=np.int8).repeat(neurons // classes, axis=1)
    return Readout(weight, classes / neurons)
