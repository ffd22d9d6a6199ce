"""The weights of a model, before it runs."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from spikesam.common.errors import InputError


def refuse_missing_numbers(model: nn.Module, where: str) -> None:
    """Refuse weights that are no finite numbers: what they reach never fires, or always.

    Buffers may hold infinity: the mask of an attention, a threshold that nothing reaches.
    """
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, weights in model.state_dict().items():
        if not isinstance(weights, torch.Tensor) or is_lazy(weights):
            continue
        if not weights.is_floating_point() or _is_finite(weights):
            continue
        if weights.isnan().any():
            wrong = "NaN"
        elif name in parameters and weights.isinf().any():
            wrong = "infinity"
        else:
            continue
        raise InputError(
            f"{where}: {name!r} holds {wrong}, expected finite numbers; load weights of before "
            "the training lost them"
        )


def _is_finite(weights: torch.Tensor) -> bool:
    """True of numbers that are all finite; False where one is not, or one pass does not tell."""
    if weights.layout != torch.strided or weights.element_size() == 1 or not weights.numel():
        return False
    return all(math.isfinite(float(end)) for end in weights.detach().aminmax())  # NaN is both ends
