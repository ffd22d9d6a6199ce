"""Arrays and tensors of spikes, whatever made them, as bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError

FIRED = "fired"  # a bit says that a neuron fired, be it once or more often


FIRED_ADVICE = f"; pass counts={FIRED!r} to record that a neuron fired, however often"


def check_counts(counts: object, where: str) -> bool:
    """Whether to record of counts of spikes that there were any: None, or "fired"."""
    if counts not in (None, FIRED):
        raise InputError(f"{where}: counts: got {counts!r}, expected None or {FIRED!r}")
    return counts == FIRED


def as_bits(
    spikes: Any, where: Callable[[tuple[int, ...]], str], *, fired: bool = False, advice: str = ""
) -> NDArray[np.bool_]:
    """Spikes of 0 and 1, an array or torch tensor of any shape, device and dtype, as bool.

    Parameters
    ----------
    where : an index -> what names its place at the beginning of a message; () names the whole
    fired : take counts of spikes as well, and call what is above 0 a spike
    advice : what else could be done about other values than 0 and 1, the end of the message

    Raises
    ------
    InputError : if another value is among them, NaN included, or they are no numbers
    """
    spikes = on_cpu(spikes)
    if not hasattr(spikes, "detach"):
        spikes = np.asarray(spikes)
    if isinstance(spikes, np.ndarray) and spikes.dtype.kind not in "biuf":
        raise InputError(f"{where(())}: got dtype {spikes.dtype}, expected bool, or 0 and 1 of any dtype")
    ones = spikes > 0 if fired else spikes == 1
    others = np.asarray(~(ones | (spikes == 0)))
    if others.any():
        place = tuple(np.argwhere(others)[0].tolist())
        if advice and spikes[place] < 0:  # which counts= does not take
            advice = "; give -1, 0 and 1 as two planes of channels, spikes > 0 and spikes < 0"
        wanted = "counts of 0 or more" if fired else f"spikes of 0 and 1 only{advice}"
        raise InputError(f"{where(place)}: got the value {spikes[place].item()}, expected {wanted}")
    return np.asarray(ones)


def on_cpu(values: Any) -> Any:
    """A torch tensor, which may be on a GPU or need gradients, as one that NumPy can read; anything else as it is."""
    return values.detach().cpu() if hasattr(values, "detach") else values


def whole_numbers(where: str, values: Any, count: int, dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """(N,) whole numbers, one for each of `count` samples: -1, for unknown, or what the dtype holds from 0 on."""
    array = np.asarray(on_cpu(values))
    if array.shape != (count,) or array.dtype.kind not in "iu":
        found = f"shape {array.shape} of {array.dtype}"
        raise InputError(f"{where}: got {found}, expected {count} whole numbers, one for each sample")
    most = np.iinfo(dtype).max
    if array.min() < -1 or array.max() > most:
        raise InputError(f"{where}: got {array.min()} to {array.max()}, expected -1 to {most}")
    return array
