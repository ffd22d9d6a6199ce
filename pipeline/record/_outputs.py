"""The outputs of modules and networks: the tensor in them, and the class scores."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikesam.common.errors import InputError
from spikesam.pipeline.record._layouts import Layout, batch_first, named_layout, time_first


def first_tensor(output: Any, where: str) -> Any:
    """The tensor or array itself, or the first of a tuple, such as (spikes, membrane) or (spikes,
    state).
    """
    found = output
    while isinstance(found, tuple) and found:
        found = found[0]
    if not isinstance(found, Tensor | np.ndarray):
        raise InputError(
            f"{where}: got {type(found).__name__}, expected a tensor, or a tuple that begins with "
            "one"
        )
    return found


def as_tensor(values: Any, where: str) -> Tensor:
    """A tensor of numbers, of an array in any order of bytes; else an InputError."""
    if isinstance(values, Tensor):
        return values
    try:
        array = np.asarray(values)
        return torch.as_tensor(array.astype(array.dtype.newbyteorder("="), copy=False))
    except (MemoryError, RuntimeError, TypeError, ValueError):
        raise InputError(
            f"{where}: got {type(values).__name__}, expected an array or a tensor of numbers"
        ) from None


class OutputLayout:
    """The layout of a network's output in all batches: `name`, "" of the last layer; None until a
    batch showed it.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def scores(
        self, output: Any, timesteps: int, samples: int, layer: Layout, given: str | None = None
    ) -> Tensor:
        """Scores (B, K) float32 of every class, the highest of which is the prediction; with their
        graph.

        `output` holds (B, K) scores; or those of every step, which are added up: (T, B, K), (B, T,
        K), or as the network lays out its layers, `layer` the last. Refuses what may be read in two
        ways.
        """
        logits = _logits(output)
        if isinstance(logits, list):
            logits, given = _stacked(logits, timesteps), given or "TB..."
        first = as_tensor(first_tensor(logits, "output"), "output")
        found = first.cpu().to(torch.float32)
        scores = self._read(found, timesteps, samples, layer, given)
        if not scores.shape[1] or not scores.isfinite().all():
            raise InputError(
                f"output: got {'no class' if not scores.shape[1] else 'NaN or infinity'}, expected "
                "scores"
            )
        return scores

    def _read(
        self, scores: Tensor, timesteps: int, samples: int, layer: Layout, given: str | None
    ) -> Tensor:
        """(B, K), summed over the steps."""
        if given is not None:
            steps = _fitting(
                scores, named_layout(given), 1 if given == "B..." else timesteps, samples
            )
            if steps is None:
                raise InputError(
                    f"output: got shape {tuple(scores.shape)}, expected {timesteps} steps and "
                    f"{samples} samples, laid "
                    f"out as layout={given!r} says"
                )
            return steps.sum(0)
        if scores.ndim == 2 and len(scores) == samples:
            return scores
        layouts = {"": layer, "TB...": time_first, "BT...": batch_first}
        if self.name and self.name not in layouts:
            layouts[self.name] = named_layout(self.name)
        readings = {
            name: steps.sum(0)
            for name, arrange in layouts.items()
            if (steps := _fitting(scores, arrange, timesteps, samples)) is not None
        }
        if not readings:
            raise InputError(
                f"output: got shape {tuple(scores.shape)}, expected class scores of ({samples}, "
                "K), or of every step, "
                f"({timesteps}, {samples}, K)",
                "; for boxes, pixels or other numbers than scores pass {answers=None}",
            )
        if scores.ndim < 3:  # steps and samples in one axis, which only the layers tell apart
            return next(iter(readings.values()))
        if self.name in readings:
            return readings[self.name]
        first, *others = readings.values()
        if any(not torch.equal(first, other) for other in others):
            raise InputError(
                f"output: got shape {tuple(scores.shape)} of {timesteps} steps and {samples} "
                "samples, which may be "
                "(T, B, K), (B, T, K) or (B, K, T); say which with layout='TB...', 'BT...' or "
                "'B...T', or give class "
                "scores (B, K)"
            )
        names = [name for name in readings if name] or [""]
        self.name = names[0] if len(names) == 1 else None
        return first


def _stacked(steps: list[Any], timesteps: int) -> Tensor:
    """(T, …) of a list that has a tensor of each step."""
    arrays = all(isinstance(step, Tensor | np.ndarray) for step in steps)
    if not arrays or len(steps) != timesteps or len({tuple(step.shape) for step in steps}) != 1:
        raise InputError(
            f"output: got a list of {len(steps)}, expected a tensor, a tuple that begins with one, "
            f"or a list of {timesteps} tensors of one shape, one for each step"
        )
    return torch.stack([torch.as_tensor(step) for step in steps])


def _fitting(scores: Tensor, arrange: Layout, timesteps: int, samples: int) -> Tensor | None:
    """(T, B, K) if a layout gives that."""
    with suppress(InputError, RuntimeError, IndexError):  # laid out otherwise
        steps = arrange(scores)
        if steps.ndim == 3 and tuple(steps.shape[:2]) == (timesteps, samples):
            return steps
    return None


def _logits(output: Any) -> Any:
    """The class scores of an output that names them."""
    if isinstance(output, Mapping):
        if "logits" not in output:
            raise InputError(
                f"output: got {type(output).__name__} of "
                f"{', '.join(map(repr, list(output)[:8])) or 'nothing'}, "
                "expected 'logits' in it, or a tensor: hand over the class scores alone"
            )
        return output["logits"]
    return getattr(output, "logits", output)
