"""What modules and networks return: the tensor in it, and the class scores."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recordings.errors import InputError

from .layouts import Layout, time_first


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


def class_scores(output: Any, timesteps: int, samples: int, layout: Layout) -> NDArray[np.float32]:
    """Scores of every class, the highest of which is the prediction.

    Parameters
    ----------
    output : (B, K) scores; or spikes or scores of every step, which are added up: (T, B, K), or as the network lays out
        its layers. A tuple, such as (spikes, membrane), counts as its first member
    timesteps, samples : T and B
    layout : of the last layer

    Returns
    -------
    (B, K) float32

    Raises
    ------
    InputError : if it has other axes or sizes, or is not finite
    """
    scores = torch.as_tensor(first_tensor(output, "output")).detach().cpu().to(torch.float32)
    if scores.ndim != 2 or len(scores) != samples:
        scores = _every_step(scores, timesteps, samples, layout).sum(0)
    if not scores.shape[1] or not scores.isfinite().all():
        raise InputError(f"output: got {'no class' if not scores.shape[1] else 'NaN or infinity'}, expected scores")
    return scores.numpy()


def _every_step(scores: Tensor, timesteps: int, samples: int, layout: Layout) -> Tensor:
    """(T, B, K), whether scores are laid out so, or as the layers are."""
    for arrange in (layout, time_first):
        with suppress(InputError, RuntimeError, IndexError):  # laid out otherwise
            steps = arrange(scores)
            if steps.ndim == 3 and tuple(steps.shape[:2]) == (timesteps, samples):
                return steps
    raise InputError(
        f"output: got shape {tuple(scores.shape)}, expected class scores of ({samples}, K), or of every step, "
        f"({timesteps}, {samples}, K)"
    )
