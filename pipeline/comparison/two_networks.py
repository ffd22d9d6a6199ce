"""In which numbers one layer of two networks differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from spikesam.backends.network import Network
from spikesam.backends.network.inputs import GEOMETRY
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.errors import InputError

CONSTANTS = {"leak": "leak", "threshold": "threshold", "synaptic_leak": "synaptic leak", "bias": "biases"}


def differences(first: Network, second: Network, name: str) -> str:
    """How two networks, A's and B's, whose layers are connected alike, differ in the layer of a name."""
    rounded = first.precision != second.precision
    with suppress(InputError):  # what cannot be rounded was rounded neither
        first, second = (quantise(each) if rounded else each for each in (first, second))
    found = "; ".join(_differences(first, second, name)) if first.precision == second.precision else ""
    if rounded and not found:
        return ": one is in fixed point, whose numbers are rounded"
    return f" in {name}: {found}"


def _differences(first: Network, second: Network, name: str) -> Iterator[str]:
    number = first.place(name) - 1
    one, other = (network.layers[number].spiking_neuron for network in (first, second))
    for constant, called in CONSTANTS.items():
        yield from _unlike(called, getattr(one, constant), getattr(other, constant))
    yield from _unlike("reset", one.reset, other.reset)
    if one.reset == other.reset == "subtract" and not one.reset_by is other.reset_by is None:
        yield from _unlike("subtraction at a spike", one.subtracted, other.subtracted)
    yield from _unlike("firing at the threshold", one.fires_at_threshold, other.fires_at_threshold)
    lowest = [-np.inf if each.min_v_mem is None else each.min_v_mem for each in (one, other)]
    yield from _unlike("lowest membrane", *lowest)
    inputs = first.inputs[number], second.inputs[number]
    for place, (a, b) in enumerate(zip(*inputs, strict=True), 1):
        of = f" of input {place}" if len(inputs[0]) > 1 else ""
        if a.weight is not None and b.weight is not None:
            yield from _unlike(f"weights{of}", a.weight, b.weight)
        yield from _unlike(f"gain{of}", a.gain / 2.0**a.shift, b.gain / 2.0**b.shift)
        for x, y in zip(a.sources, b.sources, strict=True):
            yield from _unlike(f"delay from {x.layer}", x.delay, y.delay)
            yield from _unlike(f"sign of {x.layer}", x.sign, y.sign)
        for side in GEOMETRY:
            yield from _unlike(f"{side}{of}", getattr(a, side), getattr(b, side))
    if any(place == number for place, _ in first.driven):
        yield from _unlike("input range", first.input_range, second.input_range)


def _unlike(what: str, a: Any, b: Any) -> Iterator[str]:
    """A constant of A and of B, or how many of several differ, if any do."""
    if np.array_equal(a, b):
        return
    if isinstance(a, (str, tuple)) or np.size(a) == np.size(b) == 1:
        yield f"{what} {_said(a)} in A, {_said(b)} in B"
    elif np.shape(a)[1:] != np.shape(b)[1:]:
        yield f"{what} of other shapes"
    else:
        far = np.abs(np.subtract(a, b, dtype=np.float64))
        yield f"{np.count_nonzero(far):,} of {far.size:,} {what}, by {far.max():.7g} at most"


def _said(constant: Any) -> str:
    if isinstance(constant, bool):
        return "yes" if constant else "no"
    return str(constant) if isinstance(constant, (str, tuple)) else f"{np.asarray(constant).item():.7g}"
