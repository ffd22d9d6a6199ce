"""What a module returned."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from recordings.errors import InputError


def first_tensor(output: Any, where: str) -> Any:
    """The tensor or array itself, or the first of a tuple, such as (spikes, membrane) or (spikes, state).

    Raises
    ------
    InputError
    """
    found = output
    while isinstance(found, tuple) and found:
        found = found[0]
    if not isinstance(found, Tensor | np.ndarray):
        raise InputError(f"{where}: got {type(found).__name__}, expected a tensor, or a tuple that begins with one")
    return found
