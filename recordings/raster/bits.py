"""Arrays and tensors of spikes, whatever made them, as bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError


def as_bits(spikes: Any, where: Callable[[tuple[int, ...]], str]) -> NDArray[np.bool_]:
    """Spikes of 0 and 1 as bool.

    Parameters
    ----------
    spikes : array or torch tensor of any shape and device, bool or 0 and 1 of any dtype
    where : an index -> what names its place at the beginning of a message; () names the whole

    Raises
    ------
    InputError : if another value is among them, NaN included, or they are no numbers
    """
    spikes = on_cpu(spikes)
    if not hasattr(spikes, "detach"):
        spikes = np.asarray(spikes)
    if isinstance(spikes, np.ndarray) and spikes.dtype.kind not in "biuf":
        raise InputError(f"{where(())}: got dtype {spikes.dtype}, expected bool, or 0 and 1 of any dtype")
    ones = spikes == 1
    others = np.asarray(~(ones | (spikes == 0)))
    if others.any():
        place = tuple(np.argwhere(others)[0].tolist())
        raise InputError(f"{where(place)}: got the value {spikes[place].item()}, expected spikes of 0 and 1 only")
    return np.asarray(ones)


def on_cpu(values: Any) -> Any:
    """A torch tensor, which may be on a GPU or need gradients, as one that NumPy can read; anything else as it is."""
    return values.detach().cpu() if hasattr(values, "detach") else values
